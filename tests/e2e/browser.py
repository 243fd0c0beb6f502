"""Debian's Chromium: where it is, and how it gets there."""

from __future__ import annotations

import os
import shutil
import subprocess

__all__ = ["chromium"]

_PACKAGES = ("chromium", "fonts-dejavu-core")


def chromium() -> str:
    """The path of Chromium: CHROMIUM_PATH, else the one on PATH, else Debian's is installed.

    Raises RuntimeError, which says what to do, where it can't be installed.
    """
    named = os.environ.get("CHROMIUM_PATH")
    if named:
        if not os.access(named, os.X_OK):
            raise RuntimeError(f"CHROMIUM_PATH: {named} is nothing that can be run")
        return named
    found = shutil.which("chromium") or _installed()
    if found is None:
        raise RuntimeError("chromium was installed and is not on PATH: set CHROMIUM_PATH")
    return found


def _installed() -> str | None:
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise RuntimeError(
            "no chromium on PATH: install it (apt-get install chromium), or set CHROMIUM_PATH"
        )
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update"], ["install", "-y", "--no-install-recommends", *_PACKAGES]):
        subprocess.run(["apt-get", "-q", *words], check=True, env=env)
    return shutil.which("chromium")
