"""Where secrets are kept: what is written is read, by its owner alone, whatever happens."""

from __future__ import annotations

import base64
import errno
import os
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keyring.errors
import pytest
from drawers import Drawer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agno_portkey.errors import (
    ConfigurationError,
    SecretMissing,
    SecretUnavailable,
)
from agno_portkey.secrets import (
    EncryptedFile,
    EnvironmentSecrets,
    FileSecrets,
    KeyringSecrets,
    SecretSource,
    WritableSource,
    private_files,
)
from agno_portkey.secrets.source import MAX_LENGTH

KEY = bytes(range(32))
VALUE = "sk-proj-0123456789abcdef"


Make = Callable[[Path], WritableSource]
MAKES: dict[str, Make] = {
    "files": lambda folder: FileSecrets(folder / "keys"),
    "keyring": lambda folder: KeyringSecrets(backend=Drawer()),
    "encrypted": lambda folder: EncryptedFile(folder / "keys.sealed", key=KEY),
}


@pytest.fixture(params=MAKES)
def source(request: pytest.FixtureRequest, tmp_path: Path) -> WritableSource:
    return MAKES[request.param](tmp_path)


def test_what_is_written_is_read_until_it_is_removed(source: WritableSource) -> None:
    assert isinstance(source, SecretSource)
    assert isinstance(source, WritableSource)
    assert source.names() == []
    source.remove("NEVER_THERE")
    with pytest.raises(SecretMissing, match="OPENAI_API_KEY"):
        source.read("OPENAI_API_KEY")
    source.write("OPENAI_API_KEY", VALUE)
    source.write("other-one.v2", "x")
    source.write("OPENAI_API_KEY", VALUE * 2)
    assert source.read("OPENAI_API_KEY") == VALUE * 2
    assert source.names() == ["OPENAI_API_KEY", "other-one.v2"]
    source.remove("OPENAI_API_KEY")
    with pytest.raises(SecretMissing):
        source.read("OPENAI_API_KEY")
    assert source.names() == ["other-one.v2"]
    assert source.read("other-one.v2") == "x"


@pytest.mark.parametrize(
    "value", ["", "  ", "a\n", "a\nb", "ü", "a\0b", " a", "x" * (MAX_LENGTH + 1)]
)
def test_what_no_header_could_hold_is_not_written(source: WritableSource, value: str) -> None:
    source.write("KEY", VALUE)
    with pytest.raises(ConfigurationError, match=r"^value:"):
        source.write("KEY", value)
    assert source.read("KEY") == VALUE


@pytest.mark.parametrize("name", ["", ".", "..", "../KEY", "a/b", ".lock", "a\0", "ü", "a" * 129])
def test_no_name_leads_elsewhere(source: WritableSource, name: str) -> None:
    for do in (source.read, source.remove, lambda name: source.write(name, VALUE)):
        with pytest.raises(ConfigurationError, match="name"):
            do(name)


def test_what_is_shown_of_a_source_and_what_it_reads_is_no_secret(source: WritableSource) -> None:
    source.write("KEY", VALUE)
    told = repr(source) + repr(source.read("KEY")) + repr([source.read("KEY")])
    assert VALUE not in told
    assert base64.b64encode(KEY).decode() not in told
    assert repr(KEY) not in repr(vars(source))


