"""Verdicts are data, and an observer can't hurt a run."""

from __future__ import annotations

import dataclasses
import json
import logging
import pickle

import pytest

from agno_portkey import Event, Observer, Verdict
from agno_portkey.errors import Blocked, GateClosed, OutputBlocked, RunDeclined
from agno_portkey.verdict import hear_everything, heard, tell


def test_a_verdict_reads_as_one_line_and_as_json() -> None:
    verdict = Verdict(False, "gate", ("a", "b"), score=3, evidence={"plan_digest": "x"})
    assert verdict.reason == "a; b"
    assert json.loads(json.dumps(verdict.as_dict()))["reason"] == "a; b"
    assert Verdict(True, "gate").reason == "passed"
    assert Verdict(False, "gate").reason == "refused"
    with pytest.raises(dataclasses.FrozenInstanceError):
        verdict.passed = True  # type: ignore[misc]


@pytest.mark.parametrize("kind", [GateClosed, OutputBlocked, RunDeclined])
def test_a_blocking_error_carries_its_verdict_everywhere(kind: type[Blocked]) -> None:
    verdict = Verdict(False, "gate", ("no",), evidence={"k": 1})
    error = kind(verdict, "it said no")
    assert str(error) == error.message == "it said no"
    assert error.additional_data["verdict"]["reasons"] == ["no"]
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert again.verdict == verdict
    assert str(again) == "it said no"


def test_an_observer_that_raises_is_logged_and_the_next_one_hears(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told: list[Event] = []

    def broken(event: Event) -> None:
        raise RuntimeError("deaf")

    event = Event("call", role="R")
    with caplog.at_level(logging.ERROR, logger="agno_portkey"):
        tell([broken, told.append], event)
    assert told == [event]
    assert "deaf" in caplog.text
    assert isinstance(broken, Observer)


def test_a_bound_method_that_heard_everything_hears_no_more() -> None:
    told: list[Event] = []
    before, event = heard(()), Event("call")
    hear_everything(told.append)
    hear_everything(told.append)
    tell((), event)
    assert told == [event]
    hear_everything(told.append, again=False)
    tell((), event)
    assert told == [event]
    assert heard(()) == before
