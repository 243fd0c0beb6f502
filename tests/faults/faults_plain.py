"""The other side: Agno's own `Portkey` on the same gateway, set up as a careful user would.

Its config is the same fallback as a dict. The gateway gives each target one more try (and
waits as long as Retry-After says) and `request_timeout` to begin its answer; the fallback takes
any failure, as by default: a list of statuses without 400 would lose the overflow that a larger
model can take. The OpenAI client gives up on a silent connection, and its own retries and
Agno's are off, since they would multiply those of the gateway.
"""

from __future__ import annotations

from typing import Any

from agno.models.portkey import Portkey
from faults_stage import FIRST_TOKEN, PRIMARY, SPARE, Hear, Route, Side

from agno_portkey.testing import EmbeddedProvider

__all__ = ["PLAIN"]

# Seconds without a byte; more than the gateway takes with the targets of one call.
_SILENT_SECONDS = 3.0


def plain(url: str, provider: EmbeddedProvider, route: Route, hear: Hear) -> Portkey:
    """Agno's own model; it has nobody to tell of its calls."""
    targets = [_target(provider, name) for name in (PRIMARY, SPARE)]
    config = {"strategy": {"mode": "fallback"}, "targets": targets}
    return Portkey(
        portkey_api_key="test-key",
        base_url=url,
        config=targets[0] if route.alone else config,
        timeout=_SILENT_SECONDS,
        max_retries=0,
    )


def _target(provider: EmbeddedProvider, model: str) -> dict[str, Any]:
    return {
        "provider": "openai",
        "api_key": "test-key",
        "custom_host": provider.url,
        "override_params": {"model": model},
        "request_timeout": round(FIRST_TOKEN * 1000),
        "retry": {"attempts": 1, "use_retry_after_header": True},
    }


PLAIN = Side("Agno's Portkey", plain, continues=False)
