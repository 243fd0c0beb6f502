"""Messages of `Alerts` on their way: receivers that fail, hang or lie, and runs beside them."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent
from alerts_bench import (
    THRESHOLDS,
    Clock,
    alerts_to,
    degrade,
    own_threads,
)
from webhook_receiver import Receiver

from agno_portkey import PortkeyModel
from agno_portkey.secrets import EnvironmentSecrets, Secret
from agno_portkey.telemetry.alerts import Alerts, sending
from agno_portkey.testing import EmbeddedProvider


@pytest.mark.parametrize("first", [500, 503, 429, 408, "hangup", "junk"])
def test_what_may_pass_is_tried_again(first: int | str, clock: Clock) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    with (
        Receiver(first, first, first, 200) as receiver,
        alerts_to(receiver.url, clock, sleep=sleep) as alerts,
    ):
        degrade(alerts)
        alerts.look()
        assert alerts.flush()
        assert (alerts.delivered, alerts.undelivered) == (1, 0)
    assert len(receiver.messages) == 4
    assert all(message == receiver.messages[0] for message in receiver.messages)
    # 1, 2 and 4 seconds, each a bit more.
    assert [int(each // 1) for each in pauses] == [1, 2, 4]


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 404])
def test_what_will_not_pass_is_not_tried_again(status: int, clock: Clock) -> None:
    """Nor is anybody sent elsewhere by a receiver."""
    with Receiver(status, 200) as receiver, alerts_to(receiver.url, clock) as alerts:
        degrade(alerts)
        alerts.look()
        assert alerts.flush()
        assert len(receiver.messages) == 1
        assert (alerts.delivered, alerts.undelivered) == (0, 1)


def test_a_receiver_that_fails_is_told_once(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "agno_portkey")
    with Receiver(*[500] * 4, 200, 500) as receiver:
        how = {"attempts": 2, "repeat_interval": 1.0}
        with alerts_to(receiver.url, clock, **how) as alerts:
            for told, lost in ((1, 1), (1, 2), (1, 2), (2, 3)):
                degrade(alerts)
                alerts.look()
                assert alerts.flush()
                assert (len(caplog.records), alerts.undelivered) == (told, lost)
                clock.now += 1
    assert "it answered 500" in caplog.text
    # Its address may hold a key.
    assert "/hook" not in caplog.text


@pytest.mark.parametrize("answer", ["silence", "drip", "junk", "hangup", 500])
def test_a_run_goes_on_beside_a_bad_receiver(
    answer: str | int, clock: Clock, portkey_provider: EmbeddedProvider
) -> None:
    """It is over before the receiver lets anybody go, and nothing is left but a count."""
    with Receiver(answer) as receiver, alerts_to(receiver.url, clock, timeout=30.0) as alerts:
        degrade(alerts)
        alerts.look()
        receiver.wait(1)
        model = PortkeyModel(
            "gpt-4o-mini", base_url=portkey_provider.url, api_key="k", observers=[alerts]
        )
        for _ in range(3):
            portkey_provider.reply("Hello")
            assert Agent(model=model).run("Hi").content == "Hello"
            alerts.look()
        # What hangs is ended.
        alerts.close(timeout=0.2)
        assert not own_threads()
        assert alerts.undelivered >= 1
        assert not receiver.released.is_set()


@pytest.mark.parametrize("answer", ["silence", "drip"])
def test_a_receiver_that_takes_its_time_is_given_up(answer: str, clock: Clock) -> None:
    """Also one that sends a byte now and then."""
    with (
        Receiver(answer) as receiver,
        alerts_to(receiver.url, clock, timeout=0.5, attempts=2) as alerts,
    ):
        degrade(alerts)
        alerts.look()
        assert alerts.flush(20)
        assert alerts.undelivered == 1
        # It has let nobody go.
        assert not receiver.released.is_set()


def test_nobody_listens(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    with Receiver() as receiver:
        url = receiver.url
    with alerts_to(url, clock) as alerts:
        degrade(alerts)
        alerts.look()
        assert alerts.flush()
        assert alerts.undelivered == 1
    assert "ConnectError" in caplog.text


def test_closing_says_what_there_is_to_say(clock: Clock) -> None:
    with Receiver() as receiver:
        alerts = alerts_to(receiver.url, clock)
        degrade(alerts)
        alerts.close()
        alerts.close()
        assert len(receiver.messages) == alerts.delivered == 1
        # It hears of nothing any more.
        degrade(alerts)
        alerts.look()
        assert not own_threads()


LAST = """
import sys
sys.path.insert(0, sys.argv[1])
from alerts_bench import THRESHOLDS, degrade
from agno_portkey.telemetry.alerts import Alerts
degrade(Alerts(sys.argv[2], THRESHOLDS))
"""


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_the_end_of_a_process_says_what_there_is_to_say(host: str) -> None:
    """Also to a receiver that goes by a name, which then no executor looks up."""
    with Receiver() as receiver:
        url = receiver.url.replace("127.0.0.1", host)
        subprocess.run([sys.executable, "-c", LAST, Path(__file__).parent, url], check=True)
        assert len(receiver.messages) == 1


@pytest.fixture
def no_senders(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The system has no threads, as at the end of a process that Python 3.12 runs."""

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "agno-portkey-alerts-send":
            raise RuntimeError("can't create new thread at interpreter shutdown")
        begin(thread)

    begin = threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", refuse)
    return monkeypatch


