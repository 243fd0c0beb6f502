"""A journal that is another file, damaged, or can't be written: nothing is sent unknown."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from batch_forms import RIGHT, Jobs, said

from agno_portkey.errors import ConfigurationError
from agno_portkey.testing import EmbeddedProvider, Fault


@pytest.mark.parametrize(
    "text",
    [
        b"hello\n",
        b'{"journal": "another"}\n',
        b"[]\n",
        b"{}",
        b"no end",
        b'{"journal": "agno-portkey batch 1", "job": "a"}\n',
    ],
)
def test_another_file_is_left_as_it_is(
    text: bytes, job: Jobs, tmp_path: Path, portkey_provider: EmbeddedProvider
) -> None:
    path = tmp_path / "job.journal"
    path.write_bytes(text)
    for use in (job().submit, job().status, job().fetch, job().cancel):
        with pytest.raises(ConfigurationError, match="journal"):
            use()
    assert path.read_bytes() == text
    assert portkey_provider.requests == []


@pytest.mark.parametrize(
    "line",
    [
        b"}{",
        b'{"uploaded": 7, "file": "f"}',
        b'{"part": 5, "lines": {}}',
        b'{"else": 1}',
        b'{"part": 1, "lines": {"x": "y"}}',
        b'{"part": 1, "lines": {"3": "d"}}',
        b'{"part": 1, "lines": {"7": "d"}}',
        b'{"refused": [0]}',
        b'{"refused": [7]}',
        b'{"refused": [-1]}',
    ],
)
def test_a_damaged_journal_sends_nothing(
    line: bytes, job: Jobs, tmp_path: Path, portkey_provider: EmbeddedProvider
) -> None:
    job().submit()
    path = tmp_path / "job.journal"
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([*lines[:2], line, *lines[2:]]) + b"\n")
    asked = len(portkey_provider.requests)
    with pytest.raises(ConfigurationError, match=r"line 3 .* damaged"):
        job().submit()
    assert len(portkey_provider.requests) == asked


@pytest.mark.parametrize("version", ["0", "2", "1.5"])
def test_a_journal_of_another_version_is_left_as_it_is(
    version: str, job: Jobs, tmp_path: Path, portkey_provider: EmbeddedProvider
) -> None:
    """It is no other file, which could be given up: what was sent is known to that version."""
    job().submit()
    path = tmp_path / "job.journal"
    path.write_bytes(path.read_bytes().replace(b"batch 1", f"batch {version}".encode()))
    text, asked = path.read_bytes(), len(portkey_provider.requests)
    for use in (job().submit, job().status, job().fetch, job().cancel):
        with pytest.raises(ConfigurationError, match="another version"):
            use()
    assert path.read_bytes() == text
    assert len(portkey_provider.requests) == asked


@pytest.mark.parametrize("line", [0, 1])
def test_a_journal_too_deep_to_be_read_is_told(
    line: int, job: Jobs, tmp_path: Path, portkey_provider: EmbeddedProvider
) -> None:
    job().submit()
    path = tmp_path / "job.journal"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:line], b"[" * 100_000 + b"\n", *lines[line:]]))
    with pytest.raises(ConfigurationError, match=r"not the journal|line 2 .* damaged"):
        job().submit()
    assert len(portkey_provider.batches.held) == 1


def test_a_journal_that_cannot_be_written_lets_nothing_out(
    job: Jobs, tmp_path: Path, portkey_provider: EmbeddedProvider
) -> None:
    with pytest.raises(ConfigurationError, match="can't be written"):
        job(journal=tmp_path / "no" / "folder").submit()
    assert portkey_provider.requests == []


@pytest.mark.parametrize("path", ["/dev/null", "/dev/full", "pipe"])
def test_what_keeps_nothing_is_no_journal(
    path: str,
    job: Jobs,
    tmp_path: Path,
    portkey_provider: EmbeddedProvider,
) -> None:
    os.mkfifo(tmp_path / "pipe")
    one = job(journal=tmp_path / path)
    for use in (one.submit, one.status, one.fetch, one.cancel):
        with pytest.raises(ConfigurationError, match="no file that could keep it"):
            use()
    assert portkey_provider.requests == []


def test_what_keeps_nothing_keeps_no_answers(
    job: Jobs, tmp_path: Path, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.status(500), times=1, text="question 3")
    job().submit()
    (tmp_path / "job.journal.retried").symlink_to("/dev/null")
    for retry in (True, False):
        with pytest.raises(ConfigurationError, match="no file that could keep it"):
            job().fetch(retry=retry)
    assert portkey_provider.calls == []


def test_the_names_of_files_are_on_the_disk_before_anything_is_paid(
    job: Jobs,
    tmp_path: Path,
    portkey_provider: EmbeddedProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A loss of power would else take the whole journal along."""
    synced: list[tuple[int, int]] = []
    sync = os.fsync

    def noting(file: int) -> None:
        synced.append((os.fstat(file).st_ino, len(portkey_provider.calls)))
        sync(file)

    monkeypatch.setattr(os, "fsync", noting)
    monkeypatch.chdir(tmp_path)
    portkey_provider.fault(Fault.status(500), times=1, text="question 3")
    folder = tmp_path.stat().st_ino
    job(journal="job.journal").submit()
    # The first record, the folder, and all else.
    assert [each for each, _ in synced].index(folder) == 1
    synced.clear()
    assert said(job(journal="job.journal").fetch(retry=True)) == RIGHT
    answers = (tmp_path / "job.journal.retried").stat().st_ino
    assert synced == [(folder, 0), (answers, 1)]


def test_a_journal_that_fails_on_the_way_is_gone_on_from(
    job: Jobs,
    portkey_provider: EmbeddedProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A full disk behind the making of a batch: it is found, and not made again."""
    from agno_portkey.knowledge.batch.journal import JobJournal

    write = JobJournal._write

    def full(self: JobJournal, record: Any) -> None:
        if "created" in record:
            raise OSError(28, "No space left on device")
        write(self, record)

    monkeypatch.setattr(JobJournal, "_write", full)
    with pytest.raises(OSError, match="space"):
        job().submit()
    monkeypatch.undo()
    job().submit()
    assert len(portkey_provider.batches.held) == 1
    assert said(job().fetch()) == RIGHT
