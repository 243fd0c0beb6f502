"""What an attempt takes over of an answer: as OpenLIT would say it, and no guesses."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import NOT_GIVEN, OpenAI
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openlit.instrumentation.openai import openai as patched  # type: ignore[import-untyped]
from openlit.instrumentation.openai import utils  # type: ignore[import-untyped]
from opentelemetry.trace import INVALID_SPAN, Span
from seen_spans import Seen, attribute
from shapes import Stage, play

from agno_portkey import telemetry
from agno_portkey.telemetry import names
from agno_portkey.telemetry.attempts import AttemptSpan
from agno_portkey.testing import EmbeddedProvider, Reply

OURS = names.OURS
REQUEST: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}], "model": "gpt-4o-mini"}
# OpenLIT guesses where there are none.
TOKENS = st.integers(1, 10**6)
OPTIONAL = st.one_of(st.none(), st.integers(0, 10**6))
ASKED = st.fixed_dictionaries(
    {},
    optional={
        "temperature": st.one_of(st.none(), st.just(NOT_GIVEN), st.floats(0, 2)),
        "top_p": st.floats(0, 1),
        "max_tokens": st.one_of(st.none(), st.just(NOT_GIVEN), st.integers(1, 9_999)),
    },
)


@pytest.fixture
def stage(portkey_provider: EmbeddedProvider, tmp_path: object) -> Stage:
    return Stage(portkey_provider, tmp_path)  # type: ignore[arg-type]


class Kept(AttemptSpan):
    """What it takes over stays in it."""

    def __init__(self) -> None:
        super().__init__(INVALID_SPAN)

    @property
    def said(self) -> dict[str, Any]:
        return self._said


def setup_module() -> None:
    # What is changed stays so in a process.
    telemetry.setup().shutdown()


@given(TOKENS, TOKENS, OPTIONAL, OPTIONAL, ASKED)
def test_of_an_answer_as_openlit(
    prompt: int, completion: int, cached: int | None, written: int | None, asked: dict[str, Any]
) -> None:
    usage = _usage(prompt, completion, cached, written)
    message = {"role": "assistant", "content": "Hello"}
    answer = ChatCompletion.construct(
        id="chatcmpl-7",
        model="gpt-4o-mini",
        choices=[{"index": 0, "finish_reason": "stop", "message": message}],
        usage=usage,
    )
    said = []
    for processed in (utils.process_chat_response, patched.process_chat_response):
        span = Kept()
        processed(
            response=answer,
            request_model="gpt-4o-mini",
            pricing_info={},
            server_port=443,
            server_address="there",
            environment="default",
            application_name="default",
            metrics=None,
            start_time=0.0,
            span=span,
            disable_metrics=True,
            **REQUEST,
            **asked,
        )
        said.append(_taken(span))
    assert said[0] == said[1]
    assert said[1]["gen_ai.response.id"] == "chatcmpl-7"


@given(TOKENS, TOKENS, OPTIONAL, OPTIONAL, ASKED, st.integers(0, 5))
def test_of_a_stream_as_openlit(
    prompt: int,
    completion: int,
    cached: int | None,
    written: int | None,
    asked: dict[str, Any],
    words: int,
) -> None:
    delta = {"index": 0, "delta": {"content": "word "}, "finish_reason": None}
    bodies: list[dict[str, Any]] = [{"choices": [delta]} for _ in range(words)]
    bodies.append({"choices": [], "usage": _usage(prompt, completion, cached, written)})
    said = []
    for module in (utils, patched):
        scope = _scope(asked)
        for body in bodies:
            chunk = ChatCompletionChunk.construct(id="chatcmpl-8", model="gpt-4o-mini", **body)
            module.process_chat_chunk(scope, chunk)
        # The clock is not what is compared.
        scope._timestamps = [float(2**number) for number in range(len(bodies))]
        module.process_streaming_chat_response(
            scope,
            pricing_info={},
            environment="default",
            application_name="default",
            metrics=None,
            disable_metrics=True,
        )
        said.append(_taken(scope._span))
    between = "gen_ai.server.time_per_output_token"
    assert said[1].pop(between) == pytest.approx(said[0].pop(between))
    assert said[0] == said[1]


@pytest.mark.parametrize("form", ["run", "arun", "stream", "astream"])
def test_a_run_says_how_it_asked_and_what_came(seen: Seen, stage: Stage, form: str) -> None:
    stage.says("Hello")
    model = stage.model()
    model.temperature, model.top_p, model.max_tokens = 0.25, 0.5, 64
    play(stage.agent(model=model), form)
    [attempt] = seen.spans().named("attempt ")
    asked = {name: attribute(attempt, f"gen_ai.request.{name}") for name in _ASKED}
    assert asked == {"temperature": 0.25, "top_p": 0.5, "max_tokens": 64, "model": model.id}
    assert attribute(attempt, "gen_ai.request.stream") is ("stream" in form)
    assert attribute(attempt, "server.address") == "127.0.0.1"
    assert attribute(attempt, "server.port") == int(stage.provider.url.split(":")[2].split("/")[0])
    assert str(attribute(attempt, "gen_ai.response.id")).startswith("chatcmpl-")
    tokens = [attribute(attempt, f"{OURS}{side}_tokens") for side in ("input", "output")]
    assert tokens == [7, 3]


def test_tokens_that_nobody_counted_are_not_guessed() -> None:
    span = Kept()
    answer = ChatCompletion.construct(id="chatcmpl-9", choices=[], usage=None)
    patched.process_chat_response(response=answer, span=span, **REQUEST)
    assert not [name for name in span.said if "tokens" in name and name.startswith(OURS)]


def test_what_is_no_attempt_is_openlits_own(seen: Seen, portkey_provider: EmbeddedProvider) -> None:
    portkey_provider.reply(Reply("Hello"))
    portkey_provider.reply(Reply("Hello"))
    client = OpenAI(base_url=portkey_provider.url, api_key="k", max_retries=0)
    client.chat.completions.create(**REQUEST)
    list(cast("Any", client.chat.completions.create(**REQUEST, stream=True)))
    spans = seen.spans()
    for span in spans:
        # OpenLIT says whose its spans are.
        assert attribute(span, "gen_ai.provider.name") == "openai"
        assert attribute(span, "gen_ai.response.id")
    assert len([*spans]) == 2


def test_what_is_not_instrumented_is_not_imported() -> None:
    code = """
