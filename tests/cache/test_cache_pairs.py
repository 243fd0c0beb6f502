"""The pairs that the cache is measured with, and that vetoes keep their goal on them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from agno_portkey.cache.semantic.vetoes import vetoes

PATH = Path(__file__).parents[2] / "benchmarks/cache_pairs.py"


def _written() -> ModuleType:
    spec = importlib.util.spec_from_file_location("cache_pairs", PATH)
    assert spec is not None
    assert spec.loader is not None
    sys.modules[spec.name] = made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


WRITTEN = _written()
PAIRS = WRITTEN.pairs()


def test_there_are_enough_and_always_the_same() -> None:
    assert WRITTEN.pairs() == PAIRS
    for split in ("tuned", "held"):
        ours = [pair for pair in PAIRS if pair.split == split]
        assert len(ours) == len({(pair.a, pair.b) for pair in ours}) >= 300
        assert sum(not pair.same for pair in ours) >= 200
        assert all(pair.a != pair.b and "{" not in pair.a + pair.b for pair in ours)


def test_the_halves_have_no_template_in_common() -> None:
    lines = [
        {
            line
            for line in (WRITTEN.FOLDER / f"{split}.txt").read_text().splitlines()
            if "||" in line
        }
        for split in ("tuned", "held")
    ]
    assert not lines[0] & lines[1]
    assert min(map(len, lines)) >= 70


@pytest.mark.parametrize("split", ["shared", "tuned", "held"])
def test_vetoes_keep_their_goal(split: str) -> None:
    spared = {
        same: [
            not vetoes(pair.a, pair.b) for pair in PAIRS if (pair.split, pair.same) == (split, same)
        ]
        for same in (True, False)
    }
    assert sum(spared[False]) <= len(spared[False]) / 100
    assert sum(spared[True]) >= len(spared[True]) * 0.4
