"""ContractHook by hand: an output that does not fit its schema ends the run with an error."""

from _stage import stage
from agno.agent import Agent
from agno.run.base import RunStatus

from agno_portkey import Plan
from agno_portkey.hooks import ContractHook

with stage() as (model, provider):
    provider.reply('{"goal": "ship"}')  # the steps are missing
    planner = Agent(name="Planner", model=model, output_schema=Plan, post_hooks=[ContractHook()])
    run = planner.run("Plan the release")

print(run.status.value, "-", run.content)
assert run.status == RunStatus.error
assert "steps: Field required" in run.content
