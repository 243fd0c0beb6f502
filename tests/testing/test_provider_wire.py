"""The embedded provider's HTTP: connections, concurrency, odd clients and clean ends."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from openai import AsyncOpenAI

from agno_portkey.testing.faults import Fault
from agno_portkey.testing.provider import EmbeddedProvider
from agno_portkey.testing.replies import Reply

ASKED: Any = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
def provider() -> Iterator[EmbeddedProvider]:
    with EmbeddedProvider() as running:
        yield running


def connect(provider: EmbeddedProvider) -> socket.socket:
    address, port = provider.host.removeprefix("http://").split(":")
    return socket.create_connection((address, int(port)), timeout=30)


def raw_request(*headers: str, version: str = "1.1", body: bytes | None = None) -> bytes:
    content = json.dumps(ASKED).encode() if body is None else body
    lines = [
        f"POST /v1/chat/completions HTTP/{version}",
        "Host: localhost",
        f"Content-Length: {len(content)}",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def read_all(sock: socket.socket) -> bytes:
    received = b""
    while data := sock.recv(65536):
        received += data
    return received


async def test_fifty_clients_at_once(provider: EmbeddedProvider) -> None:
    async with AsyncOpenAI(base_url=provider.url, api_key="test", max_retries=0) as client:

        async def one(number: int) -> str | None:
            messages: Any = [{"role": "user", "content": str(number)}]
            answer = await client.chat.completions.create(model="m", messages=messages)
            return answer.choices[0].message.content

        answers = await asyncio.gather(*(one(number) for number in range(50)))
    assert answers == [f"You said: {number}" for number in range(50)]
    assert len({request.last_user for request in provider.calls}) == 50
    assert {request.finished for request in provider.calls} == {"complete"}


def test_connection_is_kept_alive(provider: EmbeddedProvider) -> None:
    with httpx.Client() as client:
        seen = set()
        for stream in (False, True, False):
            url = f"{provider.url}/chat/completions"
            with client.stream("POST", url, json={**ASKED, "stream": stream}) as answer:
                seen.add(answer.extensions["network_stream"].get_extra_info("client_addr"))
                answer.read()
    assert len(seen) == 1


def test_requests_sent_ahead_are_answered_in_order(provider: EmbeddedProvider) -> None:
    provider.reply(Reply("first", delay=0.05))
    provider.reply("second")
    with connect(provider) as sock:
        sock.sendall(raw_request() + raw_request("Connection: close"))
        received = read_all(sock)
    assert received.count(b"200") == 2
    assert received.index(b"first") < received.index(b"second")


def test_http_1_0_closes(provider: EmbeddedProvider) -> None:
    body = json.dumps({**ASKED, "stream": True}).encode()
    with connect(provider) as sock:
        sock.sendall(raw_request(version="1.0", body=body))
        received = read_all(sock)
    assert b"transfer-encoding" not in received.lower()
    assert received.endswith(b"data: [DONE]\n\n")


def test_large_headers_and_bodies(provider: EmbeddedProvider) -> None:
    big = "x" * (20 * 1024 * 1024)
    body = {"model": "m", "messages": [{"role": "user", "content": big}]}
    headers = {"x-portkey-config": "c" * 200_000}
    answer = httpx.post(f"{provider.url}/chat/completions", json=body, headers=headers, timeout=60)
    assert answer.json()["choices"][0]["message"]["content"] == f"You said: {big}"
    assert provider.calls[0].headers["x-portkey-config"] == headers["x-portkey-config"]


def test_body_over_the_limit_is_refused(provider: EmbeddedProvider) -> None:
    # The refusal is lost where the connection breaks under what the client still sends.
    with contextlib.suppress(httpx.TransportError):
        answer = httpx.post(f"{provider.url}/chat/completions", content=b"x" * 50_000_000)
        assert answer.status_code == 413
    assert provider.requests == []


def test_client_may_ask_before_it_sends_the_body(provider: EmbeddedProvider) -> None:
    head, body = raw_request("Expect: 100-continue", "Connection: close").split(b"\r\n\r\n", 1)
    with connect(provider) as sock:
        sock.sendall(head + b"\r\n\r\n")
        assert sock.recv(1024).startswith(b"HTTP/1.1 100")
        sock.sendall(body)
        assert b"You said: hi" in read_all(sock)


def test_client_that_leaves_amid_a_stream_is_recorded(provider: EmbeddedProvider) -> None:
    provider.reply(Reply("one two three", token_delay=60))
    body = {**ASKED, "stream": True}
    with httpx.stream("POST", f"{provider.url}/chat/completions", json=body) as answer:
        arriving = answer.iter_bytes()
        assert b"assistant" in next(arriving)
        assert provider.calls[0].finished == "open"
    assert provider.calls[0].wait() == "client_gone"


def test_client_that_leaves_a_callable_waiting_is_recorded(provider: EmbeddedProvider) -> None:
    release = threading.Event()

    def blocked(request: object) -> str:
        release.wait(30)
        return "late"

    provider.reply(blocked)
    impatient = httpx.Timeout(30, read=0.1)
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{provider.url}/chat/completions", json=ASKED, timeout=impatient)
    assert provider.calls[0].wait() == "client_gone"
    release.set()


def test_client_that_resets_is_recorded(provider: EmbeddedProvider) -> None:
    provider.reply(Reply("x" * 30_000_000))
    with connect(provider) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.sendall(raw_request())
        sock.recv(1)
    assert provider.calls[0].wait() in ("client_gone", "complete")


def test_stop_ends_open_exchanges() -> None:
    before = threading.active_count()
    with EmbeddedProvider() as provider:
        provider.fault(Fault.stall(), times=None)
        socks = [connect(provider) for _ in range(5)]
        for sock in socks[:4]:
            sock.sendall(raw_request())
            assert sock.recv(1)
    for sock in socks:
        with sock:
            # An abort may show as a reset or as the end.
            try:
                read_all(sock)
            except ConnectionResetError:
                continue
    assert {request.finished for request in provider.calls} == {"cut"}
    assert threading.active_count() == before


def test_bad_json_is_a_400(provider: EmbeddedProvider) -> None:
    for path in ("/v1/chat/completions", "/embeddings"):
        answer = httpx.post(provider.host + path, content=b"{broken")
        assert answer.status_code == 400
        assert answer.json()["error"]["type"] == "invalid_request_error"
    assert provider.requests[0].body == b"{broken"


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/chat/completions", {"messages": [{"role": "user"}]}, "model"),
        ("/chat/completions", {"model": "m"}, "messages"),
        ("/chat/completions", {"model": "m", "messages": []}, "messages"),
        ("/chat/completions", {"model": "m", "messages": ["hi"]}, "messages"),
        ("/embeddings", {"model": "m"}, "input"),
        ("/embeddings", {"model": "m", "input": []}, "input"),
        ("/embeddings", {"model": "m", "input": "x", "dimensions": 0}, "dimensions"),
    ],
)
def test_incomplete_body_is_a_400(
    provider: EmbeddedProvider, path: str, body: dict[str, object], param: str
) -> None:
    answer = httpx.post(provider.url + path, json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_unknown_routes_are_404(provider: EmbeddedProvider) -> None:
    for method, path in (("POST", "/v1/audio"), ("GET", "/v1/chat/completions"), ("GET", "/")):
        answer = httpx.request(method, provider.host + path)
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "unknown_url"
    assert httpx.head(f"{provider.host}/").status_code == 404
    assert len(provider.requests) == 4


def test_routes_with_and_without_prefix(provider: EmbeddedProvider) -> None:
    for base in (provider.host, provider.url):
        assert httpx.post(f"{base}/chat/completions", json=ASKED).status_code == 200
        assert httpx.get(f"{base}/models").json()["data"][0]["id"] == "gpt-4o-mini"


def test_what_is_no_http_is_refused(provider: EmbeddedProvider) -> None:
    with connect(provider) as sock:
        sock.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        assert read_all(sock).startswith(b"HTTP/1.1 400")


def test_headers_that_cannot_be_sent_are_remembered(provider: EmbeddedProvider) -> None:
    provider.reply(Reply("x", headers={"x-bad": "two\nlines"}))
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.post(f"{provider.url}/chat/completions", json=ASKED)
    assert provider.calls[0].wait() == "cut"
    assert "header" in str(provider.errors[0])


def test_who_connects_while_it_stops_is_not_left_half_open() -> None:
    # What is left open warns when it is collected, and a warning fails the test.
    for _ in range(20):
        provider = EmbeddedProvider().start()
        with contextlib.ExitStack() as clients:
            for _ in range(4):
                clients.enter_context(connect(provider))
            provider.stop()
    gc.collect()


_STARVED = """
import gc, os, resource
from agno_portkey.testing import EmbeddedProvider
provider, taken = EmbeddedProvider(), []
resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
try:
    while True:
        taken.append(os.open(os.devnull, os.O_RDONLY))
except OSError:
    pass
for left in range(len(taken)):
    # With some a loop can be had and no port.
    try:
        provider.start()
    except OSError as error:
        print(left, type(error).__name__)
        provider.stop()
    else:
        break
    # What a loop that could not be begun has taken is given back with it.
    gc.collect()
    os.close(taken.pop())
provider.stop()
provider.start().stop()
"""


def test_without_file_descriptors_it_raises_and_starts_later() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore::ResourceWarning", "-c", _STARVED],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "never awaited" not in done.stderr
    assert done.stdout.splitlines()[0] == "0 OSError"
    assert len(done.stdout.splitlines()) > 2
