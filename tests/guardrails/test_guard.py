"""A guard by itself: how it is written, what it is set to, and what its copies are."""

from __future__ import annotations

import asyncio
import copy
import inspect
import pickle
import pydoc
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from agno.run.agent import RunInput, RunOutput

from agno_portkey.errors import ConfigurationError, InputBlocked, OutputBlocked
from agno_portkey.guardrails import (
    AgnoGuard,
    Block,
    Guard,
    ModerationGuardrail,
    Passage,
    PIIGuardrail,
    PromptInjectionGuardrail,
    Rewrite,
    SecretsGuardrail,
    guard,
)
from agno_portkey.guardrails.checks import check_guards
from agno_portkey.verdict import Event

TEXT = "the bluebird lands at dawn"
CALLS = ("sync", "async")


def ask(asked: Guard, call: str = "sync", text: str = TEXT) -> str:
    """Ask as a pre-hook; the text as it goes on."""
    given_ = RunInput(input_content=text)
    if call == "sync":
        asked.check(given_)
    else:
        asyncio.run(_awaited(asked, given_))
    return str(given_.input_content)


async def _awaited(asked: Guard, given_: RunInput) -> None:
    await asked.async_check(given_)


class Names(Guard):
    word = "bluebird"

    def inspect(self, passage: Passage) -> Block | None:
        return Block("a secret project is named") if self.word in passage.text else None


class Unset(Names):
    """As people write one: with its own arguments, and no word to the base."""

    timeout = 5.0

    def __init__(self, word: str) -> None:
        self.word = word


@dataclass
class Data(Guard):
    word: str = "bluebird"

    def inspect(self, passage: Passage) -> Block | None:
        return Block("named") if self.word in passage.text else None


class Async(Names):
    async def inspect(self, passage: Passage) -> Block | None:
        await asyncio.sleep(0)
        return super().inspect(passage)


class Inline(Names):
    inline = True


def _from_function(word: str) -> Guard:
    return guard(lambda passage: Block("named") if word in passage.text else None)


def _from_async_function(word: str) -> Guard:
    @guard(name="later")
    async def later(passage: Passage) -> Block | None:
        return Block("named") if word in passage.text else None

    return later


MADE: tuple[Callable[[str], Guard], ...] = (
    Unset,
    Data,
    lambda word: type("Own", (Names,), {"word": word})(),
    lambda word: type("Own", (Async,), {"word": word})(),
    lambda word: type("Own", (Inline,), {"word": word})(),
    _from_function,
    _from_async_function,
)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("make", MADE)
def test_every_way_to_write_one_looks_at_what_is_asked(
    make: Callable[[str], Guard], call: str
) -> None:
    with pytest.raises(InputBlocked, match="named"):
        ask(make("bluebird"), call)
    assert ask(make("heron"), call) == TEXT
    with pytest.raises(OutputBlocked, match="named"):
        make("bluebird").check(run_output=RunOutput(content=TEXT))


def test_names_and_settings() -> None:
    heard: list[Event] = []
    assert (Names().name, Unset("x").name, Data().name) == ("Names", "Unset", "Data")
    assert type("Named", (Names,), {"name": "codenames"})().name == "codenames"
    assert type("Again", (type("Named", (Names,), {"name": "x"}),), {})().name == "Again"
    own = Names(
        name="mine",
        on="input",
        stream="segment",
        timeout=3,
        mode="observe",
        keep_raw=True,
        observers=[heard.append],
    )
    assert (own.name, own.on, own.stream, own.timeout) == ("mine", "input", "segment", 3)
    assert (own.mode, own.keep_raw) == ("observe", True)
    assert own.looks_at("input")
    assert not own.looks_at("output")
    assert Names().looks_at("output")
    assert repr(own) == "Names('mine', on='input', mode='observe')"
    for _ in range(2):
        assert ask(own) == TEXT
    assert [event.verdict.passed for event in heard if event.verdict] == [False, False]


def _parameters(what: Any) -> list[inspect.Parameter]:
    return [*inspect.signature(what).parameters.values()]


