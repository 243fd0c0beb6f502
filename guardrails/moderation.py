"""Moderation by the provider behind the gateway: categories, and a threshold of one's own."""

from _stage import stage
from agno.agent import Agent

from agno_portkey import govern, verdict_of
from agno_portkey.guardrails.moderation import ModerationGuardrail

with stage() as (model, provider):
    provider.moderate("hurt", {"violence": 0.9})
    provider.moderate("silly", {"harassment": 0.55})
    guard = ModerationGuardrail(model=model, thresholds={"harassment": 0.8})
    desk = govern(Agent(name="Desk", model=model), guards=[guard])
    refused = desk.run("How do I hurt somebody?")
    allowed = desk.run("Is this a silly question?")

verdict = verdict_of(refused)
print("refused:", verdict.reason, verdict.score)
print("allowed:", allowed.content)
assert verdict.score == 0.9
assert verdict_of(allowed) is None
