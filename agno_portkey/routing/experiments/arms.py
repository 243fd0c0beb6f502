"""Arms of an experiment: who gets which, and what each arm did."""

from __future__ import annotations

import json
import math
import secrets
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Literal

from agno_portkey.errors import ConfigurationError
from agno_portkey.routing.experiments.comparison import Comparison, Rate, compare
from agno_portkey.verdict import Event

__all__ = ["ArmSummary", "Arms", "Comparison", "Rate", "compare", "pick"]

Metric = Literal["seconds", "tokens", "ok"]

# Tags can come from a user's request: not every value of theirs may become an arm for good.
_MOST_ARMS = 1_000


def pick(
    arms: Sequence[tuple[str, float]],
    key: str | None,
    *,
    salt: str = "",
    among: Collection[int] | None = None,
) -> int:
    """The index of the arm, a pair of name and weight, that `key` belongs to.

    The same key gets the same arm in every process and on every machine; without a key (or with
    an empty one) it is chance, by weight. More weight for an arm moves keys to it from others and
    none elsewhere; an arm that is not `among` those that may be asked loses its keys to the
    others, and gets just these back. Another `salt`, such as the experiment's name, deals anew.

    Weighted rendezvous hashing: the arm with the highest -weight / ln(h), where h in (0, 1) is
    the blake2b of salt, key and the arm's name. The name, not the index, so that an arm put in
    front or taken out moves nobody else. Source: Schindelhauer and Schomaker, "Weighted
    distributed hash tables", SPAA 2005 (the logarithmic method). Raises ConfigurationError.
    """
    _check_arms(arms)
    indexes = range(len(arms)) if among is None else sorted(set(among))
    if not indexes or indexes[0] < 0 or indexes[-1] >= len(arms):
        raise ConfigurationError(
            f"among: at least one index from 0 to {len(arms) - 1}, not {list(indexes)}"
        )
    weighted = [index for index in indexes if arms[index][1] > 0]
    if not weighted:
        raise ConfigurationError(
            "arms: every arm that may be asked has weight 0; give one of them a weight"
        )
    key = key or secrets.token_hex(16)
    return max(weighted, key=lambda index: (_score(*arms[index], key, salt), arms[index][0]))


def _check_arms(arms: Sequence[tuple[str, float]]) -> None:
    names = set()
    for place, (name, weight) in enumerate(arms):
        if name in names:
            raise ConfigurationError(f"arms[{place}]: the name {name!r} is taken; each has its own")
        if not 0 <= weight < math.inf:
            raise ConfigurationError(f"arms[{place}]: a weight of 0 or more, not {weight!r}")
        names.add(name)


def _score(name: str, weight: float, key: str, salt: str) -> float:
    # A list of JSON, so that no two triples run together.
    told = json.dumps([salt, key, name]).encode()
    digest = blake2b(told, digest_size=8).digest()
    # 52 bits and a half: never 0 or 1, also after rounding.
    h = ((int.from_bytes(digest, "big") >> 12) + 0.5) / 2**52
    # The logarithm of weight / -ln(h): the same order, and no weight overflows it.
    return math.log(weight) - math.log(-math.log(h))


@dataclass(frozen=True, slots=True)
class ArmSummary:
    """One arm so far: requests heard of, and of those kept the share that went well and the means.

    `seconds` and `tokens` (of output, per call) are of answered calls; None where there are none.
    """

    experiment: str
    arm: str
    calls: int
    ok: float
    seconds: float | None
    tokens: float | None


@dataclass(slots=True)
class _Kept:
    ok: deque[bool]
    seconds: deque[float]
    tokens: deque[float]
    calls: int = field(default=0)


