"""What may leave the process of a span, and what may not, whoever made it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Status, StatusCode

from agno_portkey.telemetry import names
from agno_portkey.telemetry.exporting import Allowed

WORDS = "the codename is bluebird"


def _exported(attributes: Mapping[str, object], name: str = "chat m") -> ReadableSpan:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(Allowed(exporter)))
    linked = trace.Link(trace.INVALID_SPAN_CONTEXT, {"said": WORDS})
    span = provider.get_tracer("any").start_span(name, links=[linked])
    for key, value in attributes.items():
        span.set_attribute(key, value)  # type: ignore[arg-type]
    span.record_exception(ValueError(WORDS))
    span.set_status(Status(StatusCode.ERROR, WORDS))
    span.end()
    [exported] = exporter.get_finished_spans()
    return exported


@pytest.mark.parametrize(
    "name",
    [
        "gen_ai.tool.args",
        "gen_ai.tool.call.arguments",
        "gen_ai.tool.call.result",
        "gen_ai.tool.definitions",
        "gen_ai.tool.description",
        "gen_ai.agent.description",
        "gen_ai.input.messages",
        "gen_ai.output.messages",
        "gen_ai.system_instructions",
        "gen_ai.prompt",
        "exception.message",
        "http.url",
        "user.id",
    ],
)
def test_what_is_not_on_the_list_stays(name: str) -> None:
    # Of one word, so that its form does not keep it.
    assert name not in (_exported({name: "bluebird"}).attributes or {})


def test_exceptions_descriptions_and_links_stay() -> None:
    span = _exported({})
    assert span.status.status_code is StatusCode.ERROR
    assert WORDS not in span.to_json()
    assert not span.events
    assert not span.links


@pytest.mark.parametrize("value", [WORDS, "x" * 201, "two\nlines", "\x1b[2J", ("a", "b")])
def test_a_text_that_can_be_no_name_stays(value: object) -> None:
    for name in (names.RESPONSE_MODEL, f"{names.OURS}target"):
        assert name not in (_exported({name: value}).attributes or {})


@pytest.mark.parametrize("said", ["代号是蓝鸟", "x" * 129, ""])
@pytest.mark.parametrize(
    "name", [names.RESPONSE_MODEL, "gen_ai.response.id", "gen_ai.tool.call.id"]
)
def test_what_a_provider_says_is_no_sentence_without_blanks(name: str, said: str) -> None:
    assert name not in (_exported({name: said}).attributes or {})
    assert (_exported({name: "gpt-4o:2024"}).attributes or {})[name] == "gpt-4o:2024"


@pytest.mark.parametrize("figure", [10**40, -(10**40), float("nan"), float("inf")])
def test_a_figure_that_nobody_can_write_stays(figure: float) -> None:
    assert not _exported({"gate.score": figure}).attributes


def test_a_title_may_have_blanks() -> None:
    span = _exported({f"{names.OURS}role": "Release Planner"})
    assert (span.attributes or {})[f"{names.OURS}role"] == "Release Planner"


def test_who_is_no_call_counts_no_tokens() -> None:
    used = {names.INPUT_TOKENS: 3, names.COST: 0.5}
    assert not _exported(used).attributes
    call = _exported({**used, names.KIND: "call"}).attributes or {}
    assert call[names.INPUT_TOKENS] == 3


@given(st.text())
def test_a_span_is_named_by_what_can_be_a_name(name: str) -> None:
    told = _exported({}, name).name
    assert told.isprintable() or told == ""
    assert len(told) <= 200
