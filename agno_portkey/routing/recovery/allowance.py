"""Who is asked before each request whether it may be sent: budgets, or whatever else counts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol, cast, runtime_checkable

from agno_portkey.calls import IO, Call
from agno_portkey.errors import ConfigurationError

__all__ = ["Allowance", "allowed", "check_allowances"]


@runtime_checkable
class Allowance(Protocol):
    """Whoever may refuse a request that would cost something."""

    async def require(self, io: IO, model: Any, run_response: Any, /) -> None:
        """Raise an `InputBlocked` if `model` may send none for that run now; None: for no run."""


class _AskingIO:
    """io whose requests are sent only where all allowances let them."""

    def __init__(self, io: IO, allowances: Sequence[Allowance], call: Call) -> None:
        self._io = io
        self._allowances = allowances
        self._call = call

    async def create(self, model: Any, params: dict[str, Any]) -> Any:
        for allowance in self._allowances:
            await allowance.require(self._io, model, self._call.run_response)
        return await self._io.create(model, params)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._io, name)


def allowed(io: IO, allowances: Sequence[Allowance], call: Call) -> IO:
    """`io` that asks `allowances` before each request of `call`: a cached answer needs none."""
    return cast("IO", _AskingIO(io, allowances, call)) if allowances else io


def check_allowances(given: object, observers: Sequence[object]) -> tuple[Allowance, ...]:
    """`given` as a tuple; what can't be asked, or would hear of nothing, is refused."""
    several: tuple[Any, ...] = tuple(given) if isinstance(given, Iterable) else (given,)
    if not all(isinstance(each, Allowance) and not isinstance(each, type) for each in several):
        raise ConfigurationError(
            "budgets: a list of what Ledger.budgets(Budget(...)) gives; govern takes the budgets "
            "themselves, beside their ledger"
        )
    ledgers = [ledger for each in several if (ledger := getattr(each, "ledger", None)) is not None]
    if not all(any(each is ledger for each in observers) for ledger in ledgers):
        raise ConfigurationError(
            "observers: the ledger of the budgets has to be one of them, or nothing is counted"
        )
    return several
