"""`AuditHook`: a line for the start and the end of each run, and for what observers hear of."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any

from agno_portkey.errors import ConfigurationError, DatabaseGone, InputBlocked, OutputBlocked
from agno_portkey.hooks import records
from agno_portkey.hooks.base import Hook, Moment
from agno_portkey.hooks.lineage import Begins, Team
from agno_portkey.hooks.sinks import Behind, Called, LineFile, Record, Sink
from agno_portkey.verdict import Event, Verdict

__all__ = ["AuditHook"]


class AuditHook(Hook):
    """One object for pre- and post-hooks: records who ran, when, on which model, at what cost.

    `to` is a file, which gets a line of JSON for each record, or a function that is given each
    record as a dict of JSON types. Inputs and outputs are written as their SHA-256 only, unless
    `words` is true.

    `required`: where a record can't be written, the run is refused, before it asks its model, or
    with its answer taken away. A function is then waited for, up to `timeout` seconds, which
    holds up an event loop. Else the failure is logged, and a function is called behind the run.

    As an observer (`PortkeyModel(observers=[audit])`) it records calls, attempts, guards and gates
    too. Nothing is refused there, as no observer can.
    """

    def __init__(
        self,
        to: str | os.PathLike[str] | Callable[[Record], Any],
        *,
        words: bool = False,
        required: bool = True,
        timeout: float = 5.0,
    ) -> None:
        if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout > 0:
            raise ConfigurationError(f"timeout: seconds above 0, not {timeout!r}")
        for name, value in (("words", words), ("required", required)):
            if not isinstance(value, bool):
                raise ConfigurationError(f"{name}: true or false, not {value!r}")
        self.words = words
        self.required = required
        self._sink = _sink(to, timeout, wait=required)
        self._begins = Begins()

    def before(self, moment: Moment) -> None:
        try:
            for begun, output in self._begins.failed(moment.session):
                self._sink(records.lost(begun, output, words=self.words))
            begun = self._begins.begin(moment)
            self._sink(records.started(moment, begun, words=self.words))
        except Exception as error:
            if self.required:
                raise InputBlocked(self._unwritten(error)) from error
            self._log(error)

    def after(self, moment: Moment) -> None:
        try:
            self._end(moment)
        except Exception as error:
            if self.required:
                raise OutputBlocked(self._unwritten(error)) from error
            self._log(error)

    def _end(self, moment: Moment) -> None:
        begun = self._begins.end(moment)
        if moment.is_team:
            # Their post-hooks would have ended them: they failed, or were refused.
            team = Team(str(moment.run_context.run_id), moment.name)
            for member, output in self._begins.unended(team, moment.run_output):
                self._sink(records.lost(member, output, words=self.words))
        self._sink(records.ended(moment, begun, words=self.words))

    def __call__(  # type: ignore[override]
        self,
        _event: Event | None = None,
        /,
        run_input: Any = None,
        run_output: Any = None,
        run_context: Any = None,
        agent: Any = None,
        team: Any = None,
        session: Any = None,
    ) -> None:
        """Record an event; without one it is the hook that the host calls."""
        if _event is None:
            self.check(run_input, run_output, run_context, agent, team, session)
        else:
            # What it raises is logged by who tells, and never reaches the run.
            self._sink(records.event_record(_event, words=self.words))

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait for the records that a function is still to be given; whether none is left."""
        return self._sink.flush(timeout) if isinstance(self._sink, Behind) else True

    def _unwritten(self, error: Exception) -> Verdict:
        # The words of the error are logged only: a sink may quote what it was given.
        self._log(error)
        if isinstance(error, DatabaseGone):
            # Its own words name a path, which is none of whoever asks the agent.
            reason = (
                "the audit record can't be written: the audit log was cut, moved or replaced. Put "
                "it back as it was, or begin another; what this process logs names the file"
            )
        else:
            reason = f"the audit record can't be written ({type(error).__name__}): see the log"
        return Verdict(False, type(self).__name__, (reason,))

    def _log(self, error: Exception) -> None:
        logging.getLogger("agno_portkey").error("audit: a record is not written: %s", error)


def _sink(to: Any, timeout: float, *, wait: bool) -> Sink:
    if isinstance(to, str | os.PathLike):
        return LineFile(to)
    if not callable(to):
        raise ConfigurationError(f"to: a path or a function, not {type(to).__name__}")
    called = Called(to, timeout)
    return called if wait else Behind(called)
