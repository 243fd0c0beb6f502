"""The twin of a database: of the same kind and state, and it writes nothing unhidden."""

from __future__ import annotations

from pathlib import Path

import pytest
from agno.db.base import SessionType
from agno.db.in_memory import InMemoryDb
from agno.db.schemas.memory import UserMemory
from agno.db.sqlite import AsyncSqliteDb
from agno.session import AgentSession
from vault_records import ALICE, a_session
from vault_sessions import KEY, tell

from agno_portkey.errors import ConfigurationError, VaultUnavailable
from agno_portkey.guardrails.pii.rooms import _Marks
from agno_portkey.guardrails.pii.spans import Span
from agno_portkey.guardrails.pii.stored import vaulted
from agno_portkey.guardrails.pii.vaults import Vaults


def test_the_twin_is_of_the_same_kind_and_state(tmp_path: Path) -> None:
    db = InMemoryDb()
    twin = vaulted(db, Vaults())
    assert isinstance(twin, InMemoryDb)
    assert type(twin).__name__ == "InMemoryDb"
    assert twin.id == db.id
    assert twin.to_dict() == db.to_dict()
    twin.upsert_user_memory(UserMemory(memory="x", user_id="a", memory_id="m"))
    twin.delete_user_memory("m")  # puts a new list in the place of the old one
    assert db.get_user_memories() == []
    for wrong in (twin, "agno.db", None):
        with pytest.raises(ConfigurationError, match="vaulted"):
            vaulted(wrong, Vaults())  # type: ignore[type-var]


def test_nothing_is_written_where_nothing_can_be_hidden(tmp_path: Path) -> None:
    file = tmp_path / "vaults.db"
    vaults = Vaults(str(file), keys=[KEY])
    tell(vaults.of("one", "ann"), ALICE)
    db = InMemoryDb()
    twin = vaulted(db, vaults)
    file.unlink()
    with pytest.raises(VaultUnavailable, match="gone"):
        twin.upsert_session(a_session())
    assert db.get_sessions(session_type=SessionType.AGENT) == []


async def test_nothing_is_written_where_nothing_can_be_hidden_async(tmp_path: Path) -> None:
    file = tmp_path / "vaults.db"
    vaults = Vaults(str(file), keys=[KEY])
    tell(vaults.of("one", "ann"), ALICE)
    db = AsyncSqliteDb(db_file=str(tmp_path / "agno.db"))
    file.unlink()
    with pytest.raises(VaultUnavailable, match="gone"):
        await vaulted(db, vaults).upsert_session(a_session())
    assert not await db.get_sessions(session_type=SessionType.AGENT)
    await db.close()


def find(text: str) -> list[Span]:
    at = text.find("Bob Dodgson")
    return [] if at < 0 else [Span(at, at + 11, "PERSON", 1.0)]


def test_what_no_vault_knows_is_found_when_it_is_written() -> None:
    db = InMemoryDb()
    twin = vaulted(db, Vaults(), find=find)
    twin.upsert_user_memory(UserMemory(memory="I am Bob Dodgson", user_id="ann", memory_id="m"))
    assert "Bob" not in repr(db.get_user_memory("m"))
    read = twin.get_user_memory("m")
    assert isinstance(read, UserMemory)
    assert read.memory == "I am Bob Dodgson"
    session = AgentSession(session_id="new", metadata={"who": "Bob Dodgson"})
    twin.upsert_session(session)
    assert "Bob" not in repr(db.get_session("new", SessionType.AGENT))


def test_what_was_read_is_remembered_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agno_portkey.guardrails.pii.rooms._MOST", 2)
    held = _Marks()
    for number in range(60):
        held.add("ann", str(number))
    assert held.of("ann") == [str(number) for number in range(10, 60)]
    for name in ("ben", "ann", "carl"):
        held.add(name, "0")
    assert [len(held.of(name)) for name in ("ann", "ben", "carl")] == [50, 0, 1]
