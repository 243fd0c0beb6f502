"""The forms in which a schema is given as a mapping, brought to the one that providers take."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["provider_form"]

# Other values of `type` belong to a JSON schema.
_KINDS = ("json_object", "text")
_NAMED = frozenset({"name", "schema", "strict", "description"})
_NAME = re.compile(r"[^A-Za-z0-9_-]+")


def provider_form(response_format: Any) -> Any:
    """`response_format` as chat completions take it.

    A schema may be given in that form (`{"type": "json_schema", "json_schema": {...}}`), in that of
    the Responses API (`{"type": "json_schema", "name": ..., "schema": {...}}`), as a name and a
    schema, or bare. What is no mapping comes back as it is.
    """
    if not isinstance(response_format, Mapping) or response_format.get("type") in _KINDS:
        return response_format
    named = {k: v for k, v in response_format.items() if k != "type"}
    if isinstance(named.get("schema"), Mapping) and named.keys() <= _NAMED:
        return {"type": "json_schema", "json_schema": {"name": "output", **named}}
    if response_format.get("type") == "json_schema":
        return response_format
    name = _NAME.sub("_", str(response_format.get("title") or "output"))[:64]
    schema = {"name": name, "schema": response_format}
    return {"type": "json_schema", "json_schema": schema}
