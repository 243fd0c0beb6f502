"""`CachePolicy`: which answers of a model are kept, for whom, and how alike a question must be."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, get_args

from agno_portkey.cache.store import resolved
from agno_portkey.errors import ConfigurationError
from agno_portkey.modes import Mode, check_mode

if TYPE_CHECKING:
    from agno_portkey.cache.answers import Cache
    from agno_portkey.cache.verifying import Verifier

__all__ = ["CachePolicy", "Kind", "Scope"]

Kind = Literal["exact", "semantic", "off"]
Scope = Literal["user", "tenant", "public"]


@dataclass(frozen=True, kw_only=True)
class CachePolicy:
    """What of a model's answers is served again.

    `kind`: `exact` serves the answer to a question that is equal in every respect; `semantic` also
    one to a question that is worded otherwise, as far as that is known to be the same one; `off`
    neither looks nor keeps. `scope`: whose calls share answers; a call of which the user or tenant
    is not known is not answered from here, nor kept.

    `lifetime` is in seconds. Nothing is kept of a call whose temperature is above
    `max_temperature`, nor tool calls unless `tool_calls`. `knowledge` is the version of what the
    model is asked with, or tells it: another one means other answers. `tags` are what
    `Cache.forget` finds an entry by.

    `max_error` is the share of near look-ups that may be answered wrongly, in 0-1; `floor` the
    likeness below which two questions are not compared; `verifier` tells whether two are the same
    where their answers alone don't. `sample` is the share of near hits that are asked all the same,
    so that the estimate stays true.

    `store` is the address of the store (a path, `sqlite:///...`, `redis://...`) or a `Cache`; left
    out it is AGNO_PORTKEY_CACHE_URL's, else a file of the user's. It is opened by the first call;
    what keeps it from being is told, and the call goes on. In `observe` nothing is served, and
    observers hear what would be. Raises ConfigurationError for what can't be meant.
    """

    kind: Kind = "exact"
    scope: Scope = "user"
    lifetime: float = 86_400.0
    max_temperature: float = 1.0
    tool_calls: bool = False
    knowledge: str | Callable[[], str] = ""
    tags: Iterable[str] = ()
    max_error: float = 0.01
    floor: float = 0.75
    sample: float = 0.02
    verifier: Verifier | None = None
    store: Cache | str | None = None
    mode: Mode = "enforce"

    def __post_init__(self) -> None:
        _one_of(self, "kind", get_args(Kind))
        _one_of(self, "scope", get_args(Scope))
        check_mode(self.mode)
        _within(self, "lifetime", 0.0, math.inf, "seconds above 0")
        _within(self, "max_temperature", -1e-9, math.inf, "a temperature, 0 or more")
        _within(self, "max_error", 0.0, 1.0, "a share between 0 and 1")
        _within(self, "floor", 0.0, 1.0, "a likeness between 0 and 1")
        _within(self, "sample", -1e-9, 1.0, "a share from 0 to below 1")
        if isinstance(self.tags, str) or not all(isinstance(tag, str) for tag in self.tags):
            raise ConfigurationError("tags: a list of texts")
        object.__setattr__(self, "tags", tuple(self.tags))
        if not isinstance(self.knowledge, str) and not callable(self.knowledge):
            raise ConfigurationError("knowledge: a version as text, or a function that tells it")
        if self.verifier is not None and not callable(self.verifier):
            raise ConfigurationError("verifier: a function of a Comparison, or a ModelVerifier")
        _check_store(self.store)

    @property
    def semantic(self) -> bool:
        return self.kind == "semantic"

    def as_data(self) -> dict[str, Any] | str:
        """It as plain JSON, without what is at its default; a text where objects are part of it.

        An address with a password counts as one.
        """
        store = self.store is None or (isinstance(self.store, str) and "@" not in self.store)
        if not store or self.verifier is not None or not isinstance(self.knowledge, str):
            return "with a verifier, a function of the knowledge's version or a store of its own"
        plain = {each.name: getattr(self, each.name) for each in fields(self)}
        plain["tags"] = [*self.tags]
        defaults = {each.name: each.default for each in fields(self)} | {"tags": []}
        return {name: value for name, value in plain.items() if value != defaults[name]}


def _check_store(store: Cache | str | None) -> None:
    """Refuse what can be no address, whatever there is of files and servers."""
    if not isinstance(store, str):
        return
    try:
        resolved(store)
    except ConfigurationError as error:
        raise ConfigurationError(f"store: {str(error).removeprefix('cache: ')}") from None


def _one_of(policy: CachePolicy, name: str, known: tuple[str, ...]) -> None:
    if getattr(policy, name) not in known:
        said = f"one of {', '.join(known)}, not {getattr(policy, name)!r}"
        raise ConfigurationError(f"{name}: {said}")


def _within(policy: CachePolicy, name: str, above: float, below: float, what: str) -> None:
    value = getattr(policy, name)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not above < value < below:
        raise ConfigurationError(f"{name}: {what}, not {value!r}")