def test_no_variable_of_a_failing_frame_shows_it(
    source: WritableSource, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source.write("OLDER", VALUE)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    if isinstance(source, KeyringSecrets):
        source._backend.fails = keyring.errors.PasswordSetError(VALUE)
    for fails in (
        lambda: source.write("KEY", VALUE),
        lambda: source.write("KEY", f"{VALUE}\n"),
        lambda: source.read("KEY"),
    ):
        with pytest.raises((SecretUnavailable, ConfigurationError)) as raised:
            fails()
        told = traceback.TracebackException.from_exception(raised.value, capture_locals=True)
        # The frames of this test hold what it writes.
        shown = "".join(
            line
            for stack in _stacks(told)
            for frame in stack
            if frame.filename != __file__
            for line in [str(frame.locals)]
        )
        assert "agno_portkey" in "".join(told.format())
        assert VALUE not in shown + str(raised.value)


def _stacks(told: traceback.TracebackException | None) -> Any:
    while told is not None:
        yield told.stack
        told = told.__cause__ or told.__context__


VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=12, max_size=60)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.dictionaries(
        st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,20}", fullmatch=True),
        VALUES.map(str.strip).filter(lambda value: len(value) >= 12),
        max_size=3,
    )
)
def test_whatever_is_written_is_read_and_nowhere_in_the_file(
    values: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("kept")
    sealed, files = EncryptedFile(folder / "sealed", key=KEY), FileSecrets(folder / "keys")
    for name, value in values.items():
        sealed.write(name, value)
        files.write(name, value)
    again = EncryptedFile(folder / "sealed", key=base64.b64encode(KEY).decode())
    assert {name: again.read(name) for name in again.names()} == values
    assert {name: files.read(name) for name in files.names()} == values
    kept = (folder / "sealed").read_bytes() if values else b""
    for value in values.values():
        assert value.encode() not in kept
        assert base64.b64encode(value.encode()) not in kept


# The environment


def test_the_environment_is_read_anew_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    source = EnvironmentSecrets("MY_")
    assert isinstance(source, SecretSource)
    assert not isinstance(source, WritableSource)
    with pytest.raises(SecretMissing, match="set the environment variable MY_KEY"):
        source.read("KEY")
    for value in (VALUE, VALUE[::-1]):
        monkeypatch.setenv("MY_KEY", value)
        assert source.read("KEY") == value
    monkeypatch.setenv("MY_KEY", "")
    with pytest.raises(SecretMissing):
        source.read("KEY")


# Files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "keys"
    FileSecrets(folder).write("KEY", VALUE)
    return folder


def test_what_is_written_is_its_owners_alone(folder: Path, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        FileSecrets(folder).write("KEY2", VALUE)
        EncryptedFile(tmp_path / "new" / "sealed", key=KEY).write("KEY", VALUE)
    finally:
        os.umask(before)
    for place in (folder, tmp_path / "new"):
        assert place.stat().st_mode & 0o077 == 0
        assert {path.stat().st_mode & 0o777 for path in place.iterdir()} == {0o600}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o601])
def test_what_others_may_use_is_refused(folder: Path, tmp_path: Path, mode: int) -> None:
    sealed = EncryptedFile(tmp_path / "sealed", key=KEY)
    sealed.write("KEY", VALUE)
    for path, source in ((folder / "KEY", FileSecrets(folder)), (sealed.path, sealed)):
        path.chmod(mode)
        with pytest.raises(SecretUnavailable, match="chmod 600"):
            source.read("KEY")
        path.chmod(0o400)
        assert source.read("KEY") == VALUE


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o722])
def test_a_folder_that_others_may_write_to_is_refused(folder: Path, mode: int) -> None:
    folder.chmod(mode)
    for do in (
        lambda: FileSecrets(folder).read("KEY"),
        lambda: FileSecrets(folder).write("KEY", VALUE),
        lambda: FileSecrets(folder).remove("KEY"),
        FileSecrets(folder).names,
    ):
        with pytest.raises(SecretUnavailable, match="chmod 700"):
            do()
    folder.chmod(0o700)
    assert FileSecrets(folder).read("KEY") == VALUE


def test_what_belongs_to_others_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: owner + 1)
    if owner == 0:
        # Whose files root may put there; these are another's.
        os.chown(folder / "KEY", 4711, -1)
    with pytest.raises(SecretUnavailable, match="belongs to another user"):
        FileSecrets(folder).read("KEY")


def test_links_are_followed_within_the_folder_alone(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text(VALUE)
    outside.chmod(0o600)
    (folder / "OUT").symlink_to(outside)
    (folder / "UP").symlink_to("../outside")
    (folder / "LOOP").symlink_to("LOOP")
    (folder / "GONE").symlink_to("nothing")
    # As containers mount them.
    (folder / "..2026").mkdir(mode=0o700)
    (folder / "KEY").rename(folder / "..2026" / "MOUNTED")
    (folder / "..data").symlink_to("..2026")
    (folder / "MOUNTED").symlink_to("..data/MOUNTED")
    source = FileSecrets(folder)
    for name in ("OUT", "UP"):
        with pytest.raises(SecretUnavailable, match="leads out of its folder"):
            source.read(name)
    with pytest.raises((SecretUnavailable, SecretMissing)):
        source.read("LOOP")
    with pytest.raises(SecretMissing):
        source.read("GONE")
    assert source.read("MOUNTED") == VALUE
    # What is written takes the place of the link, and never goes where it leads.
    source.write("OUT", "another")
    assert outside.read_text() == VALUE


def test_a_sealed_file_is_no_link(tmp_path: Path) -> None:
    EncryptedFile(tmp_path / "sealed", key=KEY).write("KEY", VALUE)
    (tmp_path / "link").symlink_to("sealed")
    with pytest.raises(SecretUnavailable, match="can't be read"):
        EncryptedFile(tmp_path / "link", key=KEY).read("KEY")


def test_what_is_no_file_is_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "PIPE", 0o600)
    (folder / "FOLDER").mkdir()
    for name in ("PIPE", "FOLDER"):
        with pytest.raises(SecretUnavailable):
            FileSecrets(folder).read(name)
    with pytest.raises(SecretUnavailable, match="is no folder"):
        FileSecrets(folder / "KEY").read("KEY")


