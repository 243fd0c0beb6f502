"""Guards, contracts, stops and observers stand round a batch as round any call."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from agno.models.message import Message
from batch_forms import (
    INPUTS,
    RIGHT,
    Jobs,
    Models,
    Point,
    agent,
    bodies,
    said,
)

from agno_portkey import Contract, Repair, govern
from agno_portkey.errors import (
    ContractError,
    InputBlocked,
    InputContractError,
    OutputBlocked,
    Stopped,
)
from agno_portkey.guardrails import Block, Passage, Rewrite, guard
from agno_portkey.guardrails.pii import PIIGuardrail
from agno_portkey.stopping import StopSwitch
from agno_portkey.testing import EmbeddedProvider
from agno_portkey.verdict import Event


@guard
def no_beans(passage: Passage) -> Block | Rewrite | None:
    if passage.direction == "input" and "question 2" in passage.text:
        return Block("no twos")
    if passage.direction == "output" and "question 4" in passage.text:
        return Block("no fours")
    return None


def test_what_a_guard_blocks_is_the_error_of_its_line_alone(
    portkey_provider: EmbeddedProvider, job: Jobs, model: Models
) -> None:
    one = job(agent(model(guards=[no_beans])))
    assert one.submit().refused == 1
    assert len(bodies(portkey_provider)) == 6
    assert not any("question 2" in json.dumps(body) for body in bodies(portkey_provider))
    found = one.fetch(retry=True)
    assert [*found.errors] == [2, 4]
    assert isinstance(found.errors[2], InputBlocked)
    assert isinstance(found.errors[4], OutputBlocked)
    assert said(found) == [
        None if place in (2, 4) else f"to {text}" for place, text in enumerate(INPUTS)
    ]
    # A refusal is no failure to try again.
    assert (found.retried, portkey_provider.calls) == ((), [])
    with pytest.raises(InputBlocked):
        found.require()


def test_a_guard_that_raises_lets_nothing_out(
    portkey_provider: EmbeddedProvider, job: Jobs, model: Models
) -> None:
    @guard
    def broken(passage: Passage) -> None:
        raise RuntimeError("down")

    one = job(agent(model(guards=[broken])))
    with pytest.raises(InputBlocked, match="broken failed"):
        one.submit()
    assert portkey_provider.requests == []
    status = one.status()
    assert (status.refused, status.undecided, status.state) == (0, len(INPUTS), "submitting")
    found = one.fetch()
    assert [type(error) for error in found.errors.values()] == [InputBlocked] * len(INPUTS)


def test_half_a_character_is_refused_by_its_name(
    job: Jobs, portkey_provider: EmbeddedProvider
) -> None:
    given = ["half \ud83d", [Message(role="user", content="\udc00")], "whole 😀"]
    one = job(inputs=given)
    assert one.submit().refused == 2
    found = one.fetch()
    assert [*found.errors] == [0, 1]
    assert {type(error) for error in found.errors.values()} == {InputContractError}
    assert all("lone surrogate" in str(error) for error in found.errors.values())


def masking() -> PIIGuardrail:
    return PIIGuardrail("pseudonymize")


def test_masked_text_leaves_and_comes_back_after_a_restart(
    portkey_provider: EmbeddedProvider, job: Jobs, model: Models, tmp_path: Path
) -> None:
    inputs = ["Write to Ada Lovelace and Bob Ross", "Greet Bob Ross", "Lovelace, of Ada Lovelace"]
    assert job(agent(model(guards=[masking()])), inputs).submit().refused == 0
    sent = json.dumps(bodies(portkey_provider))
    assert "Lovelace and" not in sent
    assert "<PERSON_1>" in sent
    assert "Ross" not in sent
    held = (tmp_path / "job.journal").read_text()
    assert not any(word in held for word in ("Ada", "Lovelace", "Ross", "PERSON"))
    assert (tmp_path / "job.journal").stat().st_mode & 0o777 == 0o600
    # Another process: its guard has seen nothing yet.
    found = job(agent(model(guards=[masking()])), inputs).fetch()
    assert said(found) == [f"to {text}" for text in inputs]


def test_a_guard_that_has_learnt_names_meanwhile_asks_the_same(job: Jobs, model: Models) -> None:
    # What the second says makes a name of a word in the first.
    inputs = ["Tell zanthe to come", "Her name is Zanthe Miller, said Zanthe"]
    one = job(agent(model(guards=[masking()])), inputs, concurrency=1)
    one.submit()
    for _ in range(2):
        assert said(one.fetch()) == [f"to {text}" for text in inputs]


def test_an_answer_is_held_to_the_schema_and_mended_without_asking(
    portkey_provider: EmbeddedProvider, job: Jobs, model: Models
) -> None:
    portkey_provider.reset()
    said_of = {"question 0": '{"n": 1}', "question 1": '```json\n{"n": "2",}\n```'}
    portkey_provider.when(lambda r: True, lambda r: said_of.get(r.last_user, '{"m": 1}'))
    one = job(agent(model(), output_schema=Point), INPUTS[:3])
    one.submit()
    found = one.fetch()
    assert said(found)[:2] == [Point(n=1), Point(n=2)]
    assert [*found.errors] == [2]
    assert isinstance(found.errors[2], ContractError)
    assert portkey_provider.calls == []
    # Asked again, it climbs the whole ladder of the model's own.
    said_of["question 2"] = '{"n": 3}'
    again = one.fetch(retry=True)
    assert said(again)[2] == Point(n=3)
    assert (again.errors, again.retried) == ({}, (2,))


def test_rules_of_a_contract_hold_and_its_own_repair_asks_nobody(
    portkey_provider: EmbeddedProvider, job: Jobs, model: Models
) -> None:
    portkey_provider.reset()
    portkey_provider.when(lambda r: True, lambda r: {"n": int(r.last_user)})
    even = Contract(Point, rules=[lambda p: p.n % 2 == 0], repair=Repair(reasks=3))
    one = job(agent(model(contracts=[even]), output_schema=Point), ["1", "2"])
    one.submit()
    found = one.fetch()
    assert said(found) == [None, Point(n=2)]
    assert isinstance(found.errors[0], ContractError)
    assert portkey_provider.calls == []


def test_observers_hear_of_each_answer_once_and_of_the_job(job: Jobs, model: Models) -> None:
    heard: list[Event] = []
    one = job(agent(model(guards=[no_beans], observers=[heard.append])), INPUTS[:2])
    one.submit()
    kinds = [(event.kind, event.data.get("side")) for event in heard]
    assert kinds == [("guard", "input")] * 2 + [("batch", None)]
    heard.clear()
    one.submit()
    assert heard == []
    one.fetch()
    kinds = sorted((event.kind, event.data.get("side") or "") for event in heard)
    assert kinds == sorted(
        [("guard", "output"), ("attempt", ""), ("call", "")] * 2 + [("batch", "")]
    )
    calls = [event for event in heard if event.kind == "call"]
    assert all(event.data["input_tokens"] > 0 and event.data["batch"] for event in calls)
    [last] = [event for event in heard if event.kind == "batch"]
    total = sum(e.data["input_tokens"] + e.data["output_tokens"] for e in calls)
    assert (last.role, last.data["tokens"]) == ("Writer", total)


def test_a_stop_holds_back_files_and_answers_but_no_cancelling(
    portkey_provider: EmbeddedProvider,
    job: Jobs,
    model: Models,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    db = f"sqlite:///{tmp_path / 'stop.db'}"
    monkeypatch.setenv("AGNO_PORTKEY_DATABASE_URL", db)
    switch = StopSwitch(db)
    who = govern(agent(model()))
    one = job(who, max_lines=4)
    switch.stop("Writer")
    with pytest.raises(Stopped):
        one.submit()
    assert portkey_provider.requests == []
    known: Any = who.model.seat.brake.switch  # type: ignore[union-attr]
    switch.resume("Writer")
    known.read()
    portkey_provider.batches.by_hand = True
    one.submit()
    first, second = portkey_provider.batches.held
    portkey_provider.batches.advance(first, "completed", lines=4)
    switch.stop("Writer")
    known.read()
    asked = len(portkey_provider.requests)
    with pytest.raises(Stopped):
        one.fetch(retry=True)
    # It looked whether there was something to fetch.
    assert [r.method for r in portkey_provider.requests[asked:]] == ["GET"]
    assert one.cancel().state == "cancelling"
    # Nor one that is looked for, since nobody wrote down that it was made.
    path = tmp_path / "job.journal"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-2]))
    portkey_provider.batches.held[second]["status"] = "in_progress"
    one.cancel()
    assert portkey_provider.batches.held[second]["status"] == "cancelling"


def test_a_stop_while_answers_are_looked_at_is_no_error_of_theirs(
    job: Jobs, model: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    db = f"sqlite:///{tmp_path / 'stop.db'}"
    monkeypatch.setenv("AGNO_PORTKEY_DATABASE_URL", db)
    switch, stopped = StopSwitch(db), []

    @guard
    def stops(passage: Passage) -> None:
        if passage.direction == "output" and not stopped:
            switch.stop("Writer")
            stopped.append(who.model.seat.brake.switch.read())  # type: ignore[union-attr]

    who = govern(agent(model(guards=[stops])))
    one = job(who, concurrency=1)
    one.submit()
    with pytest.raises(Stopped):
        one.fetch()
    switch.resume("Writer")
    who.model.seat.brake.switch.read()  # type: ignore[union-attr]
    assert said(one.fetch()) == RIGHT


def test_a_governed_agent_is_governed_here_too(
    portkey_provider: EmbeddedProvider, job: Jobs, model: Models
) -> None:
    who = govern(agent(model()), guards=[no_beans], tags={"cost_center": "cc-7"})
    one = job(who)
    assert one.submit().refused == 1
    assert [*one.fetch().errors] == [2, 4]
    assert "cc-7" in portkey_provider.requests[0].headers["x-portkey-metadata"]
