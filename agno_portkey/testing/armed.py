"""Faults that wait for the requests that they are to strike."""

from __future__ import annotations

from dataclasses import dataclass

from agno_portkey.testing.faults import Fault
from agno_portkey.testing.requests import Request

__all__ = ["Armed"]


@dataclass
class Armed:
    """A fault for the next requests: `left` of them, for a model, that say a text, on a route."""

    fault: Fault
    left: int | None = None
    model: str | None = None
    text: str = ""
    route: str = ""
    until: float | None = None

    def strikes(self, request: Request) -> bool:
        """Whether this request is hit; counts it if so."""
        if self.left == 0 or (self.model is not None and request.model != self.model):
            return False
        if not request.route.startswith(self.route):
            return False
        if self.text and not any(self.text in said for said in request.said):
            return False
        if self.fault.kind == "outage":
            self.until = request.at + self.fault.seconds if self.until is None else self.until
            return request.at < self.until
        self.left = None if self.left is None else self.left - 1
        return True
