"""Where metrics are served, from the set-up of a telemetry to its shutdown."""

from __future__ import annotations

import socket
import threading
from typing import Any

import httpx
import pytest
from agno.agent import Agent
from agno.os import AgentOS
from fastapi import FastAPI
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry
from prometheus_client.samples import Sample
from read_metrics import DURATION, Bench, Figures, read
from starlette.routing import Route

from agno_portkey import PortkeyModel, telemetry
from agno_portkey.errors import ConfigurationError
from agno_portkey.telemetry import Metrics
from agno_portkey.testing import EmbeddedProvider


def scrape(metrics: Metrics) -> Figures:
    url = f"http://{metrics.host}:{metrics.port}/metrics"
    answer = httpx.get(url, trust_env=False)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return Figures(answer.text)


def ask(provider: EmbeddedProvider) -> None:
    model = PortkeyModel("gpt-4o-mini", base_url=provider.url, api_key="k")
    provider.reply("Hello")
    assert Agent(model=model).run("Hi").content == "Hello"


def calls(figures: Figures) -> float:
    return figures.sum(f"{DURATION}_count") if figures.samples else 0


def test_they_are_served_while_telemetry_is_set_up(portkey_provider: EmbeddedProvider) -> None:
    metrics = Metrics(port=0)
    with telemetry.setup(metrics=metrics):
        assert metrics.port != 0
        assert calls(scrape(metrics)) == 0
        ask(portkey_provider)
        assert calls(scrape(metrics)) == 1
    with pytest.raises(httpx.ConnectError):
        scrape(metrics)
    # Whoever mounted them may be asked yet.
    assert not Figures(read(metrics)).samples


def test_one_telemetry_comes_after_another(portkey_provider: EmbeddedProvider) -> None:
    metrics = Metrics(port=0)
    for again in range(2):
        with telemetry.setup(metrics=metrics):
            ask(portkey_provider)
            assert calls(scrape(metrics)) == 1, again
    with telemetry.setup():
        ask(portkey_provider)
    other = Metrics(port=metrics.port)
    with telemetry.setup(metrics=other):
        assert calls(scrape(other)) == 0
        ask(portkey_provider)
        assert calls(scrape(other)) == 1
        assert not Figures(read(metrics)).samples


def test_a_free_port_is_looked_for_each_time() -> None:
    metrics = Metrics(port=0)
    telemetry.setup(metrics=metrics).shutdown()
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", metrics.port))
        taken.listen()
        with telemetry.setup(metrics=metrics):
            assert scrape(metrics)


def test_a_port_that_is_taken_is_said_and_nothing_is_set_up() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        metrics = Metrics(port=port)
        with pytest.raises(ConfigurationError, match=rf"127.0.0.1:{port} .*in use.*port="):
            telemetry.setup(metrics=metrics)
    with telemetry.setup(metrics=metrics):
        assert scrape(metrics)


def test_a_host_that_is_not_of_this_machine_is_said() -> None:
    with pytest.raises(ConfigurationError, match=r"192\.0\.2\.1:0 "):
        telemetry.setup(metrics=Metrics(port=0, host="192.0.2.1"))
    telemetry.setup().shutdown()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"port": 70_000}, "port: a number in 0-65535"),
        ({"port": -1}, "port: a number in 0-65535"),
        ({"port": "80"}, "port: a number in 0-65535"),
        ({"port": True}, "port: a number in 0-65535"),
        ({"host": ""}, "host: an address"),
        ({"host": None}, "host: an address"),
    ],
)
def test_what_is_no_place_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Metrics(**options)  # type: ignore[arg-type]


def test_what_is_no_metrics_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="metrics: Metrics"):
        telemetry.setup(metrics=9464)  # type: ignore[arg-type]
    telemetry.setup().shutdown()


def test_metrics_are_of_one_telemetry() -> None:
    metrics = Metrics(port=None)
    metrics.start()
    with pytest.raises(ConfigurationError, match="has these already"):
        telemetry.setup(metrics=metrics)
    telemetry.setup().shutdown()


def test_they_are_on_this_machine_alone_unless_said() -> None:
    assert (Metrics().host, Metrics().port) == ("127.0.0.1", 9464)


def test_exporters_get_the_spans_beside_them(portkey_provider: EmbeddedProvider) -> None:
    exporter = InMemorySpanExporter()
    metrics = Metrics(port=None)
    with telemetry.setup(exporters=[exporter], metrics=metrics) as held:
        ask(portkey_provider)
        assert held.flush()
        assert any(span.name.startswith("chat ") for span in exporter.get_finished_spans())
        assert calls(Figures(read(metrics))) == 1


async def get(app: Any, path: str, **headers: str) -> httpx.Response:
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
        return await client.get(path, headers=headers)


async def test_they_have_a_route_before_they_begin() -> None:
    metrics = Metrics(port=None)
    app = FastAPI()
    app.routes.append(Route("/metrics", metrics.asgi()))
    app.mount("/mounted", metrics.asgi())
    bench = Bench(metrics)
    bench.call()
    assert calls(Figures((await get(app, "/mounted/")).text)) == 1
    answer = await get(app, "/metrics", accept="application/openmetrics-text")
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")
    assert f"{DURATION}_count" in answer.text


async def test_they_have_a_route_of_an_agent_os() -> None:
    bench = Bench()
    bench.call()
    base = FastAPI()
    # It has a page at /metrics itself.
    base.routes.append(Route("/prometheus", bench.metrics.asgi()))
    agent = Agent(name="A", model=PortkeyModel(api_key="k"))
    app = AgentOS(agents=[agent], base_app=base, telemetry=False).get_app()
    answer = await get(app, "/prometheus")
    assert calls(Figures(answer.text)) == 1


async def test_a_scrape_is_built_beside_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    threads: set[int] = set()
    collect = CollectorRegistry.collect

    def seen(registry: CollectorRegistry) -> Any:
        threads.add(threading.get_ident())
        return collect(registry)

    monkeypatch.setattr(CollectorRegistry, "collect", seen)
    assert (await get(bench.metrics.asgi(), "/")).status_code == 200
    assert threads
    assert threading.get_ident() not in threads


async def test_an_app_answers_nothing_but_http() -> None:
    sent: list[Any] = []
    await Metrics(port=None).asgi()({"type": "lifespan"}, None, sent.append)
    assert not sent


def test_scrapes_at_once_get_each_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    bench.call()
    whole = bench.read().samples
    scraped: list[list[Sample]] = []
    second = threading.Thread(target=lambda: scraped.append(bench.read().samples))
    received = PrometheusMetricReader._receive_metrics

    def receive(*args: Any, **options: Any) -> None:
        received(*args, **options)
        if second.ident is None:
            second.start()
            # It comes to its end now, or waits for this one.
            second.join(1)

    monkeypatch.setattr(PrometheusMetricReader, "_receive_metrics", receive)
    scraped.append(bench.read().samples)
    second.join()
    assert scraped == [whole, whole]
