"""The panels: what each one asks of the points, and the units of its figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, func, or_, select
from sqlalchemy.sql.elements import ColumnElement

from agno_portkey.telemetry.dashboard.figures import Figures, Read, count_of, sum_of
from agno_portkey.telemetry.dashboard.points import NANO, TABLE
from agno_portkey.telemetry.dashboard.ranges import UNKNOWN, Asked

__all__ = ["BY", "PANELS", "Panel", "incident"]

_C = TABLE.c
# What tokens and costs are told by.
BY = ("model", "swarm", "cost_center", "role")
_HITS = ("hit", "near", "shared")
# Changes of circuits that are told one by one, and circuits.
_CHANGES, _CIRCUITS = 200, 50
# Milliseconds that a chat may take.
CHAT_MS = 2_000


@dataclass(frozen=True)
class Panel:
    """What is asked, of which points, and the column whose names its figures are told by."""

    ask: Callable[[Read, Asked, str], dict[str, Any]]
    kinds: tuple[str, ...]
    units: Mapping[str, str]
    key: Any = None
    # Of the points, those behind its figures.
    where: ColumnElement[bool] | None = None


def latency(read: Read, asked: Asked, by: str) -> dict[str, Any]:
    """Calls that were answered by a provider, by model; beside it the first word of streams."""
    where = and_(asked.where("call"), _C.outcome == "answered")
    figures = Figures(read, asked, where, _C.model)
    told, first = figures.quantiles(), figures.quantiles("first_bin")
    return {**told, "first_token": first["groups"]}


def errors(read: Read, asked: Asked, by: str) -> dict[str, Any]:
    """Requests and those that failed, by provider; and the kinds of errors."""
    where = asked.where("attempt")
    outcomes = {name: count_of(_C.outcome == name) for name in ("answered", "failed", "left")}
    told = Figures(read, asked, where, _C.provider).told({"attempts": func.count(), **outcomes})
    failed = and_(where, _C.outcome == "failed")
    kinds = Figures(read, asked, failed, _C.error_type).told({"failed": func.count()})
    return {**told, "error_types": kinds["groups"]}


def usage(read: Read, asked: Asked, by: str) -> dict[str, Any]:
    """Tokens and dollars, of calls with all their attempts and of embeddings."""
    unknown = and_(_C.cost.is_(None), _tokens() > 0)
    columns = {
        "input_tokens": sum_of(_C.input_tokens),
        "output_tokens": sum_of(_C.output_tokens),
        "cost": sum_of(_C.cost),
        "calls": count_of(_C.kind == "call"),
        "unpriced": count_of(unknown),
    }
    told = Figures(read, asked, asked.where("call", "embedding"), _C[by]).told(columns)
    return {**told, "by": by}


def cache(read: Read, asked: Asked, by: str) -> dict[str, Any]:
    """What the cache did about calls, by model: hits of all that were looked up."""
    outcomes = {name: count_of(_C.outcome == name) for name in (*_HITS, "miss", "bypass")}
    return Figures(read, asked, asked.where("cache"), _C.model).told(outcomes)


def gates(read: Read, asked: Asked, by: str) -> dict[str, Any]:
    """What gates decided, by gate, and the scores that they decided by."""
    columns = {
        "passed": count_of(_C.decision == "passed"),
        "refused": count_of(_C.decision == "refused"),
        "scored": func.count(_C.score),
        "scores": func.sum(_C.score),
        "least_score": func.min(_C.score),
        "most_score": func.max(_C.score),
    }
    folds = {"least_score": min, "most_score": max}
    told = Figures(read, asked, asked.where("gate"), _C.source).told(columns, folds)
    for group in told["groups"]:
        series, totals = group["series"], group["totals"]
        sums = zip(series.pop("scores"), series["scored"], strict=True)
        series["score"] = [_mean(of, count) for of, count in sums]
        totals["score"] = _mean(totals.pop("scores"), totals["scored"])
    return told


def _mean(of: float | None, count: int | None) -> float | None:
    return of / count if of is not None and count else None


def guards(read: Read, asked: Asked, by: str) -> dict[str, Any]:
    """What guards looked at, by guard: blocked, and what those that observe would have."""
    refused = _C.decision == "refused"
    columns = {
        "checks": func.count(),
        "blocked": count_of(and_(refused, _enforced())),
        "observed": count_of(and_(refused, _C.mode == "observe")),
    }
    return Figures(read, asked, asked.where("guard"), _C.source).told(columns)


def routes(read: Read, asked: Asked, by: str) -> dict[str, Any]:
    """Requests by target, or provider where none is named; and circuits, with their changes."""
    target = func.coalesce(_C.target, _C.provider)
    columns = {"attempts": func.count(), "failed": count_of(_C.outcome == "failed")}
    told = Figures(read, asked, asked.where("attempt"), target).told(columns)
    return {**told, **_circuits(read, asked)}


def success(read: Read, asked: Asked, by: str) -> dict[str, Any]:
    """What the mission is measured by, over time and in all."""
    is_run, is_cache, is_gate = (_C.kind == kind for kind in ("run", "cache", "gate"))
    ended = _C.outcome == "answered"
    # In one go: each of them alone would look at the same points again.
    columns = {
        "runs": count_of(is_run),
        "quick": count_of(and_(is_run, ended, _C.ms < CHAT_MS)),
        "cost": sum_of(_C.cost),
        "hits": count_of(and_(is_cache, _C.outcome.in_(_HITS))),
        "misses": count_of(and_(is_cache, _C.outcome == "miss")),
        "passed": count_of(and_(is_gate, _C.decision == "passed")),
        "refused": count_of(and_(is_gate, _C.decision == "refused")),
    }
    kinds = asked.where("run", "call", "embedding", "cache", "gate")
    incidents = and_(asked.where("run", "tool"), incident())
    figures = [
        Figures(read, asked, kinds).told(columns),
        Figures(read, asked, and_(asked.where("run"), ended)).quantiles(),
        Figures(read, asked, incidents).told({"incidents": func.count()}),
    ]
    group: dict[str, Any] = {"key": UNKNOWN, "totals": {}, "series": {}}
    for told in figures:
        for each in told["groups"]:
            group["totals"] |= each["totals"]
            group["series"] |= each["series"]
    return {"groups": [group], "left_out": 0, "targets": TARGETS}


TARGETS = {
    "chat_p95_ms": CHAT_MS,
    "hit_rate": 0.40,
    "gate_pass_rate": 0.85,
    "incidents": 0,
}


def incident() -> ColumnElement[bool]:
    """What was not meant to be: a run that failed though nothing refused it, an uncleared tool.

    What a guard, contract, gate, budget, limit or the kill switch refuses is a run that went as it
    should. A tool of a step that an enforcing gate holds has been cleared before, by the gate of
    its own swarm: in its trace, or in its run, which goes on in another one where it has waited for
    a person.
    """
    other = TABLE.alias("other")
    same = other.c.trace_id == _C.trace_id
    held = func.coalesce(other.c.mode, "enforce") != "observe"
    by_itself = other.c.kind.in_(("declined", "stop", "budget", "limit"))
    by_verdict = and_(
        other.c.kind.in_(("guard", "contract", "tool")), other.c.decision == "refused"
    )
    refused = select(other.c.span_id).where(same, held, or_(by_itself, by_verdict)).exists()
    # Of several gates in one trace each clears the tools of its swarm, and no other's.
    own = other.c.swarm.is_not_distinct_from(_C.swarm)
    passed = and_(other.c.kind == "gate", other.c.decision == "passed", own, other.c.at <= _C.at)
    cleared = or_(
        *(
            select(other.c.span_id).where(its, passed).exists()
            for its in (same, other.c.run_id == _C.run_id)
        )
    )
    failed = and_(_C.kind == "run", _C.outcome == "failed", ~refused)
    uncleared = and_(_C.kind == "tool", _C.decision.is_(None), _C.mode == "enforce", ~cleared)
    return or_(failed, uncleared)


def _tokens() -> ColumnElement[Any]:
    both: ColumnElement[Any] = func.coalesce(_C.input_tokens, 0) + func.coalesce(
        _C.output_tokens, 0
    )
    return both


def _enforced() -> ColumnElement[bool]:
    # One that says no mode is one that holds.
    return func.coalesce(_C.mode, "enforce") == "enforce"


def _circuits(read: Read, asked: Asked) -> dict[str, Any]:
    """The last state of each circuit until then, and what has changed in the range."""
    before = Asked(0, asked.until, asked.swarm, asked.role, asked.environment)
    last = func.row_number().over(
        partition_by=_C.target, order_by=(_C.at.desc(), _C.written.desc())
    )
    numbered = select(_C.at, _C.target, _C.state, last.label("n")).where(before.where("circuit"))
    newest = numbered.subquery()
    states = read(
        select(newest.c.target, newest.c.state, newest.c.at)
        .where(newest.c.n == 1)
        .order_by(newest.c.at.desc())
        .limit(_CIRCUITS)
    )
    changes = read(
        select(_C.target, _C.state, _C.at)
        .where(asked.where("circuit"))
        .order_by(_C.at.desc())
        .limit(_CHANGES)
    )
    return {
        "circuits": [dict(zip(("target", "state", "at"), row, strict=True)) for row in states],
        "changes": [dict(zip(("target", "state", "at"), row, strict=True)) for row in changes],
    }


_COUNT, _MONEY = "1", f"USD/{NANO}"
PANELS: Mapping[str, Panel] = {
    "success": Panel(
        success,
        ("run",),
        {
            **dict.fromkeys(("runs", "quick", "incidents", "count"), _COUNT),
            **dict.fromkeys(("hits", "misses", "passed", "refused"), _COUNT),
            **dict.fromkeys(("p50", "p95", "p99"), "ms"),
            "cost": _MONEY,
        },
    ),
    "latency": Panel(
        latency,
        ("call",),
        {"p50": "ms", "p95": "ms", "p99": "ms", "count": _COUNT},
        _C.model,
        _C.outcome == "answered",
    ),
    "errors": Panel(
        errors,
        ("attempt",),
        dict.fromkeys(("attempts", "answered", "failed", "left"), _COUNT),
        _C.provider,
        _C.outcome == "failed",
    ),
    "usage": Panel(
        usage,
        ("call", "embedding"),
        {
            **dict.fromkeys(("input_tokens", "output_tokens"), "token"),
            **dict.fromkeys(("calls", "unpriced"), _COUNT),
            "cost": _MONEY,
        },
    ),
    "cache": Panel(cache, ("cache",), dict.fromkeys((*_HITS, "miss", "bypass"), _COUNT), _C.model),
    "gates": Panel(
        gates,
        ("gate",),
        {
            **dict.fromkeys(("passed", "refused", "scored"), _COUNT),
            **dict.fromkeys(("score", "least_score", "most_score"), "score"),
        },
        _C.source,
    ),
    "guards": Panel(
        guards,
        ("guard",),
        dict.fromkeys(("checks", "blocked", "observed"), _COUNT),
        _C.source,
        _C.decision == "refused",
    ),
    "routes": Panel(
        routes,
        ("attempt",),
        dict.fromkeys(("attempts", "failed"), _COUNT),
        func.coalesce(_C.target, _C.provider),
    ),
    "incidents": Panel(
        lambda read, asked, by: Figures(
            read, asked, and_(asked.where("run", "tool"), incident()), _C.kind
        ).told({"incidents": func.count()}),
        ("run", "tool"),
        {"incidents": _COUNT},
        _C.kind,
        incident(),
    ),
}
"""All there are, by the names that their routes have."""
