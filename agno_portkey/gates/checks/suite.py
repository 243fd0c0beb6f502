"""`SuiteCheck`: a suite of evaluations has passed for this team as it is; and its record."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from agno.db.schemas.evals import EvalType
from agno.eval.suite import SuiteResult

from agno_portkey.errors import ConfigurationError
from agno_portkey.gates.case import Case
from agno_portkey.gates.checks.base import Check, counted, number
from agno_portkey.gates.history.eval_runs import EvalRuns
from agno_portkey.gates.history.rows import KEY, Row, Wanted, clean, told
from agno_portkey.verdict import Verdict

__all__ = ["SuiteCheck", "record_suite", "recording"]

_PREFIX = "suite:"
# The suites that this process is running for the record.
_RECORDING: list[str] = []
# Of one microsecond; more are not looked at.
_NEWEST = 16

Clock = Callable[[], datetime]


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class SuiteCheck(Check):
    """Passes where `suite` was last run for this very fingerprint, within `days`, and passed.

    `record_suite` keeps what a run of `agno.eval.suite` came to, in `database`: an Agno database or
    an address, the gate's own if it is left out. A later run that failed outweighs one that passed,
    and one from the future refuses, since nothing tells what came after it; so does one whose row
    was renamed, as AgentOS lets its users do. Its score is the share of cases that passed.
    """

    name: str = "suite"
    suite: str
    days: float = 7.0
    database: Any = field(default=None, repr=False, hash=False)
    clock: Clock = field(default=_now, repr=False, compare=False)
    _runs: EvalRuns | None = field(init=False, default=None, repr=False, compare=False)

    asks = True

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_text(self.suite, f"{self.name}.suite")
        number(self, "days", above=0)
        if self.database is not None:
            object.__setattr__(self, "_runs", EvalRuns(self.database))

    def decide(self, case: Case) -> Verdict:
        if self.suite in _RECORDING:
            return self.verdict(recording=True)
        runs = self._runs or (EvalRuns(case.database) if case.database is not None else None)
        if runs is None:
            return self.verdict("it has no database to look for the suite's record in: give it one")
        if not case.fingerprint:
            return self.verdict("the team has no fingerprint, for which a suite could have passed")
        kept, renamed = self._kept(runs, case.fingerprint)
        if renamed is not None:
            return self.verdict(
                f"the record {renamed} bears the name of another suite than it was kept for: run "
                f"the suite {self.suite} again",
                failed=True,
            )
        if not kept:
            return self.verdict(self._none(runs), failed=True)
        at, passed, share = _read(kept)
        reasons = tuple(self._reasons(at, passed, share))
        # That it is too old, or to come, says nothing of its cases.
        score = 0.0 if passed and reasons else share
        # Told as failed it is asked again: the suite may be run meanwhile.
        again = {"failed": True} if reasons else {}
        return self.verdict(*reasons, score=score, at=at.isoformat(), **again)

    def _kept(self, runs: EvalRuns, fingerprint: str) -> tuple[list[Any], str | None]:
        """The suite's records, and the id of a renamed one that none of them is newer than.

        A row's name can be altered by whoever may edit evaluations; what we keep in it can not.
        """
        suite = clean(self.suite)
        named = runs.find(self._wanted(fingerprint=fingerprint))
        kept = [each for each in named if each.get("suite") == suite]
        # Renamed away, one is found by what it keeps; what is older than `days` passes nothing.
        since, fields = self.clock() - timedelta(days=self.days), {"suite": suite}
        fields |= {"fingerprint": fingerprint}
        ours = runs.find(Wanted(prefix="", since=since, fields=fields, limit=_NEWEST))
        strays = [each for each in (*named, *ours) if each not in kept]
        newest = max((each["at"] for each in kept), default="")
        return kept, next((str(each.get("id")) for each in strays if each["at"] >= newest), None)

    def _reasons(self, at: datetime, passed: bool, share: float) -> Iterator[str]:
        age, when = self.clock() - at, f"{at:%Y-%m-%d %H:%M} UTC"
        if age < timedelta(0):
            yield (
                f"the suite {self.suite} is recorded for {when}, which is to come: set the clocks "
                "right, and run it again"
            )
        elif not passed:
            yield (
                f"the suite {self.suite} failed at {when}, with {share:.0%} of its cases passed, "
                "and all have to: mend what fails, and run it again"
            )
        elif age > timedelta(days=self.days):
            yield (
                f"the suite {self.suite} was last run {age / timedelta(days=1):.1f} days ago, and "
                f"{counted(self.days, 'day')} is the limit: run it again"
            )

    def _wanted(self, **fields: str) -> Wanted:
        return Wanted(prefix=_PREFIX, name=_PREFIX + self.suite, fields=fields, limit=_NEWEST)

    def _none(self, runs: EvalRuns) -> str:
        needed = f"a pass of the last {counted(self.days, 'day')} is needed"
        if runs.find(self._wanted()):
            return (
                f"the suite {self.suite} was run for other models, prompts, tools or policies "
                f"alone: run it for those of now, since {needed}"
            )
        return (
            f"the suite {self.suite} is not recorded: run it, and keep it with record_suite, since "
            f"{needed}"
        )


@contextmanager
def recording(suite: str | None) -> Iterator[None]:
    """While `suite` is run to be recorded, who asks for its record is not kept waiting for it."""
    if suite is None:
        yield
        return
    _RECORDING.append(suite)
    try:
        yield
    finally:
        _RECORDING.remove(suite)


def record_suite(
    result: SuiteResult, *, suite: str, fingerprint: str, database: Any, clock: Clock = _now
) -> str:
    """Keep what a run of `suite` came to for `fingerprint`, and return the id of its row.

    The row is one of Agno's table of evaluations, named `suite:` and the suite's name; of the cases
    it holds the names alone. Blocks, and raises whatever fails.
    """
    if not isinstance(result, SuiteResult):
        raise ConfigurationError(f"result: a SuiteResult, not {type(result).__name__}")
    _require_text(suite, "suite")
    _require_text(fingerprint, "fingerprint")
    at, run_id, name = clock(), str(uuid4()), _PREFIX + suite
    kept = {
        "id": run_id,
        "suite": suite,
        "fingerprint": fingerprint,
        "at": told(at),
        "status": result.status,
        "total": result.total,
        "passed": result.passed,
    }
    row = Row(
        run_id=run_id,
        eval_type=EvalType.AGENT_AS_JUDGE,
        name=name,
        created_at=math.floor(at.timestamp()),
        eval_data={**_as_agno(result, run_id, name), KEY: kept},
        eval_input={"criteria": name, "scoring_strategy": "binary", "fingerprint": fingerprint},
    )
    EvalRuns(database).put(row)
    return run_id


def _as_agno(result: SuiteResult, run_id: str, name: str) -> dict[str, Any]:
    """The cases as the result of an `AgentAsJudgeEval`, without what was said in them."""
    told = {"output": "", "criteria": name, "score": None, "reason": ""}
    cases = [{"input": each.name, **told, "passed": each.passed} for each in result.results]
    rate = 100 * result.passed / result.total if result.total else 0.0
    return {"run_id": run_id, "results": cases, "pass_rate": rate}


def _read(kept: list[Any]) -> tuple[datetime, bool, float]:
    """When the newest record was made, whether it passed, and which share of its cases did.

    Of those made at once the worst counts. Raises for what is no record.
    """
    newest = max(each["at"] for each in kept)
    shares = [_share(each) for each in kept if each["at"] == newest]
    at = datetime.fromisoformat(newest)
    if at.utcoffset() is None:
        raise ValueError("the record of a suite has a time without a zone")
    return at.astimezone(UTC), min(shares) == 1.0, min(shares)


def _share(kept: Mapping[str, Any]) -> float:
    """The share of cases that passed; below 1 for a suite that did not."""
    total, passed, status = kept["total"], kept["passed"], kept["status"]
    if type(total) is not int or type(passed) is not int or not 0 <= passed <= total:
        raise ValueError("the record of a suite has no number of cases")
    if (status == "PASS") is not (passed == total > 0):
        raise ValueError("the record of a suite contradicts itself")
    return passed / total if total else 0.0


def _require_text(value: object, field: str) -> None:
    if not isinstance(value, str) or not value.strip():
        raise ConfigurationError(f"{field}: a text, not {value!r}")
