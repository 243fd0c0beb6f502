"""Why a run was refused: on its output in every form, after a reload, and as an exception."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from agno.agent import Agent
from agno.db.in_memory import InMemoryDb
from agno.db.sqlite import SqliteDb
from agno.exceptions import InputCheckError, OutputCheckError
from agno.guardrails import BaseGuardrail
from agno.os import AgentOS
from agno.run.agent import RunErrorEvent, RunOutput
from agno.run.base import RunStatus
from agno.team import Team
from agno.workflow import Step, Workflow
from four_forms import FORMS, STREAMED
from gathered import WORD, Beside, Whole, go
from pydantic import BaseModel

from agno_portkey import errors, raise_on_block, verdict_of
from agno_portkey.errors import (
    Blocked,
    ContractError,
    GateClosed,
    InputBlocked,
    OutputBlocked,
    Told,
)
from agno_portkey.guardrails.refusals import forget_refusal, note_refusal
from agno_portkey.hooks.base import Hook, Moment
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider, Fault, Reply, ToolCall
from agno_portkey.verdict import Verdict


class Bird(BaseModel):
    name: str


class Closed(Hook):
    """A gate that is closed, as any hook of ours refuses."""

    def before(self, moment: Moment) -> None:
        raise GateClosed(Verdict(False, "gate", ("not yet",), score=3.0, evidence={"plan": "x"}))


# Where a run is refused: its settings, what it is asked, what is answered, and by whom.
Case = tuple[Callable[[PortkeyModel], dict[str, Any]], str, str, type[Blocked], str]
CASES: dict[str, Case] = {
    "pre": (lambda m: {"pre_hooks": [Whole()]}, WORD, "fine", InputBlocked, "Whole"),
    "pre, on a thread": (lambda m: {"pre_hooks": [Beside()]}, WORD, "", InputBlocked, "Beside"),
    "post": (lambda m: {"post_hooks": [Whole()]}, "Hi", WORD, OutputBlocked, "Whole"),
    "model, in": (lambda m: _guarded(m, Whole()), WORD, "fine", InputBlocked, "Whole"),
    "model, out": (lambda m: _guarded(m, Whole()), "Hi", WORD, OutputBlocked, "Whole"),
    "contract": (lambda m: {"output_schema": Bird}, "Hi", "{}", ContractError, "contract Bird"),
    "gate": (lambda m: {"pre_hooks": [Closed()]}, "Hi", "fine", GateClosed, "gate"),
    "agno's own": (lambda m: _guarded(m, Agnos()), WORD, "fine", InputBlocked, "Agnos"),
}


class Agnos(BaseGuardrail):
    def check(self, run_input: Any) -> None:
        if WORD in run_input.input_content:
            raise InputCheckError("not that", check_trigger="OFF_TOPIC")  # type: ignore[arg-type]

    async def async_check(self, run_input: Any) -> None:
        self.check(run_input)


def _guarded(model: PortkeyModel, *guards: BaseGuardrail) -> dict[str, Any]:
    model.guards = guards
    return {}


def _refused(run: Any, error: type[BaseException], source: str) -> Verdict:
    verdict = verdict_of(run)
    assert verdict is not None
    assert (verdict.passed, verdict.source) == (False, source)
    assert verdict.reasons
    with pytest.raises(error) as caught:
        raise_on_block(run)
    assert type(caught.value) is error
    assert caught.value.verdict == verdict  # type: ignore[attr-defined]
    return verdict


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", CASES)
def test_the_verdict_is_on_the_output_in_every_form_and_after_a_reload(
    case: str,
    form: str,
    tmp_path: Path,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    settings, asked, answer, error, source = CASES[case]
    portkey_provider.when(lambda request: True, answer)
    db = SqliteDb(db_file=str(tmp_path / "agno.db"))
    agent = Agent(id="a", model=portkey_model, db=db, **settings(portkey_model))
    seen = go(agent, form, asked, session_id="s")
    assert seen.failed
    first = _refused(seen.last, error, source)
    # As it comes back from the database, by whatever object asks it.
    session: Any = Agent(id="a", db=db).get_session(session_id="s")
    kept = session.runs[-1]
    assert kept.status == RunStatus.error
    assert _refused(kept, error, source) == first
    # As JSON, such as a server sends it.
    again = RunOutput.from_dict(json.loads(json.dumps(kept.to_dict(), default=str)))
    assert _refused(again, error, source) == first
    db.db_engine.dispose()


@pytest.mark.parametrize("form", FORMS)
def test_a_run_that_was_not_refused_comes_back_as_it_is(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_model.guards = (Whole(),)
    seen = go(Agent(model=portkey_model), form, "Hi")
    assert raise_on_block(seen.last) is seen.last
    assert verdict_of(seen.last) is None
    # Nor is a failure of another kind its business.
    portkey_provider.reply(Fault.status(400))
    seen = go(Agent(model=portkey_model), form, "Hi")
    assert seen.failed
    assert raise_on_block(seen.last) is seen.last


@pytest.mark.parametrize("form", FORMS)
def test_a_refused_run_does_not_mark_the_next_one(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_model.guards = (Whole(),)
    metadata = {"mine": 1}
    agent = Agent(model=portkey_model, metadata=metadata, db=InMemoryDb())  # type: ignore[no-untyped-call]
    assert go(agent, form, WORD, session_id="s").failed
    seen = go(agent, form, "Hi", session_id="s")
    assert verdict_of(seen.last) is None
    assert metadata == {"mine": 1}


@pytest.mark.parametrize("form", FORMS)
def test_teams_and_their_members(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_model.guards = (Whole(),)
    member = Agent(name="Scout", model=portkey_model)
    team = Team(
        members=[member],
        model=portkey_model,
        store_member_responses=True,
        stream_member_events=True,
    )
    _refused(go(team, form, WORD).last, InputBlocked, "Whole")
    # A refused member does not end its team, whose leader is told.
    task = {"member_id": "scout", "task": "look"}
    portkey_provider.reply(Reply(tool_calls=(ToolCall("delegate_task_to_member", task),)))
    portkey_provider.reply(f"It is {WORD}.")
    portkey_provider.reply("The scout was refused.")
    seen = go(team, form, "Hi")
    assert verdict_of(seen.output) is None
    if form in STREAMED:
        # There, the host keeps no run of a member that failed; its last event tells.
        assert seen.output.member_responses == []
        [run] = [each for each in seen.events if type(each) is RunErrorEvent]
    else:
        [run] = seen.output.member_responses
    _refused(run, OutputBlocked, "Whole")


@pytest.mark.parametrize("stream", [True, False])
def test_what_a_server_sends_tells_it(stream: bool, portkey_model: PortkeyModel) -> None:
    portkey_model.guards = (Whole(),)
    app = AgentOS(agents=[Agent(id="one", model=portkey_model)], telemetry=False).get_app()

    async def post() -> str:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://os") as client:
            form = {"message": WORD, "stream": str(stream).lower()}
            return (await client.post("/agents/one/runs", data=form)).text

    sent = asyncio.run(post())
    if stream:
        [line] = [
            each for each in sent.splitlines() if '"event":"RunError"' in each.replace(" ", "")
        ]
        held = SimpleNamespace(**json.loads(line.removeprefix("data: ")))
    else:
        held = RunOutput.from_dict(json.loads(sent))
    _refused(held, InputBlocked, "Whole")


def test_the_output_of_a_workflow(portkey_model: PortkeyModel) -> None:
    portkey_model.guards = (Whole(),)
    agent = Agent(name="one", model=portkey_model)
    output = Workflow(name="w", steps=[Step(name="first", agent=agent)]).run(WORD)
    # Not governed, the host goes on; the step's own run tells.
    [run] = output.step_executor_runs or []
    _refused(run, InputBlocked, "Whole")


# By itself


def test_every_kind_of_refusal_keeps_its_class() -> None:
    verdict = Verdict(False, "x", ("no", "never"), score=2.0, evidence={"side": "output"})
    kinds = [each for each in vars(errors).values() if isinstance(each, type)]
    for error in kinds:
        if issubclass(error, Blocked) and error is not Blocked:
            run = RunOutput(run_id="r", metadata={"mine": 1})
            note_refusal(run, error(verdict))
            assert run.metadata is not None
            assert run.metadata["mine"] == 1
            _refused(run, error, "x")


def test_a_run_that_goes_on_is_refused_no_more() -> None:
    for mine in (None, {"mine": 1}):
        run = RunOutput(run_id="r", metadata=mine)
        forget_refusal(run)
        assert run.metadata is mine
        note_refusal(run, InputBlocked(Verdict(False, "x", ("no",))))
        refused = run.metadata
        forget_refusal(run)
        assert run.metadata == mine
        assert verdict_of(run) is None
        # Others may share the mapping.
        assert refused is not None
        assert len(refused) == len(mine or {}) + 1


def test_what_a_run_got_over_is_no_refusal_of_it() -> None:
    """A member was refused, and its team has completed."""
    refused = InputBlocked(Verdict(False, "x", ("no",)))
    events: Any = [SimpleNamespace(additional_data=refused.additional_data)]
    run = RunOutput(run_id="r", events=events, status=RunStatus.completed)
    assert raise_on_block(run) is run
    assert verdict_of(run) is not None
    # It was refused itself, and continued since.
    events[0].run_id = "r"
    assert verdict_of(run) is None
    run.status = RunStatus.error
    _refused(run, InputBlocked, "x")


@pytest.mark.parametrize("name", ["Gone", "GatewayError", "CheckTrigger", "annotations", None, 3])
def test_a_class_that_is_no_refusal_becomes_one(name: Any) -> None:
    """As an older version may have stored it, or somebody else."""
    for side, error in (("output", OutputBlocked), ("input", InputBlocked), (None, InputBlocked)):
        said: Any = {"error": name, "passed": False, "source": "x", "reasons": ["no"]}
        said["evidence"] = {"side": side} if side else None
        run = RunOutput(run_id="r", metadata={"agno_portkey.verdict": said})
        with pytest.raises(error) as caught:
            raise_on_block(run)
        assert type(caught.value) is error


def test_an_error_that_carries_nothing_leaves_nothing() -> None:
    run = RunOutput(run_id="r")
    note_refusal(run, ValueError("no"))
    note_refusal(run, OutputCheckError("no"))
    note_refusal(None, InputBlocked(Verdict(False, "x")))
    assert run.metadata is None
    assert verdict_of(run) is None


def test_what_is_no_run_was_not_refused() -> None:
    for held in (
        None,
        "text",
        SimpleNamespace(content="no", metadata="odd", additional_data=[], events=None),
        SimpleNamespace(events=[SimpleNamespace(additional_data={"verdict": "odd"}), None]),
    ):
        assert verdict_of(held) is None
        assert raise_on_block(held) is held


def test_the_last_of_a_runs_events_tells() -> None:
    def event(source: str) -> Any:
        verdict = Verdict(False, source, ("no",))
        return SimpleNamespace(additional_data=InputBlocked(verdict).additional_data)

    run = SimpleNamespace(content=None, events=[event("first"), event("last"), None])
    _refused(run, InputBlocked, "last")


def test_the_words_of_a_refusal_tell_by_themselves() -> None:
    run = RunOutput(run_id="r", content=str(InputBlocked(Verdict(False, "x", ("no",)))))
    assert isinstance(run.content, Told)
    _refused(run, InputBlocked, "x")
