"""What is written is its owner's alone, whatever the umask allows."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent
from agno.db.sqlite import SqliteDb
from cryptography.fernet import Fernet
from typer.testing import CliRunner

from agno_portkey.cache.opening import address_of, opened
from agno_portkey.cli import app
from agno_portkey.errors import ClearanceRefused
from agno_portkey.gates.clearance.clearances import Clearances
from agno_portkey.gates.history.sql_runs import SqlRuns
from agno_portkey.guardrails.pii.vaults import Vaults
from agno_portkey.hooks.sinks import LineFile
from agno_portkey.knowledge import BatchJob
from agno_portkey.knowledge.embedder import PortkeyEmbedder
from agno_portkey.knowledge.embedding_cache import EmbeddingCache
from agno_portkey.knowledge.many import run_many
from agno_portkey.model import PortkeyModel
from agno_portkey.playground.joining import database_at
from agno_portkey.routing.local import LocalGateway
from agno_portkey.routing.local_install import _locked
from agno_portkey.secrets.encrypted import EncryptedFile
from agno_portkey.secrets.files import FileSecrets
from agno_portkey.security.rotation.due import DueMarks
from agno_portkey.security.rotation.journal import RotationJournal
from agno_portkey.sql import source_of
from agno_portkey.telemetry.audit import AuditLog
from agno_portkey.telemetry.ledger import Ledger
from agno_portkey.testing import EmbeddedProvider


@pytest.fixture(autouse=True)
def _umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.fixture
def model(portkey_provider: EmbeddedProvider) -> PortkeyModel:
    return PortkeyModel(base_url=portkey_provider.url, portkey_provider="openai", api_key="k")


def others_may_use(folder: Path) -> list[str]:
    """What in `folder` others than its owner may read, write or enter."""
    found = []
    for path in sorted(folder.rglob("*")):
        mode = stat.S_IMODE(path.lstat().st_mode)
        if mode & 0o077:
            found.append(f"{path.relative_to(folder)} {mode:o}")
    return found


def play_databases(folder: Path) -> list[Any]:
    """Those of our own; the host's are made by the host."""
    for name in ("clearances", "vaults", "ledger", "runs"):
        assert not (folder / f"{name}.db").exists()
    with pytest.raises(ClearanceRefused):
        Clearances(str(folder / "clearances.db")).get("none")
    Vaults(str(folder / "vaults.db"), keys=[Fernet.generate_key()]).of("s")
    ledger = Ledger(str(folder / "ledger.db"))
    source = source_of(str(folder / "runs.db"))
    assert source is not None
    SqlRuns(source, name="runs", schema=None, seconds=1.0)._table.connection().__enter__()
    return [ledger]


def test_databases(tmp_path: Path, model: PortkeyModel) -> None:
    held = play_databases(tmp_path)
    agent = Agent(model=model, telemetry=False)
    model.observers = (*model.observers, *held)
    agent.run("Hi")
    held[0].flush()
    assert {path.name for path in tmp_path.iterdir()} >= {
        "clearances.db",
        "vaults.db",
        "ledger.db",
        "runs.db",
    }
    assert others_may_use(tmp_path) == []


@pytest.mark.parametrize("form", ["{}", "sqlite:///{}"])
def test_the_hosts_database_of_an_app_is_private_before_anything_is_in_it(
    tmp_path: Path, model: PortkeyModel, form: str
) -> None:
    file = tmp_path / "agno.db"
    db = database_at(form.format(file))
    # It is there, empty: SQLite makes none that others could open meanwhile.
    assert (file.stat().st_size, stat.S_IMODE(file.stat().st_mode)) == (0, 0o600)
    agent = Agent(model=model, db=db, telemetry=False)
    agent.run("Hi", session_id="s")
    assert agent.get_session(session_id="s") is not None
    assert file.stat().st_size > 0
    assert others_may_use(tmp_path) == []


