"""What a server shows and does: gates, the kill switch, the audit log and keys."""

from agno_portkey.errors import MissingExtraError

try:
    import fastapi as _fastapi  # noqa: F401 - only whether it is there
except ImportError as error:
    raise MissingExtraError("serving needs FastAPI: pip install 'agno-portkey[os]'") from error

from agno_portkey.serving.audit import audit_router
from agno_portkey.serving.dashboard import dashboard_router
from agno_portkey.serving.gates import GATE_SCOPES, gate_router
from agno_portkey.serving.keys import KeyKeeper, keys_router
from agno_portkey.serving.stops import stop_router

__all__ = [
    "GATE_SCOPES",
    "KeyKeeper",
    "audit_router",
    "dashboard_router",
    "gate_router",
    "keys_router",
    "stop_router",
]
