"""`PortkeyModel` does in all four forms what Agno's own model does, and holds to what it says."""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import textwrap
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import openai
import pytest
from agno.agent import Agent
from agno.models.openai.like import OpenAILike
from agno.models.portkey import Portkey
from agno.run.base import RunStatus
from four_forms import FORMS, STREAMED, ask, play

from agno_portkey.errors import ConfigurationError, GatewayUnauthorized, UpstreamFailed
from agno_portkey.model import PortkeyModel
from agno_portkey.routing.local import LocalGateway
from agno_portkey.routing.recovery.settings import Recovery
from agno_portkey.testing import EmbeddedProvider, Fault, Reply, Request, ToolCall, Usage

FIRST = Usage(prompt_tokens=11, completion_tokens=5, cached_tokens=3)
SECOND = Usage(prompt_tokens=20, completion_tokens=7, reasoning_tokens=2)


def weather(city: str, days: int = 1) -> str:
    """The weather in a city."""
    return f"{city}: sun for {days} days"


def _script(provider: EmbeddedProvider) -> None:
    call = ToolCall("weather", {"city": "Oslo", "days": 3}, id="call_1")
    other = ToolCall("weather", {"city": "Rome"}, id="call_2")
    provider.reply(Reply(tool_calls=(call, other), usage=FIRST))
    provider.reply(Reply("Sun, three days. Ça va 🌞", usage=SECOND, chunk_size=3))


def _facts(model: Any, form: str) -> dict[str, Any]:
    output = play(Agent(model=model, tools=[weather]), form).output
    assert output is not None
    assert output.metrics is not None
    assistants = [m for m in output.messages or [] if m.role == "assistant"]
    return {
        "status": output.status,
        "content": output.content,
        "tools": [(t.tool_name, t.tool_args, t.result) for t in output.tools or []],
        "tokens": (output.metrics.input_tokens, output.metrics.output_tokens),
        "details": (output.metrics.cache_read_tokens, output.metrics.reasoning_tokens),
        "calls": [
            [(call["id"], json.loads(call["function"]["arguments"])) for call in m.tool_calls or []]
            for m in assistants
        ],
        "texts": [m.content for m in assistants],
    }


