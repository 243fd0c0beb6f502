"""The local gateway: whom it listens to, whom it asks, and what it is installed from."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import socket
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from agno.models.message import Message

from agno_portkey.errors import GatewayError, LocalGatewayError
from agno_portkey.model import PortkeyModel
from agno_portkey.routing import Recovery, local_install
from agno_portkey.routing.hosts import TRUSTED_VARIABLE
from agno_portkey.routing.local import LocalGateway
from agno_portkey.testing import EmbeddedProvider

Answering = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def server(answer: Answering) -> Iterator[tuple[int, list[str]]]:
    """A server on loopback, and the paths that it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.rfile.read(int(self.headers.get("content-length", 0)))
            answer(self)

        do_POST = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            yield running.server_address[1], asked
        finally:
            running.shutdown()
            thread.join()


def sent(status: int, body: bytes = b"", **headers: str) -> Answering:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {**headers, "content-length": str(len(body))}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


# Whom it listens to


def listening(pid: int) -> set[str]:
    """The addresses that a process listens at, as the kernel tells them."""
    links = [os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir() if each.is_symlink()]
    own = {link[8:-1] for link in links if link.startswith("socket:[")}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in own:
                found.add(fields[1].split(":")[0])
    return found


def test_it_listens_on_loopback_alone_and_shows_no_log(portkey_gateway: LocalGateway) -> None:
    command = Path(f"/proc/{portkey_gateway.pid}/cmdline").read_bytes().split(b"\0")
    assert b"--headless" in command
    assert listening(portkey_gateway.pid) == {socket.inet_aton("127.0.0.1")[::-1].hex().upper()}


# Whom it asks


def name_of_loopback() -> str:
    """A name, other than `localhost`, that this machine takes for itself."""
    for line in Path("/etc/hosts").read_text().splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        if address.startswith("127.") or address == "::1":
            for name in names:
                if name != "localhost" and "." not in name:
                    return name
    return socket.gethostname()


def ask(gateway: LocalGateway, host: str, **headers: str) -> httpx.Response:
    return httpx.post(
        f"{gateway.url}/chat/completions",
        headers={"x-portkey-provider": "openai", "Authorization": "Bearer k"}
        | {"x-portkey-custom-host": host}
        | headers,
        json={"model": "m", "messages": [{"role": "user", "content": "Hi"}]},
        trust_env=False,
        timeout=30,
    )


def test_a_name_is_looked_at_again_when_it_connects(
    portkey_gateway: LocalGateway, portkey_provider: EmbeddedProvider
) -> None:
    name = name_of_loopback()
    host = portkey_provider.url.replace("127.0.0.1", name)
    answer = ask(portkey_gateway, host)
    assert answer.status_code == 500
    assert f"{name} (127." in answer.text
    assert "is an address of this machine's network and not trusted" in answer.text
    assert portkey_provider.requests == []
    with LocalGateway(trusted_hosts=[name]) as trusting:
        assert ask(trusting, host).status_code == 200
    assert len(portkey_provider.requests) == 1


def test_the_model_tells_what_to_do(
    portkey_gateway: LocalGateway,
    portkey_provider: EmbeddedProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = name_of_loopback()
    # Trusted where the model is, and not where the gateway was started.
    monkeypatch.setenv(TRUSTED_VARIABLE, name)
    model = PortkeyModel(
        base_url=portkey_gateway.url,
        portkey_provider="openai",
        api_key="k",
        custom_host=portkey_provider.url.replace("127.0.0.1", name),
        recovery=Recovery(attempts=1),
    )
    with pytest.raises(GatewayError, match=TRUSTED_VARIABLE):
        model.response([Message(role="user", content="Hi")])
    assert portkey_provider.requests == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_of_a_provider_is_followed(
    status: int, portkey_gateway: LocalGateway, portkey_provider: EmbeddedProvider
) -> None:
    with server(sent(status, location=f"{portkey_provider.url}/chat/completions")) as (port, asked):
        answer = ask(portkey_gateway, f"http://127.0.0.1:{port}/v1")
    assert len(asked) == 1
    assert answer.status_code == 500
    assert "the provider's redirect is not followed" in answer.text
    assert "location" not in answer.headers
    assert portkey_provider.requests == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_nor_does_the_client_follow_one_of_a_gateway(
    status: int, portkey_provider: EmbeddedProvider
) -> None:
    with server(sent(status, location=f"{portkey_provider.url}/chat/completions")) as (port, asked):
        model = PortkeyModel(
            base_url=f"http://127.0.0.1:{port}/v1",
            portkey_provider="openai",
            api_key="k",
            recovery=Recovery(attempts=1),
        )
        with pytest.raises(GatewayError, match=str(status)):
            model.response([Message(role="user", content="Hi")])
    assert len(asked) == 1
    assert portkey_provider.requests == []


# What it is installed from


def packed(text: str) -> bytes:
    manifest = {
        "name": "tiny",
        "version": "1.0.0",
        "scripts": dict.fromkeys(("preinstall", "install", "postinstall"), "echo ran > ran"),
    }
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for name, content in (("package.json", json.dumps(manifest)), ("index.js", text)):
            about = tarfile.TarInfo(f"package/{name}")
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content.encode()))
    return made.getvalue()


