"""Placeholders in an answer that is cut into pieces: it is shown as the whole one is."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from agno.models.message import Message
from agno.models.response import ModelResponse
from agno.run.agent import RunOutput
from hypothesis import example, given
from hypothesis import strategies as st
from vault_texts import name

from agno_portkey.calls import Call
from agno_portkey.drivers import SyncIO, drive
from agno_portkey.guardrails import Guard, SecretsGuardrail
from agno_portkey.guardrails.layer import guard_layer
from agno_portkey.guardrails.pii import Analyzer, PIIGuardrail
from agno_portkey.pipeline import compose

PEOPLE = [f"Person {letter}" for letter in "ABCDEFGHIJKL"]
# Whole ones, what may be the beginning of one, and what ends or breaks it.
PARTS = """
<PERSON_1> <PERSON_12> PERSON_1 [PERSON_1] <_PERSON_1_> &lt;PERSON_1&gt; &lt;_PERSON_1_&gt;
\\u003cPERSON_1\\u003e \\u003c_PERSON_1_\\u003e \\u003c_PERSON_1_> <PERSON_1 <PERSON_1_&gt;
<person_1> _ _ _ _ . ._ ! x 1 @ ( < <_ [ & &lt \\ \\u00 PERSON 字 é
"""
FRAGMENTS = [each.replace("_P", " P").replace("1_", "1 ") for each in PARTS.split()]
FRAGMENTS = [" " if each == "_" else each.replace("._", ". ") for each in FRAGMENTS]
# Long runs bring a piece to its limits: without white space, and with it.
RUNS = st.builds(
    lambda text, times: text * times,
    st.sampled_from(["字", "x", "word ", "<", "P"]),
    st.sampled_from([*range(225, 245), *range(915, 965)]),
)
TEXTS = st.builds(
    lambda *parts: "".join(each for part in parts for each in part),
    st.lists(st.sampled_from(FRAGMENTS), max_size=6),
    st.lists(RUNS, max_size=2),
    st.lists(st.sampled_from(FRAGMENTS), max_size=6),
)


class FindsNothing(Analyzer):
    def spans(self, text: str) -> tuple[Any, ...]:
        return ()


def filled(**settings: Any) -> PIIGuardrail:
    guard = PIIGuardrail("pseudonymize", analyzer=FindsNothing(), **settings)
    assert guard.vaults is not None
    vault = guard.vaults.of("s", None)
    for each in PEOPLE:
        vault.hide(each, name(each, each))
    return guard


FORMS = ["<PERSON_12>", "&lt; PERSON_12 &gt;", "\\u003c PERSON_12 \\u003e"]
# Alone an answer goes word by word, beside the other by sentences.
GUARDS: dict[str, list[Guard]] = {
    "word": [filled()],
    "eager": [filled(stream="eager")],
    "segment": [filled(stream="segment")],
    "beside secrets": [SecretsGuardrail(), filled()],
}


def shown(guards: list[Guard], chunks: list[str], *, stream: bool = True) -> str:
    async def answer(call: Call) -> Any:
        for chunk in chunks:
            yield ModelResponse(content=chunk)

    run = RunOutput(run_id="r", session_id="s")
    asked = [Message(role="user", content="Hi")]
    call = Call(asked, Message(role="assistant"), run_response=run, stream=stream)
    told = drive(compose([guard_layer(guards)], SyncIO(), answer)(call))
    return "".join(delta.content or "" for delta in told)


@pytest.mark.parametrize("kind", GUARDS)
@given(TEXTS, st.lists(st.integers(0, 2_500), max_size=8))
@example("字" * 950 + "<PERSON_12>" + "字" * 30, [])
@example("字" * 957 + "<PERSON_12>" + "字" * 30, [3, 959])
@example("&lt; PERSON_1 &gt; and \\u003c PERSON_1 \\u003e", [])
@example("word " * 46 + "<PERSON_12> < PERSON_1 > and so on", [240])
def test_a_stream_is_shown_as_the_whole_answer_is(kind: str, text: str, cuts: list[int]) -> None:
    whole = shown(GUARDS[kind], [text], stream=False)
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    assert shown(GUARDS[kind], [text[a:b] for a, b in pairwise(places)]) == whole
    assert shown(GUARDS[kind], [text]) == whole


@pytest.mark.parametrize("kind", GUARDS)
@pytest.mark.parametrize(
    "form", ["<PERSON_12>", "&lt; PERSON_12 &gt;", "\\u003c PERSON_12 \\u003e"]
)
@pytest.mark.parametrize("run", ["字", "word "])
def test_wherever_it_stands_it_is_the_person_that_it_names(kind: str, form: str, run: str) -> None:
    for length in [*range(200, 242), *range(915, 963)]:
        before = (run * length)[:length]
        behind = "字" * 30 + " and so on " * 20
        assert shown(GUARDS[kind], [before + form + behind]) == before + "Person L" + behind
