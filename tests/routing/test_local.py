"""The local gateway, with the real one: started, called and killed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from local_processes import FAKE_SERVER, output_of, port_of, python, wait_until

from agno_portkey.errors import ConfigurationError, LocalGatewayError
from agno_portkey.routing.local import LocalGateway, child_environment

HOLD_A_GATEWAY = """
import os, sys, time
from agno_portkey.routing.local import LocalGateway
gateway = LocalGateway().start()
heir = os.fork() if "fork" in sys.argv else 0
if heir or "fork" not in sys.argv:
    print(gateway.pid, heir, flush=True)
time.sleep(600)
"""


def get_root(gateway: LocalGateway, **headers: str) -> httpx.Response:
    return httpx.get(f"http://127.0.0.1:{port_of(gateway)}/", headers=headers, trust_env=False)


def is_running(pid: int) -> bool:
    """Whether the process runs; one that ended and waits for init to notice does not."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return state.stdout.strip()[:1] not in ("", "Z")


# Start and stop


def test_it_starts_on_a_free_port_answers_and_stops() -> None:
    gateway = LocalGateway()
    assert not gateway.alive
    with pytest.raises(LocalGatewayError, match="not started"):
        _ = gateway.url
    with gateway:
        pid = gateway.pid
        assert port_of(gateway) > 0
        assert gateway.url == f"http://127.0.0.1:{port_of(gateway)}/v1"
        assert get_root(gateway).text == "AI Gateway says hey!"
        assert gateway.start().pid == pid
    assert not gateway.alive
    assert not is_running(pid)
    gateway.stop()
    with gateway:
        assert gateway.pid != pid


def test_threads_that_start_and_stop_it_at_once_share_one() -> None:
    gateway = LocalGateway()
    pids: set[int] = set()
    for action in (lambda: pids.add(gateway.start().pid), gateway.stop):
        threads = [threading.Thread(target=action) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(pids) == 1
    assert not gateway.alive


def test_a_gateway_that_was_killed_is_started_again() -> None:
    with LocalGateway() as gateway:
        killed = gateway.pid
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: not gateway.alive)
        assert gateway.start().pid != killed
        assert get_root(gateway).status_code == 200


def test_a_port_that_is_taken_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        gateway = LocalGateway(port=taken.getsockname()[1])
        with pytest.raises(LocalGatewayError, match=r"port is taken .*port=0"):
            gateway.start()
    assert not gateway.alive
    with gateway:
        assert port_of(gateway) == gateway._wanted_port


def test_nothing_but_127_0_0_1_is_bound(gateway: LocalGateway) -> None:
    for address in ("127.0.0.2", "::1"):
        with pytest.raises(OSError):  # noqa: PT011 - refused, or no such address on this machine
            socket.create_connection((address, port_of(gateway)), timeout=2).close()


def test_long_headers_are_taken(gateway: LocalGateway) -> None:
    assert get_root(gateway, **{"x-long": "a" * 60_000}).status_code == 200


@pytest.mark.parametrize("path", ["/public/", "/log/stream"])
def test_the_log_is_served_to_nobody(gateway: LocalGateway, path: str) -> None:
    address = f"http://127.0.0.1:{port_of(gateway)}{path}"
    assert httpx.get(address, trust_env=False).status_code == 404


@pytest.mark.parametrize("heir", ["", "fork"])
def test_it_ends_with_a_parent_that_is_killed(heir: str) -> None:
    """Also when a fork of the parent lives on and holds the child's stdin open."""
    with python(HOLD_A_GATEWAY, heir) as parent:
        pid, fork = map(int, output_of(parent).readline().split())
        assert is_running(pid)
        os.kill(parent.pid, signal.SIGKILL)
        wait_until(lambda: not is_running(pid))
        if fork:
            assert is_running(fork)
            os.kill(fork, signal.SIGKILL)


def test_it_ends_with_a_parent_that_forgets_it() -> None:
    code = HOLD_A_GATEWAY.replace("time.sleep(600)", "")
    with python(code) as parent:
        pid = int(parent.communicate()[0].split()[0])
    assert parent.returncode == 0
    assert not is_running(pid)


def test_keys_do_not_reach_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = {"PATH": "/bin", "https_proxy": "http://proxy", "LANG": "C", "NODE_OPTIONS": "--inspect"}
    keys = {"OPENAI_API_KEY": "sk-1", "AWS_SECRET_ACCESS_KEY": "s", "PORTKEY_API_KEY": "p"}
    assert child_environment(mine | keys) == {
        "PATH": "/bin",
        "https_proxy": "http://proxy",
        "LANG": "C",
    }
    if sys.platform == "linux":
        monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
        with LocalGateway() as gateway:
            environment = Path(f"/proc/{gateway.pid}/environ").read_bytes()
        assert b"PATH=" in environment
        assert b"OPENAI_API_KEY" not in environment


