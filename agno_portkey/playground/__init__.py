"""The playground: chat, gates and dashboard around governed teams, in an AgentOS."""

from agno_portkey.playground.app import app

__all__ = ["app"]
