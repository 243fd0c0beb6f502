"""What a part of a team is, as JSON types that are the same wherever it is the same."""

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

from agno.eval.base import BaseEval
from agno.guardrails import BaseGuardrail
from agno.models.base import Model
from agno.tools import Toolkit
from agno.tools.function import Function
from pydantic import BaseModel

from agno_portkey.contracts import Contract
from agno_portkey.gates import original
from agno_portkey.gates.checks import Check
from agno_portkey.gates.given import given_to, parameters_of
from agno_portkey.guardrails.checks import check_guards
from agno_portkey.routing.unkeyed import without_secrets
from agno_portkey.secrets.base import Secret

__all__ = [
    "digest_of",
    "guard_of",
    "hooks_of",
    "kind_of",
    "made_with",
    "model_of",
    "plain",
    "tools_of",
]

# Where a call goes, and what it says of itself: the same team on another machine.
_ELSEWHERE = ("base_url", "custom_host", "profile", "seat", "tags", "guards", "contracts", "name")
# What a model does not tell of itself as data, and sends with each call or reads it by.
_SENT = (
    "system_prompt",
    "instructions",
    "strict_output",
    "request_params",
    "role_map",
    "tool_message_role",
    "assistant_message_role",
    "supports_native_structured_outputs",
    "supports_json_schema_outputs",
    "default_query",
    "extra_headers",
    "default_headers",
    "output_schema",
)
# Names of accounts and not keys to them: which providers are asked is theirs to say.
_ACCOUNT, _ACCOUNT_HEADER = "virtual_key", "x-portkey-virtual-key"
# What of a tool, beside its definition, says how and when it is run.
_RUN_BY = (
    "strict",
    "stop_after_tool_call",
    "requires_confirmation",
    "requires_user_input",
    "user_input_fields",
    "external_execution",
    "approval_type",
)
# What a guard is given that does not change what it finds.
_BESIDE = ("observers", "vaults")
# What an evaluation is by; its ids and results are no part of it.
_ASKED = ("model", "criteria", "threshold", "additional_guidelines", "scoring_strategy")
_OURS, _GUARDS = "agno_portkey.", "agno_portkey.guardrails."


def guard_of(guard: Any) -> Any:
    """What a guard, one of ours or round another's, is and was made with."""
    foreign = getattr(guard, "guardrail", None)
    return [repr(guard), made_with(guard), None if foreign is None else made_with(foreign)]


def made_with(made: Any, *, within: bool = True) -> Any:
    """The class of an object, and what it was made with as far as it still tells.

    Of a class of the user's that is what bears the name of a parameter: all else may be a state.
    """
    kind = type(made)
    if not hasattr(made, "__dict__"):
        return [kind_of(kind)]
    known = parameters_of(kind)
    told = {}
    for name, value in vars(made).items():
        given = name in known or name.removeprefix("_") in known
        if name in _BESIDE or value is None or not (given or _is_ours(kind)):
            continue
        if _is_setting(value):
            told[name] = plain(value)
        elif within and not name.startswith("_"):
            told[name] = made_with(value, within=False)
    return [kind_of(kind), told]


def _is_setting(value: Any) -> bool:
    if isinstance(value, tuple | frozenset | set | list):
        return all(map(_is_setting, value))
    if isinstance(value, Mapping):
        return all(map(_is_setting, value.values()))
    return callable(value) or isinstance(value, str | int | float | Enum | Pattern | type(None))


def _is_ours(kind: type) -> bool:
    return kind.__module__.startswith(_OURS)


def kind_of(kind: type) -> str:
    """A class by its name; one of the user's by its source as well."""
    return kind.__qualname__ if _is_ours(kind) else _source(kind)


def model_of(model: Any) -> str:
    """The id of a model, and the digest of what else shapes its answers."""
    to_dict = getattr(model, "to_dict", None)
    data: Any = to_dict() if callable(to_dict) else {"class": type(model).__qualname__}
    sent = {name: without_secrets(getattr(model, name, None)) for name in _SENT}
    own = getattr(model, "_origin", None) or model
    sent |= {
        "accounts": [*_accounts(model)],
        "held to": [_contract(each) for each in getattr(model, "contracts", None) or ()],
        "guarded by": [guard_of(each) for each in check_guards(getattr(own, "guards", ()))],
    }
    told = {**data, **{name: value for name, value in sent.items() if value not in (None, {}, [])}}
    rest = {k: plain(v) for k, v in told.items() if k not in (*_ELSEWHERE, "id")}
    return f"{getattr(model, 'id', type(model).__name__)} ({digest_of(rest)[7:15]})"


