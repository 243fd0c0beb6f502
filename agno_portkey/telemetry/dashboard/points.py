"""A span as one narrow row, which databases add up: the table, and what is taken over into it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, Column, Float, Index, Integer, MetaData, String, Table

from agno_portkey.telemetry import names
from agno_portkey.verdict import shown

__all__ = [
    "FLOOR",
    "NANO",
    "TABLE",
    "attributes_of",
    "bin_of",
    "millis",
    "of_bin",
    "point_of",
]

# Two latencies of one bin are at most 2 % apart: its middle is within 1 % of each.
_BASE = 1.02
NANO = 1_000_000_000
_LONGEST = 255
# Milliseconds below which nothing is told apart, and above which nothing lasts.
_LEAST, _MOST = 0.01, 1e12
_MOST_TOKENS, _MOST_USD = 2**53, 1_000_000_000
# The row that says up to when points were forgotten.
FLOOR = "floor"

_NAME = String(_LONGEST)
TABLE = Table(
    "agno_portkey_points",
    MetaData(),
    Column("span_id", String(64), primary_key=True),
    Column("trace_id", _NAME, nullable=False),
    # Of gates and tools: what waits for a person goes on in another trace.
    Column("run_id", _NAME),
    # Milliseconds since 1970 at which it began.
    Column("at", BigInteger, nullable=False),
    # What the span is of, or `run` (an outermost one), or `other`.
    Column("kind", String(16), nullable=False),
    *(Column(name, _NAME) for name in ("swarm", "role", "environment", "cost_center")),
    *(Column(name, _NAME) for name in ("provider", "model", "target", "source")),
    *(Column(name, String(32)) for name in ("outcome", "decision", "mode", "state")),
    Column("error_type", _NAME),
    Column("ms", Float, nullable=False),
    Column("bin", Integer, nullable=False),
    # Of streamed calls: the first word.
    Column("first_ms", Float),
    Column("first_bin", Integer),
    *(Column(name, BigInteger) for name in ("input_tokens", "output_tokens")),
    # Billionths of a dollar.
    Column("cost", BigInteger),
    Column("score", Float),
    # When the span was written, as its table says it.
    Column("written", String(40), nullable=False, index=True),
)
Index("ix_agno_portkey_points_kind_at", TABLE.c.kind, TABLE.c.at)
# With the time in it: else SQLite looks for the gates of a trace among all gates until then.
Index("ix_agno_portkey_points_trace", TABLE.c.trace_id, TABLE.c.kind, TABLE.c.at)
_OF_RUN = TABLE.c.run_id.is_not(None)
Index(
    "ix_agno_portkey_points_run",
    *(TABLE.c.run_id, TABLE.c.kind, TABLE.c.at),
    sqlite_where=_OF_RUN,
    postgresql_where=_OF_RUN,
)

_KINDS = frozenset(
    {
        *("call", "attempt", "gate", "guard", "cache", "circuit", "contract", "embedding"),
        *("judgement", "declined", "tool", "stop", "budget", "limit"),
    }
)
_NAMED = {name: on for name, on in names.BAGGAGE.items() if name != "arm"}
_NAMED |= {"provider": names.PROVIDER, "error_type": names.ERROR_TYPE}
_NAMED |= {name: f"{names.OURS}{name}" for name in ("target", "source", "mode", "state", "outcome")}
_SHORT = {"outcome": 32, "decision": 32, "mode": 32, "state": 32}

_Said = Mapping[str, Any]


def bin_of(ms: float) -> int:
    """The bin of a duration: the same one for what is at most 2 % longer than its lower bound."""
    return math.floor(math.log(min(max(ms, _LEAST), _MOST), _BASE))


def of_bin(bin: float) -> float:
    """The middle of a bin, in milliseconds: within 1 % of all that is in it."""
    return math.pow(_BASE, bin + 0.5)


def millis(at: datetime) -> int:
    """Milliseconds since 1970."""
    return int(at.timestamp() * 1_000)


def point_of(span: _Said) -> dict[str, Any]:
    """The row of a span of Agno's table, whoever wrote it: what can't be read of it is left out."""
    said = attributes_of(span["attributes"])
    began, ms = _times(span)
    kind = _kind(said)
    outcome = _outcome(kind, said, str(span["status_code"]))
    told = {name: said.get(on) for name, on in _NAMED.items()}
    told |= {"decision": _first(said, "gate.decision", f"{names.OURS}decision")}
    told |= {"outcome": outcome or told["outcome"], "model": _model(kind, said)}
    first = _figure(said.get(names.FIRST_TOKEN), _MOST / 1_000) if _streams(kind, said) else None
    first = None if first is None else first * 1_000
    return {
        # As it stands there: it is looked for by that.
        "span_id": span["span_id"],
        "trace_id": str(span["trace_id"])[:_LONGEST],
        "run_id": text(said.get(names.RUN_ID)) if kind in ("gate", "tool") else None,
        "at": began,
        "kind": kind,
        **{name: text(value, _SHORT.get(name, _LONGEST)) for name, value in told.items()},
        "ms": ms,
        "bin": bin_of(ms),
        "first_ms": first,
        "first_bin": None if first is None else bin_of(first),
        **_usage(kind, said),
        "score": _figure(_first(said, "gate.score", f"{names.OURS}score"), 1e9),
        "written": _written(span["created_at"]),
    }


def text(said: Any, longest: int = _LONGEST) -> str | None:
    """A name as every database keeps it."""
    if said is None or isinstance(said, list | dict):
        return None
    # Half a character is none that could be sent.
    return shown(str(said)[:longest].encode("utf-8", "replace").decode()) or None


def attributes_of(said: Any) -> _Said:
    """The attributes of a row, which databases give as they like; none where they can't be read."""
    if isinstance(said, str | bytes):
        try:
            said = json.loads(said)
        except (ValueError, RecursionError):
            return {}
    return said if isinstance(said, Mapping) else {}


