"""A call goes on beside a store that can't be used, from the first call on, and it is said why."""

from __future__ import annotations

import logging
import multiprocessing
import os
import resource
import socket
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import redis
from agno.agent import Agent
from agno.run.base import RunStatus
from four_forms import FORMS, play
from redis import exceptions
from redis_server import RedisServer

from agno_portkey import PortkeyModel
from agno_portkey.cache import CacheFigures, CachePolicy, answers
from agno_portkey.cache.answers import KEY_VARIABLE, URL_VARIABLE, cache_at
from agno_portkey.cache.failures import failure
from agno_portkey.cache.opening import Later, opened
from agno_portkey.errors import ConfigurationError
from agno_portkey.testing import EmbeddedProvider


class Told:
    """Two calls of an agent whose policy has the store `store`, and what was said of them."""

    def __init__(self, store: str | None, *, form: str = "run", kind: Any = "exact") -> None:
        self.figures, self.said = CacheFigures(), list[str]()
        handler = logging.Handler(logging.WARNING)
        handler.emit = lambda record: self.said.append(record.getMessage())  # type: ignore[method-assign]
        log = logging.getLogger("agno_portkey")
        log.addHandler(handler)
        try:
            with EmbeddedProvider() as provider:
                provider.when(lambda request: True, "All is well.")
                policy = CachePolicy(store=store, scope="public", kind=kind)
                model = PortkeyModel(
                    base_url=provider.url, api_key="k", cache=policy, observers=[self.figures]
                )
                for _ in range(2):
                    ended = play(Agent(model=model), form)
                    assert (ended.status, ended.content) == (RunStatus.completed, "All is well.")
                self.calls = len(provider.calls)
        finally:
            log.removeHandler(handler)

    @property
    def why(self) -> dict[str, int]:
        return dict(sum((row.unusable for row in self.figures.rows()), Counter()))

    def is_beside(self, why: str, said: str = "calls go on without it") -> None:
        """Each call was made; the log says so once, and the figures each time."""
        assert self.calls == 2
        assert self.why == {why: 2}
        [line] = self.said
        assert "calls go on without it" in line
        assert why in line
        assert said in line


def forked(work: Callable[[], Told]) -> Told:
    """What comes of `work` in a process that may give up what this one needs."""
    context = multiprocessing.get_context("fork")
    told = context.SimpleQueue()

    def asked() -> None:
        done = work()
        told.put((done.calls, done.why, done.said))

    child = context.Process(target=asked)
    child.start()
    child.join()
    assert child.exitcode == 0
    found = Told.__new__(Told)
    found.calls, why, found.said = told.get()
    found.figures = CacheFigures()
    row = found.figures._row("", "public")
    assert row is not None
    row.unusable.update(why)
    return found


def foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE agno_portkey_cache_2_entries (mine TEXT)")


def a_folder_less(path: Path) -> None:
    path.parent.rmdir()


def under_a_file(path: Path) -> None:
    path.parent.rmdir()
    path.parent.write_text("mine")


def junk(path: Path) -> None:
    path.write_bytes(b"This is my diary. " * 500)


FILES: list[tuple[Callable[[Path], Any], str, str]] = [
    (foreign, "tables of others", "delete it if it is an old cache"),
    (junk, "no SQLite file", "give a file in a folder that exists"),
    (Path.mkdir, "can't be opened", "give a file in a folder that exists"),
    (a_folder_less, "no such folder", "give a file in a folder that exists"),
    (under_a_file, "no such folder", "give a file in a folder that exists"),
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("spoils", "why", "said"), FILES, ids=[each[0].__name__ for each in FILES])
def test_a_file_that_can_be_no_cache_breaks_no_call(
    tmp_path: Path, spoils: Callable[[Path], Any], why: str, said: str, form: str
) -> None:
    path = tmp_path / "folder" / "answers.db"
    path.parent.mkdir()
    spoils(path)
    before = path.read_bytes() if path.is_file() else None
    Told(str(path), form=form).is_beside(why, said)
    # Nothing of others is changed.
    assert (path.read_bytes() if path.is_file() else None) == before


def test_nor_one_of_kind_semantic(tmp_path: Path) -> None:
    foreign(tmp_path / "answers.db")
    Told(str(tmp_path / "answers.db"), kind="semantic").is_beside("tables of others")


def powerless(path: Path) -> None:
    """Have this process be nobody, for whom folders that may only be read are that."""
    path.parent.chmod(0o555)
    if os.getuid() == 0:
        os.setgid(65534)
        os.setuid(65534)


def test_a_folder_that_may_only_be_read_breaks_no_call() -> None:
    # One of pytest's may not be entered by others.
    with TemporaryDirectory() as folder:

        def work() -> Told:
            powerless(Path(folder, "answers.db"))
            return Told(str(Path(folder, "answers.db")))

        told = forked(work)
        Path(folder).chmod(0o755)
    told.is_beside("may not be written to", "give a file in a folder that exists")


def test_a_disk_that_is_full_breaks_no_call(tmp_path: Path) -> None:
    def work() -> Told:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, 1_000))
        return Told(str(tmp_path / "answers.db"))

    told = forked(work)
    [why] = told.why
    assert why in ("disk full", "disk fails")
    told.is_beside(why)


def test_a_file_that_others_hold_breaks_no_call(tmp_path: Path) -> None:
    path = tmp_path / "answers.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("CREATE TABLE mine (id)")
        other.execute("BEGIN EXCLUSIVE")
        Told(str(path)).is_beside("locked")
        other.execute("ROLLBACK")
    # Nobody holds it any more: at once it is a cache.
    assert Told(str(path)).calls == 1
    cache_at(str(path)).close()


# Redis


