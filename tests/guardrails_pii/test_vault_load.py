"""Nothing that was used is lost: keys rotate under load, and processes and servers are killed."""

from __future__ import annotations

import multiprocessing
import threading
from pathlib import Path
from typing import Any

import pytest
from agno.db.postgres import AsyncPostgresDb, PostgresDb
from postgres_server import PostgresServer
from vault_sessions import KEY, OTHER, tell

from agno_portkey.errors import VaultUnavailable
from agno_portkey.guardrails.pii.vaults import Vaults


def test_keys_rotate_while_vaults_are_written(tmp_path: Path) -> None:
    file = str(tmp_path / "v.db")
    said: dict[tuple[str, str], str] = {}

    def work(session: str, keys: list[str]) -> None:
        vault = Vaults(file, keys=keys, timeout=30).of(session)
        for number in range(15):
            value = f"{session} value {keys[0][0]} {number}"
            said[session, value] = tell(vault, value)

    both = Vaults(file, keys=[OTHER, KEY], timeout=30)
    # Each knows both keys by now, and some still seal with the old one.
    each = [(s, keys) for s in ("one", "two") for keys in ([KEY, OTHER], [OTHER, KEY])]
    threads = [threading.Thread(target=work, args=args) for args in each]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        both.rotate()
    assert both.rotate() == 2
    fresh = Vaults(file, keys=[OTHER])
    assert len(said) == 60
    for (session, value), placeholder in said.items():
        assert fresh.of(session).show(placeholder) == value


def _tell_until_killed(file: str, told: Any) -> None:
    vault = Vaults(file, keys=[KEY], timeout=30).of("one")
    for number in range(10_000):
        told.put((f"value {number}", tell(vault, f"value {number}")))


def test_a_process_that_is_killed_loses_nothing_that_it_used(tmp_path: Path) -> None:
    file = str(tmp_path / "v.db")
    spawn = multiprocessing.get_context("spawn")
    told = spawn.SimpleQueue()
    process = spawn.Process(target=_tell_until_killed, args=(file, told))
    process.start()
    said = [told.get() for _ in range(10)]
    process.kill()
    process.join()
    vault = Vaults(file, keys=[KEY], timeout=30).of("one")
    assert [vault.show(placeholder) for _, placeholder in said] == [value for value, _ in said]
    assert tell(vault, "another").startswith("<PERSON_")


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_a_server_that_is_killed_blocks_and_loses_nothing(kind: str) -> None:
    with PostgresServer() as server:
        url = server.new_database()
        db: Any = (
            PostgresDb(db_url=url.replace("postgresql:", "postgresql+psycopg:"))
            if kind == "plain"
            else AsyncPostgresDb(db_url=url.replace("postgresql:", "postgresql+psycopg_async:"))
        )
        vaults = Vaults(db, keys=[KEY])
        vault = vaults.of("one")
        tell(vault, "Alice")
        server.kill()
        for use in (lambda: tell(vault, "Bob"), lambda: vaults.of("one")):
            with pytest.raises(VaultUnavailable):
                use()
        # What is known already is in this process.
        assert vault.hide("Alice") == "<PERSON_1>"
        server.start()
        vaults._shelf._pause_until = 0.0
        tell(vault, "Bob")
        fresh = Vaults(url, keys=[KEY]).of("one")
        assert [fresh.show(f"<PERSON_{n}>") for n in (1, 2)] == ["Alice", "Bob"]
