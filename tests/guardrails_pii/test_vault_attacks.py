"""What is done to sessions while they are in use: copied, forgotten, handed over; and calls end."""

from __future__ import annotations

import asyncio
import copy
import gc
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent
from agno.db.base import SessionType
from agno.db.schemas.memory import UserMemory
from agno.db.sqlite import AsyncSqliteDb, SqliteDb
from agno.models.message import Message
from agno.run.base import RunStatus
from agno.session import AgentSession
from four_forms import FORMS, ask, play
from vault_records import ALICE, a_run, a_session
from vault_sessions import KEY, held, tell

from agno_portkey.errors import VaultUnavailable
from agno_portkey.guardrails.pii import PIIGuardrail, Vault, Vaults, vaulted
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider, Fault, Reply, ToolCall

MAIL = "alice@example.org"
SECONDS = 30.0


@pytest.fixture
def vaults(tmp_path: Path) -> Vaults:
    return Vaults(str(tmp_path / "vaults.db"), keys=[KEY], timeout=30)


@pytest.fixture
def pseudonymous(portkey_model: PortkeyModel) -> Callable[[Vaults], PortkeyModel]:
    def make(vaults: Vaults) -> PortkeyModel:
        model = copy.copy(portkey_model)
        guard = PIIGuardrail("pseudonymize", entities=["EMAIL_ADDRESS"], vaults=vaults)
        model.guards = [guard]
        return model

    return make


def test_a_copied_session_is_hidden_too(
    pseudonymous: Any, vaults: Vaults, portkey_provider: EmbeddedProvider, tmp_path: Path
) -> None:
    db = vaulted(SqliteDb(db_file=str(tmp_path / "agno.db")), vaults)
    agent = Agent(model=pseudonymous(vaults), db=db)
    portkey_provider.reply(Reply("I write to <EMAIL_ADDRESS_1>"))
    for user in ("ann", None):
        agent.run(f"I am {MAIL}", session_id=f"one {user}", user_id=user)
        fork = agent.fork_session(source_session_id=f"one {user}", user_id=user)
        assert b"alice" not in held(tmp_path)
        # It is a session of its own, which the other's end does not end.
        vaults.forget(f"one {user}")
        copied = agent.get_session(fork, user_id=user)
        assert copied.runs[0].input.input_content == f"I am {MAIL}"
        vaults.forget(fork)
        assert MAIL not in repr(agent.get_session(fork, user_id=user))


@pytest.mark.parametrize("form", FORMS)
def test_a_session_that_is_forgotten_during_a_run_is_not_stored_unhidden(
    pseudonymous: Any, vaults: Vaults, portkey_provider: EmbeddedProvider, tmp_path: Path, form: str
) -> None:
    db = SqliteDb(db_file=str(tmp_path / "agno.db"))

    def forget() -> str:
        """Forget this session."""
        return str(vaults.forget("one"))

    agent = Agent(
        model=pseudonymous(vaults), db=vaulted(db, vaults), tools=[forget], telemetry=False
    )
    portkey_provider.reply(Reply("Hello"))
    play(agent, form, f"I am {MAIL}", session_id="one", user_id="ann")
    portkey_provider.reply(Reply(tool_calls=(ToolCall("forget", {}),)))
    portkey_provider.reply(Reply("Bye"))
    ended = play(agent, form, "forget me", session_id="one", user_id="ann")
    # The host only warns of what can't be stored.
    assert (ended.status, ended.content) == (RunStatus.completed, "Bye")
    assert b"alice" not in held(tmp_path)
    # The next run begins anew, with nothing of it.
    portkey_provider.reply(Reply("Hello, <EMAIL_ADDRESS_1>"))
    ended = play(agent, form, "again, of bob@example.org", session_id="one", user_id="ann")
    assert ended.content == "Hello, bob@example.org"
    assert b"alice" not in held(tmp_path)
    assert b"bob@" not in held(tmp_path)


def test_what_was_read_is_not_stored_after_its_session_was_forgotten(
    vaults: Vaults, tmp_path: Path
) -> None:
    db: Any = vaulted(SqliteDb(db_file=str(tmp_path / "agno.db")), vaults)
    tell(vaults.of("one", "ann"), ALICE)
    db.upsert_session(a_session())
    read = db.get_session("one", SessionType.AGENT)
    assert read.metadata == {"note": f"for {ALICE}"}
    vaults.forget("one")
    with pytest.raises(VaultUnavailable, match="was forgotten"):
        db.upsert_session(read)
    assert b"Alice" not in held(tmp_path)
    # Who reads it anew has nothing that could be stored unhidden.
    db.upsert_session(db.get_session("one", SessionType.AGENT))
    assert b"Alice" not in held(tmp_path)


