"""A streamed answer, shown sentence by sentence, each after its verdict."""

from _stage import stage
from agno.agent import Agent

from agno_portkey import govern, verdict_of
from agno_portkey.guardrails import Block, Passage, guard


@guard(on="output", stream="segment", inline=True)
def codenames(passage: Passage) -> Block | None:
    # What stands before the piece is there too, so that nothing hides on the seam.
    said = (passage.before + passage.text).lower()
    return Block("a secret project is named") if "bluebird" in said else None


shown = []
with stage() as (model, provider):
    provider.reply("We build engines. One of them is called Bluebird. It flies.")
    agent = govern(Agent(name="Desk", model=model), guards=[codenames])
    for event in agent.run("What are we building?", stream=True):
        if event.event == "RunContent":
            shown.append(event.content)
        verdict = verdict_of(event)

print("shown:", shown)
print("then:", verdict.reason)
assert shown == ["We build engines. "]
