"""What is noted of runs is bounded, and the oldest goes first."""

from __future__ import annotations

from agno_portkey.latest import Latest


def test_the_notes_of_runs_are_forgotten_in_their_order() -> None:
    notes: Latest[dict[str, str]] = Latest()
    for number in range(1_500):
        notes.note(str(number), {"n": str(number)})
    assert notes.of("499") is None
    assert notes.of("500") == {"n": "500"}
    notes.note("500", {"n": "again"})
    notes.note("1500", {"n": "1500"})
    assert notes.of("500") == {"n": "again"}
    assert notes.of("501") is None
    notes.note("900", {"n": "again"})
    assert notes.of("502") == {"n": "502"}
    assert notes.of(None) is None
