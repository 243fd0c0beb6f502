"""`Guard`: the base of every guardrail; one body, asked in hooks, in tools and in the model."""

from __future__ import annotations

import inspect
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from threading import TIMEOUT_MAX
from typing import TYPE_CHECKING, Any, ClassVar, Literal, overload

from agno.guardrails import BaseGuardrail

from agno_portkey.errors import ConfigurationError
from agno_portkey.guardrails.either import EitherForm
from agno_portkey.guardrails.findings import Block, Finding, Flag, NoFinding, Rewrite
from agno_portkey.guardrails.forms import HookForms, in_hook
from agno_portkey.guardrails.passages import Passage, Side
from agno_portkey.guardrails.segments import Ranges, Release
from agno_portkey.hosted import Made
from agno_portkey.modes import Mode, check_mode
from agno_portkey.verdict import Observer, Verdict, check_observers
from agno_portkey.workers import Failed, Job, TooLate

if TYPE_CHECKING:
    from agno_portkey.guardrails.stage import Report

__all__ = ["Guard", "guard", "most_patient"]

On = Literal["input", "output", "both"]
Stream = Release | Literal["whole"]
# The most patient first.
STREAMS: tuple[Stream, ...] = ("whole", "segment", "eager", "word")
_CHOICES: dict[str, tuple[str, ...]] = {
    "on": ("input", "output", "both"),
    "unreadable": ("allow", "refuse"),
}


