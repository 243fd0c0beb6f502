"""`History`: every decision of a gate, in Agno's own table of evaluations."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self

from agno.db.schemas.evals import EvalType

from agno_portkey.gates.history.eval_runs import EvalRuns
from agno_portkey.gates.history.record import Decided, parsed
from agno_portkey.gates.history.rows import KEY, Row, Wanted, second

__all__ = ["History", "row_of"]

_PREFIX = "gate:"


class History:
    """The decisions of gates, as rows of Agno's table of evaluations, which AgentOS shows.

    `database` is an Agno database, sync or async, or an address. In SQLite and Postgres an index of
    our own on (name, created_at) is added to the table. Rows of others are left as they are.
    Raises ConfigurationError for a database that can't hold it.
    """

    def __init__(self, database: Any, *, seconds: float = 10.0) -> None:
        self._runs = EvalRuns(database, seconds=seconds)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        # Agno copies agents with all that they hold.
        return self

    def put(self, decided: Decided) -> None:
        """Keep `decided`; blocks, and raises whatever fails, for what is not kept must not pass.

        Control characters and lone surrogates, which not all databases keep, become U+FFFD.
        """
        self._runs.put(row_of(decided))

    def series(
        self,
        *,
        gate: str | None = None,
        swarm: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        outcome: str | None = None,
        plan: str | None = None,
        limit: int | None = 500,
    ) -> list[Decided]:
        """The newest `limit` decisions, newest last, from `since` on and before `until`.

        `plan` is the digest of the plan that they are on. Blocks, and raises whatever fails. A row
        of ours that can't be read is left out, and logged.
        """
        fields = {"outcome": outcome, "plan_digest": plan}
        wanted = Wanted(
            prefix=_PREFIX,
            name=None if gate is None else _PREFIX + gate,
            component=swarm,
            since=since,
            until=until,
            fields={name: text for name, text in fields.items() if text is not None},
            limit=limit,
        )
        return [each for kept in reversed(self._runs.find(wanted)) if (each := _read(kept))]


def _read(kept: Any) -> Decided | None:
    try:
        return parsed(kept)
    except ValueError as error:
        which = kept.get("id") if isinstance(kept, Mapping) else None
        named = which if isinstance(which, str) else type(which).__name__
        logging.getLogger("agno_portkey").warning("the history leaves out %r: %s", named, error)
        return None


def row_of(decided: Decided) -> Row:
    """The row of Agno's table that `decided` is kept as."""
    return Row(
        run_id=decided.id,
        eval_type=EvalType.AGENT_AS_JUDGE,
        name=_PREFIX + decided.gate,
        evaluated_component_name=decided.swarm,
        team_id=decided.team_id,
        user_id=decided.user_id,
        model_id=decided.versions.get("Judge.model"),
        created_at=second(decided.at),
        eval_data={**_as_agno(decided), KEY: decided.as_dict()},
        eval_input={
            "criteria": _PREFIX + decided.gate,
            "scoring_strategy": "binary" if decided.score is None else "numeric",
            "run_id": decided.run_id,
            "session_id": decided.session_id,
            "plan_digest": decided.plan_digest,
        },
    )


def _as_agno(decided: Decided) -> dict[str, Any]:
    """The decision as the result of an `AgentAsJudgeEval`, whose scores are in 0-10."""
    score = None if decided.score is None else round(decided.score * 10, 2)
    result = {
        "input": decided.plan_digest or "",
        "output": decided.outcome,
        "criteria": _PREFIX + decided.gate,
        "score": score,
        "reason": "; ".join(decided.reasons),
        "passed": decided.passed,
    }
    scores = {f"{each}_score": score for each in ("avg", "min", "max")}
    return {
        "run_id": decided.id,
        "results": [result],
        **scores,
        "std_dev_score": None if score is None else 0.0,
        "pass_rate": 100.0 if decided.passed else 0.0,
    }
