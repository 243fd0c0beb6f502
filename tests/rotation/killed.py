"""A process whose children rotate a key each, and are killed at one point after another.

    python killed.py URL FOLDER

It says what became of each child, and goes on when it reads a line. A child that got to its end was
killed nowhere, and is the last.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agno_portkey.secrets import FileSecrets
from agno_portkey.security.rotation import ApiKeyMaker, Rotation, admin_client
from agno_portkey.security.rotation.journal import RotationJournal

URL, FOLDER = sys.argv[1], Path(sys.argv[2])
# It takes a while to make, and has no connection yet that its children would share.
CLIENT = admin_client("manager", base_url=URL)


def rotate(case: int, *, killed_at: int | None) -> None:
    client = CLIENT
    source = FileSecrets(FOLDER / "secrets")
    name, passed = f"openai-prod-k{case}", [0]

    def point() -> None:
        passed[0] += 1
        if passed[0] == killed_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def watched(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            point()
            result = function(*args)
            point()
            return result

        return call

    class Source(FileSecrets):
        write = watched(FileSecrets.write)

    class Maker(ApiKeyMaker):
        create = watched(ApiKeyMaker.create)
        delete = watched(ApiKeyMaker.delete)

    if killed_at is not None:
        old = client.api_keys.create(type="workspace", sub_type="service", name=f"old-{case}")
        source.write(name, str(old.key))
        (FOLDER / f"old-{case}").write_text(str(old.id))
        RotationJournal.note = watched(RotationJournal.note)  # type: ignore[method-assign]
    rotation = Rotation(
        name,
        maker=Maker(client),
        source=Source(FOLDER / "secrets"),
        journal=FOLDER / "journals",
        current=(FOLDER / f"old-{case}").read_text(),
        probe=lambda value: point(),
        drain=0,
        settle=0,
    )
    rotation.rotate()


def child(case: int, killed_at: int | None) -> int:
    """How a child has ended: 0, or the signal, negative."""
    pid = os.fork()
    if pid == 0:
        try:
            rotate(case, killed_at=killed_at)
            os._exit(0)
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def say(**told: int) -> None:
    print(json.dumps(told), flush=True)
    sys.stdin.readline()


for case in range(1, 100):
    ended = child(case, case)
    say(case=case, ended=ended)
    if ended != -signal.SIGKILL:
        break
    say(case=case, resumed=child(case, None))
