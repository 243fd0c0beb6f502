"""The base of every hook: one body for sync and async, and nothing in it fails open."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, NoReturn

from agno.exceptions import InputCheckError, OutputCheckError
from agno.guardrails import BaseGuardrail

from agno_portkey.errors import InputBlocked, OutputBlocked
from agno_portkey.verdict import Verdict

__all__ = ["Hook", "Moment"]


@dataclass(frozen=True, slots=True)
class Moment:
    """What the host tells a hook. `owner` is the agent or team; one of input and output is set."""

    run_input: Any
    run_output: Any
    run_context: Any
    owner: Any
    is_team: bool
    session: Any

    @property
    def run_id(self) -> str:
        """The run's own id; before a workflow's step has run, the host tells the workflow's."""
        return str(getattr(self.run_output, "run_id", None) or self.run_context.run_id)

    @property
    def name(self) -> str:
        return str(self.owner.name or self.owner.id)


class _Done:
    """A finished awaitable: harmless where the host calls the async form and never awaits it."""

    def __await__(self) -> Generator[Any, Any, None]:
        return
        yield


class Hook(BaseGuardrail):
    """A hook for `pre_hooks` and `post_hooks`; subclasses override `before`, `after` or both.

    It is a guardrail to the host, which therefore never moves it to the background, and the
    same object after a deep copy. What it raises other than a check error blocks as well.
    """

    def before(self, moment: Moment) -> None:
        """Called with the run's input; raise `InputBlocked` to refuse it."""

    def after(self, moment: Moment) -> None:
        """Called with the run's output; raise `OutputBlocked` to refuse it."""

    # The host passes arguments by parameter name, so every one it has is named here.
    def check(
        self,
        run_input: Any = None,
        run_output: Any = None,
        run_context: Any = None,
        agent: Any = None,
        team: Any = None,
        session: Any = None,
    ) -> None:
        is_team = team is not None
        owner = team if is_team else agent
        moment = Moment(run_input, run_output, run_context, owner, is_team, session)
        try:
            if run_output is None:
                self.before(moment)
            else:
                self.after(moment)
        except (InputCheckError, OutputCheckError):
            # The host keeps the refused text as the run's content unless it is taken away.
            if run_output is not None and not _is_ours(run_output.content):
                run_output.content = None
            raise
        except Exception as error:
            self._fail(error, run_output)

    def async_check(  # type: ignore[override]
        self,
        run_input: Any = None,
        run_output: Any = None,
        run_context: Any = None,
        agent: Any = None,
        team: Any = None,
        session: Any = None,
    ) -> _Done:
        self.check(run_input, run_output, run_context, agent, team, session)
        return _Done()

    # The host calls the object itself where the hooks of a run were set up before it was added.
    __call__ = check

    def _fail(self, error: Exception, run_output: Any) -> NoReturn:
        name = type(self).__name__
        verdict = Verdict(False, name, (f"{name} failed: {type(error).__name__}: {error}",))
        if run_output is None:
            raise InputBlocked(verdict) from error
        run_output.content = None
        raise OutputBlocked(verdict) from error

    def __deepcopy__(self, memo: dict[int, Any]) -> Hook:
        return self


def _is_ours(content: object) -> bool:
    return type(content).__module__.startswith("agno_portkey.")
