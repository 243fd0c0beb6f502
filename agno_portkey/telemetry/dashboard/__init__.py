"""What the spans of an Agno database come to: by time, model, provider and so on."""

from agno_portkey.telemetry.dashboard.board import Board
from agno_portkey.telemetry.dashboard.ranges import Asked

__all__ = ["Asked", "Board"]
