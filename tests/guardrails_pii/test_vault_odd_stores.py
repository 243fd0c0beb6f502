"""A store that raises, hangs, lies or is gone blocks, and loses nothing that was used."""

from __future__ import annotations

import multiprocessing
import sqlite3
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from vault_sessions import KEY, tell

from agno_portkey.errors import MissingExtraError, VaultUnavailable
from agno_portkey.guardrails.pii.sealing import Seal
from agno_portkey.guardrails.pii.vault_store import MemoryStore, Row, Store
from agno_portkey.guardrails.pii.vaults import Vaults


class Odd(MemoryStore):
    """A store of the user's, which does as it is told."""

    place = "an odd store"

    def __init__(self) -> None:
        super().__init__(100)
        self.odd: dict[str, Any] = {}

    def get(self, session: str, user: str) -> Row | None:
        return self.odd["get"]() if "get" in self.odd else super().get(session, user)

    def put(self, row: Row) -> bool:
        return self.odd["put"]() if "put" in self.odd else super().put(row)

    def by_mark(self, mark: str) -> Row | None:
        return self.odd["by_mark"]() if "by_mark" in self.odd else super().by_mark(mark)

    def rows(self, **asked: Any) -> Any:
        return self.odd["rows"]() if "rows" in self.odd else super().rows(**asked)


class Theirs:
    """The same, and not known as one of ours."""

    def __init__(self) -> None:
        self.odd_store = Odd()
        self.place = "an odd store"


def _handed_on(name: str) -> Any:
    return lambda self, *args, **kwargs: getattr(self.odd_store, name)(*args, **kwargs)


for _name in ("get", "by_mark", "rows", "marks", "put", "touch", "drop"):
    setattr(Theirs, _name, _handed_on(_name))


@pytest.fixture
def theirs() -> Theirs:
    store = Theirs()
    assert isinstance(store, Store)
    return store


def _vaults(theirs: Theirs, **options: Any) -> Vaults:
    return Vaults(theirs, keys=[KEY], **options)


def _raise() -> Any:
    raise RuntimeError("Alice is in the message")


def test_a_store_that_raises_blocks_and_loses_nothing(theirs: Theirs) -> None:
    vaults = _vaults(theirs)
    vault = vaults.of("one")
    tell(vault, "Alice")
    for broken, use in [
        ("get", lambda: vaults.of("one")),
        ("put", lambda: tell(vault, "Bob")),
        ("by_mark", lambda: vaults.by_mark("0" * 16, "one", None)),
        ("rows", lambda: vaults.all_of(None, "ann")),
    ]:
        theirs.odd_store.odd = {broken: _raise}
        with pytest.raises(VaultUnavailable, match=r"RuntimeError \(an odd store\)") as told:
            use()
        assert "Alice" not in str(told.value)
        assert told.value.__cause__ is None
    theirs.odd_store.odd = {}
    # What could not be kept has no number: nobody has seen it.
    assert vault.show("<PERSON_2>") == "<PERSON_2>"
    assert tell(vault, "Carol") == "<PERSON_2>"
    assert tell(_vaults(theirs).of("one"), "Bob") == "<PERSON_3>"


def test_a_store_that_hangs_blocks_in_time(theirs: Theirs) -> None:
    go_on = threading.Event()
    vaults = _vaults(theirs, timeout=0.05)
    vault = vaults.of("one")
    theirs.odd_store.odd = {"put": go_on.wait}
    try:
        with pytest.raises(VaultUnavailable, match=r"no answer within 0\.05 s"):
            tell(vault, "Alice")
        with pytest.raises(VaultUnavailable, match="hangs, and is asked again later"):
            vaults.of("one")
    finally:
        go_on.set()
    vaults._shelf._pause_until = 0.0
    theirs.odd_store.odd = {}
    assert tell(vaults.of("one"), "Alice") == "<PERSON_1>"


