"""A text that is streamed is shown as it is whole, however it is cut."""

from __future__ import annotations

import copy
import itertools
import pickle
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vault_texts import FORMS, TEXTS, name

from agno_portkey.guardrails.pii.restore import LONGEST_KIND, MOST, Restorer
from agno_portkey.guardrails.pii.vault import Vault


def streamed(vault: Vault, chunks: list[str]) -> str:
    restorer = vault.restorer()
    shown = []
    for chunk in chunks:
        shown.append(restorer.feed(chunk))
        held = int(re.findall(r"\d+", repr(restorer))[0])
        assert held <= 40
    return "".join((*shown, restorer.end()))


def filled() -> Vault:
    vault = Vault()
    vault.hide("Alice", name("Alice", "Alice"))
    vault.hide("<PERSON_1>")
    return vault


@given(TEXTS, st.data())
def test_a_stream_is_the_whole_text(text: str, data: st.DataObject) -> None:
    vault = filled()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    chunks = [text[a:b] for a, b in itertools.pairwise([0, *cuts, len(text)])]
    assert streamed(vault, chunks) == vault.show(text)


@given(TEXTS)
def test_a_stream_of_single_characters_is_the_whole_text(text: str) -> None:
    vault = filled()
    assert streamed(vault, [*text]) == vault.show(text)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("after", ["", " ", "(", "x", "@", " &gt", "\\u003", "]", ">", "PERSON_1"])
def test_every_two_cuts(form: str, after: str) -> None:
    vault = filled()
    text = f"to {form}{after} and"
    whole = vault.show(text)
    for a, b in itertools.combinations_with_replacement(range(len(text) + 1), 2):
        assert streamed(vault, [text[:a], text[a:b], text[b:]]) == whole


def test_plain_text_is_not_held() -> None:
    restorer = filled().restorer()
    assert restorer.feed("Dear friend, I am ") == "Dear friend, I am "
    assert restorer.feed("well") == "well"
    assert restorer.feed(" <PERS") == " "
    assert restorer.feed("ON_1>") == "Alice"
    assert restorer.end() == ""


def test_what_a_placeholder_means_is_fixed_when_the_stream_begins() -> None:
    vault = filled()
    restorer = vault.restorer()
    vault.hide("Bob", name("Bob", "Bob"))
    assert restorer.feed("<PERSON_1> <PERSON_2>") + restorer.end() == "Alice <PERSON_2>"


def test_nothing_shows_a_value() -> None:
    vault = filled()
    for each in (vault, vault.restorer(), vault._book, Restorer({("PERSON", 1): "Alice"})):
        assert "Alice" not in repr(each)
    assert copy.deepcopy(vault) is vault
    with pytest.raises(TypeError, match="stays in its process"):
        pickle.dumps(vault)


@pytest.mark.parametrize("form", ["<{}>", "< {} >", "&lt; {} &gt;", "\\u003c {} \\u003e", "[{}]"])
def test_the_longest_placeholder_is_held_wherever_it_is_cut(form: str) -> None:
    kind = "K" * LONGEST_KIND
    text = f"to {form.format(f'{kind}_{MOST}')}, then"
    for cut in range(len(text)):
        restorer = Restorer({(kind, MOST): "Ann"}, {kind})
        shown = restorer.feed(text[:cut]) + restorer.feed(text[cut:]) + restorer.end()
        assert shown == "to Ann, then"
