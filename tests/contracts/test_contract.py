"""`Contract`: rules beyond the schema, what a run is handed, and a stronger target."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from agno.agent import Agent
from agno.run.base import RunStatus
from agno.team import Team
from four_forms import FORMS, ask, play
from pydantic import BaseModel
from verses import GOOD, WRONG, Verse

from agno_portkey import govern
from agno_portkey.contracts import Contract, Known, Problem, Repair
from agno_portkey.errors import ConfigurationError, ContractError
from agno_portkey.guardrails import raise_on_block
from agno_portkey.hooks import ContractHook
from agno_portkey.model import PortkeyModel
from agno_portkey.policy import Policy
from agno_portkey.routing import Fallback, Recovery, Target
from agno_portkey.routing.local import LocalGateway
from agno_portkey.testing import EmbeddedProvider, Fault, Reply, ToolCall
from agno_portkey.verdict import Event

LIED = '{"text": "a", "lines": 3}'


def counted(verse: Verse) -> str | None:
    """The lines are as many as it says."""
    found = len(verse.text.splitlines())
    return None if found == verse.lines else f"the text has {found} lines"


def counted_raising(verse: Verse) -> None:
    if problem := counted(verse):
        raise ValueError(problem)


def counted_by_path(verse: Verse) -> list[Problem]:
    return [Problem(("lines",), problem, verse.lines)] if (problem := counted(verse)) else []


def counted_plainly(verse: Verse) -> bool:
    return counted(verse) is None


class CountedObject:
    """A rule that is an object, and takes what is known as well."""

    def __call__(self, verse: Verse, known: Known) -> str | None:
        assert known == Known()
        return counted(verse)


RULES: dict[str, Callable[..., object]] = {
    "a text": counted,
    "ValueError": counted_raising,
    "problems": counted_by_path,
    "a bool": counted_plainly,
    "an object": CountedObject(),
    "a lambda": lambda verse: counted(verse),
    "an empty text": lambda verse: None if counted(verse) is None else "",
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", RULES)
def test_what_breaks_a_rule_is_asked_for_again(
    name: str, form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_model.contracts = (Contract(Verse, rules=[RULES[name]]),)
    portkey_provider.reply(LIED)
    portkey_provider.reply(GOOD)
    ended = play(Agent(model=portkey_model, output_schema=Verse), form)
    assert (ended.status, ended.content) == (RunStatus.completed, GOOD)
    told = portkey_provider.calls[1].messages[-1]["content"]
    said = {"a bool": "the rule counted_plainly", "an empty text": "the rule <lambda>"}
    assert said.get(name, "the text has 1 lines") in told


@pytest.mark.parametrize("form", FORMS)
def test_what_keeps_breaking_a_rule_ends_in_error(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_model.contracts = (Contract(Verse, rules=[counted]),)
    portkey_provider.when(lambda request: True, LIED)
    ended = play(Agent(name="Poet", model=portkey_model, output_schema=Verse), form)
    assert ended.status == RunStatus.error
    assert "the text has 1 lines" in str(ended.content)
    assert len(portkey_provider.calls) == 3


class Unsaid:
    """What is no reason."""


@pytest.mark.parametrize(
    "rule",
    [
        pytest.param(lambda verse: {}["secret"], id="raises"),
        pytest.param(lambda verse: 5, id="gives a number"),
        pytest.param(lambda verse: Unsaid(), id="gives an object"),
        pytest.param(lambda verse: [Unsaid()], id="gives objects"),
    ],
)
@pytest.mark.parametrize("form", FORMS)
def test_a_rule_that_cannot_tell_refuses_and_nobody_is_asked_again(
    form: str,
    rule: Callable[..., object],
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    portkey_model.contracts = (Contract(Verse, rules=[rule]),)
    portkey_provider.when(lambda request: True, GOOD)
    with pytest.raises(ContractError, match=r"the rule .* failed: ") as caught:
        ask(portkey_model, form, response_format=Verse)
    assert "secret" not in str(caught.value)
    assert len(portkey_provider.calls) == 1


@pytest.mark.parametrize("form", FORMS)
def test_rules_of_a_schema_that_is_a_mapping(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    schema = Verse.model_json_schema()
    wanted = {"type": "json_schema", "json_schema": {"name": "Verse", "schema": schema}}
    rule: Callable[..., object] = lambda verse: verse["lines"] == 2 or "two lines are due"  # noqa: E731
    portkey_model.contracts = (Contract(wanted, rules=[rule]),)
    portkey_provider.reply(LIED)
    portkey_provider.reply(GOOD)
    ended = play(Agent(model=portkey_model, output_schema=wanted), form)
    assert ended.content == GOOD.model_dump()
    assert "two lines are due" in portkey_provider.calls[1].messages[-1]["content"]


@pytest.mark.parametrize("form", FORMS)
def test_in_json_mode_the_model_knows_the_schema_from_the_hook(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    hook = ContractHook([Contract(Verse, rules=[counted])])
    portkey_provider.reply(WRONG)
    portkey_provider.reply(GOOD)
    agent = Agent(
        model=portkey_model,
        output_schema=Verse,
        use_json_mode=True,
        pre_hooks=[hook],
        post_hooks=[hook],
    )
    ended = play(agent, form)
    assert (ended.status, ended.content) == (RunStatus.completed, GOOD)
    assert "lines: " in portkey_provider.calls[1].messages[-1]["content"]

    # The hook's own rules are looked at after the run: the model does not know them.
    portkey_provider.reply(LIED)
    assert play(agent, form).status == RunStatus.error


@pytest.mark.parametrize("form", FORMS)
def test_contracts_of_a_governed_agent_hold_in_json_mode(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_provider.reply(LIED)
    portkey_provider.reply(GOOD)
    agent = Agent(model=portkey_model, output_schema=Verse, use_json_mode=True)
    govern(agent, contracts=[Contract(Verse, rules=[counted])])
    assert play(agent, form).content == GOOD


def test_a_models_own_contract_goes_before_the_teams(
    portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_model.contracts = (Contract(Verse, rules=[lambda verse: "never"]),)
    agent = Agent(model=portkey_model, output_schema=Verse)
    govern(agent, contracts=[Contract(Verse, rules=[counted])])
    portkey_provider.when(lambda request: True, GOOD)
    assert "never" in str(play(agent, "run").content)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "give an output schema, an input schema or both"),
        ({"output": "Verse"}, "Contract.output: a Pydantic model or a JSON schema"),
        ({"output": {"type": "nonsense"}}, "no JSON schema"),
        ({"input": 5}, "Contract.input"),
        ({"output": Verse, "rules": counted}, "Contract.rules: a list"),
        ({"output": Verse, "rules": ["counted"]}, r"Contract.rules\[0\]: a function"),
        ({"output": Verse, "repair": 2}, "Contract.repair: a Repair"),
        ({"input": Verse, "rules": [counted]}, "Contract.output: rules"),
        ({"input": Verse, "partials": True}, "Contract.output: rules"),
    ],
)
def test_contracts_that_mean_nothing_are_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        Contract(**given)


def test_a_rule_that_would_never_be_awaited_is_refused() -> None:
    async def rule(verse: Verse) -> None:
        """Never awaited."""

    class Rule:
        async def __call__(self, verse: Verse) -> None:
            """Never awaited."""

    for each in (rule, Rule()):
        with pytest.raises(ConfigurationError, match="a plain def, not an async one"):
            Contract(Verse, rules=[each])


def test_lists_of_contracts_that_contradict_themselves_are_refused() -> None:
    one: Any = Contract(Verse)
    for wrong, told in (
        ([one, Contract(Verse, rules=[counted])], "there is one for Verse already"),
        (one, "a list of Contract"),
        (["Verse"], r"contracts\[0\]: a Contract"),
    ):
        with pytest.raises(ConfigurationError, match=told):
            PortkeyModel("m", contracts=wrong)
    with pytest.raises(ConfigurationError, match=r"contracts\[0\]: without an output"):
        govern(Agent(model=PortkeyModel("m", base_url="http://127.0.0.1:1")), contracts=[
            Contract(input=Verse)
        ])  # fmt: skip


# A stronger target


def _two(provider: EmbeddedProvider) -> Fallback:
    here: dict[str, Any] = {"provider": "openai", "api_key": "k", "custom_host": provider.url}
    small, big = (Target(name=name, model=f"{name}-model", **here) for name in ("small", "big"))
    return Fallback(targets=[small, big])


@pytest.mark.parametrize("form", FORMS)
def test_a_stronger_target_is_asked_last(
    form: str, portkey_provider: EmbeddedProvider, portkey_gateway: LocalGateway
) -> None:
    heard: list[Event] = []
    model = PortkeyModel(
        base_url=portkey_gateway.url,
        config=_two(portkey_provider),
        repair=Repair(reasks=1, stronger="big"),
        observers=[heard.append],
    )
    portkey_provider.reply(WRONG)
    portkey_provider.reply(WRONG)
    portkey_provider.reply(GOOD)
    ended = play(Agent(model=model, output_schema=Verse), form)
    assert ended.content == GOOD
    asked = [request.model for request in portkey_provider.calls]
    assert asked == ["small-model", "small-model", "big-model"]
    (told,) = [event for event in heard if event.kind == "contract"]
    assert (told.data["rung"], told.data["target"]) == ("stronger", "small")
    assert told.data["rescued_by"] == {"model": "big-model", "target": "big"}


@pytest.mark.parametrize("form", FORMS)
def test_a_stronger_target_that_fails_is_not_replaced_by_the_weaker(
    form: str, portkey_provider: EmbeddedProvider, portkey_gateway: LocalGateway
) -> None:
    model = PortkeyModel(
        base_url=portkey_gateway.url,
        config=_two(portkey_provider),
        repair=Repair(reasks=0, stronger="big"),
        recovery=Recovery(attempts=2, wait=0.01),
    )
    portkey_provider.fault(Fault.status(503), times=None, model="big-model")
    portkey_provider.when(lambda request: request.model == "small-model", WRONG)
    with pytest.raises(ContractError) as caught:
        ask(model, form, response_format=Verse)
    asked = [request.model for request in portkey_provider.calls]
    assert asked == ["small-model", "big-model", "big-model"]
    assert len(caught.value.verdict.evidence["attempts"]) == 2


@pytest.mark.parametrize("form", FORMS)
def test_without_a_route_the_stronger_is_another_model_of_the_provider(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_model.repair = Repair(reasks=0, stronger="gpt-4o")
    portkey_provider.reply(WRONG)
    portkey_provider.reply(GOOD)
    assert play(Agent(model=portkey_model, output_schema=Verse), form).content == GOOD
    assert [request.model for request in portkey_provider.calls] == ["gpt-4o-mini", "gpt-4o"]


def test_a_stronger_target_that_is_none_is_refused(
    portkey_provider: EmbeddedProvider, portkey_gateway: LocalGateway
) -> None:
    route = _two(portkey_provider)
    told = r"Repair.stronger: 'huge' is no target of the route .*\(small, big\)"
    for more in (
        {"repair": Repair(stronger="huge")},
        {"contracts": [Contract(Verse, repair=Repair(stronger="huge"))]},
    ):
        with pytest.raises(ConfigurationError, match=told):
            PortkeyModel(base_url=portkey_gateway.url, config=route, **more)
    agent = Agent(model=PortkeyModel(base_url=portkey_gateway.url, config=route))
    policy = Policy.from_yaml("contracts: {repair: {stronger: huge}}")
    with pytest.raises(ConfigurationError, match=told):
        govern(agent, policy=policy)


def test_a_policy_says_how_far_outputs_are_mended(
    portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    policy = Policy.from_yaml("contracts: {mode: enforce, repair: {reasks: 0}}")
    assert Policy.from_yaml(policy.to_yaml()) == policy
    agent = govern(Agent(model=portkey_model, output_schema=Verse), policy=policy)
    portkey_provider.when(lambda request: True, WRONG)
    assert play(agent, "run").status == RunStatus.error
    assert len(portkey_provider.calls) == 1
    with pytest.raises(ConfigurationError, match=r"contracts\.repair\.reasks"):
        Policy.from_yaml("contracts: {repair: {reasks: many}}")


# What a run is handed


class Task(BaseModel):
    """What a poet is handed."""

    topic: str
    lines: int


POEM = '{"topic": "rain", "lines": 2}'


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("by", ["model", "hook", "govern"])
def test_a_run_is_handed_what_its_contract_says(
    by: str, form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    contract = Contract(Verse, input=Task)
    hooks: list[Any] = [ContractHook([contract])] if by == "hook" else []
    if by == "model":
        portkey_model.contracts = (contract,)
    agent = Agent(name="Poet", model=portkey_model, output_schema=Verse, pre_hooks=hooks)
    if by == "govern":
        govern(agent, contracts=[contract])
    portkey_provider.when(lambda request: True, GOOD)

    refused = play(agent, form, "A poem about rain")

    assert refused.status == RunStatus.error
    assert "Poet's input is not a valid Task" in str(refused.content)
    assert "give a JSON object with topic (string), lines (integer)" in str(refused.content)
    assert portkey_provider.calls == []
    assert play(agent, form, POEM).content == GOOD
    assert play(agent, form, Task(topic="rain", lines=2)).content == GOOD  # type: ignore[arg-type]
    if by != "model":
        assert play(agent, form, {"topic": "rain", "lines": 2}).content == GOOD  # type: ignore[arg-type]
    assert play(agent, form, f"Here it is:\n```json\n{POEM}\n```").content == GOOD


@pytest.mark.parametrize("form", ["run", "stream"])
def test_a_member_is_handed_what_its_contract_says(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    def delegate(task: str) -> Reply:
        arguments = {"member_id": "poet", "task": task}
        return Reply(tool_calls=(ToolCall("delegate_task_to_member", arguments),))

    poet = Agent(id="poet", name="Poet", model=portkey_model, output_schema=Verse)
    team = Team(name="Poets", members=[poet], model=portkey_model)
    govern(team, contracts=[Contract(Verse, input=Task)])
    for reply in (delegate("about rain"), delegate(POEM), GOOD, "Done."):
        portkey_provider.reply(reply)

    play(team, form)  # type: ignore[arg-type]

    _, second, third, fourth = portkey_provider.calls
    assert "Poet's input is not a valid Task" in second.tool_results[0]
    assert "rain" in str(third.messages[-1]["content"])
    assert fourth.tool_results[-1] != ""


@pytest.mark.parametrize("form", FORMS)
def test_what_a_guard_hides_of_an_input_is_not_what_was_handed(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    schema = {
        "type": "object",
        "properties": {"to": {"type": "string", "pattern": "@example.org$"}},
        "required": ["to"],
    }
    agent = govern(
        Agent(model=portkey_model, output_schema=Verse),
        contracts=[Contract(Verse, input=schema)],
        pii="mask",
    )
    portkey_provider.reply(GOOD)
    assert play(agent, form, '{"to": "anna@example.org"}').content == GOOD
    assert "anna" not in str(portkey_provider.calls[0].messages)
    assert play(agent, form, '{"to": "anna@example.com"}').status == RunStatus.error


# Modes


def test_an_output_that_is_observed_is_told_once(
    portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    heard: list[Event] = []
    policy = Policy.from_yaml("contracts: observe")
    agent = Agent(model=portkey_model, output_schema=Verse)
    govern(agent, policy=policy, observers=[heard.append], contracts=[Contract(Verse)])
    portkey_provider.reply(WRONG)
    play(agent, "run")
    told = [event for event in heard if event.kind == "contract"]
    assert [event.data["stage"] for event in told] == ["model"]


def test_a_contract_that_nobody_needs_is_warned_of(
    portkey_model: PortkeyModel, caplog: pytest.LogCaptureFixture
) -> None:
    agent = Agent(name="Poet", model=portkey_model, output_schema=Task)
    govern(agent, contracts=[Contract(Verse), Contract(Task)])
    told = [record.getMessage() for record in caplog.records if "contracts:" in record.getMessage()]
    assert told == ["contracts: nobody in Poet has the output_schema Verse (a run may be given it)"]


def test_what_raises_on_a_block_says_whose_it_was(
    portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_provider.when(lambda request: True, WRONG)
    run = Agent(name="Poet", model=portkey_model, output_schema=Verse).run("Hi")
    with pytest.raises(ContractError, match=r"^Poet's output is not a valid Verse: lines: "):
        raise_on_block(run)


def test_what_is_observed_goes_through_and_is_told(
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard: list[Event] = []
    portkey_model.observers = [heard.append]
    portkey_model.contracts = (Contract(Verse, rules=[counted], input=Task),)
    monkeypatch.setenv("AGNO_PORTKEY_CONTRACTS_MODE", "observe")
    portkey_provider.reply(LIED)
    ended = play(Agent(model=portkey_model, output_schema=Verse), "run")
    assert ended.content == Verse(text="a", lines=3)
    assert len(portkey_provider.calls) == 1
    told = [event.verdict for event in heard if event.kind == "contract"]
    assert [verdict.passed for verdict in told if verdict] == [False, False]
