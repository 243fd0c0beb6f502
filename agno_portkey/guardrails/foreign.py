"""Agno's own guardrails among ours: bounded in time, and as strict."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from agno.guardrails import BaseGuardrail
from agno.run.agent import RunInput

from agno_portkey.errors import ConfigurationError
from agno_portkey.guardrails.base import Guard
from agno_portkey.guardrails.findings import NoFinding, Rewrite
from agno_portkey.guardrails.passages import Passage
from agno_portkey.workers import Job

if TYPE_CHECKING:
    from agno_portkey.guardrails.stage import Report

__all__ = ["AgnoGuard"]


class AgnoGuard(Guard):
    """Any Agno `BaseGuardrail`, with the settings of a `Guard`.

    It sees each text as a run's input of its own, and may rewrite it. It is asked about what goes
    to the model unless `on` says otherwise; in an async call in its async form, else in the other.
    """

    on = "input"
    rewrites = True

    def __init__(self, guardrail: BaseGuardrail, **settings: Any) -> None:
        if not isinstance(guardrail, BaseGuardrail) or isinstance(guardrail, Guard):
            raise ConfigurationError(f"AgnoGuard: an Agno BaseGuardrail, not {guardrail!r}")
        self.guardrail = guardrail
        super().__init__(**{"name": type(guardrail).__name__, **settings})

    def job(self, passages: Sequence[Passage]) -> Job:
        return Job(lambda: self._look(passages), self.timeout, lambda: self._alook(passages))

    def inspect(self, passage: Passage) -> Rewrite | None:
        checked = RunInput(input_content=passage.text)
        said: Any = self.guardrail.check(checked)
        if inspect.isawaitable(said):
            if inspect.iscoroutine(said):
                said.close()
            raise NoFinding(f"{self.name}.check is async, and this call is not")
        return _rewritten(passage, checked)

    async def _alook(self, passages: Sequence[Passage]) -> Report:
        report: Report = []
        for place, passage in enumerate(passages):
            checked = RunInput(input_content=passage.text)
            said: Any = self.guardrail.async_check(checked)
            if inspect.isawaitable(said):
                await said
            self._note(report, place, _rewritten(passage, checked))
        return report


def _rewritten(passage: Passage, checked: RunInput) -> Rewrite | None:
    text = checked.input_content_string()
    return None if text == passage.text else Rewrite(text)
