"""Of two guards one may keep what it saw: what the other one finds is kept out all the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from agno.db.sqlite import SqliteDb
from four_forms import FORMS
from gathered import MASK, WORD, Mask, Whole, agent, go, sent
from hypothesis import given
from hypothesis import strategies as st

from agno_portkey.drivers import SyncIO, step
from agno_portkey.guardrails import Guard, Passage, Rewrite, Scene
from agno_portkey.guardrails.at_rest import replaced
from agno_portkey.guardrails.stage import Stage
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider, Reply, ToolCall

PIN = "471108"


class Pins(Guard):
    inline, rewrites = True, True

    def inspect(self, passage: Passage) -> Rewrite | None:
        text = passage.text.replace(PIN, "<pin>")
        return None if text == passage.text else Rewrite(text)


def _find() -> str:
    """Find something."""
    return f"{PIN} is the {WORD}."


@pytest.mark.parametrize("other", [Mask, Whole])
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("form", FORMS)
def test_what_the_other_guard_finds_is_not_stored(
    form: str,
    first: bool,
    other: type[Guard],
    tmp_path: Path,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    guards: list[Guard] = [Pins(keep_raw=True), other()]
    portkey_model.guards = guards if first else guards[::-1]
    db = SqliteDb(db_file=str(tmp_path / "agno.db"))
    for number, message in enumerate(("Hi", f"{PIN} of {WORD}")):
        portkey_provider.reset()
        portkey_provider.reply(Reply(tool_calls=(ToolCall("_find", {}),)))
        portkey_provider.reply(f"{PIN} is a {WORD}.")
        asked = agent(portkey_model, db=db, tools=[_find])
        go(asked, form, message, session_id=f"s{number}")
        assert WORD not in sent(portkey_provider)
        assert PIN not in sent(portkey_provider)
    db.db_engine.dispose()
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert WORD.encode() not in kept
    assert (MASK if other is Mask else "[blocked by Whole]").encode() in kept


@pytest.mark.parametrize("form", ["run", "astream"])
def test_what_only_a_guard_that_keeps_raw_rewrote_is_stored_as_it_was(
    form: str, tmp_path: Path, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_model.guards = (Pins(keep_raw=True), Mask())
    db = SqliteDb(db_file=str(tmp_path / "agno.db"))
    seen = go(agent(portkey_model, db=db), form, f"tell {PIN}")
    assert seen.output.input.input_content == f"tell {PIN}"
    assert PIN not in sent(portkey_provider)
    db.db_engine.dispose()


class Swaps(Guard):
    """Replaces a letter by a mark of its own."""

    inline, rewrites = True, True

    def __init__(self, letter: str, **settings: Any) -> None:
        self.letter = letter
        super().__init__(name=letter, **settings)

    def inspect(self, passage: Passage) -> Rewrite:
        return Rewrite(passage.text.replace(self.letter, "-"))


@given(
    text=st.text("abcx", min_size=1),
    order=st.permutations("abc"),
    raw=st.sets(st.sampled_from("abc")),
)
def test_no_letter_is_kept_that_a_guard_keeps_out(
    text: str, order: list[str], raw: set[str]
) -> None:
    kept: dict[str, str] = {}
    guards = [Swaps(letter, keep_raw=letter in raw) for letter in order]
    stage = Stage(guards, SyncIO(), Scene(), "input", (), kept.__setitem__)
    found = step(stage.inspect([Passage(text)]))
    assert (found or [text]) == [text.translate(str.maketrans("abc", "---"))]
    stored = replaced(text, kept)
    assert not set(stored) & (set(order) - raw)


def _hooked(where: str, guards: list[Guard], model: PortkeyModel, db: SqliteDb) -> Any:
    """An agent with each guard in a place of its own."""
    if where == "a pre-hook and the model":
        model.guards = guards[1:]
        return agent(model, db=db, pre_hooks=guards[:1], tools=[_note])
    return agent(model, db=db, tools=[_note], **{where: guards})


def _note(what: str) -> str:
    """Note something."""
    return "noted"


@pytest.mark.parametrize("other", [Mask, Whole])
@pytest.mark.parametrize(
    "where", ["pre_hooks", "post_hooks", "tool_hooks", "a pre-hook and the model"]
)
@pytest.mark.parametrize("form", FORMS)
def test_what_the_other_guard_finds_in_a_place_of_its_own_is_not_stored(
    form: str,
    where: str,
    other: type[Guard],
    tmp_path: Path,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    """The first changes the text that both are asked about, and may keep it as it was."""
    said = f"{PIN} of {WORD}"
    db = SqliteDb(db_file=str(tmp_path / "agno.db"))
    asked = _hooked(where, [Pins(keep_raw=True), other()], portkey_model, db)
    if where == "tool_hooks":
        portkey_provider.reply(Reply(tool_calls=(ToolCall("_note", {"what": said}),)))
    portkey_provider.reply(said if where == "post_hooks" else "Well.")
    go(asked, form, said if "pre" in where else "Hi")
    db.db_engine.dispose()
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert WORD.encode() not in kept
    assert (MASK if other is Mask else "[blocked by Whole]").encode() in kept
