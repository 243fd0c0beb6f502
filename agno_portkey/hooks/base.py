"""The base of every hook: one body for sync and async, and nothing in it fails open."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

from agno.exceptions import InputCheckError, OutputCheckError
from agno.guardrails import BaseGuardrail

from agno_portkey.calls import IO
from agno_portkey.drivers import SyncIO, step
from agno_portkey.errors import (
    ConfigurationError,
    InputBlocked,
    OutputBlocked,
    Told,
    ToolRefused,
)
from agno_portkey.gates import Declined
from agno_portkey.guardrails.either import EitherForm
from agno_portkey.guardrails.forms import run_being_started
from agno_portkey.guardrails.refusals import note_refusal
from agno_portkey.hosted import Done, Made, hosted
from agno_portkey.verdict import Verdict, failure_of

__all__ = ["Hook", "Moment", "WaitingHook"]


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
        """The run's own id, also before a workflow's step, where the host tells the workflow's."""
        output = self.run_output
        if output is None and getattr(self.run_context, "workflow_id", None):
            output = run_being_started()
        return str(getattr(output, "run_id", None) or self.run_context.run_id)

    @property
    def name(self) -> str:
        return str(self.owner.name or self.owner.id)


class Hook(BaseGuardrail, metaclass=Made):
    """A hook for `pre_hooks` and `post_hooks`; subclasses override `before`, `after` or both.

    It is a guardrail to the host, which therefore never moves it to the background, and the
    same object after a deep copy. What it raises other than a check error blocks as well.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in ("before", "after"):
            if inspect.iscoroutinefunction(getattr(cls, name)):
                # It would be called and never awaited, and hold nothing.
                raise ConfigurationError(f"{cls.__name__}.{name}: a plain def, not an async one")

    def before(self, moment: Moment) -> None:
        """Called with the run's input; raise `InputBlocked` to refuse it."""

    def after(self, moment: Moment) -> None:
        """Called with the run's output; raise `OutputBlocked` to refuse it."""

    # The host passes arguments by parameter name, so every one it has is named here.
    @hosted
    def check(
        self,
        run_input: Any = None,
        run_output: Any = None,
        run_context: Any = None,
        agent: Any = None,
        team: Any = None,
        session: Any = None,
    ) -> None:
        with _held(self, run_input, run_output, run_context, agent, team, session) as moment:
            if run_output is None:
                self.before(moment)
            else:
                self.after(moment)

    @hosted
    def async_check(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        run_input: Any = None,
        run_output: Any = None,
        run_context: Any = None,
        agent: Any = None,
        team: Any = None,
        session: Any = None,
    ) -> Done:
        self.check(run_input, run_output, run_context, agent, team, session)
        return Done()

    # The host calls the object itself where the hooks of a run were set up before it was added.
    __call__ = check

    def _require_use(self, before: bool) -> None:
        """Refuse to stand where it does nothing, and lets its user think that it does."""
        name, mine, other = ("before", "pre", "post") if before else ("after", "post", "pre")
        if getattr(type(self), name) is getattr(Hook, name):
            raise ConfigurationError(f"it does nothing in {mine}_hooks: put it into {other}_hooks")

    def _fail(self, error: Exception, run_output: Any) -> NoReturn:
        name = type(self).__name__
        verdict = Verdict(False, name, (failure_of(name, error),))
        refusal = InputBlocked(verdict) if run_output is None else OutputBlocked(verdict)
        note_refusal(_run(run_output), refusal)
        if run_output is not None:
            run_output.content = None
        raise refusal from error

    def __deepcopy__(self, memo: dict[int, Any]) -> Hook:
        return self


class WaitingHook(Hook):
    """A hook that may have to wait, and is awaited by whoever can.

    Write `abefore`; where what follows a run has to wait too, `aafter` beside `after`.
    """

    async def abefore(self, moment: Moment, io: IO) -> None:
        """Called with the run's input; waits through `io` alone."""

    async def aafter(self, moment: Moment, io: IO) -> None:
        """Called with the run's output; waits through `io` alone."""
        self.after(moment)

    def before(self, moment: Moment) -> None:
        step(self.abefore(moment, SyncIO()))

    @property
    def check(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        return EitherForm(self, Hook.check, _asked, plain=True)

    @property
    def async_check(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        return EitherForm(self, Hook.check, _asked)


async def _asked(
    hook: WaitingHook,
    io: IO,
    run_input: Any = None,
    run_output: Any = None,
    run_context: Any = None,
    agent: Any = None,
    team: Any = None,
    session: Any = None,
) -> None:
    with _held(hook, run_input, run_output, run_context, agent, team, session) as moment:
        if run_output is None:
            await hook.abefore(moment, io)
        else:
            await hook.aafter(moment, io)


@contextmanager
def _held(
    hook: Hook,
    run_input: Any,
    run_output: Any,
    run_context: Any,
    agent: Any,
    team: Any,
    session: Any,
) -> Iterator[Moment]:
    """The moment that a hook is called at; whatever is raised at it blocks, and leaves nothing."""
    if run_input is None and run_output is None:
        # The host would log anything else, and go on.
        raise ToolRefused(f"{type(hook).__name__} is no tool's hook: put it round a run")
    is_team = team is not None
    owner = team if is_team else agent
    try:
        hook._require_use(run_output is None)
        yield Moment(run_input, run_output, run_context, owner, is_team, session)
    except (InputCheckError, OutputCheckError) as error:
        note_refusal(_run(run_output), error)
        # The host keeps the refused text as the run's content unless it is taken away.
        if run_output is not None and not _is_ours(run_output.content):
            run_output.content = None
        raise
    except Exception as error:
        hook._fail(error, run_output)


def _run(run_output: Any) -> Any:
    """The output of the run that a hook is called for, which the host hands to no pre-hook."""
    return run_being_started() if run_output is None else run_output


def _is_ours(content: object) -> bool:
    """Whether the content is what this package has put in the place of a refused one."""
    return isinstance(content, Declined | Told)
