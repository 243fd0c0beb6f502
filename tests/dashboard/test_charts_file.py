"""The library that draws the charts is the one that was looked at, with its licence beside it."""

from __future__ import annotations

import hashlib
from importlib.resources import files

STATIC = files("agno_portkey.playground") / "static"
# Of echarts.common.min.js in echarts 6.1.0 on npm.
SHA256 = "61f13280aba3161f77fc801bf5f9c786f55f10432153a0683fc5cc0700b013d5"


def test_the_library_is_the_one_that_was_published() -> None:
    held = (STATIC / "echarts.common.min.js").read_bytes()
    assert hashlib.sha256(held).hexdigest() == SHA256


def test_its_licence_stands_beside_it() -> None:
    said = (STATIC / "echarts.LICENSE.txt").read_text(encoding="utf-8")
    assert "echarts.common.min.js" in said
    assert "Apache License" in said
    assert "BSD" in said or "Mike Bostock" in said
