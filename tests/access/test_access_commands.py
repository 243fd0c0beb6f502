"""Every command, run with every role and every kind of token: who gets in, and as whom."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
import typer
from agno.db.sqlite import SqliteDb
from served_access import bad_tokens, pair, token
from typer.testing import CliRunner

from agno_portkey.cli import app
from agno_portkey.cli.access import REFUSED
from agno_portkey.cli.report import ACTING
from agno_portkey.security.access import COMMAND_SCOPES, ROLES, scopes_of
from agno_portkey.stopping import StopSwitch

# v viewer, o operator, p approver, r overrider, u auditor, k key_admin, a admin; `free`: anybody.
LETTERS = dict(zip("vopruka", ROLES, strict=True))
MATRIX = {
    "demo": "free",
    "doctor": "free",
    "serve": "free",
    "stop": " o    a",
    "resume": " o    a",
    "stops": "vopruka",
    "alerts rules": "free",
    "alerts check": "free",
    "alerts test": "free",
    "audit verify": "    u a",
    "audit export": "    u a",
    "audit tail": "    u a",
    "batch submit": "free",
    "batch status": "free",
    "batch cancel": "free",
    "batch fetch": "free",
    "cache report": "vopruka",
    "cache list": "vopruka",
    "cache log": "    u a",
    "cache forget": "      a",
    "gate check": "free",
    "gate waiting": "vopru a",
    "gate approve": "  pr  a",
    "gate revoke": "  pr  a",
    "gate history": "vopru a",
    "gate report": "vopru a",
    "gate calibrate": "vopru a",
    "gate propose": "vopru a",
    "gate adjust": "  pr  a",
    "gate rollback": "  pr  a",
    "gate thresholds": "vopru a",
    "gate key": "free",
    "gate export": "  pr  a",
    "gate verify": "free",
    "gateway install": "free",
    "gateway start": "free",
    "gateway doctor": "free",
    "keys lint": "free",
    "keys status": "    uka",
    "keys due": "    uka",
    "keys rotate": "     ka",
    "keys revoke": "     ka",
    "ledger report": "vopruka",
    "policy check": "free",
    "policy schema": "free",
    "routing check": "free",
    "routing show": "free",
    "routing schema": "free",
    "trace list": "    u a",
    "trace show": "    u a",
}
AUDIENCE = {"aud": "agno-portkey"}


def commands(group: Any, above: str = "") -> dict[str, Any]:
    """Each command that there is, by its words."""
    found: dict[str, Any] = {}
    for name in [*group.commands]:
        each, path = group.commands[name], f"{above} {name}".strip()
        found |= commands(each, path) if getattr(each, "commands", None) else {path: each}
    return found


LEAVES = commands(typer.main.get_group(app))
# Signed once: that takes longer than all that is done with them.
GOOD = {role: token(scopes_of(role), **AUDIENCE) for role in ROLES}
BAD = bad_tokens(scopes_of("admin"), "agno-portkey")


@pytest.fixture(autouse=True)
def _locked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AGNO_PORTKEY_JWT_KEY", pair()[1])
    monkeypatch.delenv("AGNO_PORTKEY_TOKEN", raising=False)
    monkeypatch.chdir(tmp_path)


def let_in(path: str, monkeypatch: pytest.MonkeyPatch, bearer: str | None, **params: Any) -> bool:
    """Whether the command would run; what it does is not done."""
    if bearer is None:
        monkeypatch.delenv("AGNO_PORTKEY_TOKEN", raising=False)
    else:
        monkeypatch.setenv("AGNO_PORTKEY_TOKEN", bearer)
    invoke: Any = LEAVES[path].invoke
    ran = []
    # The first argument is the command's path, the second what it does.
    context = type("Context", (), {"params": params})()
    with contextlib.suppress(typer.Exit):
        invoke.func(invoke.args[0], lambda _: ran.append(ACTING.get()), context)
    return bool(ran)


def test_every_command_is_mapped_and_in_the_matrix() -> None:
    assert LEAVES.keys() == COMMAND_SCOPES.keys()
    assert COMMAND_SCOPES.keys() == MATRIX.keys()
    assert {path: each.invoke.args[0] for path, each in LEAVES.items()} == {
        path: path for path in LEAVES
    }


@pytest.mark.parametrize("path", LEAVES)
def test_each_role_runs_what_is_written(
    path: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    letters = "vopruka" if MATRIX[path] == "free" else MATRIX[path].replace(" ", "")
    ran = [letter for letter, role in LETTERS.items() if let_in(path, monkeypatch, GOOD[role])]
    assert "".join(ran) == letters
    for what, bearer in BAD.items():
        assert let_in(path, monkeypatch, bearer) is (MATRIX[path] == "free"), what
    assert "agno_pat_" not in capsys.readouterr().err


def test_tokens_need_an_end_and_a_subject_of_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    scopes = ["swarm:stop"]
    for claims in (
        {"exp": None},
        {"sub": None},
        {"sub": " "},
        {"sub": "the gate"},
        {"sub": "a\x1b[2K"},
        {"sub": "sa:ci"},
        {"scopes": None},
        {"scopes": {"swarm:stop": True}},
        {"scopes": [["swarm:stop"]]},
        {"aud": ["another", "more"]},
    ):
        given: dict[str, Any] = {"scopes": scopes, **AUDIENCE, **claims}
        assert not let_in("stop", monkeypatch, token(**given)), claims
    assert let_in("stop", monkeypatch, token(scopes, aud=["another", "agno-portkey"]))
    monkeypatch.setenv("AGNO_PORTKEY_JWT_AUDIENCE", "os")
    assert let_in("stop", monkeypatch, token(scopes))
    assert not let_in("stop", monkeypatch, token(scopes, **AUDIENCE))


def test_the_keys_of_a_server_verify_no_tokens_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JWT_VERIFICATION_KEY", pair(1)[1])
    forged = token(["swarm:stop"], key=pair(1)[0], **AUDIENCE)
    assert not let_in("stop", monkeypatch, forged)


def test_options_take_what_they_open(monkeypatch: pytest.MonkeyPatch) -> None:
    approver, overrider = (token(scopes_of(role), **AUDIENCE) for role in ("approver", "overrider"))
    assert let_in("gate approve", monkeypatch, approver, override=False)
    assert not let_in("gate approve", monkeypatch, approver, override=True)
    assert let_in("gate approve", monkeypatch, overrider, override=True)
    assert let_in("gate check", monkeypatch, None, record=None)
    assert not let_in("gate check", monkeypatch, None, record="nightly")
    assert let_in("gate check", monkeypatch, approver, record="nightly")


def test_nobody_decides_in_the_name_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    bearer = token(["swarm:stop", "gates:read"], **AUDIENCE)
    assert not let_in("stop", monkeypatch, bearer, by="root")
    assert let_in("stop", monkeypatch, bearer, by="eve")
    # There it says what sums are of.
    assert let_in("gate report", monkeypatch, bearer, by="day")


def test_a_command_that_nobody_has_mapped_runs_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(COMMAND_SCOPES, "stops")
    assert not let_in("stops", monkeypatch, token(scopes_of("admin"), **AUDIENCE))


def test_a_swarm_is_stopped_by_the_subject(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    db = SqliteDb(db_file=str(tmp_path / "agno.db"))
    switch = StopSwitch(db)
    switch.stop("Release")
    run = ["stop", "--swarm", "Release", "--db", str(tmp_path / "agno.db"), "--reason", "prices"]
    monkeypatch.setenv("AGNO_PORTKEY_TOKEN", token(["swarm:stop"], **AUDIENCE))
    assert CliRunner().invoke(app, run).exit_code == 3  # no process has asked for it
    assert switch.stopped()["Release"].by == "eve"
    monkeypatch.setenv("AGNO_PORTKEY_TOKEN", token(["gates:read"], **AUDIENCE))
    refused = CliRunner().invoke(app, ["resume", *run[1:5]])
    assert refused.exit_code == REFUSED
    assert refused.stderr == (
        "resume takes the scope swarm:stop, which the token of eve does not give\n"
    )
    assert "Release" in switch.stopped()
    monkeypatch.delenv("AGNO_PORTKEY_JWT_KEY")
    assert CliRunner().invoke(app, ["resume", *run[1:5]]).exit_code == 0
    assert ACTING.get() is None


# The key


@pytest.mark.parametrize("kind", ["text", "file"])
def test_a_public_key_is_a_text_or_a_file(
    kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "key.pem").write_text(pair()[1])
    named = pair()[1] if kind == "text" else str(tmp_path / "key.pem")
    monkeypatch.setenv("AGNO_PORTKEY_JWT_KEY", named)
    assert let_in("stop", monkeypatch, token(["swarm:stop"], **AUDIENCE))


def test_a_secret_is_a_file_that_nobody_else_can_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import jwt

    secret, file = "s" * 32, tmp_path / "secret"
    file.write_text(secret + "\n")
    monkeypatch.setenv("AGNO_PORTKEY_JWT_KEY", str(file))
    claims = {"sub": "eve", "exp": 1 << 40, "scopes": ["swarm:stop"], **AUDIENCE}
    bearer = jwt.encode(claims, secret, algorithm="HS256")
    for mode, good in ((0o600, True), (0o640, False), (0o604, False)):
        os.chmod(file, mode)
        assert let_in("stop", monkeypatch, bearer) is good
    os.chmod(file, 0o600)
    assert not let_in("stop", monkeypatch, jwt.encode(claims, "t" * 32, algorithm="HS256"))


@pytest.mark.parametrize(
    "key",
    ["", " ", "no such file", "short", pair()[0], "-----BEGIN PUBLIC KEY-----\n", "a\0b", "."],
)
def test_a_key_that_is_none_lets_nobody_in(
    key: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "short").write_text("too short")
    (tmp_path / "short").chmod(0o600)
    if "\0" in key:
        from agno_portkey.errors import ConfigurationError
        from agno_portkey.security.access.tokens import holder_of

        with pytest.raises(ConfigurationError):
            holder_of(token(["swarm:stop"], **AUDIENCE), key)
        return
    monkeypatch.setenv("AGNO_PORTKEY_JWT_KEY", key)
    assert not let_in("stop", monkeypatch, token(["swarm:stop"], **AUDIENCE))
    said = capsys.readouterr().err
    assert "AGNO_PORTKEY_JWT_KEY" in said
    assert "PRIVATE" not in said


def test_a_refusal_is_told_to_who_hears_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    from agno_portkey.verdict import hear_everything

    heard: list[Any] = []
    hear_everything(heard.append)
    try:
        assert not let_in("stop", monkeypatch, token(["gates:read"], **AUDIENCE))
    finally:
        hear_everything(heard.append, again=False)
    assert [json.dumps(event.data) for event in heard] == [
        '{"by": "eve", "target": "agno-portkey stop", "scope": "swarm:stop", "status": 403}'
    ]
