"""Figures of structured outputs: by role, model and arm, with what failed attempts took."""

from __future__ import annotations

from typing import Any

import pytest
from agno.agent import Agent
from four_forms import FORMS, play
from rich.console import Console
from verses import GOOD, WRONG, Verse

from agno_portkey.contracts import ContractFigures, Repair
from agno_portkey.model import PortkeyModel
from agno_portkey.routing import LoadBalance, Target
from agno_portkey.routing.local import LocalGateway
from agno_portkey.testing import EmbeddedProvider, Reply, Usage
from agno_portkey.verdict import Event, Verdict

RIGHT = GOOD.model_dump_json()
FENCED = '{"text": "a", "lines": 1,}'
LOOSE = '{"text": "a", "lines": "1"}'


@pytest.mark.parametrize("form", FORMS)
def test_each_answer_counts_once_with_the_rung_that_brought_it(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    figures = ContractFigures()
    portkey_model.observers = [figures]
    portkey_model.repair = Repair(reasks=1, stronger="gpt-4o")
    for text in (RIGHT, FENCED, LOOSE, WRONG, RIGHT, WRONG, WRONG, RIGHT, WRONG, WRONG, WRONG):
        portkey_provider.reply(Reply(text, usage=Usage(10, 5)))
    poet = Agent(name="Poet", model=portkey_model, output_schema=Verse)

    for _ in range(6):
        play(poet, form)

    # The model that was asked first counts, whoever rescued it.
    (row,) = figures.rows()
    assert (row.role, row.model, row.schema) == ("Poet", "gpt-4o-mini", "Verse")
    rungs = {"given": 1, "repair": 1, "coercion": 1, "reask": 1, "stronger": 1}
    assert (row.rungs, row.refused, row.outputs) == (rungs, 1, 6)
    assert (row.attempts, row.failed_tokens) == (11, 15 + 30 + 45)
    assert row.first_try_rate == 1 / 6


def test_arms_of_an_experiment_are_told_apart(
    portkey_provider: EmbeddedProvider, portkey_gateway: LocalGateway
) -> None:
    here: dict[str, Any] = {"provider": "openai", "api_key": "k"}
    arms = [
        Target(name=name, model=name, custom_host=portkey_provider.url, weight=0.5, **here)
        for name in ("plain", "terse")
    ]
    route = LoadBalance(targets=arms, sticky="session", experiment="prompts")
    figures = ContractFigures()
    model = PortkeyModel(base_url=portkey_gateway.url, config=route, observers=[figures])
    portkey_provider.when(lambda request: request.model == "plain", RIGHT)
    portkey_provider.when(lambda request: request.model == "terse", LOOSE)
    for number in range(12):
        play(Agent(model=model, output_schema=Verse), "run", session_id=str(number))
    rates = {row.arm: row.first_try_rate for row in figures.rows()}
    assert rates == {"plain": 1.0, "terse": 0.0}


def test_they_print_as_a_table() -> None:
    figures = ContractFigures()
    told = {"stage": "model", "rung": "reask", "attempts": 2, "failed_tokens": 7, "model": "m"}
    verdict = Verdict(True, "contract Plan")
    figures(Event("contract", role="Planner", verdict=verdict, data=told | {"failed_cost": 0.01}))
    (row,) = figures.rows()
    assert (row.rungs["reask"], row.failed_tokens, row.failed_cost) == (1, 7, 0.01)
    shown = Console(width=200)
    with shown.capture() as text:
        shown.print(figures)
    for word in ("Planner", "Plan", "reask", "$0.0100"):
        assert word in text.get()


@pytest.mark.parametrize(
    "event",
    [
        Event("gate", verdict=Verdict(True, "gate")),
        Event("contract"),
        Event("contract", verdict=Verdict(False, "contract Plan"), data={"stage": "post"}),
        Event("contract", verdict=Verdict(False, "contract Plan"), data={"stage": "model"}),
    ],
)
def test_what_tells_of_no_answer_is_not_counted(event: Event) -> None:
    figures = ContractFigures()
    figures(event)
    assert figures.rows() == []


def test_the_figures_do_not_grow_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agno_portkey.contracts.figures._MAX_ROWS", 3)
    figures = ContractFigures()
    told = {"stage": "model", "rung": "given", "attempts": 1}
    for number in range(9):
        verdict = Verdict(True, "contract Plan")
        figures(Event("contract", role=str(number % 5), verdict=verdict, data=told))
    assert [(row.role, row.outputs) for row in figures.rows()] == [("0", 2), ("1", 2), ("2", 2)]
