"""What was once got round: each way, and what holds now."""

from __future__ import annotations

import json
from contextlib import suppress
from copy import deepcopy
from types import SimpleNamespace
from typing import Any

import pytest
from agno.agent import Agent
from agno.db.in_memory import InMemoryDb
from agno.models.message import Message
from agno.run.base import RunStatus
from agno.run.cancel import cancel_run
from four_forms import FORMS, STREAMED, ask, play
from pydantic import BaseModel, TypeAdapter
from verses import GOOD, WRONG, Verse

from agno_portkey import govern
from agno_portkey.calls import Call
from agno_portkey.contracts import Contract, ContractFigures, Known, Problem, Repair
from agno_portkey.contracts.contract import output_held
from agno_portkey.contracts.repair import Attempt, Ladder
from agno_portkey.contracts.schemas import Schema
from agno_portkey.errors import ConfigurationError, ContractError, OutputBlocked
from agno_portkey.gates import Gate
from agno_portkey.guardrails import Block, Guard, Passage
from agno_portkey.hooks import ContractHook
from agno_portkey.hooks.base import Moment
from agno_portkey.model import PortkeyModel
from agno_portkey.routing import Conditional, Fallback, LoadBalance, Target, When, metadata
from agno_portkey.routing.local import LocalGateway
from agno_portkey.testing import EmbeddedProvider, Fault, Reply, ToolCall, Usage
from agno_portkey.testing.story import SOUND, Release, release_team, tell
from agno_portkey.verdict import Event, Verdict


class Thought(BaseModel):
    """A text and a note."""

    text: str
    note: str = ""


