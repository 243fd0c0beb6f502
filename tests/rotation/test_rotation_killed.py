"""A process that rotates a key is killed at each point of it; the next one goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from agno_portkey.testing import EmbeddedProvider

SCRIPT = Path(__file__).with_name("killed.py")


def test_a_kill_anywhere_loses_no_key_and_leaks_none(
    portkey_provider: EmbeddedProvider, tmp_path: Path
) -> None:
    admin, secrets = portkey_provider.admin, tmp_path / "secrets"
    killed = subprocess.Popen(
        [sys.executable, str(SCRIPT), portkey_provider.url, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SCRIPT.parents[2])},
    )
    assert killed.stdin is not None
    assert killed.stdout is not None
    seen = set()
    with killed:
        for line in killed.stdout:
            told = json.loads(line)
            case, rows = told["case"], admin.rows["api-keys"].values()
            value = (secrets / f"openai-prod-k{case}").read_text().strip()
            live = {row["name"]: row["key"] for row in rows if f"k{case}-" in row["name"]}
            live |= {row["name"]: row["key"] for row in rows if row["name"] == f"old-{case}"}
            # Whatever happens, the source names a live key.
            assert value in live.values(), told
            seen.add(len(live))
            if told.get("resumed", told.get("ended")) == 0:
                assert [*live.values()] == [value], told
                assert f"old-{case}" not in live
            else:
                assert told.get("ended") == -signal.SIGKILL, told
            killed.stdin.write("\n")
            killed.stdin.flush()
    assert (killed.returncode, told["ended"]) == (0, 0)
    # Through all steps, with one key and with two.
    assert told["case"] > 15
    assert seen == {1, 2}