# Four forms


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_text_usage_and_tool_calls(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    _script(portkey_provider)
    facts = _facts(portkey_model, form)
    assert facts["texts"][0] in (None, "")
    assert {**facts, "texts": facts["texts"][1:]} == {
        "status": RunStatus.completed,
        "content": "Sun, three days. Ça va 🌞",
        "tools": [
            ("weather", {"city": "Oslo", "days": 3}, "Oslo: sun for 3 days"),
            ("weather", {"city": "Rome"}, "Rome: sun for 1 days"),
        ],
        "tokens": (31, 12),
        "details": (3, 2),
        "calls": [[("call_1", {"city": "Oslo", "days": 3}), ("call_2", {"city": "Rome"})], []],
        "texts": ["Sun, three days. Ça va 🌞"],
    }
    assert [request.stream for request in portkey_provider.calls] == [form in STREAMED] * 2


# Agno's own model leaves its async connections open, so only the others are compared.
@pytest.mark.parametrize("form", ["run", "stream"])
def test_the_host_sees_no_difference_from_its_own_model(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    own = OpenAILike(id="gpt-4o-mini", api_key="k", base_url=portkey_provider.url)
    _script(portkey_provider)
    theirs = _facts(own, form)
    _script(portkey_provider)
    assert _facts(portkey_model, form) == theirs


@pytest.mark.parametrize("form", FORMS)
def test_text_is_shown_as_it_comes(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_provider.reply(Reply(chunks=["one ", "two ", "three"]))
    ended = play(Agent(model=portkey_model), form)
    assert ended.content == "one two three"
    assert list(ended.shown) == (["one ", "two ", "three"] if form in STREAMED else [])


def test_the_host_may_ask_again_with_guidance(portkey_model: PortkeyModel) -> None:
    from agno.metrics import MessageMetrics
    from agno.models.message import Message

    answer = portkey_model.invoke(
        messages=[Message(role="user", content="Hi")],
        assistant_message=Message(role="assistant", metrics=MessageMetrics()),
        retry_with_guidance=True,
    )
    assert answer.content == "You said: Hi"


# Arguments and environment


def test_it_takes_every_argument_of_the_hosts_portkey_model() -> None:
    import dataclasses

    theirs = {f.name for f in dataclasses.fields(Portkey) if f.init}
    ours = {f.name for f in dataclasses.fields(PortkeyModel) if f.init}
    assert theirs - ours == set()
    model = PortkeyModel(
        id="gpt-4o",
        portkey_api_key="pk",
        virtual_key="vk",
        config={"provider": "@openai-prod"},
        base_url="http://127.0.0.1:9/v1",
        profile="hosted",
    )
    assert model.id == "gpt-4o"
    assert model.gateway_url == "http://127.0.0.1:9/v1"


def _seen(provider: EmbeddedProvider, model: PortkeyModel) -> dict[str, str]:
    """The headers as a gateway receives them: the provider stands in its place."""
    ask(model, "run")
    return dict(provider.calls[-1].headers)


def test_arguments_become_headers(portkey_provider: EmbeddedProvider) -> None:
    headers = _seen(
        portkey_provider,
        PortkeyModel(
            base_url=portkey_provider.url,
            profile="hosted",
            portkey_api_key="pk",
            virtual_key="vk",
            api_key="provider-key",
            config={"retry": {"attempts": 2}},
            retries="gateway",
            portkey_provider="@openai-prod",
            custom_host="http://127.0.0.1:9/v1/",
            default_headers={"x-mine": "1", "x-portkey-provider": "other"},
            extra_headers={"x-call": "2"},
        ),
    )
    assert headers["x-portkey-api-key"] == "pk"
    assert headers["x-portkey-virtual-key"] == "vk"
    assert headers["authorization"] == "Bearer provider-key"
    config = json.loads(headers["x-portkey-config"])
    assert config == {"retry": {"attempts": 2}, "request_timeout": 120_000}
    assert headers["x-portkey-provider"] == "@openai-prod"
    assert headers["x-portkey-custom-host"] == "http://127.0.0.1:9/v1"
    assert (headers["x-mine"], headers["x-call"]) == ("1", "2")


@pytest.mark.parametrize(
    ("config", "header"),
    [
        ('{"provider": "openai", "weight": 1.0}', None),
        ("pc-team-7f3a", "pc-team-7f3a"),
    ],
)
def test_the_environment_fills_in_what_was_left_out(
    config: str,
    header: str | None,
    portkey_provider: EmbeddedProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PORTKEY_API_KEY", "env-key")
    monkeypatch.setenv("PORTKEY_BASE_URL", portkey_provider.url + "/")
    monkeypatch.setenv("PORTKEY_VIRTUAL_KEY", "env-virtual")
    monkeypatch.setenv("PORTKEY_CONFIG", config)
    headers = _seen(portkey_provider, PortkeyModel(profile="hosted"))
    assert headers["x-portkey-api-key"] == "env-key"
    assert headers["x-portkey-virtual-key"] == "env-virtual"
    if header is None:
        sent = json.loads(headers["x-portkey-config"])
        assert sent == {**json.loads(config), "request_timeout": 120_000}
    else:
        assert headers["x-portkey-config"] == header

    headers = _seen(
        portkey_provider,
        PortkeyModel(
            portkey_api_key="mine",
            virtual_key="my-virtual",
            config="pc-mine",
            profile="hosted",
        ),
    )
    assert headers["x-portkey-api-key"] == "mine"
    assert headers["x-portkey-virtual-key"] == "my-virtual"
    assert headers["x-portkey-config"] == "pc-mine"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORTKEY_CONFIG", "{broken"),
        ("PORTKEY_CONFIG", "[1]"),
        ("PORTKEY_BASE_URL", "gateway:8787"),
        ("PORTKEY_BASE_URL", "http://me:hunter2@gateway/v1"),
    ],
)
def test_a_wrong_variable_is_named_and_not_quoted(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=name) as caught:
        PortkeyModel()
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("form", FORMS)
def test_hosted_portkey_without_a_key_says_what_to_set(form: str) -> None:
    model = PortkeyModel()
    with pytest.raises(GatewayUnauthorized, match="set PORTKEY_API_KEY") as caught:
        ask(model, form)
    assert caught.value.status_code == 401
    ended = play(Agent(model=model), form)
    assert (ended.status, ended.content) == (RunStatus.error, str(caught.value))


@pytest.mark.parametrize("form", FORMS)
def test_without_a_provider_key_no_authorization_is_sent(
    form: str, portkey_gateway: LocalGateway, portkey_provider: EmbeddedProvider
) -> None:
    ask(PortkeyModel(base_url=portkey_provider.url), form)
    assert "authorization" not in portkey_provider.calls[-1].headers

    # Through the gateway the key is then the config's.
    target = {"provider": "openai", "api_key": "of-config", "custom_host": portkey_provider.url}
    ask(PortkeyModel(base_url=portkey_gateway.url, config=target), form)
    assert portkey_provider.calls[-1].headers["authorization"] == "Bearer of-config"

    model = PortkeyModel(base_url=portkey_provider.url, api_key="mine")
    ask(model, form)
    assert portkey_provider.calls[-1].headers["authorization"] == "Bearer mine"


WRONG: dict[str, dict[str, Any]] = {
    "id": {"id": " "},
    "api_key": {"api_key": ""},
    "portkey_api_key": {"portkey_api_key": " "},
    "virtual_key": {"virtual_key": 7},
    "base_url": {"base_url": "127.0.0.1:8787"},
    "custom_host": {"custom_host": "ftp://host"},
    "portkey_provider": {"portkey_provider": "open ai"},
    "config": {"config": "my-config"},
    "tags": {"tags": {"a": "x" * 129}},
    "guards": {"guards": [print]},
    "cache_response": {"cache_response": True},
    "profile": {"profile": "mine"},
    "observers": {"observers": print},
    "observers: a list": {"observers": [7]},
    "api_key: missing": {"portkey_provider": "openai", "base_url": "http://127.0.0.1:9/v1"},
    "portkey_provider.*did you mean openai": {
        "portkey_provider": "opnai",
        "api_key": "k",
        "base_url": "http://127.0.0.1:9/v1",
    },
    "custom_host: for openrouter without": {
        "portkey_provider": "openrouter",
        "api_key": "k",
        "custom_host": "http://127.0.0.1:9/v1",
        "base_url": "http://127.0.0.1:9/v1",
    },
    "custom_host: the route in config has its own": {
        "config": {"provider": "openai", "api_key": "k"},
        "custom_host": "http://127.0.0.1:9/v1",
        "base_url": "http://127.0.0.1:9/v1",
    },
    "breaker": {"breaker": True},
    "retries": {"retries": 6},
    "max_retries": {"max_retries": True},
    "recovery": {"recovery": {"attempts": 2}},
    "retries: give either": {"retries": 1, "recovery": Recovery()},
    "retries: give": {"retries": 1, "max_retries": 1},
    r"client_params\.max_retries": {"client_params": {"max_retries": 2}},
    "client": {"client": openai.OpenAI(api_key="k", base_url="http://127.0.0.1:9")},
}


@pytest.mark.parametrize("field", WRONG)
def test_a_wrong_argument_is_refused_by_its_name(field: str) -> None:
    with pytest.raises(ConfigurationError, match=field):
        PortkeyModel(**WRONG[field])


def test_a_config_that_json_cannot_hold_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"config.*JSON"):
        PortkeyModel(config={"targets": {1, 2}})
    with pytest.raises(ConfigurationError, match="config") as caught:
        PortkeyModel(config='{"api_key": "hunter2"}')
    assert "hunter2" not in str(caught.value)


# Clients


@pytest.mark.parametrize("form", FORMS)
def test_a_failing_call_is_made_as_often_as_recovery_says_and_no_layer_multiplies_it(
    form: str, portkey_gateway: LocalGateway, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.status(503), times=None)
    model = PortkeyModel(
        base_url=portkey_gateway.url,
        portkey_provider="openai",
        api_key="k",
        custom_host=portkey_provider.url,
        recovery=Recovery(attempts=3, wait=0.01),
    )
    with pytest.raises(UpstreamFailed):
        ask(model, form)
    assert len(portkey_provider.calls) == 3
    play(Agent(model=model), form)
    # The circuit opens after five failures in a row.
    assert len(portkey_provider.calls) == 5


@pytest.mark.parametrize("name", ["retries", "max_retries"])
def test_the_retries_of_other_layers_are_taken_over(
    name: str, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.status(503, retry_after=0), times=1)
    model = PortkeyModel(base_url=portkey_provider.url, **{name: 1})
    assert (model.recovery, model.retries, model.max_retries) == (Recovery(attempts=2), 0, None)
    ask(model, "run")
    assert len(portkey_provider.calls) == 2


def test_one_model_works_on_one_event_loop_after_the_other(
    portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    agent = Agent(model=portkey_model)
    loops: list[weakref.ref[Any]] = []

    async def ask_twice() -> list[Any]:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        return [(await agent.arun("Hi")).content, (await agent.arun("Ho")).content]

    for _ in range(3):
        assert asyncio.run(ask_twice()) == ["You said: Hi", "You said: Ho"]
    gc.collect()
    assert [loop() for loop in loops] == [None] * 3, "a client keeps its dead loop alive"


def test_loops_that_run_at_the_same_time_have_clients_of_their_own(
    portkey_provider: EmbeddedProvider,
) -> None:
    import threading

    agent = Agent(model=PortkeyModel(base_url=portkey_provider.url))
    both = threading.Barrier(2)

    async def talk() -> list[Any]:
        said = [(await agent.arun("Hi")).content]
        await asyncio.to_thread(both.wait)
        said.append((await agent.arun("Ho")).content)
        await asyncio.to_thread(both.wait)
        return said

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: asyncio.run(talk()), range(2)))
    assert answers == [["You said: Hi", "You said: Ho"]] * 2


def test_nothing_is_left_open_at_the_end_of_a_process(portkey_provider: EmbeddedProvider) -> None:
    script = """
        import asyncio, os, sys
        os.environ["AGNO_TELEMETRY"] = "false"
        from agno.agent import Agent
        from agno.guardrails import PIIDetectionGuardrail
        from agno_portkey import PortkeyModel

        guards = [PIIDetectionGuardrail()]
        agent = Agent(model=PortkeyModel(base_url=sys.argv[1], guards=guards))

        async def stream():
            return [event async for event in agent.arun("Hi", stream=True)]

        async def leave():
            async for event in agent.arun("Hi", stream=True):
                break

        agent.run("Hi")
        list(agent.run("Hi", stream=True))
        for _ in range(5):
            asyncio.run(stream())
            asyncio.run(leave())
        print(asyncio.run(agent.arun("Hi")).content)
    """
    ended = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error::ResourceWarning", "-c",
         textwrap.dedent(script), portkey_provider.url],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ended.stdout.strip() == "You said: Hi"
    assert "ResourceWarning" not in ended.stderr
    assert "unclosed" not in ended.stderr
    assert "Traceback" not in ended.stderr


