"""Several processes share one store: what one has asked none asks again, even at once."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from redis_server import RedisServer

from agno_portkey.cache import Cache, Selection
from agno_portkey.testing import EmbeddedProvider

ASK = textwrap.dedent(
    """
    import sys
    from agno.agent import Agent
    from agno_portkey import PortkeyModel
    from agno_portkey.cache import CachePolicy

    url, store, question = sys.argv[1:]
    policy = CachePolicy(store=store, scope="public")
    agent = Agent(model=PortkeyModel(base_url=url, api_key="k", cache=policy))
    print("ready", flush=True)
    sys.stdin.readline()
    print(agent.run(question).content, flush=True)
    """
)


@pytest.fixture(params=["sqlite", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    if request.param == "sqlite":
        return str(tmp_path / "answers.db")
    server = request.getfixturevalue("redis_server")
    return server.url


@pytest.fixture
def redis_server() -> Any:
    with RedisServer() as server:
        yield server


def _asking(url: str, store: str, question: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", ASK, url, store, question],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_four_processes_that_ask_at_once_make_one_call(
    store: str, portkey_provider: EmbeddedProvider
) -> None:
    def slow(request: Any) -> str:
        import time

        time.sleep(0.5)
        return "All is well"

    portkey_provider.when(lambda request: True, slow)
    asking = [_asking(portkey_provider.url, store, "Hi") for _ in range(4)]
    for each in asking:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"
    for each in asking:
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()
    assert [each.communicate(timeout=60)[0] for each in asking] == ["All is well\n"] * 4
    assert len(portkey_provider.calls) == 1
    cache = Cache(store)
    assert len(cache.entries()) == 1
    assert len(cache.forget(Selection(everything=True), by="ann", dry_run=False)) == 1
    assert cache.entries() == []
    cache.close()
