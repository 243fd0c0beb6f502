"""What a walk through texts collects, and how it replaces one of them."""

from __future__ import annotations

from typing import Any

WORD = "bluebird"


class Collected(list[str]):
    """What was asked about; each text comes back as it is."""

    def __call__(self, text: str, source: str, path: str) -> str:
        self.append(text)
        return text


def masked(text: str, source: str, path: str) -> str:
    return text.replace(WORD, "<X>")


def tool_call(arguments: Any, name: str = "find") -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"id": "c", "type": "function", "function": function}
