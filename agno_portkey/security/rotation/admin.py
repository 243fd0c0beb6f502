"""Portkey's admin API through its SDK: asked once, answered in time, its errors told safely."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from agno_portkey.errors import AgnoPortkeyError, ConfigurationError
from agno_portkey.secrets.hidden import Hidden
from agno_portkey.settings import HOSTED_URL, LOOPBACK, check_url

if TYPE_CHECKING:
    from portkey_ai import Portkey

__all__ = ["AdminFailed", "admin_client", "asked"]

T = TypeVar("T")

# What may be well in a while.
_PASSING = frozenset({408, 409, 425, 429})


class AdminFailed(AgnoPortkeyError):
    """The admin API did not do what it was asked, or nobody knows whether it did.

    `status` is that of its answer, if there was one. `unsure`: it may have been done all the same.
    `passing`: another try may go better.
    """

    def __init__(self, message: str, *, status: int | None = None, unsure: bool = False) -> None:
        super().__init__(message)
        self.status, self.unsure = status, unsure

    @property
    def passing(self) -> bool:
        return self.unsure or self.status in _PASSING

    def __reduce__(self) -> tuple[Any, ...]:
        return (_failed, (str(self), self.status, self.unsure))


def _failed(message: str, status: int | None, unsure: bool) -> AdminFailed:
    return AdminFailed(message, status=status, unsure=unsure)


def admin_client(api_key: str, *, base_url: str = HOSTED_URL, timeout: float = 30.0) -> Portkey:
    """A client of Portkey's admin API that waits `timeout` seconds and asks each thing once.

    The SDK's own would wait for ever, and ask a second time where an answer was lost: whatever
    makes a key would then make two.
    """
    # Its package takes a second to import, which `--help` need not wait for.
    from portkey_ai import Portkey

    # No traceback of ours is to show it, nor a repr of the client.
    api_key = Hidden(api_key)
    if not api_key.strip():
        raise ConfigurationError("api_key: a key of Portkey that may manage keys, not an empty one")
    url = check_url(base_url, name="base_url")
    seconds = httpx.Timeout(timeout).as_dict()

    def in_time(request: httpx.Request) -> None:
        request.extensions["timeout"] = seconds

    http = httpx.Client(
        base_url=url,
        headers={"Accept": "application/json"},
        event_hooks={"request": [in_time]},
        # A proxy set for the machine must not catch calls to a server on it.
        trust_env=httpx.URL(url).host not in LOOPBACK,
    )
    client = Portkey(api_key=api_key, base_url=url, http_client=http)
    client.max_retries = 0
    return client


def asked(what: str, ask: Callable[[], T]) -> T:
    """What `ask` gives; raises AdminFailed, which tells of `what` and of no word of an answer.

    An answer may quote what was sent, and that holds keys.
    """
    from portkey_ai.api_resources import exceptions

    try:
        return ask()
    except AdminFailed:
        raise
    except exceptions.APIStatusError as error:
        status = error.status_code
        told = f"Portkey answered {status} when asked {what}"
        failed = AdminFailed(told, status=status, unsure=status >= 500 or status == 408)
    except exceptions.APITimeoutError:
        failed = AdminFailed(f"Portkey gave no answer in time when asked {what}", unsure=True)
    except exceptions.APIConnectionError:
        failed = AdminFailed(f"the connection broke when Portkey was asked {what}", unsure=True)
    except Exception as error:
        # No JSON, another JSON, or no content type: the SDK does not look before it reads.
        kind = type(error).__name__
        told = f"Portkey's answer can't be read ({kind}) when asked {what}"
        failed = AdminFailed(told, unsure=True)
    # Not where it was caught: a traceback would show what was sent.
    raise failed
