"""What a model's tokens cost, from a dated list: exact to the billionth of a dollar."""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal, localcontext
from functools import cache
from pathlib import Path
from typing import Any

from agno_portkey.errors import ConfigurationError

__all__ = ["NANO", "Price", "Prices", "dollars", "nanodollars"]

# Money is kept as whole billionths of a dollar: sums of them are exact.
NANO = 1_000_000_000
# Of our own: that of the thread may round, or raise where something would be.
_EXACT = Context(prec=100, traps=[])
_SHIPPED = Path(__file__).parents[1] / "prices.json"
# Providers name the version that answered, and some lists only the model.
_VERSION = re.compile(r"[-@](?:\d{4}-\d{2}-\d{2}|\d{8}|latest)$")
# Dollars for a thousand tokens: more is a slip of the unit.
_MOST = Decimal(1000)
_log = logging.getLogger("agno_portkey")


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars for a thousand tokens: of the prompt, of the answer, and of a prompt that was cached.

    Without `cached` those cost what others do.
    """

    prompt: Decimal
    completion: Decimal = Decimal(0)
    cached: Decimal | None = None

    def cost(self, prompt: int, completion: int = 0, cached: int = 0) -> int:
        """Nanodollars for so many tokens; `cached` are a part of `prompt`."""
        cached = min(cached, prompt) if self.cached is not None else 0
        with localcontext(_EXACT):
            sums = (prompt - cached) * self.prompt + completion * self.completion
            sums += cached * (self.cached or Decimal(0))
            return nanodollars(sums.scaleb(-3))


class Prices:
    """Prices by model name: as it is, without its provider's prefix, or without its date.

    `date` is that of the list, an ISO date or None. A model that is not listed has no price, which
    is said in the log once.
    """

    def __init__(
        self,
        chat: Mapping[str, Price],
        embeddings: Mapping[str, Price] | None = None,
        *,
        date: str | None = None,
    ) -> None:
        self._listed = {
            "chat": {name.lower(): price for name, price in chat.items()},
            "embeddings": {name.lower(): price for name, price in (embeddings or {}).items()},
        }
        self.date = date
        self._lock, self._said = threading.Lock(), set[str]()

    @classmethod
    @cache
    def shipped(cls) -> Prices:
        """The list that comes with this package: common models, as their providers list them."""
        return cls.from_file(_SHIPPED)

    @classmethod
    def from_file(cls, path: str | Path) -> Prices:
        """The list in a JSON file, as OpenLIT's `pricing_json`: dollars for 1,000 tokens.

        `{"date": "2026-05-01", "chat": {"gpt-4o": {"promptPrice": 0.0025, "completionPrice": 0.01,
        "cacheReadPrice": 0.00125}}, "embeddings": {"text-embedding-3-small": 0.00002}}`. Raises
        ConfigurationError that names what can't be read.
        """
        try:
            read = json.loads(
                Path(path).read_text(encoding="utf-8"), parse_float=Decimal, parse_int=Decimal
            )
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"prices: {path} can't be read ({error})") from None
        if not isinstance(read, dict) or not isinstance(read.get("chat"), dict):
            raise ConfigurationError(f'prices: {path} has no {{"chat": {{model: prices}}}}')
        embeddings = read.get("embeddings", {})
        if not isinstance(embeddings, dict):
            raise ConfigurationError(f"prices: embeddings in {path} is a mapping of models")
        date = read.get("date")
        return cls(
            {name: _chat(name, each) for name, each in read["chat"].items()},
            {name: Price(_figure(f"embeddings.{name}", each)) for name, each in embeddings.items()},
            date=date if isinstance(date, str) else None,
        )

    def of(self, *names: str | None, embedding: bool = False) -> Price | None:
        """The price of the first of `names` that has one; else None, told in the log once."""
        listed = self._listed["embeddings" if embedding else "chat"]
        for name in filter(None, names):
            for each in _forms(name.lower()):
                if (price := listed.get(each)) is not None:
                    return price
        self._tell(next(filter(None, names), "a model without a name"))
        return None

    def knows(self, name: str) -> bool:
        """Whether there is a price of `name`, for chats or for embeddings."""
        forms = [*_forms(name.lower())]
        return any(form in listed for listed in self._listed.values() for form in forms)

    def _tell(self, name: str) -> None:
        with self._lock:
            if name in self._said or len(self._said) >= 1000:
                return
            self._said.add(name)
        _log.warning(
            "no price is known of %s (list of %s): what it costs is unknown, and not 0; add it to "
            "a file for Prices.from_file",
            name,
            self.date or "no date",
        )


def _forms(name: str) -> Iterator[str]:
    """`name`, then without prefixes such as `openai/` and `@slug/`; each also without its date."""
    while name:
        yield name
        if (bare := _VERSION.sub("", name)) != name:
            yield bare
        _, _, name = name.partition("/")


def _chat(name: str, held: Any) -> Price:
    if not isinstance(held, dict) or not {"promptPrice", "completionPrice"} <= held.keys():
        raise ConfigurationError(f"prices: chat.{name} needs a promptPrice and a completionPrice")
    cached = held.get("cacheReadPrice")
    return Price(
        _figure(f"chat.{name}.promptPrice", held["promptPrice"]),
        _figure(f"chat.{name}.completionPrice", held["completionPrice"]),
        None if cached is None else _figure(f"chat.{name}.cacheReadPrice", cached),
    )


def _figure(where: str, said: Any) -> Decimal:
    if not isinstance(said, Decimal) or not said.is_finite() or not 0 <= said <= _MOST:
        raise ConfigurationError(f"prices: {where} is dollars for 1,000 tokens, not {said!r}")
    return said


def nanodollars(amount: Decimal) -> int:
    """Whole billionths of a dollar, a half rounded up."""
    with localcontext(_EXACT):
        return int(amount.scaleb(9).to_integral_value(ROUND_HALF_UP))


def dollars(nano: int) -> Decimal:
    """The dollars that so many billionths are."""
    with localcontext(_EXACT):
        return Decimal(nano).scaleb(-9)