def _own_words(requests: list[Request]) -> list[tuple[str, str]]:
    """What each request's headers and its message say of who sent it."""
    return [
        (json.loads(request.headers["x-portkey-metadata"])["role"], request.last_user)
        for request in requests
    ]


def test_one_model_shared_by_many_agents_at_once_mixes_nothing_up(
    portkey_provider: EmbeddedProvider,
) -> None:
    model = PortkeyModel(base_url=portkey_provider.url)
    together = asyncio.Barrier(20)

    async def one(number: int) -> Any:
        agent = Agent(model=model, name=f"agent-{number}")
        await together.wait()
        run = await agent.arun(f"agent-{number}", session_id=f"session-{number}")
        return run.content, (run.model_provider_data or {})["portkey"], run.run_id

    async def all_at_once() -> list[Any]:
        return await asyncio.gather(*(one(number) for number in range(20)))

    answers = asyncio.run(all_at_once())
    assert [content for content, _, _ in answers] == [f"You said: agent-{n}" for n in range(20)]
    assert sorted(_own_words(portkey_provider.calls)) == sorted(
        (f"agent-{n}", f"agent-{n}") for n in range(20)
    )
    for request in portkey_provider.calls:
        tags = json.loads(request.headers["x-portkey-metadata"])
        assert tags["session"] == tags["role"].replace("agent", "session")