@pytest.mark.parametrize(
    "kind",
    [
        Guard,
        Names,
        AgnoGuard,
        ModerationGuardrail,
        PIIGuardrail,
        PromptInjectionGuardrail,
        SecretsGuardrail,
    ],
)
def test_the_signature_of_a_guard_is_that_of_its_own_making(kind: Any) -> None:
    assert _parameters(kind) == _parameters(kind.__init__)[1:]
    # Python 3.13 gives each parameter a line, with a bar before it.
    told = re.sub(r"[\s|]", "", pydoc.plain(pydoc.render_doc(kind)))
    assert re.sub(r"[\s|]", "", f"{kind.__name__}{inspect.signature(kind)}") in told


@pytest.mark.parametrize("kind", [Unset, Data])
def test_without_settings_it_takes_whatever_the_host_gives(kind: Any) -> None:
    """The host passes only what is named there: so it is known from a user who makes one."""
    assert [each.kind.name for each in _parameters(kind)] == ["VAR_POSITIONAL", "VAR_KEYWORD"]
    with pytest.raises(InputBlocked, match="give an object"):
        kind(run_context=None, run_input=None)


def test_the_decorator_in_both_forms() -> None:
    @guard
    def plain(passage: Passage) -> None:
        """Nothing."""

    @guard(name="other", on="output", rewrites=True, inline=True, timeout=1.5)
    def decorated(passage: Passage) -> Rewrite:
        return Rewrite("x")

    assert (plain.name, plain.on, plain.rewrites, plain.inline) == ("plain", "both", False, False)
    assert (decorated.name, decorated.on, decorated.timeout) == ("other", "output", 1.5)
    assert ask(decorated) == "x"
    with pytest.raises(ConfigurationError, match="a function that takes a Passage, not 'name'"):
        guard("name")  # type: ignore[call-overload]
    with pytest.raises(ConfigurationError, match="no setting 'colour'"):
        guard(colour="red")(lambda passage: None)  # type: ignore[call-overload]


WRONG: dict[str, tuple[Any, ...]] = {
    "name": ("", "  ", None, 7),
    "on": ("in", None, "Input"),
    "stream": ("pieces", None),
    "timeout": (0, -1, True, "10", None, float("inf"), float("nan"), 10**12),
    "mode": ("enforced", None, "OFF", True),
    "keep_raw": ("no", 1, None),
    "observers": (print, None, ["x"], 3),
}


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field, values in WRONG.items() for value in values]
)
def test_a_wrong_setting_is_refused_by_its_name(field: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=field):
        Names(**{field: value})
    # A name that is empty in the class is the class's own.
    if field != "name" or value == "  " or value == 7:
        wrong = type("Wrong", (Unset,), {field: value})("bluebird")
        with pytest.raises(ConfigurationError, match=field):
            check_guards([wrong])


@pytest.mark.parametrize("field", ["rewrites", "inline"])
def test_what_a_class_declares_is_yes_or_no(field: str) -> None:
    with pytest.raises(ConfigurationError, match=field):
        type("Wrong", (Names,), {field: "no"})()


def test_an_unknown_setting_and_an_async_body_on_the_spot_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="Names: no setting 'rewrites'"):
        Names(rewrites=True)
    with pytest.raises(ConfigurationError, match="inline"):
        type("Wrong", (Async,), {"inline": True})()
    with pytest.raises(ConfigurationError, match="a list of guardrails, not int"):
        check_guards(3)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="an Agno BaseGuardrail, not 'x'"):
        check_guards(["x"])  # type: ignore[list-item]


@pytest.mark.parametrize("mode", ["Enforce", "strict", "", None, "OFF"])
def test_a_mode_that_is_none_does_not_loosen_what_was_never_checked(mode: Any) -> None:
    for kind in (Unset, type("Spot", (Unset,), {"inline": True})):
        with pytest.raises(InputBlocked):
            ask(type("Wrong", (kind,), {"mode": mode})("bluebird"))


def test_copies_are_the_guard_itself_and_pickles_have_its_settings() -> None:
    own = Unset("bluebird")
    assert copy.deepcopy(own) is own
    assert copy.deepcopy({"pre_hooks": [own.check, own.async_check, own]})["pre_hooks"][2] is own
    assert copy.copy(own).word == "bluebird"
    again = pickle.loads(pickle.dumps(own))
    with pytest.raises(InputBlocked):
        ask(again)
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(guard(lambda passage: None))
