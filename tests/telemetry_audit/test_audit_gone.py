"""A log that was moved, cut or put back is missed, by its writer and by its checkpoints."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from audited import log, numbers, written

from agno_portkey.errors import DatabaseGone
from agno_portkey.telemetry.audit import file


def moved(path: Path) -> None:
    path.rename(path.with_suffix(".1"))


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))


def put_back(path: Path) -> None:
    copy = path.read_bytes()
    path.rename(path.with_suffix(".1"))
    path.write_bytes(copy)


@pytest.mark.parametrize("change", [moved, emptied, cut, put_back])
def test_a_log_that_was_moved_or_cut_is_not_begun_anew(
    change: Callable[[Path], None], path: Path
) -> None:
    made = written(path, 3)
    change(path)
    before = path.read_bytes() if path.exists() else None
    with pytest.raises(DatabaseGone, match="begin another log"):
        made({"kind": "call"})
    assert (path.read_bytes() if path.exists() else None) == before


def test_a_file_that_is_put_in_its_place_while_it_is_waited_for(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(path, 2)
    away = path.with_suffix(".1")
    real = file.take

    def late(held: int, **how: Any) -> None:
        if not away.exists() and os.path.samestat(os.fstat(held), path.stat()):
            put_back(path)
        real(held, **how)

    monkeypatch.setattr(file, "take", late)
    written(path, 1, begin=2)
    assert (numbers(path), numbers(away)) == ([0, 1, 2], [0, 1])


@pytest.mark.parametrize("change", [moved, emptied, cut])
def test_nor_by_another_process_that_knows_the_checkpoints(
    change: Callable[[Path], None], path: Path, tmp_path: Path
) -> None:
    apart = tmp_path / "apart"
    apart.mkdir()
    written(path, 3, checkpoints=apart).close()
    assert [each.name for each in apart.iterdir()] == ["audit.jsonl.checkpoints"]
    change(path)
    with pytest.raises(DatabaseGone, match="begin another log"):
        log(path, checkpoints=apart)({"kind": "call"})
