"""Alerts without Prometheus: events in, Alertmanager's messages out, runs unharmed."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from typing import Any

import pytest
from agno.agent import Agent
from alert_stories import attempted, cached, called, decided
from alerts_bench import (
    SOON,
    Clock,
    alerts_to,
    degrade,
    play,
)
from webhook_receiver import Receiver

from agno_portkey import PortkeyModel
from agno_portkey.errors import ConfigurationError
from agno_portkey.telemetry.alerts import Alerts, Thresholds
from agno_portkey.telemetry.alerts import embedded as embedded_module
from agno_portkey.testing import EmbeddedProvider
from agno_portkey.verdict import Event, Verdict, hear_everything, tell


def test_a_message_is_alertmanagers(clock: Clock) -> None:
    with Receiver() as receiver:
        how = {"labels": {"environment": "prod"}, "url": "https://dash.example"}
        with alerts_to(receiver.url, clock, **how) as alerts:
            degrade(alerts)
            alerts.look()
            [message] = receiver.wait(1)
            assert alerts.firing == (("AgnoPortkeyErrors", "openai"),)
            play(alerts, attempted(), times=1000)
            alerts.look()
            _, over = receiver.wait(2)
            assert alerts.flush()
            assert alerts.delivered == 2
            assert alerts.undelivered == 0
    [alert] = message.pop("alerts")
    labels = {
        "alertname": "AgnoPortkeyErrors",
        "severity": "critical",
        "gen_ai_provider_name": "openai",
        "environment": "prod",
    }
    assert alert["labels"] == message["commonLabels"] == labels
    assert alert["annotations"] == message["commonAnnotations"]
    assert alert["annotations"]["summary"] == (
        "100.0 % of the requests to openai fail, more than 5.0 %."
    )
    assert (alert["status"], alert["endsAt"]) == ("firing", "0001-01-01T00:00:00Z")
    assert alert["startsAt"].endswith("Z")
    assert len(alert["fingerprint"]) == 16
    assert {name: message[name] for name in message if not name.startswith("common")} == {
        "version": "4",
        "receiver": "agno-portkey",
        "status": "firing",
        "groupKey": '{}:{alertname="AgnoPortkeyErrors"}',
        "groupLabels": {"alertname": "AgnoPortkeyErrors"},
        "externalURL": "https://dash.example",
        "truncatedAlerts": 0,
    }
    [ended] = over["alerts"]
    assert over["status"] == ended["status"] == "resolved"
    assert ended["startsAt"] == alert["startsAt"]
    assert ended["endsAt"] >= alert["startsAt"]
    assert ended["fingerprint"] == alert["fingerprint"]


def test_nothing_is_said_of_few_or_of_good(clock: Clock) -> None:
    with Receiver() as receiver, alerts_to(receiver.url, clock) as alerts:
        play(alerts, attempted(failed=True), times=9)
        play(alerts, called(0.1)[1:], cached("hit"), decided(True), times=100)
        alerts.look()
        assert alerts.firing == ()
    assert receiver.messages == []


def test_it_waits_and_repeats_as_asked(clock: Clock) -> None:
    waits = Thresholds(errors={**SOON, "lasts": "2m"})  # type: ignore[arg-type]
    with Receiver() as receiver:
        how = {"thresholds": waits, "repeat_interval": 100.0}
        with alerts_to(receiver.url, clock, **how) as alerts:
            told = []
            for _ in range(12):
                degrade(alerts)
                alerts.look()
                assert alerts.flush()
                told.append(len(receiver.messages))
                clock.now += 30
            assert told == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]


def test_circuits_that_are_open(clock: Clock) -> None:
    with Receiver() as receiver, alerts_to(receiver.url, clock) as alerts:
        for target, state in (("a", "open"), ("b", "half_open"), ("c", "closed")):
            tell([alerts], Event("circuit", data={"target": target, "state": state}))
        alerts.look()
        assert alerts.firing == (("AgnoPortkeyCircuitOpen", "a"),)
        tell([alerts], Event("circuit", data={"target": "a", "state": "half_open"}))
        alerts.look()
        assert alerts.firing == ()
        assert [each["status"] for each in receiver.wait(2)] == ["firing", "resolved"]


def test_no_words_of_anybody_are_in_a_message(
    clock: Clock, portkey_provider: EmbeddedProvider
) -> None:
    nonce = "zebra-7741"
    low = {**SOON, "least": 1, "above": 0.000001}
    with Receiver() as receiver:
        how = {"thresholds": Thresholds(latency=low, gate_passes=SOON)}  # type: ignore[arg-type]
        with alerts_to(receiver.url, clock, **how) as alerts:
            model = PortkeyModel(
                "gpt-4o-mini", base_url=portkey_provider.url, api_key="k", observers=[alerts]
            )
            portkey_provider.reply(nonce)
            assert Agent(model=model).run(f"Say {nonce}").content == nonce
            verdict = Verdict(False, "release", (nonce,), 1.0, {"plan": nonce})
            for _ in range(20):
                tell([alerts], Event("gate", "Judge", verdict=verdict, data={"x": nonce}))
            alerts.look()
            messages = receiver.wait(2)
    assert nonce not in str(messages)
    names = {message["groupLabels"]["alertname"] for message in messages}
    assert {"AgnoPortkeyLatency", "AgnoPortkeyGatePasses"} <= names


def test_an_event_that_both_a_model_and_a_team_tell_counts_once(clock: Clock) -> None:
    with Receiver() as receiver, alerts_to(receiver.url, clock) as alerts:
        hear_everything(alerts)
        try:
            # 5 of them, told twice each, are fewer than 10.
            play(alerts, attempted(failed=True), times=5)
            alerts.look()
            assert alerts.firing == ()
            play(alerts, attempted(failed=True), times=5)
            alerts.look()
            assert alerts.firing != ()
        finally:
            hear_everything(alerts, again=False)


def test_events_that_can_t_be_read_harm_nobody(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    odd = [
        Event("call", data={"seconds": "long", "attempts": 1}),
        Event("call", data={"seconds": float("nan"), "attempts": 1, "model": 7}),
        Event("attempt", data={"cost": "free", "input_tokens": -1, "tags": 5}),
        Event("cache", data={"outcome": ["hit"]}),
        Event("circuit", data={"state": {}}),
        Event("gate", verdict="no"),  # type: ignore[arg-type]
        Event("gate", verdict="no"),  # type: ignore[arg-type]
    ]
    with Receiver() as receiver, alerts_to(receiver.url, clock) as alerts:
        for each in odd:
            tell([alerts], each)
        degrade(alerts)
        alerts.look()
        assert ("AgnoPortkeyErrors", "openai") in alerts.firing
        assert alerts.missed == 2
    assert caplog.text.count("could not be counted") == 1


def test_what_is_held_does_not_grow(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of models and targets 50 are told apart, and what comes too fast is counted as missed."""
    monkeypatch.setattr(embedded_module, "_INBOX", 400)
    with Receiver() as receiver, alerts_to(receiver.url, clock) as alerts:
        # Nobody takes them in meanwhile.
        with alerts._looking:
            for number in range(500):
                play(alerts, called(3.0, model=f"m{number}")[1:])
        assert alerts.missed >= 1
        alerts.look()
        for number in range(300):
            tell([alerts], Event("circuit", data={"target": f"t{number}", "state": "open"}))
            play(alerts, called(3.0, model=f"n{number}")[1:])
            alerts.look()
        models = [of for name, of in alerts.firing if name == "AgnoPortkeyLatency"]
        targets = [of for name, of in alerts.firing if name == "AgnoPortkeyCircuitOpen"]
        assert models == ["other"]
        assert len(targets) == 51
        assert len(alerts._watch._windows) <= 2 * 51
        # Those that nobody asks any more make room.
        clock.now += 3600
        alerts.look()
        assert not alerts._watch._windows


