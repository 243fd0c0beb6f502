"""Tools and schemas are sent with every call: guards look at them, and rewrite words alone."""

from __future__ import annotations

import copy
from decimal import Decimal
from typing import Any, Literal

import pytest
from agno.guardrails import PIIDetectionGuardrail, PromptInjectionGuardrail
from agno.tools import Toolkit
from agno.tools.function import Function
from four_forms import FORMS
from gathered import MASK, WORD, Beside, Mask, Whole, agent, go, sent, stored
from hypothesis import given
from hypothesis import strategies as st
from played import Played
from pydantic import BaseModel, Field

from agno_portkey import raise_on_block, verdict_of
from agno_portkey.errors import InputBlocked
from agno_portkey.guardrails import Block, Flag, Guard, Passage, known
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider


def a_tool(**changes: Any) -> dict[str, Any]:
    parameters = {
        "type": "object",
        "properties": {"what": {"type": "string", "description": "What to find."}},
        "required": ["what"],
        "additionalProperties": False,
    }
    function = {"name": "find", "description": "Find it.", "parameters": parameters, **changes}
    return {"type": "function", "function": function}


def schema(**of_what: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"what": {"type": "string", **of_what}}}


WORDS: dict[str, dict[str, Any]] = {
    "description": a_tool(description=f"Find the {WORD}."),
    "description of a parameter": a_tool(parameters=schema(description=f"The {WORD}.")),
    "title": a_tool(parameters=schema(title=WORD)),
    "comment": a_tool(parameters=schema(**{"$comment": WORD})),
    "example": a_tool(parameters=schema(examples=["x", WORD])),
    "one of several": a_tool(parameters=schema(anyOf=[{"type": "null"}, {"description": WORD}])),
    "definition": a_tool(parameters={"$defs": {"Bird": {"description": WORD}}}),
    "a parameter that is called description": a_tool(
        parameters={"properties": {"description": {"type": "string", "description": WORD}}}
    ),
    "a tool of another kind": {"type": "web_search", "description": WORD},
}
FIXED: dict[str, dict[str, Any]] = {
    "name": a_tool(name=WORD),
    "parameter": a_tool(parameters={"properties": {WORD: {"type": "string"}}}),
    "required": a_tool(parameters={"required": [WORD]}),
    "enum": a_tool(parameters=schema(enum=["x", WORD])),
    "const": a_tool(parameters=schema(const=WORD)),
    "default": a_tool(parameters=schema(default={"description": WORD})),
    "pattern": a_tool(parameters=schema(pattern=f"^{WORD}$")),
    "format": a_tool(parameters=schema(format=WORD)),
    "definition's name": a_tool(parameters={"$defs": {WORD: {}}}),
    "reference": a_tool(parameters={"$ref": f"#/$defs/{WORD}"}),
    "keyword that is none": a_tool(parameters={WORD: True}),
    "type that is none": a_tool(parameters={"type": WORD}),
    "types, one of them none": a_tool(parameters={"type": ["string", WORD]}),
    "tool that is none": {"type": WORD, "function": {WORD: 1}},
}


def formats(tool: dict[str, Any]) -> dict[str, Any]:
    """The same as the form of an answer."""
    function = tool.get("function", tool)
    return {"type": "json_schema", "json_schema": {**function, "strict": True}}


CARRIERS = {
    "tools": lambda tool: {"tools": [a_tool(), tool]},
    "response_format": lambda tool: {"response_format": formats(tool)},
    "tool_choice": lambda tool: {"tool_choice": tool},
}


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("place", [*WORDS, *FIXED])
def test_a_blocked_word_is_found_wherever_it_stands(place: str, carrier: str) -> None:
    given = CARRIERS[carrier](copy.deepcopy({**WORDS, **FIXED}[place]))
    for guard in (Whole(), Beside()):
        played = Played([guard], **given)
        with pytest.raises(InputBlocked, match="a secret project is named") as refused:
            assert played.out
        assert played.sent == []
        [found] = refused.value.verdict.evidence["found"]
        source = "schema" if carrier == "response_format" else "tool_definition"
        assert found["source"] == source
        assert found["path"].startswith(carrier)


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("place", WORDS)
def test_words_are_rewritten_and_nothing_else(place: str, carrier: str) -> None:
    given = CARRIERS[carrier](copy.deepcopy(WORDS[place]))
    asked = copy.deepcopy(given)
    played = Played([Mask()], **asked)
    assert played.out is not None
    onward = played.onward
    assert onward is not None
    held = getattr(onward, carrier)
    assert held == _masked(given[carrier])
    # What the host holds is untouched, and none of it is kept with the run.
    assert asked == given
    assert played.kept.of("r") == {}


