"""Values that are no text: what is written of them is kept no more than a text would be."""

from __future__ import annotations

import datetime
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest
from gathered import agent, go, sent, stored
from pydantic import BaseModel

from agno_portkey.guardrails import Block, Guard, Passage, Rewrite
from agno_portkey.guardrails.at_rest import clean, replaced
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider

CARD = "4111111111111111"


class Blocks(Guard):
    inline = True

    def inspect(self, passage: Passage) -> Block | None:
        return Block("a card") if CARD in passage.text else None


class Masks(Guard):
    inline, rewrites = True, True

    def inspect(self, passage: Passage) -> Rewrite | None:
        text = passage.text.replace(CARD, "<card>")
        return None if text == passage.text else Rewrite(text)


class Kind(Enum):
    CARD = f"a {CARD}"


class Number(BaseModel):
    number: int = 1


@pytest.mark.parametrize("guard", [Blocks, Masks])
@pytest.mark.parametrize("form", ["run", "astream"])
def test_a_decimal_in_an_input_is_not_stored(
    form: str, guard: type[Guard], portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_model.guards = (guard(),)
    portkey_provider.reply("Well then.")
    asked = agent(portkey_model)
    seen = go(asked, form, {"card": Decimal(CARD)})
    # The host makes no message of it, whatever the guards say.
    assert seen.failed
    assert CARD not in stored(asked.db) + sent(portkey_provider)


DAY = datetime.date(2031, 5, 17)
AT = datetime.datetime(2031, 5, 17, 9, 30, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (Decimal(CARD), CARD),
        (DAY, "2031-05-17"),
        (AT, "2031-05-17 09:30:00+00:00"),
        (AT, "2031-05-17T09:30:00Z"),
        (datetime.timedelta(days=3), "P3D"),
        (Kind.CARD, "Kind.CARD"),
        (Kind.CARD, f"a {CARD}"),
    ],
)
def test_what_is_written_of_a_value_is_replaced(value: Any, written: str) -> None:
    held = {"a": [value], "b": "x"}
    assert replaced(held, {written: "<it>"}) == {"a": ["<it>"], "b": "x"}
    assert replaced(held, {"another": "<it>"}) is held
    assert replaced({"a": value}, {written: "<it>"}) == {"a": "<it>"}


def test_an_item_that_can_not_be_without_a_text_is_dropped() -> None:
    """Storing a list with None in the place of a model would fail, and all of the run with it."""
    kept = {"4111": "<it>"}
    several = [Number(number=4111), None, Number(number=2)]
    assert replaced(several, kept) == [None, Number(number=2)]
    assert replaced((Number(number=4111), 1), kept) == (1,)
    assert replaced({"a": Number(number=4111)}, kept) == {"a": None}


def test_what_is_the_same_but_for_its_end_is_not_taken_for_the_same() -> None:
    kept = {"4111": "<it>"}
    assert replaced([Number(number=2), Number(number=4111)], kept) == [Number(number=2)]
    assert replaced((2, Number(number=4111)), kept) == (2,)
    # Two keys that become one.
    assert replaced({"<it>": 1, "4111": 1}, kept) == {"<it>": 1}


def test_so_it_is_in_the_hosts_own_lists() -> None:
    from agno.models.message import Message
    from agno.run.agent import RunOutput

    run = RunOutput(messages=[Message(role="user", content="x")])
    mixed: list[Any] = [Message(role="user", content="4111"), Number(number=4111)]
    run.messages = mixed
    clean(run, {"4111": "<it>"})
    assert run.messages is mixed
    assert [each.content for each in mixed] == ["<it>"]


@pytest.mark.parametrize("form", ["run", "astream"])
def test_a_list_of_models_is_stored_without_what_was_blocked(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_model.guards = (Blocks(),)
    asked = agent(portkey_model)
    seen = go(asked, form, {"numbers": [Number(number=int(CARD)), Number(number=2)]})
    assert seen.failed
    assert len(asked.db.get_sessions()) == 1
    assert CARD not in stored(asked.db)
