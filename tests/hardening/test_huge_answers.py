"""Answers that are huge or nested deep: each way ends in an answer or in an error of ours."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from agno.agent import Agent
from agno.models.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from agno_portkey.errors import (
    AgnoPortkeyError,
    BadResponse,
    ConfigurationError,
    GatewayError,
    GatewayRateLimited,
)
from agno_portkey.guardrails import SecretsGuardrail
from agno_portkey.model import PortkeyModel
from agno_portkey.routing import Recovery, bounded
from agno_portkey.routing.bounded import MAX_ERROR_BYTES, is_deep
from agno_portkey.routing.error_bodies import tidied
from agno_portkey.settings import check_config, parse_config

Reply = tuple[int, bytes, dict[str, str]]
SECRET = "sk-proj-" + "a1B2c3D4" * 6


def answered(**message: Any) -> str:
    said = {"role": "assistant", **message}
    choice = {"index": 0, "finish_reason": "stop", "message": said}
    return json.dumps({"id": "x", "model": "m", "created": 1, "choices": [choice]})


ENDED: Reply = (200, answered(content="Hi").encode(), {})


class Gateway:
    """A gateway that answers every request with `reply`."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/v1"
        self.reply: Reply = (200, b"{}", {})
        self.model = PortkeyModel(
            base_url=self.url,
            portkey_provider="openai",
            api_key="a-key-of-some-length",
            recovery=Recovery(attempts=1),
        )


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = self.rfile.read(int(self.headers.get("content-length", 0)))
            # Whoever has a tool's result asks for no more.
            status, body, headers = ENDED if b"tool_call_id" in asked else made.reply
            self.send_response(status)
            told = {"content-type": "application/json", "content-length": str(len(body))}
            for name, value in {**told, **headers}.items():
                self.send_header(name, value)
            # Whoever has read enough hangs up.
            with suppress(OSError):
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        made = Gateway(running.server_address[1])
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield made
        running.shutdown()
        thread.join()


def whole(model: PortkeyModel) -> Any:
    return model.response([Message(role="user", content="Hi")])


def streamed(model: PortkeyModel) -> Any:
    return [*model.response_stream([Message(role="user", content="Hi")])]


def on_a_loop(model: PortkeyModel) -> Any:
    return asyncio.run(model.aresponse([Message(role="user", content="Hi")]))


WAYS = [whole, streamed, on_a_loop]


def nested(levels: int) -> str:
    return "[" * levels + '"x"' + "]" * levels


DEPTHS = st.integers(1, 1500) | st.sampled_from([10_000, 100_000])


@settings(max_examples=25)
@given(DEPTHS, st.sampled_from([400, 401, 429, 500]), st.booleans(), st.sampled_from(WAYS[:2]))
def test_an_error_of_any_depth_is_an_error(
    gateway: Gateway, levels: int, status: int, plain: bool, way: Callable[..., Any]
) -> None:
    deep = nested(levels)
    body = deep if plain else f'{{"error": {{"message": "Too fast.", "more": {deep}}}}}'
    gateway.reply = (status, body.encode(), {})
    with pytest.raises(GatewayError) as caught:
        way(gateway.model)
    assert caught.value.status_code == status
    assert len(str(caught.value)) < 2000


@settings(max_examples=20)
@given(
    DEPTHS, st.sampled_from(WAYS[:2]), st.sampled_from(["message", "arguments", "error", "root"])
)
def test_an_answer_of_any_depth_is_one_or_an_error_of_ours(
    gateway: Gateway, levels: int, way: Callable[..., Any], where: str
) -> None:
    deep = nested(levels)
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": deep}}
    body = answered(content="Hi", tool_calls=[call]) if where == "arguments" else answered(more="@")
    if where == "message":
        body = body.replace('"@"', deep)
    elif where != "arguments":
        body = f'{{"error": {deep}}}' if where == "error" else deep
    gateway.reply = (200, body.encode(), {})
    try:
        way(gateway.model)
    except AgnoPortkeyError:
        return
    assert where in ("message", "arguments")


class Answer(BaseModel):
    text: str


@pytest.mark.parametrize("form", [{"output_schema": Answer}, {}])
@pytest.mark.parametrize("levels", [300, 900, 100_000])
def test_no_guard_is_passed_by_what_it_cannot_read(
    gateway: Gateway, levels: int, form: dict[str, Any]
) -> None:
    said = '{"text": ' + "[" * levels + json.dumps(SECRET) + "]" * levels + "}"
    reply = answered(content=said)
    gateway.reply = (200, reply.encode(), {})
    model = PortkeyModel(
        base_url=gateway.url,
        portkey_provider="openai",
        api_key="k",
        guards=[SecretsGuardrail()],
        recovery=Recovery(attempts=1),
    )
    run = Agent(model=model, telemetry=False, **form).run("Hi")
    assert SECRET not in str(run.to_dict())


@pytest.mark.parametrize("way", WAYS)
def test_of_a_huge_error_the_beginning_is_read(gateway: Gateway, way: Callable[..., Any]) -> None:
    body = b'{"error": {"message": "' + b"a" * 50_000_000 + b'"}}'
    for sent, headers in ((body, {}), (gzip.compress(body), {"content-encoding": "gzip"})):
        gateway.reply = (429, sent, headers)
        with pytest.raises(GatewayRateLimited) as caught:
            way(gateway.model)
        assert len(str(caught.value)) < 2000


@pytest.mark.parametrize("more", [-1, 0, 1, 100])
def test_an_error_is_read_to_its_limit_and_not_beyond(gateway: Gateway, more: int) -> None:
    gateway.reply = (429, b"x" * (MAX_ERROR_BYTES + more), {})
    with httpx.Client(trust_env=False, event_hooks={"response": [bounded.bound]}) as client:
        answer = client.post(gateway.url)
    assert len(answer.content) == MAX_ERROR_BYTES + min(more, 0)


@pytest.mark.parametrize("way", WAYS)
def test_a_huge_answer_is_refused(
    gateway: Gateway, way: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded, "MAX_REPLY_BYTES", 1000)
    gateway.reply = (200, b'{"x": "' + b"a" * 2000 + b'"}', {})
    with pytest.raises(BadResponse, match="more than 1,000 bytes"):
        way(gateway.model)


@pytest.mark.parametrize("count", [90, 2000])
def test_headers_have_a_limit(gateway: Gateway, count: int) -> None:
    gateway.reply = (200, b"{}", {f"x-{number}": "b" * 5000 for number in range(count)})
    with pytest.raises(GatewayError):
        whole(gateway.model)


# The parts


@given(st.integers(1, 60), st.integers(0, 80))
def test_depth_is_counted_without_recursion(most: int, levels: int) -> None:
    value: Any = 1
    for _ in range(levels):
        value = [value, {"a": 1}] if levels % 2 else {"a": value}
    real = levels + 1 if levels % 2 else levels
    assert is_deep(value, most) == (real > most + 1)


def test_words_are_cut_where_no_key_is_cut() -> None:
    assert tidied("a" * 10_000) == "(words too long to be shown)"
    said = tidied("no " * 100 + SECRET + " https://me:hunter22@" + "x" * 10_000)
    assert SECRET not in said
    assert "hunter22" not in said
    assert tidied("fine\nwords") == "fine words"


def test_a_config_of_any_depth() -> None:
    deep: Any = {}
    for _ in range(100_000):
        deep = {"a": deep}
    with pytest.raises(ConfigurationError, match="nested too deeply"):
        check_config(deep)
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_config("[" * 100_000)
    while deep:  # taken apart from outside, as the interpreter would do by calling itself
        deep = deep.pop("a")
