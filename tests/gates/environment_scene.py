"""A process that says of which environment it is."""

from __future__ import annotations

import pytest

from agno_portkey.environments import VARIABLE


def be(patch: pytest.MonkeyPatch, environment: str | None) -> None:
    if environment is None:
        patch.delenv(VARIABLE, raising=False)
    else:
        patch.setenv(VARIABLE, environment)
