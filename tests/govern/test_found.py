"""However a foreign model is wrapped, it is found; and the walk ends, whatever it walks."""

from __future__ import annotations

import collections
import contextvars
import functools
import types
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from agno.agent import Agent
from agno.models.openai import OpenAIChat
from hypothesis import given, settings
from hypothesis import strategies as st
from places import Carrier, Hook, Kit, Slotted
from pydantic import BaseModel, ConfigDict, PrivateAttr

from agno_portkey import PortkeyModel, govern
from agno_portkey.errors import UngovernedPathError
from agno_portkey.reach import Allow, Survey
from agno_portkey.reach import survey as survey_module

LOCAL = "http://127.0.0.1:1/v1"


class Schema(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True, extra="allow")
    held: Any
    _inner: Any = PrivateAttr(default=None)


class Private(Slotted):
    __slots__ = ("__own",)

    def __init__(self, held: Any) -> None:
        super().__init__(None)
        self.__own = held


class Named(dict[str, Any]):
    """A dict with attributes."""


Pair = collections.namedtuple("Pair", "first second")


def closed_over(held: Any) -> Any:
    return lambda: held


def nested(held: Any) -> Any:
    def outer() -> Any:
        return [held for _ in range(2)]

    return outer


def defaulted(held: Any) -> Any:
    return lambda x, y=held: y


def wrapped(held: Any) -> Any:
    @functools.wraps(closed_over(held))
    def wrapper() -> None: ...

    return wrapper


def cached(held: Any) -> Any:
    return functools.lru_cache(closed_over(held))


def generated(held: Any) -> Any:
    return (held for _ in range(2))


def extra(held: Any) -> Any:
    return Schema(held=None, other=held)


def private(held: Any) -> Any:
    schema = Schema(held=None)
    schema._inner = held
    return schema


def on_a_dict(held: Any) -> Any:
    named = Named()
    named.held = held
    return named


def as_property(held: Any) -> Any:
    return type("Made", (), {"it": property(lambda self: held), "__module__": __name__})()


def as_class(held: Any) -> Any:
    return type("Made", (), {"it": held, "__module__": __name__})


def as_static(held: Any) -> Any:
    return type("Made", (), {"it": staticmethod(closed_over(held)), "__module__": __name__})()


WRAPPERS: list[Callable[[Any], Any]] = [
    lambda held: [held],
    lambda held: (1, held),
    lambda held: {"a": held},
    lambda held: {Key(held): 1},
    lambda held: Pair(held, 2),
    lambda held: collections.deque([held]),
    lambda held: collections.OrderedDict(a=held),
    lambda held: collections.ChainMap({"a": held}),
    lambda held: types.MappingProxyType({"a": held}),
    lambda held: types.SimpleNamespace(a=held),
    lambda held: functools.partial(print, held),
    lambda held: functools.partial(print, a=held),
    lambda held: functools.partialmethod(print, held),
    lambda held: [held].append,
    lambda held: iter([held]),
    lambda held: map(str, [held]),
    lambda held: types.MethodType(print, held),
    lambda held: types.CellType(held),
    closed_over, nested, defaulted, wrapped, cached, generated, extra, private, on_a_dict,
    as_property, as_class, as_static,
    Carrier, Slotted, Private, Hook,
    lambda held: Carrier(held).method,
    lambda held: Schema(held=held),
]  # fmt: skip


class Key:
    def __init__(self, held: Any) -> None:
        self.held = held


def foreign() -> OpenAIChat:
    return OpenAIChat(id="gpt", api_key="k")


@pytest.mark.parametrize("wrap", WRAPPERS)
def test_each_wrapping_is_seen_through(wrap: Callable[[Any], Any]) -> None:
    with pytest.raises(UngovernedPathError, match=r"Desk\.tools\[0\]\.held.* is agno's OpenAIChat"):
        govern(Agent(name="Desk", model=PortkeyModel(base_url=LOCAL), tools=[Kit(wrap(foreign()))]))


@settings(deadline=None, max_examples=150)
@given(
    wraps=st.lists(st.sampled_from(WRAPPERS), max_size=8),
    slot=st.sampled_from(["tools", "pre_hooks", "dependencies", "instructions", "knowledge"]),
)
def test_a_foreign_model_is_always_found(wraps: list[Callable[[Any], Any]], slot: str) -> None:
    held: Any = foreign()
    for wrap in wraps:
        held = wrap(held)
    carrier = Hook(held)
    fields: dict[str, Any] = {slot: carrier}
    if slot in ("tools", "pre_hooks"):
        fields[slot] = [carrier]
    elif slot == "dependencies":
        fields[slot] = {"x": carrier}
    agent = Agent(name="Desk", model=PortkeyModel(base_url=LOCAL), **fields)
    with pytest.raises(UngovernedPathError, match=rf"Desk\.{slot}.* is agno's OpenAIChat"):
        govern(agent)


def test_an_object_behind_a_weak_reference_is_found() -> None:
    carrier = Carrier(foreign())
    with pytest.raises(UngovernedPathError, match=r"held\(\)\.held is agno's"):
        govern(
            Agent(
                name="Desk",
                model=PortkeyModel(base_url=LOCAL),
                tools=[Kit(weakref.ref(carrier))],
            )
        )


def test_cycles_end() -> None:
    one: dict[str, Any] = {}
    two = [one, Carrier(one)]
    one["two"], one["me"] = two, one
    survey = Survey(allow=Allow())
    survey.look("x", one)
    survey.finish()
    assert survey.refused == []


def test_an_empty_cell_and_a_dead_reference_hold_nothing() -> None:
    def gone() -> Any:
        return weakref.ref(Carrier(1))

    survey = Survey(allow=Allow())
    survey.look("x", [types.CellType(), gone(), contextvars.ContextVar("v"), None])
    survey.finish()
    assert survey.refused == []


def test_more_than_can_be_looked_through_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey_module, "_MOST", 100)
    agent = Agent(
        name="Desk",
        model=PortkeyModel(base_url=LOCAL),
        tools=[Kit([[] for _ in range(200)])],
    )
    with pytest.raises(UngovernedPathError, match="is beyond the first 100 objects"):
        govern(agent)
