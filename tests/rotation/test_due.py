"""A key is due each quarter, and after what was noticed of it."""

from __future__ import annotations

import logging
import stat
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent
from rotated import NAME, Clock, Scene

from agno_portkey import PortkeyModel
from agno_portkey.errors import ConfigurationError, SecretUnavailable
from agno_portkey.guardrails import SecretsGuardrail
from agno_portkey.secrets import Secret
from agno_portkey.security.rotation import Due, KeyWatch, ModelProbe
from agno_portkey.testing import Fault
from agno_portkey.verdict import Event, Verdict


def at(year: int, month: int, day: int) -> float:
    return datetime(year, month, day, tzinfo=UTC).timestamp()


def reasons(scene: Scene) -> list[str]:
    return [each.reason for each in scene.rotation().due()]


def refused(target: str = "openai", status: int = 401) -> Event:
    return Event("attempt", data={"target": target, "status": status})


def test_a_key_is_due_from_the_first_day_of_the_next_quarter(scene: Scene) -> None:
    scene.clock.now = at(2026, 7, 1)
    scene.rotation().rotate()
    assert reasons(scene) == []
    scene.clock.now = at(2026, 10, 1) - 1
    assert reasons(scene) == []
    scene.clock.now = at(2026, 10, 1)
    [due] = scene.rotation().due()
    assert (due.reason, due.said) == ("quarter", "it is of 2026q3, and this is 2026q4")
    scene.rotation().rotate()
    assert reasons(scene) == []


def test_a_key_that_nobody_knows_the_age_of_is_due(scene: Scene) -> None:
    assert reasons(scene) == ["quarter"]
    rotation = scene.rotation(current=scene.in_use())
    scene.provider.fault(Fault.status(403), route="POST /api-keys")
    with pytest.raises(Exception, match="403"):
        rotation.rotate()
    assert rotation.due()[0].said == "nobody knows how old it is"


def test_a_slug_tells_its_quarter_before_it_was_ever_rotated(scene: Scene) -> None:
    scene.clock.now = at(2026, 11, 1)
    assert scene.rotation(current=f"{NAME}-2026q4").due() == []
    [due] = scene.rotation(current=f"{NAME}-2026q2").due()
    assert (due.said, due.at) == ("it is of 2026q2, and this is 2026q4", at(2026, 7, 1))