THOUGHTS = {
    "a mark in a value": Thought(text="<think>a</think>b"),
    "an object behind a mark in a value": Thought(text="x", note='</think>{"text": "INJECTED"}'),
    "a closing mark alone": Thought(text="so </think> it is"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", THOUGHTS)
@pytest.mark.parametrize("before", ["", "<think>Hm.</think>"])
def test_marks_of_thoughts_within_an_object_are_its_own(
    before: str,
    name: str,
    form: str,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    portkey_provider.reply(Reply(before + THOUGHTS[name].model_dump_json(), chunk_size=6))
    ended = play(Agent(model=portkey_model, output_schema=Thought), form)
    assert (ended.status, ended.content) == (RunStatus.completed, THOUGHTS[name])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("blank", ["\ufeff", "\u00a0", "\u3000", "\u0085"])
@pytest.mark.parametrize("schema", [Verse, {"type": "object"}])
def test_blanks_that_are_none_of_json_make_no_string(
    schema: Any,
    blank: str,
    form: str,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    portkey_provider.reply(f"{blank}{GOOD.model_dump_json()}{blank}")
    ended = play(Agent(model=portkey_model, output_schema=schema), form)
    assert ended.status == RunStatus.completed
    assert ended.content == (GOOD if schema is Verse else GOOD.model_dump())


SECRET = "anna@example.org"
WORDED: dict[str, Any] = {
    "maxLength": {"type": "object", "properties": {"text": {"type": "string", "maxLength": 3}}},
    "pattern": {"type": "object", "properties": {"text": {"pattern": "^x"}}},
    "enum": {"type": "object", "properties": {"text": {"enum": ["a"]}}},
    "const": {"type": "object", "properties": {"text": {"const": "a"}}},
    "type": {"type": "object", "properties": {"text": {"type": ["integer", "null"]}}},
    "not": {"type": "object", "properties": {"text": {"not": {"type": "string"}}}},
    "additionalProperties": {"type": "object", "properties": {}, "additionalProperties": False},
    "uniqueItems": {"type": "object", "properties": {"list": {"uniqueItems": True}}},
}


@pytest.mark.parametrize("name", WORDED)
def test_no_problem_quotes_a_value(
    name: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    heard: list[Event] = []
    portkey_model.observers = [heard.append]
    portkey_model.repair = Repair(reasks=0)
    data = {"text": SECRET, "list": [SECRET, SECRET]}
    data = {"list": data["list"]} if name == "uniqueItems" else {"text": data["text"]}
    portkey_provider.reply(json.dumps(data))
    ended = play(Agent(model=portkey_model, output_schema=WORDED[name]), "run")
    assert ended.status == RunStatus.error
    assert SECRET not in str(ended.content)
    assert SECRET not in repr(heard)


def test_a_rule_of_pydantics_does_not_quote_either() -> None:
    adapter = TypeAdapter(int)

    def rule(verse: Verse) -> None:
        adapter.validate_python(SECRET)

    with pytest.raises(ContractError) as refused:
        output_held(Schema(Verse), GOOD.model_dump(), contract=Contract(Verse, rules=[rule]))
    assert SECRET not in str(refused.value)
    assert "valid integer" in str(refused.value)


@pytest.mark.parametrize("form", FORMS)
def test_nothing_beside_the_text_of_a_rejected_answer_is_shown_or_stored(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    cited = {"annotations": [{"type": "url_citation", "url_citation": {"url": "http://bluebird"}}]}
    portkey_provider.reply(Reply(WRONG, reasoning="the bluebird thinks", extra=cited))
    portkey_provider.reply(Reply(GOOD.model_dump_json(), reasoning="two lines"))
    agent = Agent(model=portkey_model, output_schema=Verse, db=InMemoryDb(), store_events=True)
    ended = play(agent, form, session_id="s")
    assert ended.content == GOOD
    session: Any = agent.get_session(session_id="s")
    assert "bluebird" not in json.dumps(session.runs[0].to_dict(), default=str)
    assert "bluebird" not in repr(ended.shown)
    assert ended.output is not None
    assert ended.output.reasoning_content == "two lines"


@pytest.mark.parametrize("form", STREAMED)
def test_a_runner_tells_no_partial_object_before_its_steps_are_done(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    from test_partial_objects import _events, _partials

    class Done(BaseModel):
        """What the Runner says at its end."""

        said: str
        steps: list[str]

    lie = Done(said="I SHIPPED it all", steps=["one", "two", "three"]).model_dump_json()
    team = release_team(portkey_model, Release())
    team.members[-1].output_schema = Done
    govern(
        team, runner="Runner", gate=Gate(max_rounds=1), contracts=[Contract(Done, partials=True)]
    )
    portkey_provider.when(lambda request: request.schema_name == "Done", Reply(lie, chunk_size=4))
    tell(portkey_provider, plans=[SOUND])
    events = _events(team, form)
    assert _partials(events) == []
    assert "SHIPPED" not in repr(events)


@pytest.mark.parametrize("form", FORMS)
def test_a_rule_is_asked_about_what_is_handed_out(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    class Loose(BaseModel):
        """One that can be changed."""

        lines: int

    def fix(loose: Loose) -> None:
        loose.lines = 1

    def one(loose: Loose) -> str | None:
        return None if loose.lines == 1 else "one line is due"

    portkey_model.contracts = (Contract(Loose, rules=[fix, one]),)
    portkey_model.repair = Repair(reasks=0)
    portkey_provider.reply('{"lines": 9}')
    ended = play(Agent(model=portkey_model, output_schema=Loose), form)
    assert ended.status == RunStatus.error
    assert "one line is due" in str(ended.content)


def _look() -> str:
    """Look."""
    return "nothing"


@pytest.mark.parametrize("form", FORMS)
def test_the_attempts_before_a_tool_call_count_with_those_after_it(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    figures = ContractFigures()
    portkey_model.observers = [figures]
    portkey_model.repair = Repair(reasks=2)
    broken, looks = Reply(WRONG, usage=Usage(10, 5)), Reply(tool_calls=(ToolCall("_look"),))
    for reply in (broken, looks, broken, looks, broken, broken, broken):
        portkey_provider.reply(reply)
    ended = play(Agent(model=portkey_model, output_schema=Verse, tools=[_look]), form)
    assert ended.status == RunStatus.error
    assert len(portkey_provider.calls) == 5
    (row,) = figures.rows()
    assert (row.refused, row.attempts, row.failed_tokens) == (1, 3, 45)


@pytest.mark.parametrize("form", FORMS)
def test_attempts_that_a_guard_ends_are_told(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    class Forbids(Guard):
        """Blocks a word."""

        on = "output"

        def inspect(self, passage: Passage) -> Block | None:
            return Block("a bird") if "bluebird" in passage.text else None

    figures = ContractFigures()
    portkey_model.observers, portkey_model.guards = [figures], (Forbids(),)
    portkey_provider.reply(Reply(WRONG, usage=Usage(10, 5)))
    portkey_provider.reply('{"text": "the bluebird", "lines": 1}')
    with pytest.raises(OutputBlocked, match="a bird"):
        ask(portkey_model, form, response_format=Verse)
    (row,) = figures.rows()
    assert (row.refused, row.attempts, row.failed_tokens) == (1, 1, 15)


def test_a_model_that_is_rebuilt_without_its_contracts_is_refused() -> None:
    repair = Repair(reasks=1)
    model = PortkeyModel("m", base_url="http://127.0.0.1:1", repair=repair)
    assert PortkeyModel.from_dict(json.loads(json.dumps(model.to_dict()))).repair == repair
    model.contracts = (Contract(Verse),)
    with pytest.raises(ConfigurationError, match=r"contracts: \['Verse'\] can't be rebuilt"):
        PortkeyModel.from_dict(json.loads(json.dumps(model.to_dict())))
    model = PortkeyModel("m", base_url="http://127.0.0.1:1", output_schema=Verse)
    with pytest.raises(ConfigurationError, match="output_schema: Verse can't be rebuilt"):
        PortkeyModel.from_dict(json.loads(json.dumps(model.to_dict())))


def test_a_stronger_target_that_no_request_reaches_is_refused(
    portkey_provider: EmbeddedProvider, portkey_gateway: LocalGateway
) -> None:
    here: dict[str, Any] = {"provider": "openai", "api_key": "k"}
    here["custom_host"] = portkey_provider.url
    small, big = (Target(name=name, model=name, **here) for name in ("small", "big"))
    routes = (
        LoadBalance(targets=[small, Target(name="big", model="big", weight=0, **here)]),
        Conditional(
            conditions=[When(query=metadata("tier") == "high", then="big")],
            default="small",
            targets=[small, big],
        ),
    )
    for route in routes:
        with pytest.raises(ConfigurationError, match="'big' can't be asked by itself"):
            PortkeyModel(base_url=portkey_gateway.url, config=route, repair=Repair(stronger="big"))
    PortkeyModel(
        base_url=portkey_gateway.url,
        config=Fallback(targets=[small, LoadBalance(targets=[big])]),
        repair=Repair(stronger="big"),
    )


@pytest.mark.parametrize("form", FORMS)
def test_a_run_that_is_cancelled_between_attempts_is_not_asked_again(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    def cancel(event: Event) -> None:
        if event.kind == "call" and event.run_id:
            cancel_run(event.run_id)

    portkey_model.observers = [cancel]
    portkey_provider.when(lambda request: True, WRONG)
    agent = Agent(model=portkey_model, output_schema=Verse, db=InMemoryDb())
    play_until_cancelled(agent, form)
    session: Any = agent.get_session(session_id="s")
    assert session.runs[0].status == RunStatus.cancelled
    assert len(portkey_provider.calls) == 1


def play_until_cancelled(agent: Agent, form: str) -> None:
    # A cancelled stream has neither an output nor an error.
    with suppress(AssertionError):
        play(agent, form, session_id="s")


@pytest.mark.parametrize("form", FORMS)
def test_a_reask_that_the_provider_rejects_is_not_repeated(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    def answer(request: Any) -> str:
        portkey_provider.fault(Fault.status(400), times=None, model="gpt-4o-mini")
        return WRONG if request.model == "gpt-4o-mini" else GOOD.model_dump_json()

    portkey_provider.when(lambda request: True, answer)
    portkey_model.repair = Repair(reasks=10, stronger="gpt-4o")
    ended = play(Agent(model=portkey_model, output_schema=Verse), form)
    assert ended.content == GOOD
    asked = [call.model for call in portkey_provider.calls]
    assert asked == ["gpt-4o-mini", "gpt-4o-mini", "gpt-4o"]


def test_lone_surrogates_are_shown_written_out(
    portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    # Of a model Pydantic says itself that they are no JSON.
    name = {"type": "object", "properties": {"name": {"maxLength": 1}}}
    portkey_provider.reply(Reply('{"name": "\\ud800\\ud800"}'))
    portkey_provider.reply('{"name": "a"}')
    assert play(Agent(model=portkey_model, output_schema=name), "run").content == {"name": "a"}
    assert r"\ud800" in portkey_provider.calls[1].messages[-1]["content"]


def test_a_rule_gets_what_is_known_only_where_it_asks_for_it() -> None:
    seen: list[object] = []

    def lax(verse: Verse, strict: bool = True) -> None:
        seen.append(strict)

    def knows(verse: Verse, known: Known | None = None) -> None:
        seen.append(known)

    def needs(verse: Verse, context: Known) -> list[Problem]:
        seen.append(context)
        return []

    # One without a signature, and one of a constructor's.
    contract = Contract(Verse, rules=[lax, knows, needs, bool])
    known = Known()
    output_held(Schema(Verse), GOOD.model_dump(), contract=contract, known=known)
    assert seen == [True, known, known]


@pytest.mark.parametrize("form", FORMS)
def test_a_run_that_is_handed_nothing_is_refused_by_the_model_too(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_model.contracts = (Contract(Verse, input=Verse),)
    ended = play(Agent(model=portkey_model, output_schema=Verse), form, None)  # type: ignore[arg-type]
    assert ended.status == RunStatus.error
    assert portkey_provider.calls == []


def test_what_is_not_there_to_be_shown_is_left_out(
    portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    """Ten problems and more are counted; a value that is no JSON is not told."""
    wide = {f"key{number}": number for number in range(12)}
    schema = {
        "type": "object",
        "properties": {name: {"type": "string"} for name in wide},
        "additionalProperties": False,
    }
    portkey_provider.reply(json.dumps(dict.fromkeys(wide)))
    portkey_provider.reply(json.dumps(dict.fromkeys(wide, "a")))
    play(Agent(model=portkey_model, output_schema=schema), "run")
    told = portkey_provider.calls[1].messages[-1]["content"]
    assert told.count("you gave") == 8
    assert "- and 4 more" in told


def test_a_value_that_refers_to_itself_is_not_told() -> None:
    circle: list[Any] = []
    circle.append(circle)
    ladder = Ladder(Repair(), Schema(Verse))
    error = ContractError(Verdict(False, "contract Verse", ("no",)))
    call = Call([Message(role="user", content="Hi")], Message(role="assistant"))
    asked = ladder.again(call, Attempt("{}", (Problem(("text",), "no", circle),)), error)
    assert asked is not None
    assert "- text: no\n" in str(asked.messages[-1].content)


@pytest.mark.parametrize("form", FORMS)
def test_a_call_that_is_nobodys_run_is_handed_nothing(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    """Those of auxiliary models have no run, and so no input."""
    portkey_model.contracts = (Contract(Verse, input=Verse),)
    portkey_provider.reply(GOOD)
    assert ask(portkey_model, form, response_format=Verse)


def test_contracts_and_figures_are_themselves_in_copies() -> None:
    contract = Contract(Verse)
    assert deepcopy(contract) is contract
    assert repr(ContractFigures()) == "ContractFigures(0 outputs)"


@pytest.mark.parametrize("mode", ["enforce", "observe"])
def test_a_hook_before_a_run_of_a_model_that_is_not_ours(mode: Any) -> None:
    """It holds the input all the same, and has nobody to tell the schema."""
    owner = SimpleNamespace(name="Poet", id="p", model=None, output_schema=Verse)
    context = SimpleNamespace(run_id="r", output_schema=None, dependencies=None)
    given = SimpleNamespace(input_content=GOOD.model_dump())
    hook = ContractHook([Contract(Verse, input=Verse)], mode=mode)
    hook.before(Moment(given, None, context, owner, False, None))
    held = GOOD.model_dump() if mode == "observe" else json.dumps(GOOD.model_dump())
    assert given.input_content == held


@pytest.mark.parametrize(("mode", "told"), [("off", 0), ("observe", 1)])
def test_a_hook_that_does_not_enforce_lets_an_input_through(mode: Any, told: int) -> None:
    heard: list[Event] = []
    owner = SimpleNamespace(name="Poet", id="p", model=None, output_schema=Verse)
    context = SimpleNamespace(run_id="r", output_schema=None, dependencies=None)
    given = SimpleNamespace(input_content="a verse, please")
    hook = ContractHook([Contract(Verse, input=Verse)], mode=mode, observers=[heard.append])
    hook.before(Moment(given, None, context, owner, False, None))
    assert given.input_content == "a verse, please"
    assert [event.data for event in heard] == [{"stage": "pre", "mode": mode}] * told
