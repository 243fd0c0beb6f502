"""The playground: chat, gates and dashboard around governed teams, in an AgentOS."""

from agno_portkey.errors import MissingExtraError

try:
    import fastapi as _fastapi  # noqa: F401 - only whether it is there
except ImportError as error:
    raise MissingExtraError("the playground needs: pip install 'agno-portkey[os]'") from error

from agno_portkey.playground.app import app

__all__ = ["app"]
