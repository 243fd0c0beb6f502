"""Every call says who makes it: in metadata that routes it, and in a trace of its run."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest
from agno.agent import Agent
from agno.run.agent import RunOutput
from agno.run.team import TeamRunOutput
from agno.team import Team
from four_forms import FORMS, ask, play
from hypothesis import given
from hypothesis import strategies as st

from agno_portkey.errors import ConfigurationError
from agno_portkey.hooks import TagHook
from agno_portkey.model import PortkeyModel
from agno_portkey.routing.local import LocalGateway
from agno_portkey.tags import MAX_TAG_LENGTH, call_tags, check_tags, trace_headers
from agno_portkey.testing import EmbeddedProvider, Reply, Request, ToolCall

RUN_ID = "0f1e2d3c-4b5a-4697-8877-665544332211"


def _tags(request: Request) -> dict[str, str]:
    tags: dict[str, str] = json.loads(request.headers["x-portkey-metadata"])
    return tags


@pytest.fixture
def direct(portkey_provider: EmbeddedProvider) -> PortkeyModel:
    """A model whose gateway is the provider itself, which thus sees what a gateway is sent."""
    return PortkeyModel(base_url=portkey_provider.url)


# What is sent


@pytest.mark.parametrize("form", FORMS)
def test_a_call_says_whose_it_is(
    form: str,
    portkey_provider: EmbeddedProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PORTKEY_ENVIRONMENT", "staging")
    model = PortkeyModel(base_url=portkey_provider.url, tags={"cost_center": "c-42", "tier": 2})
    ended = play(
        Agent(model=model, name="Clerk"), form, run_id=RUN_ID, session_id="s-1", user_id="u-1"
    )
    assert ended.content == "You said: Hi"
    assert _tags(portkey_provider.calls[0]) == {
        "role": "Clerk",
        "run": RUN_ID,
        "session": "s-1",
        "_user": "u-1",
        "environment": "staging",
        "cost_center": "c-42",
        "tier": "2",
    }


@pytest.mark.parametrize("form", FORMS)
def test_a_call_of_no_run_says_what_the_model_knows(
    form: str, portkey_provider: EmbeddedProvider
) -> None:
    ask(PortkeyModel(base_url=portkey_provider.url, tags={"team": "Ünïcode ☂"}), form)
    assert _tags(portkey_provider.calls[0]) == {"team": "Ünïcode ☂"}


def test_the_tags_of_the_model_win_and_long_ids_are_cut(
    portkey_provider: EmbeddedProvider,
) -> None:
    model = PortkeyModel(base_url=portkey_provider.url, tags={"role": "auditor"})
    Agent(model=model, name="Clerk").run("Hi", session_id="s" * 500)
    tags = _tags(portkey_provider.calls[0])
    assert tags["role"] == "auditor"
    assert tags["session"] == "s" * MAX_TAG_LENGTH


@given(name=st.text(min_size=1, max_size=300), user=st.text(max_size=300))
def test_every_value_that_goes_out_is_text_of_a_length_that_is_taken(name: str, user: str) -> None:
    run = RunOutput(run_id="r", agent_name=name, user_id=user)
    tags = call_tags(run, {"a": "b"})
    assert all(isinstance(value, str) and len(value) <= MAX_TAG_LENGTH for value in tags.values())
    assert tags["role"] == name[:MAX_TAG_LENGTH]


def test_a_leaders_role_is_its_teams_name() -> None:
    tags = call_tags(TeamRunOutput(run_id="r", team_name="Release"))
    assert (tags["role"], tags["swarm"]) == ("Release", "Release")


# What the gateway does with it: the target that it chose shows in the model that was asked for


def _routed_by(provider: EmbeddedProvider, tag: str, value: str) -> Any:
    target = {"provider": "openai", "api_key": "k", "custom_host": provider.url}
    return {
        "strategy": {
            "mode": "conditional",
            "conditions": [{"query": {f"metadata.{tag}": {"$eq": value}}, "then": "matched"}],
            "default": "other",
        },
        "targets": [
            {"name": "matched", "override_params": {"model": "matched"}, **target},
            {"name": "other", "override_params": {"model": "other"}, **target},
        ],
    }


def _asked_for(provider: EmbeddedProvider) -> list[str | None]:
    return [request.model for request in provider.calls]


@pytest.mark.parametrize("form", FORMS)
def test_a_route_by_role(
    form: str, portkey_gateway: LocalGateway, portkey_provider: EmbeddedProvider
) -> None:
    config = _routed_by(portkey_provider, "role", "Planner")
    model = PortkeyModel(base_url=portkey_gateway.url, config=config)
    for name in ("Planner", "Runner", "planner"):
        play(Agent(model=model, name=name), form)
    assert _asked_for(portkey_provider) == ["matched", "other", "other"]


@pytest.mark.parametrize("form", FORMS)
def test_a_route_by_cost_center(
    form: str, portkey_gateway: LocalGateway, portkey_provider: EmbeddedProvider
) -> None:
    config = _routed_by(portkey_provider, "cost_center", "c-42")
    for cost_center in ("c-42", "c-43"):
        model = PortkeyModel(
            base_url=portkey_gateway.url, config=config, tags={"cost_center": cost_center}
        )
        play(Agent(model=model), form)
    assert _asked_for(portkey_provider) == ["matched", "other"]


def _team(model: PortkeyModel, name: str, *hooks: TagHook) -> Team:
    member = Agent(name="Scout", role="Looks", model=model)
    return Team(name=name, members=[member], model=model, pre_hooks=list(hooks) or None)


def _tell_of_a_team(provider: EmbeddedProvider) -> None:
    """A leader that asks its one member and then speaks."""

    def lead(request: Request) -> Reply:
        if request.tool_results:
            return Reply("All is well.")
        call = ToolCall("delegate_task_to_member", {"member_id": "scout", "task": "Look."})
        return Reply(tool_calls=(call,))

    provider.when(lambda request: "delegate_task_to_member" in request.tools, lead)
    provider.when(lambda request: True, "Nothing in sight.")


def _run_team(team: Team, form: str) -> None:
    match form:
        case "run":
            team.run("Go")
        case "arun":
            asyncio.run(_arun(team))
        case "stream":
            list(team.run("Go", stream=True))
        case _:
            asyncio.run(_astream(team))


async def _arun(team: Team) -> None:
    await team.arun("Go")


async def _astream(team: Team) -> None:
    async for _ in team.arun("Go", stream=True):
        pass


@pytest.mark.parametrize("form", FORMS)
def test_a_route_by_swarm_holds_for_the_leader_and_its_members(
    form: str, portkey_gateway: LocalGateway, portkey_provider: EmbeddedProvider
) -> None:
    _tell_of_a_team(portkey_provider)
    config = _routed_by(portkey_provider, "swarm", "Release")
    model = PortkeyModel(base_url=portkey_gateway.url, config=config)
    _run_team(_team(model, "Release", TagHook()), form)
    _run_team(_team(model, "Research", TagHook()), form)
    assert _asked_for(portkey_provider) == ["matched"] * 3 + ["other"] * 3


# The hook


@pytest.mark.parametrize("form", FORMS)
def test_tags_of_a_team_reach_its_members(
    form: str, portkey_provider: EmbeddedProvider, direct: PortkeyModel
) -> None:
    _tell_of_a_team(portkey_provider)
    _run_team(_team(direct, "Release", TagHook(cost_center="c-42")), form)
    seen = [
        (tags["role"], tags["swarm"], tags["cost_center"])
        for tags in map(_tags, portkey_provider.calls)
    ]
    leader = ("Release", "Release", "c-42")
    assert seen == [leader, ("Scout", "Release", "c-42"), leader]


@pytest.mark.parametrize("form", FORMS)
def test_tags_of_an_agent_go_with_each_call_of_its_run(
    form: str, portkey_provider: EmbeddedProvider, direct: PortkeyModel
) -> None:
    def look() -> str:
        """Look."""
        return "nothing"

    portkey_provider.reply(Reply(tool_calls=(ToolCall("look"),)))
    agent = Agent(model=direct, name="Scout", tools=[look], pre_hooks=[TagHook(cost_center="c-1")])
    play(agent, form)
    play(Agent(model=direct, name="Other"), form)
    assert [_tags(r).get("cost_center") for r in portkey_provider.calls] == ["c-1", "c-1", None]


# The trace


@pytest.mark.parametrize("form", FORMS)
def test_the_gateway_echoes_the_trace_of_the_run(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    ended = play(Agent(model=portkey_model), form, run_id=RUN_ID)
    assert ended.output is not None
    told = (ended.output.model_provider_data or {})["portkey"]
    assert told["trace_id"] == RUN_ID.replace("-", "")


@pytest.mark.parametrize("form", FORMS)
def test_traceparent_goes_with_the_trace_id(
    form: str, portkey_provider: EmbeddedProvider, direct: PortkeyModel
) -> None:
    play(Agent(model=direct), form, run_id=RUN_ID)
    play(Agent(model=direct), form, run_id="a run of my own")
    play(Agent(model=direct), form, run_id="a run of my own")
    traces = []
    for request in portkey_provider.calls:
        parent = re.fullmatch(
            r"00-([0-9a-f]{32})-([0-9a-f]{16})-01", request.headers["traceparent"]
        )
        assert parent is not None
        assert parent[1] == request.headers["x-portkey-trace-id"]
        traces.append(parent[1])
    assert traces[0] == RUN_ID.replace("-", "")
    assert traces[1] == traces[2] != traces[0]


@given(st.one_of(st.none(), st.text(max_size=60), st.uuids().map(str), st.just("0" * 32)))
def test_a_trace_is_valid_whatever_it_is_named_after(seed: str | None) -> None:
    headers = trace_headers(seed)
    parent = re.fullmatch(r"00-([0-9a-f]{32})-[0-9a-f]{16}-01", headers["traceparent"])
    assert parent is not None
    assert parent[1] == headers["x-portkey-trace-id"]
    assert int(parent[1], 16)


def test_a_span_that_is_open_gives_the_trace(
    portkey_provider: EmbeddedProvider, direct: PortkeyModel
) -> None:
    from opentelemetry import trace

    span = trace.NonRecordingSpan(
        trace.SpanContext(0xABC, 0xDEF, is_remote=False, trace_flags=trace.TraceFlags(1))
    )
    with trace.use_span(span):
        Agent(model=direct).run("Hi")
    parent = portkey_provider.calls[0].headers["traceparent"]
    assert parent == f"00-{0xABC:032x}-{0xDEF:016x}-01"


# What is refused when it is built

WRONG: list[tuple[Any, str]] = [
    ({"note": "x" * (MAX_TAG_LENGTH + 1)}, r"tags\['note'\]: 129 characters"),
    ({"nested": {"a": "b"}}, r"tags\['nested'\]: text or a number, not dict"),
    ({"listed": ["a"]}, r"tags\['listed'\]: text or a number, not list"),
    ({"none": None}, r"tags\['none'\]: text or a number, not NoneType"),
    ({7: "a"}, r"tags: a tag's name is a non-empty text, not 7"),
    ({"": "a"}, "tags: a tag's name is a non-empty text"),
    (["a"], "tags: a mapping of names to values, not list"),
]


@pytest.mark.parametrize(("tags", "says"), WRONG)
def test_a_wrong_tag_is_refused_by_its_name(tags: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        PortkeyModel(tags=tags)


def test_an_environment_that_is_too_long_is_refused_by_its_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PORTKEY_ENVIRONMENT", "x" * 129)
    with pytest.raises(ConfigurationError, match="PORTKEY_ENVIRONMENT"):
        PortkeyModel()


@given(
    st.dictionaries(
        st.text(min_size=1),
        st.one_of(st.text(max_size=MAX_TAG_LENGTH), st.booleans(), st.integers(-9, 9)),
    )
)
def test_what_is_accepted_becomes_text(tags: dict[str, Any]) -> None:
    checked = check_tags(tags)
    assert checked.keys() == tags.keys()
    assert all(isinstance(value, str) for value in checked.values())
    assert {k: v for k, v in checked.items() if tags[k] is True or tags[k] is False} == {
        k: str(v).lower() for k, v in tags.items() if isinstance(v, bool)
    }