def test_a_store_that_lies_blocks(theirs: Theirs) -> None:
    vaults = _vaults(theirs)
    one, two = vaults.of("one"), vaults.of("two")
    tell(one, "Alice")
    old = theirs.odd_store.by_mark(one.seen[0] or "")
    tell(one, "Bob")
    tell(two, "Carol")
    other = theirs.odd_store.by_mark(two.seen[0] or "")
    assert old is not None
    assert other is not None
    as_one = replace(other, session=old.session, user=old.user)
    lies: list[tuple[Any, str]] = [
        (old, "an earlier version"),
        (other, "another session"),
        (as_one, "in the row of another"),
        (replace(as_one, mark=old.mark), "in the row of another"),
        (replace(old, version=9), "in the row of another"),
        (replace(old, payload=old.payload[:-5]), "it was changed"),
        (replace(old, payload="ü"), "it was changed"),
        (replace(old, payload=None), "no row"),
        (replace(old, mark="x"), "no row"),
        (replace(old, used="now"), "no row"),
        ("row", "no row"),
    ]
    for lie, said in lies:
        theirs.odd_store.odd = {"get": lambda lie=lie: lie}
        with pytest.raises(VaultUnavailable, match=said):
            vaults.of("one")
    theirs.odd_store.odd = {"by_mark": lambda: other}
    with pytest.raises(VaultUnavailable, match="another session"):
        vaults.by_mark(old.mark, "one", None)
    theirs.odd_store.odd = {"rows": lambda: [other]}
    for asked in ((None, "ann"), ("one", None)):
        with pytest.raises(VaultUnavailable, match="another session or user"):
            vaults.all_of(*asked)


def test_a_store_that_only_says_it_wrote_blocks(theirs: Theirs) -> None:
    vaults = _vaults(theirs)
    vault = vaults.of("one")
    theirs.odd_store.odd = {"put": lambda: True}
    with pytest.raises(VaultUnavailable, match="nothing where something was just written"):
        tell(vault, "Alice")
    theirs.odd_store.odd = {}
    tell(vault, "Alice")
    theirs.odd_store.odd = {"put": lambda: True}
    with pytest.raises(VaultUnavailable, match="an earlier version than was written"):
        tell(vault, "Bob")
    theirs.odd_store.odd = {"put": lambda: False}
    with pytest.raises(VaultUnavailable, match="too many write"):
        tell(vault, "Bob")
    with pytest.raises(VaultUnavailable, match="too many write"):
        vaults.rotate()


def test_a_file_that_was_taken_away_blocks(tmp_path: Path) -> None:
    file = tmp_path / "vaults.db"
    vaults = Vaults(str(file), keys=[KEY])
    vault = vaults.of("one")
    tell(vault, "Alice")
    file.unlink()
    for use in (lambda: vaults.of("one"), lambda: tell(vault, "Bob")):
        with pytest.raises(VaultUnavailable, match="was there and is gone"):
            use()
    file.write_bytes(b"no database at all, whatever it is called" * 100)
    with pytest.raises(VaultUnavailable, match="not a database"):
        vaults.of("one")


def test_a_table_that_was_taken_away_blocks(tmp_path: Path) -> None:
    file = tmp_path / "vaults.db"
    vaults = Vaults(str(file), keys=[KEY])
    vault = vaults.of("one")
    tell(vault, "Alice")
    with sqlite3.connect(file) as connection:
        connection.execute("DROP TABLE agno_portkey_vaults")
    for use in (lambda: vaults.of("one"), lambda: tell(vault, "Bob")):
        with pytest.raises(VaultUnavailable, match="no such table"):
            use()


def test_a_locked_file_blocks(tmp_path: Path) -> None:
    file = tmp_path / "vaults.db"
    vaults = Vaults(str(file), keys=[KEY], timeout=0.3)
    vault = vaults.of("one")
    tell(vault, "Alice")
    with sqlite3.connect(file) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        with pytest.raises(VaultUnavailable, match=r"locked|no answer"):
            tell(vault, "Bob")
    vaults._shelf._pause_until = 0.0
    assert tell(vault, "Bob") == "<PERSON_2>"


