"""The steps of one rotation: each is written down before it is done, and may be done again."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn, TypeVar

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential

from agno_portkey.errors import (
    ConfigurationError,
    GatewayUnauthorized,
    RotationFailed,
    SecretUnavailable,
)
from agno_portkey.secrets.hidden import Hidden
from agno_portkey.security.rotation.admin import AdminFailed
from agno_portkey.security.rotation.leaving import Revoking
from agno_portkey.security.rotation.makers import Made
from agno_portkey.security.rotation.state import Credential, Leaving, Making, Stage, State
from agno_portkey.security.rotation.told import OnStep, Rotated, Step

if TYPE_CHECKING:
    from agno_portkey.security.rotation.rotation import Rotation

__all__ = ["Run"]

T = TypeVar("T")

_AGAIN = "Run it again once that is seen to"
_BOTH = "The old key and the new one are both alive, and the source names either"
_NOT_OURS = "The key that was in use is not touched, nor what the source names now"
_AS_BEFORE = "The source names what it named before, which is not touched"


class Run:
    """One run over the journal of a key, which it has alone."""

    def __init__(self, rotation: Rotation, state: State, on_step: OnStep | None) -> None:
        self.rotation = rotation
        self.state = state
        self._on_step = on_step
        # Whether others know the credential in use.
        self.leaked = False

    # What all steps need

    def note(self, state: State) -> None:
        """Go on to `state`; it is on the disk when this returns."""
        self.rotation.journal.note(state)
        self.state = state

    def tell(self, stage: Stage, said: str, left: float | None = None) -> None:
        """Let whoever watches know of what is about to be done."""
        if self._on_step is None:
            return
        try:
            self._on_step(Step(self.rotation.name, stage, said, left))
        except Exception:
            logging.getLogger("agno_portkey").exception("on_step failed")

    def fail(self, what: str, keys: str = _AS_BEFORE, do: str = _AGAIN) -> NoReturn:
        # Not from what was raised: its words may hold a key.
        raise RotationFailed(self.rotation.name, what, keys, do) from None

    def tried(self, do: Callable[[], T]) -> T:
        """What `do` gives; AdminFailed that may pass is tried again."""
        for attempt in Retrying(
            stop=stop_after_attempt(self.rotation.attempts),
            wait=wait_exponential(multiplier=0.5, max=8),
            retry=retry_if_exception(_passes),
            sleep=self.rotation.sleep,
            reraise=True,
        ):
            with attempt:
                return do()
        raise AssertionError("tenacity raises what was raised last")

    def named(self, keys: str = "Nothing was done") -> str | None:
        """What the source names; raises RotationFailed where it does not say."""
        try:
            return self.rotation.named.value()
        except SecretUnavailable as error:
            self.fail(f"the source can't be read ({error})", keys)

    # An earlier run was ended amid its steps

    def resume(self) -> bool:
        """Settle what an interrupted run has left; whether its rotation is only to be finished."""
        making = self.state.making
        if making is None:
            return not self.state.over
        self.tell(making.stage, f"it was interrupted at {making.stage}: its rest is seen to")
        if making.stage == "shift":
            value = self.named(_BOTH)
            if value is not None and self.state.digest(value) == making.digest:
                self._settle(making)
                return True
        # The value was nowhere but in the process that is gone.
        self._abandon(making, unsure=making.stage == "create")
        return False

    # A new rotation

    def begin(self, current: str | None) -> None:
        """Create, probe and shift; raises RotationFailed with all as it was before."""
        before = self._known(current)
        try:
            making, made = self.tried(self._create)
        except _Passing as error:
            self.fail(error.what)
        self._probe(making, made)
        self._shift(making, made, before)

    def _known(self, current: str | None) -> str | None:
        """The value that the source names, once it is known whose that is."""
        value, state = self.named(), self.state
        digest = None if value is None else state.digest(value)
        known = state.current
        if known is not None and current is None:
            if digest != known.digest:
                self.fail(
                    "the source names another value than this journal has, or none: it was changed "
                    "by hand, or somebody rotates the key with another journal",
                    "Nothing was done",
                    "Say the id of what the source names now: `keys rotate --current ID`, or "
                    "rotate(current=...)",
                )
            return value
        if value is None:
            return None
        id = self._id_of(value, current)
        known = known if known is not None and known.id == id else Credential(id, id, "")
        self._adopt(replace(known, digest=state.digest(value)))
        return value

    def _id_of(self, value: str, current: str | None) -> str:
        said = current or self.rotation.current
        id = said if said and said != value else self.rotation.maker.id_of(value)
        if id is not None:
            return id
        if said:
            raise ConfigurationError(
                "current: that is the key itself, and its id is due; where others may have seen "
                "it, rotate it as leaked"
            )
        raise ConfigurationError(
            f"current: {self.rotation.name} has a value in its source, and nobody knows which "
            "key at Portkey that is, so it could not be revoked; say its id (`current` in "
            "keys.yaml, or --current)"
        )

    def _adopt(self, new: Credential) -> None:
        old, leaving = self.state.current, self.state.leaving
        if old is not None and old.id != new.id:
            after = self.rotation.clock() + self.rotation.drain
            leaving = (*leaving, Leaving(old.name, old.id, old.digest, after))
        # What the source names is not to be deleted, whatever was meant to be before.
        leaving = tuple(each for each in leaving if each.id != new.id)
        self.note(replace(self.state, current=new, leaving=leaving))

    def _create(self) -> tuple[Making, Made]:
        making = Making("create", self.rotation.fresh_name(), self.rotation.clock())
        self.note(replace(self.state, making=making))
        self.tell("create", f"{making.name} is made")
        try:
            made = self.rotation.maker.create(making.name)
            made = Made(made.id, Hidden(made.value))
        except AdminFailed as error:
            self._abandon(making, unsure=error.unsure)
            if error.passing:
                raise _Passing(self, error) from None
            self.fail(str(error))
        except Exception as error:
            self._abandon(making, unsure=True)
            self.fail(f"the maker failed ({type(error).__name__})")
        making = replace(making, stage="probe", id=made.id, digest=self.state.digest(made.value))
        self.note(replace(self.state, making=making))
        return making, made

    def _probe(self, making: Making, made: Made) -> None:
        if self.rotation.probe is None:
            return
        self.tell("probe", f"{making.name} is tried out")
        rotation, until = self.rotation, self.rotation.clock() + self.rotation.patience
        pause = 0.5
        while True:
            try:
                rotation.probe(made.value)  # type: ignore[misc]
                return
            except Exception as error:
                failed, refused = type(error).__name__, isinstance(error, GatewayUnauthorized)
            if rotation.clock() + pause > until:
                break
            # A key that was made just now may not be known everywhere yet.
            rotation.sleep(pause)
            pause = min(2 * pause, 8.0)
        self._abandon(making)
        so = "is no good" if refused else "whether it is good is not known"
        self.fail(f"the new key was made, and {so}: its probe failed ({failed})")

    def _shift(self, making: Making, made: Made, before: str | None) -> None:
        if self.named(_BOTH) != before:
            self._abandon(making)
            self.fail("somebody else has changed the source meanwhile", _NOT_OURS)
        making = replace(making, stage="shift")
        self.note(replace(self.state, making=making))
        self.tell("shift", f"{self.rotation.secret} becomes {making.name} in the source")
        failed, unsure = "", False
        try:
            self.rotation.named.write(made.value)
        except TimeoutError:
            failed, unsure = "the source gave no answer in time", True
        except SecretUnavailable as error:
            failed = str(error)
        # What it says counts for nothing beside what it names.
        value = self.named(_BOTH)
        if value == made.value:
            self._settle(making)
            return
        if unsure:
            # It may be written yet: neither key may go.
            self.fail(failed, _BOTH)
        self._abandon(making)
        self.fail(failed or "the source took the new value, and does not name it")

    def _settle(self, making: Making) -> None:
        """The source names the new one: write that down, and what is to go."""
        now, old, leaving = self.rotation.clock(), self.state.current, self.state.leaving
        if old is not None:
            last = 0.0 if self.leaked else now + self.rotation.drain
            leaving = (*leaving, Leaving(old.name, old.id, old.digest, last))
        new = Credential(making.name, making.id or "", making.digest or "", making.began)
        self.note(
            replace(
                self.state,
                current=new,
                making=None,
                leaving=leaving,
                over=False,
                rotations=self.state.rotations + 1,
                rotated=now,
            )
        )

    def _abandon(self, making: Making, *, unsure: bool = False) -> None:
        """Take back what was being made, which the source does not name."""
        until = self.rotation.clock() + self.rotation.settle if unsure else 0.0
        # Once it was to be written, the source is asked again before it goes.
        digest = making.digest if making.stage == "shift" else None
        gone = Leaving(making.name, making.id, digest, until=until)
        leaving = (*self.state.leaving, gone)
        self.note(replace(self.state, making=None, leaving=leaving))
        self.tell("create", f"{making.name} is taken back")
        Revoking(self).delete(gone)

    # What is to go

    def revoke_leaked(self) -> None:
        """Delete all that is to go at once; what can't be is tried again later."""
        Revoking(self).all(now=True)

    def finish(self, *, wait: bool, resumed: bool) -> Rotated:
        """Drain and revoke, without a drain what others know; raises RevocationPending."""
        if self.leaked or Revoking(self).some_may_go():
            self.revoke()
        if not wait:
            self._over()
            return self.told(resumed)
        Revoking(self).drain()
        return replace(self.revoke(), resumed=resumed)

    def revoke(self, *, now: bool = False) -> Rotated:
        """Delete what is to go; raises RevocationPending."""
        kept = Revoking(self).all(now=now)
        self._over()
        if kept:
            kept.complain(self.rotation.name)
        return self.told(False)

    def _over(self) -> None:
        if not self.state.over:
            self.note(replace(self.state, over=True))

    def told(self, resumed: bool) -> Rotated:
        """How it has ended."""
        return Rotated(self.rotation.name, self.state.current, self.state.leaving, resumed)


class _Passing(RotationFailed):
    """A credential could not be made, and another try may go better."""

    def __init__(self, run: Run, error: AdminFailed) -> None:
        super().__init__(run.rotation.name, str(error), _AS_BEFORE, _AGAIN)


def _passes(error: BaseException) -> bool:
    return isinstance(error, _Passing) or (isinstance(error, AdminFailed) and error.passing)
