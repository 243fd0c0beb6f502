"""Tags: what every call says about itself to the gateway, as `x-portkey-metadata`."""

from __future__ import annotations

import hashlib
import json
import random
import re
import secrets
import sys
from collections.abc import Mapping
from typing import Any

from agno_portkey.errors import ConfigurationError
from agno_portkey.modes import Mode, mode_now

__all__ = [
    "MAX_TAG_LENGTH",
    "TAGS_KEY",
    "call_tags",
    "check_tags",
    "metadata_header",
    "sent_tags",
    "trace_headers",
]

# Portkey's documented limit for a metadata value.
MAX_TAG_LENGTH = 128

# Where a run keeps its tags in `run_context.metadata`, which members inherit.
TAGS_KEY = "agno_portkey.tags"

_IDENTITY = (("run", "run_id"), ("session", "session_id"), ("_user", "user_id"))
_HEX_ID = re.compile(r"(?!0{32})[0-9a-f]{32}")


def check_tags(tags: Mapping[str, Any] | None, *, name: str = "tags") -> dict[str, str]:
    """Return `tags` with text values; too long, nested or nameless ones are refused."""
    if tags is None:
        return {}
    if not isinstance(tags, Mapping):
        raise ConfigurationError(f"{name}: a mapping of names to values, not {type(tags).__name__}")
    checked = {}
    for key, value in tags.items():
        if not isinstance(key, str) or not key:
            raise ConfigurationError(f"{name}: a tag's name is a non-empty text, not {key!r}")
        if isinstance(value, bool):
            value = str(value).lower()
        if not isinstance(value, str | int | float):
            raise ConfigurationError(
                f"{name}[{key!r}]: text or a number, not {type(value).__name__} "
                "(the gateway matches one level only)"
            )
        text = str(value)
        if len(text) > MAX_TAG_LENGTH:
            raise ConfigurationError(
                f"{name}[{key!r}]: {len(text)} characters; Portkey takes {MAX_TAG_LENGTH}"
            )
        checked[key] = text
    return checked


def call_tags(run_response: object, *layers: Mapping[str, str]) -> dict[str, str]:
    """The tags of one call: who runs (from Agno's run output), then `layers`, later ones win.

    `role` is the agent, `swarm` the team; ids longer than Portkey takes are cut.
    """
    tags: dict[str, str] = {}
    role = getattr(run_response, "agent_name", None) or getattr(run_response, "agent_id", None)
    swarm = getattr(run_response, "team_name", None) or getattr(run_response, "team_id", None)
    if role or swarm:
        tags["role"] = str(role or swarm)
    if swarm:
        tags["swarm"] = str(swarm)
    for tag, attribute in _IDENTITY:
        if value := getattr(run_response, attribute, None):
            tags[tag] = str(value)
    metadata = getattr(run_response, "metadata", None)
    if isinstance(metadata, Mapping) and isinstance(metadata.get(TAGS_KEY), Mapping):
        tags.update({str(key): str(value) for key, value in metadata[TAGS_KEY].items()})
    for layer in layers:
        tags.update(layer)
    for tag, value in tags.items():
        if len(value) > MAX_TAG_LENGTH:
            tags[tag] = value[:MAX_TAG_LENGTH]
    return tags


def sent_tags(tags: Mapping[str, str], mode: Mode = "enforce") -> dict[str, str]:
    """Those of `tags` that are sent: none where they are off, else all; to observe is to send.

    AGNO_PORTKEY_TAGS_MODE overrides `mode`. The trace's id is no tag. Without tags a route's
    conditions on metadata see none.
    """
    return {} if mode_now("tags", mode) == "off" else dict(tags)


def metadata_header(tags: Mapping[str, str]) -> dict[str, str]:
    """The header that carries `tags`, if there are any; what is not ASCII in them is escaped."""
    return {"x-portkey-metadata": json.dumps(tags)} if tags else {}


def trace_headers(trace_seed: str | None) -> dict[str, str]:
    """`traceparent` and the `x-portkey-trace-id` that goes with it.

    The current OpenTelemetry span's trace if there is one; else a trace named after
    `trace_seed` (the outermost run's id), so that all calls of a run share it.
    """
    trace_id, span_id = _current_span() or (_trace_id(trace_seed), _span_id())
    return {
        "x-portkey-trace-id": trace_id,
        "traceparent": f"00-{trace_id}-{span_id}-01",
    }


def _span_id() -> str:
    # Told apart, not kept secret; as OpenTelemetry makes them, at a tenth of the cost of a secret.
    return f"{random.getrandbits(64) or 1:016x}"


def _trace_id(seed: str | None) -> str:
    if seed is None:
        return secrets.token_hex(16)
    compact = seed.replace("-", "").lower()
    if _HEX_ID.fullmatch(compact):
        return compact
    return hashlib.sha256(seed.encode()).hexdigest()[:32]


def _current_span() -> tuple[str, str] | None:
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return trace.format_trace_id(context.trace_id), trace.format_span_id(context.span_id)
