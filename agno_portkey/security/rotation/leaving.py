"""What is to be deleted: waited for until no caller can use it, and never what the source names."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from agno_portkey.errors import ConfigurationError, RevocationPending, SecretUnavailable
from agno_portkey.security.rotation.admin import AdminFailed
from agno_portkey.security.rotation.state import Leaving

if TYPE_CHECKING:
    from agno_portkey.security.rotation.steps import Run

__all__ = ["Kept", "Revoking"]

# Seconds between two words of how long it takes yet.
_TOLD = 1.0


@dataclass(frozen=True, slots=True)
class Kept:
    """What could not be deleted, with the reasons."""

    kept: tuple[Leaving, ...]

    def __bool__(self) -> bool:
        return bool(self.kept)

    def complain(self, key: str) -> None:
        names = ", ".join(each.name for each in self.kept)
        why = "; ".join(dict.fromkeys(each.why for each in self.kept))
        raise RevocationPending(
            key,
            f"{names} could not be deleted ({why})",
            "The key in use is good; what could not be deleted is alive as well, and is tried "
            "again by the next `keys rotate` or `keys revoke`",
            f"Run `agno-portkey keys revoke {key}`, or delete it at Portkey",
        )


class Revoking:
    """Deletes what a run has to delete."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._rotation = run.rotation

    def drain(self) -> None:
        """Wait until all that is to go may go."""
        while (left := self._left()) > 0:
            if self._leaks():
                self.all(now=False)
                continue
            names = ", ".join(each.name for each in self._run.state.leaving)
            self._run.tell("drain", f"callers may still use {names}", left)
            self._rotation.sleep(min(left, _TOLD))

    def some_may_go(self) -> bool:
        """Whether one may go while another is to be waited for."""
        now, leaving = self._rotation.clock(), self._run.state.leaving
        goes = any(each.id and not each.until and each.after <= now for each in leaving)
        return self._leaks() or (goes and self._left() > 0)

    def _leaked(self) -> set[str]:
        try:
            return self._rotation.leaked_names()
        except ConfigurationError:
            # What can't be read has nobody wait less.
            return set()

    def _leaks(self) -> bool:
        """Whether there is one that need not be waited for, and was not tried yet."""
        leaked, now = self._leaked(), self._rotation.clock()
        found = (e for e in self._run.state.leaving if e.after > now and not e.why)
        return any(each.name in leaked for each in found)

    def _left(self) -> float:
        now = self._rotation.clock()
        last = max((max(e.after, e.until) for e in self._run.state.leaving), default=now)
        # A clock that was set back would have it wait for ever.
        return min(last - now, max(self._rotation.drain, self._rotation.settle))

    def all(self, *, now: bool) -> Kept:
        """Delete all whose time has come; what can't be is tried again a few times."""
        kept, leaked = [], self._leaked()
        for each in self._run.state.leaving:
            waits = each.after > self._rotation.clock() and each.name not in leaked
            if waits and not now:
                continue
            after = self.delete(each)
            if after is not None and after.why:
                kept.append(after)
        return Kept(tuple(kept))

    def delete(self, gone: Leaving) -> Leaving | None:
        """Delete one; what is left of it to be done, None if nothing is."""
        run = self._run
        why = self._in_use(gone)
        if not why:
            run.tell("revoke", f"{gone.name} is deleted")
            try:
                run.tried(lambda: self._rotation.maker.delete(gone.name, gone.id))
            except AdminFailed as error:
                why = str(error)
            except Exception as error:
                why = f"the maker failed ({type(error).__name__})"
        if not why and self._rotation.clock() >= gone.until:
            run.note(run.state.without(gone))
            return None
        after = replace(gone, why=why)
        if after != gone:
            leaving = tuple(after if each == gone else each for each in run.state.leaving)
            run.note(replace(run.state, leaving=leaving))
        return after

    def _in_use(self, gone: Leaving) -> str:
        """Why it must not be deleted, if so."""
        current = self._run.state.current
        if current is not None and gone.id == current.id:
            return "it is the one in use"
        if gone.digest is None:
            return ""
        try:
            value = self._rotation.named.value()
        except SecretUnavailable:
            return "the source can't be read, which may name it"
        if value is not None and self._run.state.digest(value) == gone.digest:
            return "the source names it again"
        return ""
