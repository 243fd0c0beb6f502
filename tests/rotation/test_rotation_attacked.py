"""A key that others know, and a slug that changes: while calls go on, and whoever is killed."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from agno.models.message import Message
from rotated import NAME, Scene

from agno_portkey import PortkeyModel
from agno_portkey.errors import (
    RevocationPending,
    RotationFailed,
)
from agno_portkey.secrets import Secret
from agno_portkey.security.rotation import (
    IntegrationMaker,
    ModelProbe,
    Step,
)
from agno_portkey.testing import Fault

CREATE, DELETE = "POST /api-keys", "DELETE /api-keys"


class Killed(BaseException):
    """The process is gone."""


def reasons(scene: Scene) -> list[str]:
    return [each.reason for each in scene.rotation().due()]


# A slug changes with each rotation


@pytest.mark.parametrize("leaked", [False, True])
def test_a_running_model_follows_an_integration(scene: Scene, leaked: bool) -> None:
    admin = scene.provider.admin
    api_key = admin.make("api-keys", "callers")["key"]
    old = admin.make("integrations", f"{NAME}-2026q2", key="sk-of-the-old-one")
    scene.source.held[NAME] = f"@{old['slug']}"
    admin.enforced = True
    maker = IntegrationMaker(
        scene.client, ai_provider_id="openai", new_key=lambda name: f"sk-of-{name}"
    )
    model = PortkeyModel(
        base_url=scene.provider.url,
        profile="hosted",
        portkey_api_key=api_key,
        portkey_provider=Secret(NAME, scene.source, ttl=0 if not leaked else 1e6),
    )
    rotation = scene.rotation(maker=maker, probe=ModelProbe(model, "portkey_provider"))
    over, asked = threading.Event(), threading.Semaphore(0)

    def call(_: int) -> int:
        count = 0
        while not over.is_set() or not count:
            model.response([Message(role="user", content="Hi")])
            count += 1
            asked.release()
        return count

    def busy(step: Step) -> None:
        # Calls go on between any two steps.
        for _ in range(4 if step.left is None else 0):
            asked.acquire()

    with ThreadPoolExecutor(3) as threads:
        calls = threads.map(call, range(3))
        try:
            for _ in range(3):
                rotation.rotate(leaked=leaked, on_step=busy)
        finally:
            over.set()
        assert sum(calls) > 30
    [slug] = admin.rows["integrations"]
    assert scene.source.held[NAME] == f"@{slug}"
    if not leaked:
        assert admin.refused == 0


# What others know goes at once


def test_a_leaked_key_does_not_live_through_the_drain(scene: Scene) -> None:
    began = scene.clock()
    steps: list[tuple[str, list[str]]] = []
    rotation = scene.rotation(current=scene.in_use())
    rotation.rotate(leaked=True, on_step=lambda step: steps.append((step.stage, scene.live)))
    assert scene.clock() == began
    assert [stage for stage, _ in steps] == ["create", "shift", "revoke"]
    assert scene.live == [scene.named]
    assert reasons(scene) == []


@pytest.mark.parametrize("wait", [True, False])
def test_a_leak_that_was_noticed_needs_no_more_words(scene: Scene, wait: bool) -> None:
    began = scene.clock()
    rotation = scene.rotation(current=scene.in_use())
    rotation.mark_due("leak", "in a chat")
    rotation.rotate(wait=wait)
    assert (scene.clock(), scene.live) == (began, [scene.named])


def test_others_that_leave_are_waited_for(scene: Scene) -> None:
    rotation = scene.rotation(current=scene.in_use())
    second = rotation.rotate(wait=False).current
    assert second is not None
    rotation.mark_due("leak", "in a chat")
    seen: list[list[str]] = []

    def slept(seconds: float) -> None:
        seen.append(scene.live)
        scene.clock.sleep(seconds)

    scene.rotation(sleep=slept).rotate()
    assert seen
    assert all(second.name not in live and "old" in live for live in seen)
    assert scene.live == [scene.named]


def test_a_leaked_key_that_can_t_be_deleted_is_told_of_at_once(scene: Scene) -> None:
    began = scene.clock()
    rotation = scene.rotation(current=scene.in_use(), attempts=1)
    scene.provider.fault(Fault.status(403), route=DELETE, times=None)
    with pytest.raises(RevocationPending, match=r"could not be deleted \(Portkey answered 403"):
        rotation.rotate(leaked=True)
    assert scene.clock() == began
    assert (len(scene.live), scene.named != "old") == (2, True)


def test_a_kill_after_the_shift_leaves_the_leak_known(scene: Scene) -> None:
    began = scene.clock()
    rotation = scene.rotation(current=scene.in_use())

    def kill(step: Step) -> None:
        if step.stage == "revoke":
            raise Killed

    with pytest.raises(Killed):
        rotation.rotate(leaked=True, on_step=kill)
    assert "old" in scene.live
    done = scene.rotation().rotate(leaked=True)
    assert (scene.clock(), scene.live, done.resumed) == (began, [scene.named], True)
    assert scene.rotation().status().rotations == 2


def test_a_leaked_key_goes_though_no_new_one_can_be_made(scene: Scene) -> None:
    """It was replaced already, and a kill kept it from being deleted."""
    rotation = scene.rotation(current=scene.in_use())

    def kill(step: Step) -> None:
        if step.stage == "drain":
            raise Killed

    with pytest.raises(Killed):
        rotation.rotate(on_step=kill)
    assert "old" in scene.live
    scene.provider.fault(Fault.status(403), route=CREATE)
    with pytest.raises(RotationFailed, match="403"):
        scene.rotation().rotate(leaked=True)
    assert scene.live == [scene.named]


@pytest.mark.parametrize("stage", ["create", "probe", "shift", "revoke"])
def test_a_kill_anywhere_in_the_rotation_of_a_leaked_key(scene: Scene, stage: str) -> None:
    began = scene.clock()
    rotation = scene.rotation(current=scene.in_use(), probe=lambda value: None)
    rotation.mark_due("leak", "in a chat")

    def kill(step: Step) -> None:
        if step.stage == stage:
            raise Killed

    with pytest.raises(Killed):
        rotation.rotate(on_step=kill)
    scene.rotation(settle=0).rotate()
    assert (scene.live, "leak" in reasons(scene)) == ([scene.named], False)
    if stage in ("shift", "revoke"):
        assert scene.clock() == began


def test_who_drains_meanwhile_drains_no_longer(scene: Scene) -> None:
    """The other process has the journal for a quarter of an hour yet, and the key is known now."""
    old = scene.in_use()
    draining, told = threading.Event(), threading.Event()
    began = scene.clock()

    def slept(seconds: float) -> None:
        draining.set()
        assert told.wait(60)
        scene.clock.sleep(seconds)

    other = scene.rotation(current=old, sleep=slept)
    thread = threading.Thread(target=other.rotate)
    thread.start()
    assert draining.wait(60)
    assert "old" in scene.live

    def waits(seconds: float) -> None:
        told.set()
        thread.join(60)

    scene.rotation(sleep=waits, patience=1e6).rotate(leaked=True)
    assert scene.live == [scene.named]
    assert scene.clock() - began < 10
    assert scene.rotation().status().rotations == 2


def test_a_leak_outlives_a_rotation_that_fails(scene: Scene) -> None:
    """What was noted before anybody knew which key it is, is not forgotten once that is known."""
    rotation = scene.rotation(current=scene.in_use(f"{NAME}-2026q3"))
    rotation.mark_due("leak", "in a chat")
    scene.provider.fault(Fault.status(403), route=CREATE)
    with pytest.raises(RotationFailed, match="403"):
        rotation.rotate()
    assert "leak" in reasons(scene)
    began = scene.clock()
    rotation.rotate()
    assert (scene.clock(), reasons(scene)) == (began, [])
