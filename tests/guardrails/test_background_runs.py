"""What an agent or team is asked in the background is in no row before its guards were asked."""

from __future__ import annotations

import asyncio
import copy
import pickle
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from agno.agent import Agent
from agno.db.sqlite import AsyncSqliteDb, SqliteDb
from agno.exceptions import InputCheckError
from agno.os import AgentOS
from agno.run.base import RunStatus
from agno.run.cancel import acancel_run, cancel_run
from agno.run.concurrency import background_run_slot, set_background_max_concurrency
from agno.team import Team
from agno.tools import tool
from gathered import MASK, WORD, Mask, Whole, sent

from agno_portkey import Policy, PortkeyModel, govern
from agno_portkey.errors import InputBlocked
from agno_portkey.guardrails import Guard, SecretsGuardrail
from agno_portkey.testing import EmbeddedProvider, Reply, ToolCall

SAID = f"tell of {WORD}"
KINDS = pytest.mark.parametrize("kind", ["agent", "team"])
STREAM = pytest.mark.parametrize("stream", [False, True])
_NOTES = (
    "create table written (row text)",
    *(
        f"create trigger noted_{when} after {when} on agno_runs "
        "begin insert into written values (new.run_data); end"
        for when in ("insert", "update")
    ),
)


def withheld(*names: str) -> str:
    return f"[withheld: {', '.join(names)} had not looked at it]"


class Rows:
    """A database on disk that notes every row which is ever written of a run."""

    def __init__(self, folder: Path, *, awaited: bool = False) -> None:
        self.file = folder / "agno.db"
        self.db: Any = (AsyncSqliteDb if awaited else SqliteDb)(db_file=str(self.file))
        plain = SqliteDb(db_file=str(self.file))
        plain._create_all_tables()
        plain.db_engine.dispose()
        with closing(sqlite3.connect(self.file)) as database:
            for each in _NOTES:
                database.execute(each)

    @property
    def written(self) -> list[str]:
        with closing(sqlite3.connect(self.file)) as database:
            return [row for (row,) in database.execute("select row from written order by rowid")]

    async def close(self) -> None:
        closed = self.db.db_engine.dispose()
        if isinstance(closed, Awaitable):
            await closed


@pytest.fixture
def rows(tmp_path: Path) -> Rows:
    return Rows(tmp_path)


@pytest.fixture
def one_at_a_time() -> Iterator[None]:
    """One run in the background at once: the others wait."""
    set_background_max_concurrency(1)
    yield
    set_background_max_concurrency(None)


def owner_of(kind: str, model: Any, **options: Any) -> Any:
    if kind == "agent":
        return Agent(id="one", name="Desk", model=model, **options)
    members: list[Any] = [Agent(name="Writer", model=model)]
    return Team(id="one", name="Desk", members=members, model=model, **options)


