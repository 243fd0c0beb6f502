"""A guard round a tool: a call that it refuses does not happen, and the model reads why."""

from _stage import stage
from agno.agent import Agent

from agno_portkey.guardrails import Block, Passage, guard
from agno_portkey.testing import Reply, ToolCall

removed = []


def remove(path: str) -> str:
    """Remove a file."""
    removed.append(path)
    return f"{path} is gone"


@guard
def no_system_files(passage: Passage) -> Block | None:
    return Block("system files stay") if passage.text.startswith("/etc/") else None


with stage() as (model, provider):
    provider.reply(Reply(tool_calls=(ToolCall("remove", {"path": "/etc/hosts"}),)))
    provider.reply("I may not do that.")
    agent = Agent(name="Cleaner", model=model, tools=[remove], tool_hooks=[no_system_files])
    run = agent.run("Tidy up.")

(told,) = provider.calls[1].tool_results
print("the model was told:", told)
print("the agent says:", run.content)
assert removed == []
