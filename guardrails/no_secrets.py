"""Keys and passwords: refused on their way in, or masked; what a verdict tells is their kind."""

from _stage import stage
from agno.agent import Agent

from agno_portkey import govern, verdict_of
from agno_portkey.guardrails.secrets import SecretsGuardrail
from agno_portkey.testing import Reply, ToolCall

KEY = "ghp_" + "x7Kq2mV9" * 4 + "Ab3d"


def read_env(path: str) -> str:
    """Read a file of settings."""
    return (
        f"GITHUB_TOKEN={KEY}\nDB_PASSWORD=hunter2!\nCOMMIT=3f786850e387550fdab836ed7e6dc881de23001b"
    )


with stage() as (model, provider):
    desk = govern(Agent(name="Desk", model=model), guards=[SecretsGuardrail()])
    refused = desk.run(f"Log in with {KEY}.")
    verdict = verdict_of(refused)
    sent = len(provider.calls)

    provider.reply(Reply(tool_calls=(ToolCall("read_env", {"path": ".env"}),)))
    ops = Agent(name="Ops", model=model, tools=[read_env])
    ops = govern(ops, guards=[SecretsGuardrail(action="mask")])
    ops.run("What is set?")

(result,) = provider.calls[-1].tool_results
print("refused:", verdict.reason)
print("the provider was sent:", result)
assert sent == 0
assert KEY not in repr(verdict)
assert KEY not in result
assert "hunter2!" not in result
assert "3f786850e387550fdab836ed7e6dc881de23001b" in result
