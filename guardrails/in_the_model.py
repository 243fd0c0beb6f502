"""Agno's own guardrail inside the model: it masks what a tool returned, before it is sent on."""

from _stage import stage
from agno.agent import Agent
from agno.guardrails import PIIDetectionGuardrail

from agno_portkey import govern
from agno_portkey.testing import Reply, ToolCall


def look_up(customer: str) -> str:
    """Look a customer up."""
    return f"{customer}: jane.doe@example.com"


with stage() as (model, provider):
    provider.reply(Reply(tool_calls=(ToolCall("look_up", {"customer": "Jane"}),)))
    provider.reply("I have found her.")
    agent = govern(
        Agent(name="Desk", model=model, tools=[look_up]),
        guards=[PIIDetectionGuardrail(mask_pii=True)],
    )
    run = agent.run("Who is Jane?")

(result,) = provider.calls[1].tool_results
print("the provider was sent:", result)
assert "jane.doe" not in result
