"""A process without threads, whose children write, read and are killed; it tells what they left.

python forked_writers.py files|encrypted FOLDER
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agno_portkey.secrets.encrypted import EncryptedFile
from agno_portkey.secrets.files import FileSecrets

NEW = "new-" * 500


def main(kind: str, folder: Path) -> dict[str, Any]:
    return {
        "killed": {
            when: killed(made(kind, folder / when), when) for when in ("fsync", "replace", "after")
        },
        "read": read(made(kind, folder / "read")),
        "added": added(made(kind, folder / "added")),
    }


def made(kind: str, folder: Path) -> Any:
    if kind == "files":
        return FileSecrets(folder)
    return EncryptedFile(folder / "sealed", key=bytes(range(32)))


def killed(source: Any, when: str) -> list[Any]:
    """What there is once a child was killed at a step of its write; and after the next write."""
    source.write("KEY", "old")

    def dies() -> None:
        step = "replace" if when == "after" else when
        real = getattr(os, step)

        def killing(*how: Any) -> None:
            if when == "after":
                real(*how)
            os.kill(os.getpid(), signal.SIGKILL)

        setattr(os, step, killing)
        source.write("KEY", NEW)

    with child(dies) as pid:
        status = os.waitpid(pid, 0)[1]
    left = source.read("KEY")
    source.write("KEY", "newest")
    folder = source.folder if hasattr(source, "folder") else source.path.parent
    parts = [path.name for path in folder.glob(".*.part")]
    return [os.waitstatus_to_exitcode(status), left, source.names(), source.read("KEY"), parts]


def read(source: Any) -> list[str]:
    """What is read while a child writes one value after the other."""

    def writes() -> None:
        for number in itertools.count():
            source.write("KEY", str(number % 10) * 2000)

    source.write("KEY", "x")
    seen: set[str] = set()
    with child(writes) as pid:
        while len(seen) < 5:
            seen.add(source.read("KEY"))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return sorted(seen)


def added(source: Any) -> list[str]:
    """The names and values that two children have added at once."""

    def adds(who: str) -> Callable[[], None]:
        return lambda: [source.write(f"{who}-{n}", who * 1000) for n in range(15)] and None

    with child(adds("a")) as one, child(adds("b")) as other:
        ended = [os.waitpid(pid, 0)[1] for pid in (one, other)]
    assert ended == [0, 0]
    return [f"{name} {source.read(name)[:1]}" for name in source.names()]


@contextmanager
def child(do: Callable[[], None]) -> Iterator[int]:
    pid = os.fork()
    if pid == 0:
        try:
            do()
            os._exit(0)
        finally:
            os._exit(1)
    yield pid


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]))))
