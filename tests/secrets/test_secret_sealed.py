"""The encrypted file: opened by its key, in its environment, and only as it was written."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agno_portkey.errors import ConfigurationError, SecretUnavailable, WrongEnvironment
from agno_portkey.secrets import EncryptedFile, encrypted, private_files
from agno_portkey.secrets.encrypted import KEY_VARIABLE

KEY = bytes(range(32))
VALUE = "sk-proj-0123456789abcdef"


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    EncryptedFile(tmp_path / "sealed", key=KEY).write("KEY", VALUE)
    return tmp_path / "sealed"


def test_another_key_opens_nothing_and_changes_nothing(sealed: Path) -> None:
    before = sealed.read_bytes()
    other = EncryptedFile(sealed, key=bytes(32))
    for do in (lambda: other.read("KEY"), lambda: other.write("KEY", "x"), other.names):
        with pytest.raises(SecretUnavailable, match="sealed with another key"):
            do()
    with pytest.raises(SecretUnavailable):
        other.remove("KEY")
    assert sealed.read_bytes() == before


def test_a_passphrase_opens_what_it_sealed_and_no_other_does(tmp_path: Path) -> None:
    path, phrase = tmp_path / "sealed", "correct horse battery staple"
    EncryptedFile(path, passphrase=phrase).write("KEY", VALUE)
    again = EncryptedFile(path, passphrase=phrase)
    assert again.read("KEY") == VALUE
    again.write("OTHER", VALUE)
    assert again.names() == ["KEY", "OTHER"]
    with pytest.raises(SecretUnavailable, match="another passphrase"):
        EncryptedFile(path, passphrase=phrase.upper()).read("KEY")
    with pytest.raises(SecretUnavailable, match="written with a passphrase"):
        EncryptedFile(path, key=KEY).read("KEY")
    assert phrase not in repr(vars(again))


def test_a_key_file_is_not_opened_with_a_passphrase(sealed: Path) -> None:
    with pytest.raises(SecretUnavailable, match="written with a key"):
        EncryptedFile(sealed, passphrase="correct horse battery staple").read("KEY")


def test_every_byte_counts(sealed: Path) -> None:
    whole = sealed.read_bytes()
    source = EncryptedFile(sealed, key=KEY)
    for place in range(len(whole)):
        for changed in (
            whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :],
            whole[:place],
            whole[:place] + b"\n" + whole[place:],
        ):
            sealed.write_bytes(changed)
            with pytest.raises((SecretUnavailable, WrongEnvironment)):
                source.read("KEY")
    sealed.write_bytes(whole)
    assert source.read("KEY") == VALUE


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_no_bytes_are_taken_for_secrets(sealed: Path, held: bytes) -> None:
    sealed.write_bytes(held)
    with pytest.raises(SecretUnavailable):
        EncryptedFile(sealed, key=KEY).read("KEY")


@pytest.mark.parametrize(
    "line",
    [
        '{"environment": null, "format": "secrets 2", "salt": ""}',
        "[]",
        "null",
        "0",
        "{" * 9000,
        '{"environment": 1, "salt": ""}',
        "\ud800",
    ],
)
def test_no_first_line_is_taken_for_ours(sealed: Path, line: str) -> None:
    _, kept = sealed.read_bytes().split(b"\n", 1)
    sealed.write_bytes(line.encode(errors="surrogatepass") + b"\n" + kept)
    with pytest.raises(SecretUnavailable, match="no file of secrets"):
        EncryptedFile(sealed, key=KEY).read("KEY")


def test_what_is_too_long_is_not_read(sealed: Path) -> None:
    with sealed.open("ab") as file:
        file.truncate((4 << 20) + 1)
    with pytest.raises(SecretUnavailable, match="more than"):
        EncryptedFile(sealed, key=KEY).read("KEY")


def test_a_file_of_another_environment_is_refused(
    sealed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(WrongEnvironment, match="holds secrets of no environment, and this is prod"):
        EncryptedFile(sealed, key=KEY, environment="Production").read("KEY")
    monkeypatch.setenv("PORTKEY_ENVIRONMENT", "prod")
    path = tmp_path / "of-prod"
    EncryptedFile(path, key=KEY).write("KEY", VALUE)
    monkeypatch.setenv("PORTKEY_ENVIRONMENT", "dev")
    source = EncryptedFile(path, key=KEY)
    for do in (lambda: source.read("KEY"), lambda: source.write("KEY", "x"), source.names):
        with pytest.raises(WrongEnvironment, match="of prod, and this is dev"):
            do()
    # What its first line says is sealed as well.
    about, kept = path.read_bytes().split(b"\n", 1)
    said = {**json.loads(about), "environment": "dev"}
    path.write_bytes(json.dumps(said, sort_keys=True).encode() + b"\n" + kept)
    with pytest.raises(SecretUnavailable, match="can't be opened"):
        source.read("KEY")


def test_the_key_may_come_from_the_environment(
    sealed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigurationError, match=KEY_VARIABLE):
        EncryptedFile(sealed)
    monkeypatch.setenv(KEY_VARIABLE, base64.urlsafe_b64encode(KEY).decode())
    assert EncryptedFile(sealed).read("KEY") == VALUE


@pytest.mark.parametrize(
    "given",
    [
        {"key": "short"},
        {"key": b"short"},
        {"passphrase": "short"},
        {"key": KEY, "passphrase": "correct horse battery staple"},
    ],
)
def test_what_is_no_key_is_refused(tmp_path: Path, given: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as raised:
        EncryptedFile(tmp_path / "sealed", **given)
    assert "short" not in str(raised.value)


def test_a_full_file_is_not_written(sealed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encrypted, "_MOST_BYTES", len(sealed.read_bytes()) + 20)
    source = EncryptedFile(sealed, key=KEY)
    with pytest.raises(SecretUnavailable, match="is full"):
        source.write("OTHER", "x" * 40)
    assert source.names() == ["KEY"]


def test_nothing_of_it_is_written_in_between(sealed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes to the disk on the way is sealed too."""
    written: list[bytes] = []
    opened = os.fdopen

    def noted(file: int, mode: str = "r", **how: Any) -> Any:
        made = opened(file, mode, **how)
        if "w" in mode:
            return _Noting(made, written)
        return made

    monkeypatch.setattr(private_files.os, "fdopen", noted)
    EncryptedFile(sealed, key=KEY).write("OTHER", VALUE[::-1])
    assert written
    assert all(VALUE[::-1].encode() not in each for each in written)


class _Noting:
    def __init__(self, file: Any, written: list[bytes]) -> None:
        self._file, self._written = file, written

    def __enter__(self) -> Any:
        self._file.__enter__()
        return self

    def __exit__(self, *how: Any) -> None:
        self._file.__exit__(*how)

    def write(self, value: bytes) -> None:
        self._written.append(bytes(value))
        self._file.write(value)

    def flush(self) -> None:
        self._file.flush()
