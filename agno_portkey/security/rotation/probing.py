"""Tries a new key out: one short call through the gateway."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any, Literal

from agno_portkey.errors import ConfigurationError
from agno_portkey.routing.recovery.settings import Recovery
from agno_portkey.secrets.hidden import Hidden

if TYPE_CHECKING:
    from agno_portkey.model import PortkeyModel

__all__ = ["ModelProbe"]

Use = Literal["api_key", "portkey_api_key", "virtual_key", "portkey_provider"]
# Seconds that one call may take.
_SECONDS = 10.0
_USES = ("api_key", "portkey_api_key", "virtual_key", "portkey_provider")


class ModelProbe:
    """Asks `model` for one token with the new value as its `use`; raises what the call does.

    The call goes by no guard, cache or observer of the model, and is paid for.
    """

    def __init__(self, model: PortkeyModel, use: Use = "portkey_api_key") -> None:
        if use not in _USES:
            raise ConfigurationError(f"use: one of {', '.join(_USES)}, not {use!r}")
        self._model, self._use = model, use

    def __call__(self, value: str) -> None:
        from agno.models.message import Message

        model: Any = copy(self._model)
        # Its own connections, circuits and notes: nothing of a probe stays with the model.
        model.__setstate__({self._use: Hidden(value), "seat": None, "cache": None, "max_tokens": 1})
        # Whoever rotates tries again by itself, and is not to wait long for who does not answer.
        model.recovery, model.timeout = Recovery(attempts=1), model.timeout or _SECONDS
        # What a cache at the gateway holds says nothing of a key.
        model.fresh = True
        model.guards = model.contracts = model.observers = model.budgets = ()
        try:
            model.response([Message(role="user", content="ping")])
        finally:
            model.get_client().close()
