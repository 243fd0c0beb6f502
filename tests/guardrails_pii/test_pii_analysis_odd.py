"""Texts, recognisers and threads that would have an `Analyzer` fail, hang or miss something."""

from __future__ import annotations

import base64
import os
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pii_found import MAIL, shown

from agno_portkey.errors import AnalysisFailed
from agno_portkey.guardrails.pii import analysis
from agno_portkey.guardrails.pii.analysis import Analyzer
from agno_portkey.guardrails.pii.detector import Detector


@pytest.mark.parametrize(
    "text",
    [
        " " * 1_000_000,
        "(" * 300_000,
        '"' * 300_000,
        "x" * 300_000,
        "\n" * 300_000,
        "\u200b" * 300_000,
        "\u0627\u202e" * 100_000,
        '{"a":' * 1000 + "1" + "}" * 1000,
        "漢字" * 100_000,
    ],
)
def test_hostile_texts_end_and_hide_nothing(analyzer: Analyzer, text: str) -> None:
    value = "anna@corp.internal"
    hidden = f"{text} {value} {text}"
    assert any(hidden[span.start : span.end] == value for span in analyzer.spans(hidden))


@pytest.mark.parametrize(
    "text",
    [
        "\ud800 Anna Becker \udfff",
        "An\u200bna Bec\u200dker",
        "\u202eAnna Becker\u202c",
        "x " * 30_000 + "Anna Becker" + " y" * 30_000,
    ],
)
def test_a_name_is_found_in_whatever_is_around_it(analyzer: Analyzer, text: str) -> None:
    spans = [span for span in analyzer.spans(text) if span.type == "PERSON"]
    plain = text[spans[0].start : spans[0].end].replace("\u200b", "").replace("\u200d", "")
    assert plain == "Anna Becker"


def test_blocks_of_a_long_text_make_up_the_text_and_overlap() -> None:
    text = ("word " * 2000 + "\n") * 20 + "x" * 120_000
    blocks = analysis._blocks(text)
    covered = 0
    for begin, part in blocks:
        assert text.startswith(part, begin)
        assert 0 < len(part) <= analysis.BLOCK
        assert begin == 0 or covered - analysis.OVERLAP <= begin < covered
        covered = begin + len(part)
    assert covered == len(text)


@pytest.mark.parametrize("value", ["Project Blue Bird", "EMP 12345"])
def test_what_stands_at_the_border_of_two_blocks_is_found(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(analysis, "BLOCK", 2_000)  # read sooner than 50,000
    badge = {"name": "badge", "regex": r"EMP \d{5}", "score": 0.9}
    one = {"name": "Badges", "supported_entity": "BADGE", "supported_language": "en"}
    analyzer = Analyzer(
        ["US_SSN"],
        recognizers={"recognizers": [{**one, "patterns": [badge]}]},
        deny_list=["Project Blue Bird"],
    )
    words = "a quick word " * 200
    for shift in range(len(value) + 2):
        before = words[: analysis.BLOCK - shift - 1]
        text = f"{before} {value} and so on"
        assert [text[span.start : span.end] for span in analyzer.spans(text)] == [value]


@pytest.mark.parametrize(("start", "end"), [(-3, 4), (5, 5), (6, 2), (0, 9_999), ("0", 4)])
def test_a_recogniser_that_tells_of_other_places_fails(start: Any, end: Any) -> None:
    from presidio_analyzer import EntityRecognizer, RecognizerResult

    class Lying(EntityRecognizer):
        def load(self) -> None:
            """Nothing."""

        def analyze(self, text: str, entities: list[str], nlp_artifacts: Any) -> list[Any]:
            return [RecognizerResult("ODD", start, end, 0.9)]

    analyzer = Analyzer(["US_SSN"], deny_list=["x"])
    analyzer.own = [Lying(["ODD"], name="lying")]
    with pytest.raises(AnalysisFailed):
        analyzer.spans("Ann was here")


def test_a_recogniser_that_is_no_pattern_is_given_the_words() -> None:
    from presidio_analyzer import EntityRecognizer, RecognizerResult

    class Capitals(EntityRecognizer):
        """Takes words in capitals for codes; and says None where there are none."""

        def load(self) -> None:
            """Nothing."""

        def analyze(self, text: str, entities: list[str], nlp_artifacts: Any) -> Any:
            found = [
                RecognizerResult("CODE", token.idx, token.idx + len(token), 0.9)
                for token in nlp_artifacts.tokens
                if token.text.isupper()
            ]
            return found or None

    analyzer = Analyzer(["US_SSN"], deny_list=["x"])
    analyzer.own = [Capitals(["CODE"], name="one"), Capitals(["CODE"], name="two")]
    assert shown(analyzer, "the word is BLUE here") == [("BLUE", "CODE")]
    assert shown(analyzer, "no word is here") == []


def test_a_plain_engine_without_names_finds_the_same() -> None:
    from agno_portkey.guardrails.pii.engine import plain_engine

    analyzer = Analyzer(["EMAIL_ADDRESS"], deny_list=["blue"])
    [told] = plain_engine(analyzer).analyze(MAIL, "en")
    assert [(told.start, told.end)] == [(span.start, span.end) for span in analyzer.spans(MAIL)]


def test_a_text_that_takes_too_long_fails() -> None:
    with pytest.raises(AnalysisFailed, match="takes more than"):
        Analyzer(seconds=0.000001).spans("Anna " * 200)


def test_the_time_of_a_text_is_that_of_what_is_encoded_in_it_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Clock:
        now = 0.0

        def monotonic(self) -> float:
            return self.now

    class Slow(Detector):
        type = "US_SSN"

        def look(self, text: str) -> Iterator[tuple[int, int, float]]:
            clock.now += 1.0
            yield from ()

    clock, analyzer = Clock(), Analyzer(["US_SSN"], seconds=3.5)
    monkeypatch.setattr(analysis, "time", clock)
    analyzer.detectors = [Slow()]
    one = base64.b64encode(b"what is written in here").decode()
    assert analyzer.spans(f"{one} and {one}") == ()
    with pytest.raises(AnalysisFailed, match="takes more than"):
        analyzer.spans(" and ".join([one] * 9))
    assert clock.now < 9


def test_whatever_breaks_inside_fails_as_one_error() -> None:
    class Broken(Analyzer):
        def _find(self, text: str) -> Any:
            raise SystemExit(1)

    with pytest.raises(AnalysisFailed, match="SystemExit"):
        Broken(["US_SSN"]).spans("x")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(st.characters(), max_size=120))
def test_any_text_has_spans_in_order_within_it(text: str) -> None:
    end = 0
    for span in _SHARED.spans(text):
        assert end <= span.start < span.end <= len(text)
        end = span.end


_SHARED = Analyzer()


# Threads and processes


def test_many_threads_get_the_same(analyzer: Analyzer) -> None:
    texts = [f"Anna Becker wrote {number}" for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(analyzer.spans, texts))
    assert all(spans[0].end == 11 for spans in found)


def test_a_forked_process_can_go_on(analyzer: Analyzer) -> None:
    analyzer.spans("Anna Becker was here")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        child = os.fork()
    if child == 0:
        found = analyzer.spans("Anna Becker was forked")
        os._exit(0 if found and found[0].type == "PERSON" else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
