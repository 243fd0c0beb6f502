"""Who asks a server, as AgentOS has established it, and what they may see and do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agno.os.auth import resolve_authorization_provider
from agno.os.authz.provider import AuthorizationContext
from agno.os.authz.scope_provider import ScopeAuthorizationProvider
from agno.os.middleware.user_scope import caller_is_admin, get_scoped_user_id
from fastapi import HTTPException, Request
from starlette.concurrency import run_in_threadpool

from agno_portkey.security.access.people import ANYONE, ROOT, refused_subject
from agno_portkey.security.access.refusals import HEARS, HOST
from agno_portkey.security.access.telling import refusal_of
from agno_portkey.verdict import Observer, failure_of, tell

__all__ = ["ANYONE", "ROOT", "Caller", "Doors", "caller_of", "problem"]


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


@dataclass(frozen=True)
class Doors:
    """Who gets in at the routes of one router; who does not is told to its observers."""

    observers: tuple[Observer, ...]
    allow_unauthenticated: bool
    tenant_claim: str

    async def caller(
        self, request: Request, *scopes: str, reads: bool = False, of_all: bool = False
    ) -> Caller:
        """Who asks for what takes all of `scopes`; HTTPException where they may not.

        Without an authorization anybody may do what only `reads`. What is `of_all` tenants is not
        for one whose token names a tenant.
        """
        free, claim = reads or self.allow_unauthenticated, self.tenant_claim
        try:
            caller = await caller_of(request, [*scopes], open_to_all=free, tenant_claim=claim)
            if of_all and not caller.all and caller.tenant is not None:
                said = f"it is of all tenants: ask with a token that names none ({claim})"
                raise problem(403, "of_all_tenants", said)
        except HTTPException as error:
            if error.status_code in (401, 403):
                await self._tell(request, scopes, error.status_code)
            raise
        return caller

    async def _tell(self, request: Request, scopes: tuple[str, ...], status: int) -> None:
        if (hears := getattr(request.state, HEARS, None)) is not None:
            # Each is told once, by who sees all answers of the app.
            hears.extend(each for each in self.observers if not any(each is one for one in hears))
            return
        path = getattr(request.scope.get("route"), "path", "")
        known = getattr(request.state, "authenticated", None) is True
        name = getattr(request.state, "user_id", None) if known else None
        by = name if refused_subject(name) is None else None
        event = refusal_of(status, f"{request.method} {path}", scopes, by=by)
        await run_in_threadpool(tell, self.observers, event)


async def caller_of(
    request: Request, scopes: list[str], *, open_to_all: bool, tenant_claim: str
) -> Caller:
    """Who asks for what takes all of `scopes`; HTTPException where they may not.

    AgentOS has verified who it is, or has no key to do so with: then it is anyone, who gets in only
    where it is `open_to_all`, and never in an app that `protect` was given. A token needs its
    scopes whether AgentOS asks for them or not.
    """
    state, request = request.state, _at_the_host(request)
    # Else an identity is what the request itself says.
    if getattr(state, "authenticated", None) is not True:
        protected = getattr(state, HEARS, None) is not None
        if not open_to_all or protected or getattr(state, "authenticated", None) is False:
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
    if (why := refused_subject(name)) is not None:
        raise problem(403, *why)
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


def _at_the_host(request: Request) -> Request:
    """The request as the app has it that authorizes: one that is mounted in it keeps no roles."""
    host = getattr(request.state, HOST, None)
    return request if host is None else Request({**request.scope, "app": host})


async def _require(request: Request, scopes: list[str]) -> None:
    state = request.state
    admin = getattr(state, "admin_scope", None)
    kind, _, action = scopes[0].rpartition(":")
    if len(scopes) > 1:
        # A store of roles would decide by the one that is named here, and by no other.
        action = ""
    context = AuthorizationContext(
        principal_id=getattr(state, "user_id", None),
        scopes=list(getattr(state, "scopes", None) or ()),
        claims=getattr(state, "claims", None) or {},
        resource_type=kind,
        action=action or None,
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
