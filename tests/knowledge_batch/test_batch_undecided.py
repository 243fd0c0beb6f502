"""What only could not be sent now is nobody's refusal: it is asked about again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from batch_forms import INPUTS, RIGHT, Jobs, Models, agent, bodies, said

from agno_portkey import Policy, govern
from agno_portkey.errors import (
    BudgetExceeded,
    ConfigurationError,
    InputBlocked,
    ModelNotAllowed,
    SecretUnavailable,
    Stopped,
    UpstreamFailed,
)
from agno_portkey.guardrails import Block, Passage, guard
from agno_portkey.knowledge import RunFailed
from agno_portkey.secrets import Secret
from agno_portkey.stopping import StopSwitch
from agno_portkey.telemetry.ledger import Budget, Ledger
from agno_portkey.testing import EmbeddedProvider, Fault


def test_a_guard_that_fails_refuses_nobody_for_good(
    portkey_provider: EmbeddedProvider, job: Jobs, model: Models
) -> None:
    down = ["question 1", "question 3"]

    @guard
    def flaky(passage: Passage) -> Block | None:
        if any(text in passage.text for text in down):
            raise RuntimeError("down")
        return Block("no sixes") if "question 6" in passage.text else None

    one = job(agent(model(guards=[flaky])), max_lines=3)
    for _ in range(2):
        with pytest.raises(InputBlocked, match="flaky failed"):
            one.submit()
    status = one.status()
    assert (status.refused, status.undecided, status.submitted) == (1, 2, True)
    # What was sent is there meanwhile, and what was not says so.
    found = one.fetch()
    assert [*found.errors] == [1, 3, 6]
    down.pop()
    assert isinstance(one.fetch().errors[3], ConfigurationError)
    with pytest.raises(InputBlocked, match="flaky failed"):
        one.submit()
    down.clear()
    status = one.submit()
    assert (status.refused, status.undecided, status.submitted) == (1, 0, True)
    assert said(one.fetch()) == [*RIGHT[:6], None]
    texts = [body["messages"][-1]["content"] for body in bodies(portkey_provider)]
    assert sorted(texts) == INPUTS[:6]


def test_nor_does_it_where_a_part_was_begun(
    portkey_provider: EmbeddedProvider, job: Jobs, model: Models
) -> None:
    down: list[str] = []

    @guard
    def flaky(passage: Passage) -> None:
        if down:
            raise RuntimeError("down")

    one = job(agent(model(guards=[flaky])))
    portkey_provider.fault(Fault.status(400), times=1, route="POST /files")
    with pytest.raises(UpstreamFailed):
        one.submit()
    down.append("now")
    with pytest.raises(InputBlocked, match="flaky failed"):
        one.submit()
    down.clear()
    one.submit()
    assert said(one.fetch()) == RIGHT


class Down:
    """Whoever has the keys, while they can't be had."""

    environment: str | None = None

    def __init__(self) -> None:
        self.down = True

    def read(self, name: str) -> str:
        if self.down:
            raise SecretUnavailable("the keys can't be read now")
        return "k"


@pytest.mark.parametrize("begun", [False, True])
def test_nor_does_a_run_that_fails(
    begun: bool, portkey_provider: EmbeddedProvider, job: Jobs, model: Models
) -> None:
    if begun:
        portkey_provider.fault(Fault.status(400), times=1, route="POST /files")
        with pytest.raises(UpstreamFailed):
            job().submit()
    asked = len(portkey_provider.requests)
    keys = Down()
    one = job(agent(model(api_key=Secret("key", keys))))
    with pytest.raises(RunFailed, match="the keys can't be read now"):
        one.submit()
    status = one.status()
    assert (status.refused, status.state) == (0, "submitting")
    assert status.undecided == (0 if begun else len(INPUTS))
    assert len(portkey_provider.requests) == asked
    keys.down = False
    assert one.submit().refused == 0
    assert said(one.fetch()) == RIGHT


def test_what_was_undecided_may_be_refused_at_last(job: Jobs, model: Models) -> None:
    down = [True]

    @guard
    def flaky(passage: Passage) -> Block | None:
        if "question 1" in passage.text and down:
            raise RuntimeError("down")
        return Block("no ones") if "question 1" in passage.text else None

    one = job(agent(model(guards=[flaky])))
    with pytest.raises(InputBlocked, match="flaky failed"):
        one.submit()
    down.clear()
    one.submit()
    status = one.status()
    assert (status.refused, status.undecided, status.submitted) == (1, 0, True)


