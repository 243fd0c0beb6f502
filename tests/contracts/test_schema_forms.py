"""A schema may be given as a mapping in several forms; in each it is held, and sent in one."""

from __future__ import annotations

from typing import Any

import pytest
from agno.agent import Agent
from agno.run.base import RunStatus
from four_forms import FORMS, play
from verses import GOOD, WRONG, Verse

from agno_portkey.contracts import Contract, Repair, validate
from agno_portkey.contracts.forms import provider_form
from agno_portkey.errors import ContractError
from agno_portkey.hooks import ContractHook
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider

BARE = Verse.model_json_schema()
GIVEN: dict[str, dict[str, Any]] = {
    "bare": BARE,
    "a name and a schema": {"name": "Verse", "schema": BARE},
    "of the Responses API": {"type": "json_schema", "name": "Verse", "schema": BARE},
    "of chat completions": {
        "type": "json_schema",
        "json_schema": {"name": "Verse", "schema": BARE},
    },
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", GIVEN)
@pytest.mark.parametrize("broken", ["just words", WRONG])
def test_what_does_not_fit_ends_in_error_and_what_fits_as_data(
    broken: str,
    name: str,
    form: str,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    agent = Agent(name="Poet", model=portkey_model, output_schema=GIVEN[name])
    portkey_provider.reply(broken)
    portkey_provider.reply(GOOD)
    ended = play(agent, form)
    assert (ended.status, ended.content) == (RunStatus.completed, GOOD.model_dump())
    for call in portkey_provider.calls:
        assert call.response_format == GIVEN["of chat completions"]

    portkey_model.repair = Repair(reasks=0)
    portkey_provider.reply(broken)
    ended = play(agent, form)
    assert ended.status == RunStatus.error
    assert "Poet's output is not a valid Verse" in ended.content


@pytest.mark.parametrize("name", GIVEN)
@pytest.mark.parametrize("other", GIVEN)
def test_a_contract_is_for_its_schema_in_whatever_form(
    name: str, other: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_model.contracts = (Contract(GIVEN[name], rules=[lambda verse: "never"]),)
    portkey_model.repair = Repair(reasks=0)
    portkey_provider.reply(GOOD)
    ended = play(Agent(model=portkey_model, output_schema=GIVEN[other]), "run")
    assert "never" in ended.content


@pytest.mark.parametrize("name", GIVEN)
def test_a_hook_holds_it_behind_a_model_that_is_not_ours(
    name: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_provider.reply(WRONG)
    agent = Agent(model=portkey_model, output_schema=GIVEN[name], post_hooks=[ContractHook()])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("agno_portkey.pipeline._contract", lambda model, call: None)
        assert play(agent, "run").status == RunStatus.error


def test_data_is_held_to_a_mapping() -> None:
    assert validate(BARE, GOOD.model_dump_json()) == GOOD.model_dump()
    with pytest.raises(ContractError, match="lines: "):
        validate(GIVEN["a name and a schema"], WRONG)


@pytest.mark.parametrize(
    "given", [None, Verse, {"type": "json_object"}, {"type": "text"}, {"type": "json_schema"}]
)
def test_what_is_no_schema_stays_as_it_is(given: Any) -> None:
    assert provider_form(given) is given


def test_names_are_such_as_providers_take() -> None:
    made = provider_form({"title": "A verse, in two lines! " * 9, "type": "object"})
    name = made["json_schema"]["name"]
    assert name.startswith("A_verse_in_two_lines_")
    assert len(name) == 64
    assert provider_form({"type": "object"})["json_schema"]["name"] == "output"