def test_what_the_gateway_answered_reaches_the_run_that_asked(
    portkey_gateway: LocalGateway, portkey_provider: EmbeddedProvider
) -> None:
    model = PortkeyModel(
        base_url=portkey_gateway.url,
        portkey_provider="openai",
        api_key="k",
        custom_host=portkey_provider.url,
    )

    async def one(number: int) -> tuple[str, str]:
        run = await Agent(model=model).arun(f"{number}")
        trace = (run.model_provider_data or {})["portkey"]["trace_id"]
        return trace, str(run.run_id).replace("-", "")

    async def all_at_once() -> list[tuple[str, str]]:
        return await asyncio.gather(*(one(number) for number in range(20)))

    for trace, run_id in asyncio.run(all_at_once()):
        assert trace == run_id


def test_one_model_shared_by_threads_mixes_nothing_up(portkey_provider: EmbeddedProvider) -> None:
    model = PortkeyModel(base_url=portkey_provider.url)

    def one(number: int) -> list[str]:
        agent = Agent(model=model, name=f"agent-{number}")
        return [str(agent.run(f"agent-{number}").content) for _ in range(5)]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(one, range(8)))
    assert answers == [[f"You said: agent-{n}"] * 5 for n in range(8)]
    assert all(role == said for role, said in _own_words(portkey_provider.calls))
    assert len(portkey_provider.calls) == 40