class _Watching(Vaults):
    """Vaults that know which of their calls' vaults there still are."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[weakref.ref[Vault]] = []

    def for_call(self) -> Vault:
        vault = super().for_call()
        self.made.append(weakref.ref(vault))
        return vault

    def there(self, *, wanted: int) -> int:
        """How many; a thread that looked for personal data may hold one for a moment more."""
        deadline = time.monotonic() + SECONDS
        while True:
            gc.collect()
            there = sum(each() is not None for each in self.made)
            if there == wanted or time.monotonic() > deadline:
                return there
            time.sleep(0.01)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("fails", [False, True])
def test_what_a_call_without_a_session_has_hidden_ends_with_it(
    pseudonymous: Any, portkey_provider: EmbeddedProvider, form: str, fails: bool
) -> None:
    vaults = _Watching()
    model = pseudonymous(vaults)
    portkey_provider.reply(Fault.status(400) if fails else Reply("To <EMAIL_ADDRESS_1>"))
    try:
        said = repr(ask(model, form, f"I am {MAIL}"))
    except Exception as error:
        said = repr(error)
        assert fails, said
        del error
    assert (MAIL in said) is not fails
    assert MAIL not in repr([each.body for each in portkey_provider.requests])
    assert vaults.made
    assert vaults.there(wanted=0) == 0


async def test_the_same_of_a_call_that_is_cancelled(
    pseudonymous: Any, portkey_provider: EmbeddedProvider
) -> None:
    vaults = _Watching()
    portkey_provider.reply(Reply("To <EMAIL_ADDRESS_1>", delay=1.0))
    asked = pseudonymous(vaults).aresponse([Message(role="user", content=f"I am {MAIL}")])
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await asked
    del asked
    assert vaults.made
    assert vaults.there(wanted=0) == 0


def test_the_same_of_a_stream_that_is_left(
    pseudonymous: Any, portkey_provider: EmbeddedProvider
) -> None:
    vaults = _Watching()
    portkey_provider.reply(Reply(chunks=["To ", "<EMAIL_ADDRESS_1> ", "and ", "on"]))
    stream = pseudonymous(vaults).response_stream([Message(role="user", content=f"I am {MAIL}")])
    while "To" not in str(next(stream).content):
        pass
    assert vaults.there(wanted=1) == 1
    stream.close()
    del stream
    assert vaults.there(wanted=0) == 0


@pytest.mark.parametrize("to", ["ben", None])
def test_a_session_that_is_handed_over_is_the_others(
    vaults: Vaults, tmp_path: Path, to: str | None
) -> None:
    db: Any = vaulted(SqliteDb(db_file=str(tmp_path / "agno.db")), vaults)
    before = vaults.of("one", "ann")
    tell(before, ALICE)
    db.upsert_session(a_session())
    db.upsert_run(a_run(), session_id="one", user_id="ann", run_index=0)
    # The host refuses: it stays whose it is.
    assert not db.reassign_session_owner("one", previous_user_id="carl", user_id=to)
    assert not db.reassign_session_owner("none", previous_user_id="ann", user_id=to)
    assert vaults.of("one", "ann") is before
    assert db.reassign_session_owner("one", previous_user_id="ann", user_id=to)
    read = db.get_session("one", SessionType.AGENT, user_id=to)
    assert read.metadata == {"note": f"for {ALICE}"}
    with pytest.raises(VaultUnavailable, match="was forgotten"):
        before.show("<PERSON_1>")
    # Who is stored anew is hidden with the same values, by the same mark.
    db.upsert_session(read)
    assert b"Alice" not in held(tmp_path)
    assert repr(vaults.of("one", "ann")) == "Vault(0 values)"
    assert vaults.forget_user(to) == 1
    assert "Alice" not in repr(db.get_session("one", SessionType.AGENT))


async def test_what_the_host_does_not_hand_over_goes_back(vaults: Vaults, tmp_path: Path) -> None:
    db: Any = vaulted(AsyncSqliteDb(db_file=str(tmp_path / "agno.db")), vaults)
    tell(vaults.of("one", "ann"), ALICE)
    await db.upsert_session(a_session())
    whose = {"previous_user_id": "ann", "user_id": "ben"}
    # One who has hidden values in it already can't get it: two would be of one number.
    tell(vaults.of("one", "ben"), "Carol")
    with pytest.raises(VaultUnavailable, match="can't be handed over"):
        await db.reassign_session_owner("one", **whose)
    assert (await db.get_session("one", SessionType.AGENT)).user_id == "ann"
    assert vaults.forget_user("ben") == 1
    whose["previous_user_id"] = "carl"
    tell(vaults.of("one", "carl"), "Dora")
    assert not await db.reassign_session_owner("one", **whose)
    assert vaults.of("one", "carl").show("<PERSON_1>") == "Dora"
    assert (await db.get_session("one", SessionType.AGENT)).metadata == {"note": f"for {ALICE}"}
    await db.close()


def test_memories_of_a_user_go_over_sessions_and_no_further(vaults: Vaults, tmp_path: Path) -> None:
    raw = SqliteDb(db_file=str(tmp_path / "agno.db"))
    db: Any = vaulted(raw, vaults)
    tell(vaults.of("one", "ann"), ALICE)
    db.upsert_user_memory(UserMemory(memory=f"knows {ALICE}", user_id="ann", memory_id="m"))
    [read] = db.get_user_memories(user_id="ann")
    # Read in another session of the same user, it is hidden there as well.
    said = {"said": read.memory}
    db.upsert_session(AgentSession("two", user_id="ann", metadata=said, created_at=1))
    assert b"Alice" not in held(tmp_path)
    assert db.get_session("two", SessionType.AGENT).metadata == said
    # Whoever else stores or reads the placeholder has a placeholder.
    stored = raw.get_user_memory("m").memory
    for user in ("ben", None):
        other = AgentSession(f"of {user}", user_id=user, metadata={"said": stored}, created_at=1)
        db.upsert_session(other)
        assert db.get_session(f"of {user}", SessionType.AGENT).metadata == {"said": stored}
    vaults.forget("one")
    assert "Alice" not in repr(db.get_user_memories(user_id="ann"))
    assert db.get_session("two", SessionType.AGENT).metadata == said
