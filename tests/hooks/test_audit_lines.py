"""An audit's lines: one JSON object each, whatever is in names and tags, and no word of a run."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from agno.metrics import RunMetrics
from agno.run import RunContext
from agno.run.agent import RunInput, RunOutput
from agno.run.base import RunStatus
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from agno_portkey import Event, Verdict
from agno_portkey.hooks import AuditHook
from agno_portkey.hooks.lineage import LINEAGE_KEY


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def lines(path: Path) -> list[dict[str, Any]]:
    """The records of a file; each line has to be one JSON object."""
    records = [json.loads(line) for line in path.read_bytes().decode("ascii").split("\n")[:-1]]
    assert all(isinstance(record, dict) for record in records)
    return records


def sha256(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


class Looks:
    """An owner of a run, as the host has it."""

    def __init__(self, name: str, model: Any = None) -> None:
        self.name, self.id, self.model = name, "id", model


def context(**fields: Any) -> RunContext:
    return RunContext(**{"run_id": "r", "session_id": "s", **fields})


def start(audit: AuditHook, said: Any, owner: Any = None, **fields: Any) -> None:
    audit.check(
        run_input=RunInput(input_content=said),
        run_context=context(**fields),
        agent=owner or Looks("A"),
    )


def end(audit: AuditHook, output: RunOutput, owner: Any = None, **fields: Any) -> None:
    audit.check(run_output=output, run_context=context(**fields), agent=owner or Looks("A"))


class Order(BaseModel):
    what: str
    ratio: float = 1.0


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (None, None),
        (["a", "b"], '["a", "b"]'),
        ({"b": 1, "a": Order(what="x")}, '{"a": {"ratio": 1.0, "what": "x"}, "b": 1}'),
        ({1: "a", "b": "c"}, "{1: 'a', 'b': 'c'}"),
        (Order(what="x", ratio=float("nan")), "what='x' ratio=nan"),
        ([object], "[<class 'object'>]"),
    ],
)
def test_whatever_was_said_has_a_digest(said: Any, text: str | None, file: Path) -> None:
    end(AuditHook(file, words=True), RunOutput(run_id="r", content=said))
    [record] = lines(file)
    assert record["output"] == text
    assert record["output_sha256"] == (sha256(text) if text is not None else None)


anything = st.text(st.characters(codec=None), max_size=40)
SECRET = "wordsofthem"


@given(name=anything, user=anything, tag=anything, said=anything)
def test_every_line_is_one_object_and_no_word_is_in_it(
    name: str, user: str, tag: str, said: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("audit") / "audit.jsonl"
    audit = AuditHook(file)
    tags = {"agno_portkey.tags": {"t" + tag: tag}}
    owner = Looks(name)
    secret = said + SECRET + said
    start(audit, secret, owner, user_id=user, metadata=tags)
    output = RunOutput(run_id="r", content=secret, reasoning_content=secret)
    output.metadata = {
        "agno_portkey.verdict": {
            "passed": False,
            "source": name,
            "reasons": [secret],
            "evidence": {"partial": secret, "found": [{"stage": secret}], "mode": "enforce"},
        }
    }
    end(audit, output, owner, user_id=user, metadata=tags)
    audit(
        Event(
            "judgement",
            role=name,
            run_id="r",
            verdict=Verdict(False, name, (secret,), score=float("nan")),
            data={
                "reasons": [secret],
                "reason": secret,
                "tags": {tag: tag},
                "issues": 3,
                "status": {secret: secret},
                "object": secret.encode("utf-8", "surrogatepass"),
                "state": RunStatus.error,
                "seconds": float("inf"),
            },
        )
    )
    assert SECRET not in file.read_text()
    first, last, event = lines(file)
    assert first["user_id"] == last["user_id"] == user
    assert first["name"] == (name or "id")
    assert first["tags"]["t" + tag] == tag[:128]
    assert last["verdict"]["evidence"] == {"mode": "enforce"}
    assert event["data"] == {"tags": {tag: tag}, "issues": 3, "seconds": None, "state": "ERROR"}
    assert event["verdict"]["score"] is None


@given(said=anything, nested=st.recursive(anything | st.floats() | st.binary(), st.lists))
def test_with_words_too(said: str, nested: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("audit") / "audit.jsonl"
    audit = AuditHook(file, words=True)
    start(audit, said)
    verdict = Verdict(False, "g", (said,), evidence={"found": nested, said: {1: {said}}})
    audit(Event("guard", verdict=verdict))
    first, event = lines(file)
    assert first["input"] == said
    assert event["verdict"]["reasons"] == [said]
    assert event["verdict"]["evidence"][said] == {"1": [said]}


def test_what_goes_round_in_circles_is_cut_off(file: Path) -> None:
    circle: dict[str, Any] = {}
    circle["more"] = circle
    AuditHook(file, words=True)(Event("guard", data=circle))
    [record] = lines(file)
    inner, levels = record["data"], 0
    while inner is not None:
        inner, levels = inner["more"], levels + 1
    assert levels == 9


@pytest.mark.parametrize(
    "claim",
    [
        "text",
        {"run_id": "x", "name": "X"},
        ["x", {"run_id": 1, "name": "X"}, {"run_id": "x"}],
        None,
    ],
)
def test_a_made_up_parent_does_no_harm(claim: Any, file: Path) -> None:
    start(AuditHook(file), "Hi", metadata={LINEAGE_KEY: claim})
    assert lines(file)[0]["parent_run_id"] is None


def test_what_never_ends_is_forgotten_at_last(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agno_portkey.hooks.lineage._KEPT", 3)
    audit = AuditHook(file)
    for number in range(5):
        start(audit, "Hi", run_id=str(number))
    for number in range(5):
        end(audit, RunOutput(run_id=str(number)), run_id=str(number))
    lengths = [r["seconds"] for r in lines(file) if r["kind"] == "end"]
    assert [length is None for length in lengths] == [True, True, False, False, False]


def test_the_figures_of_other_models_are_kept_too(file: Path) -> None:
    output = RunOutput(run_id="r", model="m", model_provider="P", status=RunStatus.completed)
    output.metrics = RunMetrics(input_tokens=2, output_tokens=3, total_tokens=5)
    end(AuditHook(file), output, Looks("A", SimpleNamespace(id="m", provider="P")))
    [record] = lines(file)
    assert record["status"] == "completed"
    assert (record["model"], record["provider"], record["answered"]) == ("m", "P", None)
    assert (record["input_tokens"], record["total_tokens"]) == (2, 5)