def test_a_redis_that_is_not_there_breaks_no_call() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        told = Told(f"redis://:h4rd@127.0.0.1:{port}/0")
    told.is_beside("not there", f"redis://127.0.0.1:{port}/0")
    assert "h4rd" not in "".join(told.said)


@pytest.mark.parametrize("given", ["", ":h4rd@"])
def test_a_wrong_password_breaks_no_call(given: str) -> None:
    with RedisServer(password="another") as server:
        told = Told(f"redis://{given}127.0.0.1:{server.port}/0")
    told.is_beside("wrong password")
    assert "h4rd" not in "".join(told.said)


@pytest.mark.parametrize("name", ["used", "seq", "buckets", "expiry", "notes"])
def test_keys_of_others_break_no_call(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # So that each call comes as far as it can.
    monkeypatch.setattr(answers, "_REST", 0.0)
    with RedisServer() as server:
        with closing(redis.Redis.from_url(server.url)) as client:
            full = f"agno_portkey:cache:1:{name}"
            client.rpush(full, "mine") if name != "notes" else client.set(full, "mine")
        told = Told(server.url)
        cache_at(server.url).close()
    assert told.why == {"keys of others": 2} or (name == "notes" and told.calls == 1)
    assert len(told.said) == 1


def test_without_the_extra_no_call_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    told = Told("redis://:h4rd@nowhere:6379/1")
    told.is_beside("extra missing", "agno-portkey[redis]")
    assert "h4rd" not in "".join(told.said)


# What nobody gave by hand


@pytest.mark.parametrize(
    "address", ["mysql://u:h4rd@h/d", "redis://:h4rd@host:many/0", " ", "a\tb/c"]
)
def test_a_wrong_address_of_the_environment_breaks_no_call(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(URL_VARIABLE, address)
    told = Told(None)
    told.is_beside("no such folder" if "b/c" in address else "wrong address or key")
    assert "h4rd" not in "".join(told.said)


def test_a_wrong_key_breaks_no_call_and_keeps_nothing_unsealed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "h4rd")
    told = Told(str(tmp_path / "answers.db"))
    told.is_beside("wrong address or key", "key: ")
    assert "h4rd" not in "".join(told.said)
    assert [*tmp_path.iterdir()] == []


def test_a_users_folder_that_can_not_be_made_breaks_no_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("mine")
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    monkeypatch.setattr(
        "agno_portkey.cache.opening.user_cache_path", lambda name: tmp_path / "file" / name
    )
    Told(None).is_beside("no such folder", URL_VARIABLE)


# What is given by hand, and what comes back


@pytest.mark.parametrize(
    "address",
    ["", " ", "a\0b", "mysql://u:h4rd@h/d", "sqlite:///a?h4rd=1", "redis://:h4rd@host:many/0"],
)
def test_what_can_be_no_address_is_refused_with_the_policy(address: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^store: ") as refused:
        CachePolicy(store=address)
    assert "h4rd" not in str(refused.value)


def test_a_policy_opens_nothing(tmp_path: Path) -> None:
    for address in (str(tmp_path / "answers.db"), f"sqlite:///{tmp_path}/a.db", ":memory:"):
        CachePolicy(store=address)
    CachePolicy(store="redis://127.0.0.1:1/0")
    assert [*tmp_path.iterdir()] == []


def test_what_is_put_right_is_used_from_then_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "_REST", 0.0)
    path = tmp_path / "folder" / "answers.db"
    Told(str(path)).is_beside("no such folder")
    path.parent.mkdir()
    told = Told(str(path))
    assert (told.calls, told.why, told.said) == (1, {}, [])
    # A failure that was told a moment ago is not told again; another one is.
    cache_at(str(path)).close()
    path.unlink()
    junk(path)
    Told(str(path)).is_beside("no SQLite file")


def test_it_is_told_again_once_it_was_right_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "_REST", 0.0)
    path = tmp_path / "folder" / "answers.db"
    assert len(Told(str(path)).said) == 1
    assert Told(str(path)).said == []
    monkeypatch.setattr(answers, "_QUIET", 0.0)
    assert Told(str(path)).said


def test_a_path_means_the_file_that_it_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(tmp_path)
    later = Later("answers.db")
    assert later.place == str(tmp_path / "answers.db")
    assert not Path(later.place).exists()
    monkeypatch.chdir(elsewhere)
    assert later.notes() == []
    assert Path(later.place).exists()
    assert [*elsewhere.iterdir()] == []
    later.close()


def test_of_two_that_open_at_once_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    later, made = Later(str(tmp_path / "answers.db")), list[Any]()
    opening = opened

    def slowly(address: str) -> Any:
        store = opening(address)
        made.append(store)
        if len(made) == 1:
            # Another thread asks for it meanwhile.
            later.notes()
        return store

    monkeypatch.setattr("agno_portkey.cache.opening.opened", slowly)
    assert later.notes() == []
    assert len(made) == 2
    assert later._stores[0] is made[1]
    assert made[0]._reader._open == []
    later.close()
    assert made[1]._reader._open == []


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (sqlite3.OperationalError("no such table: secret"), "OperationalError"),
        (OSError(28, "secret"), "disk full"),
        (ConnectionRefusedError("secret"), "not there"),
        (exceptions.NoPermissionError("secret"), "wrong user"),
        (exceptions.OutOfMemoryError("secret"), "memory full"),
        (exceptions.ResponseError("secret"), "ResponseError"),
        (exceptions.TimeoutError("secret"), "took too long"),
        (TimeoutError("secret"), "took too long"),
        (RuntimeError("secret"), "RuntimeError"),
    ],
)
def test_a_failure_is_told_in_a_few_words(error: Exception, why: str) -> None:
    assert failure(error) == why
