"""For tests of governed agents: a provider inside the process, and a gateway in front of it."""

from agno_portkey.testing.faults import Fault
from agno_portkey.testing.provider import EmbeddedProvider
from agno_portkey.testing.replies import Reply, ToolCall, Usage
from agno_portkey.testing.requests import Request

__all__ = ["EmbeddedProvider", "Fault", "Reply", "Request", "ToolCall", "Usage"]
