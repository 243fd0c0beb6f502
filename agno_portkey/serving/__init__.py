"""What a server shows of gates: those that wait for a person, and what they have decided."""

from agno_portkey.errors import MissingExtraError

try:
    import fastapi as _fastapi  # noqa: F401 - only whether it is there
except ImportError as error:  # pragma: no cover - the tests have it
    raise MissingExtraError(
        "serving gates needs FastAPI: pip install 'agno-portkey[os]'"
    ) from error

from agno_portkey.serving.gates import GATE_SCOPES, gate_router

__all__ = ["GATE_SCOPES", "gate_router"]
