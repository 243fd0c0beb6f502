"""Where and when checkpoints are written."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from audited import checked, log, written

from agno_portkey.errors import DatabaseGone


def test_a_folder_for_checkpoints_is_made(path: Path, tmp_path: Path) -> None:
    for name in ("one.jsonl", "two.jsonl"):
        written(path.with_name(name), 2, checkpoints=tmp_path / "apart").close()
        assert checked(path.with_name(name), checkpoints=tmp_path / "apart").checkpoints == 2
    made = sorted(each.name for each in (tmp_path / "apart").iterdir())
    assert made == ["one.jsonl.checkpoints", "two.jsonl.checkpoints"]
    written(path, 2, checkpoints=tmp_path / "a.file").close()
    assert (tmp_path / "a.file").is_file()


def test_the_checkpoints_of_another_log_are_refused(path: Path, tmp_path: Path) -> None:
    apart = tmp_path / "apart"
    apart.mkdir()
    written(path, 1, checkpoints=apart)
    second = tmp_path / "second" / path.name
    second.parent.mkdir()
    written(second, 1)
    with pytest.raises(DatabaseGone, match="another one than its checkpoints are of"):
        log(second, checkpoints=apart)({"kind": "call"})


def test_checkpoints_are_written_at_the_first_line_then_every_so_many_and_at_the_end(
    path: Path,
) -> None:
    made = written(path, 9, every=4)
    kept = path.with_name("audit.jsonl.checkpoints")
    assert [json.loads(line)["seq"] for line in kept.read_text().splitlines()] == [0, 4, 8]
    made({"kind": "call"})
    made.close()
    made.close()
    made.checkpoint()
    assert [json.loads(line)["seq"] for line in kept.read_text().splitlines()] == [0, 4, 8, 9]
    assert kept.stat().st_mode & 0o777 == 0o600


def test_a_checkpoint_that_is_due_and_cant_be_written_is_owed(path: Path, tmp_path: Path) -> None:
    apart = tmp_path / "apart"
    apart.mkdir()
    made = written(path, 4, every=4, checkpoints=apart)
    away = apart.rename(tmp_path / "away")
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            made({"kind": "call"})
    away.rename(apart)
    made({"kind": "call"})
    report = checked(path, checkpoints=apart)
    assert (report.ok, report.records, report.unanchored) == (True, 7, 0)


def test_one_that_ends_without_closing_writes_its_checkpoint(path: Path) -> None:
    script = """if True:
        import sys
        from pathlib import Path
        sys.path.insert(0, sys.argv[1])
        from audited import written
        written(Path(sys.argv[2]), 5)
    """
    subprocess.run([sys.executable, "-c", script, Path(__file__).parent, path], check=True)
    assert checked(path).unanchored == 0