def test_what_was_begun_while_another_is_undecided_is_not_taken_for_sent(
    portkey_provider: EmbeddedProvider, job: Jobs, model: Models
) -> None:
    """Nobody waits for ever for a batch that was never made."""
    down = ["question 1", "question 3"]

    @guard
    def flaky(passage: Passage) -> None:
        if any(text in passage.text for text in down):
            raise RuntimeError("down")

    one = job(agent(model(guards=[flaky])))
    with pytest.raises(InputBlocked, match="flaky failed"):
        one.submit()
    down.pop()
    portkey_provider.fault(Fault.status(400), times=1, route="POST /files")
    with pytest.raises(UpstreamFailed):
        one.submit()
    status = one.wait(every=0.01)
    assert (status.state, status.submitted, status.over) == ("submitting", False, False)
    with pytest.raises(ConfigurationError, match="submit it again"):
        one.fetch()
    down.clear()
    one.submit()
    assert said(one.fetch()) == RIGHT


@pytest.mark.parametrize("begun", [False, True])
def test_a_stop_amid_is_nobodys_refusal(
    begun: bool,
    portkey_provider: EmbeddedProvider,
    job: Jobs,
    model: Models,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    db = f"sqlite:///{tmp_path / 'stop.db'}"
    monkeypatch.setenv("AGNO_PORTKEY_DATABASE_URL", db)
    switch, stopped = StopSwitch(db), []

    @guard
    def stops(passage: Passage) -> None:
        if "question 3" in passage.text and not stopped:
            switch.stop("Writer")
            stopped.append(who.model.seat.brake.switch.read())  # type: ignore[union-attr]

    if begun:
        portkey_provider.fault(Fault.status(400), times=1, route="POST /files")
        with pytest.raises(UpstreamFailed):
            job(concurrency=1, max_lines=2).submit()
    who = govern(agent(model(guards=[stops])))
    one = job(who, concurrency=1)
    with pytest.raises(Stopped):
        one.submit()
    switch.resume("Writer")
    who.model.seat.brake.switch.read()  # type: ignore[union-attr]
    assert one.submit().refused == 0
    assert said(one.fetch()) == [f"to {text}" for text in INPUTS]


@pytest.mark.parametrize("begun", [False, True])
def test_a_budget_that_is_used_up_is_nobodys_refusal(
    begun: bool, portkey_provider: EmbeddedProvider, job: Jobs, model: Models, tmp_path: Path
) -> None:
    now = [datetime(2026, 5, 1, 12, tzinfo=UTC)]
    ledger = Ledger(str(tmp_path / "ledger.db"), timeout=30)
    ledger._clock = lambda: now[0]
    budgets = ledger.budgets(Budget(per="day", limit_tokens=1))
    held = model(budgets=budgets, observers=[ledger])
    if begun:
        portkey_provider.fault(Fault.status(400), times=1, route="POST /files")
        with pytest.raises(UpstreamFailed):
            job(agent(held)).submit()
    agent(held).run("spend it")
    asked = len(portkey_provider.requests)
    one = job(agent(held))
    with pytest.raises(BudgetExceeded, match="tokens are spent"):
        one.submit()
    assert len(portkey_provider.requests) == asked
    status = one.status()
    assert (status.refused, status.undecided, status.submitted) == (0, 0, False)
    now[0] += timedelta(days=1)
    assert one.submit().refused == 0
    assert said(one.fetch()) == RIGHT
    ledger.flush()


def test_a_model_that_is_not_allowed_refuses_no_input(
    portkey_provider: EmbeddedProvider,
    job: Jobs,
    model: Models,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Otherwise it would be refused before there is a job.
    monkeypatch.setenv("AGNO_PORTKEY_MODELS_MODE", "off")
    one = job(govern(agent(model()), policy=Policy(models={"everyone": ["o3"]})))
    monkeypatch.delenv("AGNO_PORTKEY_MODELS_MODE")
    with pytest.raises(ModelNotAllowed, match="may not ask"):
        one.submit()
    assert (portkey_provider.requests, one.status().refused) == ([], 0)
    monkeypatch.setenv("AGNO_PORTKEY_MODELS_MODE", "off")
    one.submit()
    assert said(one.fetch()) == RIGHT
