"""What somebody says is in no stream, log or record before a guard has had its say on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from playing import playing
from run_asked import begin, client, ours, resume

ADDRESS = "zoe.quill@example.org"
MESSAGE = f"Ship release 2.1 to staging, and tell {ADDRESS}."


@pytest.mark.parametrize("pii", ["mask", "block"])
def test_personal_data_is_nowhere(tmp_path: Path, pii: Any) -> None:
    governed = {"pii": pii}
    with playing(tmp_path, governed=governed) as stage, client(stage.url) as http:
        form = {"message": MESSAGE, "stream": "true", "background": "true", "session_id": "s"}
        with http.stream("POST", "/teams/release/runs", data=form) as response:
            lines = [*response.iter_lines()]
        run_id = next(
            json.loads(line.removeprefix("data: "))["run_id"]
            for line in lines
            if line.startswith("data: ")
        )
        said = resume(http, run_id)
        runs = http.get("/sessions/s/runs", params={"type": "team"}).text
        session = http.get("/sessions/s", params={"type": "team"}).text
        asked = [json.dumps(each.body) for each in stage.provider.requests]
    for told in ("\n".join(lines), json.dumps(said), runs, session, "\n".join(asked)):
        assert ADDRESS not in told
        assert "zoe" not in told
    guards = [each for each in ours(said) if each["kind"] == "guard"]
    assert guards
    assert any("EMAIL_ADDRESS" in each["data"].get("types", {}) for each in guards)


def test_the_rest_of_an_event_is_as_it_was(tmp_path: Path) -> None:
    with playing(tmp_path) as stage, client(stage.url) as http:
        said = resume(http, begin(http, "Hello."))
    started = [each for each in said if each["event"] == "TeamPreHookStarted"]
    assert started
    for each in started:
        assert "run_input" not in each
        assert each["pre_hook_name"]
