"""`WaitingHook`: awaited by whoever can, done at once for whoever can't; it never fails open."""

from __future__ import annotations

from typing import Any

import pytest
from agno.agent import Agent
from agno.run.base import RunStatus
from four_forms import FORMS, play

from agno_portkey import PortkeyModel
from agno_portkey.drivers import AsyncIO, SyncIO
from agno_portkey.errors import InputBlocked, OutputBlocked
from agno_portkey.hooks.base import Moment, WaitingHook
from agno_portkey.testing import EmbeddedProvider
from agno_portkey.verdict import Verdict


class Waits(WaitingHook):
    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.waited: list[type] = []
        self.said: list[Any] = []

    async def abefore(self, moment: Moment, io: Any) -> None:
        self.waited.append(type(io))
        await io.run(lambda: None)
        if self.error is not None:
            raise self.error

    def after(self, moment: Moment) -> None:
        self.said.append(moment.run_output.content)


@pytest.fixture
def model(portkey_provider: EmbeddedProvider) -> PortkeyModel:
    portkey_provider.when(lambda request: True, "Hello")
    return PortkeyModel(base_url=portkey_provider.url, api_key="k")


@pytest.mark.parametrize("form", FORMS)
def test_it_waits_as_the_run_does(form: str, model: PortkeyModel) -> None:
    hook = Waits()
    agent = Agent(model=model, pre_hooks=[hook], post_hooks=[hook])
    assert play(agent, form).content == "Hello"
    # And in another form after that.
    for other in FORMS:
        assert play(agent, other).content == "Hello"
    kinds = [AsyncIO if each in ("arun", "astream") else SyncIO for each in (form, *FORMS)]
    assert hook.waited == kinds
    assert len(hook.said) == 5


class WaitsAfter(WaitingHook):
    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.waited: list[type] = []

    async def aafter(self, moment: Moment, io: Any) -> None:
        self.waited.append(type(io))
        await io.run(lambda: None)
        if self.error is not None:
            raise self.error

    def after(self, moment: Moment) -> None:
        raise AssertionError("aafter is to be asked")


@pytest.mark.parametrize("form", FORMS)
def test_it_waits_after_a_run_too(form: str, model: PortkeyModel) -> None:
    hook = WaitsAfter()
    assert play(Agent(model=model, post_hooks=[hook]), form).content == "Hello"
    assert hook.waited == [AsyncIO if form in ("arun", "astream") else SyncIO]


@pytest.mark.parametrize("form", FORMS)
def test_what_it_raises_after_a_run_takes_the_answer_away(form: str, model: PortkeyModel) -> None:
    hook = WaitsAfter(ZeroDivisionError("secret"))
    ended = play(Agent(model=model, post_hooks=[hook]), form)
    assert ended.status == RunStatus.error
    assert "Hello" not in str(ended.content)
    assert "secret" not in str(ended.content)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "error", [ZeroDivisionError("secret"), InputBlocked(Verdict(False, "x", ("no",)))]
)
def test_what_it_raises_blocks(
    form: str, error: Exception, model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    ended = play(Agent(model=model, pre_hooks=[Waits(error)]), form)
    assert ended.status == RunStatus.error
    assert portkey_provider.calls == []
    assert "secret" not in str(ended.content)


def test_it_may_be_called_by_hand() -> None:
    hook = Waits()
    hook.before(None)  # type: ignore[arg-type]
    assert hook.waited == [SyncIO]


def test_without_a_body_it_does_nothing_where_it_is_asked() -> None:
    class After(WaitingHook):
        def after(self, moment: Moment) -> None:
            raise OutputBlocked(Verdict(False, "after", ("no",)))

    After().before(None)  # type: ignore[arg-type]
