"""Whatever fails in whatever order: the source names a live key, and no key is alive unknown."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from rotated import NAME, Scene

from agno_portkey.errors import AgnoPortkeyError, SecretUnavailable
from agno_portkey.security.rotation.journal import RotationJournal
from agno_portkey.testing import Fault
from agno_portkey.testing.faults import Answer

ROUTES = ("POST /api-keys", "GET /api-keys", "DELETE /api-keys")
FAULTS = {
    "429": Fault.status(429),
    "403": Fault.status(403),
    "500": Fault.status(500),
    "reset": Fault.reset(),
    "lost": Fault.cut(0),
    "junk": Fault.html(),
    "half": Fault.malformed_chunk(),
    "lie": Fault("answer", answer=Answer.of_json({})),
}
# A list or a look that is made up would be believed: nothing else is to be had.
BELIEVED = {("GET /api-keys", "lie")}


class Killed(BaseException):
    """What a kill is to a process that lives on."""


class Journal(RotationJournal):
    """A journal whose process is killed before, or after, it has written so many lines."""

    left: float = float("inf")

    def note(self, state: Any) -> None:
        self._count()
        super().note(state)
        self._count()

    def _count(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise Killed


def _refused() -> None:
    raise SecretUnavailable("not now")


class Rotations(RuleBasedStateMachine):
    portkey: ClassVar[Any]

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.provider, client = self.portkey
        self.provider.reset()
        self.scene = Scene(self.provider, client, Path(self.folder.name))

    @initialize(bootstrap=st.booleans())
    def begin(self, bootstrap: bool) -> None:
        self.old = None if bootstrap else self.scene.in_use()

    def rotation(self, left: float = float("inf")) -> Any:
        rotation = self.scene.rotation(
            current=self.old, attempts=2, drain=100, settle=100, patience=1
        )
        rotation.journal = Journal(self.scene.folder, NAME)
        rotation.journal.left = left
        return rotation

    @rule(
        route=st.sampled_from(ROUTES),
        kind=st.sampled_from(sorted(FAULTS)),
        times=st.integers(1, 3),
    )
    def portkey_fails(self, route: str, kind: str, times: int) -> None:
        if (route, kind) not in BELIEVED:
            self.provider.fault(FAULTS[kind], route=route, times=times)

    @rule()
    def portkey_is_well(self) -> None:
        self.provider.clear_faults()

    @rule(after=st.integers(0, 4), read=st.booleans(), lost=st.booleans())
    def the_source_fails(self, after: int, read: bool, lost: bool) -> None:
        calls = self.scene.source.on_read if read else self.scene.source.on_write
        calls.extend([lambda: None] * after * read)
        calls.append((lambda: True) if lost and not read else _refused)

    @rule(wait=st.booleans())
    def rotate(self, wait: bool) -> None:
        with suppress(AgnoPortkeyError):
            self.rotation().rotate(wait=wait)

    @rule(at=st.integers(1, 12))
    def rotate_and_be_killed(self, at: int) -> None:
        with suppress(AgnoPortkeyError, Killed):
            self.rotation(at).rotate()

    @rule(now=st.booleans(), kill=st.none() | st.integers(1, 4))
    def revoke(self, now: bool, kill: int | None) -> None:
        with suppress(AgnoPortkeyError, Killed):
            self.rotation(kill or float("inf")).revoke(now=now)

    @rule(seconds=st.sampled_from([1, 99, 101]))
    def time_passes(self, seconds: int) -> None:
        self.scene.clock.sleep(seconds)

    @rule()
    def what_was_lost_is_made_after_all(self) -> None:
        for each in self.rotation().status().pending:
            if each.id is None and each.until > self.scene.clock():
                self.provider.admin.make("api-keys", each.name)

    @invariant()
    def the_source_names_a_live_key(self) -> None:
        assert (NAME not in self.scene.source.held) or self.scene.named

    @invariant()
    def every_live_key_is_known(self) -> None:
        state = self.rotation().journal.read()
        known = {"old"}
        if state is not None:
            known |= {each.name for each in state.leaving}
            known |= {each.name for each in (state.current, state.making) if each is not None}
        assert set(self.scene.live) <= known

    def teardown(self) -> None:
        try:
            self.provider.clear_faults()
            self.scene.source.on_read.clear()
            self.scene.source.on_write.clear()
            self.scene.clock.sleep(1000)
            for _ in range(2):
                self.rotation().rotate()
            assert self.scene.live == [self.scene.named]
        finally:
            self.folder.cleanup()


def test_whatever_fails_no_key_is_lost_or_leaked(portkey: Any) -> None:
    Rotations.portkey = portkey
    run_state_machine_as_test(Rotations, settings=settings(max_examples=50, stateful_step_count=8))
