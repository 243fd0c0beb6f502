"""Before each of its calls the Runner's model asks again: is it cleared still, and for whom."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from admission_scene import Desk
from agno.models.message import Message
from agno.models.response import ModelResponse

from agno_portkey.calls import Call
from agno_portkey.drivers import SyncIO, drive
from agno_portkey.errors import GateClosed
from agno_portkey.gates import Seat, interlock
from agno_portkey.gates.books import Books, books_of
from agno_portkey.pipeline import compose
from agno_portkey.run_facts import Fingerprint

KNOWN = Fingerprint("sha256:f1", {"Judge.model": "gpt-4o-mini"})


@pytest.fixture
def cleared(tmp_path: Path) -> Desk:
    """A Runner that was cleared, on a database."""
    one = Desk.of(books=books_of(str(tmp_path / "agno.db"))).judged(9)
    one.charter.fingerprint_now = lambda: KNOWN
    one.admit()
    return one


def ask(one: Desk, **who: str) -> int:
    """Call the Runner's model, and say how often the provider was asked; `GateClosed` if not."""
    asked = 0

    async def model(call: Call) -> AsyncIterator[ModelResponse]:
        nonlocal asked
        asked += 1
        yield ModelResponse(content="Done.")

    output: Any = SimpleNamespace(run_id="team-r", **{"session_id": "s1", "user_id": "ann", **who})
    call = Call([], Message(role="assistant"), run_response=output)
    lock = interlock(Seat("runner", "Runner", "Release", one.charter))
    try:
        list(drive(compose([lock], SyncIO(), model)(call)))
    except GateClosed:
        assert asked == 0
        raise
    return asked


class Down:
    def get(self, id: str) -> None:
        raise OSError("down")


def revoked(one: Desk) -> None:
    assert one.run.clearance is not None
    one.charter.books.clearances.revoke(str(one.run.clearance.id), by="bob", reason="no")


def down(one: Desk) -> None:
    one.charter.books = Books(clearances=Down())  # type: ignore[arg-type]


def changed(one: Desk) -> None:
    one.charter.fingerprint_now = lambda: Fingerprint("sha256:f2", {"Judge.model": "another"})


@pytest.mark.parametrize(
    ("happens", "why"),
    [
        (revoked, "was revoked by bob"),
        (down, "the gate's database failed: OSError"),
        (changed, "were changed since it was cleared"),
    ],
)
def test_what_has_happened_since_it_was_cleared_stops_it(
    cleared: Desk, happens: Callable[[Desk], None], why: str
) -> None:
    assert ask(cleared) == 1
    happens(cleared)
    with pytest.raises(GateClosed, match=why):
        ask(cleared)


@pytest.mark.parametrize("who", [{"session_id": "eves"}, {"user_id": "eve"}])
def test_it_does_not_go_on_for_somebody_else(cleared: Desk, who: dict[str, str]) -> None:
    with pytest.raises(GateClosed, match=r"another (session|user)"):
        ask(cleared, **who)
    assert ask(cleared) == 1
