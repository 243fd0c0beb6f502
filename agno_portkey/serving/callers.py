"""Who asks a server, as AgentOS has established it, and what they may see and do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agno.os.auth import resolve_authorization_provider
from agno.os.authz.provider import AuthorizationContext
from agno.os.authz.scope_provider import ScopeAuthorizationProvider
from agno.os.middleware.user_scope import caller_is_admin, get_scoped_user_id
from fastapi import HTTPException, Request

from agno_portkey.verdict import failure_of

__all__ = ["ROOT", "Caller", "caller_of", "problem"]

# Who decided where AgentOS' own key was shown, which names nobody; and where nobody had to be.
ROOT = "the OS security key"
ANYONE = "somebody who was not asked who they are"
# What is kept of decisions that no person has made, or of those above.
_RESERVED = frozenset({ROOT, ANYONE, "the gate", "agno-portkey", "an operator"})
# Characters of a subject: as many as OpenID Connect allows.
_LONGEST = 255


@dataclass(frozen=True, slots=True)
class Caller:
    """One who asks. `tenant` and `user_id` are whose they see, where they don't see `all`."""

    name: str | None
    all: bool
    tenant: str | None = None
    user_id: str | None = None

    def sees(self, kept: Any) -> bool:
        """Whether a clearance or decision is for them to see."""
        if self.all:
            return True
        return kept.tenant == self.tenant and self.user_id in (None, kept.user_id)


def problem(status: int, error: str, message: str) -> HTTPException:
    """What is answered in place of a result: a code, and what to do."""
    return HTTPException(status, detail={"error": error, "message": message})


async def caller_of(
    request: Request, scopes: list[str], *, open_to_all: bool, tenant_claim: str
) -> Caller:
    """Who asks for what takes all of `scopes`; HTTPException where they may not.

    AgentOS has verified who it is, or has no key to do so with: then it is anyone, who gets in only
    where it is `open_to_all`. A token needs its scopes whether AgentOS asks for them or not.
    """
    state = request.state
    # Else an identity is what the request itself says.
    if getattr(state, "authenticated", None) is not True:
        if not open_to_all or getattr(state, "authenticated", None) is False:
            raise problem(
                401,
                "unauthenticated",
                "this needs a caller that is known: give AgentOS an authorization or a security "
                "key and send its token",
            )
        return Caller(ANYONE, all=True)
    if getattr(state, "security_key_verified", False) is True:
        return Caller(ROOT, all=True)
    await _require(request, scopes)
    name = getattr(state, "user_id", None)
    if not isinstance(name, str) or not name.strip():
        raise problem(403, "no_subject", "the token names nobody: it needs a subject (sub)")
    _check_subject(name)
    claims = getattr(state, "claims", None) or {}
    tenant = claims.get(tenant_claim)
    if tenant is not None and not isinstance(tenant, str):
        raise problem(403, "no_tenant", f"the token's {tenant_claim} is no text")
    return Caller(
        name,
        all=caller_is_admin(request),
        tenant=tenant,
        user_id=get_scoped_user_id(request),
    )


def _check_subject(name: str) -> None:
    """Refuse a subject that would be read as something else, in a log or beside a decision."""
    if len(name) > _LONGEST or not name.isprintable():
        said = f"the token's subject may have {_LONGEST} characters, and no control characters"
        raise problem(403, "odd_subject", said)
    if " ".join(name.split()).casefold() in {each.casefold() for each in _RESERVED}:
        said = "the token's subject is a name that stands for no person here: use another one"
        raise problem(403, "reserved_subject", said)


async def _require(request: Request, scopes: list[str]) -> None:
    state = request.state
    admin = getattr(state, "admin_scope", None)
    context = AuthorizationContext(
        principal_id=getattr(state, "user_id", None),
        scopes=list(getattr(state, "scopes", None) or ()),
        claims=getattr(state, "claims", None) or {},
        resource_type="gates",
        action=scopes[0].rpartition(":")[2],
        admin_scope=admin if isinstance(admin, str) else None,
    )
    # The scopes of a service account are its own, whoever else may decide.
    account = getattr(state, "service_account_name", None)
    provider = (
        resolve_authorization_provider(request) if account is None else ScopeAuthorizationProvider()
    )
    try:
        allowed = await provider.aauthorize_route(context, scopes)
    except Exception as error:
        raise problem(503, "unknown_rights", failure_of("the authorization", error)) from error
    if allowed is not True:
        needed = " and ".join(scopes)
        raise problem(
            403, "forbidden", f"the token needs the scope {needed}: ask for one that has it"
        )
