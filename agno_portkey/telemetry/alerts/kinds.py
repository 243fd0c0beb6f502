"""The alerts there are, in the words that Prometheus' rules and this process share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from agno_portkey.telemetry.alerts.thresholds import Severity, Thresholds

__all__ = ["Kind", "kinds"]


@dataclass(frozen=True, slots=True)
class Kind:
    """One alert: `part` is its field of `Thresholds`, `label` the one that tells it from others.

    It is so where the figure is beyond `limit`: above, or below where `is_low`. In its texts `{of}`
    stands for the value of the label, and `{value}` for the figure in `unit`.
    """

    part: str
    name: str
    label: str | None
    limit: float
    unit: str
    lasts: float
    severity: Severity
    summary: str
    what_to_do: str
    window: float = 0.0
    least: int = 1
    is_low: bool = False

    def annotations(self, of: str, value: str) -> dict[str, str]:
        """Its texts, of `of` and with the figure `value`."""
        told = {"{of}": of, "{value}": value, "{limit}": shown(self.limit, self.unit)}
        texts = {"summary": self.summary, "description": f"{self.summary} {self.what_to_do}"}
        for placeholder, text in told.items():
            texts = {name: each.replace(placeholder, text) for name, each in texts.items()}
        return texts

    def is_beyond(self, figure: float) -> bool:
        """Whether it is so; never of what is no number."""
        return figure < self.limit if self.is_low else figure > self.limit


def shown(figure: float, unit: str) -> str:
    """`figure` as the texts have it: `2.00 s`, `5.0 %`, `10.00 USD`."""
    return f"{figure * 100:.1f} %" if unit == "%" else f"{figure:.2f} {unit}".strip()


def kinds(thresholds: Thresholds) -> Iterator[Kind]:
    """The alerts that `thresholds` ask for; of metrics that are gone, only Prometheus tells."""
    for part, (name, label, unit, summary, what_to_do) in _TEXTS.items():
        watched = getattr(thresholds, part)
        if watched is not None:
            yield Kind(
                part=part,
                name=name,
                label=label,
                limit=_limit(part, watched),
                unit=unit,
                lasts=watched.lasts,
                severity=watched.severity,
                summary=summary,
                what_to_do=what_to_do,
                window=getattr(watched, "window", 0.0),
                least=getattr(watched, "least", 1),
                is_low=hasattr(watched, "below"),
            )


def _limit(part: str, watched: object) -> float:
    if part == "day_budget":
        # Of a window, in dollars.
        return float(watched.usd * watched.share)  # type: ignore[attr-defined]
    for name in ("above", "below", "per_hour"):
        if (limit := getattr(watched, name, None)) is not None:
            return float(limit)
    # A circuit is open, or metrics are gone, or not.
    return 0.0


# By the fields of `Thresholds`: the name, the label, the unit, what is wrong, and what to do.
_TEXTS: dict[str, tuple[str, str | None, str, str, str]] = {
    "latency": (
        "AgnoPortkeyLatency",
        "gen_ai_request_model",
        "s",
        "95 % of the answered calls of {of} take up to {value}, more than {limit}.",
        "Look at the traces of its slowest calls: failed and repeated attempts come before a slow "
        "provider. Then have the routing ask a faster target first, or set a timeout.",
    ),
    "first_token": (
        "AgnoPortkeyFirstToken",
        "gen_ai_request_model",
        "s",
        "The first word of streamed calls of {of} takes up to {value}, more than {limit}.",
        "See whether prompts have grown, and whether a guard holds back the stream. Then set "
        "timeout.first_token of its targets, so that another one is asked.",
    ),
    "errors": (
        "AgnoPortkeyErrors",
        "gen_ai_provider_name",
        "%",
        "{value} of the requests to {of} fail, more than {limit}.",
        "agno_portkey_errors_total says of which kind. GatewayRateLimited: ask for a higher limit, "
        "or spread the load; GatewayUnauthorized: its key; UpstreamFailed and GatewayTimeout: the "
        "provider's status page. A fallback in the routing keeps the runs going meanwhile.",
    ),
    "cache_hits": (
        "AgnoPortkeyCacheHits",
        None,
        "%",
        "The cache answers {value} of the calls that ask it, less than {limit}.",
        "See whether prompts have begun to differ (times or ids in them), whether entries were "
        "forgotten, or their ttl is short; `agno-portkey cache` shows what is kept.",
    ),
    "gate_passes": (
        "AgnoPortkeyGatePasses",
        "agno_portkey_source",
        "%",
        "{value} of the plans pass the gate {of}, less than {limit}.",
        "`agno-portkey gate history` has the reasons. Plans that have become worse: look at the "
        "planner's model and prompt. Plans that are good: calibrate the threshold.",
    ),
    "spending": (
        "AgnoPortkeySpending",
        None,
        "USD",
        "Calls cost {value} an hour, more than {limit}.",
        "`agno-portkey ledger report --by role` (or model, cost_center) says who spends it. A "
        "Budget refuses more, and `agno-portkey stop` ends a swarm that runs away.",
    ),
    "day_budget": (
        "AgnoPortkeyDayBudget",
        None,
        "USD",
        "{value} were spent in one window, more than the {limit} that the day's budget has for it.",
        "It will be used up before the day ends. `agno-portkey ledger report --by cost_center` "
        "says by whom; stop that, or raise the Budget before runs are refused.",
    ),
    "circuits": (
        "AgnoPortkeyCircuitOpen",
        "agno_portkey_target",
        "",
        "The circuit of {of} is open: it is not asked.",
        "See to that target: its key, its limits, the provider's status page. It is tried again by "
        "itself, and closes once it answers; `agno-portkey doctor` shows all circuits.",
    ),
    "gone": (
        "AgnoPortkeyMetricsGone",
        None,
        "",
        "Prometheus has no metrics of agno-portkey any more.",
        "See whether the process runs, whether its telemetry.setup(metrics=...) is there, and what "
        "Prometheus says of the target. Until then no other alert can be told. (Without "
        "gone.job this is also so of one that was started anew and has made no call.)",
    ),
}