def _accounts(model: Any) -> Iterator[str]:
    """Whose accounts a model's calls are made with, as far as it names them."""
    if (named := getattr(model, _ACCOUNT, None)) is not None:
        yield str(named)
    if isinstance(slug := getattr(model, "portkey_provider", None), Secret):
        yield str(slug)
    for headers in (getattr(model, "extra_headers", None), getattr(model, "default_headers", None)):
        for name, value in (headers or {}).items():
            if str(name).lower() == _ACCOUNT_HEADER:
                yield str(value)


def _contract(contract: Contract) -> Any:
    schemas = [None if each is None else each.json for each in (contract.of, contract.handed)]
    rules = [_callable(rule) for rule in contract.rules]
    return [schemas, rules, plain(contract.repair), contract.partials]


def hooks_of(hooks: Iterable[Any] | None) -> list[Any]:
    """What the user's `hooks` are, in their order.

    The host puts a method in the place of a guardrail, for the way in which it is first run; and
    ours, which hold what else is told here, are no part of it.
    """
    return [told for hook in hooks or () if (told := _hook(hook)) is not None]


def _hook(hook: Any) -> Any:
    of = getattr(hook, "__self__", hook)
    if isinstance(of, BaseGuardrail):
        kind = type(of)
        return None if _is_ours(kind) and not _guards(kind) else made_with(of)
    if isinstance(of, BaseEval):
        return [kind_of(type(of)), {name: plain(getattr(of, name, None)) for name in _ASKED}]
    if not callable(hook):
        return plain(hook)
    told = _callable(hook)
    return told if of is hook or isinstance(of, type) else [kind_of(type(of)), told]


def _guards(kind: type) -> bool:
    return kind.__module__.startswith(_GUARDS)


def tools_of(tools: Any) -> list[Any]:
    """What `tools` are, in whatever order they come."""
    if not isinstance(tools, list | tuple):
        return [plain(tools)]
    found: list[Any] = []
    for tool in tools:
        if isinstance(tool, Toolkit):
            found += tools_of([*tool.functions.values(), *tool.async_functions.values()])
            if tool.add_instructions and tool.instructions is not None:
                found.append([tool.name, tool.instructions])
        else:
            found.append(plain(tool))
    return sorted(found, key=repr)


def plain(value: Any) -> Any:
    """`value` as JSON types that are the same wherever it is the same."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    for kinds, told in _TOLD:
        if isinstance(value, kinds):
            return told(value)
    if is_dataclass(value) and not isinstance(value, type):
        shown = {each.name: plain(getattr(value, each.name)) for each in fields(value)}
        return [kind_of(type(value)), shown]
    return _callable(value) if callable(value) else type(value).__qualname__


def _function(function: Function) -> Any:
    entry = function.entrypoint
    code = None if entry is None else _callable(entry)
    told = [function.name, function.description, plain(function.parameters), code]
    said = function.instructions if function.add_instructions else None
    run_by = {name: plain(getattr(function, name)) for name in _RUN_BY}
    round_it = [function.pre_hook, *(function.tool_hooks or ()), function.post_hook]
    return [*told, said, run_by, [None if hook is None else _hook(hook) for hook in round_it]]


def _callable(value: Any) -> Any:
    if isinstance(value, partial):
        return [_callable(value.func), plain(value.args), plain(value.keywords)]
    found: Any = original(value)
    if not (inspect.isroutine(found) or isinstance(found, type)):
        # An object that can be called: what it does is in its class.
        found = type(found)
    code = _source(found)
    given = [plain(without_secrets(each)) for each in given_to(value)]
    return [code, given] if any(given) else code


def _class(kind: type) -> Any:
    own: Any = kind
    return _schema(own) if issubclass(kind, BaseModel) else _source(own)


def _check(check: Check) -> Any:
    return [kind_of(type(check)), plain(check.settings())]


@lru_cache(maxsize=1024)
def _schema(kind: type[BaseModel]) -> Any:
    return kind.model_json_schema()


# What is told how, the first that fits.
_TOLD: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    (Mapping, lambda value: {str(key): plain(each) for key, each in value.items()}),
    (list | tuple, lambda value: [plain(each) for each in value]),
    (set | frozenset, lambda value: sorted((plain(each) for each in value), key=digest_of)),
    (Enum, lambda value: plain(value.value)),
    (Pattern, lambda value: value.pattern),
    (Model, model_of),
    (Check, _check),
    (Function, _function),
    (type, _class),
    (BaseModel, lambda value: value.model_dump(mode="json")),
)


@lru_cache(maxsize=4096)
def _source(function: Any) -> str:
    name = getattr(function, "__qualname__", type(function).__qualname__)
    try:
        return f"{name} {digest_of(inspect.getsource(function))}"
    except (OSError, TypeError):
        code = getattr(function, "__code__", None)
        return f"{name} {'' if code is None else digest_of([*_instructions(code)])}"


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
            yield plain(constant) if several else repr(constant)


def digest_of(value: Any) -> str:
    """The digest of JSON types."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=repr)
    return "sha256:" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
