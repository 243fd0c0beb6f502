"""What observers hear of, as spans: named, tagged, marked, and without anybody's words."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from seen_spans import Seen, attribute

from agno_portkey.telemetry import names
from agno_portkey.verdict import Event, Verdict, heard, tell

WORDS = "the codename is bluebird"
OURS = names.OURS


def _span(seen: Seen, event: Event) -> ReadableSpan:
    tell((), event)
    [span] = seen.spans()
    return span


@pytest.mark.parametrize(
    ("event", "name"),
    [
        (Event("guard", verdict=Verdict(True, "PIIGuardrail")), "guard PIIGuardrail"),
        (Event("gate", verdict=Verdict(True, "ship")), "gate ship"),
        (Event("contract", data={"rung": "repaired"}), "contract repaired"),
        (Event("contract", verdict=Verdict(False, "Plan")), "contract Plan"),
        (Event("cache", data={"outcome": "hit"}), "cache hit"),
        (Event("circuit", data={"target": "openai", "state": "open"}), "circuit openai"),
        (Event("embedding", data={"model": "e-3"}), "embedding e-3"),
        (Event("batch", data={"what": "fetched"}), "batch fetched"),
        (Event("tool", data={"tool": "deploy"}), "tool deploy"),
        (Event("search"), "search"),
        (Event("plan"), "plan"),
    ],
)
def test_each_has_a_name(seen: Seen, event: Event, name: str) -> None:
    span = _span(seen, event)
    assert span.name == name
    assert attribute(span, names.KIND) == event.kind


@pytest.mark.parametrize("kind", ["call", "attempt"])
def test_what_has_a_span_already_gets_no_other(seen: Seen, kind: str) -> None:
    tell((), Event(kind))
    assert not [*seen.spans()]


@pytest.mark.parametrize("kind", ["guard", "contract", "tool", "declined", "stop"])
def test_a_refusal_is_marked(seen: Seen, kind: str) -> None:
    refused = Verdict(False, "who", reasons=(WORDS,))
    span = _span(seen, Event(kind, verdict=refused, data={"mode": "enforce"}))
    assert span.status.status_code.name == "ERROR"
    observed = _span(seen, Event(kind, verdict=refused, data={"mode": "observe"}))
    assert observed.status.status_code.name == "UNSET"
    passed = _span(seen, Event(kind, verdict=Verdict(True, "who"), data={"mode": "enforce"}))
    assert passed.status.status_code.name == "UNSET"


def test_a_gates_no_is_a_decision(seen: Seen) -> None:
    verdict = Verdict(False, "ship", reasons=(WORDS,), score=0.25)
    span = _span(seen, Event("gate", "Judge", "Release", "r-1", verdict, {"mode": "enforce"}))
    assert span.status.status_code.name == "UNSET"
    assert attribute(span, "gate.decision") == "refused"
    assert attribute(span, "gate.score") == 0.25
    assert attribute(span, f"{OURS}role") == "Judge"
    assert attribute(span, f"{OURS}swarm") == "Release"
    assert attribute(span, names.RUN_ID) == "r-1"


def test_it_lasts_as_long_as_it_says(seen: Seen) -> None:
    span = _span(seen, Event("guard", data={"seconds": 0.5}))
    assert (span.end_time or 0) - (span.start_time or 0) == 500_000_000


def test_its_tags_are_on_it(seen: Seen) -> None:
    tags = {"cost_center": "cc-7", "session": "s-1", "free": WORDS}
    span = _span(seen, Event("cache", data={"outcome": "hit", "tags": tags}))
    assert attribute(span, f"{OURS}cost_center") == "cc-7"
    assert WORDS not in span.to_json()


def test_none_of_anybodys_words_are_on_it(seen: Seen) -> None:
    data: dict[str, Any] = dict.fromkeys(
        ("issues", "reason", "reasons", "changes", "said", "answer"), WORDS
    )
    data |= {"nested": {"said": WORDS}, "list": [WORDS], "score": 3}
    verdict = Verdict(False, "who", reasons=(WORDS,), evidence={"said": WORDS})
    span = _span(seen, Event("guard", verdict=verdict, data=data))
    assert "bluebird" not in span.to_json()
    assert attribute(span, f"{OURS}score") == 3


def test_what_failed_says_with_what(seen: Seen) -> None:
    span = _span(seen, Event("embedding", data={"error": "RateLimited"}))
    assert attribute(span, names.ERROR_TYPE) == "RateLimited"
    assert span.status.status_code.name == "ERROR"


def test_an_event_after_the_end_is_nobodys(seen: Seen) -> None:
    seen.telemetry.shutdown()
    tell((), Event("plan"))
    assert not seen.exporter.get_finished_spans()


def test_calls_and_attempts_are_not_told_to_a_trace_alone(seen: Seen) -> None:
    assert [heard((), kind) for kind in ("call", "attempt", "guard", None)] == [
        *(False, False),
        *(True, True),
    ]
    tell((), Event("call"))
    tell((), Event("circuit", data={"target": "one"}))
    assert [span.name for span in seen.spans()] == ["circuit one"]
    assert heard((lambda event: None,), "call")