def test_closing_says_it_without_a_thread(no_senders: pytest.MonkeyPatch, clock: Clock) -> None:
    with Receiver() as receiver:
        alerts = alerts_to(receiver.url, clock)
        degrade(alerts)
        alerts.look()
        assert alerts.flush(0) is False
        alerts.close()
        assert len(receiver.messages) == alerts.delivered == 1


def test_closing_without_a_thread_waits_for_no_receiver(
    no_senders: pytest.MonkeyPatch, clock: Clock
) -> None:
    with Receiver("silence") as receiver:
        alerts = alerts_to(receiver.url, clock, timeout=30.0)
        degrade(alerts)
        alerts.close(timeout=0.2)
        assert alerts.undelivered == 1
        assert not receiver.released.is_set()


def test_a_thread_that_comes_later_sends_what_waits(
    no_senders: pytest.MonkeyPatch, clock: Clock
) -> None:
    with Receiver() as receiver, alerts_to(receiver.url, clock, repeat_interval=1.0) as alerts:
        degrade(alerts)
        alerts.look()
        no_senders.undo()
        clock.now += 1
        alerts.look()
        receiver.wait(2)


def test_one_may_be_closed_as_a_message_has_just_been_sent(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    sent, closed = threading.Event(), threading.Event()

    class Runner(sending.asyncio.Runner):
        def __exit__(self, *exc_info: Any) -> None:
            super().__exit__(*exc_info)
            sent.set()
            closed.wait()

    monkeypatch.setattr(sending.asyncio, "Runner", Runner)
    with Receiver() as receiver:
        alerts = alerts_to(receiver.url, clock)
        degrade(alerts)
        alerts.look()
        sent.wait()
        alerts._sender.close(0.0)
        closed.set()
        alerts.close()
        assert (alerts.delivered, alerts.undelivered) == (1, 0)


def test_one_that_heard_of_nothing_has_no_thread(clock: Clock) -> None:
    alerts = alerts_to("http://127.0.0.1:9/hook", clock)
    assert not own_threads()
    alerts.close()


def test_it_looks_by_itself() -> None:
    """On a thread of its own, and on nobody's else."""
    with Receiver() as receiver, Alerts(receiver.url, THRESHOLDS, interval=0.01) as alerts:
        degrade(alerts)
        receiver.wait(1)
        assert sorted(own_threads()) == ["agno-portkey-alerts", "agno-portkey-alerts-send"]


def test_secrets_are_sent_and_never_told(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("HOOK_TOKEN", "Bearer s3cret-value")
    token = Secret("HOOK_TOKEN", EnvironmentSecrets())
    with Receiver(401) as receiver:
        monkeypatch.setenv("HOOK_URL", receiver.url + "/k3y")
        address = Secret("HOOK_URL", EnvironmentSecrets())
        with alerts_to(address, clock, headers={"Authorization": token}) as alerts:
            degrade(alerts)
            alerts.look()
            assert alerts.flush()
            assert receiver.headers[0]["authorization"] == "Bearer s3cret-value"
            assert alerts.undelivered == 1
            told = repr(alerts) + caplog.text.replace("HOOK_", "")
            own = "".join(each.message for each in caplog.records if each.name == "agno_portkey")
    assert "s3cret" not in told
    assert "k3y" not in own
    assert "k3y" not in repr(alerts)


def test_a_secret_that_can_t_be_had(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    token = Secret("NOT_SET_ANYWHERE", EnvironmentSecrets())
    headers = {"Authorization": token}
    with Receiver() as receiver, alerts_to(receiver.url, clock, headers=headers) as alerts:
        degrade(alerts)
        alerts.look()
        assert alerts.flush()
        assert (alerts.undelivered, receiver.messages) == (1, [])
    assert "NOT_SET_ANYWHERE" in caplog.text


def test_a_secret_that_is_no_address(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HOOK_URL", "ftp://k3y.example")
    with alerts_to(Secret("HOOK_URL", EnvironmentSecrets()), clock) as alerts:
        degrade(alerts)
        alerts.look()
        assert alerts.flush()
        assert alerts.undelivered == 1
    assert "no http(s) address" in caplog.text
    assert "k3y" not in caplog.text
