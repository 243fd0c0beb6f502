"""Runs the pinned open-source gateway as a child process that ends with its parent.

```python
with LocalGateway() as gateway:
    model = PortkeyModel("gpt-4o-mini", base_url=gateway.url)
```
"""

from __future__ import annotations

import atexit
import json
import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import IO, Self

import httpx

from agno_portkey.errors import ConfigurationError, LocalGatewayError
from agno_portkey.routing.hosts import (
    TRUSTED_VARIABLE,
    Trusted,
    no_longer_trusted_at,
    trusted_at,
)
from agno_portkey.routing.local_install import (
    ENTRY,
    GATEWAY_VERSION,
    PRELOAD,
    find_node,
    find_node_binary,
    install,
)

__all__ = ["GATEWAY_VERSION", "LocalGateway", "child_environment", "find_node", "install"]

_HOST = "127.0.0.1"
_GREETING = "AI Gateway says hey!"
_TAIL_BYTES = 16_384
_STOP_SECONDS = 5.0
# What the gateway trusts by itself; a list of ours replaces it.
_TRUSTED_BY_DEFAULT = ("localhost", "127.0.0.1", "::1", "host.docker.internal")
_PASSED_ON = frozenset(
    {"PATH", "HOME", "TMPDIR", "SYSTEMROOT", "TZ", "LANG", "LC_ALL"}
    | {"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"}
    | {"NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "SSL_CERT_DIR"}
)


def child_environment(
    environment: Mapping[str, str], *, trusted_hosts: Sequence[str] = ()
) -> dict[str, str]:
    """The part of `environment` that the gateway is given: no API keys, no cloud credentials."""
    # In any case: proxies are commonly named in small letters.
    child = {name: value for name, value in environment.items() if name.upper() in _PASSED_ON}
    named = environment.get(TRUSTED_VARIABLE, "").split(",")
    entries = [*trusted_hosts, *(each for each in named if each.strip())]
    if entries:
        trusted = Trusted.of(entries, name="trusted_hosts").spelled()
        hosts = dict.fromkeys([*_TRUSTED_BY_DEFAULT, *trusted])
        child["TRUSTED_CUSTOM_HOSTS"] = ",".join(hosts)
        # For the preload, which trusts names of this machine less than their addresses.
        child[TRUSTED_VARIABLE] = ",".join(trusted)
    return child


class LocalGateway:
    """The gateway on a port of 127.0.0.1, from `start()` to `stop()` or inside `with`.

    `port=0` takes a free one; `start_timeout` is in seconds and does not count a first install.
    `trusted_hosts` are the private hosts, addresses and networks (of 1024 addresses at most) that
    a `custom_host` may name, beside those in `AGNO_PORTKEY_TRUSTED_HOSTS`. The gateway's output can
    hold secrets: the last 16 KB are kept in memory, and all of it goes to `log_path` only if given.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        start_timeout: float = 30.0,
        log_path: Path | None = None,
        trusted_hosts: Sequence[str] = (),
    ) -> None:
        if not 0 <= port <= 65_535:
            raise ConfigurationError(f"port must be between 0 (any free one) and 65535, not {port}")
        if isinstance(trusted_hosts, str) or not all(isinstance(h, str) for h in trusted_hosts):
            raise ConfigurationError(
                f"trusted_hosts must be a list of host names or addresses, not {trusted_hosts!r}"
            )
        child_environment({}, trusted_hosts=trusted_hosts)
        self._wanted_port = port
        self._start_timeout = start_timeout
        self._log_path = log_path
        self._trusted_hosts = tuple(trusted_hosts)
        self._lock = threading.RLock()
        self._child: _Child | None = None

    @property
    def url(self) -> str:
        """Base URL for clients; raises LocalGatewayError before `start()`."""
        return f"http://{_HOST}:{self._running.port}/v1"

    @property
    def pid(self) -> int:
        """Process id of the gateway; raises LocalGatewayError before `start()`."""
        return self._running.process.pid

    @property
    def alive(self) -> bool:
        """Whether the gateway's process is running."""
        child = self._child
        return child is not None and child.process.poll() is None

    def start(self) -> Self:
        """Install the gateway where needed, start it and wait until it answers.

        Does nothing if it runs already. Raises LocalGatewayError with the tail of its output.
        """
        with self._lock:
            if self.alive:
                return self
            self.stop()
            folder = install()
            command = _command(find_node_binary(), folder, port=self._wanted_port)
            environment = child_environment(os.environ, trusted_hosts=self._trusted_hosts)
            child = _Child(command, folder, environment, self._log_path)
            try:
                child.wait_until_ready(time.monotonic() + self._start_timeout)
            except BaseException:
                child.end()
                raise
            self._child = child
            trusted_at(self.url, Trusted.of(self._trusted_hosts, name="trusted_hosts"))
            atexit.register(self.stop)
            return self

    def stop(self) -> None:
        """End the gateway and wait for it; does nothing if it does not run."""
        with self._lock:
            atexit.unregister(self.stop)
            child, self._child = self._child, None
            if child is not None:
                no_longer_trusted_at(f"http://{_HOST}:{child.port}")
                child.end()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        child = self._child
        return f"LocalGateway({f'port={child.port}' if child else 'not started'})"

    @property
    def _running(self) -> _Child:
        child = self._child
        if child is None:
            raise LocalGatewayError("The local gateway is not started: use `with` or call start().")
        return child


def _command(node: Path, folder: Path, *, port: int) -> list[str]:
    return [
        str(node),
        "--max-http-header-size=131072",  # node refuses headers over 16 KB by default
        "--import",
        (folder / PRELOAD).as_uri(),
        str(folder / ENTRY),
        f"--port={port}",
        "--headless",  # else it serves its log, keys and prompts included
    ]


class _Child:
    """One process of the gateway, with the pipe by which its preload reports the port."""

    def __init__(
        self, command: list[str], folder: Path, environment: dict[str, str], log_path: Path | None
    ) -> None:
        self.port = 0
        log = _open_log(log_path)
        self._report, report_end = os.pipe()
        try:
            self.process = subprocess.Popen(  # noqa: S603
                command,
                cwd=folder,
                env={
                    **environment,
                    "AGNO_PORTKEY_REPORT_FD": str(report_end),
                    "AGNO_PORTKEY_PARENT_PID": str(os.getpid()),
                },
                stdin=subprocess.PIPE,  # held open and never written to: its end ends the child
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(report_end,),
                start_new_session=True,  # a Ctrl-C in the parent's terminal is the parent's alone
            )
        except OSError as error:
            os.close(self._report)
            if log is not None:
                log.close()
            raise LocalGatewayError(f"Can't run {command[0]}: {error}") from error
        finally:
            os.close(report_end)
        assert self.process.stdout is not None  # noqa: S101 - a pipe was asked for
        self._output = _Output(self.process.stdout, log)

    def wait_until_ready(self, deadline: float) -> None:
        """Wait for the port and the first answer; raises LocalGatewayError saying why not."""
        report = _read_report(self._report, deadline)
        if report.get("code") == "EADDRINUSE":
            raise LocalGatewayError(
                f"The port is taken ({report['message']}). "
                "Choose another, or port=0 for any free one."
            )
        port = report.get("port")
        if not isinstance(port, int):
            raise self._failed(f"did not listen ({report.get('message', 'no report')})")
        self.port = port
        while not _answers(port):
            if self.process.poll() is not None:
                raise self._failed("ended before it answered")
            if time.monotonic() > deadline:
                raise self._failed("did not answer in time; raise start_timeout on a slow machine")
            time.sleep(0.05)

    def end(self) -> None:
        """End the process, wait for it and close the pipes."""
        self.process.terminate()
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()
        os.close(self._report)
        self._output.close()

    def _failed(self, what: str) -> LocalGatewayError:
        self.process.kill()
        code = self.process.wait()
        ended = "" if code == -signal.SIGKILL else f" (exit code {code})"
        self._output.close()
        return LocalGatewayError(
            f"The local gateway {what}{ended}. See `agno-portkey gateway doctor`. "
            f"Its last output:\n{self._output.tail() or '(none)'}"
        )


class _Output:
    """Drains a child's output, so that it never blocks on a full pipe, and keeps its tail."""

    def __init__(self, pipe: IO[bytes], log: IO[bytes] | None) -> None:
        self._pipe = pipe
        self._log = log
        self._tail = bytearray()
        self._thread = threading.Thread(target=self._drain, name="portkey-gateway-log", daemon=True)
        self._thread.start()

    def tail(self) -> str:
        """The last of what the child wrote."""
        return bytes(self._tail).decode(errors="replace").strip()

    def close(self) -> None:
        """Wait for the last output of a child that has ended."""
        self._thread.join()

    def _drain(self) -> None:
        with self._pipe, self._log or nullcontext():
            while chunk := os.read(self._pipe.fileno(), 65_536):
                self._tail += chunk
                del self._tail[:-_TAIL_BYTES]
                if self._log is not None:
                    # A full disk must not stop the draining, and so the gateway.
                    with suppress(OSError):
                        self._log.write(chunk)


def _open_log(path: Path | None) -> IO[bytes] | None:
    if path is None:
        return None
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError as error:
        raise LocalGatewayError(f"Can't write the gateway's log: {error}") from error
    return os.fdopen(descriptor, "wb", buffering=0)


def _read_report(descriptor: int, deadline: float) -> dict[str, object]:
    received = b""
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while not received.endswith(b"\n"):
            if not selector.select(max(0.0, deadline - time.monotonic())):
                return {"message": "not in time; raise start_timeout on a slow machine"}
            chunk = os.read(descriptor, 4096)
            if not chunk:
                return {}
            received += chunk
    report: dict[str, object] = json.loads(received)
    return report


def _answers(port: int) -> bool:
    try:
        # The environment may name a proxy, which can't reach our loopback.
        answer = httpx.get(f"http://{_HOST}:{port}/", timeout=2.0, trust_env=False)
    except httpx.TransportError:
        return False
    return answer.status_code == 200 and _GREETING in answer.text
