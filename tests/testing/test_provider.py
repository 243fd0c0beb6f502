"""The embedded provider as its users see it: answers, rules, the queue and what it records."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import date
from typing import Annotated, Any, Literal

import httpx
import jsonschema  # type: ignore[import-untyped]
import openai
import pytest
from openai import OpenAI
from pydantic import BaseModel, Field

from agno_portkey.errors import ConfigurationError
from agno_portkey.testing.faults import Fault
from agno_portkey.testing.provider import EmbeddedProvider, Request
from agno_portkey.testing.replies import Reply, ToolCall, Usage


class Judgement(BaseModel):
    score: Annotated[float, Field(ge=1, le=10)]
    verdict: Literal["go", "stop"]


class Step(BaseModel):
    name: Annotated[str, Field(min_length=8)]
    due: date
    weight: Annotated[int, Field(gt=2, multiple_of=5)]
    note: str | None
    children: list[Step] = []
    parent: Step | None = None


class Plan(BaseModel):
    title: Annotated[str, Field(max_length=3)]
    steps: Annotated[list[Step], Field(min_length=2)]
    kind: Literal["release"]
    pair: tuple[int, str]
    ratio: Annotated[float, Field(gt=0, lt=1)]
    limits: Annotated[dict[str, int], Field(min_length=1)]
    below: Annotated[int, Field(lt=-3)]
    urgent: bool
    nothing: None


class Tree(BaseModel):
    left: Tree | None
    leaves: list[Tree]


class Endless(BaseModel):
    inner: Endless


@pytest.fixture
def provider() -> Iterator[EmbeddedProvider]:
    with EmbeddedProvider() as running:
        yield running


@pytest.fixture
def client(provider: EmbeddedProvider) -> Iterator[OpenAI]:
    with OpenAI(base_url=provider.url, api_key="test", max_retries=0) as opened:
        yield opened


def ask(
    client: OpenAI, text: str = "hi", *, system: str = "", model: str = "m", **more: Any
) -> Any:
    messages: Any = [{"role": "system", "content": system}, {"role": "user", "content": text}]
    return client.chat.completions.create(model=model, messages=messages, **more)


def said(client: OpenAI, text: str = "hi", **more: Any) -> str:
    content = ask(client, text, **more).choices[0].message.content
    assert isinstance(content, str)
    return content


def asked_for(schema: dict[str, Any]) -> dict[str, Any]:
    wanted = {"name": "wanted", "schema": schema, "strict": True}
    return {"type": "json_schema", "json_schema": wanted}


def test_without_a_script_the_users_words_come_back(client: OpenAI) -> None:
    answer = ask(client, "hello there")
    assert answer.choices[0].message.content == "You said: hello there"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == "m"
    assert answer.usage.prompt_tokens == 3
    assert answer.usage.completion_tokens == 6


def test_queue_is_served_in_order_and_once(provider: EmbeddedProvider, client: OpenAI) -> None:
    provider.reply("one")
    provider.reply(Judgement(score=9, verdict="go"))
    provider.reply({"a": 1})
    provider.reply(lambda request: f"for {request.model}")
    assert said(client) == "one"
    assert Judgement.model_validate_json(said(client)).score == 9
    assert json.loads(said(client)) == {"a": 1}
    assert said(client) == "for m"
    assert said(client) == "You said: hi"


def test_first_rule_that_applies_comes_before_the_queue(
    provider: EmbeddedProvider, client: OpenAI
) -> None:
    provider.reply("queued")
    provider.when(lambda request: request.last_user == "once", "first", times=1)
    provider.when("Judge", Judgement(score=2, verdict="stop"))
    provider.when(lambda request: "Judge" in request.system, "never")
    assert said(client, "once", system="You are the Judge") == "first"
    assert '"stop"' in said(client, "once", system="You are the Judge")
    assert said(client, "other") == "queued"


def test_list_of_a_rule_repeats_its_last_answer(provider: EmbeddedProvider, client: OpenAI) -> None:
    provider.when("Judge", ["a", lambda request: "b"])
    assert [said(client, system="Judge") for _ in range(4)] == ["a", "b", "b", "b"]


def test_tool_calls(provider: EmbeddedProvider, client: OpenAI) -> None:
    calls = [ToolCall("deploy", {"target": "staging"}), ToolCall("log", "not json", id="mine")]
    provider.reply(Reply(tool_calls=calls))
    choice = ask(client).choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    first, second = choice.message.tool_calls
    assert (first.function.name, json.loads(first.function.arguments)) == (
        "deploy",
        {"target": "staging"},
    )
    assert first.id
    assert (second.id, second.function.arguments) == ("mine", "not json")


def test_reply_fields_reach_the_client(provider: EmbeddedProvider, client: OpenAI) -> None:
    provider.reply(
        Reply(
            "cut off",
            model="other",
            usage=Usage(100, 20, cached_tokens=40, reasoning_tokens=5),
            finish_reason="length",
            reasoning="hmm",
            headers={"x-served-by": "me"},
            delay=0.001,
        )
    )
    messages: Any = [{"role": "user", "content": "hi"}]
    raw = client.chat.completions.with_raw_response.create(model="m", messages=messages)
    answer = raw.parse()
    assert raw.headers["x-served-by"] == "me"
    assert answer.model == "other"
    assert answer.choices[0].finish_reason == "length"
    assert answer.choices[0].message.reasoning_content == "hmm"  # type: ignore[attr-defined]
    assert answer.usage is not None
    assert answer.usage.total_tokens == 120
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.cached_tokens == 40


def test_refusal(provider: EmbeddedProvider, client: OpenAI) -> None:
    provider.reply(Reply(refusal="I must not."))
    message = ask(client).choices[0].message
    assert (message.refusal, message.content) == ("I must not.", None)


@pytest.mark.parametrize("model", [Judgement, Step, Plan, Tree])
def test_default_answer_fits_the_schema(client: OpenAI, model: type[BaseModel]) -> None:
    schema = model.model_json_schema()
    answer = json.loads(said(client, response_format=asked_for(schema)))
    jsonschema.validate(answer, schema)
    model.model_validate(answer)


def test_default_answer_fits_what_strict_clients_send(client: OpenAI) -> None:
    answer = client.chat.completions.parse(
        model="m", messages=[{"role": "user", "content": "hi"}], response_format=Judgement
    )
    assert isinstance(answer.choices[0].message.parsed, Judgement)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": ["integer", "null"], "minimum": 7},
        {"type": "number", "exclusiveMinimum": 1, "exclusiveMaximum": 1.5},
        {"type": "number", "minimum": 0.1, "multipleOf": 0.25},
        {"type": "integer", "maximum": -2.5},
        {"oneOf": [{"type": "boolean"}, {"type": "string"}]},
        {"allOf": [{"$ref": "#/$defs/A"}, {"properties": {"b": {"const": 2}}, "required": ["b"]}],
         "$defs": {"A": {"type": "object", "properties": {"a": {"type": "null"}},
                         "required": ["a"]}}},
        {"type": "string", "format": "uuid"},
        {"properties": {"a": {"type": "array", "prefixItems": [{"type": "null"}]}}},
        {"type": "array", "items": {"enum": ["x", "y"]}, "minItems": 3},
        {"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 2},
        {},
    ],
)  # fmt: skip
def test_default_answer_fits_plain_schemas(client: OpenAI, schema: dict[str, Any]) -> None:
    jsonschema.validate(json.loads(said(client, response_format=asked_for(schema))), schema)


def test_schema_that_requires_itself_is_an_error(
    provider: EmbeddedProvider, client: OpenAI
) -> None:
    with pytest.raises(openai.InternalServerError, match="requires itself"):
        ask(client, response_format=asked_for(Endless.model_json_schema()))
    assert isinstance(provider.errors[0], ConfigurationError)


def test_json_object_mode_gets_an_object(client: OpenAI) -> None:
    assert json.loads(said(client, response_format={"type": "json_object"})) == {"said": "hi"}


def test_embeddings_are_deterministic_unit_vectors(client: OpenAI) -> None:
    def embed(texts: Any, **more: Any) -> list[list[float]]:
        made = client.embeddings.create(model="e", input=texts, **more)
        return [item.embedding for item in made.data]

    packed = embed(["ship it", "", "ship it now", "unrelated words"])
    plain = embed(["ship it", ""], encoding_format="float")
    assert packed[:2] == plain
    assert all(len(vector) == 384 for vector in packed)
    assert all(sum(x * x for x in vector) == pytest.approx(1, rel=1e-5) for vector in packed)
    near, far = (sum(a * b for a, b in zip(packed[0], v, strict=True)) for v in packed[2:])
    assert near > far
    assert [len(vector) for vector in embed("one", dimensions=8)] == [8]
    assert embed([1, 2]) == embed([[1, 2]])


def test_request_is_recorded_with_headers_and_body(
    provider: EmbeddedProvider, client: OpenAI
) -> None:
    tool: Any = {
        "type": "function",
        "function": {"name": "deploy", "parameters": {"type": "object"}},
    }
    wanted: Any = asked_for(Judgement.model_json_schema())
    messages: Any = [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
        {"role": "user", "content": "first"},
        {"role": "tool", "tool_call_id": "1", "content": "done"},
        {"role": "user", "content": [{"type": "text", "text": "last"}]},
    ]
    client.chat.completions.create(
        model="m",
        messages=messages,
        tools=[tool],
        response_format=wanted,
        extra_headers={"X-Portkey-Trace-Id": "t-1"},
        extra_query={"api-version": "1"},
    )
    client.models.list()
    chat, models = provider.requests
    assert provider.calls == [chat]
    assert (chat.method, chat.path, chat.query) == ("POST", "/v1/chat/completions", "api-version=1")
    assert chat.headers["x-portkey-trace-id"] == "t-1"
    assert chat.headers["authorization"] == "Bearer test"
    assert "Bearer" not in repr(chat)
    assert chat.system == "Be brief.\nBe kind."
    assert (chat.last_user, chat.tools, chat.tool_results) == ("last", ["deploy"], ["done"])
    assert (chat.response_format, chat.schema_name) == (wanted, "wanted")
    assert (chat.model, chat.stream, len(chat.messages)) == ("m", False, 5)
    assert chat.finished == chat.wait() == "complete"
    assert (models.route, models.body, models.model, models.messages) == (
        "GET /models",
        b"",
        None,
        [],
    )
    assert chat.at <= models.at


def test_request_can_be_built_for_tests_of_predicates() -> None:
    body = {"model": "m", "messages": [{"role": "system", "content": "Judge"}]}
    request = Request("POST", "/v1/chat/completions", {}, body, at=0.0)
    assert (request.system, request.last_user, request.finished) == ("Judge", "", "open")
    assert request.schema_name is None


def _raise(request: Request) -> str:
    raise LookupError("no such plan")


def _fail(request: Request) -> str:
    pytest.fail("not expected")


def _exhausted(request: Request) -> str:
    raise StopIteration


def _number(request: Request) -> str:
    return 3  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        (_raise, LookupError, "no such plan"),
        (_fail, pytest.fail.Exception, "not expected"),
        (_exhausted, StopIteration, "StopIteration"),
        (_number, ConfigurationError, "cannot reply with a int"),
    ],
)
def test_callable_that_fails_is_a_500_and_remembered(
    provider: EmbeddedProvider,
    client: OpenAI,
    answer: Any,
    kind: type[BaseException],
    text: str,
) -> None:
    provider.reply(answer)
    with pytest.raises(openai.InternalServerError, match=text):
        ask(client)
    assert [type(error) for error in provider.errors] == [kind]
    assert said(client) == "You said: hi"


def test_predicate_that_raises_is_a_500_and_remembered(
    provider: EmbeddedProvider, client: OpenAI
) -> None:
    provider.when(_raise, "never")
    with pytest.raises(openai.InternalServerError, match="LookupError: no such plan"):
        ask(client)
    assert isinstance(provider.errors[0], LookupError)


def test_predicates_and_callables_may_use_the_provider(
    provider: EmbeddedProvider, client: OpenAI
) -> None:
    def nested(request: Request) -> str:
        return said(client, "inner")

    provider.when(lambda request: len(provider.calls) == 1, nested, times=1)
    assert said(client) == "You said: inner"


def test_callables_run_at_once(provider: EmbeddedProvider, client: OpenAI) -> None:
    together = threading.Barrier(8, timeout=30)
    provider.when(lambda request: True, lambda request: str(together.wait()))
    answers: list[str] = []
    threads = [
        threading.Thread(target=lambda: answers.append(said(client)))
        for _ in range(together.parties)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [str(number) for number in range(8)]


def test_reset_forgets_everything(provider: EmbeddedProvider, client: OpenAI) -> None:
    provider.reply(_raise)
    with pytest.raises(openai.InternalServerError):
        ask(client)
    provider.reply("queued")
    provider.when("", "ruled")
    provider.fault(Fault.status(503))
    provider.reset()
    assert (provider.requests, provider.errors) == ([], [])
    assert said(client) == "You said: hi"


def test_provider_can_start_again_and_keeps_its_record() -> None:
    provider = EmbeddedProvider()
    for _ in range(2):
        with provider:
            httpx.get(f"{provider.host}/models")
    provider.stop()
    assert len(provider.requests) == 2


def test_wrong_arguments_name_the_field() -> None:
    provider = EmbeddedProvider()
    wrong: list[tuple[str, Any]] = [
        ("answer", lambda: provider.reply(3)),  # type: ignore[arg-type]
        ("answer", lambda: provider.reply(Judgement)),  # type: ignore[arg-type]
        ("answer", lambda: provider.when("x", [])),
        ("times", lambda: provider.when("x", "y", times=0)),
        ("times", lambda: provider.fault(Fault.reset(), times=0)),
        ("fault", lambda: provider.fault("reset")),  # type: ignore[arg-type]
        ("delay", lambda: Reply("x", delay=-1)),
        ("token_delay", lambda: Reply("x", token_delay=float("nan"))),
        ("chunk_size", lambda: Reply("x", chunk_size=0)),
        ("chunks", lambda: Reply("x", chunks=["y"])),
        ("not started", lambda: provider.url),
    ]
    for name, attempt in wrong:
        with pytest.raises(ConfigurationError, match=name):
            attempt()


def test_starting_twice_is_refused(provider: EmbeddedProvider) -> None:
    with pytest.raises(ConfigurationError, match="started already"):
        provider.start()
