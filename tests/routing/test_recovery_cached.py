"""Beside a cache: the text that recovery kept is gone on with, and the whole is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from agno.agent import Agent
from agno.run.base import RunStatus
from four_forms import FORMS, STREAMED, play

from agno_portkey.cache import Cache, CachePolicy
from agno_portkey.model import PortkeyModel
from agno_portkey.routing.config.routes import Fallback, Target
from agno_portkey.routing.recovery.settings import Recovery
from agno_portkey.testing import EmbeddedProvider, Fault, Reply, Request

TEXT = "one two three four five six seven eight nine ten"


def _goes_on(request: Request) -> Reply:
    last = request.messages[-1]
    said = last["content"] if last["role"] == "assistant" else ""
    return Reply(TEXT[len(said) :], chunk_size=4)


@pytest.mark.parametrize("form", STREAMED)
@pytest.mark.parametrize("later", FORMS)
def test_the_kept_beginning_is_gone_on_with_and_the_whole_is_kept(
    form: str,
    later: str,
    target: Callable[..., Target],
    through: Callable[..., PortkeyModel],
    portkey_provider: EmbeddedProvider,
) -> None:
    portkey_provider.when(lambda request: True, _goes_on)
    portkey_provider.fault(Fault.cut(), model="first")
    portkey_provider.fault(Fault.status(503), times=1, model="second")
    route = Fallback(targets=[target("first"), target("second", prefill=True)])
    cache = Cache(":memory:")
    policy = CachePolicy(store=cache)
    model = through(route, recovery=Recovery(attempts=2, wait=0.01), cache=policy)

    def run(how: str) -> Any:
        return play(Agent(model=model), how, session_id="s", user_id="ann")

    broken = run(form)
    assert broken.status == RunStatus.error
    assert cache.entries() == []
    again = run(form)
    assert (again.status, again.content) == (RunStatus.completed, TEXT)
    assert again.text_shown == TEXT
    begun = portkey_provider.calls[-1].messages[-1]
    assert (begun["role"], begun["content"]) == ("assistant", broken.text_shown.rstrip())
    asked = len(portkey_provider.calls)
    assert run(later).content == TEXT
    assert len(portkey_provider.calls) == asked
