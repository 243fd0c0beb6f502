"""What every test has: no network but loopback, no telemetry, no keys from the environment.

And what several folders need: databases that are real, SQLite files and a Postgres.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from postgres_server import PostgresServer
from sampling import long_tests, sampled

os.environ["AGNO_TELEMETRY"] = "false"
if "PYTEST_XDIST_WORKER" in os.environ:
    # What tests start is not measured, since it takes twice as long then: the workers are.
    os.environ.pop("COVERAGE_PROCESS_CONFIG", None)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As in the background of a shell; what tests start would not hear of it either.
    signal.signal(signal.SIGINT, signal.default_int_handler)
# What a busy machine takes longer for is not wrong.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    said = "run every case of each matrix of tests, and not a sample (make sweep)"
    parser.addoption("--all-cases", action="store_true", help=said)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out of long matrices what a sample does without; what is named by itself is run."""
    if not config.getoption("--all-cases"):
        items[:], left_out = sampled(items, long_tests())
        if left_out:
            config.hook.pytest_deselected(items=left_out)


def pytest_collection_finish() -> None:
    """All tests and what they import stay: the garbage collector need not go through them again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _no_filters_left() -> Iterator[None]:
    """What `govern` makes log handlers hide is not to be hidden from the tests after it."""
    before = {id(handler): [*handler.filters] for handler in logging.getLogger().handlers}
    yield
    for handler in logging.getLogger().handlers:
        handler.filters[:] = before.get(id(handler), handler.filters)


@pytest.fixture(scope="session", autouse=True)
def _patience_with_stores() -> Iterator[None]:
    """What a busy machine takes longer to read than the kill switch waits for is no stop."""
    from agno_portkey.stopping import StopSwitch

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(StopSwitch.__init__.__kwdefaults__ or {}, "timeout", 30.0)
        yield


@pytest.fixture(autouse=True)
def _no_keys_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*os.environ]:
        if name.startswith(("PORTKEY_", "OPENAI_")):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One server for all tests of a process, started for the first that needs it."""
    with PostgresServer() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database that several processes can share."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'agno.db'}"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.new_database()
