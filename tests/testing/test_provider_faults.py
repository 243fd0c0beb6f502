"""Each fault of the embedded provider, as its clients see it."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from openai import OpenAI

from agno_portkey.errors import ConfigurationError
from agno_portkey.testing.faults import Fault
from agno_portkey.testing.provider import EmbeddedProvider
from agno_portkey.testing.replies import Reply

ASKED: Any = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
TEXT = "one two three four five six"


@pytest.fixture
def provider() -> Iterator[EmbeddedProvider]:
    with EmbeddedProvider() as running:
        yield running


@pytest.fixture
def client(provider: EmbeddedProvider) -> Iterator[OpenAI]:
    with OpenAI(base_url=provider.url, api_key="test", max_retries=0) as opened:
        yield opened


def post(provider: EmbeddedProvider, *, stream: bool = False, **more: Any) -> httpx.Response:
    body = {**ASKED, "stream": stream}
    return httpx.post(f"{provider.url}/chat/completions", json=body, **more)


def received(provider: EmbeddedProvider, *, stream: bool) -> tuple[str, type[Exception] | None]:
    """The bytes that arrive, and how the client's reading ends."""
    body, text = {**ASKED, "stream": stream}, ""
    url = f"{provider.url}/chat/completions"
    with httpx.stream("POST", url, json=body, timeout=30) as answer:
        try:
            for part in answer.iter_text():
                text += part
        except httpx.HTTPError as exc:
            return text, type(exc)
    return text, None


def until_quiet(provider: EmbeddedProvider, *, stream: bool, first_wait: float = 30) -> bytes:
    """The bytes that arrive before the server falls silent; fails if the server closes."""
    body, received = json.dumps({**ASKED, "stream": stream}), b""
    host, port = provider.host.removeprefix("http://").split(":")
    head = f"POST /chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=30) as sock:
        sock.sendall(f"{head}{body}".encode())
        sock.settimeout(first_wait)
        with contextlib.suppress(TimeoutError):
            while part := sock.recv(65536):
                received += part
                # Any patience will do: longer waiting brings no more.
                sock.settimeout(0.1)
            pytest.fail("the server closed")
    return received


def words(events: str) -> str:
    """The streamed text of whole events."""
    found = ""
    for line in events.split("\n\n"):
        data = line.removeprefix("data: ")
        if data.startswith("{") and data.endswith("}"):
            choices = json.loads(data)["choices"]
            found += choices[0]["delta"].get("content") or "" if choices else ""
    return found


def test_status_with_retry_after(provider: EmbeddedProvider, client: OpenAI) -> None:
    provider.fault(Fault.status(429, retry_after=1))
    with pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(**ASKED)
    assert caught.value.response.headers["retry-after"] == "1"
    assert caught.value.code == "rate_limit_exceeded"
    assert client.chat.completions.create(**ASKED).choices


def test_status_takes_its_words(provider: EmbeddedProvider) -> None:
    provider.fault(Fault.status(500, message="broken", code_str="why", type="mine"))
    answer = post(provider)
    error = {"message": "broken", "type": "mine", "param": None, "code": "why"}
    assert (answer.status_code, answer.json()) == (500, {"error": error})


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (401, openai.AuthenticationError),
        (403, openai.PermissionDeniedError),
        (404, openai.NotFoundError),
        (446, openai.APIStatusError),
        (503, openai.InternalServerError),
    ],
)
def test_each_status(
    provider: EmbeddedProvider, client: OpenAI, code: int, error: type[openai.APIStatusError]
) -> None:
    provider.fault(Fault.status(code))
    with pytest.raises(error) as caught:
        client.chat.completions.create(**ASKED)
    assert caught.value.status_code == code


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault.context_overflow(), "context_length_exceeded"),
        (Fault.content_filter(), "content_filter"),
    ],
)
def test_refused_prompts(
    provider: EmbeddedProvider, client: OpenAI, fault: Fault, code: str
) -> None:
    provider.fault(fault)
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(**ASKED)
    assert caught.value.code == code


def test_reset_is_a_connection_reset(provider: EmbeddedProvider, client: OpenAI) -> None:
    provider.fault(Fault.reset(), times=2)
    with pytest.raises(httpx.ReadError, match="reset"):
        post(provider)
    with pytest.raises(openai.APIConnectionError):
        client.chat.completions.create(**ASKED)
    assert [request.wait() for request in provider.calls] == ["cut", "cut"]


