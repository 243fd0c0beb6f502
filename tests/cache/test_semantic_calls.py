"""Questions worded otherwise: served within the budget of errors, or as a verifier says."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from agno.agent import Agent
from cached_agents import Always
from four_forms import FORMS, play

from agno_portkey import PortkeyModel
from agno_portkey.cache import Cache, CacheFigures, CachePolicy, Comparison
from agno_portkey.testing import EmbeddedProvider, Reply

FRANCE = ["What is the capital of France?", "What's the capital of France?", "capital of France?"]
AUSTRIA = "What is the capital of Austria?"


Makes = Callable[..., Agent]


@pytest.fixture
def agent(portkey_provider: EmbeddedProvider, cache: Cache, figures: CacheFigures) -> Makes:
    def said(request: Any) -> str:
        words = request.body["messages"][-1]["content"]
        return "Vienna." if "Austria" in words else "Paris."

    portkey_provider.when(lambda request: True, said)

    def made(**options: Any) -> Agent:
        policy = CachePolicy(**{"kind": "semantic", "store": cache, "sample": 0, **options})
        model = PortkeyModel(
            base_url=portkey_provider.url, api_key="k", cache=policy, observers=[figures]
        )
        return Agent(model=model)

    return made


def asked(form: str, agent: Agent, question: str, user: str = "ann") -> Any:
    return play(agent, form, question, user_id=user).content


@pytest.mark.parametrize("form", FORMS)
def test_it_begins_by_asking_and_serves_once_it_has_learnt(
    form: str, agent: Makes, portkey_provider: EmbeddedProvider, figures: CacheFigures
) -> None:
    willing = agent(max_error=0.5)
    # The first is never served: nothing is known.
    assert [asked(form, willing, question) for question in FRANCE[:2]] == ["Paris."] * 2
    assert len(portkey_provider.calls) == 2
    assert figures.rows()[0].compared == 1
    for user in range(12):
        for question in FRANCE:
            assert asked(form, willing, question, f"user {user}") == "Paris."
    assert figures.rows()[0].outcomes["near"] > 5
    # What is learnt of those who are alike is nothing known of those who are not.
    assert asked(form, willing, AUSTRIA, "user 3") == "Vienna."


def test_what_the_policy_allows_is_kept_with_what_was_compared(agent: Makes, cache: Cache) -> None:
    for budget in (0.2, 0.1):
        for question in FRANCE[:2]:
            asked("run", agent(max_error=budget), question, f"{budget}")
    assert [each.max_error for _, each in cache.store.evidence(0)] == [0.2, 0.1]


def test_what_was_learnt_is_known_to_who_opens_the_store_later(
    portkey_provider: EmbeddedProvider, tmp_path: Any, agent: Makes
) -> None:
    file = str(tmp_path / "answers.db")
    for store in (Cache(file, random=Always()), Cache(file, random=Always())):
        willing = agent(store=store, max_error=0.5)
        before = len(portkey_provider.calls)
        for user in range(8):
            for question in FRANCE:
                asked("run", willing, question, f"{id(store)} {user}")
        if before:
            assert len(portkey_provider.calls) - before == 8
        store.close()


@pytest.mark.parametrize("form", FORMS)
def test_a_verifier_is_asked_before_anything_is_served(
    form: str, agent: Makes, portkey_provider: EmbeddedProvider, figures: CacheFigures
) -> None:
    seen: list[Comparison] = []

    def same(comparison: Comparison) -> bool:
        seen.append(comparison)
        return "France" in comparison.question and "France" in comparison.kept_question

    careful = agent(verifier=same, floor=0.5)
    for question in FRANCE:
        assert asked(form, careful, question) == "Paris."
    assert len(portkey_provider.calls) == 1
    assert (seen[0].answer, seen[0].kept_answer) == (None, "Paris.")
    assert asked(form, careful, AUSTRIA) == "Vienna."
    assert len(portkey_provider.calls) == 2
    [row] = figures.rows()
    assert (row.outcomes["near"], row.outcomes["miss"]) == (2, 2)


async def _says_yes(comparison: Comparison) -> bool:
    return True


class _Object:
    async def __call__(self, comparison: Comparison) -> bool:
        return True


@pytest.mark.parametrize("verifier", [_says_yes, _Object()])
@pytest.mark.parametrize("form", FORMS)
def test_a_verifier_may_await(
    form: str, verifier: Any, agent: Makes, portkey_provider: EmbeddedProvider
) -> None:
    careful = agent(verifier=verifier)
    for question in FRANCE:
        assert asked(form, careful, question) == "Paris."
    assert len(portkey_provider.calls) == 1


def _raises(comparison: Comparison) -> bool:
    raise ZeroDivisionError


@pytest.mark.parametrize(
    "verifier", [_raises, lambda c: "yes", lambda c: 1, lambda c: None, lambda c: object()]
)
def test_a_verifier_that_fails_or_says_neither_serves_nothing(
    verifier: Any, agent: Makes, portkey_provider: EmbeddedProvider
) -> None:
    careful = agent(verifier=verifier)
    for question in FRANCE:
        assert asked("run", careful, question) == "Paris."
    assert len(portkey_provider.calls) == 3


def test_a_verifier_that_hangs_is_left(
    agent: Makes, portkey_provider: EmbeddedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agno_portkey.cache.layer._VERIFYING", 0.05)
    careful = agent(verifier=lambda comparison: time.sleep(1) or True)
    for question in FRANCE[:2]:
        assert asked("run", careful, question) == "Paris."
    assert len(portkey_provider.calls) == 2


def test_others_are_never_served_whatever_a_verifier_says(
    agent: Makes, portkey_provider: EmbeddedProvider
) -> None:
    seen: list[Comparison] = []
    careful = agent(verifier=lambda comparison: seen.append(comparison) or True)
    for user in ("ann", "bob"):
        asked("run", careful, FRANCE[0], user)
    assert (len(portkey_provider.calls), seen) == (2, [])


def test_observed_it_serves_nothing_and_learns(
    agent: Makes, portkey_provider: EmbeddedProvider, figures: CacheFigures
) -> None:
    watching = agent(mode="observe", max_error=0.5)
    for user in range(8):
        for question in FRANCE:
            asked("run", watching, question, f"user {user}")
    assert len(portkey_provider.calls) == 24
    [row] = figures.rows()
    assert (row.outcomes["near"], row.compared) == (0, 16)
    assert row.would["near"] > 0


def test_answers_that_differ_teach_it_not_to_serve(
    agent: Makes, portkey_provider: EmbeddedProvider, figures: CacheFigures
) -> None:
    portkey_provider.reset()
    count = iter(range(1000))
    portkey_provider.when(lambda request: True, lambda request: f"Answer {next(count)}")
    willing = agent(max_error=0.2)
    for user in range(8):
        for question in FRANCE:
            asked("run", willing, question, f"user {user}")
    [row] = figures.rows()
    assert (row.outcomes["near"], row.different) == (0, row.compared)


def test_an_embedder_that_fails_breaks_no_call(
    agent: Makes, portkey_provider: EmbeddedProvider
) -> None:
    class Fails:
        id = "fails"

        def embed(self, texts: Any) -> Any:
            raise OSError

    careful = agent(store=Cache(":memory:", embedder=Fails()))  # type: ignore[arg-type]
    for question in FRANCE:
        assert asked("run", careful, question) == "Paris."
    assert len(portkey_provider.calls) == 3


def test_a_near_hit_says_that_it_is_one(agent: Makes, portkey_provider: EmbeddedProvider) -> None:
    careful = agent(verifier=lambda comparison: True)
    for question in FRANCE[:2]:
        output = careful.run(question, user_id="ann")
    said = output.messages[-1].provider_data["portkey"]  # type: ignore[index]
    assert said["cache"] == "near"
    assert 0.75 <= said["likeness"] < 1
    assert portkey_provider.reply(Reply("x")) is None