def test_caches_and_what_stands_beside_them(
    tmp_path: Path, portkey_provider: EmbeddedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("AGNO_PORTKEY_CACHE_URL", raising=False)
    answers = opened(str(tmp_path / "answers.db"))
    answers.note(0.0, "me", "what", 1)
    at_home = opened(address_of(None))
    at_home.note(0.0, "me", "what", 1)
    for cache in (EmbeddingCache(), EmbeddingCache(tmp_path / "vectors.db")):
        PortkeyEmbedder(base_url=portkey_provider.url, api_key="k", cache=cache).embed(["a"])
    names = {path.name for path in tmp_path.rglob("*")}
    # While they are open, the log of what is written stands beside each.
    assert {
        "answers.db",
        "answers.db-wal",
        "answers.db-shm",
        "vectors.db",
        "embeddings.db",
    } <= names
    assert others_may_use(tmp_path) == []
    answers.close()
    at_home.close()


def test_logs_keys_and_journals(tmp_path: Path, model: PortkeyModel) -> None:
    log = AuditLog(
        tmp_path / "audit.jsonl",
        key_file=tmp_path / "keys" / "audit.key",
        checkpoints=tmp_path / "checkpoints",
        every=1,
    )
    log({"kind": "run"})
    LineFile(tmp_path / "plain.jsonl")({"kind": "run"})
    agent = Agent(model=model, telemetry=False)
    run_many(agent, ["a", "b"], journal=tmp_path / "runs.journal")
    BatchJob(agent, ["a", "b"], journal=tmp_path / "job.journal").submit()
    FileSecrets(tmp_path / "secrets").write("A", "value-of-a")
    EncryptedFile(tmp_path / "sealed" / "file", key=b"0" * 32).write("A", "value-of-a")
    with RotationJournal(tmp_path / "rotation", "key").alone():
        pass
    DueMarks(tmp_path / "due", "key").note("manual", "said", None)
    names = {path.name for path in tmp_path.rglob("*")}
    assert {"audit.jsonl", "audit.key", "plain.jsonl", "runs.journal", "job.journal", "A"} <= names
    assert {"key.rotation", "key.due", "checkpoints", "secrets", "sealed", "rotation"} <= names
    assert others_may_use(tmp_path) == []


def test_the_gateway(tmp_path: Path) -> None:
    with LocalGateway(log_path=tmp_path / "gateway.log"):
        pass
    with _locked(tmp_path / "cache", print):
        pass
    assert (tmp_path / "gateway.log").exists()
    assert (tmp_path / "cache" / "gateway.lock").exists()
    assert others_may_use(tmp_path) == []


def run(*arguments: object, code: int = 0) -> None:
    told = CliRunner().invoke(app, [str(each) for each in arguments])
    assert told.exit_code == code, told.output


def test_exports(tmp_path: Path, model: PortkeyModel) -> None:
    key = tmp_path / "audit.key"
    log = AuditLog(tmp_path / "audit.jsonl", key_file=key)
    log({"kind": "run", "at": "2026-01-01T00:00:00+00:00"})
    for form in ("csv", "jsonl"):
        to = tmp_path / f"out.{form}"
        run("audit", "export", log.path, "--to", to, "--format", form, "--key-file", key)
        assert to.exists()
    assert others_may_use(tmp_path) == []


@pytest.mark.parametrize("form", ["csv", "json"])
def test_exports_of_gates(tmp_path: Path, form: str) -> None:
    from agno_portkey.cli.gate_history import _write

    _write("a,b\n", tmp_path / f"out.{form}")
    assert (tmp_path / f"out.{form}").read_text() == "a,b\n"
    assert others_may_use(tmp_path) == []


def test_what_the_user_made_is_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "agno.db"
    SqliteDb(db_file=str(file)).get_sessions()
    file.chmod(0o644)
    with pytest.raises(ClearanceRefused):
        Clearances(str(file)).get("none")
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
