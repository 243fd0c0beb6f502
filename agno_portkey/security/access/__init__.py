"""Who may do what: scopes, roles as bundles of them, and what each route and command takes.

AgentOS and its tokens decide; nothing here is a second authorization.
"""

from agno_portkey.security.access.commands import COMMAND_SCOPES
from agno_portkey.security.access.protecting import define_roles, protect
from agno_portkey.security.access.routes import ROUTE_SCOPES
from agno_portkey.security.access.scopes import ROLES, SCOPES, scopes_of

__all__ = [
    "COMMAND_SCOPES",
    "ROLES",
    "ROUTE_SCOPES",
    "SCOPES",
    "define_roles",
    "protect",
    "scopes_of",
]