def test_silence_lasts_until_the_client_leaves(provider: EmbeddedProvider) -> None:
    provider.fault(Fault.silence())
    with pytest.raises(httpx.ReadTimeout):
        post(provider, timeout=httpx.Timeout(30, read=0.1))
    assert provider.calls[0].wait() == "client_gone"


def test_silence_lasts_until_the_provider_stops() -> None:
    errors: list[type[Exception]] = []

    def ask() -> None:
        try:
            post(running, timeout=None)
        except httpx.HTTPError as exc:
            errors.append(type(exc))

    with EmbeddedProvider() as running:
        running.fault(Fault.silence())
        asking = threading.Thread(target=ask)
        asking.start()
        while not running.calls:
            time.sleep(0.001)
    asking.join()
    assert errors in ([httpx.RemoteProtocolError], [httpx.ReadError])
    assert running.calls[0].finished == "cut"


def test_slow_first_token_sends_the_headers_of_a_stream(provider: EmbeddedProvider) -> None:
    provider.fault(Fault.slow_first_token(30), times=None)
    assert until_quiet(provider, stream=True).endswith(b"\r\n\r\n")
    assert until_quiet(provider, stream=False, first_wait=0.1) == b""


def test_slow_first_token_then_the_answer(provider: EmbeddedProvider) -> None:
    provider.fault(Fault.slow_first_token(0.01), times=2)
    assert words(post(provider, stream=True).text) == "You said: hi"
    assert post(provider).json()["choices"][0]["message"]["content"] == "You said: hi"


def test_cut_stream_lacks_its_terminator(provider: EmbeddedProvider) -> None:
    provider.reply(TEXT)
    provider.fault(Fault.cut())
    text, error = received(provider, stream=True)
    assert error is httpx.RemoteProtocolError
    assert words(text) == "one two three "
    assert '"stop"' not in text
    assert provider.calls[0].wait() == "cut"


def test_cut_document_is_shorter_than_it_says(provider: EmbeddedProvider) -> None:
    provider.fault(Fault.cut(0.5))
    text, error = received(provider, stream=False)
    assert error is httpx.RemoteProtocolError
    with pytest.raises(json.JSONDecodeError):
        json.loads(text)