import sys
from agno_portkey import telemetry
telemetry.setup().shutdown()
names = ("openlit.instrumentation.openai", "openlit.instrumentation.anthropic", "fastapi")
print([name in sys.modules for name in names])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[True, False, False]"


_ASKED = ("temperature", "top_p", "max_tokens", "model")


def _usage(prompt: int, completion: int, cached: int | None, written: int | None) -> dict[str, Any]:
    details = {"cached_tokens": cached, "cache_write_tokens": written}
    total = {"total_tokens": prompt + completion, "prompt_tokens_details": details}
    return {"prompt_tokens": prompt, "completion_tokens": completion, **total}


def _scope(asked: dict[str, Any]) -> Any:
    """What OpenLIT wraps a stream in."""
    return SimpleNamespace(
        _span=Kept(),
        _kwargs={**REQUEST, **asked},
        _llmresponse="",
        _response_id="",
        _response_model="",
        _finish_reason="",
        _system_fingerprint="",
        _service_tier="auto",
        _tools=None,
        _timestamps=[],
        _start_time=0.0,
        _ttft=0,
        _tbt=0,
        _server_address="there",
        _server_port=443,
    )


def _taken(span: Kept | Span) -> dict[str, Any]:
    """Without what is known of the request before, and said again."""
    again = ("server.", names.REQUEST_MODEL, "gen_ai.request.stream")
    said = cast("Kept", span).said
    return {name: value for name, value in said.items() if not name.startswith(again)}
