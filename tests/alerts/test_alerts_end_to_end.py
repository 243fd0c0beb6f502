"""Real runs degrade: Prometheus and Alertmanager say so to a webhook, and so does `Alerts`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from agno.agent import Agent
from agno.run.base import RunStatus
from alertmanager_server import AlertmanagerServer
from prometheus_server import PrometheusServer
from webhook_receiver import Receiver

from agno_portkey import PortkeyModel, telemetry
from agno_portkey.telemetry import Metrics
from agno_portkey.telemetry.alerts import Alerts, Errors, Latency, Thresholds, rules
from agno_portkey.telemetry.alerts.message import fingerprint
from agno_portkey.testing import EmbeddedProvider, Fault

SOON: Any = {"window": "30s", "lasts": 0, "least": 3}
THRESHOLDS = Thresholds(
    latency=Latency(**SOON, above=30.0),
    errors=Errors(**SOON, above=0.5),
    first_token=None,
    gone=None,
)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def ask(provider: EmbeddedProvider, observers: list[Any], *, well: bool) -> None:
    """One run; the provider refuses it unless it is to go well."""
    model = PortkeyModel("gpt-4o-mini", base_url=provider.url, api_key="k", observers=observers)
    provider.reply("Hello" if well else Fault.status(400))
    answered = Agent(model=model).run("Hi")
    assert (answered.status == RunStatus.completed) is well


def of_errors(messages: list[dict[str, Any]], status: str) -> list[dict[str, Any]]:
    return [
        each
        for each in messages
        if each["status"] == status and each["groupLabels"] == {"alertname": "AgnoPortkeyErrors"}
    ]


def told(message: dict[str, Any]) -> dict[str, Any]:
    """What both forms say alike of one alert."""
    [alert] = message["alerts"]
    names = ("version", "status", "groupLabels", "commonLabels", "groupKey")
    return {name: message[name] for name in names} | {
        "labels": alert["labels"],
        "fingerprint": alert["fingerprint"],
        "annotations": sorted(alert["annotations"]),
        "fields": sorted(alert),
        "ends": alert["endsAt"],
    }


def test_one_receiver_takes_both(receiver: Receiver, portkey_provider: EmbeddedProvider) -> None:
    metrics = Metrics(port=0)
    with telemetry.setup(metrics=metrics), AlertmanagerServer(receiver.url) as manager:
        assert metrics.port is not None
        with PrometheusServer(
            metrics.port, every="200ms", rules=rules(THRESHOLDS), alertmanager=manager.url
        ) as prometheus:
            alerts = Alerts(receiver.url, THRESHOLDS, interval=3600.0)
            with alerts:
                ask(portkey_provider, [alerts], well=True)
                # A rate is taken from the second scrape of a series on.
                count = "sum(count_over_time(agno_portkey_attempts_total[1m]))"
                prometheus.until(count, lambda said: said.get("", 0) >= 6)
                alerts.look()
                assert not receiver.messages
                assert not alerts.firing
                for _ in range(12):
                    ask(portkey_provider, [alerts], well=False)
                [of_prometheus] = of_errors(
                    receiver.until(lambda messages: bool(of_errors(messages, "firing"))), "firing"
                )
                [held] = [
                    each
                    for each in manager.alerts()
                    if each["labels"]["alertname"] == "AgnoPortkeyErrors"
                ]
                assert held["fingerprint"] == fingerprint(held["labels"])
                alerts.look()
                own = receiver.until(lambda messages: len(of_errors(messages, "firing")) >= 2)
                of_ours = of_errors(own, "firing")[-1]
                assert told(of_ours) == told(of_prometheus)
                # It goes well again, in both.
                while not of_errors(receiver.messages, "resolved"):
                    for _ in range(10):
                        ask(portkey_provider, [alerts], well=True)
                    alerts.look()
                    assert alerts.flush()
                receiver.until(lambda messages: len(of_errors(messages, "resolved")) >= 2)
                assert not prometheus.troubles()
            assert (alerts.undelivered, alerts.missed) == (0, 0)
