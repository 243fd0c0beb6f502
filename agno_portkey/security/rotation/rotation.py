"""One key, rotated without downtime: a new credential is in use before the old one is revoked."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from os import PathLike

from agno_portkey.environments import called
from agno_portkey.environments import current as current_environment
from agno_portkey.errors import ConfigurationError, RotationUnderWay, WrongEnvironment
from agno_portkey.routing.keys.names import KeyName, Quarter, shown
from agno_portkey.secrets.base import WritableSource, check_name
from agno_portkey.security.rotation.due import Due, DueMarks, Reason, by_age
from agno_portkey.security.rotation.journal import RotationJournal
from agno_portkey.security.rotation.makers import Maker
from agno_portkey.security.rotation.named import Named
from agno_portkey.security.rotation.state import Credential, State
from agno_portkey.security.rotation.steps import Run
from agno_portkey.security.rotation.told import KeyStatus, OnStep, Rotated

__all__ = ["DRAIN", "Rotation"]

# As long as a Secret is kept, used beyond that while its source fails, and a call may last.
DRAIN = 30.0 + 300.0 + 600.0

Probe = Callable[[str], object]

# Seconds between two looks whether another rotation is over.
_AGAIN = 0.5


class Rotation:
    """How one key is rotated: create, probe, shift, drain, revoke.

    `name` is the key's, as `openai-prod-search`: its credentials are named after it, with the
    quarter. The source keeps the value under `secret`, by default the same name. `journal` is a
    folder; all who rotate the key have to share it. `current` is the id of the credential that the
    source names before the first rotation, where the value does not tell it.

    `probe` is called with the new value, and raises if it is not good; it is asked again for
    `patience` seconds. Old credentials live on for `drain` seconds: no shorter than readers keep a
    value and the longest call lasts. What Portkey may have made, without saying so, is looked for
    for `settle` seconds. Whatever fails in passing is tried `attempts` times.
    """

    def __init__(
        self,
        name: str,
        *,
        maker: Maker,
        source: WritableSource,
        journal: str | PathLike[str],
        secret: str | None = None,
        current: str | None = None,
        probe: Probe | None = None,
        drain: float = DRAIN,
        settle: float = 600.0,
        patience: float = 30.0,
        attempts: int = 3,
        source_timeout: float = 10.0,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.environment = _environment(name)
        _check(maker, source, probe, attempts, (drain, settle, patience, source_timeout))
        _check_environments(name, self.environment, source.environment)
        self.name, self.maker, self.current, self.probe = name, maker, current, probe
        self.secret = check_name(secret or name)
        self.source = source
        self.named = Named(self.secret, source, source_timeout)
        self.drain, self.settle, self.patience = drain, settle, patience
        self.attempts, self.clock, self.sleep = attempts, clock, sleep
        self.journal = RotationJournal(journal, name)
        self.marks = DueMarks(journal, name, clock=clock)

    def rotate(
        self,
        *,
        current: str | None = None,
        wait: bool = True,
        leaked: bool = False,
        on_step: OnStep | None = None,
    ) -> Rotated:
        """Rotate the key, or go on with a rotation that was interrupted; blocks until it is over.

        Without `wait` it is over once the new credential is in use: `revoke` deletes the old one
        later. `current` says which credential the source names now, where that was changed by
        hand: what it named before will be deleted.

        `leaked`, or a mark that says so: the old credential is revoked as soon as the new one is
        in use, and callers that still hold it are refused until they read their source again.
        Where another process rotates the key, that one is waited for, for `patience` seconds, and
        it drains no longer.

        Raises RotationFailed, which says in which state the keys are; RotationUnderWay;
        RevocationPending.
        """
        if leaked:
            self._note_leak()
        with ExitStack() as held:
            run = Run(self, self._alone(held, patient=leaked), on_step)
            resumed = run.resume()
            run.leaked = leaked or self.has_leaked(run.state)
            if resumed and run.leaked:
                run.revoke_leaked()
            if run.leaked or not resumed:
                run.begin(current)
            return run.finish(wait=wait, resumed=resumed)

    def revoke(self, *, now: bool = False, on_step: OnStep | None = None) -> Rotated:
        """Delete what is to be deleted and whose time has come, or all of it `now`.

        It never deletes what the source names. Raises RevocationPending, RotationUnderWay.
        """
        with self.journal.alone() as state:
            run = Run(self, state, on_step)
            run.resume()
            return run.revoke(now=now)

    def status(self) -> KeyStatus:
        """How the key is, from its journal alone."""
        state = self.journal.read()
        return KeyStatus.of(self.name, state, self._due(state), self.clock())

    def due(self) -> list[Due]:
        """Why the key is to be rotated; empty if it is not."""
        return self._due(self.journal.read())

    def mark_due(self, reason: Reason = "manual", said: str = "somebody said so") -> Due | None:
        """Note that the key is to be rotated; None if that was noted. Blocks for the disk."""
        state = self.journal.read()
        return self.marks.note(reason, said, self._about(state))

    def has_leaked(self, state: State) -> bool:
        """Whether it was noted that others know the credential in use."""
        return any(each.reason == "leak" for each in self.marks.of(self._about(state)))

    def refused_within(self, seconds: float) -> bool:
        """Whether it was due for refusals so short a time ago."""
        now = self.clock()
        noted = (each for each in self.marks.all() if each.reason == "unauthorized")
        return any(abs(now - each.at) < seconds for each in noted)

    def leaked_names(self) -> set[str]:
        """The names of all credentials that others know, as was noted."""
        return {each.about for each in self.marks.all() if each.reason == "leak"}

    def fresh_name(self) -> str:
        """A name that no credential has yet, of this quarter."""
        quarter = Quarter.of(datetime.fromtimestamp(self.clock(), UTC))
        return f"{self.name}-r{secrets.token_hex(3)}-{quarter}"

    def _note_leak(self) -> None:
        # Nobody says of which: all that are alive.
        state = self.journal.read()
        held = [self._about(state), *(state.leaving if state is not None else ())]
        for each in held:
            self.marks.note("leak", "somebody said so", each)

    def _about(self, state: State | None) -> Credential | None:
        """What is noted now is said of this one; None before the first rotation."""
        return state.current if state is not None and state.rotations else None

    def _alone(self, held: ExitStack, *, patient: bool) -> State:
        until = self.clock() + self.patience
        while True:
            try:
                return held.enter_context(self.journal.alone())
            except RotationUnderWay:
                if not patient or self.clock() + _AGAIN > until:
                    raise
            self.sleep(_AGAIN)

    def _due(self, state: State | None) -> list[Due]:
        current = state.current if state is not None else None
        found = self.marks.of(self._about(state))
        if current is None and self.current is not None:
            # A slug can tell its quarter before the journal knows it.
            current = Credential(self.current, self.current, "")
        aged = by_age(current, self.clock())
        return [*found, aged] if aged is not None else found


def _environment(name: object) -> str:
    if not isinstance(name, str):
        raise ConfigurationError("name: that of a key, as openai-prod-search")
    try:
        return KeyName.parse(f"{name}-2026q4").environment
    except ConfigurationError as error:
        raise ConfigurationError(
            f"name: {shown(name)!r} is no provider-environment-team, as openai-prod-search, which "
            "credentials are named after"
        ) from error


def _check_environments(name: str, own: str, source: str | None) -> None:
    if source is not None and called(source) != called(own):
        raise WrongEnvironment(
            f"{name}: a key of {own}, and its source is of {source}; give a source of {own}"
        )
    if (here := current_environment()) is not None and here != called(own):
        raise WrongEnvironment(
            f"{name}: a key of {own}, and PORTKEY_ENVIRONMENT is {here}; rotate it where that "
            f"is {own}"
        )


def _check(
    maker: object, source: object, probe: object, attempts: object, seconds: tuple[float, ...]
) -> None:
    if not isinstance(maker, Maker):
        raise ConfigurationError("maker: what makes credentials, as ApiKeyMaker(client)")
    if not isinstance(source, WritableSource):
        raise ConfigurationError("source: one that can be written to, as FileSecrets(folder)")
    if probe is not None and not callable(probe):
        raise ConfigurationError("probe: what is called with the new value, as ModelProbe(model)")
    if isinstance(attempts, bool) or not isinstance(attempts, int) or attempts < 1:
        raise ConfigurationError(f"attempts: at least 1, not {attempts!r}")
    for name, each in zip(("drain", "settle", "patience", "source_timeout"), seconds, strict=True):
        if isinstance(each, bool) or not isinstance(each, int | float) or not 0 <= each < 1e9:
            raise ConfigurationError(f"{name}: seconds, 0 or more, not {each!r}")