def test_threads_that_begin_together_share_one_client(portkey_provider: EmbeddedProvider) -> None:
    import threading

    model = PortkeyModel(base_url=portkey_provider.url)
    start = threading.Barrier(8)

    def one(_: int) -> int:
        start.wait()
        return id(model.get_client())

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(one, range(8)))) == 1


def test_a_copy_with_other_settings_has_a_client_of_its_own(
    portkey_provider: EmbeddedProvider,
) -> None:
    from copy import copy

    model = PortkeyModel(base_url=portkey_provider.url)
    ask(model, "run")
    other = copy(model)
    other.default_headers = {"x-team": "other"}
    ask(other, "run")
    ask(model, "run")
    teams = [request.headers.get("x-team") for request in portkey_provider.calls]
    assert teams == [None, "other", None]


@pytest.mark.parametrize("form", ["run", "stream"])
def test_a_http_client_of_ones_own_is_used_and_never_closed(
    form: str, portkey_provider: EmbeddedProvider
) -> None:
    with httpx.Client(headers={"x-own-client": "yes"}) as own:
        model = PortkeyModel(base_url=portkey_provider.url, http_client=own)
        ask(model, form)
        assert portkey_provider.calls[-1].headers["x-own-client"] == "yes"
        del model
        gc.collect()
        assert not own.is_closed