GOOD, CHANGED = packed("1"), packed("2")


def digest(tarball: bytes) -> str:
    return "sha512-" + base64.b64encode(hashlib.sha512(tarball).digest()).decode()


def registry(tarball: bytes) -> Answering:
    """One that is consistent in itself: what it says of its tarball is so."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        if handler.path.endswith(".tgz"):
            sent(200, tarball)(handler)
            return
        where = f"http://{handler.headers['host']}/tiny/-/tiny-1.0.0.tgz"
        dist = {"tarball": where, "integrity": digest(tarball)}
        version = {"name": "tiny", "version": "1.0.0", "dist": dist, "hasInstallScript": True}
        about = {"name": "tiny", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version}}
        sent(200, json.dumps(about).encode(), **{"content-type": "application/json"})(handler)

    return answer


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package and its lock, as ours are: a digest, and no address."""
    asked = {"dependencies": {"tiny": "1.0.0"}}
    locked = {"version": "1.0.0", "integrity": digest(GOOD), "hasInstallScript": True}
    lock = {
        "lockfileVersion": 3,
        "requires": True,
        "packages": {"": asked, "node_modules/tiny": locked},
    }
    made = tmp_path / "gateway"
    made.mkdir()
    (made / "package.json").write_text(json.dumps(asked))
    (made / "package-lock.json").write_text(json.dumps(lock))
    for name, value in (("cache", str(tmp_path / "npm")), ("userconfig", str(tmp_path / "rc"))):
        monkeypatch.setenv(f"npm_config_{name}", value)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    return made


@pytest.mark.parametrize("tarball", [GOOD, CHANGED], ids=["good", "changed"])
def test_another_package_than_locked_is_not_installed(
    tarball: bytes, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with server(registry(tarball)) as (port, asked):
        for name in ("npm_config_registry", "NPM_CONFIG_REGISTRY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{port}/")
        if tarball == GOOD:
            local_install._npm_ci(folder)
            assert (folder / "node_modules/tiny/index.js").read_text() == "1"
        else:
            with pytest.raises(LocalGatewayError, match="EINTEGRITY"):
                local_install._npm_ci(folder)
            assert not (folder / "node_modules/tiny/index.js").exists()
    assert asked, "it was this registry that was asked"
    assert [*folder.rglob("ran")] == [], "no script of a package runs"


def test_the_lock_has_a_digest_of_each_package(tmp_path: Path) -> None:
    lock = json.loads(local_install._package_file("package-lock.json"))
    packages = {name: about for name, about in lock["packages"].items() if name}
    assert len(packages) > 50
    for about in packages.values():
        assert about["integrity"].startswith("sha512-")
        assert len(base64.b64decode(about["integrity"][7:], validate=True)) == 64
        assert "resolved" not in about
    first = next(iter(packages))
    for wrong in (None, "", "sha1-abc"):
        lock["packages"][first]["integrity"] = wrong
        (tmp_path / "package-lock.json").write_text(json.dumps(lock))
        with pytest.raises(LocalGatewayError, match="no digest of"):
            local_install._check_lock(tmp_path)


def test_what_has_no_digest_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {name: local_install._package_file(name) for name in local_install._PACKAGE_FILES}
    lock = json.loads(files["package-lock.json"])
    del lock["packages"]["node_modules/@portkey-ai/gateway"]["integrity"]
    files["package-lock.json"] = json.dumps(lock).encode()
    monkeypatch.setenv("AGNO_PORTKEY_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(local_install, "_package_file", files.__getitem__)
    with pytest.raises(LocalGatewayError, match="no digest of node_modules/@portkey-ai/gateway"):
        local_install.install()
    assert not local_install.install_folder().exists()
