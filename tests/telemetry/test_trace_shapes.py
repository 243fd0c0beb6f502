"""One trace for each run, with everything in its place, in every shape and in all four forms."""

from __future__ import annotations

from pathlib import Path

import pytest
from seen_spans import Seen, Spans, attribute
from shapes import FORMS, SHAPES, USED, Shape, Stage, governed, refused

from agno_portkey.telemetry import names
from agno_portkey.testing import EmbeddedProvider


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", SHAPES)
def test_the_shape_of_a_trace(
    name: str, form: str, seen: Seen, portkey_provider: EmbeddedProvider, tmp_path: Path
) -> None:
    shape = SHAPES[name]
    shape.play(Stage(portkey_provider, tmp_path), form)
    spans = seen.spans()
    assert spans.traces == shape.traces, spans.roots
    assert len(spans.roots) == shape.traces
    assert set(shape.edges) <= spans.edges()
    _places(spans)
    _counts(spans, shape, len(portkey_provider.calls))
    assert sorted(spans.failed()) == sorted(shape.failed)


@pytest.mark.parametrize("form", FORMS)
def test_an_output_that_is_refused_stays_in_its_trace(
    form: str, seen: Seen, portkey_provider: EmbeddedProvider, tmp_path: Path
) -> None:
    refused(Stage(portkey_provider, tmp_path), form)
    spans = seen.spans()
    assert spans.traces == 1
    assert ("chat", "contract") in spans.edges()
    assert "invoke_agent Helper" in spans.failed()


@pytest.mark.parametrize("form", FORMS)
def test_the_trace_of_a_governed_team(
    form: str, seen: Seen, portkey_provider: EmbeddedProvider, tmp_path: Path
) -> None:
    governed(Stage(portkey_provider, tmp_path), form)
    spans = seen.spans()
    assert spans.traces == 1
    assert spans.roots == ["invoke_agent Release"]
    _places(spans)
    found = {(parent, span) for parent, span in spans.edges()}
    assert {
        ("invoke_agent", "gate"),
        ("chat", "guard"),
        ("chat", "contract"),
        ("invoke_agent", "judgement"),
        ("execute_tool", "tool"),
    } <= found
    gates = [attribute(span, "gate.decision") for span in spans.named("gate ")]
    assert gates == ["refused", "passed"]
    # The Runner that was refused; the team has its result.
    assert set(spans.failed()) == {"invoke_agent Runner"}
    for span in spans:
        assert attribute(span, f"{names.OURS}swarm") == "Release", span.name
        assert attribute(span, f"{names.OURS}cost_center") == "cc-7", span.name


def _places(spans: Spans) -> None:
    """Each call stands in the run of who makes it, and each attempt in its call."""
    for span in spans:
        assert not attribute(span, names.CANCELLED), span.name
        parent = spans.parent(span)
        if span.name.startswith("attempt "):
            assert parent is not None
            assert parent.name.startswith("chat ")
        elif span.name.startswith("chat ") and parent is not None:
            role = attribute(span, f"{names.OURS}role")
            assert parent.name == f"invoke_agent {role}"
        elif span.name.startswith("execute_tool "):
            assert parent is not None
            assert parent.name.startswith("invoke_agent ")


def _counts(spans: Spans, shape: Shape, requests: int) -> None:
    assert len(spans.named("chat ")) == shape.calls
    attempts = shape.calls if shape.attempts is None else shape.attempts
    assert len(spans.named("attempt ")) == attempts
    assert requests == attempts
    answered = shape.answered
    if answered is None:
        answered = attempts - sum(name.startswith("attempt ") for name in shape.failed)
    assert spans.tokens() == (
        answered * USED.prompt_tokens,
        answered * USED.completion_tokens,
    )