@pytest.mark.parametrize("port", [-1, 65_536])
def test_a_port_out_of_range_is_refused(port: int) -> None:
    with pytest.raises(ConfigurationError, match="port must be between"):
        LocalGateway(port=port)


@pytest.mark.parametrize("hosts", ["10.0.0.7", ["http://10.0.0.7"], ["10.0.0.7,10.0.0.8"], [""]])
def test_trusted_hosts_are_a_list_of_names(hosts: list[str]) -> None:
    with pytest.raises(ConfigurationError, match=r"trusted_hosts(:| must be a list)"):
        LocalGateway(trusted_hosts=hosts)


# Failures and output


def test_a_failure_at_start_shows_the_output(fake_install: Callable[[str], Path]) -> None:
    fake_install('console.error("the disk is on fire"); process.exit(3);')
    gateway = LocalGateway()
    with pytest.raises(LocalGatewayError, match=r"(?s)exit code 3.*the disk is on fire"):
        gateway.start()
    assert not gateway.alive


def test_a_gateway_that_never_listens_is_given_up(fake_install: Callable[[str], Path]) -> None:
    fake_install("setInterval(() => {}, 1000);")
    with pytest.raises(LocalGatewayError, match=r"did not listen .*raise start_timeout"):
        LocalGateway(start_timeout=0.3).start()


def test_a_gateway_that_answers_something_else_is_given_up(
    fake_install: Callable[[str], Path],
) -> None:
    fake_install(FAKE_SERVER.replace("AI Gateway says hey!", "nginx"))
    with pytest.raises(LocalGatewayError, match="did not answer in time"):
        LocalGateway(start_timeout=1.0).start()


def test_much_output_does_not_block_it_and_all_of_it_is_in_the_log(
    fake_install: Callable[[str], Path], tmp_path: Path
) -> None:
    fake_install('process.stdout.write("x".repeat(1_000_000));' + FAKE_SERVER)
    log = tmp_path / "gateway.log"
    with LocalGateway(log_path=log) as gateway:
        assert get_root(gateway).status_code == 200
        # It is written by a thread beside.
        ends = time.monotonic() + 30
        while log.stat().st_size < 1_000_000 and time.monotonic() < ends:
            time.sleep(0.01)
    assert log.stat().st_size == 1_000_000
    assert log.stat().st_mode & 0o777 == 0o600


def test_a_log_that_can_not_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LocalGatewayError, match="Can't write the gateway's log"):
        LocalGateway(log_path=tmp_path / "missing" / "gateway.log").start()


# Calls


class Exhausted(BaseHTTPRequestHandler):
    """A provider whose rate limit is used up."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        body = b'{"error": {"message": "slow down"}}'
        self.send_response(429)
        self.send_header("retry-after-ms", "10")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def exhausted_provider() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Exhausted) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def ask(gateway: LocalGateway, host: str) -> httpx.Response:
    retry = {"attempts": 1, "on_status_codes": [429], "use_retry_after_header": True}
    config = {"provider": "openai", "api_key": "none", "custom_host": host, "retry": retry}
    return httpx.post(
        f"{gateway.url}/chat/completions",
        headers={"x-portkey-config": json.dumps(config)},
        json={"model": "any", "messages": [{"role": "user", "content": "hi"}]},
        trust_env=False,
        timeout=20,
    )


def test_a_rate_limit_stays_one_when_the_retries_are_used_up(gateway: LocalGateway) -> None:
    with exhausted_provider() as port:
        answer = ask(gateway, f"http://127.0.0.1:{port}/v1")
    assert answer.status_code == 429, answer.text
    assert answer.headers["x-portkey-retry-attempt-count"] == "-1"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux answers for all of 127.0.0.0/8")
def test_trusted_hosts_are_added_to_those_of_the_gateway(gateway: LocalGateway) -> None:
    with exhausted_provider() as port:
        hosts = [f"http://{host}:{port}/v1" for host in ("127.0.0.1", "127.1.2.3")]
        assert [ask(gateway, host).status_code for host in hosts] == [429, 400]
        with LocalGateway(trusted_hosts=["127.1.2.3"]) as trusting:
            # Nothing listens on the second: the gateway tried, and did not refuse.
            assert [ask(trusting, host).status_code for host in hosts] == [429, 500]