@pytest.mark.parametrize(
    ("held", "read"),
    [(f"{VALUE}\n", VALUE), (f"{VALUE}\r\n", VALUE), (f"{VALUE}\n\n", f"{VALUE}\n")],
)
def test_one_end_of_a_line_is_none_of_the_value(folder: Path, held: str, read: str) -> None:
    (folder / "KEY").write_bytes(held.encode())
    assert FileSecrets(folder).read("KEY") == read


@pytest.mark.parametrize("held", [b"\xff\xfe", "ü".encode(), b"x" * (MAX_LENGTH + 3)])
def test_what_can_be_no_key_is_refused(folder: Path, held: bytes) -> None:
    (folder / "KEY").write_bytes(held)
    with pytest.raises(SecretUnavailable):
        FileSecrets(folder).read("KEY")


def test_a_write_that_fails_leaves_what_was_there(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed = EncryptedFile(tmp_path / "sealed", key=KEY)
    sealed.write("KEY", VALUE)

    def broken(file: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    for source in (FileSecrets(folder), sealed):
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", broken)
            with pytest.raises(SecretUnavailable, match="what was there is still there"):
                source.write("KEY", "another")
        assert source.read("KEY") == VALUE
    # What was begun is not left behind.
    assert not [*folder.glob(".KEY*.part"), *tmp_path.glob(".sealed*.part")]


def test_who_writes_at_the_same_time_is_waited_for_and_not_for_ever(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(private_files, "_WAIT", 0.02)
    with (
        private_files.alone(folder / ".lock"),
        pytest.raises(SecretUnavailable, match="another process has had"),
    ):
        FileSecrets(folder).write("KEY", VALUE)
    FileSecrets(folder).write("KEY", VALUE)


# The keyring


@pytest.mark.parametrize("error", [keyring.errors.KeyringLocked(), OSError(), ValueError(VALUE)])
def test_a_keyring_that_fails_is_said_to(error: Exception) -> None:
    drawer = Drawer()
    source = KeyringSecrets(backend=drawer)
    source.write("KEY", VALUE)
    drawer.fails = error
    for do in (
        lambda: source.read("KEY"),
        lambda: source.write("KEY", VALUE),
        lambda: source.remove("KEY"),
        source.names,
    ):
        with pytest.raises(SecretUnavailable, match=type(error).__name__) as raised:
            do()
        assert VALUE not in str(raised.value)


def test_a_keyring_that_keeps_nothing_is_found_out() -> None:
    drawer = Drawer()
    drawer.forgets = True
    with pytest.raises(SecretUnavailable, match="did not keep it"):
        KeyringSecrets(backend=drawer).write("KEY", VALUE)


@pytest.mark.parametrize("lie", [b"bytes", 4711])
def test_a_keyring_that_lies_is_found_out(lie: Any) -> None:
    drawer = Drawer()
    drawer.held["agno-portkey", "KEY"] = lie
    with pytest.raises(SecretUnavailable, match="no text"):
        KeyringSecrets(backend=drawer).read("KEY")


@pytest.mark.parametrize("index", ["{}", "no JSON", "[1, null]", '"KEY"'])
def test_a_list_of_names_that_is_none_does_no_harm(index: str) -> None:
    drawer = Drawer()
    drawer.held["agno-portkey", ".names"] = index
    source = KeyringSecrets(backend=drawer)
    assert source.names() == []
    source.write("KEY", VALUE)
    assert source.names() == ["KEY"]
    del drawer.held["agno-portkey", "KEY"]
    assert source.names() == []


def test_environments_have_entries_of_their_own() -> None:
    drawer = Drawer()
    KeyringSecrets(backend=drawer, environment="dev").write("KEY", VALUE)
    for environment in ("prod", None):
        with pytest.raises(SecretMissing):
            KeyringSecrets(backend=drawer, environment=environment).read("KEY")


def test_the_usual_keyring_is_the_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    drawer = Drawer()
    monkeypatch.setattr(keyring, "get_keyring", lambda: drawer)
    KeyringSecrets().write("KEY", VALUE)
    assert drawer.held["agno-portkey", "KEY"] == VALUE
