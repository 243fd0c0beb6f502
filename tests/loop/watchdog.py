"""A watchdog over an event loop: what blocks it on our behalf, and which steps take long."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import traceback
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from types import FrameType
from typing import Any, Self

from blockbuster import BlockBuster, BlockBusterFunction

import agno_portkey

OURS = f"{Path(agno_portkey.__file__).parent}/"
# Its provider has a loop of its own, which is no user's.
NOT_OURS = f"{OURS}testing/"
# Seconds of the processor's time that one step of a task may take while coverage is measured; the
# clock's would be the machine's business.
STEP = 0.5
_LOOK = 0.01
_OTHERS = ("/logging/__init__.py",)


class Watchdog:
    """Notes each call that blocks the loop with one of our frames nearest to it, and long steps.

    `blocked` has what was called and from where; `slow` the long steps, and where they were seen.
    """

    def __init__(self) -> None:
        self.blocked: list[str] = []
        self.slow: list[str] = []
        self._buster = BlockBuster()
        for name, function in self._buster.functions.items():
            function.can_block_predicate = self._noting(name, function)
        self._loop_thread, self._began, self._seen = 0, 0.0, ""
        self._over = threading.Event()

    def __enter__(self) -> Self:
        self._buster.activate()
        return self

    def __exit__(self, *of: object) -> None:
        self._buster.deactivate()

    def _noting(self, name: str, function: BlockBusterFunction) -> Callable[..., bool]:
        """Lets everything pass, since an error might be caught, and notes what should not."""
        harmless, may = function.can_block_predicate, function.can_block_functions

        def noted(*args: object, **named: object) -> bool:
            if not harmless(*args, **named) and (where := _nearest(may)) is not None:
                self.blocked.append(f"{name} in {where}")
            return True

        return noted

    def run(self, scene: Coroutine[Any, Any, object]) -> None:
        """Play `scene` on a loop of its own."""
        looks = threading.Thread(target=self._look)
        run, self._over = asyncio.Handle._run, threading.Event()

        def watched(handle: asyncio.Handle) -> None:
            self._began, self._seen, used = time.monotonic(), "", time.thread_time()
            run(handle)
            used = time.thread_time() - used
            if used > STEP:
                self.slow.append(f"{used:.2f} s, seen in {self._seen or 'none of ours'}")
            self._began = 0.0

        self._loop_thread = threading.get_ident()
        asyncio.Handle._run = watched  # type: ignore[method-assign]
        looks.start()
        try:
            asyncio.run(scene)
        finally:
            asyncio.Handle._run = run  # type: ignore[method-assign]
            self._over.set()
            looks.join()

    def _look(self) -> None:
        while not self._over.wait(_LOOK):
            began = self._began
            if began and time.monotonic() - began > STEP / 4:
                frame = sys._current_frames().get(self._loop_thread)
                self._seen = _first_of_ours(frame) or self._seen


def _nearest(may: Iterable[tuple[str, Iterable[str]]]) -> str | None:
    """Where of ours a call came from; None where the host, or a test, called for itself."""
    frames = [*reversed(traceback.extract_stack())]
    if any(f.filename.endswith(file) and f.name in names for f in frames for file, names in may):
        return None
    for frame in frames:
        # Whoever logs may wait for where it is written.
        if frame.filename.startswith(NOT_OURS) or frame.filename.endswith(_OTHERS):
            return None
        if "/site-packages/agno/" in frame.filename:
            return None
        if frame.filename.startswith(OURS):
            return " < ".join(map(_told, frames[frames.index(frame) :][:8]))
    return None


def _told(frame: traceback.FrameSummary) -> str:
    return f"{frame.filename.removeprefix(OURS)}:{frame.lineno} ({frame.name})"


def _first_of_ours(frame: FrameType | None) -> str:
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith(OURS) and not name.startswith(NOT_OURS):
            return f"{name.removeprefix(OURS)}:{frame.f_lineno} ({frame.f_code.co_name})"
        frame = frame.f_back
    return ""