def test_a_server_that_is_gone_blocks_and_its_password_is_not_shown() -> None:
    vaults = Vaults("postgresql://me:secret-word@127.0.0.1:1/none", keys=[KEY])
    with pytest.raises(VaultUnavailable) as told:
        vaults.of("one")
    assert "secret-word" not in f"{told.value}{vaults!r}"


@pytest.mark.parametrize(
    "entries", [[["PERSON"]], [["PERSON", 7]], [["no kind", "x"]], [["PERSON", "a", "a"]], [7]]
)
def test_what_is_sealed_and_is_no_value_blocks(theirs: Theirs, entries: Any) -> None:
    vaults = _vaults(theirs)
    tell(vaults.of("one"), "Alice")
    row = theirs.odd_store.get(*vaults._shelf.by_mark(vaults.of("one").seen[0] or "").key)  # type: ignore[union-attr]
    assert row is not None
    row = replace(row, version=2)
    seal = Seal([KEY])
    theirs.odd_store.put(replace(row, payload=seal.closed(row, entries)))
    with pytest.raises(VaultUnavailable, match="what is no value"):
        vaults.of("one")


@pytest.mark.parametrize("text", ["no JSON", "7", "null"])
def test_what_is_sealed_and_is_no_vault_blocks(theirs: Theirs, text: str) -> None:
    vaults = _vaults(theirs)
    row = Row("s", "u", "0" * 16, 1, 1, Fernet(KEY).encrypt(text.encode()).decode())
    theirs.odd_store.odd = {"get": lambda: row, "by_mark": lambda: row}
    with pytest.raises(VaultUnavailable, match="holds what is none"):
        vaults.by_mark("0" * 16, "s", "u")


def test_missing_packages_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingExtraError, match="driver of mysql"):
        Vaults("mysql://me:secret-word@127.0.0.1/none", keys=[KEY])
    monkeypatch.setitem(sys.modules, "cryptography.fernet", None)
    with pytest.raises(MissingExtraError, match=r"agno-portkey\[pii\]"):
        Vaults(str(tmp_path / "vaults.db"), keys=[KEY])


def _in_a_child(vaults: Vaults, found: Any) -> None:
    vault = vaults.of("one")
    found.put((vault.show("<PERSON_1>"), tell(vault, "Bob")))


def test_a_forked_process_goes_on(tmp_path: Path) -> None:
    vaults = Vaults(str(tmp_path / "vaults.db"), keys=[KEY], timeout=30)
    tell(vaults.of("one"), "Alice")
    fork = multiprocessing.get_context("fork")
    found = fork.SimpleQueue()
    with vaults._lock, vaults._shelf._lock:  # held by a thread that the child does not have
        child = fork.Process(target=_in_a_child, args=(vaults, found))
        child.start()
        child.join()
    assert child.exitcode == 0
    assert found.get() == ("Alice", "<PERSON_2>")
    assert vaults.of("one").show("<PERSON_2>") == "Bob"


def test_what_a_child_process_does_with_its_parents_locks(tmp_path: Path) -> None:
    vaults = Vaults(str(tmp_path / "vaults.db"), keys=[KEY])
    tell(vaults.of("one"), "Alice")
    for each in (vaults, vaults._shelf, vaults._shelf._store._table):  # type: ignore[attr-defined]
        each._pid = 0
    with vaults._lock, vaults._shelf._lock:
        assert tell(vaults.of("one"), "Bob") == "<PERSON_2>"


def test_a_database_that_takes_no_table_blocks(tmp_path: Path) -> None:
    file = tmp_path / "empty.db"
    sqlite3.connect(file).close()
    vault = Vaults(f"sqlite:///file:{file}?mode=ro&uri=true", keys=[KEY]).of("one")
    with pytest.raises(VaultUnavailable, match="can't be used"):
        tell(vault, "Alice")


def test_what_is_gone_is_neither_touched_nor_sealed_anew(theirs: Theirs) -> None:
    MemoryStore(1).touch("0" * 16, 1)
    vaults = _vaults(theirs)
    tell(vaults.of("one"), "Alice")
    theirs.odd_store.odd = {"by_mark": lambda: None}
    assert vaults.rotate() == 0