async def ended() -> None:
    """Wait for what goes on in the background."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*others, return_exceptions=True)


async def in_background(owner: Any, said: Any = SAID, *, stream: bool = False) -> None:
    options: dict[str, Any] = {"session_id": "s", "run_id": "r", "background": True}
    if stream:
        async for _ in owner.arun(said, stream=True, stream_events=True, **options):
            pass
    else:
        await owner.arun(said, **options)
    await ended()


async def polled(owner: Any, rows: Rows, **options: Any) -> Any:
    """The run as it is stored in the end."""
    try:
        await in_background(owner, **options)
        return await owner.aget_run_output(run_id="r", session_id="s")
    finally:
        await rows.close()


@pytest.mark.parametrize("guard", [Mask, Whole])
@pytest.mark.parametrize("hooked", [False, True])
@pytest.mark.parametrize("awaited", [False, True])
@STREAM
@KINDS
def test_what_was_asked_in_the_background(
    kind: str,
    stream: bool,
    awaited: bool,
    hooked: bool,
    guard: type[Guard],
    tmp_path: Path,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    rows = Rows(tmp_path, awaited=awaited)
    hooks = [guard()] if hooked else None
    owner = owner_of(kind, portkey_model, db=rows.db, pre_hooks=hooks, store_events=True)
    govern(owner, guards=[] if hooked else [guard()])
    run = asyncio.run(polled(owner, rows, stream=stream))
    assert withheld(guard.__name__) in rows.written[0]
    assert "PENDING" in rows.written[0]
    assert WORD not in "".join(rows.written)
    if guard is Mask:
        assert run.status == RunStatus.completed
        assert run.input.input_content == f"tell of {MASK}"
        assert f"tell of {MASK}" in sent(portkey_provider)
    else:
        assert run.status == RunStatus.error
        assert run.input.input_content == "[blocked by Whole]"
        assert portkey_provider.calls == []


MAIL, KEY = "ann.lee@corp.internal", "sk-proj-" + "a1B2c3D4e5" * 5


@pytest.mark.parametrize(
    "settings",
    [{"pii": "mask"}, {"policy": Policy(pii="mask")}, {"guards": [SecretsGuardrail()]}],
    ids=str,
)
@STREAM
@KINDS
def test_our_own_guards(
    kind: str, stream: bool, settings: dict[str, Any], rows: Rows, portkey_model: PortkeyModel
) -> None:
    owner = govern(owner_of(kind, portkey_model, db=rows.db), **settings)
    asyncio.run(polled(owner, rows, said=f"I am {MAIL}, my key is {KEY}", stream=stream))
    hidden = KEY if "guards" in settings else MAIL
    assert "[withheld: " in rows.written[0]
    assert hidden not in "".join(rows.written)
    assert "[withheld: " not in rows.written[-1]


@pytest.mark.parametrize("late", [False, True])
@STREAM
@KINDS
def test_a_database_that_holds_placeholders_holds_them_from_the_first(
    kind: str,
    stream: bool,
    late: bool,
    rows: Rows,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    owner = owner_of(kind, portkey_model, db=None if late else rows.db)
    govern(owner, pii="pseudonymize")
    owner.db = rows.db if late else owner.db
    run = asyncio.run(polled(owner, rows, said=f"I am {MAIL}", stream=stream))
    assert run.status == RunStatus.completed
    assert run.input.input_content == f"I am {MAIL}"
    assert all("<EMAIL_ADDRESS_1@" in row for row in rows.written)
    assert MAIL not in "".join(rows.written)


@pytest.mark.parametrize("settings", [{"keep_raw": True}, {"mode": "observe"}, {"on": "output"}])
@STREAM
@KINDS
def test_guards_without_a_say_in_what_is_stored_withhold_nothing(
    kind: str, stream: bool, settings: Any, rows: Rows, portkey_model: PortkeyModel
) -> None:
    owner = govern(owner_of(kind, portkey_model, db=rows.db), guards=[Mask(**settings)])
    asyncio.run(polled(owner, rows, stream=stream))
    assert SAID in rows.written[0]
    assert "[withheld" not in "".join(rows.written)


@KINDS
def test_without_guards_a_run_is_stored_as_it_was_asked(
    kind: str, rows: Rows, portkey_model: PortkeyModel
) -> None:
    owner = govern(owner_of(kind, portkey_model, db=rows.db))
    asyncio.run(polled(owner, rows))
    assert all(SAID in row for row in rows.written)


@pytest.mark.parametrize("how", ["given late", "a copy"])
@KINDS
def test_a_database_that_is_given_later_and_a_copy(
    kind: str, how: str, rows: Rows, portkey_model: PortkeyModel
) -> None:
    db = None if how == "given late" else rows.db
    owner = govern(owner_of(kind, portkey_model, db=db), guards=[Mask()])
    if how == "given late":
        owner.db = rows.db
    else:
        owner = owner.deep_copy()
    run = asyncio.run(polled(owner, rows))
    assert run.status == RunStatus.completed
    assert withheld("Mask") in rows.written[0]
    assert WORD not in "".join(rows.written)


@KINDS
def test_a_file_is_withheld_with_what_was_asked(
    kind: str, rows: Rows, portkey_model: PortkeyModel
) -> None:
    from agno.media import File

    async def play() -> None:
        file = File(content=SAID.encode(), mime_type="text/plain", filename="a.txt")
        options: dict[str, Any] = {"session_id": "s", "background": True}
        await owner.arun("Hi", files=[file], **options)
        first.extend(rows.written)
        await ended()
        await rows.close()

    first: list[str] = []
    owner = govern(owner_of(kind, portkey_model, db=rows.db), guards=[Mask()])
    asyncio.run(play())
    assert len(first) == 1
    assert '"files"' not in first[0]
    assert "a.txt" in rows.written[-1]


@KINDS
def test_what_was_asked_of_a_run_that_was_cancelled_before_it_began(
    one_at_a_time: None,
    kind: str,
    rows: Rows,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    async def play() -> Any:
        async with background_run_slot():
            await owner.arun(SAID, session_id="s", run_id="r", background=True)
            await acancel_run("r")
            await ended()
        await rows.close()
        return await owner.aget_run_output(run_id="r", session_id="s")

    owner = govern(owner_of(kind, portkey_model, db=rows.db), guards=[Mask()])
    run = asyncio.run(play())
    assert run.status == RunStatus.cancelled
    assert run.input.input_content == withheld("Mask")
    assert WORD not in "".join(rows.written)
    assert portkey_provider.calls == []


def _cancel(run_input: Any) -> None:
    cancel_run("r")


def _refuse(run_input: Any) -> None:
    raise InputCheckError("not today")


@pytest.mark.parametrize(
    ("hook", "status"), [(_cancel, RunStatus.cancelled), (_refuse, RunStatus.error)]
)
@STREAM
@KINDS
def test_what_was_asked_of_a_run_that_ends_before_its_guards_are_asked(
    kind: str,
    stream: bool,
    hook: Callable[..., None],
    status: RunStatus,
    rows: Rows,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    owner = owner_of(kind, portkey_model, db=rows.db, pre_hooks=[hook], store_events=True)
    govern(owner, guards=[Mask()])
    run = asyncio.run(polled(owner, rows, stream=stream))
    assert RunStatus(run.status) == status
    assert run.input.input_content == withheld("Mask")
    assert WORD not in "".join(rows.written)
    assert portkey_provider.calls == []


@KINDS
def test_a_guard_in_a_hook_is_not_the_one_in_the_model(
    kind: str, rows: Rows, portkey_model: PortkeyModel
) -> None:
    """It has rewritten the input, and the other one was never asked."""
    owner = owner_of(kind, portkey_model, db=rows.db, pre_hooks=[Mask(), _refuse])
    govern(owner, guards=[Whole()])
    run = asyncio.run(polled(owner, rows, said=f"{SAID} and of owls"))
    assert run.input.input_content == withheld("Whole")
    assert "owls" not in "".join(rows.written)


def test_a_guard_that_stands_in_both_places_is_named_once(
    rows: Rows, portkey_model: PortkeyModel
) -> None:
    guard = Mask()
    owner = owner_of("agent", portkey_model, db=rows.db, pre_hooks=[guard])
    asyncio.run(polled(govern(owner, guards=[guard]), rows))
    assert withheld("Mask") in rows.written[0]


@tool(requires_confirmation=True)
def look(what: str) -> str:
    """Look something up."""
    return f"found {what}"


@STREAM
def test_a_run_that_waits_for_a_person_goes_on(
    stream: bool, rows: Rows, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    async def play() -> Any:
        await in_background(owner, stream=stream)
        run = await owner.aget_run_output(run_id="r", session_id="s")
        assert run.status == RunStatus.paused
        assert run.input.input_content == f"tell of {MASK}"
        for each in run.requirements:
            each.confirm()
        going: dict[str, Any] = {"run_id": "r", "session_id": "s", "requirements": run.requirements}
        async for _ in owner.acontinue_run(stream=True, background=True, **going):
            pass
        await ended()
        await rows.close()
        return await owner.aget_run_output(run_id="r", session_id="s")

    portkey_provider.reply(Reply(tool_calls=(ToolCall("look", {"what": "it"}),)))
    owner = govern(owner_of("agent", portkey_model, db=rows.db, tools=[look]), guards=[Mask()])
    run = asyncio.run(play())
    assert run.status == RunStatus.completed
    assert run.input.input_content == f"tell of {MASK}"
    assert WORD not in "".join(rows.written)


@STREAM
@KINDS
def test_what_a_server_is_asked_in_the_background(
    kind: str,
    stream: bool,
    rows: Rows,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    owner = govern(owner_of(kind, portkey_model), guards=[Mask()])
    app = AgentOS(**{f"{kind}s": [owner]}, db=rows.db, telemetry=False).get_app()

    async def asked() -> Any:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://os") as client:
            form = {"message": SAID, "stream": str(stream).lower(), "background": "true"}
            answer = await client.post(f"/{kind}s/one/runs", data={**form, "session_id": "s"})
            assert answer.status_code == (200 if stream else 202)
            await ended()
            [run] = (await client.get("/sessions/s/runs", params={"type": kind})).json()
            path = f"/{kind}s/one/runs/{run['run_id']}"
            return (await client.get(path, params={"session_id": "s"})).json()

    run = asyncio.run(asked())
    rows.db.db_engine.dispose()
    assert run["status"] == "COMPLETED"
    assert withheld("Mask") in rows.written[0]
    assert WORD not in "".join(rows.written)
    assert MASK in sent(portkey_provider)


@KINDS
def test_what_is_given_back_is_a_run_of_the_hosts(
    kind: str, rows: Rows, portkey_model: PortkeyModel
) -> None:
    """Its copies are stored without the input as well; who takes it elsewhere has the input."""

    async def play() -> Any:
        run = await owner.arun(SAID, session_id="s", background=True)
        assert type(run).__name__ == ("RunOutput" if kind == "agent" else "TeamRunOutput")
        for each in (run, copy.copy(run), copy.deepcopy(run)):
            assert each.input.input_content == SAID
            assert each.to_dict()["input"] == {"input_content": withheld("Mask")}
        taken = pickle.loads(pickle.dumps(run))
        await ended()
        await rows.close()
        return taken

    owner = govern(owner_of(kind, portkey_model, db=rows.db), guards=[Mask()])
    assert asyncio.run(play()).to_dict()["input"] == {"input_content": SAID}


_BEGIN = Agent.arun


class InACoroutine(Agent):
    """Begins its runs in a way of its own."""

    async def arun(self, *args: Any, **options: Any) -> Any:  # type: ignore[override]
        return await _BEGIN(self, *args, **options)


class WhenAwaited(Agent):
    """Gives what begins a run only once it is awaited, and holds nothing to close until then."""

    def arun(self, *args: Any, **options: Any) -> Any:
        begin = partial(_BEGIN, self, *args, **options)

        class Later:
            def __await__(self) -> Any:
                return begin().__await__()

        return Later()


@pytest.mark.parametrize("kind", [InACoroutine, WhenAwaited])
def test_a_run_that_can_not_be_found_does_not_begin(
    kind: type[Agent], rows: Rows, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    owner = govern(kind(model=portkey_model, db=rows.db), guards=[Mask()])

    async def play() -> None:
        with pytest.raises(InputBlocked, match="would be stored before its guards are asked"):
            owner.arun(SAID, background=True)
        assert (await owner.arun(SAID)).status == RunStatus.completed
        await rows.close()

    asyncio.run(play())
    assert len(portkey_provider.calls) == 1
    assert WORD not in "".join(rows.written)


@KINDS
def test_one_that_was_changed_since_does_not_begin(
    kind: str, rows: Rows, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    owner = govern(owner_of(kind, portkey_model, db=rows.db), guards=[Mask()])
    owner.model = portkey_model
    with pytest.raises(InputBlocked, match="changed after it was governed"):
        owner.arun(SAID, background=True)
    assert rows.written == []
    asyncio.run(rows.close())
