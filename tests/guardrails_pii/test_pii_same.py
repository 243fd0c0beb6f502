"""The shortcuts find what a plain engine of Presidio finds with the same recognisers."""

from __future__ import annotations

from benchmarks.pii import same


def test_a_plain_engine_finds_the_same() -> None:
    rows = list(same.compare(some=same.texts()[::23]))
    assert len(rows) == 3
    for name, count, with_same_model, _ in rows:
        assert count == 100
        assert with_same_model == 0, name