def _masked(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _masked(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_masked(item) for item in value]
    return value.replace(WORD, MASK) if isinstance(value, str) else value


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("place", FIXED)
def test_what_a_program_goes_by_is_not_rewritten_and_not_sent(place: str, carrier: str) -> None:
    played = Played([Mask(name="mask")], **CARRIERS[carrier](copy.deepcopy(FIXED[place])))
    with pytest.raises(InputBlocked, match=r"mask would rewrite .* only descriptions") as refused:
        assert played.out
    assert played.sent == []
    # The reason is shown: the word is not in it.
    assert WORD not in str(refused.value)
    # Who only observes lets it through.
    given = CARRIERS[carrier](copy.deepcopy(FIXED[place]))
    played = Played([Mask(mode="observe")], **given)
    assert played.out is not None
    assert getattr(played.onward, carrier) is given[carrier]


def test_what_is_nested_too_deep_is_not_sent() -> None:
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(150):
        deep = {"type": "array", "items": deep}
    played = Played([Whole()], tools=[a_tool(parameters=deep)])
    with pytest.raises(InputBlocked, match=r"can't tell: .*nested"):
        assert played.out
    played = Played([Whole(mode="observe")], tools=[a_tool(parameters=deep)])
    assert played.out is not None


# In whole runs


class Bird(BaseModel):
    """Of the bluebird project."""

    name: str = Field(description="Its bluebird name.")
    kind: Literal["song", "prey"] = "song"


class Bluebird(BaseModel):
    name: str


def find(what: str) -> str:
    """Find the bluebird papers.

    Args:
        what: What of bluebird.
    """
    return what


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("settings", [{"tools": [find]}, {"output_schema": Bird}])
def test_neither_tools_nor_schema_go_out_with_the_word(
    settings: dict[str, Any],
    form: str,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    answer = '{"name": "Ann", "kind": "prey"}'
    portkey_provider.reply(answer)
    assert not go(agent(portkey_model, **settings), form).failed
    assert WORD in sent(portkey_provider)
    plain = portkey_provider.calls[-1].body
    portkey_provider.reset()

    portkey_model.guards = (Whole(on="input"),)
    asked = agent(portkey_model, **settings)
    seen = go(asked, form)
    with pytest.raises(InputBlocked, match="a secret project is named"):
        raise_on_block(seen.last)
    assert portkey_provider.calls == []
    assert WORD not in seen.everything + stored(asked.db)

    portkey_model.guards = (Mask(),)
    portkey_provider.reply(answer)
    seen = go(agent(portkey_model, **settings), form)
    assert not seen.failed
    assert portkey_provider.calls[-1].body == _masked(plain)
    if "output_schema" in settings:
        assert type(seen.output.content) is Bird


@pytest.mark.parametrize("form", FORMS)
def test_a_schemas_name_is_not_rewritten(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    class Lower(Mask):
        def inspect(self, passage: Passage) -> Any:
            return super().inspect(passage) if passage.text != "Bluebird" else Block("its name")

    portkey_model.guards = (Lower(),)
    seen = go(agent(portkey_model, output_schema=Bluebird), form)
    found = verdict_of(seen.last)
    assert found is not None
    assert found.evidence["found"][0]["source"] == "schema"
    assert portkey_provider.calls == []


class Odd(BaseModel):
    """About bluebird."""

    def __init_subclass__(cls, *, why: str, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)


class Untold(BaseModel):
    check: Any = Field(default_factory=dict)

    @classmethod
    def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:
        raise LookupError("not at home")


@pytest.mark.parametrize(("asked", "why"), [(Odd, "can't be rewritten"), (Untold, "can't be read")])
def test_a_schema_that_can_not_be_handled_is_not_sent(asked: Any, why: str) -> None:
    played = Played([Mask()], response_format=asked)
    with pytest.raises(InputBlocked, match=why):
        assert played.out
    assert played.sent == []


# Asked once


class Counts(Guard):
    """Counts what it is asked about, by source."""

    inline = True

    def __init__(self, said: Any = None, **settings: Any) -> None:
        super().__init__(**settings)
        self.asked: list[str] = []
        self.said = said

    def inspect(self, passage: Passage) -> Any:
        self.asked.append(passage.source)
        return self.said if passage.source == "tool_definition" else None

    @property
    def definitions(self) -> int:
        return self.asked.count("tool_definition")


def again(played: Played, **settings: Any) -> None:
    """One more call of the same model."""
    other = Played([], **settings)
    played.call = other.call
    assert played.out is not None


def test_what_passed_is_not_asked_about_again() -> None:
    counts = Counts()
    played = Played([counts], tools=[a_tool()])
    assert played.out is not None
    first = counts.definitions
    assert first > 0
    for _ in range(3):
        again(played, tools=[a_tool()])
    assert counts.definitions == first
    # The messages are looked at each time.
    assert counts.asked.count("user") == 4
    again(played, tools=[a_tool(description="Another.")])
    assert counts.definitions == 2 * first


def test_whoever_asks_another_is_asked_anew() -> None:
    counts, other = Counts(), Counts()
    guards: list[Guard] = [counts]
    played = Played(guards, tools=[a_tool()])
    assert played.out is not None
    first = counts.definitions
    guards.append(other)
    again(played, tools=[a_tool()])
    assert (counts.definitions, other.definitions) == (2 * first, first)
    from agno.run.agent import RunOutput

    for who in ("ann", "bob", "ann"):
        again(played, tools=[a_tool()], run_response=RunOutput(run_id="r", user_id=who))
    assert other.definitions == 3 * first


@pytest.mark.parametrize("mode", ["enforce", "observe"])
def test_whoever_has_something_to_say_is_asked_each_time(mode: Any) -> None:
    counts = Counts(Flag("a word"), mode=mode)
    played = Played([counts], tools=[a_tool()])
    assert played.out is not None
    first = counts.definitions
    again(played, tools=[a_tool()])
    assert counts.definitions == 2 * first


def test_a_refusal_holds_each_time() -> None:
    played = Played([Whole()], tools=[a_tool(name=WORD)])
    for _ in range(2):
        with pytest.raises(InputBlocked):
            assert played.out
    assert played.sent == []


def test_what_passed_long_ago_is_asked_about_again(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = Counts()
    played = Played([counts], tools=[a_tool()])
    monkeypatch.setattr(known, "_LASTS", -1.0)
    assert played.out is not None
    first = counts.definitions
    again(played, tools=[a_tool()])
    assert counts.definitions == 2 * first


def test_no_more_is_remembered_than_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "_SEVERAL", 2)
    remembers = known.Known()
    for what in "abca":
        remembers.note(what, [1])
    assert [remembers.holds(what, [1]) for what in "abc"] == [True, False, True]
    assert not remembers.holds("a", [1, 2])


def test_what_can_not_be_compared_is_looked_at_each_time() -> None:
    counts = Counts()
    tool = a_tool(extra=Decimal(1))
    played = Played([counts], tools=[tool])
    assert played.out is not None
    first = counts.definitions
    again(played, tools=[tool])
    assert counts.definitions == 2 * first


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "properties", "description", "enum", "items", "x", ""]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(PLAIN)
def test_a_definition_that_nobody_minds_is_sent_as_it_is(value: Any) -> None:
    tools = [a_tool(parameters={"any": value})]
    played = Played([Mask(), Whole()], tools=tools)
    assert played.out is not None
    assert played.onward is played.call


@given(PLAIN)
def test_no_word_of_a_definition_is_passed_over(value: Any) -> None:
    """Put the word in the place of each text: it is found."""
    for changed in _each(value):
        with pytest.raises(InputBlocked):
            assert Played([Whole()], tools=[a_tool(parameters=changed)]).out


def _each(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [{**value, k: each} for k in value for each in _each(value[k])]
    if isinstance(value, list):
        return [[*value[:n], e, *value[n + 1 :]] for n, i in enumerate(value) for e in _each(i)]
    return [WORD] if isinstance(value, str) else []


def test_the_hosts_own_definitions_trip_none_of_its_guardrails(
    portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    from agno.tools.reasoning import ReasoningTools
    from agno.tools.user_control_flow import UserControlFlowTools

    kits: list[Toolkit | Function] = [ReasoningTools(), UserControlFlowTools()]
    portkey_model.guards = (PromptInjectionGuardrail(), PIIDetectionGuardrail())
    portkey_provider.reply("Fine.")
    seen = go(agent(portkey_model, tools=kits), "run")
    assert seen.output.content == "Fine."
