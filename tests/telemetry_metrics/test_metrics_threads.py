"""Spans end on any thread, and wherever the garbage collector comes upon what is left."""

from __future__ import annotations

import gc
import threading
from collections import deque
from typing import Any

import pytest
from read_metrics import COST, Bench, Odd

from agno_portkey.telemetry import names


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_threads_measure_beside_each_other(bench: Bench) -> None:
    measured: list[int] = []

    class Watched(dict[str, Any]):
        def get(self, *args: Any) -> Any:
            measured.append(threading.get_ident())
            return super().get(*args)

    said = Watched({names.KIND: "call"})
    thread = threading.Thread(target=lambda: bench.processor.on_end(Odd(said)))  # type: ignore[arg-type]
    with bench.processor.within():
        thread.start()
        thread.join()
        assert set(measured) == {thread.ident}


def test_who_finds_nothing_left_to_measure_goes_on(bench: Bench) -> None:
    class Emptied(deque[Any]):
        def popleft(self) -> Any:
            self.clear()  # Another thread was quicker.
            return super().popleft()

    bench.processor._waiting = Emptied()  # type: ignore[attr-defined]
    bench.span("attempt", {names.PROVIDER: "openai"})


def test_spans_that_end_on_many_threads_are_all_counted(bench: Bench) -> None:
    def end() -> None:
        for number in range(100):
            bench.span("attempt", {names.PROVIDER: f"p{number % 60}"})

    threads = [threading.Thread(target=end) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    figures = bench.read()
    assert figures.sum("agno_portkey_attempts_total") == 800
    assert len(figures.of("agno_portkey_attempts_total", "gen_ai_provider_name")) == 51


def test_spans_that_the_garbage_collector_ends_hold_nothing_up(bench: Bench) -> None:
    """It comes at any allocation: also within a lock that measuring such a span would take."""
    ended = 0

    def end(phase: str, info: object) -> None:
        nonlocal ended
        if phase == "start":
            ended += 1
            of = {names.KIND: "call", names.REQUEST_MODEL: "m", names.COST: 1.0}
            bench.processor.on_end(Odd(of))  # type: ignore[arg-type]

    def work() -> None:
        threshold = gc.get_threshold()
        gc.callbacks.append(end)
        try:
            gc.set_threshold(1)
            for _ in range(5):
                bench.call(1.0, **{names.COST: 1.0})
                bench.read()
        finally:
            gc.set_threshold(*threshold)
            gc.callbacks.remove(end)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive(), "it waits for itself"
    bench.call(**{names.COST: 1.0})
    assert ended > 100
    assert bench.read().sum(COST) == ended + 6
