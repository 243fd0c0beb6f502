"""The part of a policy that says whose answers are cached: read, shown, written and applied."""

from __future__ import annotations

from pathlib import Path

import pytest
from agno.agent import Agent
from typer.testing import CliRunner

from agno_portkey import PortkeyModel, govern
from agno_portkey.cache import CachePolicy, Comparison
from agno_portkey.cli import app
from agno_portkey.errors import ConfigurationError
from agno_portkey.policy import Policy

TEXT = """
cache:
  Researcher: {kind: semantic, scope: tenant, lifetime: 60, tags: [faq], max_error: 0.02}
  Librarian: exact
"""


def same(comparison: Comparison) -> bool:
    return True


def _governed(policy: Policy, **options: CachePolicy) -> CachePolicy | None:
    model = PortkeyModel(base_url="http://127.0.0.1:1/v1")
    agent = govern(Agent(name="Researcher", model=model), policy=policy, cache=options or None)
    assert isinstance(agent.model, PortkeyModel)
    return agent.model.cache


def test_it_is_applied_to_whom_it_names() -> None:
    policy = Policy.from_yaml("cache: {Researcher: {kind: semantic, scope: tenant, lifetime: 60}}")
    expected = CachePolicy(kind="semantic", scope="tenant", lifetime=60)
    assert _governed(policy) == expected
    assert _governed(Policy.from_yaml("cache: {Researcher: off}")) == CachePolicy(kind="off")
    assert _governed(Policy()) is None
    assert _governed(Policy(), Researcher=expected) == expected
    assert _governed(policy, Researcher=expected) == expected
    with pytest.raises(ConfigurationError, match=r"cache\['Researcher'\]: the policy says one"):
        _governed(policy, Researcher=CachePolicy())
    with pytest.raises(ConfigurationError, match="nobody is called 'Librarian'"):
        _governed(Policy.from_yaml(TEXT))


def test_it_is_written_as_it_was_read() -> None:
    policy = Policy.from_yaml(TEXT)
    assert Policy.from_yaml(policy.to_yaml()) == policy
    kept = Policy.from_yaml("cache: {A: {store: 'redis://u:pw@h/1'}}")
    with pytest.raises(ConfigurationError, match=r"policy\.cache\.A\.store: a password is not"):
        kept.to_yaml()


def test_a_store_and_a_version_come_from_the_environment_and_a_verifier_by_its_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STORE", str(tmp_path / "answers.db"))
    monkeypatch.setenv("VERSION", "v7")
    held = _governed(
        Policy.from_yaml(
            "cache: {Researcher: {store: '${STORE}', knowledge: '${VERSION}', "
            f"verifier: '{__name__}:same'}}}}"
        )
    )
    assert held is not None
    assert (held.store, held.knowledge) == (str(tmp_path / "answers.db"), "v7")
    assert held.verifier is same


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("cache: semantic", "a mapping of roles"),
        ("cache: {A: {kin: exact}}", r"policy\.cache\.A\.kin: no such field"),
        ("cache: {A: {kind: fuzzy}}", r"policy\.cache\.A\.kind"),
        ("cache: {A: {scope: world}}", r"policy\.cache\.A\.scope"),
        ("cache: {A: {mode: maybe}}", r"policy\.cache\.A\.mode: off, observe or enforce"),
    ],
)
def test_what_does_not_fit_is_refused_where_it_stands(text: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        Policy.from_yaml(text)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ("lifetime: 0", r"policy\.cache\.Researcher\.lifetime: seconds above 0"),
        ("max_error: 1", r"policy\.cache\.Researcher\.max_error: a share"),
        ("verifier: nothing", r"policy\.cache\.Researcher\.verifier: package\.module:Name"),
        ("verifier: 'json:none'", r"policy\.cache\.Researcher\.verifier: can't import"),
        ("store: '${NOT_SET_ANYWHERE}'", r"NOT_SET_ANYWHERE"),
    ],
)
def test_what_can_not_be_meant_is_refused_when_it_is_applied(fields: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        _governed(Policy.from_yaml(f"cache: {{Researcher: {{{fields}}}}}"))


def test_it_is_shown_with_the_mode_that_counts(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(TEXT + "  Everybody: {scope: public, mode: observe}\n")

    def shown(**environment: str) -> str:
        environment = {"COLUMNS": "200", **environment}
        return CliRunner().invoke(app, ["policy", "check", str(file)], env=environment).output

    assert "semantic answers of Researcher, for one tenant" in shown()
    assert "exact answers of Everybody, for everybody" in shown()
    for said, taken in (("off", "off"), ("maybe", "off"), ("observe", "observe")):
        assert f"{taken} (AGNO_PORTKEY_CACHE_MODE)" in shown(AGNO_PORTKEY_CACHE_MODE=said)


def test_the_doctor_knows_its_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("URL", "KEY", "MODE"):
        monkeypatch.setenv(f"AGNO_PORTKEY_CACHE_{name}", "off")
    output = CliRunner().invoke(app, ["doctor"], env={"COLUMNS": "300"}).output
    assert "AGNO_PORTKEY_CACHE_URL" in output
    assert "AGNO_PORTKEY_CACHE_URL is set, and not read here" not in output
    assert "AGNO_PORTKEY_CACHE_KEY is set, and not read here" not in output
    assert "AGNO_PORTKEY_CACHE_MODE is set, and not read here" not in output
