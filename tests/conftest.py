"""What every test has: no network but loopback, no telemetry, no keys from the environment."""

from __future__ import annotations

import os

import pytest

os.environ["AGNO_TELEMETRY"] = "false"


@pytest.fixture(autouse=True)
def _no_keys_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*os.environ]:
        if name.startswith(("PORTKEY_", "OPENAI_")):
            monkeypatch.delenv(name)