class Arms:
    """An observer that keeps what each arm's requests took, to compare arms with.

    The arm of a call is its tag `arm`, the experiment its tag `experiment`; a call without an arm
    is passed over. Of each arm the latest `keep` calls count. Time and tokens are those of
    answered calls: an arm that fails at once would look fast.

    ```python
    arms = Arms()
    model = PortkeyModel(..., observers=[arms])
    print(arms.compare("control", "canary", metric="seconds"))
    ```
    """

    def __init__(self, *, keep: int = 10_000) -> None:
        if isinstance(keep, bool) or not isinstance(keep, int) or keep < 2:
            raise ConfigurationError(f"keep: a number of calls, 2 or more, not {keep!r}")
        self._keep = keep
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, str], _Kept] = {}

    def __deepcopy__(self, memo: dict[int, Any]) -> Arms:
        return self

    def __call__(self, event: Event, /) -> None:
        data = event.data
        tags = data.get("tags") or {}
        arm = tags.get("arm")
        if event.kind != "attempt" or not arm:
            return
        with self._lock:
            kept = self._of(str(tags.get("experiment") or ""), str(arm))
            kept.calls += 1
            kept.ok.append("error" not in data)
            if "error" not in data:
                _append(kept.seconds, data.get("seconds"))
                _append(kept.tokens, data.get("output_tokens"))

    def compare(
        self,
        arm_a: str,
        arm_b: str,
        *,
        metric: Metric = "seconds",
        experiment: str | None = None,
        confidence: float = 0.95,
    ) -> Comparison:
        """How `arm_b` differs from `arm_a`: in seconds, tokens of output or successes (`ok`).

        The experiment need be named only if more than one has both arms. Raises
        ConfigurationError for an unknown name or an arm with too few calls.
        """
        unit, sample = _metric(metric)
        with self._lock:
            name = self._experiment(arm_a, arm_b, experiment)
            a, b = sample(self._kept[name, arm_a]), sample(self._kept[name, arm_b])
        _check_enough({arm_a: a, arm_b: b}, metric)
        return compare(a, b, confidence=confidence, name_a=arm_a, name_b=arm_b, unit=unit)

    def summary(self) -> list[ArmSummary]:
        """A row for each arm, by experiment and name."""
        with self._lock:
            return [
                ArmSummary(
                    experiment,
                    arm,
                    kept.calls,
                    sum(kept.ok) / len(kept.ok),
                    _mean(kept.seconds),
                    _mean(kept.tokens),
                )
                for (experiment, arm), kept in sorted(self._kept.items())
            ]

    def _of(self, experiment: str, arm: str) -> _Kept:
        """What is kept of an arm; past the limit of arms the oldest is forgotten."""
        kept = self._kept.get((experiment, arm))
        if kept is None:
            while len(self._kept) >= _MOST_ARMS:
                del self._kept[next(iter(self._kept))]
            kept = _Kept(
                deque(maxlen=self._keep), deque(maxlen=self._keep), deque(maxlen=self._keep)
            )
            self._kept[experiment, arm] = kept
        return kept

    def _experiment(self, arm_a: str, arm_b: str, experiment: str | None) -> str:
        having = {
            arm: {of for of, name in self._kept if name == arm and experiment in (None, of)}
            for arm in (arm_a, arm_b)
        }
        for field_name, arm in (("arm_a", arm_a), ("arm_b", arm_b)):
            if not having[arm]:
                heard = sorted({name for of, name in self._kept if experiment in (None, of)})
                within = "" if experiment is None else f" in the experiment {experiment!r}"
                raise ConfigurationError(
                    f"{field_name}: no call of {arm!r}{within} was heard; "
                    + (f"heard of: {', '.join(heard)}" if heard else "give the model this observer")
                )
        both = sorted(having[arm_a] & having[arm_b])
        if len(both) != 1:
            named = ", ".join(repr(name) for name in both) or "none has both arms"
            raise ConfigurationError(f"experiment: name one of those with both arms ({named})")
        return both[0]


def _metric(metric: str) -> tuple[str, Callable[[_Kept], list[bool] | list[float]]]:
    """The unit of a metric and how to read its sample."""
    match metric:
        case "seconds":
            return "s", lambda kept: list(kept.seconds)
        case "tokens":
            return "tokens", lambda kept: list(kept.tokens)
        case "ok":
            return "", lambda kept: list(kept.ok)
        case _:
            raise ConfigurationError(f"metric: seconds, tokens or ok, not {metric!r}")


def _check_enough(samples: dict[str, list[bool] | list[float]], metric: str) -> None:
    # A success is one by itself; numbers need a second one to tell their spread.
    least = 1 if metric == "ok" else 2
    for arm, sample in samples.items():
        if len(sample) < least:
            raise ConfigurationError(
                f"arm {arm!r}: {len(sample)} answered calls are too few to compare its {metric}; "
                "wait for more"
            )


def _append(kept: deque[float], value: object) -> None:
    if isinstance(value, int | float) and math.isfinite(value):
        kept.append(float(value))


def _mean(values: Iterable[float]) -> float | None:
    values = list(values)
    return math.fsum(values) / len(values) if values else None
