"""Commands ask for a token, and for one of all tenants."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer
from agno.db.sqlite import SqliteDb
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
)
from served_access import pair, token
from typer.testing import CliRunner

from agno_portkey.cli import app
from agno_portkey.cli.access import REFUSED
from agno_portkey.errors import ConfigurationError
from agno_portkey.security.access.commands import OPTION_SCOPES
from agno_portkey.security.access.tokens import holder_of
from agno_portkey.stopping import StopSwitch


@pytest.fixture
def locked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine whose commands ask for tokens, and where a swarm is stopped."""
    monkeypatch.setenv("AGNO_PORTKEY_JWT_KEY", pair()[1])
    monkeypatch.delenv("AGNO_PORTKEY_TOKEN", raising=False)
    monkeypatch.chdir(tmp_path)
    StopSwitch(SqliteDb(db_file=str(tmp_path / "agno.db"))).stop("Release")
    return tmp_path


def stops(*more: str) -> int:
    return CliRunner().invoke(app, ["stops", "--db", "agno.db", *more]).exit_code


def test_a_command_does_for_all_tenants_and_so_for_none(
    locked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for tenant in ("acme", "", 7, ["acme"], False):
        bearer = token(["dashboard:read"], aud="agno-portkey", tenant=tenant)
        monkeypatch.setenv("AGNO_PORTKEY_TOKEN", bearer)
        assert stops() == REFUSED, tenant
    for scopes, tenant in ((["dashboard:read"], None), (["agent_os:admin"], "acme")):
        bearer = token(scopes, aud="agno-portkey", tenant=tenant)
        monkeypatch.setenv("AGNO_PORTKEY_TOKEN", bearer)
        assert stops() == 0


def test_help_takes_no_token(locked: Path) -> None:
    for words in ([], ["stop"], ["gate"], ["gate", "approve"], ["keys", "rotate"], ["audit"]):
        told = CliRunner().invoke(app, [*words, "--help"])
        assert told.exit_code == 0, words
        assert "Usage" in told.stdout


def test_what_an_option_opens_is_an_option(locked: Path) -> None:
    group = typer.main.get_group(app)
    for path, option in OPTION_SCOPES:
        command: Any = group
        for word in path.split():
            command = command.commands[word]
        assert option in {each.name for each in command.params}, path
        # Else it would come in past what asks for it.
        assert all(each.envvar is None for each in command.params if each.name == option)


def test_a_key_that_others_can_change_is_none(
    locked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGNO_PORTKEY_TOKEN", token(["dashboard:read"], aud="agno-portkey"))
    monkeypatch.setenv("AGNO_PORTKEY_JWT_KEY", "key.pem")
    (locked / "key.pem").write_text(pair()[1])
    for mode, code in ((0o644, 0), (0o646, REFUSED), (0o644, 0)):
        (locked / "key.pem").chmod(mode)
        assert stops() == code


def test_a_key_that_can_be_guessed_is_none() -> None:
    small = rsa.generate_private_key(65537, 1024)
    public = small.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(ConfigurationError, match="2048"):
        holder_of(token(["swarm:stop"]), public.decode())
