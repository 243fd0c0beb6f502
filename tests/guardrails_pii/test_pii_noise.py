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
        ("...", "ORG"),
        ("a=b", "ORG"),
        ("DD", "GPE"),
        ("Zorvan Qilt Ona Varn Ulm", "PERSON"),
        ("Ingrid Insurance", "PERSON"),
        ("The", "PERSON"),
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
        ("Zahlung an Zorvan Qilt", "PERSON", [("Zorvan Qilt", "PERSON")]),
        ("Zorvan van Qilt", "PERSON", [("Zorvan van Qilt", "PERSON")]),
        ("Zorvan. Ask", "PERSON", [("Zorvan", "PERSON")]),
        ("V. Zorvan", "PERSON", [("V. Zorvan", "PERSON")]),
        ("Zorvan's", "PERSON", [("Zorvan", "PERSON")]),
        ("Hola Zorvan", "PERSON", [("Zorvan", "PERSON")]),
        ("ZORVANQ", "PERSON", [("ZORVANQ", "PERSON")]),
        ("Qilt Works", "ORG", [("Qilt Works", "ORGANIZATION")]),
        ("May 5", "DATE", [("May 5", "DATE_TIME")]),
        ("Qiltish", "NORP", [("Qiltish", "NRP")]),
    ],
)
def test_what_is_sound_is_kept_within_its_edges(
    text: str, label: str, left: list[tuple[str, str]]
) -> None:
    assert kept(text, text, label) == left


@pytest.mark.parametrize(
    ("text", "value", "label"),
    [
        ("the Zorvan squad", "Zorvan", "GPE"),
        ("the Zorvan guild", "Zorvan", "PERSON"),
        ("Zorvan 2.17.1", "Zorvan", "GPE"),
        ("Feb 2", "Feb", "PERSON"),
        ("const Zorvan = make();", "Zorvan", "PERSON"),
        ("import { Zorvan } from x", "Zorvan", "GPE"),
        ("x\nexport class Zorvan {\n y", "Zorvan", "PERSON"),
    ],
)
def test_what_stands_beside_it_tells_a_thing(text: str, value: str, label: str) -> None:
    assert kept(text, value, label) == []


@pytest.mark.parametrize(
    ("text", "value", "whole"),
    [
        ("the Ingrid squad", "Ingrid", "Ingrid"),
        ("the Zorvan Qilt squad", "Zorvan Qilt", "Zorvan Qilt"),
        ("with A. J. Zorvan", "J. Zorvan", "A. J. Zorvan"),
        ("with A. J. Zorvan", "Zorvan", "A. J. Zorvan"),
        ('const a = "Zorvan";', "Zorvan", "Zorvan"),
        ("const a = 1; // Zorvan;", "Zorvan", "Zorvan"),
        ("let me ask Zorvan", "Zorvan", "Zorvan"),
        ("class of Zorvan", "Zorvan", "Zorvan"),
    ],
)
def test_a_name_is_kept_where_it_stands(text: str, value: str, whole: str) -> None:
    assert kept(text, value, "PERSON") == [(whole, "PERSON")]


def test_a_place_with_the_name_of_a_person_is_less_sure() -> None:
    scores = [sound(text, [(0, len(text), "GPE")])[0].score for text in ("Ingrid", "Qilton")]
    assert scores[0] < scores[1]
