"""TagHook by hand: every call of the team says whom to charge, its members' calls too."""

from _stage import stage
from agno.agent import Agent
from agno.team import Team

from agno_portkey.hooks import TagHook

with stage() as (model, provider):
    # The gateway keeps tags to itself; a routing config shows that it has them.
    target = {"provider": "openai", "api_key": "none", "custom_host": provider.url}
    model.portkey_provider = model.custom_host = model.api_key = None
    model.config = {
        "strategy": {
            "mode": "conditional",
            "conditions": [{"query": {"metadata.cost_center": {"$eq": "cc-42"}}, "then": "paid"}],
            "default": "free",
        },
        "targets": [
            {"name": "paid", **target, "override_params": {"model": "large"}},
            {"name": "free", **target, "override_params": {"model": "small"}},
        ],
    }
    team = Team(
        name="Desk",
        members=[Agent(name="Writer", model=model)],
        model=model,
        pre_hooks=[TagHook(cost_center="cc-42")],
    )
    team.run("Hello")

print("the provider was asked for:", [call.model for call in provider.calls])
assert {call.model for call in provider.calls} == {"large"}
