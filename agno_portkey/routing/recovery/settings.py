"""What the client does about a request that failed: settings, and what each error calls for."""

from __future__ import annotations

from enum import Enum
from typing import Literal

from pydantic import Field

from agno_portkey.errors import (
    BadResponse,
    CircuitOpen,
    ContentFiltered,
    ContextOverflow,
    GatewayConfigRejected,
    GatewayError,
    GatewayRateLimited,
    GatewayTimeout,
    GatewayUnauthorized,
    GatewayUnreachable,
)
from agno_portkey.routing.config.parts import Part

__all__ = ["MAX_ATTEMPTS", "Recovery", "Remedy", "blames_target", "declines", "remedy", "status_of"]

MAX_ATTEMPTS = 6
_TRANSIENT = (408, 409, 425, 429)
# What says that this target can't serve the call, but another may.
_NOT_HERE = (404, 410)


class Recovery(Part):
    """How a call that fails is rescued; times are in seconds, `None` means no limit.

    `by` names the one layer that retries: the `client`, or the `gateway` by its config. `attempts`
    counts every request of one call, to whichever target; none begins after `budget`. Waits grow
    from `wait` to `max_wait` with jitter; a longer Retry-After ends the call instead.

    `first_token_timeout` applies while there is another target to go to (else `answer_timeout`
    does), `stream_idle_timeout` from each token of a stream to the next, `answer_timeout` to an
    answer that is not streamed. A target's own `Timeout` wins.
    """

    by: Literal["client", "gateway"] = "client"
    attempts: int = Field(default=4, ge=1, le=MAX_ATTEMPTS)
    budget: float = Field(default=300.0, gt=0)
    wait: float = Field(default=0.5, gt=0)
    max_wait: float = Field(default=30.0, gt=0)
    first_token_timeout: float | None = Field(default=10.0, gt=0)
    stream_idle_timeout: float | None = Field(default=10.0, gt=0)
    answer_timeout: float | None = Field(default=120.0, gt=0)


class Remedy(Enum):
    """What an error calls for."""

    GIVE_UP = "another request would end the same way"
    LEAVE = "this target is left for the rest of the call"
    LARGER = "the same model is left for the rest of the call"
    AGAIN = "any other target first, then this one"


def remedy(error: GatewayError, *, asked: bool) -> Remedy:
    """What `error` calls for; `asked` says that a provider, not just the gateway, was reached."""
    if isinstance(error, ContextOverflow):
        return Remedy.LARGER
    if isinstance(error, CircuitOpen | GatewayTimeout | GatewayUnauthorized):
        return Remedy.LEAVE
    if isinstance(error, GatewayRateLimited | GatewayUnreachable):
        return Remedy.AGAIN
    if isinstance(error, ContentFiltered | GatewayConfigRejected):
        return Remedy.GIVE_UP
    if isinstance(error, BadResponse):
        # A page from a wrong address stays a page.
        return Remedy.AGAIN if asked else Remedy.GIVE_UP
    status = error.status_code
    if status in _NOT_HERE:
        return Remedy.LEAVE
    return Remedy.AGAIN if status >= 500 or status in _TRANSIENT else Remedy.GIVE_UP


def blames_target(error: GatewayError) -> bool:
    """Whether `error` speaks against the target's health, rather than against the request."""
    if isinstance(error, CircuitOpen | GatewayUnreachable | ContextOverflow | ContentFiltered):
        return False
    if isinstance(error, BadResponse | GatewayTimeout | GatewayUnauthorized):
        return True
    return error.status_code >= 500 or error.status_code in _TRANSIENT


def declines(error: GatewayError) -> bool:
    """Whether a target that was to continue an answer will not, and says no more than that."""
    if isinstance(error, ContentFiltered | ContextOverflow | GatewayConfigRejected | BadResponse):
        return False
    return 400 <= error.status_code < 500 and remedy(error, asked=True) is Remedy.GIVE_UP


def status_of(error: GatewayError) -> int:
    """The status by which a `Fallback` with `on_status_codes` decides; a silent target's is 408."""
    return 408 if isinstance(error, GatewayTimeout) else error.status_code
