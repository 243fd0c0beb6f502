"""AuditLog: each record is a sealed line bound to the one before, and says no words of anybody."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import auditchain
import pytest
from agno.agent import Agent
from agno.run.base import RunStatus
from audited import KEY, OTHER, checked, child, log, numbers, written
from hypothesis import given
from hypothesis import strategies as st

from agno_portkey import Event, PortkeyModel, Verdict
from agno_portkey.hooks import AuditHook
from agno_portkey.telemetry.audit import AuditLog
from agno_portkey.testing import EmbeddedProvider

TABLE = (Path(__file__).parents[2] / "docs/guide/events.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| (.*) \|$", TABLE, re.MULTILINE)
KINDS = {kind: row for kinds, row in ROWS for kind in re.findall(r"\w+", kinds) if kind != "kind"}
SECRET = "wordsofthem"
# Of what stands in the table these are names and states, and not what somebody has said.
NAMES = {
    *("provider", "model", "option_index", "cache_status", "trace_id", "finish_reason", "error"),
    *("status", "target", "before", "state", "stage", "side", "mode", "plan_digest", "decision"),
    *("tool", "clearance", "by", "outcome", "job", "check", "gate", "kind", "tags", "scope"),
}


def test_the_table_of_events_is_read() -> None:
    assert {"call", "embedding", "gate", "guard", "approval", "adjustment", "stop"} <= KINDS.keys()


# Key changes and refusals of access are told by what comes after.
@pytest.mark.parametrize("kind", [*KINDS, "key", "access"])
def test_each_kind_of_event_is_a_sealed_line_without_words(kind: str, path: Path) -> None:
    hook = AuditHook(log(path))
    fields = re.findall(r"`(\w+)`", KINDS.get(kind, ""))
    data = {name: f"{SECRET} {SECRET}" for name in fields if name not in NAMES}
    verdict = Verdict(False, "safety", (SECRET,), evidence={"partial": SECRET, "said": [SECRET]})
    hook(Event(kind, "Writer", "Desk", "run-1", verdict, {**data, "reason": SECRET, "tokens": 3}))
    report = checked(path)
    assert (report.ok, report.kinds) == (True, {kind: 1})
    [stored] = map(json.loads, path.read_text().splitlines())
    assert (stored["action"], stored["actor"], stored["subject"]) == (kind, "Writer", "run-1")
    record = stored["meta"]
    assert (record["swarm"], record["data"]) == ("Desk", {"tokens": 3})
    assert record["verdict"]["reasons_sha256"].startswith("sha256:")
    assert SECRET not in path.read_text()


def test_a_threshold_and_an_override_say_who_did_it(path: Path) -> None:
    hook = AuditHook(log(path))
    who = {"by": "ada@desk", "override": True, "clearance": "c-1"}
    hook(Event("approval", None, "Desk", "run-1", Verdict(True, "safety"), who))
    change = {"gate": "safety", "check": "judge", "kind": "tightened", "state": "applied"}
    moved = {**change, "by": "ada@desk", "before": 0.7, "threshold": 0.8, "version": 2}
    hook(Event("adjustment", swarm="Desk", data={**moved, "reason": SECRET}))
    told = [json.loads(line)["meta"]["data"] for line in path.read_text().splitlines()]
    assert told == [who, moved]


def test_a_run_is_in_it_from_its_start_to_its_end(
    path: Path, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.reply(f"{SECRET} of the answer")
    audit = AuditHook(AuditLog(path, key=KEY))
    portkey_model.observers = [audit]
    agent = Agent(name="A", model=portkey_model, pre_hooks=[audit], post_hooks=[audit])
    asyncio.run(agent.arun(f"{SECRET} of the question", user_id="ada"))
    report = checked(path)
    assert report.ok
    stored = [json.loads(line) for line in path.read_text().splitlines()]
    assert [each["action"] for each in stored] == ["start", "attempt", "call", "end"]
    assert [each["seq"] for each in stored] == [0, 1, 2, 3]
    assert stored[0]["actor"] == "ada"
    assert SECRET not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("required", [True, False])
def test_a_log_that_cant_be_written_refuses_the_run_where_it_is_required(
    required: bool, path: Path, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    audit = AuditHook(written(path, 3), required=required)
    path.unlink()
    agent = Agent(name="A", model=portkey_model, pre_hooks=[audit], post_hooks=[audit])
    run = agent.run("Hi")
    assert audit.flush(60)
    assert run.status == (RunStatus.error if required else RunStatus.completed)
    assert len(portkey_provider.calls) == (0 if required else 1)
    assert not path.exists()


def test_who_has_it_for_too_long_refuses_the_run(
    path: Path, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    audit = AuditHook(written(path, 1), timeout=0.1)
    script = """if True:
        import fcntl, sys
        with open(sys.argv[1], "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            print("held", flush=True)
            sys.stdin.read()
    """
    with child(script, path) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        run = Agent(name="A", model=portkey_model, pre_hooks=[audit]).run("Hi")
        assert other.communicate("")[1] == ""
    assert "(TooLate)" in str(run.content)
    assert portkey_provider.calls == []


def test_the_library_itself_verifies_it(path: Path) -> None:
    made = log(path)
    made({"kind": "call", "name": "line\u2028separator\x85 \ud800 ü \U0001f600 \x1b[31m"})
    written(path, 5)
    made.close()

    async def records() -> list[auditchain.AuditRecord]:
        return await auditchain.JsonlBackend(path).load()

    found = asyncio.run(records())
    key_id = found[0].key_id
    assert auditchain.verify_chain(found, keyring={key_id: KEY}).ok
    assert not auditchain.verify_chain(found, keyring={key_id: OTHER}).ok
    assert found[0].metadata["name"] == "line\u2028separator\x85 ? ü \U0001f600 \x1b[31m"


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec=None)), inner),
    max_leaves=8,
)


@given(records=st.lists(st.dictionaries(st.text(st.characters(codec=None)), anything), max_size=5))
def test_whatever_json_can_say_is_kept_and_verified(
    records: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("log") / "audit.jsonl"
    made = log(path)
    for record in records:
        made(record)
    if records:
        report = checked(path)
        assert (report.ok, report.records) == (True, len(records))
    else:
        assert not path.exists()


@pytest.mark.parametrize(
    "record", [{"x": float("nan")}, {"x": object()}, {"x": {1, 2}}, {"x": b""}]
)
def test_what_json_cant_say_is_refused_and_spoils_nothing(record: Any, path: Path) -> None:
    made = written(path, 2)
    with pytest.raises((ValueError, TypeError)):
        made(record)
    made({"kind": "call", "data": {"number": 2}})
    assert checked(path).ok
    assert numbers(path) == [0, 1, 2]
