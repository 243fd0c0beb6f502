"""Traces, metrics, the ledger and the audit log. Needs `agno-portkey[tracing]`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agno_portkey.errors import MissingExtraError

if TYPE_CHECKING:
    from agno_portkey.telemetry.metrics import Metrics
    from agno_portkey.telemetry.setting_up import Telemetry, setup

__all__ = ["Metrics", "Telemetry", "setup"]


def __getattr__(name: str) -> Any:
    # Not before they are asked for: the ledger needs none of OpenTelemetry.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        import opentelemetry.instrumentation.genai.agno
        import opentelemetry.sdk  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            "telemetry needs OpenLIT and OpenTelemetry: pip install 'agno-portkey[tracing]'"
        ) from error
    from importlib import import_module

    place = "metrics" if name == "Metrics" else "setting_up"
    value = getattr(import_module(f"agno_portkey.telemetry.{place}"), name)
    globals()[name] = value
    return value
