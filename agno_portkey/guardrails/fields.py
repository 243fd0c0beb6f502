"""What a request says beside its messages, definitions and headers: `user`, `metadata`, a body's
further fields. They are texts as others are, and looked at with every call.

Values are rewritten where they stand; a key that would be rewritten blocks, since a provider goes
by it. Headers are left out: they are the gateway's, and hold its keys. So is what a route sets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from agno_portkey.calls import Call
from agno_portkey.errors import InputBlocked
from agno_portkey.guardrails.looking import looked_at
from agno_portkey.guardrails.passages import MAX_DEPTH, Source, Take, Unreadable, in_leaves
from agno_portkey.guardrails.stage import Stage
from agno_portkey.guardrails.telling import path_told
from agno_portkey.verdict import Verdict

__all__ = ["as_filled_in"]

# Fields of figures, and what the API itself says in others: no guard need be asked about these.
_NUMBERED = """
store frequency_penalty logprobs top_logprobs max_tokens max_completion_tokens presence_penalty
seed temperature top_p n parallel_tool_calls timeout
"""
_FIGURES = frozenset(_NUMBERED.split())
_CHOSEN = ("reasoning_effort", "verbosity", "service_tier", "modalities")
_SAID = "none minimal low medium high xhigh auto default flex priority text audio"
_CHOICES = frozenset(_SAID.split())
# A figure that is longer may be somebody's number.
_SMALL = 1_000_000


class _Fixed(ValueError):
    """A guard would rewrite a key; holds its place."""


async def as_filled_in(call: Call, fields: Mapping[str, Any], stage: Stage) -> Call:
    """`call` with those of `fields` that the guards of `stage` rewrite; the very call if none."""
    told = {name: held for name, held in fields.items() if not _is_plain(name, held)}
    if not told:
        return call
    try:
        # Nothing of them is in what the host keeps of a run.
        found = await looked_at(replace(stage, keep=None), told, "data", read=_in_fields)
    except _Fixed as error:
        names = ", ".join(guard.name for guard in stage.guards if guard.rewrites)
        reason = (
            f"{names} would rewrite a key of {error}: only values can be rewritten; take it out "
            "of the model's fields"
        )
        raise InputBlocked(Verdict(False, names, (reason,))) from None
    changed = {name: held for name, held in found.items() if held is not told[name]}
    return replace(call, fields=changed) if changed else call


def _is_plain(name: str, held: Any) -> bool:
    if name in _CHOSEN:
        several = held if isinstance(held, list) else [held]
        return all(isinstance(each, str) and each in _CHOICES for each in several)
    return name in _FIGURES and isinstance(held, int | float) and abs(held) < _SMALL


def _in_fields(fields: dict[str, Any], take: Take, source: Source) -> dict[str, Any]:
    return {name: _in_field(held, take, source, name, 0) for name, held in fields.items()}


def _in_field(held: Any, take: Take, source: Source, path: str, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise Unreadable(f"a request's field that is nested more than {MAX_DEPTH} deep")
    if isinstance(held, Mapping):
        found: dict[Any, Any] = {}
        for key, item in held.items():
            if key != "" and take(str(key), source, path) != str(key):
                raise _Fixed(path_told(path))
            found[key] = _in_field(item, take, source, f"{path}.{key}", depth + 1)
        return held if all(found[key] is item for key, item in held.items()) else found
    if isinstance(held, list | tuple):
        items = [
            _in_field(item, take, source, f"{path}[{place}]", depth + 1)
            for place, item in enumerate(held)
        ]
        return held if all(a is b for a, b in zip(items, held, strict=True)) else items
    return in_leaves(held, take, source, path)
