"""ContractHook by hand: what fits neither its schema nor its rules ends the run with an error."""

from _stage import stage
from agno.agent import Agent
from agno.run.base import RunStatus

from agno_portkey import Plan
from agno_portkey.contracts import Contract
from agno_portkey.hooks import ContractHook


def says_how_to_tell(plan: Plan) -> str | None:
    """Every step says how to tell that it worked."""
    silent = [step.action for step in plan.steps if not step.expected]
    return f"expected: left out of {silent[0]!r}" if silent else None


hook = ContractHook([Contract(Plan, rules=[says_how_to_tell])])

with stage() as (model, provider):
    planner = Agent(
        name="Planner", model=model, output_schema=Plan, pre_hooks=[hook], post_hooks=[hook]
    )

    # The model is asked again by itself: here it mends its answer.
    provider.reply('{"goal": "ship"}')  # the steps are missing
    provider.reply('{"goal": "ship", "steps": [{"action": "deploy", "expected": "it answers"}]}')
    mended = planner.run("Plan the release")
    print(mended.status.value, "-", mended.content)
    assert isinstance(mended.content, Plan)

    provider.reply('{"goal": "ship", "steps": [{"action": "deploy"}]}')
    refused = planner.run("Plan the release")

print(refused.status.value, "-", refused.content)
assert refused.status == RunStatus.error
assert "expected: left out of 'deploy'" in refused.content
