"""The fingerprint of a team: its models, prompts, tools and policy, as a clearance knows them."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import lru_cache, partial
from re import Pattern
from types import CodeType
from typing import Any

from agno.models.base import Model
from agno.tools import Toolkit
from agno.tools.function import Function
from pydantic import BaseModel

from agno_portkey.gates import Gate, original
from agno_portkey.gates.checks import Check
from agno_portkey.guardrails.checks import check_guards
from agno_portkey.routing.unkeyed import without_secrets
from agno_portkey.run_facts import Fingerprint
from agno_portkey.walk import FALLBACKS, OWN_MODELS, Owner, name_of, walk

__all__ = ["fingerprint_of", "together"]

_PROMPTS = (
    "description",
    "instructions",
    "role",
    "system_message",
    "additional_context",
    "expected_output",
    "introduction",
    "additional_input",
    "markdown",
    "parser_model_prompt",
    "output_model_prompt",
    "mode",
    "respond_directly",
    "tool_choice",
    "tool_call_limit",
)
# Where a call goes, and what it says of itself: the same team on another machine.
_ELSEWHERE = ("base_url", "custom_host", "profile", "seat", "tags", "guards", "contracts", "name")
# What a model does not tell of itself as data, and sends with each call.
_SENT = ("system_prompt", "instructions", "strict_output", "request_params")
# What a guard is given that does not change what it finds.
_BESIDE = ("observers", "vaults")
_OURS = "agno_portkey."


def fingerprint_of(
    team: Owner, gates: Iterable[Gate] = (), guards: Iterable[Any] = ()
) -> Fingerprint:
    """The `Fingerprint` of `team` behind `gates` and `guards`.

    Its parts are named after what they are of: `Planner.model`, `Planner.prompt`, `Runner.tools`,
    `policy`. Addresses, keys and tags are no part of it. It can't tell what a function or a guard
    reads elsewhere.
    """
    parts: dict[str, str] = {}
    for owner, _ in walk(team, None):
        name = _free(name_of(owner), parts)
        parts[f"{name}.model"] = _model(owner.model)
        for kind in OWN_MODELS:
            if (model := getattr(owner, kind, None)) is not None:
                parts[f"{name}.{kind}"] = _model(model)
        if owner.fallback_config is not None:
            chains = [_plain(getattr(owner.fallback_config, chain)) for chain in FALLBACKS]
            parts[f"{name}.fallback"] = _digest(chains)
        parts[f"{name}.prompt"] = _digest({p: _plain(getattr(owner, p, None)) for p in _PROMPTS})
        if owner.tools:
            parts[f"{name}.tools"] = _digest([_tools(owner.tools), _plain(owner.tool_hooks)])
        if owner.output_schema is not None:
            parts[f"{name}.schema"] = _digest(_plain(owner.output_schema))
    parts["policy"] = _digest(
        {
            "gates": [_gate(gate) for gate in gates],
            "guards": [_guard(guard) for guard in check_guards(tuple(guards))],
        }
    )
    return Fingerprint(_digest(parts), parts)


def _free(name: str, parts: Mapping[str, str]) -> str:
    """`name`, or for the second of that name another one."""
    number, free = 1, name
    while f"{free}.model" in parts:
        number += 1
        free = f"{name} {number}"
    return free


def together(several: Iterable[Fingerprint]) -> Fingerprint:
    """The one `Fingerprint` of several teams and agents that run as one workflow."""
    each = [*several]
    parts = {name: part for one in each for name, part in one.parts.items()}
    return Fingerprint(_digest([one.digest for one in each]), parts)


def fingerprint_known(owner: Owner) -> Fingerprint:
    """The fingerprint of `owner` as its gate knows it, if it has one; else of it alone."""
    charter = getattr(getattr(owner.model, "seat", None), "charter", None)
    known = getattr(charter, "fingerprint_now", None)
    return known() if known is not None else fingerprint_of(owner)


def _gate(gate: Gate) -> Any:
    checks = [_plain(check) for check in gate.every]
    return [_kind(type(gate)), gate.name, gate.ordered, gate.approval, checks]


def _guard(guard: Any) -> Any:
    foreign = getattr(guard, "guardrail", None)
    return [repr(guard), _made_with(guard), None if foreign is None else _made_with(foreign)]


def _made_with(made: Any, *, within: bool = True) -> Any:
    """The class of an object, and what it was made with as far as it still tells.

    Of a class of the user's that is what bears the name of a parameter: all else may be a state.
    """
    kind = type(made)
    if not hasattr(made, "__dict__"):
        return [_kind(kind)]
    known = set(inspect.signature(kind.__init__).parameters)
    told = {}
    for name, value in vars(made).items():
        given = name in known or name.removeprefix("_") in known
        if name in _BESIDE or value is None or not (given or _is_ours(kind)):
            continue
        if _is_setting(value):
            told[name] = _plain(value)
        elif within and not name.startswith("_"):
            told[name] = _made_with(value, within=False)
    return [_kind(kind), told]


def _is_setting(value: Any) -> bool:
    if isinstance(value, tuple | frozenset | set | list):
        return all(map(_is_setting, value))
    if isinstance(value, Mapping):
        return all(map(_is_setting, value.values()))
    return callable(value) or isinstance(value, str | int | float | Enum | Pattern | type(None))


def _is_ours(kind: type) -> bool:
    return kind.__module__.startswith(_OURS)


def _kind(kind: type) -> str:
    """A class by its name; one of the user's by its source as well."""
    return kind.__qualname__ if _is_ours(kind) else _source(kind)