def test_clean_cut_looks_complete(provider: EmbeddedProvider, client: OpenAI) -> None:
    provider.reply(TEXT)
    provider.fault(Fault.cut(clean=True))
    chunks = list(client.chat.completions.create(**ASKED, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "one two three "
    assert {chunk.choices[0].finish_reason for chunk in chunks} == {None}
    assert provider.calls[0].finished == "cut"
    provider.fault(Fault.cut(clean=True))
    text, error = received(provider, stream=False)
    assert error is None
    with pytest.raises(json.JSONDecodeError):
        json.loads(text)


@pytest.mark.parametrize(("after", "said"), [(0, ""), (1, TEXT)])
def test_cut_at_either_end_never_finishes(
    provider: EmbeddedProvider, after: float, said: str
) -> None:
    provider.reply(TEXT)
    provider.fault(Fault.cut(after))
    text, _ = received(provider, stream=True)
    assert words(text) == said
    assert '"finish_reason": "stop"' not in text


@pytest.mark.parametrize("stream", [True, False])
def test_stall_leaves_the_connection_open(provider: EmbeddedProvider, stream: bool) -> None:
    provider.reply(TEXT)
    provider.fault(Fault.stall())
    arrived = until_quiet(provider, stream=stream)
    assert b"chatcmpl" in arrived
    assert b"total_tokens" not in arrived
    assert b"[DONE]" not in arrived
    assert provider.calls[0].wait() == "client_gone"


def test_malformed_chunk(provider: EmbeddedProvider, client: OpenAI) -> None:
    provider.fault(Fault.malformed_chunk(), times=3)
    text, error = received(provider, stream=True)
    assert error is None
    assert 'data: {"id": broken\n\n' in text
    assert words(text) == "You said: hi"
    assert text.endswith("[DONE]\n\n")
    with pytest.raises(json.JSONDecodeError):
        list(client.chat.completions.create(**ASKED, stream=True))
    with pytest.raises(json.JSONDecodeError):
        post(provider).json()


def test_error_chunk_takes_the_place_of_the_rest(
    provider: EmbeddedProvider, client: OpenAI
) -> None:
    provider.reply(Reply("one two three four"))
    provider.fault(Fault.error_chunk(message="no more", code="overloaded"), times=2)
    said: list[str] = []
    with pytest.raises(openai.APIError, match="no more") as caught:  # noqa: PT012
        for chunk in client.chat.completions.create(**ASKED, stream=True):
            said.append(chunk.choices[0].delta.content or "")
    assert caught.value.code == "overloaded"
    assert "".join(said) == "one "
    assert provider.requests[0].wait() == "cut"
    with pytest.raises(openai.InternalServerError, match="no more"):
        client.chat.completions.create(**ASKED)


def test_no_done(provider: EmbeddedProvider) -> None:
    provider.fault(Fault.no_done(), times=2)
    text, error = received(provider, stream=True)
    assert error is None
    assert '"finish_reason": "stop"' in text
    assert "[DONE]" not in text
    assert post(provider).json()["choices"]


@pytest.mark.parametrize("stream", [True, False])
def test_html_and_no_choices(provider: EmbeddedProvider, stream: bool) -> None:
    provider.fault(Fault.html())
    provider.fault(Fault.no_choices())
    page, empty = post(provider, stream=stream), post(provider, stream=stream)
    assert (page.status_code, page.headers["content-type"].split(";")[0]) == (200, "text/html")
    assert (empty.status_code, "choices" in empty.json()) == (200, False)


def test_outage_hits_every_request_and_passes(provider: EmbeddedProvider) -> None:
    provider.fault(Fault.outage(60))
    assert [post(provider).status_code for _ in range(3)] == [503] * 3
    assert httpx.get(f"{provider.url}/models").status_code == 503
    provider.clear_faults()
    provider.fault(Fault.outage(0))
    assert post(provider).status_code == 200


def test_outage_from_the_queue_begins_when_served(provider: EmbeddedProvider) -> None:
    provider.reply("fine")
    provider.reply(Fault.outage(60))
    assert [post(provider).status_code for _ in range(3)] == [200, 503, 503]


def test_faults_count_and_clear(provider: EmbeddedProvider) -> None:
    provider.fault(Fault.status(500), times=2)
    assert [post(provider).status_code for _ in range(3)] == [500, 500, 200]
    provider.fault(Fault.status(502), times=None)
    assert [post(provider).status_code for _ in range(3)] == [502] * 3
    provider.clear_faults()
    assert post(provider).status_code == 200


def test_fault_for_one_model(provider: EmbeddedProvider, client: OpenAI) -> None:
    provider.fault(Fault.status(500), model="other", times=None)
    assert client.chat.completions.create(**ASKED).choices
    with pytest.raises(openai.InternalServerError):
        client.chat.completions.create(**{**ASKED, "model": "other"})


def test_replacing_fault_leaves_the_queue_alone(provider: EmbeddedProvider) -> None:
    provider.reply("kept")
    provider.fault(Fault.status(500))
    assert post(provider).status_code == 500
    assert post(provider).json()["choices"][0]["message"]["content"] == "kept"


def test_faults_as_answers(provider: EmbeddedProvider) -> None:
    provider.reply(Fault.status(429))
    provider.reply(lambda request: Fault.cut(clean=True))
    provider.when("never", [Reply("x")])
    assert post(provider).status_code == 429
    assert words(post(provider, stream=True).text) == "You "
    assert post(provider).status_code == 200


def test_embeddings_break_too(provider: EmbeddedProvider, client: OpenAI) -> None:
    provider.fault(Fault.cut())
    with pytest.raises(openai.APIConnectionError):
        client.embeddings.create(model="e", input="x")


def test_wrong_arguments_name_the_field() -> None:
    wrong: list[tuple[str, Any]] = [
        ("after", lambda: Fault.cut(1.1)),
        ("after", lambda: Fault.stall(-0.1)),
        ("after", lambda: Fault.malformed_chunk(float("nan"))),
        ("seconds", lambda: Fault.outage(-1)),
        ("seconds", lambda: Fault.slow_first_token(float("inf"))),
        ("retry_after", lambda: Fault.status(429, retry_after=-1)),
        ("code", lambda: Fault.status(200)),
    ]
    for name, attempt in wrong:
        with pytest.raises(ConfigurationError, match=name):
            attempt()
