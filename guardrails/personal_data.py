"""Personal data: the provider sees `<PERSON_1>`, the user and the tools see the person."""

from _stage import stage
from agno.agent import Agent

from agno_portkey import govern
from agno_portkey.testing import Reply, ToolCall

MAIL = "ann.lee@corp.internal"
written = []


def write(to: str, text: str) -> str:
    """Write an e-mail."""
    written.append((to, text))
    return f"written to {to}"


with stage() as (model, provider):
    asks = ToolCall("write", {"to": "<EMAIL_ADDRESS_1>", "text": "Dear <PERSON_1>"})
    provider.reply(Reply(tool_calls=(asks,)))
    provider.reply("I wrote to <PERSON_1>.")
    desk = govern(Agent(name="Desk", model=model, tools=[write]), pii="pseudonymize")
    run = desk.run(f"I am John Smith; write to me at {MAIL}.")
    sent = repr([call.body for call in provider.calls])

print("the user sees:", run.content)
assert run.content == "I wrote to John Smith."
assert written == [(MAIL, "Dear John Smith")]
assert "Smith" not in sent
assert MAIL not in sent
