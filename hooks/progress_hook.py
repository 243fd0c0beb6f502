"""ProgressHook by hand: who is at work, members below their team."""

from io import StringIO

from _stage import stage
from agno.agent import Agent
from agno.team import Team
from rich.console import Console

from agno_portkey.hooks import ProgressHook
from agno_portkey.testing import Reply, ToolCall

# In a terminal, `ProgressHook()` is all it takes; here its lines are kept to be looked at.
screen = StringIO()
progress = ProgressHook(Console(file=screen, width=80), always=True)
hooks = {"pre_hooks": [progress], "post_hooks": [progress]}

with stage() as (model, provider):
    ask = ToolCall("delegate_task_to_member", {"member_id": "writer", "task": "write"})
    provider.when("You are the Desk", [Reply(tool_calls=(ask,)), "All is written."])
    provider.when("You are the Writer", "Once upon a time")
    writer = Agent(
        id="writer", name="Writer", model=model, instructions="You are the Writer", **hooks
    )
    team = Team(
        name="Desk", members=[writer], model=model, instructions="You are the Desk", **hooks
    )
    team.run("Write")

print(screen.getvalue())
begins, member_begins, member_ends, ends = screen.getvalue().splitlines()
assert begins == "Desk begins"
assert member_begins == "  Writer begins"
assert member_ends.startswith("  Writer answered")
assert ends.startswith("Desk answered")
