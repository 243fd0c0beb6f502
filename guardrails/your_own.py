"""A guard of one's own, in the model: it stops what goes in, and what comes out."""

from _stage import stage
from agno.agent import Agent

from agno_portkey import govern
from agno_portkey.guardrails import Block, Guard, Passage


class NoCodenames(Guard):
    """Blocks whatever names a secret project."""

    def inspect(self, passage: Passage) -> Block | None:
        if "bluebird" in passage.text.lower():
            return Block("a secret project is named")
        return None


with stage() as (model, provider):
    agent = govern(Agent(name="Desk", model=model), guards=[NoCodenames()])
    asked = agent.run("What is Bluebird?")
    sent = len(provider.calls)
    provider.reply("It is the new Bluebird engine.")
    answered = agent.run("What are we building?")

print("asked:", asked.status.value, "-", asked.content)
print("answered:", answered.status.value, "-", answered.content)
assert sent == 0
assert "Bluebird" not in answered.content
