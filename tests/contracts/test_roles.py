"""The roles' schemas: strict, consistent with themselves, and with one digest."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError, model_validator

from agno_portkey.contracts import (
    Critique,
    Judgement,
    Plan,
    Step,
    canonical,
    digest,
    validate,
)
from agno_portkey.contracts.check import schema_of
from agno_portkey.errors import ContractError

text = st.text(min_size=1).filter(lambda value: value.strip())
value = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
)
steps = st.builds(
    lambda action, tool, inputs, expected: Step.model_validate(
        {"action": action, "tool": tool, "inputs": inputs, "expected": expected}
    ),
    text,
    text,
    st.dictionaries(text.map(str.strip), value, max_size=3),
    st.text(),
)
plans = st.builds(Plan, goal=text, steps=st.lists(steps, min_size=1, max_size=4).map(tuple))


@given(plans)
def test_a_plan_survives_its_canonical_text_with_the_same_digest(plan: Plan) -> None:
    again = Plan.model_validate_json(canonical(plan))
    assert again == plan
    assert digest(again) == digest(plan)


@given(plans, st.data())
def test_one_changed_character_of_the_goal_changes_the_digest(
    plan: Plan, data: st.DataObject
) -> None:
    other = data.draw(text.filter(lambda goal: goal.strip() != plan.goal))
    assert digest(plan.model_copy(update={"goal": other.strip()})) != digest(plan)


def test_the_digest_is_that_of_the_canonical_text() -> None:
    import hashlib

    plan = Plan(goal="é", steps=(Step(action="a"),))
    assert json.loads(canonical(plan)) == plan.model_dump(mode="json")
    assert digest(plan) == "sha256:" + hashlib.sha256(canonical(plan).encode()).hexdigest()
    assert digest(plan.model_copy(update={"goal": "\ud800"})).startswith("sha256:")


def test_inputs_may_be_given_as_a_mapping() -> None:
    step = Step(action="a", tool="t", inputs={"x": 1, "y": "z"})
    assert [(given.name, given.value) for given in step.inputs] == [("x", 1), ("y", "z")]


@pytest.mark.parametrize(
    ("schema", "data", "where"),
    [
        (Plan, {"goal": "g", "steps": []}, "steps"),
        (Plan, {"goal": " ", "steps": [{"action": "a"}]}, "goal"),
        (Plan, {"goal": "g", "steps": [{"action": "a"}], "digest": "sha256:0"}, "digest"),
        (Step, {"action": "a", "inputs": {"x": 1}}, "no tool to take them"),
        (
            Step,
            {"action": "a", "tool": "t", "inputs": [{"name": "x", "value": 1}] * 2},
            "named twice",
        ),
        (Critique, {"issues": [{"severity": "fatal", "description": "d"}]}, "severity"),
        (Critique, {"issues": [{"severity": "minor", "description": "d", "step": 0}]}, "step"),
        (Judgement, {"decision": "approve", "score": 10.1}, "score"),
        (Judgement, {"decision": "approve", "score": float("nan")}, "score"),
        (Judgement, {"decision": "maybe", "score": 1}, "decision"),
        (Judgement, {"decision": "reject", "score": 1}, "gives its reasons"),
        (Step, {"action": "a", "risk": "none"}, "risk"),
        (Plan, {"goal": "g", "steps": [{"action": "a"}], "budget": {"cost": -1}}, "budget.cost"),
        (Plan, {"goal": "g", "steps": [{"action": "a"}], "budget": {"euros": 1}}, "euros"),
        (
            Plan,
            {
                "goal": "g",
                "steps": [{"action": "a", "tool": "t"}] * 3,
                "budget": {"tool_calls": 2},
            },
            "call tools 3 times, and the budget allows 2",
        ),
        (
            Critique,
            {"revised_steps": [{"step": 1, "revised": {"action": "a"}}] * 2},
            "step 1 is revised twice",
        ),
        (Critique, {"missing_evidence": [" "]}, "missing_evidence"),
        (
            Judgement,
            {"decision": "approve", "score": 1, "criteria": [{"name": "safe", "score": 11}]},
            "criteria.0.score",
        ),
        (
            Judgement,
            {
                "decision": "approve",
                "score": 5,
                "criteria": [{"name": "Safe", "score": 5}, {"name": "safe", "score": 5}],
            },
            "a criterion is scored twice",
        ),
        (
            Judgement,
            {
                "decision": "approve",
                "score": 9,
                "criteria": [{"name": "safe", "score": 2}, {"name": "whole", "score": 8.5}],
            },
            "score 9 is not between its criteria's 2, 8.5",
        ),
    ],
)
def test_what_does_not_fit_is_refused(
    schema: type[BaseModel], data: dict[str, Any], where: str
) -> None:
    with pytest.raises(ValidationError, match=where):
        schema.model_validate(data)
    with pytest.raises(ContractError, match=where):
        validate(schema, data)


def test_a_critique_knows_what_blocks() -> None:
    critique = validate(
        Critique,
        '{"issues": [{"severity": "blocking", "description": "b"},'
        ' {"severity": "minor", "description": "m"}]}',
    )
    assert [issue.description for issue in critique.blocking] == ["b"]


def test_each_problem_is_told_once_and_in_its_own_words() -> None:
    with pytest.raises(ContractError) as refused:
        validate(Plan, {"goal": "g", "steps": [{"action": "a", "number": 1}]})
    assert refused.value.verdict.reasons == ("steps.0.number: Extra inputs are not permitted",)
    with pytest.raises(ContractError) as refused:
        validate(Judgement, {"decision": "reject", "score": 1})
    said = "(whole): a judgement that says reject gives its reasons"
    assert refused.value.verdict.reasons == (said,)
    with pytest.raises(ContractError, match="the answer is empty"):
        validate(Plan, " ")
    with pytest.raises(ContractError, match="there is no JSON object in it"):
        validate(Plan, "First we test.")


def test_all_that_a_role_may_say() -> None:
    step = {"action": "a", "tool": "t", "risk": "high", "expected": "it works"}
    budget = {"cost": 2.5, "minutes": 10, "tool_calls": 1}
    plan = validate(Plan, {"goal": "g", "steps": [step], "budget": budget})
    assert (plan.steps[0].risk, plan.budget and plan.budget.tool_calls) == ("high", 1)
    critique = validate(
        Critique,
        {
            "issues": [],
            "missing_evidence": ["when it was last tested"],
            "revised_steps": [{"step": 1, "revised": {"action": "b"}}],
        },
    )
    assert critique.revised_steps[0].revised == Step(action="b")
    judgement = validate(
        Judgement,
        {
            "decision": "approve",
            "score": 8,
            "criteria": [{"name": "safe", "score": 7}, {"name": "whole", "score": 9}],
            "conditions": ["it is deployed at night"],
        },
    )
    assert [one.score for one in judgement.criteria] == [7, 9]
    assert judgement.conditions == ("it is deployed at night",)


def test_an_instance_or_its_json_is_taken_and_a_fence_is_taken_off() -> None:
    plan = Plan(goal="g", steps=(Step(action="a"),))
    assert validate(Plan, plan) is plan
    assert validate(Plan, canonical(plan)) == plan
    assert validate(Plan, f"```json\n{canonical(plan)}\n```") == plan


@pytest.mark.parametrize("content", ["", "no JSON", "{", "[" * 200_000, None, 3, "```", b"{}"])
def test_anything_else_is_a_contract_error_and_nothing_but(content: object) -> None:
    with pytest.raises(ContractError) as refused:
        validate(Plan, content, role="Planner")
    assert "Planner's output is not a valid Plan" in str(refused.value)
    assert refused.value.verdict.reasons


def test_a_validator_that_raises_something_else_is_a_contract_error_too() -> None:
    class Odd(BaseModel):
        @model_validator(mode="before")
        @classmethod
        def _odd(cls, data: Any) -> Any:
            raise KeyError("odd")

    with pytest.raises(ContractError, match=r"a validator failed: KeyError$"):
        validate(Odd, "{}")


@given(st.text())
def test_no_text_raises_anything_but_a_contract_error(content: str) -> None:
    try:
        validate(Plan, content)
    except ContractError:
        return
    raise AssertionError("a random text was taken for a plan")


def test_only_pydantic_models_are_schemas() -> None:
    assert schema_of(Plan) is Plan
    assert schema_of({"type": "json_object"}) is None
    assert schema_of(None) is None
    assert schema_of(str) is None