def test_what_is_noted_counts_until_the_key_is_rotated(scene: Scene) -> None:
    rotation = scene.rotation(current=scene.in_use())
    rotation.rotate()
    due = rotation.mark_due("manual", "a laptop is gone")
    assert isinstance(due, Due)
    assert rotation.mark_due("manual", "and once more") is None
    assert rotation.mark_due("leak", "in a chat") is not None
    assert [each.said for each in scene.rotation().due()] == ["a laptop is gone", "in a chat"]
    path = Path(rotation.marks.path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with path.open("ab") as file:
        file.write(b'\n{"reason": "lea')
    assert rotation.mark_due("unauthorized", "401") is not None
    assert reasons(scene) == ["manual", "leak", "unauthorized"]
    rotation.rotate()
    assert reasons(scene) == []
    with pytest.raises(ConfigurationError, match="reason: one of"):
        rotation.mark_due("whim")  # type: ignore[arg-type]


def test_a_note_can_be_made_while_the_key_is_rotated(scene: Scene) -> None:
    rotation = scene.rotation(current=scene.in_use())
    rotation.rotate(on_step=lambda step: scene.rotation().mark_due("leak", "just now"))
    # It was said of the key that was in use then, of either: the new one is told of, too.
    assert reasons(scene) == ["leak"]
    rotation.rotate()
    assert reasons(scene) == []


# Who watches calls


def test_a_burst_of_refused_calls_makes_a_key_due(scene: Scene) -> None:
    told: list[tuple[str, Due]] = []
    clock = Clock()
    rotation = scene.rotation()
    rotation.rotate()
    watch = KeyWatch(
        rotation, burst=3, within=60, on_due=lambda *due: told.append(due), clock=clock
    )
    for _ in range(10):
        watch(refused(status=500))
        watch(refused())
        clock.sleep(31)
    assert (told, reasons(scene)) == ([], [])
    clock.sleep(100)
    watch(refused(status=403))
    watch(refused())
    assert reasons(scene) == []
    watch(refused())
    assert reasons(scene) == ["unauthorized"]
    [(name, due)] = told
    assert (name, due.said) == (NAME, "3 requests within 60 s were refused (401, 403)")
    for _ in range(9):
        watch(refused())
    assert len(told) == 1


def test_only_the_target_of_the_key_counts(scene: Scene) -> None:
    rotation = scene.rotation()
    rotation.rotate()
    watch = KeyWatch(rotation, burst=2, target="openai")
    for _ in range(5):
        watch(refused("groq"))
    watch(refused())
    assert reasons(scene) == []
    watch(refused())
    assert reasons(scene) == ["unauthorized"]


def test_calls_that_are_refused_are_counted_where_they_are_made(scene: Scene) -> None:
    rotation = scene.rotation()
    rotation.rotate()
    scene.provider.admin.enforced = True
    watch = KeyWatch(rotation, burst=2)
    secret = Secret(NAME, scene.source)
    model = PortkeyModel(base_url=scene.provider.url, portkey_api_key=secret, observers=[watch])
    assert Agent(model=model).run("Hi").content == "You said: Hi"
    scene.provider.admin.rows["api-keys"].clear()
    for _ in range(2):
        Agent(model=model).run("Hi")
    assert reasons(scene) == ["unauthorized"]


@pytest.mark.parametrize("action", ["block", "mask"])
def test_a_key_that_stands_in_a_text_is_due_and_another_s_is_not(scene: Scene, action: Any) -> None:
    rotation = scene.rotation()
    rotation.rotate()
    model = PortkeyModel(
        base_url=scene.provider.url,
        api_key="test",
        guards=[SecretsGuardrail(action=action)],
        observers=[KeyWatch(rotation)],
    )
    Agent(model=model).run("Use api_key=sk-proj-Ab3dEf6hIj9lMn2pQr5tUv8x1 for it")
    assert reasons(scene) == []
    Agent(model=model).run(f"Use api_key={scene.source.held[NAME]} for it")
    assert reasons(scene) == ["leak"]
    assert scene.source.held[NAME] not in Path(rotation.marks.path).read_text()


async def test_a_source_that_blocks_does_not_block_the_loop(scene: Scene) -> None:
    rotation = scene.rotation()
    rotation.rotate()
    free = threading.Event()
    scene.source.on_read.append(lambda: free.wait() and None)
    watch = KeyWatch(rotation)
    found = [{"secrets": [{"kind": "key", "digest": "00"}]}]
    watch(Event("guard", verdict=Verdict(False, "SecretsGuardrail", evidence={"found": found})))
    # Here the loop has its turn, while the source is still asked.
    assert reasons(scene) == []
    free.set()


@pytest.mark.parametrize(
    "found",
    [
        *("much", [7], [{"secrets": 2}], [{"secrets": ["a"]}], [{"secrets": [{"kind": "key"}]}]),
        [{"secrets": [{"kind": "key"}, {"kind": "key", "digest": "00"}]}, {"said": "no secrets"}],
    ],
)
def test_what_other_guards_have_found_keeps_it_from_nothing(scene: Scene, found: Any) -> None:
    rotation = scene.rotation()
    rotation.rotate()
    watch = KeyWatch(rotation)
    watch(Event("guard", verdict=Verdict(False, "another", evidence={"found": found})))
    assert reasons(scene) == []
    model = PortkeyModel(
        base_url=scene.provider.url, api_key="k", guards=[SecretsGuardrail()], observers=[watch]
    )
    Agent(model=model).run(f"Use api_key={scene.source.held[NAME]} for it")
    assert reasons(scene) == ["leak"]


def test_a_source_that_can_t_say_whether_it_was_its_key_has_it_due(scene: Scene) -> None:
    rotation = scene.rotation()
    rotation.rotate()

    def fails() -> None:
        raise SecretUnavailable("gone")

    scene.source.on_read.append(fails)
    found = [{"secrets": [{"kind": "key", "digest": "00"}]}]
    KeyWatch(rotation)(
        Event("guard", verdict=Verdict(False, "SecretsGuardrail", evidence={"found": found}))
    )
    [due] = rotation.due()
    assert (due.reason, "it may be this one" in due.said) == ("leak", True)


def test_what_can_t_be_noted_is_logged_and_reaches_no_run(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    rotation = scene.rotation()
    scene.folder.write_text("no folder")
    with caplog.at_level(logging.ERROR, "agno_portkey"):
        KeyWatch(rotation, burst=1)(refused())
    assert "could not be noted" in caplog.text


@pytest.mark.parametrize("settings", [{"burst": 0}, {"burst": True}, {"within": 0}, {"on_due": 3}])
def test_a_watch_that_can_t_work_is_refused(scene: Scene, settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(settings))):
        KeyWatch(scene.rotation(), **settings)


# The probe


def test_a_probe_asks_with_the_new_key_and_leaves_the_model_as_it_is(scene: Scene) -> None:
    admin = scene.provider.admin
    admin.enforced = True
    model = PortkeyModel(base_url=scene.provider.url, portkey_api_key="dead")
    probed: list[str] = []

    def probe(value: str) -> None:
        ModelProbe(model)(value)
        probed.append(value)

    scene.rotation(probe=probe).rotate()
    [call] = scene.provider.calls
    assert call.headers["x-portkey-api-key"] == scene.source.held[NAME] == probed[0]
    assert call.body["max_tokens"] == 1
    assert model.portkey_api_key == "dead"
    with pytest.raises(ConfigurationError, match="use: one of"):
        ModelProbe(model, "key")  # type: ignore[arg-type]


def test_a_key_that_the_gateway_refuses_is_taken_back(scene: Scene) -> None:
    model = PortkeyModel(base_url=scene.provider.url, portkey_api_key="dead")
    scene.provider.fault(Fault.status(401), route="POST /chat/completions", times=None)
    with pytest.raises(Exception, match=r"its probe failed \(GatewayUnauthorized\)"):
        scene.rotation(probe=ModelProbe(model), patience=1).rotate()
    assert scene.live == []
