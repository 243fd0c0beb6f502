"""The part of a policy about personal data: what it takes, what it says, where its vaults are."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from agno.agent import Agent
from agno.db.sqlite import SqliteDb
from cryptography.fernet import Fernet

from agno_portkey import PortkeyModel, govern
from agno_portkey.errors import ConfigurationError
from agno_portkey.guardrails import PIIGuardrail
from agno_portkey.guardrails.pii.sealing import KEYS_VARIABLE
from agno_portkey.guardrails.pii.spans import Span
from agno_portkey.policy import PIIPolicy, Policy, VaultsPolicy, json_schema, terms_of
from agno_portkey.testing import EmbeddedProvider

MAIL = "maria@acme.com"
KINDS = "block, mask or pseudonymize"
FIELDS = (
    "mode, enforcement, entities, languages, recognizers, deny_list, release, unreadable, vaults"
)


@pytest.mark.parametrize("text", ["pii: off", "pii: 'off'", "pii: {enforcement: off}"])
def test_off_is_off_however_yaml_reads_it(
    text: str, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    policy = Policy.from_yaml(text)
    assert policy.pii == PIIPolicy(enforcement="off")
    assert Policy.from_yaml(policy.to_yaml()) == policy
    portkey_provider.reply("Done.")
    govern(Agent(name="A", model=portkey_model), policy=policy).run(f"Hi {MAIL}")
    assert MAIL in str(portkey_provider.requests[0].body)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pii: true", f"policy.pii: {KINDS}, off, or a mapping of {FIELDS}, not True"),
        ("pii: [mask]", f"policy.pii: {KINDS}, off, or a mapping of {FIELDS}, not ['mask']"),
        (
            "pii: observe",
            f"policy.pii: {KINDS}, not 'observe'; enforcement takes off, observe and enforce",
        ),
        (
            "pii: {mode: off}",
            f"policy.pii.mode: {KINDS}, not False; enforcement takes off, observe and enforce",
        ),
        ("pii: {entities: PERSON}", "policy.pii.entities: a list is due here, not 'PERSON'"),
        ("pii: {vaults: v.db}", "policy.pii.vaults: only mode: pseudonymize has any, not mask"),
        (
            "pii: {mode: pseudonymize, vaults: {keys: [a]}}",
            "policy.pii.vaults.keys: keys stand in no file: set the environment variable "
            "AGNO_PORTKEY_VAULT_KEYS",
        ),
        (
            "pii: {mode: pseudonymize, vaults: {life: 3}}",
            "policy.pii.vaults.life: no such field; it takes database, lifetime",
        ),
        ("pii: {mode: pseudonymize, vaults: 3}", "policy.pii.vaults: a mapping is due here"),
        (
            "pii: {mode: pseudonymize, vaults: {lifetime: -3}}",
            "policy.pii.vaults.lifetime: Input should be greater than 0",
        ),
    ],
)
def test_what_does_not_fit_says_what_to_write(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Policy.from_yaml(text)
    assert str(refused.value) == said


@pytest.mark.parametrize("form", ["'{0}'", "{{database: '{0}', lifetime: 60}}"])
def test_vaults_of_a_policy_are_in_its_database_sealed(
    form: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    portkey_model: PortkeyModel,
    portkey_provider: EmbeddedProvider,
) -> None:
    monkeypatch.setenv(KEYS_VARIABLE, Fernet.generate_key().decode())
    file = tmp_path / "vault.db"
    policy = Policy.from_yaml(
        "pii: {mode: pseudonymize, entities: [EMAIL_ADDRESS], vaults: "
        + form.format(f"sqlite:///{file}")
        + "}"
    )
    assert Policy.from_yaml(policy.to_yaml()) == policy
    portkey_provider.reply("I wrote to <EMAIL_ADDRESS_1>.")
    agent = Agent(name="A", model=portkey_model, db=SqliteDb(db_file=str(tmp_path / "a.db")))
    run = govern(agent, policy=policy).run(f"Write to {MAIL}", session_id="s")
    assert run.content == f"I wrote to {MAIL}."
    assert MAIL not in str(portkey_provider.requests[0].body)
    assert MAIL.encode() not in file.read_bytes()
    # Another process opens it by the policy alone.
    [again] = _guards(Policy.from_yaml(policy.to_yaml()))
    assert again.vaults is not None
    assert again.vaults.forget("s") == 1


@pytest.mark.parametrize(("lifetime", "over"), [("", 0), (", lifetime: 60", 1)])
def test_the_lifetime_of_a_policy_ends_its_vaults(
    lifetime: str, over: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEYS_VARIABLE, Fernet.generate_key().decode())
    file = tmp_path / "vault.db"
    text = f"pii: {{mode: pseudonymize, vaults: {{database: 'sqlite:///{file}'{lifetime}}}}}"
    [guard] = _guards(Policy.from_yaml(text))
    guard.vaults.of("s").hide(MAIL, [Span(0, len(MAIL), "EMAIL_ADDRESS")])
    assert guard.vaults.expire() == 0
    with sqlite3.connect(file) as database:
        [(table,)] = database.execute("SELECT name FROM sqlite_master WHERE sql LIKE '%used%'")
        assert database.execute(f'UPDATE "{table}" SET used = used - 100').rowcount == 1
    assert guard.vaults.expire() == over


def test_policies_that_ask_for_the_same_share_one_guard() -> None:
    """What it has seen counts for all of them."""
    text = "pii: {mode: pseudonymize, entities: [EMAIL_ADDRESS], vaults: {lifetime: 61}}"
    [one], [two] = _guards(Policy.from_yaml(text)), _guards(Policy.from_yaml(text))
    [other] = _guards(Policy.from_yaml(text.replace("61", "62")))
    assert one is two
    assert one is not other


def _guards(policy: Policy) -> list[Any]:
    return [*terms_of(policy).guards]


def test_where_it_stands_is_said_when_the_vaults_cant_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "policy.yaml"
    monkeypatch.delenv(KEYS_VARIABLE, raising=False)
    file.write_text(f"tags: {{}}\npii: {{mode: pseudonymize, vaults: 'sqlite:///{tmp_path}/v.db'}}")
    with pytest.raises(ConfigurationError) as refused:
        _guards(Policy.from_yaml(file))
    assert str(refused.value).startswith(f"{file}:2: policy.pii: keys: vaults are kept sealed")
    file.write_text("pii: {mode: pseudonymize, vaults: '${NO_SUCH_DATABASE}'}")
    with pytest.raises(ConfigurationError, match=r"vaults\.database: set the environment variable"):
        _guards(Policy.from_yaml(file))


def test_vaults_without_a_database_are_in_the_process_and_need_no_keys(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(KEYS_VARIABLE, raising=False)
    policy = Policy(pii=PIIPolicy(mode="pseudonymize", vaults=VaultsPolicy(lifetime=60)))
    [guard] = _guards(policy)
    assert isinstance(guard, PIIGuardrail)
    assert repr(guard.vaults) == "Vaults('this process')"


def test_a_database_may_come_from_the_environment_and_its_password_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEYS_VARIABLE, Fernet.generate_key().decode())
    monkeypatch.setenv("VAULT_DB", f"sqlite:///{tmp_path}/named.db")
    policy = Policy.from_yaml("pii: {mode: pseudonymize, vaults: '${VAULT_DB}'}")
    assert "${VAULT_DB}" in policy.to_yaml()
    [guard] = _guards(policy)
    assert "named.db" in repr(guard.vaults)
    held = Policy.from_yaml("pii: {mode: pseudonymize, vaults: 'postgres://u:secret@h/d'}")
    assert "secret" not in repr(held)
    with pytest.raises(ConfigurationError, match=r"policy\.pii\.vaults\.database: a password"):
        held.to_yaml()


def test_the_schema_takes_what_is_read() -> None:
    validator = jsonschema.Draft202012Validator(json_schema())
    for text in (
        "pii: mask",
        "pii: 'off'",
        "pii: {mode: pseudonymize, vaults: 'sqlite:///v.db'}",
        "pii: {mode: pseudonymize, vaults: {database: 'sqlite:///v.db', lifetime: 60}}",
        "pii: {entities: [PERSON]}",
    ):
        Policy.from_yaml(text)
        validator.validate(yaml.safe_load(text))
    for text in ("pii: hash", "pii: {entities: PERSON}", "pii: {vaults: {keys: [a]}}"):
        assert list(validator.iter_errors(yaml.safe_load(text))), text
