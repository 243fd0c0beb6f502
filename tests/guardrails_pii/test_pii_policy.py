"""Personal data in a policy, and as an argument of `govern`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent
from agno.db.sqlite import SqliteDb
from agno.team import Team
from four_forms import play

from agno_portkey import Policy, govern
from agno_portkey.errors import ConfigurationError
from agno_portkey.guardrails import Guard, Passage
from agno_portkey.guardrails.pii import Analyzer, PIIGuardrail
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider

MAIL = "ann.lee@corp.internal"


class Looks(Guard):
    """Notes what it is shown."""

    inline = True

    def __init__(self, **settings: Any) -> None:
        self.seen: list[str] = []
        super().__init__(**settings)

    def inspect(self, passage: Passage) -> None:
        self.seen.append(passage.text)


def sent(provider: EmbeddedProvider) -> str:
    return str([request.body for request in provider.requests])


@pytest.mark.parametrize("source", ["pii: mask", "pii: {mode: mask, entities: [EMAIL_ADDRESS]}"])
def test_a_policy_masks(
    source: str, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.reply("Done.")
    policy = Policy.from_yaml(source)
    assert Policy.from_yaml(policy.to_yaml()) == policy
    agent = govern(Agent(name="A", model=portkey_model), policy=policy)
    assert agent.run(f"Write to {MAIL}").content == "Done."
    assert "<EMAIL_ADDRESS>" in sent(portkey_provider)
    assert MAIL not in sent(portkey_provider)


def test_everyone_in_a_team_has_one_guard_and_governing_again_changes_nothing(
    portkey_model: PortkeyModel,
) -> None:
    members: list[Any] = [Agent(name=name, model=portkey_model) for name in ("A", "B")]
    team = govern(Team(name="T", members=members, model=portkey_model), pii="mask")
    govern(team, pii="mask")
    held = [owner.model.guards for owner in (team, *members)]
    assert all(len(guards) == 1 for guards in held)
    assert len({id(guards[0]) for guards in held}) == 1
    with pytest.raises(ConfigurationError, match="another guards"):
        govern(team, pii="block")


def test_other_guards_see_what_is_hidden_after_them(
    analyzer: Analyzer, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.reply("Done.")
    looks = Looks()
    guard = PIIGuardrail("mask", analyzer=analyzer)
    govern(Agent(name="A", model=portkey_model), guards=[looks], pii=guard).run(f"Hi {MAIL}")
    assert f"Hi {MAIL}" in looks.seen


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("pii: hash", "policy.pii: "),
        ("pii: {mode: mask, color: red}", "policy.pii.color: no such field"),
        ("pii: {entities: PERSON}", "policy.pii.entities: "),
        ("pii: {enforcement: never}", "policy.pii.enforcement: off, observe or enforce"),
    ],
)
def test_what_does_not_fit_names_its_place(source: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Policy.from_yaml(source)


def test_both_at_once_are_refused(portkey_model: PortkeyModel) -> None:
    with pytest.raises(ConfigurationError, match="pii: the policy says one"):
        govern(Agent(model=portkey_model), pii="mask", policy=Policy.from_yaml("pii: block"))
    with pytest.raises(ConfigurationError, match="pii: one of block, mask, pseudonymize"):
        govern(Agent(model=portkey_model), pii="hash")  # type: ignore[type-var, arg-type]
    with pytest.raises(ConfigurationError, match="pii: block, mask, pseudonymize, or"):
        govern(Agent(model=portkey_model), pii=3)  # type: ignore[type-var, arg-type]


def test_recognizers_of_a_file_and_words_of_a_list(
    tmp_path: Path, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(
        "recognizers:\n"
        "  - name: Badge\n"
        "    supported_entity: BADGE\n"
        "    supported_language: en\n"
        "    patterns: [{name: badge, regex: 'B-\\d{4}', score: 0.9}]\n"
    )
    portkey_provider.reply("Done.")
    policy = Policy.from_yaml(f"pii: {{recognizers: {file}, deny_list: [Bluebird]}}")
    agent = govern(Agent(name="A", model=portkey_model), policy=policy)
    agent.run("Give B-1234 to Bluebird")
    assert "B-1234" not in sent(portkey_provider)
    assert "Bluebird" not in sent(portkey_provider)


@pytest.mark.parametrize("form", ["run", "arun"])
def test_govern_has_the_database_hold_placeholders(
    form: str,
    tmp_path: Path,
    analyzer: Analyzer,
    portkey_model: PortkeyModel,
    portkey_provider: EmbeddedProvider,
) -> None:
    portkey_provider.when(lambda request: True, "Hello <PERSON_1>, I wrote to <EMAIL_ADDRESS_1>.")
    guard = PIIGuardrail("pseudonymize", analyzer=analyzer)
    db = SqliteDb(db_file=str(tmp_path / "agno.db"))
    member = Agent(name="M", model=portkey_model)
    team = Team(name="T", members=[member], model=portkey_model, db=db, add_history_to_context=True)
    govern(team, pii=guard)
    asked = f"I am John Smith, {MAIL}"
    for _ in range(2):
        ended = play(team, form, asked, session_id="s", user_id="u")  # type: ignore[arg-type]
        assert "Hello John Smith" in ended.text_shown + str(ended.content)
    stored = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"Smith" not in stored
    assert MAIL.encode() not in stored
    assert b"<PERSON_1@" in stored
    assert "Smith" not in sent(portkey_provider)
    session = team.get_session(session_id="s", user_id="u")
    assert session is not None
    assert "John Smith" in str(session.to_dict())
    assert guard.vaults is not None
    guard.vaults.forget("s")
    assert "Smith" not in str(team.db.get_session("s", "team", "u"))  # type: ignore[union-attr]
