"""What an audit writes of a run and of an event: figures, names and digests; words if asked for."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from types import SimpleNamespace
from typing import Any

from pydantic import BaseModel

from agno_portkey.contracts import canonical
from agno_portkey.guardrails import verdict_of
from agno_portkey.hooks.base import Moment
from agno_portkey.hooks.lineage import Begun, status_of
from agno_portkey.model import PortkeyModel
from agno_portkey.tags import call_tags
from agno_portkey.verdict import Event, Verdict

__all__ = ["digest_of", "ended", "event_record", "lost", "started", "text_of"]

# Said in fields of their own.
_IDENTITY = ("role", "swarm", "run", "session", "_user")
_ANSWERED = ("provider", "model", "option_index", "attempts", "finish_reason", "trace_id")
# The texts of events and of evidence that are names, states or digests. Any other text, and any
# name in what is nested, may be the words of a user or model.
_EVENT_NAMES = (
    *("before", "by", "cache_status", "check", "clearance", "decision", "error", "finish_reason"),
    *("gate", "job", "kind", "mode", "model", "option_index", "outcome", "plan_digest", "provider"),
    *("scope", "side", "stage", "state", "status", "target", "tool", "trace_id"),
)
_EVIDENCE_NAMES = ("mode", "plan_digest", "side", "stage", "trigger")
_DEPTH = 8


def text_of(value: Any) -> str | None:
    """An input or output as the one text that is digested, and written where words are asked for.

    An object of a schema is its canonical JSON, so a `Plan` has the digest that gates know it by.
    """
    if value is None or isinstance(value, str):
        return value
    try:
        if isinstance(value, BaseModel):
            return canonical(value)
        return json.dumps(
            value, default=_dumped, ensure_ascii=False, sort_keys=True, allow_nan=False
        )
    except Exception:  # whatever was passed has to have a digest
        return str(value)


def _dumped(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(type(value).__name__)


def digest_of(text: str | None) -> str | None:
    """`sha256:` and the hex digest of a text in UTF-8."""
    if text is None:
        return None
    return "sha256:" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def started(moment: Moment, begun: Begun, *, words: bool) -> dict[str, Any]:
    """The record of a run that begins."""
    said = text_of(getattr(moment.run_input, "input_content", None))
    model = moment.owner.model
    return {
        **_who("start", moment, begun, str(moment.run_context.run_id)),
        "status": "running",
        "model": _text(getattr(model, "id", None)),
        "provider": _text(getattr(model, "provider", None)),
        "input_sha256": digest_of(said),
        **({"input": said} if words else {}),
    }


def ended(moment: Moment, begun: Begun | None, *, words: bool) -> dict[str, Any]:
    """The record of a run that has its answer."""
    output = moment.run_output
    status = status_of(output)
    return {
        **_who("end", moment, begun, moment.run_id),
        # The host says `running` until the last of its post-hooks is done.
        "status": "answered" if status == "running" else status,
        "seconds": _seconds(begun),
        **_outcome(output, words=words),
    }


def lost(begun: Begun, output: Any, *, words: bool) -> dict[str, Any]:
    """The record of a run that ended without its post-hooks; `output` where the host kept one."""
    team = begun.teams[-1] if begun.teams else None
    return {
        "time": _now(),
        "kind": "end",
        "run_id": begun.run_id,
        "parent_run_id": team.run_id if team else None,
        "name": begun.name,
        "type": "team" if begun.is_team else "agent",
        "role": begun.name,
        "swarm": begun.name if begun.is_team else team.name if team else None,
        # No output: it failed, was refused or was cancelled, and the host does not say which.
        "status": status_of(output) or "unfinished",
        "late": True,
        **(_outcome(output, words=words) if output is not None else {}),
    }


def event_record(event: Event, *, words: bool) -> dict[str, Any]:
    """The record of something that observers hear of."""
    return {
        "time": _now(),
        "kind": str(event.kind),
        "run_id": _text(event.run_id),
        "role": _text(event.role),
        "swarm": _text(event.swarm),
        "verdict": _verdict(event.verdict, words=words),
        "data": _facts(event.data, _EVENT_NAMES, words=words),
    }


def _who(kind: str, moment: Moment, begun: Begun | None, run_id: str) -> dict[str, Any]:
    """Who runs, for whom, and with which tags: the same names that the gateway is told."""
    context, owner = moment.run_context, moment.owner
    side = "team" if moment.is_team else "agent"
    identity = SimpleNamespace(
        run_id=run_id,
        session_id=context.session_id,
        user_id=context.user_id,
        metadata=context.metadata,
        **{f"{side}_name": owner.name, f"{side}_id": owner.id},
    )
    model = owner.model
    tags = model.tags_of(identity) if isinstance(model, PortkeyModel) else call_tags(identity)
    team = begun.teams[-1] if begun is not None and begun.teams else None
    step = context.workflow_id
    return {
        "time": _now(),
        "kind": kind,
        # A workflow's step begins under the workflow's id, and has its own at its end.
        "run_id": None if step and kind == "start" else run_id,
        "parent_run_id": team.run_id if team else None,
        **({"workflow_id": _text(step), "workflow_run_id": _text(context.run_id)} if step else {}),
        "session_id": _text(context.session_id),
        "user_id": _text(context.user_id),
        "name": moment.name,
        "type": side,
        "role": tags.get("role"),
        "swarm": tags.get("swarm") or (team.name if team else None),
        "tags": {tag: value for tag, value in tags.items() if tag not in _IDENTITY},
    }


def _outcome(output: Any, *, words: bool) -> dict[str, Any]:
    metrics = getattr(output, "metrics", None)
    told = getattr(output, "model_provider_data", None)
    answered = told.get("portkey") if isinstance(told, Mapping) else None
    said = text_of(getattr(output, "content", None))
    return {
        "model": _text(getattr(output, "model", None)),
        "provider": _text(getattr(output, "model_provider", None)),
        "answered": {name: _plain(answered[name]) for name in _ANSWERED if name in answered}
        if isinstance(answered, Mapping)
        else None,
        "input_tokens": _plain(getattr(metrics, "input_tokens", None)),
        "output_tokens": _plain(getattr(metrics, "output_tokens", None)),
        "total_tokens": _plain(getattr(metrics, "total_tokens", None)),
        "verdict": _verdict(verdict_of(output), words=words),
        "output_sha256": digest_of(said),
        **({"output": said} if words else {}),
    }


def _verdict(verdict: Verdict | None, *, words: bool) -> dict[str, Any] | None:
    """A verdict; its reasons may quote what was judged, so they count as words."""
    if verdict is None:
        return None
    reasons = [str(reason) for reason in verdict.reasons]
    return {
        "passed": bool(verdict.passed),
        "source": str(verdict.source),
        "score": _plain(verdict.score),
        "reasons_sha256": digest_of("\n".join(reasons)),
        **({"reasons": reasons} if words else {}),
        "evidence": _facts(verdict.evidence, _EVIDENCE_NAMES, words=words),
    }


def _facts(data: Mapping[str, Any], names: tuple[str, ...], *, words: bool) -> dict[str, Any]:
    """`data` in JSON's own types; without `words`, its figures, `names` and tags."""
    return {
        str(name): _plain(value)
        for name, value in data.items()
        if words or name == "tags" or _is_fact(value, name in names)
    }


def _is_fact(value: Any, named: bool) -> bool:
    return value is None or isinstance(value, int | float) or (named and isinstance(value, str))


def _plain(value: Any, depth: int = 0) -> Any:
    """`value` in JSON's own types; what can't be said in them, or in a few levels, is None."""
    if isinstance(value, Enum):
        value = value.value
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if depth < _DEPTH and isinstance(value, Mapping):
        return {str(name): _plain(each, depth + 1) for name, each in value.items()}
    if depth < _DEPTH and isinstance(value, list | tuple | set | frozenset):
        return [_plain(each, depth + 1) for each in value]
    return None


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _seconds(begun: Begun | None) -> float | None:
    return None if begun is None else round(begun.seconds, 6)


def _now() -> str:
    return datetime.now(UTC).isoformat()
