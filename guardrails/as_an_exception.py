"""Agno returns a blocked run with status ERROR; `raise_on_block` makes an exception of it."""

from _stage import stage
from agno.agent import Agent

from agno_portkey import govern, raise_on_block
from agno_portkey.errors import InputBlocked
from agno_portkey.guardrails import Block, Passage, guard


@guard(on="input", inline=True)
def polite(passage: Passage) -> Block | None:
    return Block("shouting", score=0.9) if passage.text.isupper() else None


with stage() as (model, _):
    agent = govern(Agent(name="Desk", model=model), guards=[polite])
    print(raise_on_block(agent.run("Hello")).content)
    try:
        raise_on_block(agent.run("HELLO"))
    except InputBlocked as error:
        verdict = error.verdict

print(verdict.source, "says", verdict.reason, verdict.score)
assert verdict.source == "polite"