def test_an_async_http_client_of_ones_own_is_used_and_never_closed(
    portkey_provider: EmbeddedProvider,
) -> None:
    async def run() -> bool:
        async with httpx.AsyncClient(headers={"x-own-client": "yes"}) as own:
            model = PortkeyModel(base_url=portkey_provider.url, http_client=own)
            await Agent(model=model).arun("Hi")
            del model
            await asyncio.get_running_loop().shutdown_asyncgens()
            return own.is_closed

    assert asyncio.run(run()) is False
    assert portkey_provider.calls[-1].headers["x-own-client"] == "yes"


# The response cache of the host


@pytest.mark.parametrize("form", FORMS)
def test_a_response_cache_switched_on_later_serves_nobody(
    form: str,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
    tmp_path: Any,
) -> None:
    portkey_provider.reply("Dear Ann")
    portkey_provider.reply("Dear Bob")
    portkey_model.cache_response = True
    portkey_model.cache_dir = str(tmp_path)
    agent = Agent(model=portkey_model)
    said = [play(agent, form, user_id=user).content for user in ("ann", "bob")]
    assert said == ["Dear Ann", "Dear Bob"]
    assert len(portkey_provider.calls) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", ["run", "stream"])
def test_what_another_model_put_into_the_cache_is_not_served(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel, tmp_path: Any
) -> None:
    cache: dict[str, Any] = {"cache_response": True, "cache_dir": str(tmp_path)}
    own = OpenAILike(id=portkey_model.id, api_key="k", base_url=portkey_provider.url, **cache)
    portkey_provider.reply("Dear Ann")
    portkey_provider.reply("Dear Bob")
    assert play(Agent(model=own), form).content == "Dear Ann"
    assert list(tmp_path.iterdir())
    portkey_model.cache_response, portkey_model.cache_dir = True, str(tmp_path)
    assert play(Agent(model=portkey_model), form).content == "Dear Bob"


# Agno's own cleanup is not ours to break


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The ids of the clients that are closed; what other tests left behind is among them."""
    before = openai.OpenAI.close
    closed: list[int] = []

    def close(self: openai.OpenAI) -> None:
        closed.append(id(self))
        before(self)

    monkeypatch.setattr(openai.OpenAI, "close", close)
    return closed


def test_clients_are_closed_with_the_last_copy_of_their_model(
    portkey_provider: EmbeddedProvider, closed: list[int]
) -> None:
    from copy import copy

    model = PortkeyModel(base_url=portkey_provider.url)
    twin = copy(model)
    ask(model, "run")
    client = id(model.get_client())
    gc.collect()
    closed.clear()
    del model
    gc.collect()
    assert client not in closed
    ask(twin, "run")
    del twin
    gc.collect()
    assert closed.count(client) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("config", "pc-team-7f3a"),
        ("portkey_provider", "@openai-prod"),
        ("id", "@openai-prod/gpt-4o"),
        ("virtual_key", "vk"),
    ],
)
def test_what_only_hosted_portkey_knows_is_not_sent_elsewhere(name: str, value: str) -> None:
    here = "http://127.0.0.1:9/v1"
    with pytest.raises(ConfigurationError, match=f"{name}.*hosted Portkey only"):
        PortkeyModel(base_url=here, portkey_api_key="pk", **{name: value})
    with pytest.raises(ConfigurationError, match=f"{name}.*hosted Portkey only"):
        PortkeyModel(base_url="https://gateway.example/v1", **{name: value})
    PortkeyModel(base_url="https://gateway.example/v1", portkey_api_key="pk", **{name: value})
    PortkeyModel(base_url=here, profile="hosted", **{name: value})
    PortkeyModel(**{name: value})
    PortkeyModel("@cf/meta/llama", base_url=here, portkey_provider="workers-ai", api_key="k")