class Guard(HookForms, BaseGuardrail, metaclass=Made):
    """A guardrail for `pre_hooks`, `post_hooks`, `tool_hooks` and the model; override `inspect`.

    `on`: whether it looks at what goes to a model or tool, at what comes back, or at both.
    `stream`: what it needs of a streamed answer, which is released by sentences (`segment`), by
    sentences but for the small words that they begin with (`eager`), by words (`word`), or held
    until it is `whole`; of several guards the most patient counts; `streams` are those that it can
    do with. `rewrites`: it may give a text
    back changed; such guards run one after the other, all others of a stage at once. `inline`: a
    fast pure function, run on the spot; else it gets a thread, and `timeout` seconds. `mode`:
    `observe` tells what it would have done.
    `keep_raw`: what it blocked or rewrote may be stored as it was. `unreadable`: whether pictures,
    sound, films, and files that are no text are let through to the model, or refused.

    Whatever it raises blocks, as does a verdict that does not come in time, or is none.
    """

    name: str = ""
    on: On = "both"
    stream: Stream = "whole"
    streams: tuple[Stream, ...] = STREAMS
    rewrites: bool = False
    inline: bool = False
    timeout: float = 10.0
    mode: Mode = "enforce"
    keep_raw: bool = False
    unreadable: Literal["allow", "refuse"] = "allow"
    observers: Sequence[Observer] = ()

    _settings: ClassVar[tuple[str, ...]] = (
        "name",
        "on",
        "stream",
        "timeout",
        "mode",
        "keep_raw",
        "unreadable",
        "observers",
    )

    def __init__(self, **settings: Any) -> None:
        for name, value in settings.items():
            if name not in self._settings:
                known = ", ".join(self._settings)
                raise ConfigurationError(f"{self.name}: no setting {name!r} (it takes {known})")
            setattr(self, name, value)
        check_guard(self)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for form in ("check", "async_check"):
            if form in cls.__dict__:
                raise ConfigurationError(f"{cls.__name__}.{form}: write inspect, which both ask")
        if not cls.__dict__.get("name"):
            cls.name = cls.__name__

    def inspect(self, passage: Passage) -> Finding | Awaitable[Finding] | Any:
        """What there is to say of `passage`: None, `Block`, `Rewrite` or `Flag`.

        It may be an `async def`. It must not keep state of one call for another without a lock.
        """
        raise NoFinding(f"{type(self).__name__}.inspect is not written")

    def looks_at(self, side: Side) -> bool:
        return self.on in ("both", side)

    # How a stage asks

    def keeps_together(self, before: str, text: str) -> Ranges:
        """Ranges of `text`, which stands behind `before`, that are not to be cut apart.

        Asked, where it is overridden, before a long piece of a streamed answer is cut.
        """
        return ()

    def at_once(self, passages: Sequence[Passage]) -> bool:
        """Whether it needs no thread for these: it is inline, or knows what it will say."""
        return self.inline

    def on_the_spot(self, passages: Sequence[Passage]) -> Report | Failed:
        """What an inline guard says; one that took too long is refused when it is done."""
        began = time.monotonic()
        try:
            report = self._look(passages)
        except (Exception, SystemExit) as error:
            return Failed(error)
        if time.monotonic() - began > self.timeout:
            return Failed(TooLate(f"no verdict within {self.timeout:g} s"))
        found: Report = report
        return found

    def job(self, passages: Sequence[Passage]) -> Job:
        """The asking of a guard that is not inline, to be run beside its caller."""
        if inspect.iscoroutinefunction(self.inspect):
            return Job(None, self.timeout, lambda: self._alook(passages))
        return Job(lambda: self._look(passages), self.timeout)

    def _look(self, passages: Sequence[Passage]) -> Report | Any:
        """The findings, with their places. Of a body that awaits: an awaitable of them."""
        report: Report = []
        for place, passage in enumerate(passages):
            said = self.inspect(passage)
            if said is None:
                continue
            if inspect.isawaitable(said):
                if self.inline:
                    _close(said)
                    raise NoFinding("its inspect awaits, and it is declared inline")
                return self._rest(report, passages, place, said)
            if self._note(report, place, said):
                break
        return report

    async def _rest(
        self, report: Report, passages: Sequence[Passage], place: int, said: Any
    ) -> Report:
        if not self._note(report, place, await said):
            for later, passage in enumerate(passages[place + 1 :], start=place + 1):
                if self._note(report, later, await self._body(passage)):
                    break
        return report

    async def _alook(self, passages: Sequence[Passage]) -> Report:
        report: Report = []
        for place, passage in enumerate(passages):
            if self._note(report, place, await self._body(passage)):
                break
        return report

    async def _body(self, passage: Passage) -> Any:
        said: Any = self.inspect(passage)
        return await said if inspect.isawaitable(said) else said

    def _note(self, report: Report, place: int, said: Any) -> bool:
        """Enter a finding; True if it is a block, and nothing after it matters."""
        if said is None:
            return False
        if isinstance(said, Verdict):
            if said.passed:
                return False
            said = Block(said.reason, said.score, said.evidence)
        if not isinstance(said, Block | Rewrite | Flag):
            _close(said)
            raise NoFinding(f"its inspect gave a {type(said).__name__} in place of a finding")
        if not isinstance(said.reason, str) or not isinstance(said.evidence, Mapping):
            raise NoFinding("its inspect gave a reason that is no text, or evidence that is no map")
        if isinstance(said, Rewrite) and not self.rewrites:
            raise NoFinding("its inspect rewrites, and it does not declare rewrites = True")
        if isinstance(said, Rewrite) and not isinstance(said.text, str):
            raise NoFinding("its inspect rewrites into what is no text")
        report.append((place, said))
        return isinstance(said, Block)

    # What the host does with it

    @property
    def check(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Ask about a run's input, or about its output if there is one."""
        return EitherForm(self, HookForms.check, in_hook, plain=True)

    @property
    def async_check(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """`check` for whoever can await it."""
        return EitherForm(self, HookForms.check, in_hook)

    def __deepcopy__(self, memo: dict[int, Any]) -> Guard:
        # The host copies hooks for each request of a server; a guard may hold a model of its own.
        return self

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, on={self.on!r}, mode={self.mode!r})"


def _close(said: Any) -> None:
    if inspect.iscoroutine(said):
        said.close()  # else it complains that nobody awaited it


def check_guard(guard: Guard) -> None:
    """Refuse a guard that has no body, or settings that can't be meant."""
    if getattr(guard.inspect, "__func__", None) is Guard.inspect:
        raise ConfigurationError(
            f"{type(guard).__name__}: write inspect(self, passage), which gives back None, "
            "Block(reason), Rewrite(text) or Flag(reason)"
        )
    name = guard.name
    if not isinstance(name, str) or not name.strip():
        raise ConfigurationError(f"{type(guard).__name__}.name: a non-empty text, not {name!r}")
    for setting, choices in (*_CHOICES.items(), ("stream", guard.streams)):
        if (held := getattr(guard, setting)) not in choices:
            raise ConfigurationError(f"{name}.{setting}: one of {', '.join(choices)}, not {held!r}")
    timeout = guard.timeout
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        raise ConfigurationError(f"{name}.timeout: seconds, not {timeout!r}")
    if not 0 < timeout <= TIMEOUT_MAX:
        raise ConfigurationError(f"{name}.timeout: a finite time above 0, not {timeout!r}")
    for flag in ("rewrites", "inline", "keep_raw"):
        if not isinstance(getattr(guard, flag), bool):
            raise ConfigurationError(f"{name}.{flag}: True or False, not {getattr(guard, flag)!r}")
    if guard.inline and inspect.iscoroutinefunction(guard.inspect):
        raise ConfigurationError(f"{name}.inline: an async inspect can't be run on the spot")
    check_mode(guard.mode, name=f"{name}.mode")
    guard.observers = check_observers(guard.observers)


def most_patient(guards: Sequence[Guard]) -> Stream:
    """What all of `guards` together need of a streamed answer."""
    asked = {guard.stream for guard in guards}
    return next(stream for stream in STREAMS if stream in asked)


class FunctionGuard(Guard):
    """A guard made of one function; see `guard`."""

    def __init__(
        self,
        function: Callable[[Passage], Any],
        *,
        rewrites: bool = False,
        inline: bool = False,
        **settings: Any,
    ) -> None:
        if not callable(function):
            raise ConfigurationError(f"guard: a function that takes a Passage, not {function!r}")
        self.rewrites, self.inline = rewrites, inline
        vars(self)["inspect"] = function
        super().__init__(**{"name": getattr(function, "__name__", "guard"), **settings})


@overload
def guard(function: Callable[[Passage], Any], /) -> Guard: ...
@overload
def guard(
    *,
    name: str = ...,
    on: On = ...,
    stream: Stream = ...,
    rewrites: bool = ...,
    inline: bool = ...,
    timeout: float = ...,
    mode: Mode = ...,
    keep_raw: bool = ...,
    unreadable: Literal["allow", "refuse"] = ...,
    observers: Sequence[Observer] = ...,
) -> Callable[[Callable[[Passage], Any]], Guard]: ...
def guard(function: Callable[[Passage], Any] | None = None, /, **settings: Any) -> Any:
    """Make a guard of a function that takes a `Passage`; usable as a decorator, with settings."""
    if function is not None:
        return FunctionGuard(function, **settings)
    return lambda decorated: FunctionGuard(decorated, **settings)
