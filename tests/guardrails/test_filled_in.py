"""What a person fills in or changes while a run waits: guards rewrite it before a tool has it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from agno.agent import Agent
from agno.db.in_memory import InMemoryDb
from agno.guardrails import PIIDetectionGuardrail
from agno.tools import tool
from agno.tools.user_control_flow import UserControlFlowTools
from four_forms import FORMS
from gathered import MASK, WORD, Beside, Mask, Whole, sent, stored

from agno_portkey.guardrails import Guard
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider, Reply, ToolCall

SAID = f"the {WORD} plan"


class SlowMask(Mask):
    inline = False


class Waiting:
    """An agent whose run waits for somebody; `ran` holds what its tool was given."""

    def __init__(self, model: PortkeyModel, provider: EmbeddedProvider, kind: str) -> None:
        self.ran: list[Any] = []
        self.db = InMemoryDb()  # type: ignore[no-untyped-call]
        how: dict[str, Any] = {
            "filled in": {"requires_user_input": True, "user_input_fields": ["what"]},
            "all filled in": {"requires_user_input": True},
            "confirmed": {"requires_confirmation": True},
            "run elsewhere": {"external_execution": True},
        }

        def find(what: str, who: str = "") -> str:
            """Find it."""
            self.ran.append(what)
            return f"found {what}"

        tools: list[Any] = [UserControlFlowTools()]
        call = ToolCall("get_user_input", {"user_input_fields": [FIELD]})
        if kind != "asked":
            tools, call = [tool(**how[kind])(find)], ToolCall("find", {"what": "x", "who": "Ann"})
        provider.reply(Reply(tool_calls=(call,)))
        provider.reply("Done.")
        self.agent = Agent(model=model, tools=tools, db=self.db, store_events=True)
        self.run: Any = self.agent.run("Hi", session_id="s")
        self._kind = kind

    def go_on(self, said: str, form: str) -> Any:
        """Answer with `said`, and continue the run."""
        [need] = self.run.active_requirements
        match self._kind:
            case "confirmed":
                need.tool_execution.tool_args["what"] = said
                need.confirm()
            case "run elsewhere":
                need.set_external_execution_result(said)
            case _:
                need.provide_user_input({"what": said, "who": "Ann"})
        how: dict[str, Any] = {"run_id": self.run.run_id, "session_id": "s"}
        how["requirements"] = self.run.requirements
        if form in ("run", "stream"):
            out: Any = self.agent.continue_run(**how, stream=form == "stream")
            return [*out] if isinstance(out, Iterator) else [out]
        return asyncio.run(self._later(how, form == "astream"))

    async def _later(self, how: dict[str, Any], stream: bool) -> Any:
        out: Any = self.agent.acontinue_run(**how, stream=stream)
        if isinstance(out, AsyncIterator):
            return [event async for event in out]
        return [await out]


FIELD = {"field_name": "what", "field_type": "str", "field_description": "What to find."}
KINDS = ["filled in", "all filled in", "confirmed", "run elsewhere", "asked"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("guard", [Mask, SlowMask])
def test_it_is_rewritten_before_anybody_has_it(
    guard: type[Guard],
    kind: str,
    form: str,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    portkey_model.guards = (guard(),)
    waiting = Waiting(portkey_model, portkey_provider, kind)
    out = waiting.go_on(SAID, form)
    if kind not in ("run elsewhere", "asked"):
        assert waiting.ran == [f"the {MASK} plan"]
    assert len(portkey_provider.calls) == 2
    assert WORD not in sent(portkey_provider)
    assert MASK in sent(portkey_provider)
    assert WORD not in stored(waiting.db)
    assert MASK in stored(waiting.db)
    assert WORD not in json.dumps([each.to_dict() for each in out], default=str)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("guard", [Whole, Beside])
def test_it_is_refused_before_anybody_has_it(
    guard: type[Guard],
    kind: str,
    form: str,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    portkey_model.guards = (guard(),)
    waiting = Waiting(portkey_model, portkey_provider, kind)
    waiting.go_on(SAID, form)
    assert waiting.ran == []
    assert WORD not in sent(portkey_provider)
    assert WORD not in stored(waiting.db)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["filled in", "confirmed"])
def test_agnos_own_guardrail_masks_it_as_well(
    kind: str, form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_model.guards = (PIIDetectionGuardrail(mask_pii=True),)
    waiting = Waiting(portkey_model, portkey_provider, kind)
    waiting.go_on("write to ann@example.com", form)
    [given] = waiting.ran
    assert "ann@example.com" not in given + sent(portkey_provider) + stored(waiting.db)


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_guard_it_goes_where_it_goes(
    kind: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    waiting = Waiting(portkey_model, portkey_provider, kind)
    waiting.go_on(SAID, "run")
    assert waiting.ran == ([] if kind in ("run elsewhere", "asked") else [SAID])
    assert WORD in sent(portkey_provider)


class Once(Guard):
    """Notes what it is asked about in front of a tool, and rewrites none of it."""

    inline, rewrites = True, True

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def inspect(self, passage: Any) -> None:
        if passage.scene.stage == "tool":
            self.seen.append(passage.text)


def test_of_a_call_that_nobody_could_change_those_that_rewrite_are_not_asked_again(
    portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    def look(what: str) -> str:
        """Look."""
        return "seen"

    once = Once()
    portkey_model.guards = (once,)
    portkey_provider.reply(Reply(tool_calls=(ToolCall("look", {"what": "x"}),)))
    portkey_provider.reply("Done.")
    assert Agent(model=portkey_model, tools=[look]).run("Hi").content == "Done."
    assert once.seen == []
    waiting = Waiting(portkey_model, portkey_provider, "filled in")
    waiting.go_on("fine", "run")
    assert "fine" in once.seen
    assert waiting.ran == ["fine"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("guard", [Whole, Mask])
def test_what_is_noted_beside_a_confirmation_is_looked_at(
    guard: type[Guard],
    form: str,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    portkey_model.guards = (guard(),)
    waiting = Waiting(portkey_model, portkey_provider, "confirmed")
    [need] = waiting.run.active_requirements
    need.tool_execution.confirmation_note = SAID
    waiting.go_on("fine", form)
    assert waiting.ran == ["fine"]
    assert WORD not in sent(portkey_provider)
    assert WORD not in stored(waiting.db)
