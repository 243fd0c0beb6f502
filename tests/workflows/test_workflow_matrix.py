"""A step that is refused, whatever refuses it and wherever it stands, is the last one that runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent
from agno.run.base import RunStatus
from agno.run.workflow import WorkflowErrorEvent
from flows import ASKED, CONTAINERS, FORMS, SECRET, Stage, agent, ends_in_error
from pydantic import BaseModel

from agno_portkey.errors import Blocked
from agno_portkey.guardrails import Block, Guard, Passage, raise_on_block
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider, Fault

WORKFLOW_EVENTS = WorkflowErrorEvent.__module__


class Secrets(Guard):
    inline = True

    def inspect(self, passage: Passage) -> Block | None:
        return Block("a project is named") if SECRET in passage.text else None


IN, OUT = Secrets(on="input"), Secrets(on="output")


class Answer(BaseModel):
    words: list[str]


def _modelled(model: PortkeyModel, **options: Any) -> PortkeyModel:
    return PortkeyModel(
        base_url=model.base_url,
        portkey_provider="openai",
        api_key="test-key",
        custom_host=model.custom_host,
        **options,
    )


# What refuses the first step, and how many requests it has made until then.
REFUSALS: dict[str, tuple[Callable[[PortkeyModel], Agent], int]] = {
    "pre_hook": (lambda model: agent("First", model, pre_hooks=[IN]), 0),
    "post_hook": (lambda model: agent("First", model, post_hooks=[OUT]), 1),
    "model_input": (
        lambda model: agent("First", _modelled(model, guards=[IN])),
        0,
    ),
    "model_output": (
        lambda model: agent("First", _modelled(model, guards=[OUT])),
        1,
    ),
    "contract": (lambda model: agent("First", model, output_schema=Answer), 3),
    "gateway": (lambda model: agent("First", _modelled(model)), 1),
}


def _requests(provider: EmbeddedProvider, name: str) -> int:
    return sum(f"You are {name}." in str(call.body["messages"]) for call in provider.calls)


# A container can't tell these from the others: a few stand for all.
ELSEWHERE = ("post_hook", "model_input", "contract")
CELLS = [
    (container, refusal)
    for container in CONTAINERS
    for refusal in REFUSALS
    if refusal not in ELSEWHERE or container in ("bare", "nested", "function")
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("container", "refusal"), CELLS)
def test_nothing_runs_after_a_refused_step(
    container: str,
    refusal: str,
    form: str,
    tmp_path: Path,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    make, asked = REFUSALS[refusal]
    of_input = refusal in ("pre_hook", "model_input")
    text = ASKED if of_input else "hello"
    portkey_provider.when("You are First", f"It is {SECRET}.")
    portkey_provider.when("You are Second", "second was here")
    if refusal == "gateway":
        portkey_provider.fault(Fault.status(400), times=None)
    first, second = make(portkey_model), agent("Second", portkey_model)
    stage = Stage(tmp_path, CONTAINERS[container](first, second), store_events=True)

    ended = stage.play(form, text)

    assert _requests(portkey_provider, "First") == asked
    assert _requests(portkey_provider, "Second") == 0
    assert ended.run.status == RunStatus.error
    assert "stopped the workflow" in str(ended.run.content)
    assert stage.stored().status == RunStatus.error
    assert stage.stored().content == ended.run.content
    if ended.events:
        assert ends_in_error(ended)
    assert SECRET not in stage.rows
    if not (refusal == "post_hook" and ended.events):
        # The host lets a stream's tokens go before the post-hooks: guards in the model hold them.
        assert SECRET not in ended.shown
    if refusal != "gateway":
        with pytest.raises(Blocked):
            raise_on_block(ended.run)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("container", CONTAINERS)
def test_an_honest_workflow_ends_as_on_plain_agno(
    container: str,
    form: str,
    tmp_path: Path,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    outcomes = []
    for plain in (True, False):
        (tmp_path / str(plain)).mkdir()
        portkey_provider.reset()
        portkey_provider.when("You are First", "first was here")
        portkey_provider.when("You are Second", "second was here")
        first, second = agent("First", portkey_model), agent("Second", portkey_model)
        steps = CONTAINERS[container](first, second)
        stage = Stage(tmp_path / str(plain), steps, plain=plain)
        ended = stage.play(form)
        sent = [call.body["messages"] for call in portkey_provider.calls]
        # The agents' own events differ by those of the hooks that `govern` installs.
        kinds = [kind for kind in ended.kinds if kind.__module__ == WORKFLOW_EVENTS]
        outcomes.append((ended.run.status, ended.run.content, kinds, sent))
    assert outcomes[0] == outcomes[1]
    assert outcomes[0][0] == RunStatus.completed
