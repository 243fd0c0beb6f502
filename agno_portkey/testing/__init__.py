"""For tests of governed agents: a provider inside the process, and a gateway in front of it."""

from agno_portkey.testing.faults import Fault
from agno_portkey.testing.provider import EmbeddedProvider, Request
from agno_portkey.testing.replies import Reply, ToolCall, Usage

__all__ = ["EmbeddedProvider", "Fault", "Reply", "Request", "ToolCall", "Usage"]