@pytest.mark.parametrize("model", ["m" * 201, "words of somebody", "ein\u00e9", 7, None])
def test_what_is_no_name_is_not_told(model: Any, clock: Clock) -> None:
    """A provider says which model has answered, and may say anything."""
    with Receiver() as receiver, alerts_to(receiver.url, clock) as alerts:
        play(alerts, called(3.0, model=model)[1:], times=10)
        refused = Event("gate", verdict=Verdict(False, "g" * 201))
        for _ in range(10):
            tell([alerts], replace(refused))
        alerts.look()
        assert alerts.firing == (("AgnoPortkeyLatency", ""), ("AgnoPortkeyGatePasses", "other"))
        told = {each["groupLabels"]["alertname"]: each for each in receiver.wait(2)}
        # Prometheus has no labels that are empty either.
        assert "gen_ai_request_model" not in told["AgnoPortkeyLatency"]["commonLabels"]


def test_another_process_begins_anew(clock: Clock) -> None:
    """A child has no threads of its parent's."""
    with Receiver() as receiver, alerts_to(receiver.url, clock) as alerts:
        play(alerts, attempted(failed=True), times=9)
        alerts.look()
        before = alerts._thread
        assert before is not None
        alerts._ending.set()
        alerts._wake.set()
        before.join()
        alerts._pid = -1
        play(alerts, attempted(failed=True))
        assert alerts._thread is not before
        alerts.look()
        assert alerts.firing == ()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"webhook": "ftp://x"}, "webhook"),
        ({"webhook": "https://user:pw@x"}, "no user name"),
        ({"webhook": 5}, "an address, or a Secret"),
        ({"thresholds": {"latency": {}}}, "thresholds"),
        ({"interval": 0}, "interval"),
        ({"timeout": float("nan")}, "timeout"),
        ({"repeat_interval": True}, "repeat_interval"),
        ({"attempts": 0}, "attempts"),
        ({"labels": {"a-b": "c"}}, "labels"),
        ({"headers": {"A B": "c"}}, "header's name"),
        ({"headers": {"A": "c\r\nB: d"}}, "ASCII"),
        ({"prices": {}}, "prices"),
        ({"url": "x"}, "url"),
    ],
)
def test_what_does_not_fit_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Alerts(**{"webhook": "http://127.0.0.1:9/hook", **given})


def test_it_stays_in_its_process() -> None:
    alerts = Alerts("http://127.0.0.1:9/hook")
    assert copy.deepcopy(alerts) is alerts
    with pytest.raises(TypeError, match="stay in their process"):
        pickle.dumps(alerts)
