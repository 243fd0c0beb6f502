"""A guard that rewrites: the provider never sees the word, and neither does the database."""

import re

from _stage import stage
from agno.agent import Agent

from agno_portkey import govern
from agno_portkey.guardrails import Passage, Rewrite, guard


@guard(rewrites=True)
def codenames(passage: Passage) -> Rewrite | None:
    text = re.sub("bluebird", "<PROJECT>", passage.text, flags=re.IGNORECASE)
    return Rewrite(text) if text != passage.text else None


with stage() as (model, provider):
    agent = govern(Agent(name="Desk", model=model), guards=[codenames])
    run = agent.run("What is Bluebird?")

print("the provider was sent:", provider.calls[0].last_user)
assert provider.calls[0].last_user == "What is <PROJECT>?"
assert "Bluebird" not in str(run.to_dict())
