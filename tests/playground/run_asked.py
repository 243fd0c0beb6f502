"""A client of AgentOS as the page is one: it begins a run, and reads what its stream says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from playing import serving

Said = dict[str, Any]


def client(url: str, token: str | None = None) -> httpx.Client:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return httpx.Client(base_url=url, timeout=60, headers=headers, trust_env=False)


@contextmanager
def asked(app: Any) -> Iterator[httpx.Client]:
    """A client of `app`, which is served until the end of the block."""
    with serving(app) as url, client(url) as http:
        yield http


def said_in(response: httpx.Response) -> Iterator[Said]:
    """The events of a stream, each as its JSON."""
    for line in response.iter_lines():
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))


def begin(http: httpx.Client, message: str, session: str = "s", team: str = "release") -> str:
    """The id of a run in the background, which goes on by itself."""
    form = {"message": message, "stream": "true", "background": "true", "session_id": session}
    with http.stream("POST", f"/teams/{team}/runs", data=form) as response:
        assert response.status_code == 200, response.read()
        return str(next(said_in(response))["run_id"])


def resume(
    http: httpx.Client,
    run_id: str,
    *,
    after: int | None = None,
    session: str = "s",
    team: str = "release",
) -> list[Said]:
    """All that the stream of a run says behind `after`, to its end."""
    form: dict[str, Any] = {"session_id": session}
    if after is not None:
        form["last_event_index"] = after
    with http.stream("POST", f"/teams/{team}/runs/{run_id}/resume", data=form) as response:
        assert response.status_code == 200, response.read()
        return [each for each in said_in(response) if "event_index" in each]


def ours(said: list[Said]) -> list[Said]:
    """What our observers have heard, of all that was said."""
    return [each for each in said if each.get("source") == "agno_portkey"]
