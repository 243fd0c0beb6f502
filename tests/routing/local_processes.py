"""Processes that hold a local gateway, and what can be seen of them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import IO

import httpx

from agno_portkey.routing.local import LocalGateway

FAKE_SERVER = """
import http from "node:http";
http.createServer((_, answer) => answer.end("AI Gateway says hey!")).listen(0);
"""


def port_of(gateway: LocalGateway) -> int:
    port = httpx.URL(gateway.url).port
    assert port
    return port


def python(code: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        # Python 3.12 and later warn of a fork in a process with threads.
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code, *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def wait_until(condition: Callable[[], bool]) -> None:
    """Poll for as long as the test's own timeout allows."""
    while not condition():
        time.sleep(0.05)


def output_of(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stdout
    return process.stdout
