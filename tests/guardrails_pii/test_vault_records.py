"""Any record is stored without values, and comes back as it was."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from agno.media import File
from agno.run.agent import RunOutput
from hypothesis import given
from hypothesis import strategies as st
from vault_records import ALICE, CARD, Form, a_run, a_session
from vault_sessions import tell

from agno_portkey.guardrails.passages import Unreadable
from agno_portkey.guardrails.pii.records import mapped
from agno_portkey.guardrails.pii.vault import Vault


def knowing() -> Vault:
    vault = Vault()
    tell(vault, ALICE)
    tell(vault, str(CARD), "CREDIT_CARD")
    return vault


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.sampled_from([ALICE, CARD, "<#i7#>", "<#@f7#>", "<#ix#>", f"<#i{CARD}#>", f"a {CARD}"]),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.just(ALICE), inner),
    max_leaves=12,
)


@given(VALUES)
def test_any_plain_data_comes_back(value: Any) -> None:
    vault = knowing()
    before = copy.deepcopy(value)
    stored = mapped([value], vault.keep, writing=True)
    assert value == before
    assert ALICE not in repr(stored)
    back = mapped(stored, vault.restore, writing=False)
    assert back == [value]
    assert repr(back) == repr([value])


def test_models_of_the_user_and_files_come_back() -> None:
    vault = knowing()
    run = RunOutput(content=Form(to=ALICE, card=CARD), files=[File(content=ALICE.encode())])
    stored = mapped(run, vault.keep, writing=True)
    assert run.content == Form(to=ALICE, card=CARD)
    assert stored.content.to.startswith("<PERSON_1@")
    assert str(CARD) not in stored.content.card
    assert b"Alice" not in stored.files[0].content
    back = mapped(stored, vault.restore, writing=False)
    assert (back.content, back.files[0].content) == (run.content, ALICE.encode())
    image = b"\x89PNG\xff" + ALICE.encode()
    assert mapped(image, vault.keep, writing=True) == image


def test_ids_stay() -> None:
    vault = knowing()
    run = RunOutput(run_id=ALICE, session_id=ALICE, user_id=ALICE, content=ALICE)
    stored = mapped(run, vault.keep, writing=True)
    assert (stored.run_id, stored.session_id, stored.user_id) == (ALICE,) * 3
    row = {"id": ALICE, "user_id": ALICE, "created_at": CARD, "size": CARD, "text": ALICE}
    kept = mapped(row, vault.keep, writing=True)
    assert {**kept, "text": ALICE} == row
    assert kept["text"] != ALICE


def test_what_is_too_deep_is_not_stored() -> None:
    deep: Any = ALICE
    for _ in range(200):
        deep = [deep]
    with pytest.raises(Unreadable, match="nested"):
        mapped(deep, knowing().keep, writing=True)


def test_a_session_of_twenty_turns_is_looked_at_once() -> None:
    vault = Vault()
    for number in range(100):
        tell(vault, f"Person Number{number} of {number * 7919}")
    run = a_run()
    text = " ".join(f"word{n}" for n in range(80)) + " Person Number7 of 55433"
    for message in run.messages or []:
        message.content = text
    session = a_session()
    session.runs = [copy.deepcopy(run) for _ in range(20)]
    looked_at: list[str] = []

    def keep(text: str) -> str:
        looked_at.append(text)
        return vault.keep(text)

    stored = mapped(session, keep, writing=True)
    # 4.5 ms of CPU for 451 texts and a hundred values on the machine where this was measured.
    assert len(looked_at) < 600
    assert "55433" not in repr(stored)


def test_a_number_that_holds_a_value_is_hidden_too() -> None:
    vault = knowing()
    value = [int(f"{CARD}7"), float(f"{CARD}.5"), 17]
    stored = mapped(value, vault.keep, writing=True)
    assert str(CARD) not in repr(stored)
    assert stored[2] == 17
    back = mapped(stored, vault.restore, writing=False)
    assert (back, [type(each) for each in back]) == (value, [int, float, int])
