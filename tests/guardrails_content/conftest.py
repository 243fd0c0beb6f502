"""A logger whose one handler writes into a text."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest


@pytest.fixture
def log() -> Iterator[tuple[logging.Logger, logging.Handler, io.StringIO]]:
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    parent = logging.getLogger("content_test")
    parent.propagate = False
    parent.setLevel("DEBUG")
    parent.addHandler(handler)
    yield logging.getLogger("content_test.child"), handler, out
    parent.removeHandler(handler)
