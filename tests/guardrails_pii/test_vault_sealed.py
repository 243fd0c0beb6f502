"""Kept vaults tell nothing without a key; keys rotate, and are shown nowhere."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
from agno.db.in_memory import InMemoryDb
from agno.db.sqlite import SqliteDb
from vault_sessions import KEY, OTHER, tell

from agno_portkey.errors import ConfigurationError, VaultUnavailable
from agno_portkey.guardrails.pii.sealing import KEYS_VARIABLE
from agno_portkey.guardrails.pii.vault_store import Row
from agno_portkey.guardrails.pii.vaults import Vaults


def test_the_file_holds_no_value(tmp_path: Path) -> None:
    file = tmp_path / "vaults.db"
    vault = Vaults(str(file), keys=[KEY]).of("a-session", "ann@example.org")
    tell(vault, "Alice Liddell")
    held = file.read_bytes()
    for said in (b"Alice", b"a-session", b"ann@", b"PERSON", KEY.encode()):
        assert said not in held


def test_keys_come_from_the_environment(tmp_path: Path, monkeypatch: Any) -> None:
    file = str(tmp_path / "vaults.db")
    monkeypatch.setenv(KEYS_VARIABLE, f"{KEY}, {OTHER}")
    tell(Vaults(file).of("one"), "Alice")
    assert repr(Vaults(file, keys=[KEY]).of("one")) == "Vault(1 values)"


def test_keys_rotate(tmp_path: Path) -> None:
    old = Vaults(str(tmp_path / "v.db"), keys=[KEY])
    for session in ("one", "two"):
        tell(old.of(session), "Alice")
    both = Vaults(str(tmp_path / "v.db"), keys=[OTHER, KEY])
    assert repr(both.of("one")) == "Vault(1 values)"
    with pytest.raises(VaultUnavailable, match="not among the keys"):
        Vaults(str(tmp_path / "v.db"), keys=[OTHER]).of("one")
    assert both.rotate() == 2
    fresh = Vaults(str(tmp_path / "v.db"), keys=[OTHER])
    assert [repr(fresh.of(s)) for s in ("one", "two")] == ["Vault(1 values)"] * 2
    with pytest.raises(VaultUnavailable, match="not among the keys"):
        Vaults(str(tmp_path / "v.db"), keys=[KEY]).of("one")
    # Who had it open goes on.
    assert tell(both.of("one"), "Bob") == "<PERSON_2>"
    assert Vaults(str(tmp_path / "other.db"), keys=[KEY]).rotate() == 0


@pytest.mark.parametrize("keys", [[], "", KEY, None])
def test_without_keys_nothing_is_kept(tmp_path: Path, keys: Any) -> None:
    with pytest.raises(ConfigurationError, match="generate_key") as told:
        Vaults(str(tmp_path / "vaults.db"), keys=keys)
    assert KEY not in str(told.value)


@pytest.mark.parametrize("bad", ["no key", 7, KEY[:-2]])
def test_a_bad_key_is_refused_unshown(tmp_path: Path, bad: Any) -> None:
    with pytest.raises(ConfigurationError, match="key 2 is no Fernet key") as told:
        Vaults(str(tmp_path / "vaults.db"), keys=[KEY, bad])
    assert str(bad) not in str(told.value).replace("key 2", "")


@pytest.mark.parametrize(
    "option", [{"lifetime": 0}, {"lifetime": True}, {"most": -1}, {"timeout": float("inf")}]
)
def test_what_can_not_be_meant_is_refused(option: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(option))):
        Vaults(**option)


def test_a_database_that_can_hold_none_is_refused() -> None:
    for database in (InMemoryDb(), SqliteDb(db_url="sqlite://"), 7):
        with pytest.raises(ConfigurationError, match="can't hold vaults"):
            Vaults(database, keys=[KEY])


def test_an_agno_database_holds_them(tmp_path: Path) -> None:
    db = SqliteDb(db_file=str(tmp_path / "agno.db"))
    tell(Vaults(db, keys=[KEY]).of("one"), "Alice")
    assert repr(Vaults(str(tmp_path / "agno.db"), keys=[KEY]).of("one")) == "Vault(1 values)"


def test_nothing_shows_keys_or_values(tmp_path: Path) -> None:
    vaults = Vaults(str(tmp_path / "vaults.db"), keys=[KEY])
    tell(vaults.of("one"), "Alice")
    for each in (vaults, vaults._shelf, vaults._shelf._seal, vaults._shelf._store):
        assert KEY not in repr(each)
    contents = vaults._shelf.by_mark(vaults.of("one").seen[0] or "")
    assert contents is not None
    assert "Alice" not in repr(contents)
    assert "Alice" not in repr(Row("a", "b", "c", 1, 1, "Alice"))
    assert copy.deepcopy(vaults) is vaults
    with pytest.raises(TypeError, match="stay in their process"):
        pickle.dumps(vaults)
