"""Under load no rotation is noticed by a caller; the benchmark itself, with fewer calls."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "security"))


def test_no_401_reaches_a_caller_while_keys_are_rotated(
    capsys: pytest.CaptureFixture[str],
) -> None:
    import rotation

    ours, secret, plain = rotation.main(["--calls", "300", "--rotations", "3", "--direct"])
    assert (ours.refused, ours.reached, ours.other) == (0, 0, 0)
    assert ours.calls >= 300
    # In place somebody is always refused: the load is one that notices.
    assert secret.refused > 0
    assert plain.reached > 0
    printed = capsys.readouterr().out
    assert "Keys rotated under load" in printed
