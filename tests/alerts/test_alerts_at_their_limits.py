"""What waits, is held and is given up at most; and what a message says of several alerts."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from datetime import UTC, datetime
from typing import Any

import pytest
from alert_stories import attempted
from alerts_bench import Clock, alerts_to, degrade, own_threads, play
from webhook_receiver import Receiver

from agno_portkey.errors import ConfigurationError
from agno_portkey.telemetry.alerts import Alerts, Thresholds, embedded, sending
from agno_portkey.telemetry.alerts.embedded import check_receiver
from agno_portkey.telemetry.alerts.kinds import kinds
from agno_portkey.telemetry.alerts.message import message
from agno_portkey.telemetry.alerts.sending import Sender
from agno_portkey.telemetry.alerts.states import Alert

AT = datetime(2026, 11, 28, tzinfo=UTC)


def test_of_too_many_messages_the_oldest_is_given_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sending, "_WAITING", 3)
    with Receiver("silence") as receiver:
        sender = Sender(receiver.url, {}, attempts=1, timeout=30.0)
        sender.send({"number": 1})
        receiver.wait(1)
        for number in (2, 3, 4):
            sender.send({"number": number})
        assert sender.undelivered == 0
        sender.send({"number": 5})
        assert [each["number"] for each in sender._waiting] == [3, 4, 5]
        assert sender.undelivered == 1
        assert "too many messages wait" in caplog.text
        sender.close(0.1)
        assert sender.undelivered == 5
        # One that comes after the end is counted, and waits for nobody.
        sender.send({"number": 6})
        assert (sender.undelivered, [*sender._waiting]) == (6, [])
    assert not own_threads()


def test_many_events_are_taken_in_before_the_next_look(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    monkeypatch.setattr(embedded, "_INBOX", 20)
    taken = threading.Event()
    with alerts_to("http://127.0.0.1:9/hook", clock) as alerts:
        monkeypatch.setattr(alerts._watch, "take", lambda at, event: taken.set())
        play(alerts, attempted(), times=9)
        assert not taken.is_set()
        play(alerts, attempted(), times=2)
        assert taken.wait(30)


def test_what_is_lost_of_too_many_events_is_counted(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    monkeypatch.setattr(embedded, "_INBOX", 4)
    with alerts_to("http://127.0.0.1:9/hook", clock) as alerts, alerts._looking:
        play(alerts, attempted(), times=4)
        assert alerts.missed == 0
        play(alerts, attempted(), times=3)
        assert alerts.missed == 3
        assert len(alerts._inbox) == 4


def test_it_hears_of_nothing_once_it_is_closed(clock: Clock) -> None:
    alerts = alerts_to("http://127.0.0.1:9/hook", clock)
    alerts.close()
    degrade(alerts)
    assert (len(alerts._inbox), alerts._thread) == (0, None)


def test_a_child_ends_nothing_of_its_parents(clock: Clock) -> None:
    with Receiver() as receiver:
        alerts = alerts_to(receiver.url, clock)
        degrade(alerts)
        pid, alerts._pid = alerts._pid, -1
        alerts.close()
        assert not alerts._ending.is_set()
        assert receiver.messages == []
        # The parent, which has not closed it, does.
        alerts._pid, alerts._closed = pid, False
        alerts.close()
        assert len(receiver.messages) == 1


def test_where_there_is_no_thread_the_next_event_asks_for_one(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    begin = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "agno-portkey-alerts":
            raise RuntimeError("can't start new thread")
        begin(thread)

    with alerts_to("http://127.0.0.1:9/hook", clock) as alerts:
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", refuse)
            # Not by `tell`, which hears of no error.
            alerts(attempted()[0].event)
            assert alerts._thread is None
        play(alerts, attempted())
        thread = alerts._thread
        assert thread is not None
        alerts._start()
        assert alerts._thread is thread
        assert len(alerts._inbox) == 2


def test_what_is_closed_is_not_kept_for_the_end_of_the_process(clock: Clock) -> None:
    alerts = alerts_to("http://127.0.0.1:9/hook", clock)
    play(alerts, attempted())
    alerts.close()
    held = weakref.ref(alerts)
    del alerts
    gc.collect()
    assert held() is None


def test_a_message_that_is_begun_as_all_are_given_up_is_not_sent() -> None:
    with Receiver() as receiver:
        sender = Sender(receiver.url, {}, attempts=1, timeout=30.0)
        sender._given_up = True
        with pytest.raises(asyncio.CancelledError):
            asyncio.run(sender._deliver({"number": 1}, None))
        assert receiver.messages == []


def test_a_proxy_of_the_machine_catches_nothing_that_is_sent_to_it(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with Receiver() as receiver, alerts_to(receiver.url, clock) as alerts:
        degrade(alerts)
        alerts.look()
        assert alerts.flush()
        assert (alerts.delivered, alerts.undelivered) == (1, 0)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"attempts": 101}, "attempts"),
        ({"attempts": True}, "attempts"),
        ({"attempts": 1.0}, "attempts"),
        ({"labels": {"a": 1}}, "labels"),
        ({"headers": {"A": "caf\u00e9"}}, "ASCII"),
        ({"headers": {"A": "a\x00b"}}, "ASCII"),
    ],
)
def test_what_is_beyond_its_bounds_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Alerts("http://127.0.0.1:9/hook", **given)
    Alerts("http://127.0.0.1:9/hook", attempts=100)


def test_space_round_an_address_is_none_of_it() -> None:
    assert check_receiver(" http://127.0.0.1:9/hook/ ", None)[0] == "http://127.0.0.1:9/hook/"


@pytest.mark.parametrize(
    "given",
    [
        {"latency": {"window": 0.999}},
        {"latency": {"window": "500ms"}},
        {"latency": {"window": "31d"}},
        {"latency": {"lasts": "31d"}},
        {"errors": {"above": 1.0}},
        {"errors": {"above": 0.0}},
        {"errors": {"least": 0}},
    ],
)
def test_a_threshold_beyond_its_bounds_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Thresholds(**given)
    within: Any = {"window": " 1s ", "lasts": "30d"}
    assert Thresholds(latency=within).latency.window == 1.0  # type: ignore[union-attr]


def test_a_message_of_several_says_in_common_what_all_of_them_say() -> None:
    [kind] = [each for each in kinds(Thresholds()) if each.part == "errors"]
    both = (Alert(kind, "openai", 0.5, AT), Alert(kind, "groq", 0.25, AT, ended=AT))
    labels = {"environment": "prod", "severity": "none", "alertname": "another"}
    said = message(both, receiver="r", labels=labels, url="")
    assert said["status"] == "firing"
    # Its own labels win: by them a receiver tells alerts apart.
    assert said["commonLabels"] == {
        "environment": "prod",
        "severity": "critical",
        "alertname": "AgnoPortkeyErrors",
    }
    assert [each["status"] for each in said["alerts"]] == ["firing", "resolved"]
    assert said["commonAnnotations"] == {}
    over = message(both[1:], receiver="r", labels={}, url="")
    assert over["status"] == "resolved"
    assert over["commonLabels"]["gen_ai_provider_name"] == "groq"
