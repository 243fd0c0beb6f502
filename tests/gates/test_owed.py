"""The thread that tries again what a gate owes its books: one for all, if one can be had."""

from __future__ import annotations

import threading

import pytest

from agno_portkey.gates.owed import Owed


def test_where_no_thread_can_be_had_it_stays_due_and_the_next_touch_makes_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    owed, made, is_down = Owed(0.01, 0.01), threading.Event(), [True]

    def change() -> None:
        if is_down[0]:
            raise OSError("the database is down")
        made.set()

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        owed.note("g1", change)
        owed.made()
    assert owed.due
    owed.made()  # from here on it is tried in the background
    is_down[0] = False
    assert made.wait(30)


def test_one_thread_tries_all_again(monkeypatch: pytest.MonkeyPatch) -> None:
    owed, began = Owed(600, 600), list[str]()
    start = threading.Thread.start

    def told(thread: threading.Thread) -> None:
        began.append(thread.name)
        start(thread)

    def change() -> None:
        raise OSError("the database is down")

    monkeypatch.setattr(threading.Thread, "start", told)
    for id in ("g1", "g2"):
        owed.note(id, change)
    assert began == ["agno-portkey-owed"]
