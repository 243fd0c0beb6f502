"""Who is at a key, and what its journal says: half a line, a full disk, somebody else's file."""

from __future__ import annotations

import errno
import json
import os
import pickle
import stat
from pathlib import Path

import pytest
from rotated import NAME, Scene

from agno_portkey.errors import (
    ConfigurationError,
    RevocationPending,
    RotationFailed,
    RotationUnderWay,
)
from agno_portkey.security.rotation import (
    AdminFailed,
    Step,
    admin_client,
)


def test_two_at_once_are_one_that_does_and_one_that_says_so(scene: Scene) -> None:
    rotation, said = scene.rotation(current=scene.in_use()), []

    def second(step: Step) -> None:
        with pytest.raises(RotationUnderWay, match="is at this key") as under_way:
            scene.rotation().rotate()
        said.append(under_way.value.keys)

    rotation.rotate(on_step=second)
    assert set(said) == {"Nothing was done here"}
    assert scene.live == [scene.named]


def test_who_watches_and_fails_stops_nothing(scene: Scene) -> None:
    def watch(step: Step) -> None:
        raise RuntimeError

    scene.rotation(current=scene.in_use()).rotate(on_step=watch)
    assert scene.live == [scene.named]


def test_no_value_is_in_the_journal_which_is_for_its_owner_alone(scene: Scene) -> None:
    old = scene.in_use()
    rotation, values = scene.rotation(current=old), [scene.source.held[NAME]]
    rotation.rotate()
    values.append(scene.source.held[NAME])
    path = Path(rotation.journal.path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    text = path.read_text()
    assert [value for value in values if value[:12] in text] == []
    path.chmod(0o644)
    told = json.dumps([rotation.status().to_dict(), rotation.rotate().to_dict()])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [value for value in values if value[:12] in told] == []
    assert "digest" not in told


@pytest.mark.parametrize("rest", [b"", b'{"jour', b"\x00\xff"])
def test_a_line_that_a_kill_cut_off_was_of_a_step_not_begun(scene: Scene, rest: bytes) -> None:
    rotation = scene.rotation(current=scene.in_use())
    rotation.rotate()
    with open(rotation.journal.path, "ab") as file:
        file.write(rest)
    assert rotation.status().rotations == 1
    rotation.rotate()
    assert scene.live == [scene.named]
    assert rotation.status().rotations == 2


def test_a_journal_that_is_damaged_or_another_s_is_refused(scene: Scene) -> None:
    rotation = scene.rotation(current=scene.in_use())
    path = Path(rotation.journal.path)
    path.parent.mkdir(parents=True)
    for text, said in (
        ("{}\n", "damaged"),
        ("not ours\n", "damaged"),
        ('{"journal": "another", "key": "a"}\n', "is not the journal of"),
        ("no line", "is not the journal of"),
    ):
        path.write_text(text)
        with pytest.raises(ConfigurationError, match=said):
            rotation.rotate()
        assert path.read_text() == text
    assert scene.live == ["old"]


def test_what_can_t_be_written_down_is_not_done(scene: Scene) -> None:
    rotation = scene.rotation(current=scene.in_use())
    scene.folder.parent.mkdir(exist_ok=True)
    scene.folder.write_text("no folder")
    with pytest.raises(ConfigurationError, match="can't be written"):
        rotation.rotate()
    assert scene.live == ["old"]
    assert [r for r in scene.provider.requests if r.method == "POST"] == []


@pytest.mark.parametrize("line", range(1, 6))
def test_a_disk_that_is_full_stops_a_rotation_that_then_goes_on(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, line: int
) -> None:
    rotation, written = scene.rotation(current=scene.in_use()), [0]
    sync = os.fsync

    def fails(file: int) -> None:
        if os.path.isfile(f"/proc/self/fd/{file}"):
            written[0] += 1
            if written[0] == line:
                raise OSError(errno.ENOSPC, "full")
        sync(file)

    with monkeypatch.context() as patched:
        patched.setattr("agno_portkey.security.rotation.journal.os.fsync", fails)
        with pytest.raises(ConfigurationError, match=r"can't be written \(OSError\)"):
            rotation.rotate()
    assert scene.named is not None
    rotation.rotate()
    assert scene.live == [scene.named]


def test_what_failed_can_be_handed_to_another_process() -> None:
    for kind in (RotationFailed, RotationUnderWay, RevocationPending):
        error = pickle.loads(pickle.dumps(kind("a", "b", "c", "d")))
        assert (type(error), str(error), error.do) == (kind, "a: b. c. d", "d")
    failed = pickle.loads(pickle.dumps(AdminFailed("no", status=429)))
    assert (str(failed), failed.status, failed.unsure, failed.passing) == ("no", 429, False, True)


def test_an_admin_client_needs_a_key_and_an_address() -> None:
    with pytest.raises(ConfigurationError, match="api_key"):
        admin_client(" ")
    with pytest.raises(ConfigurationError, match="base_url"):
        admin_client("key", base_url="portkey")