def _model(model: Any) -> str:
    """The id of a model, and the digest of what else shapes its answers."""
    to_dict = getattr(model, "to_dict", None)
    data: Any = to_dict() if callable(to_dict) else {"class": type(model).__qualname__}
    sent = {name: without_secrets(getattr(model, name, None)) for name in _SENT}
    told = {**data, **{name: value for name, value in sent.items() if value not in (None, {})}}
    rest = {k: _plain(v) for k, v in told.items() if k not in (*_ELSEWHERE, "id")}
    return f"{getattr(model, 'id', type(model).__name__)} ({_digest(rest)[7:15]})"


def _tools(tools: Any) -> list[Any]:
    if not isinstance(tools, list | tuple):
        return [_plain(tools)]
    found: list[Any] = []
    for tool in tools:
        if isinstance(tool, Toolkit):
            found += _tools([*tool.functions.values(), *tool.async_functions.values()])
        else:
            found.append(_plain(tool))
    return sorted(found, key=repr)


def _plain(value: Any) -> Any:
    """`value` as JSON types that are the same wherever it is the same."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    for kinds, told in _TOLD:
        if isinstance(value, kinds):
            return told(value)
    if is_dataclass(value) and not isinstance(value, type):
        shown = {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
        return [_kind(type(value)), shown]
    return _callable(value) if callable(value) else type(value).__qualname__


def _function(function: Function) -> Any:
    entry = function.entrypoint
    code = None if entry is None else _callable(original(entry))
    return [function.name, function.description, _plain(function.parameters), code]


def _callable(value: Any) -> Any:
    if isinstance(value, partial):
        return [_callable(value.func), _plain(value.args), _plain(value.keywords)]
    found: Any = original(value)
    if inspect.isroutine(found) or isinstance(found, type):
        return _source(found)
    # An object that can be called: what it does is in its class.
    kind: Any = type(found)
    return _source(kind)


def _class(kind: type) -> Any:
    own: Any = kind
    return _schema(own) if issubclass(kind, BaseModel) else _source(own)


def _check(check: Check) -> Any:
    return [_kind(type(check)), _plain(check.settings())]


@lru_cache(maxsize=1024)
def _schema(kind: type[BaseModel]) -> Any:
    return kind.model_json_schema()


# What is told how, the first that fits.
_TOLD: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    (Mapping, lambda value: {str(key): _plain(each) for key, each in value.items()}),
    (list | tuple, lambda value: [_plain(each) for each in value]),
    (set | frozenset, lambda value: sorted((_plain(each) for each in value), key=_digest)),
    (Enum, lambda value: _plain(value.value)),
    (Pattern, lambda value: value.pattern),
    (Model, _model),
    (Check, _check),
    (Function, _function),
    (type, _class),
    (BaseModel, lambda value: value.model_dump(mode="json")),
)


@lru_cache(maxsize=4096)
def _source(function: Any) -> str:
    name = getattr(function, "__qualname__", type(function).__qualname__)
    try:
        return f"{name} {_digest(inspect.getsource(function))}"
    except (OSError, TypeError):
        code = getattr(function, "__code__", None)
        return f"{name} {'' if code is None else _digest([*_instructions(code)])}"


def _instructions(code: CodeType) -> Iterator[Any]:
    """What a function without a source does: its instructions, and what they name."""
    yield code.co_code.hex()
    yield [*code.co_names]
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield [*_instructions(constant)]
        else:
            # What a set holds is in no order.
            several = isinstance(constant, tuple | frozenset)
            yield _plain(constant) if several else repr(constant)


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=repr)
    return "sha256:" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
