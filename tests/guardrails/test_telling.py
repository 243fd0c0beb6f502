"""Neither a place in the data nor a guard's failure tells what somebody wrote."""

from __future__ import annotations

import logging

import pytest
from agno.agent import Agent
from four_forms import FORMS, play

from agno_portkey.errors import AnalysisFailed, UpstreamFailed
from agno_portkey.guardrails import Flag, Guard, Passage, Rewrite
from agno_portkey.guardrails.findings import NoFinding
from agno_portkey.guardrails.passages import Unreadable
from agno_portkey.guardrails.telling import path_told
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider, Reply, ToolCall
from agno_portkey.verdict import Event, failure_told
from agno_portkey.workers import TooLate

MAIL = "ann.lee@corp.internal"


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("", ""),
        ("name", "name"),
        ("tools[0].function.parameters", "tools[0].function.parameters"),
        ("images[12].url", "images[12].url"),
        ("(as written)", "(as written)"),
        (MAIL, "(key)"),
        (f"to.{MAIL}[0].name", "(key)[0].name"),
        (f"metadata.{MAIL}", "metadata.(key)"),
        ("[536228726]", "(key)"),
        ("a[1]b", "(key)"),
        ("x[0][1]", "(key)[0][1]"),
    ],
)
def test_a_path_tells_indices_and_fields(path: str, told: str) -> None:
    assert path_told(path) == told


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (KeyError(MAIL), "KeyError"),
        (TimeoutError(MAIL), "TimeoutError"),
        (UpstreamFailed(f"no such user: {MAIL}", 500), "UpstreamFailed (status 500)"),
        (AnalysisFailed("too slow"), "AnalysisFailed: too slow"),
        (Unreadable("a set"), "a set"),
        (NoFinding("no finding"), "no finding"),
        (TooLate("no answer in 5 s"), "no answer in 5 s"),
    ],
)
def test_a_failure_tells_its_kind_and_only_our_own_words(error: Exception, told: str) -> None:
    assert failure_told(error) == told


class Finds(Guard):
    """Flags, or rewrites, each text it is asked about."""

    inline = True
    rewrites = True

    def inspect(self, passage: Passage) -> Flag | Rewrite | None:
        if MAIL in passage.text:
            return Rewrite("x", evidence={})
        return Flag("seen") if passage.path else None


@pytest.mark.parametrize("form", FORMS)
def test_a_key_reaches_no_observer(
    form: str, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    def f(x: dict[str, str]) -> str:
        return "y"

    heard: list[Event] = []
    portkey_model.guards, portkey_model.observers = (Finds(),), (heard.append,)
    portkey_provider.reply(Reply(None, tool_calls=(ToolCall("f", {"x": {MAIL: "1"}}),)))
    play(Agent(model=portkey_model, tools=[f]), form, "Hi")
    assert "(key)" in repr(heard)
    assert MAIL not in repr(heard)


class Boom(Guard):
    inline = True

    def inspect(self, passage: Passage) -> None:
        raise KeyError(passage.text.split()[-1])


@pytest.mark.parametrize("form", FORMS)
def test_what_a_guard_fails_with_reaches_no_caller(
    form: str,
    portkey_model: PortkeyModel,
    portkey_provider: EmbeddedProvider,
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard: list[Event] = []
    portkey_model.guards, portkey_model.observers = (Boom(),), (heard.append,)
    with caplog.at_level(logging.DEBUG, "agno_portkey"):
        ended = play(Agent(model=portkey_model), form, "it is bluebird")
    assert ended.content == "Boom failed: KeyError"
    assert "bluebird" not in repr(ended.errors) + repr(heard)
    [noted] = [each for each in caplog.records if each.getMessage() == "Boom failed"]
    assert noted.levelno == logging.DEBUG
    assert noted.exc_info is not None
    assert str(noted.exc_info[1]) == "'bluebird'"
