"""What a language model takes for a name or a place, and is none."""

from __future__ import annotations

import pytest

from agno_portkey.guardrails.pii.noise import sound


def kept(text: str, value: str, label: str) -> list[tuple[str, str]]:
    start = text.index(value)
    spans = sound(text, [(start, start + len(value), label)])
    return [(text[span.start : span.end], span.type) for span in spans]


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("Kubernetes", "PERSON"),
        ("DataLoader", "PERSON"),
        ("ABC", "PERSON"),
        ("zorvan", "PERSON"),
        ("Plan Zorvan", "PERSON"),
        ("a=Zorvan(1)", "PERSON"),
        ("One Two Three Four Five", "PERSON"),
        ("Postgres", "GPE"),
        ("v2:east", "GPE"),
        ("abc", "GPE"),
        ("The Plan", "GPE"),
        ("Model", "ORG"),
        ("30 days", "DATE"),
        ("the last Sunday", "DATE"),
        ("--", "PERSON"),
        ("7", "CARDINAL"),
    ],
)
def test_noise_is_dropped(text: str, label: str) -> None:
    assert kept(text, text, label) == []


def test_a_name_within_an_identifier_is_dropped() -> None:
    assert kept("run zap_Zorvan now", "Zorvan", "PERSON") == []
    assert kept("Zorvan(1)", "Zorvan", "GPE") == []


@pytest.mark.parametrize(
    ("text", "label", "left"),
    [
        ("Zorvan Qilt", "PERSON", [("Zorvan Qilt", "PERSON")]),
        ("Dr. Zorvan Qilt's", "PERSON", [("Zorvan Qilt", "PERSON")]),
        ("the producer Zorvan", "PERSON", [("Zorvan", "PERSON")]),
        ("Zorvan's Tales", "PERSON", [("Zorvan", "PERSON")]),
        ("Zorvan\nQilt", "PERSON", [("Zorvan", "PERSON"), ("Qilt", "PERSON")]),
        ("McQilt", "PERSON", [("McQilt", "PERSON")]),
        ("(Zorvan)", "PERSON", [("Zorvan", "PERSON")]),
        ("New Zealand", "PERSON", [("New Zealand", "LOCATION")]),
        ("Ingrid", "GPE", [("Ingrid", "LOCATION")]),
        ("Zorvan Town", "LOC", [("Zorvan Town", "LOCATION")]),
        ("Qilt Works", "ORG", [("Qilt Works", "ORGANIZATION")]),
        ("May 5", "DATE", [("May 5", "DATE_TIME")]),
        ("Qiltish", "NORP", [("Qiltish", "NRP")]),
    ],
)
def test_what_is_sound_is_kept_within_its_edges(
    text: str, label: str, left: list[tuple[str, str]]
) -> None:
    assert kept(text, text, label) == left
