"""Moderation through the gateway: what is flagged does not pass, nor does what can't be judged."""

from __future__ import annotations

import sys
import types
from typing import Any

import pytest
from agno.agent import Agent
from agno.models.message import Message
from four_forms import FORMS, play

from agno_portkey.errors import ConfigurationError, MissingExtraError
from agno_portkey.guardrails import Block, Flag, Passage
from agno_portkey.guardrails.findings import NoFinding
from agno_portkey.guardrails.moderation import ModerationGuardrail
from agno_portkey.guardrails.moderation import _read as read
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider, Fault

BAD = "I will hurt you"


def _asked(provider: EmbeddedProvider) -> list[Any]:
    return [request for request in provider.requests if request.route == "POST /moderations"]


def _inspect(guard: ModerationGuardrail, text: str, source: Any = "user") -> Any:
    return guard.inspect(Passage(text, source))


@pytest.mark.parametrize("form", FORMS)
def test_both_ways(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_provider.moderate(BAD, {"violence": 0.9})
    judged = Agent(model=portkey_model)
    portkey_model.guards = (ModerationGuardrail(model=portkey_model),)
    ended = play(judged, form, f"{BAD}, then")
    assert ended.status.value == "ERROR"
    assert "violence" in str(ended.content)
    assert portkey_provider.calls == []
    [request] = _asked(portkey_provider)
    assert request.body["model"] == "omni-moderation-latest"
    assert request.headers["authorization"] == "Bearer test-key"
    portkey_provider.reply(f"So {BAD}.")
    ended = play(judged, form, "Hello")
    assert ended.status.value == "ERROR"
    assert BAD not in f"{ended.content}{ended.text_shown}"
    assert play(judged, form, "Good day").status.value == "COMPLETED"


def test_categories_and_thresholds(
    portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_provider.moderate(BAD, {"violence": 0.6, "hate/threatening": 0.3})

    def said(**settings: Any) -> Any:
        return _inspect(ModerationGuardrail(model=portkey_model, **settings), BAD)

    assert said() == Block("harmful content (violence)", 0.6, {"categories": {"violence": 0.6}})
    assert said(categories=["hate"]) is None
    assert said(thresholds={"violence": 0.7}) is None
    low = said(thresholds={"hate/threatening": 0.3}, action="flag")
    assert isinstance(low, Flag)
    assert low.evidence == {"categories": {"violence": 0.6, "hate/threatening": 0.3}}


def test_the_applications_own_words_are_not_judged(
    portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    guard = ModerationGuardrail(model=portkey_model)
    assert _inspect(guard, BAD, "system") is None
    assert _inspect(guard, "  ") is None
    assert _asked(portkey_provider) == []


@pytest.mark.parametrize("form", ["run", "astream"])
@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ({"violence": 2}, "a category without a score"),
        ({"violence": "no"}, "a category without a score"),
        ({"violence": True}, "harmful content"),
        (Fault.html(), "ModerationGuardrail failed"),
    ],
    ids=repr,
)
def test_an_endpoint_that_lies_blocks(
    fault: Any,
    told: str,
    form: str,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    if isinstance(fault, Fault):
        portkey_provider.fault(fault)
    else:
        portkey_provider.moderate("Hello", fault)
    portkey_model.guards = (ModerationGuardrail(model=portkey_model),)
    ended = play(Agent(model=portkey_model), form, "Hello")
    assert ended.status.value == "ERROR"
    assert told in str(ended.content)
    assert portkey_provider.calls == []


def _result(**changed: Any) -> Any:
    """An answer as the client gives it, with something else in its result."""
    result = {"flagged": False, "categories": {"hate": False}, "category_scores": {"hate": 0.1}}
    return types.SimpleNamespace(results=[types.SimpleNamespace(**{**result, **changed})])


@pytest.mark.parametrize(
    "answer",
    [
        None,
        types.SimpleNamespace(results=[]),
        types.SimpleNamespace(results=[*_result().results, *_result().results]),
        _result(category_scores=None),
        _result(category_scores={}),
        _result(category_scores={"hate": float("nan")}),
        _result(categories=None),
        _result(categories={"violence": True}, flagged=True),
        _result(flagged=True),
    ],
)
def test_an_answer_that_contradicts_itself_is_none(answer: Any) -> None:
    assert read(_result()) == ({"hate": 0.1}, frozenset())
    with pytest.raises(NoFinding, match="moderation endpoint"):
        read(answer)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("status", [500, 401, 429])
def test_an_endpoint_that_fails_blocks(
    form: str, status: int, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_provider.fault(Fault.status(status))
    portkey_model.guards = (ModerationGuardrail(model=portkey_model),)
    ended = play(Agent(model=portkey_model), form, "Hello")
    assert ended.status.value == "ERROR"
    assert "ModerationGuardrail failed" in str(ended.content)
    assert portkey_provider.calls == []


@pytest.mark.parametrize("form", ["run", "arun"])
def test_an_endpoint_that_hangs_blocks(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_provider.fault(Fault.silence())
    portkey_model.guards = (ModerationGuardrail(model=portkey_model, timeout=0.5),)
    ended = play(Agent(model=portkey_model), form, "Hello")
    assert ended.status.value == "ERROR"
    assert "no verdict within" in str(ended.content)


@pytest.mark.parametrize(
    "settings",
    [
        {"backend": "x"},
        {"action": "x"},
        {"model": None},
        {"moderation_model": ""},
        {"categories": "hate"},
        {"categories": []},
        {"thresholds": [1]},
        {"thresholds": {"hate": 2}},
        {"thresholds": {"hate": True}},
    ],
    ids=str,
)
def test_settings_that_cannot_be_meant(
    settings: dict[str, Any], portkey_model: PortkeyModel
) -> None:
    with pytest.raises(ConfigurationError):
        ModerationGuardrail(**{"model": portkey_model, **settings})


def test_a_hosted_config_is_sent_and_a_route_refused(
    portkey_gateway: Any, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_model.config = "pc-123"
    portkey_model.api_key = None
    judge = ModerationGuardrail(model=portkey_model)._judge
    headers = judge._request("x")["extra_headers"]
    assert headers["x-portkey-config"] == "pc-123"
    assert "Authorization" in headers
    portkey_model.config = {"strategy": {"mode": "fallback"}, "targets": []}
    with pytest.raises(ConfigurationError, match="its route"):
        ModerationGuardrail(model=portkey_model)


@pytest.mark.parametrize("own", ["Bearer mine", None])
def test_a_key_of_ones_own_is_sent_and_none_is_made_up(
    own: str | None, portkey_provider: EmbeddedProvider
) -> None:
    given = None if own is None else {"Authorization": own}
    model = PortkeyModel(base_url=portkey_provider.url, default_headers=given)
    _inspect(ModerationGuardrail(model=model), BAD)
    assert _asked(portkey_provider)[0].headers.get("authorization") == own


def test_offline_without_its_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "profanity_check", None)
    with pytest.raises(MissingExtraError, match=r"agno-portkey\[moderation\]"):
        ModerationGuardrail(backend="offline")


@pytest.mark.parametrize("form", ["run", "arun"])
@pytest.mark.parametrize("settings", [{"categories": ["violense"]}, {"thresholds": {"rude": 0.1}}])
def test_a_category_that_the_endpoint_does_not_judge_blocks(
    form: str,
    settings: dict[str, Any],
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    with pytest.raises(ConfigurationError, match=r"does not judge .*violence"):
        _inspect(ModerationGuardrail(model=portkey_model, **settings), "Hello")
    portkey_model.guards = (ModerationGuardrail(model=portkey_model, **settings),)
    ended = play(Agent(model=portkey_model), form, "Hello")
    assert ended.status.value == "ERROR"
    assert "the moderation endpoint does not judge" in str(ended.content)
    assert portkey_provider.calls == []


def test_what_is_told_of_an_endpoint_has_none_of_its_words() -> None:
    scores = {"hate": 0.1, "Ann Lee said so": 0.2}
    answer = _result(category_scores=scores, categories=dict.fromkeys(scores, False))
    with pytest.raises(ConfigurationError, match=r"does not judge 'rude': name .* \(hate\)$"):
        read(answer, frozenset(["rude"]))
    answer = _result(category_scores={"Ann Lee": 2})
    with pytest.raises(NoFinding) as raised:
        read(answer)
    assert "Ann" not in str(raised.value)


@pytest.mark.parametrize("form", ["run", "astream"])
def test_nothing_is_asked_about_what_is_no_ones_words(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    """Of several passages each of a user is asked about until one blocks."""
    portkey_provider.moderate(BAD, {"violence": 0.9})
    portkey_model.guards = (ModerationGuardrail(model=portkey_model, on="input"),)
    agent = Agent(model=portkey_model, instructions=BAD)
    assert play(agent, form, "Hello").status.value == "COMPLETED"
    assert [request.body["input"] for request in _asked(portkey_provider)] == ["Hello"]
    said = [Message(role="user", content=text) for text in ("one", BAD, "three")]
    ended = play(agent, form, said)
    assert ended.status.value == "ERROR"
    asked = [request.body["input"] for request in _asked(portkey_provider)][1:]
    assert asked == ["one", BAD]


OFFLINE = [
    ("Hello, can you help me with my order?", set()),
    ("The process was killed by the kernel.", set()),
    ("you are a fucking idiot", {"harassment", "insult", "profanity"}),
    ("you should kill yourself", {"harassment", "insult"}),
    ("send nudes", {"sexual"}),
    ("f.u.c.k you", {"profanity"}),
]


@pytest.mark.parametrize(("text", "found"), OFFLINE)
def test_offline(text: str, found: set[str]) -> None:
    said = _inspect(ModerationGuardrail(backend="offline"), text)
    assert (set(said.evidence["categories"]) if said else set()) == found
    assert said is None or isinstance(said, Block)


def test_offline_an_insult_is_not_outvoted_by_a_long_text() -> None:
    guard = ModerationGuardrail(backend="offline", categories=["insult"])
    long = "a word and another " * 500
    assert _inspect(guard, long) is None
    assert isinstance(_inspect(guard, f"{long} you are an idiot and a loser {long}"), Block)


@pytest.mark.parametrize(
    "text", ["I want to hurt myself", "Du bist ein Arschloch", "women are bad"]
)
def test_what_the_docs_say_offline_it_cannot_judge(text: str) -> None:
    assert _inspect(ModerationGuardrail(backend="offline"), text) is None


def test_offline_categories_and_thresholds() -> None:
    assert (
        _inspect(ModerationGuardrail(backend="offline", categories=["hate"]), "send nudes") is None
    )
    low = ModerationGuardrail(backend="offline", thresholds={"insult": 0.0}, action="flag")
    assert isinstance(_inspect(low, "Hello"), Flag)
    for settings in ({"categories": ["self-harm"]}, {"thresholds": {"violence": 0.5}}):
        with pytest.raises(ConfigurationError, match="offline it knows"):
            ModerationGuardrail(backend="offline", **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("form", FORMS)
def test_offline_in_the_model(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_model.guards = (ModerationGuardrail(backend="offline"),)
    agent = Agent(model=portkey_model)
    assert play(agent, form, "you are a fucking idiot").status.value == "ERROR"
    assert portkey_provider.requests == []
    portkey_provider.reply("Sure, you are a fucking idiot.")
    ended = play(agent, form, "Hello")
    assert ended.status.value == "ERROR"
    assert "idiot" not in f"{ended.content}{ended.text_shown}"


@pytest.mark.parametrize("shares", [[float("nan")], [], [0.1, 0.1], ["x"]])
def test_an_offline_judge_that_gives_no_score_raises(
    shares: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one thing that the real packages don't do."""
    rules = types.SimpleNamespace(moderate=lambda text: types.SimpleNamespace(matches=[]))
    share = types.SimpleNamespace(predict_prob=lambda texts: shares)
    monkeypatch.setitem(sys.modules, "safetype", rules)  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "profanity_check", share)  # type: ignore[arg-type]
    with pytest.raises((NoFinding, ValueError), match=r"score|float"):
        _inspect(ModerationGuardrail(backend="offline"), "Hello")
