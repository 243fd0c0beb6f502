"""A key is rotated: the new one is in use before the old one goes."""

from __future__ import annotations

import pytest
from rotated import NAME, Scene

from agno_portkey.errors import (
    ConfigurationError,
    RotationFailed,
)
from agno_portkey.security.rotation import (
    Step,
)


def test_the_new_key_is_in_use_before_the_old_one_goes(scene: Scene) -> None:
    old = scene.in_use()
    stages: list[tuple[str, list[str], str | None]] = []

    def watch(step: Step) -> None:
        stages.append((step.stage, scene.live, scene.named))

    done = scene.rotation(current=old, probe=lambda value: None).rotate(on_step=watch)
    assert done.current is not None
    new = done.current.name
    assert new.startswith(f"{NAME}-r")
    assert new.endswith("-2026q3")
    assert (scene.live, scene.named, done.pending) == ([new], new, ())
    seen = {stage: (live, named) for stage, live, named in stages}
    assert seen["create"] == (["old"], "old")
    assert seen["probe"] == seen["shift"] == (["old", new], "old")
    assert seen["drain"] == seen["revoke"] == (["old", new], new)


def test_the_old_key_lives_on_for_as_long_as_callers_may_use_it(scene: Scene) -> None:
    old, began = scene.in_use(), scene.clock()
    scene.rotation(current=old, drain=930).rotate()
    assert scene.clock() - began >= 930


def test_without_waiting_the_old_key_is_left_for_later(scene: Scene) -> None:
    old = scene.in_use()
    rotation = scene.rotation(current=old, drain=930)
    done = rotation.rotate(wait=False)
    assert [each.id for each in done.pending] == [old]
    assert rotation.status().stage == "drain"
    rotation.revoke()
    assert len(scene.live) == 2
    scene.clock.sleep(931)
    assert rotation.status().stage == "revoke"
    assert rotation.revoke().pending == ()
    assert scene.live == [scene.named]


def test_what_is_leaked_is_revoked_at_once_if_that_is_said(scene: Scene) -> None:
    rotation = scene.rotation(current=scene.in_use())
    rotation.rotate(wait=False)
    rotation.revoke(now=True)
    assert scene.live == [scene.named]
    assert rotation.status().stage == "idle"


def test_one_that_was_interrupted_while_it_drained_is_no_second_rotation(scene: Scene) -> None:
    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    old = scene.in_use()
    with pytest.raises(KeyboardInterrupt):
        scene.rotation(current=old, sleep=interrupted).rotate()
    name = scene.named
    rotation = scene.rotation()
    assert rotation.status().stage == "drain"
    assert rotation.rotate().resumed
    assert (scene.live, rotation.status().rotations) == ([name], 1)
    assert not rotation.rotate().resumed
    assert (scene.live == [name], rotation.status().rotations) == (False, 2)


def test_a_key_that_was_not_there_is_made(scene: Scene) -> None:
    done = scene.rotation().rotate()
    assert done.current is not None
    assert scene.live == [scene.named] == [done.current.name]


def test_rotations_follow_each_other(scene: Scene) -> None:
    rotation = scene.rotation(current=scene.in_use())
    names = [rotation.rotate().current for _ in range(3)]
    assert len(set(names)) == 3
    assert scene.live == [scene.named]
    assert rotation.status().rotations == 3


def test_whose_value_is_in_the_source_has_to_be_known(scene: Scene) -> None:
    scene.in_use()
    with pytest.raises(ConfigurationError, match="say its id"):
        scene.rotation().rotate()
    assert scene.live == ["old"]


def test_what_was_changed_by_hand_is_not_rotated_unasked(scene: Scene) -> None:
    rotation = scene.rotation(current=scene.in_use())
    rotation.rotate()
    by_hand = scene.in_use("by hand")
    with pytest.raises(RotationFailed, match="changed by hand"):
        rotation.rotate()
    assert len(scene.live) == 2
    assert scene.named == "by hand"
    rotation.rotate(current=by_hand)
    assert scene.live == [scene.named]
