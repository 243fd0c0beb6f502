"""Hostile files, lying providers and tired operators, and the keys that they are not shown."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rotated import NAME, Scene
from told_variables import variables
from typer.testing import CliRunner

from agno_portkey import PortkeyModel
from agno_portkey.cli import app
from agno_portkey.errors import (
    ConfigurationError,
    RevocationPending,
    RotationFailed,
    SecretUnavailable,
    WrongEnvironment,
)
from agno_portkey.security.rotation import (
    Due,
    IntegrationMaker,
    KeyWatch,
    ModelProbe,
    VirtualKeyMaker,
)
from agno_portkey.security.rotation.config import KeysFile
from agno_portkey.testing import Fault
from agno_portkey.testing.faults import Answer
from agno_portkey.verdict import Event, Verdict

CREATE, DELETE = "POST /api-keys", "DELETE /api-keys"


def reasons(scene: Scene) -> list[str]:
    return [each.reason for each in scene.rotation().due()]


# Notes and journals that are not what they were


HOSTILE = [
    b'{"reason": "leak", "said": 5, "at": 1.0, "about": ""}',
    b'{"reason": "whim", "said": "", "at": 1.0, "about": ""}',
    b'{"reason": "leak", "said": "", "at": "soon", "about": ""}',
    b'{"reason": "leak", "said": "", "at": 1e300, "about": ""}',
    b'{"reason": "leak", "said": "", "at": NaN, "about": ""}',
    b'{"reason": "leak", "said": "", "at": 1.0, "about": ["x"]}',
    b"[" * 100_000,
    b"\x00\xff",
    b"null",
]


@pytest.mark.parametrize("line", HOSTILE)
def test_notes_that_are_none_are_passed_over(scene: Scene, line: bytes) -> None:
    rotation = scene.rotation()
    rotation.mark_due("manual", "by hand")
    with Path(rotation.marks.path).open("ab") as file:
        file.write(line + b"\n")
    assert reasons(scene) == ["manual", "quarter"]
    rotation.status().to_dict()
    rotation.rotate()
    assert reasons(scene) == []


def test_notes_that_are_a_pipe_keep_nobody(scene: Scene) -> None:
    rotation = scene.rotation()
    scene.folder.mkdir()
    os.mkfifo(rotation.marks.path)
    for ask in (rotation.due, rotation.mark_due, lambda: rotation.rotate(leaked=True)):
        with pytest.raises(ConfigurationError):
            ask()


def _paths(held: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = held.items() if isinstance(held, dict) else enumerate(held)
    for name, value in items:
        yield (*path, name)
        if isinstance(value, dict | list):
            yield from _paths(value, (*path, name))


def test_a_journal_with_anything_in_a_field_is_refused_or_read(scene: Scene) -> None:
    rotation = scene.rotation(current=scene.in_use())
    rotation.rotate(wait=False)
    path = Path(rotation.journal.path)
    line = path.read_bytes().splitlines()[-1]
    good = json.loads(line)
    refused = 0
    for place in _paths(good):
        for value in ("x" * 200, "ab" * 200, ["x"], {"x": 1}, -1, None):
            bad = json.loads(line)
            holder = bad
            for name in place[:-1]:
                holder = holder[name]
            holder[place[-1]] = value
            path.write_bytes(json.dumps(bad).encode() + b"\n")
            try:
                rotation.status().to_dict()
                rotation.revoke()
            except (ConfigurationError, RevocationPending):
                refused += 1
    assert refused > len([*_paths(good)])


# Refusals that are not the key's fault


def test_refusals_that_go_on_do_not_have_key_after_key_made(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    rotation = scene.rotation()
    told: list[Due] = []

    def rotate(name: str, due: Due) -> None:
        told.append(due)
        rotation.rotate(wait=False)

    rotation.rotate()
    watches = [KeyWatch(rotation, burst=2, on_due=rotate, rest=3600) for _ in range(2)]
    refused = Event("attempt", data={"target": "openai", "status": 401})
    with caplog.at_level(logging.WARNING, "agno_portkey"):
        for _ in range(20):
            for watch in watches:
                watch(refused)
            scene.clock.sleep(60)
    assert [due.reason for due in told] == ["unauthorized"]
    assert rotation.status().rotations == 2
    assert "another key does not help" in caplog.text
    scene.clock.sleep(3600)
    for _ in range(2):
        watches[0](refused)
    assert len(told) == 2


@pytest.mark.parametrize("rest", [-1, float("nan")])
def test_a_rest_that_is_none_is_refused(scene: Scene, rest: float) -> None:
    with pytest.raises(ConfigurationError, match="rest"):
        KeyWatch(scene.rotation(), rest=rest)


@pytest.mark.parametrize("error", [SecretUnavailable, WrongEnvironment])
async def test_texts_that_look_like_keys_do_not_use_up_all_threads(
    scene: Scene, error: type[Exception]
) -> None:
    """Anybody can write what looks like a key; a source that is slow is asked once at a time."""
    rotation = scene.rotation()
    rotation.rotate()
    free, again, more = threading.Event(), threading.Event(), threading.Event()

    def fails() -> None:
        free.wait()
        raise error("gone")

    scene.source.on_read += [fails, again.set, more.set, more.set]
    told: list[Due] = []
    watch = KeyWatch(rotation, on_due=lambda name, due: told.append(due))
    found = [{"secrets": [{"kind": "key", "digest": "00"}]}]
    for _ in range(300):
        watch(Event("guard", verdict=Verdict(False, "SecretsGuardrail", evidence={"found": found})))
    free.set()
    assert await asyncio.to_thread(again.wait, 60)
    assert not more.is_set()
    assert [due.reason for due in told] == ["leak"]
    # And what comes later is looked at, too.
    watch(Event("guard", verdict=Verdict(False, "SecretsGuardrail", evidence={"found": found})))
    assert await asyncio.to_thread(more.wait, 60)


# Tired operators


@pytest.mark.parametrize("said", ["call", "setting"])
def test_a_key_in_the_place_of_its_id_is_written_nowhere(scene: Scene, said: str) -> None:
    scene.in_use()
    value = scene.source.held[NAME]
    rotation = scene.rotation(current=value if said == "setting" else None)
    with pytest.raises(ConfigurationError, match="that is the key itself") as raised:
        rotation.rotate(current=value if said == "call" else None)
    assert value not in str(raised.value)
    assert all(value not in each.read_text() for each in scene.folder.iterdir())
    assert scene.live == ["old"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"options": {"client": 1}}, "client is not said here"),
        ({"options": {"type": "x"}}, "type is not said here"),
        ({"options": {"name": "x"}}, "name is not said here"),
        ({"options": {"key": "sk-planted-4711-0815"}}, "a key itself does not belong here"),
        ({"kind": "integration", "ai_provider_id": "openai", "new_key": "a:b",
          "options": {"slug": "x"}}, "slug is not said here"),
        ({"kind": "virtual_key", "provider": "openai", "new_key": "a:b",
          "options": {"provider": "x"}}, "provider is not said here"),
    ],
)  # fmt: skip
def test_options_that_are_said_elsewhere_are_refused(change: dict[str, Any], told: str) -> None:
    maker = {"kind": "api_key", **change}
    key = {"name": NAME, "maker": maker, "source": {"kind": "files", "folder": "secrets"}}
    with pytest.raises(ConfigurationError, match=told) as raised:
        KeysFile.parse({"keys": [key]})
    assert "planted" not in str(raised.value)


def test_a_home_of_nobody_is_refused(tmp_path: Path) -> None:
    source = {"kind": "files", "folder": "~nobody-has-this-name/secrets"}
    key = {"name": NAME, "maker": {"kind": "api_key"}, "source": source}
    with pytest.raises(ConfigurationError, match="nobody knows whose home"):
        KeysFile.parse({"keys": [key]}).statuses(tmp_path)


def test_a_leak_is_said_on_the_command_line(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTKEY_ADMIN_API_KEY", "manager")
    row = scene.provider.admin.make("api-keys", "old")
    key = {
        "name": NAME,
        "maker": {"kind": "api_key"},
        "source": {"kind": "files", "folder": "secrets"},
        "current": row["id"],
    }
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"portkey": {"base_url": scene.provider.url}, "keys": [key]}))
    vault = tmp_path / "secrets"
    vault.mkdir(0o700)
    (vault / NAME).touch(0o600)
    (vault / NAME).write_text(row["key"])
    arguments = ["keys", "rotate", NAME, "--leaked", "--file", str(file)]
    done = CliRunner().invoke(app, arguments)
    # With a drain it would take a quarter of an hour.
    assert (done.exit_code, "drain" in done.output) == (0, False)
    assert "old" not in scene.live
    assert row["key"] not in done.output


# What fails shows no key


def _fails(scene: Scene, maker: Any, route: str, answer: Any) -> str:
    scene.provider.fault(answer, route=route, times=None)
    with pytest.raises(RotationFailed) as raised:
        scene.rotation(maker=maker, attempts=1).rotate()
    return "".join(variables(raised.value))


def test_no_variable_shows_a_provider_s_key(scene: Scene) -> None:
    given: dict[str, Any] = {"new_key": lambda name: "sk-planted-4711-0815"}
    makers = {
        "POST /integrations": IntegrationMaker(scene.client, ai_provider_id="openai", **given),
        "POST /virtual-keys": VirtualKeyMaker(scene.client, provider="openai", **given),
    }
    for route, maker in makers.items():
        for fault in (Fault.status(500), Fault.status(403), Fault.cut(0)):
            scene.provider.reset()
            assert "planted" not in _fails(scene, maker, route, fault)


@pytest.mark.parametrize("id", [None, ""])
def test_no_variable_shows_a_key_that_came_without_an_id(
    scene: Scene, id: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = Answer.of_json({"id": id, "key": "pk-planted-4711-0815"})
    monkeypatch.setattr(scene.provider.admin, "answer", lambda request: answer)
    with pytest.raises(RotationFailed, match="there is no id") as raised:
        scene.rotation(attempts=1).rotate()
    assert "planted" not in "".join(variables(raised.value))


def test_no_variable_shows_the_key_that_manages_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTKEY_ADMIN_API_KEY", "pk-planted-4711-0815")
    key = {"name": NAME, "maker": {"kind": "api_key"}, "source": {"kind": "keyring"}}
    file = KeysFile.parse({"portkey": {"base_url": "nowhere"}, "keys": [key]})
    with (
        pytest.raises(ConfigurationError, match="base_url") as raised,
        file.rotations(Path(), resolve=lambda spec: None),
    ):
        pass
    assert "planted" not in "".join(variables(raised.value))


# A probe that would be told what it wants to hear


def test_a_probe_goes_past_the_gateway_s_cache(scene: Scene) -> None:
    model = PortkeyModel(base_url=scene.provider.url, portkey_api_key="dead")
    ModelProbe(model)("pk-new")
    [call] = scene.provider.calls
    assert call.headers["x-portkey-cache-force-refresh"] == "true"
    assert not model.fresh


@pytest.mark.parametrize("body", [{}, {"choices": []}, {"choices": None}, [], "ok", {"error": "x"}])
def test_an_answer_that_is_none_is_no_good(scene: Scene, body: Any) -> None:
    model = PortkeyModel(base_url=scene.provider.url, portkey_api_key="dead")
    scene.provider.when(
        lambda request: request.route == "POST /chat/completions",
        lambda request: Answer.of_json(body),
    )
    with pytest.raises(RotationFailed, match="its probe failed"):
        scene.rotation(probe=ModelProbe(model), patience=0).rotate()
    assert scene.live == []
