"""What a refused input leaves behind, and what the hook does that the model need not do again."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from agno.agent import Agent
from agno.db.in_memory import InMemoryDb
from agno.run.base import RunStatus
from four_forms import FORMS, play
from verses import GOOD, Verse

from agno_portkey import govern
from agno_portkey.contracts import Contract, Critique, Known, Plan
from agno_portkey.errors import ContractError
from agno_portkey.guardrails import PIIGuardrail
from agno_portkey.hooks import ContractHook
from agno_portkey.hooks.base import Moment
from agno_portkey.model import PortkeyModel
from agno_portkey.runs import RUN_KEY, Run
from agno_portkey.testing import EmbeddedProvider


@pytest.mark.parametrize("form", FORMS)
def test_an_input_that_a_models_contract_refuses_is_not_stored_before_its_guards(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_model.guards = (PIIGuardrail(mode="mask", entities=["EMAIL_ADDRESS"]),)
    portkey_model.contracts = (Contract(Verse, input=Verse),)
    agent = Agent(model=portkey_model, output_schema=Verse, db=InMemoryDb())
    assert play(agent, form, "Write to anna@example.org", session_id="s").status == RunStatus.error
    session: Any = agent.get_session(session_id="s")
    assert "anna@" not in json.dumps(session.to_dict(), default=str)
    assert portkey_provider.calls == []


def test_a_hook_tells_rules_what_the_run_knows() -> None:
    run = Run("r", "Team")
    run.propose(Plan.model_validate({"goal": "g", "steps": [{"action": "a"}]}))
    owner = SimpleNamespace(name="Critic", id="c", model=None, output_schema=Critique)
    context = SimpleNamespace(run_id="r", output_schema=None, dependencies={RUN_KEY: run})
    issue = {"severity": "minor", "description": "d", "step": 2}
    output = SimpleNamespace(run_id="r", content=json.dumps({"issues": [issue]}), metadata=None)
    with pytest.raises(ContractError, match="the plan's last step is 1"):
        ContractHook().after(Moment(None, output, context, owner, False, None))
    assert Known().plan is None


@pytest.mark.parametrize("form", FORMS)
def test_what_a_hook_has_held_is_not_held_again_after_a_later_hook_changed_it(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    def shorten(run_input: Any) -> None:
        run_input.input_content = "two lines, please"

    agent = Agent(model=portkey_model, output_schema=Verse, pre_hooks=[shorten])
    govern(agent, contracts=[Contract(Verse, input=Verse)])
    portkey_provider.reply(GOOD)
    assert play(agent, form, GOOD.model_dump_json()).content == GOOD
