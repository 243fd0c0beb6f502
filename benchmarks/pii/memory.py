"""Memory that grows over new messages, each side in a process of its own."""

from __future__ import annotations

import gc
import json
import random
import string
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

from benchmarks.pii.peers import ours, presidio
from benchmarks.pii.speed import messages

_ROOT = Path(__file__).parent.parent.parent


def growth(which: str, count: int, model: str | None = None) -> float:
    """Megabytes that the process of `which` grows by over `count` new messages."""
    code = (
        "import json; from benchmarks.pii.memory import here; "
        f"print(json.dumps(here({which!r}, {count}, {model!r})))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return float(json.loads(done.stdout.splitlines()[-1]))


def here(which: str, count: int, model: str | None = None) -> float:
    side = presidio(model) if which == "presidio" else ours(model)
    texts = (f"{number} {text}" for number, text in enumerate(_many(count)))
    for text in messages(50):
        side.find(text)
    gc.collect()
    process = psutil.Process()
    before = process.memory_info().rss
    for text in texts:
        side.find(text)
    gc.collect()
    return (process.memory_info().rss - before) / 1e6


def _many(count: int) -> Iterator[str]:
    """Messages with words that no other has, as real ones have names, keys and numbers."""
    base, draw = messages(500), random.Random(7)
    for number in range(count):
        words = " ".join(
            "".join(draw.choices(string.ascii_lowercase, k=draw.randrange(5, 11)))
            for _ in range(10)
        )
        yield f"{base[number % len(base)][:120]} {words}"
