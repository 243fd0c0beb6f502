"""What one role says of what another said: steps that exist, and no approval of what is blocked."""

from __future__ import annotations

import json
from typing import Any

import pytest
from four_forms import FORMS, play

from agno_portkey import govern
from agno_portkey.contracts import (
    Contract,
    Critique,
    Judgement,
    Known,
    Plan,
    Step,
)
from agno_portkey.contracts.contract import output_held
from agno_portkey.contracts.schemas import Schema
from agno_portkey.errors import ContractError
from agno_portkey.gates import Gate
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider, Request
from agno_portkey.testing.story import SOUND, Release, release_team, tell
from agno_portkey.verdict import Event

PLAN = Plan(goal="g", steps=(Step(action="a"), Step(action="b")))
BLOCKING = Critique.model_validate(
    {"issues": [{"severity": "blocking", "description": "it is untested", "step": 1}]}
)


def _held(schema: Any, output: dict[str, Any], **known: Any) -> Any:
    return output_held(Schema(schema), json.dumps(output), known=Known(**known)).value


def _issue(step: int | None, severity: str = "minor") -> dict[str, Any]:
    return {"severity": severity, "description": "d", "step": step}


@pytest.mark.parametrize("step", [1, 2, None])
def test_a_critique_names_steps_that_exist(step: int | None) -> None:
    said = {"issues": [_issue(step)], "revised_steps": []}
    if step:
        said["revised_steps"] = [{"step": step, "revised": {"action": "c"}}]
    assert _held(Critique, said, plan=PLAN).issues[0].step == step


@pytest.mark.parametrize(
    ("said", "where"),
    [
        ({"issues": [_issue(1), _issue(3)]}, r"issues\.1\.step: the plan's last step is 2"),
        (
            {"revised_steps": [{"step": 3, "revised": {"action": "c"}}]},
            r"revised_steps\.0\.step: the plan's last step is 2",
        ),
    ],
)
def test_a_critique_of_a_step_that_does_not_exist_is_none(said: Any, where: str) -> None:
    with pytest.raises(ContractError, match=where):
        _held(Critique, said, plan=PLAN)
    # Nobody can tell which steps there are.
    assert _held(Critique, said) == Critique.model_validate(said)


def test_no_approval_while_a_blocking_issue_is_open() -> None:
    approved = {"decision": "approve", "score": 9}
    told = "decision: a blocking issue is open: it is untested"
    with pytest.raises(ContractError, match=told):
        _held(Judgement, approved, plan=PLAN, critique=BLOCKING)
    assert _held(Judgement, approved, plan=PLAN, critique=Critique()).score == 9
    assert _held(Judgement, approved, plan=PLAN).score == 9
    refused = {"decision": "revise", "score": 2, "reasons": ["it is untested"]}
    assert _held(Judgement, refused, plan=PLAN, critique=BLOCKING).score == 2


def test_rules_of_a_users_own_are_added_to_the_roles() -> None:
    contract = Contract(Critique, rules=[lambda critique: critique.summary != "" or "sum it up"])
    with pytest.raises(ContractError, match=r"last step is 2; \(whole\): sum it up"):
        output_held(
            Schema(Critique),
            json.dumps({"issues": [_issue(5)]}),
            contract=contract,
            known=Known(plan=PLAN),
        )


@pytest.mark.parametrize("form", FORMS)
def test_a_judge_that_approves_what_is_blocked_is_asked_again(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    asked: list[Request] = []
    heard: list[Event] = []

    def judged(request: Request) -> Judgement:
        asked.append(request)
        if "a blocking issue is open" in str(request.messages[-1]["content"]):
            return Judgement(decision="reject", score=1, reasons=("a blocking issue is open",))
        return Judgement(decision="approve", score=9)

    def criticised(request: Request) -> Critique:
        return BLOCKING

    release = Release()
    team = release_team(portkey_model, release)
    govern(team, runner="Runner", gate=Gate(max_rounds=1), observers=[heard.append])
    portkey_provider.when(lambda request: request.schema_name == "Critique", criticised)
    portkey_provider.when(lambda request: request.schema_name == "Judgement", judged)
    tell(portkey_provider, plans=[SOUND])
    play(team, form)  # type: ignore[arg-type]
    assert release.done == []
    assert len(asked) == 2
    decisions = [event.data["decision"] for event in heard if event.kind == "judgement"]
    assert decisions == ["reject"]
