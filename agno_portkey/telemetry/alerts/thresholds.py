"""`Thresholds`: from where on something is worth an alert, for Prometheus and without it.

```yaml
latency: {above: 2, window: 5m, lasts: 5m, least: 20}
errors: {above: 0.05}
cache_hits: {below: 0.40}
gate_passes: {below: 0.85}
spending: {per_hour: 10}
day_budget: {usd: 20, share: 0.10}
first_token: null
```
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field

from agno_portkey.errors import ConfigurationError
from agno_portkey.routing.config.files import is_path, read_yaml
from agno_portkey.routing.config.parts import Part, PartError, part_error

__all__ = [
    "CacheHits",
    "Circuits",
    "DayBudget",
    "Errors",
    "FirstToken",
    "GatePasses",
    "Gone",
    "Latency",
    "Severity",
    "Shares",
    "Spending",
    "Thresholds",
    "Watched",
]

_ROOT = "thresholds"
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_DURATION = re.compile(r"(\d{1,9})(ms|s|m|h|d)")
_SECOND, _DAY, _YEAR = 1.0, 86_400.0, 31_536_000.0

Severity = Literal["warning", "critical"]


def _seconds(told: Any) -> Any:
    """Seconds as they are, and what Prometheus writes for them."""
    if not isinstance(told, str):
        return told
    if (found := _DURATION.fullmatch(told.strip())) is None:
        raise ValueError("seconds, or a duration such as 500ms, 30s, 5m, 1h or 1d, are due here")
    return int(found[1]) * _UNITS[found[2]]


_Number = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]
_Share = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False, strict=True)]
_Window = Annotated[
    float,
    BeforeValidator(_seconds),
    Field(ge=_SECOND, le=30 * _DAY, allow_inf_nan=False, strict=True),
]
_Lasts = Annotated[
    float,
    BeforeValidator(_seconds),
    Field(ge=0, le=30 * _DAY, allow_inf_nan=False, strict=True),
]
_Least = Annotated[int, Field(ge=1, strict=True)]


class Watched(Part):
    """What all alerts have: it is an alert once it has been so for `lasts` seconds.

    Figures are those of the last `window` seconds. With fewer than `least` events in there nothing
    is said. Durations may be texts, as `5m`.
    """

    window: _Window = 300.0
    lasts: _Lasts = 300.0
    least: _Least = 20
    severity: Severity = "warning"


class Latency(Watched):
    """The 95th percentile of answered calls, by model: more than `above` seconds."""

    above: _Number = 2.0


class FirstToken(Watched):
    """The 95th percentile of the time to the first word of streamed calls: `above` seconds."""

    above: _Number = 1.0


class Errors(Watched):
    """The share of attempts that failed, by provider: more than `above`."""

    above: _Share = 0.05
    severity: Severity = "critical"


class Shares(Watched):
    """A share that is to be high, and is an alert `below` that."""

    below: _Share


class CacheHits(Shares):
    """The share of calls that the cache answered, of those that asked it."""

    below: _Share = 0.40
    window: _Window = 900.0
    lasts: _Lasts = 900.0
    least: _Least = 50


class GatePasses(Shares):
    """The share of plans that passed, by gate."""

    below: _Share = 0.85
    window: _Window = 3600.0


class Spending(Watched):
    """What calls cost, at the pace of the window: more than `per_hour` US dollars an hour."""

    per_hour: _Number = 10.0
    window: _Window = 900.0


class DayBudget(Watched):
    """A day's budget of `usd` dollars of which more than `share` went in one window."""

    usd: _Number
    share: _Share = 0.10
    window: _Window = 3600.0
    lasts: _Lasts = 0.0
    severity: Severity = "critical"


class Circuits(Part):
    """Breakers that stay open for `lasts` seconds."""

    lasts: _Lasts = 300.0
    severity: Severity = "warning"


class Gone(Part):
    """Metrics that were there in the last day, and are not since `lasts` seconds.

    With a `job` it is asked whether Prometheus reaches that job's targets. A process can't say of
    itself that it is gone: Prometheus alone does.
    """

    job: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:/-]{1,200}$")] | None = None
    lasts: _Lasts = 300.0
    severity: Severity = "critical"


class Thresholds(Part):
    """From where on there is an alert; None leaves one out.

    `rules` makes Prometheus' rules of them, and `Alerts` watches them in this process. What is left
    out has its default: 2 s of latency, 5 % of errors, 40 % of cache hits, 85 % of gate passes and
    10 USD an hour; a day's budget has none. Raises ConfigurationError for what does not fit.
    """

    latency: Latency | None = Latency()
    first_token: FirstToken | None = FirstToken()
    errors: Errors | None = Errors()
    cache_hits: CacheHits | None = CacheHits()
    gate_passes: GatePasses | None = GatePasses()
    spending: Spending | None = Spending()
    day_budget: DayBudget | None = None
    circuits: Circuits | None = Circuits()
    gone: Gone | None = Gone()

    @classmethod
    def from_yaml(cls, source: str | Path) -> Self:
        """Those of a YAML text, or of the file at a path (a `Path`, or a text ending as one).

        ConfigurationError names the file, and the path of each key that does not fit.
        """
        where = f"{source}: " if is_path(source) else ""
        try:
            data = read_yaml(source, root=_ROOT, what="thresholds")
        except ConfigurationError as error:
            said = str(error)
            raise ConfigurationError(said if str(source) in said else f"{where}{said}") from None
        if not isinstance(data, dict):
            raise ConfigurationError(
                f"{where}{_ROOT}: a mapping of {', '.join(cls.model_fields)} is due here"
            )
        try:
            return cls(**data)
        except PartError as error:
            raise part_error(f"{where}{_ROOT}", error.problems) from None