def _times(span: _Said) -> tuple[int, float]:
    """When it began, and the milliseconds that it took."""
    began, ended = _time(span["start_time"]), _time(span["end_time"])
    if began is None:
        began = _time(span["created_at"]) or datetime.fromtimestamp(0, UTC)
        ended = None
    if ended is not None:
        # A clock may have been set back.
        ms = max(0.0, (ended - began).total_seconds() * 1_000)
    else:
        ms = _figure(span["duration_ms"], _MOST) or 0.0
    return max(0, millis(began)), min(ms, _MOST)


def _time(said: Any) -> datetime | None:
    try:
        at = datetime.fromisoformat(str(said))
    except (ValueError, OverflowError):
        return None
    # Without a zone it is what Agno writes: UTC.
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _written(said: Any) -> str:
    at = _time(said)
    # The first and last years have no other zone's time.
    return at.astimezone(UTC).isoformat() if at is not None and 1 < at.year < 9999 else ""


def _kind(said: _Said) -> str:
    if said.get(names.OUTERMOST) is True:
        return "run"
    kind = said.get(names.KIND)
    # What would have become of a run that is only observed is no other decision.
    if kind == "gate" and f"{names.OURS}would" in said:
        return "other"
    return kind if isinstance(kind, str) and kind in _KINDS else "other"


def _outcome(kind: str, said: _Said, status: str) -> str | None:
    if kind not in ("call", "attempt", "run"):
        return None
    if names.ERROR_TYPE in said or status == "ERROR":
        return "failed"
    if said.get(names.CANCELLED):
        return "left"
    # Without an attempt, and well: somebody had the answer already.
    return "cached" if kind == "call" and not said.get(names.ATTEMPTS) else "answered"


def _model(kind: str, said: _Said) -> Any:
    ours = f"{names.OURS}model"
    return _first(said, names.REQUEST_MODEL, ours) if kind != "cache" else said.get(ours)


def _streams(kind: str, said: _Said) -> bool:
    # Of an answer that comes whole the first word is the last.
    return kind == "call" and bool(said.get("gen_ai.request.stream"))


def _usage(kind: str, said: _Said) -> dict[str, int | None]:
    """Tokens and cost, of calls and embeddings alone: their sum counts each once."""
    found: dict[str, int | None] = dict.fromkeys(("input_tokens", "output_tokens", "cost"))
    if kind == "embedding":
        found["input_tokens"] = _whole(said.get(f"{names.OURS}tokens"))
    elif kind == "call":
        found["input_tokens"] = _whole(said.get(names.INPUT_TOKENS))
        found["output_tokens"] = _whole(said.get(names.OUTPUT_TOKENS))
        usd = _figure(said.get(names.COST), _MOST_USD)
        found["cost"] = None if usd is None else round(Decimal(repr(usd)) * NANO)
    return found


def _first(said: _Said, *of: str) -> Any:
    return next((said[name] for name in of if said.get(name) is not None), None)


def _whole(said: Any) -> int | None:
    figure = _figure(said, _MOST_TOKENS)
    return None if figure is None else int(figure)


def _figure(said: Any, most: float) -> float | None:
    """What can be added up; one that can't would spoil the sum."""
    told = isinstance(said, int | float) and not isinstance(said, bool)
    return float(said) if told and 0 <= said <= most else None
