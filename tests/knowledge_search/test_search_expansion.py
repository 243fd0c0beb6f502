"""A query is expanded, never replaced; what that cost is told."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from agno.knowledge.document import Document
from hypothesis import given
from hypothesis import strategies as st
from searched import Opens, Words, by_words, doc

from agno_portkey import PortkeyModel
from agno_portkey.errors import ConfigurationError, Stopped
from agno_portkey.knowledge import Feedback, Found, HybridSearch, Rewrites
from agno_portkey.testing import EmbeddedProvider, Fault
from agno_portkey.verdict import Verdict

CAT, LION, PUMP = "cats purr at home", "cats and lions are felids", "felids roam the savanna"


def found(search: HybridSearch, query: str, form: str) -> Found:
    if form == "async":
        return asyncio.run(search.afind(query, limit=10))
    return search.find(query, limit=10)


@pytest.fixture(params=["sync", "async"])
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_feedback_finds_what_the_best_speak_of(opens: Opens, embedder: Words, form: str) -> None:
    plain, fed = opens(), opens(expansion=Feedback(documents=2))
    plain.insert("h", [doc(CAT), doc(LION), doc(PUMP), *(doc(f"pump {n}") for n in range(5))])
    assert by_words(plain, "lions") == {LION}
    embedder.asked.clear()
    told = found(fed, "lions", form)
    assert next(iter(told)).document.content == LION
    assert {hit.document.content for hit in told if hit.words} >= {LION, CAT, PUMP}
    assert [cost.step for cost in told.costs] == ["embedding", "search", "feedback"]
    assert (embedder.asked, told.queries) == (["lions"], ("lions",))


def test_terms_by_hand() -> None:
    best = [
        (3.0, Document(content="the wing flutters, wings")),
        (1.0, Document(content="wing lift")),
    ]
    terms = Feedback(terms=2, weight=0.5).terms_for({"wings": 1.0, "speed": 1.0}, best)
    # wing: 3/4 * 2/3 + 1/4 * 1/2 = 0.625; flutter: 3/4 * 1/3 = 0.25; lift: 1/8.
    of_wing, of_flutter = 0.625 / 0.875, 0.25 / 0.875
    assert terms == pytest.approx(
        {"wings": 0.25 + 0.5 * of_wing, "speed": 0.25, "flutters": 0.5 * of_flutter}
    )


def test_vectors_by_hand() -> None:
    best = [(1.0, Document(content="", embedding=[0.0, 2.0])), (1.0, Document(content=""))]
    assert Feedback(rocchio=0.5).vector_for([1.0, 0.0], best) == [1.0, 1.0]
    assert Feedback().vector_for([1.0], [(1.0, Document(content=""))]) == [1.0]


TEXTS = st.lists(st.tuples(st.floats(0, 10), st.text(max_size=20)), max_size=4)


@given(
    asked=st.dictionaries(st.text(min_size=1, max_size=4), st.integers(1, 3), min_size=1),
    best=TEXTS.filter(bool),
    weight=st.floats(0, 1),
)
def test_the_query_keeps_its_share(
    asked: dict[str, int], best: list[tuple[float, str]], weight: float
) -> None:
    documents = [(score, Document(content=text)) for score, text in best]
    terms = Feedback(weight=weight).terms_for({k: float(v) for k, v in asked.items()}, documents)
    assert sum(terms.values()) == pytest.approx(1)
    assert all(score > 0 for score in terms.values())
    if weight < 0.999:
        assert terms.keys() >= asked.keys()


def rewriting(provider: EmbeddedProvider, seconds: float = 60, **options: Any) -> Rewrites:
    model = PortkeyModel(base_url=provider.url, api_key="k")
    return Rewrites(model, seconds=seconds, **options)


def says(*queries: str) -> str:
    return json.dumps({"queries": list(queries)})


def test_rewrites_are_searched_beside_the_query(
    opens: Opens, embedder: Words, portkey_provider: EmbeddedProvider, form: str
) -> None:
    search = opens(expansion=rewriting(portkey_provider, n=2))
    search.insert("h", [doc(CAT), doc(LION), doc(PUMP)])
    portkey_provider.reply(says(" Savanna ", "HOME", "purr", "home"))
    embedder.asked.clear()
    told = found(search, "home", form)
    assert told.queries == ("home", "Savanna", "purr")
    assert embedder.asked == ["home", "Savanna", "purr"]
    assert {hit.document.content for hit in told if hit.words} == {CAT, PUMP}
    assert told.hits[0].document.content == CAT
    cost = told.cost("rewrites")
    assert cost is not None
    assert (cost.requests, cost.failure) == (1, None)
    assert cost.tokens > 0
    assert cost.seconds > 0
    [request] = portkey_provider.requests
    assert "home" in request.body["messages"][-1]["content"]


@pytest.mark.parametrize("answer", ["no json", '{"wrong": 7}', ""])
def test_an_answer_that_is_none_leaves_the_query(
    opens: Opens, portkey_provider: EmbeddedProvider, answer: str, form: str
) -> None:
    search = opens(expansion=rewriting(portkey_provider))
    search.insert("h", [doc(CAT), doc(PUMP)])
    # It is asked again by its contract, and says the same.
    portkey_provider.when(lambda request: True, answer)
    told = found(search, "cats", form)
    assert (told.queries, told.hits[0].document.content) == (("cats",), CAT)
    assert told.cost("rewrites").failure  # type: ignore[union-attr]


@pytest.mark.parametrize("fault", [Fault.status(500), Fault.silence()], ids=["error", "hang"])
def test_a_model_that_fails_or_hangs_leaves_the_query(
    opens: Opens, portkey_provider: EmbeddedProvider, fault: Fault, form: str
) -> None:
    search = opens(expansion=rewriting(portkey_provider, seconds=0.2))
    search.insert("h", [doc(CAT), doc(PUMP)])
    portkey_provider.fault(fault)
    told = found(search, "cats", form)
    assert (told.queries, told.hits[0].document.content) == (("cats",), CAT)
    assert told.cost("rewrites").failure  # type: ignore[union-attr]


def test_a_swarm_that_is_stopped_does_not_search(
    opens: Opens, portkey_provider: EmbeddedProvider, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    rewrites = rewriting(portkey_provider)
    search = opens(expansion=rewrites)
    search.insert("h", [doc(CAT)])

    def stopped(*args: Any, **options: Any) -> Any:
        raise Stopped(Verdict(False, "stop", ("stopped",)))

    monkeypatch.setattr(type(rewrites.model), "response", stopped)
    monkeypatch.setattr(type(rewrites.model), "aresponse", stopped)
    with pytest.raises(Stopped):
        found(search, "cats", form)


def test_nor_does_one_that_is_stopped_meanwhile(
    opens: Opens, portkey_provider: EmbeddedProvider, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    search = opens(expansion=rewriting(portkey_provider))
    search.insert("h", [doc(CAT)])
    portkey_provider.reply(says("savanna"))
    embeds = Words.get_embedding_and_usage

    def stopped(words: Words, text: str) -> Any:
        if text == "savanna":
            raise Stopped(Verdict(False, "stop", ("stopped",)))
        return embeds(words, text)

    monkeypatch.setattr(Words, "get_embedding_and_usage", stopped)
    with pytest.raises(Stopped):
        found(search, "cats", form)


def test_both_work_together(opens: Opens, portkey_provider: EmbeddedProvider, form: str) -> None:
    search = opens(expansion=[Feedback(), rewriting(portkey_provider)])
    search.insert("h", [doc(CAT), doc(LION), doc(PUMP)])
    portkey_provider.reply(says("savanna"))
    told = found(search, "purr", form)
    assert [cost.step for cost in told.costs] == ["rewrites", "embedding", "search", "feedback"]
    assert {hit.document.content for hit in told if hit.words} == {CAT, LION, PUMP}


@pytest.mark.parametrize(
    "made",
    [
        lambda: Feedback(documents=0),
        lambda: Feedback(terms=True),
        lambda: Feedback(weight=1.1),
        lambda: Feedback(rocchio=-1),
        lambda: Feedback(rocchio=float("nan")),
        lambda: Rewrites("gpt"),  # type: ignore[arg-type]
        lambda: Rewrites(PortkeyModel(base_url="http://127.0.0.1:1/v1", api_key="k"), n=0),
        lambda: Rewrites(PortkeyModel(base_url="http://127.0.0.1:1/v1", api_key="k"), seconds=0),
    ],
)
def test_settings_that_can_not_be_meant_are_refused(made: Any) -> None:
    with pytest.raises(ConfigurationError):
        made()
