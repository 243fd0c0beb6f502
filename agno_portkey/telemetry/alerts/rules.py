"""`rules`: the rules by which Prometheus finds what `Thresholds` say, of the metrics it reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import yaml

from agno_portkey.telemetry.alerts.kinds import Kind, kinds
from agno_portkey.telemetry.alerts.thresholds import Thresholds

__all__ = ["duration", "rules"]

_CALLS = "gen_ai_client_operation_duration_seconds"
_FIRST = "gen_ai_server_time_to_first_token_seconds"
_ATTEMPTS = "agno_portkey_attempts_total"
_CACHE = "agno_portkey_cache_outcomes_total"
_GATES = "agno_portkey_gate_decisions_total"
_COST = "gen_ai_usage_cost_USD_total"
_CIRCUIT = "agno_portkey_circuit_state"

_ANSWERED = 'agno_portkey_outcome="answered"'
_HITS = "hit|near|shared"
# Those who look for metrics that are gone look for them so far back.
_BEFORE = "1d"

# The figure and how many events it is of: their names as recorded, and what is recorded.
_Recorded = tuple[tuple[str, str], tuple[str, str]]


def rules(thresholds: Thresholds | None = None) -> str:
    """The YAML of a rule file: for each alert its figure and count as recorded, and the alert.

    Nothing fires of a window with fewer events than its threshold asks for, as of none at all.
    """
    given = thresholds if thresholds is not None else Thresholds()
    groups = [_group(kind, given) for kind in kinds(given)]
    text: str = yaml.safe_dump({"groups": groups}, sort_keys=False, width=100)
    return text


def duration(seconds: float) -> str:
    """`seconds` as Prometheus has them, to the millisecond."""
    whole = round(seconds * 1000)
    return f"{whole // 1000}s" if whole % 1000 == 0 else f"{whole}ms"


def _group(kind: Kind, thresholds: Thresholds) -> dict[str, Any]:
    recorded: list[dict[str, Any]] = []
    if (record := _RECORDED.get(kind.part)) is not None:
        figure, count = record(f"[{duration(kind.window)}]")
        recorded = [{"record": name, "expr": expr} for name, expr in (figure, count)]
        beyond = f"{figure[0]} {'<' if kind.is_low else '>'} {kind.limit:.12g}"
        expr = f"{beyond} and {count[0]} >= {kind.least}"
    elif kind.part == "circuits":
        expr = f"max by (agno_portkey_target) ({_CIRCUIT}) == 2"
    else:
        expr = _gone(thresholds)
    alert = {
        "alert": kind.name,
        "expr": expr,
        "for": duration(kind.lasts),
        "labels": {"severity": kind.severity},
        "annotations": kind.annotations(_of(kind), _value(kind)),
    }
    return {"name": f"agno_portkey_{kind.part}", "rules": [*recorded, alert]}


def _of(kind: Kind) -> str:
    return "" if kind.label is None else "{{ $labels." + kind.label + " }}"


def _value(kind: Kind) -> str:
    if kind.unit == "%":
        return "{{ $value | humanizePercentage }}"
    return '{{ printf "%.2f" $value }} ' + kind.unit


def _gone(thresholds: Thresholds) -> str:
    job = thresholds.gone.job if thresholds.gone is not None else None
    if job is not None:
        return f'absent(up{{job="{job}"}} == 1)'
    # A process has none before its first call, so it is asked whether there were some.
    return f"absent({_CALLS}_count) unless absent_over_time({_CALLS}_count[{_BEFORE}])"


def _latency(window: str) -> _Recorded:
    return (
        ("agno_portkey:call_seconds:p95", _p95(_CALLS, window)),
        ("agno_portkey:answered_calls:increase", _answered(_CALLS, window)),
    )


def _first_token(window: str) -> _Recorded:
    return (
        ("agno_portkey:first_token_seconds:p95", _p95(_FIRST, window)),
        ("agno_portkey:streamed_calls:increase", _answered(_FIRST, window)),
    )


def _p95(metric: str, window: str) -> str:
    of = f"rate({metric}_bucket{{{_ANSWERED}}}{window})"
    return f"histogram_quantile(0.95, sum by (le, gen_ai_request_model) ({of}))"


def _answered(metric: str, window: str) -> str:
    return f"sum by (gen_ai_request_model) (increase({metric}_count{{{_ANSWERED}}}{window}))"


def _errors(window: str) -> _Recorded:
    by = "sum by (gen_ai_provider_name) "
    failed = f'{by}(rate({_ATTEMPTS}{{agno_portkey_outcome="failed"}}{window}))'
    return (
        ("agno_portkey:failed_attempts:share", f"{failed} / {by}(rate({_ATTEMPTS}{window}))"),
        ("agno_portkey:attempts:increase", f"{by}(increase({_ATTEMPTS}{window}))"),
    )


def _cache_hits(window: str) -> _Recorded:
    hits = f'sum(rate({_CACHE}{{agno_portkey_outcome=~"{_HITS}"}}{window}))'
    asked = f'{_CACHE}{{agno_portkey_outcome=~"{_HITS}|miss"}}{window}'
    return (
        ("agno_portkey:cache_hits:share", f"{hits} / sum(rate({asked}))"),
        ("agno_portkey:cache_asked:increase", f"sum(increase({asked}))"),
    )


def _gate_passes(window: str) -> _Recorded:
    by = "sum by (agno_portkey_source) "
    passed = f'{by}(rate({_GATES}{{gate_decision="passed"}}{window}))'
    return (
        ("agno_portkey:gate_passes:share", f"{passed} / {by}(rate({_GATES}{window}))"),
        ("agno_portkey:gate_decisions:increase", f"{by}(increase({_GATES}{window}))"),
    )


def _spending(window: str) -> _Recorded:
    return (
        ("agno_portkey:cost_usd:per_hour", f"sum(rate({_COST}{window})) * 3600"),
        ("agno_portkey:calls:increase", f"sum(increase({_CALLS}_count{window}))"),
    )


def _day_budget(window: str) -> _Recorded:
    return (
        ("agno_portkey:cost_usd:increase", f"sum(increase({_COST}{window}))"),
        ("agno_portkey:budget_calls:increase", f"sum(increase({_CALLS}_count{window}))"),
    )


_RECORDED: dict[str, Callable[[str], _Recorded]] = {
    "latency": _latency,
    "first_token": _first_token,
    "errors": _errors,
    "cache_hits": _cache_hits,
    "gate_passes": _gate_passes,
    "spending": _spending,
    "day_budget": _day_budget,
}
