"""Who can be asked in a batch: whoever needs one request, and says the same each time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agno.agent import Agent
from agno.team import Team

from agno_portkey.errors import ConfigurationError
from agno_portkey.model import PortkeyModel

__all__ = ["agent_of", "require_no_turns"]

# What makes a run more than one request.
_MORE = (
    "tools",
    "skills",
    "filesystem",
    "reasoning_model",
    "reasoning_agent",
    "parser_model",
    "output_model",
    "memory_manager",
    "enable_agentic_memory",
    "update_memory_on_run",
    "enable_session_summaries",
    "learning",
    "followups",
    "compaction",
)
# What makes the request another one when its answer is fetched.
_CHANGING = ("add_datetime_to_context", "add_memories_to_context")


def agent_of(given: Any) -> Agent:
    """`given` as an agent whose runs are one request each; ConfigurationError where it is none."""
    if isinstance(given, Team):
        raise ConfigurationError(
            "agent: a team works in turns, and a batch has one request for each input; give an "
            "agent, or use run_many"
        )
    agent = Agent(model=given, telemetry=False) if isinstance(given, PortkeyModel) else given
    if not isinstance(agent, Agent) or not isinstance(agent.model, PortkeyModel):
        raise ConfigurationError("agent: an Agent with a PortkeyModel, or a PortkeyModel")
    for name in _MORE:
        if getattr(agent, name, None):
            raise ConfigurationError(
                f"agent.{name}: a batch has one request for each input, and no turns; leave it "
                "out, or use run_many"
            )
    for name in _CHANGING:
        if getattr(agent, name, None):
            raise ConfigurationError(
                f"agent.{name}: what is asked has to be the same when its answer is fetched; "
                "leave it out"
            )
    return agent


def require_no_turns(body: Mapping[str, Any]) -> None:
    """Refuse a request whose answer could be a call of a tool."""
    if body.get("tools"):
        raise ConfigurationError(
            "agent: it offers tools to its model, and a batch has one request for each input and "
            "no turns; leave them out, or use run_many"
        )
