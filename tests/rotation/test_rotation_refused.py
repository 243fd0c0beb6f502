"""What goes wrong with Portkey, the probe or the source is tried again, taken back, or told."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from rotated import NAME, MemorySecrets, Scene

from agno_portkey.errors import (
    RevocationPending,
    RotationFailed,
    SecretUnavailable,
)
from agno_portkey.testing import Fault

CREATE, DELETE, LIST = "POST /api-keys", "DELETE /api-keys", "GET /api-keys"


# What goes wrong with Portkey


@pytest.mark.parametrize(
    "fault",
    [
        *(Fault.status(429), Fault.status(500), Fault.reset(), Fault.silence(), Fault.html()),
        *(Fault.cut(0), Fault.stall(0), Fault.malformed_chunk()),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.answer.status if fault.answer else ''}",
)
def test_a_create_that_fails_once_is_done_again_and_leaks_nothing(
    scene: Scene, fault: Fault
) -> None:
    scene.provider.fault(fault, route=CREATE)
    scene.rotation(current=scene.in_use()).rotate()
    assert scene.live == [scene.named]


def test_a_create_that_is_refused_leaves_all_as_it_was(scene: Scene) -> None:
    scene.provider.fault(Fault.status(403, message="key sk-leaked"), route=CREATE)
    with pytest.raises(RotationFailed, match="answered 403") as failed:
        scene.rotation(current=scene.in_use()).rotate()
    assert (scene.live, scene.named) == (["old"], "old")
    assert "sk-leaked" not in str(failed.value)
    assert failed.value.__context__ is None or failed.value.__suppress_context__
    assert failed.value.keys.startswith("The source names what it named before")
    # It was not tried again.
    assert len([r for r in scene.provider.requests if r.route.startswith(CREATE)]) == 1


def test_a_lost_create_that_can_t_be_looked_for_is_remembered(scene: Scene) -> None:
    rotation = scene.rotation(current=scene.in_use(), attempts=1)
    scene.provider.fault(Fault.cut(0), route=CREATE)
    scene.provider.fault(Fault.status(500), route=LIST, times=None)
    with pytest.raises(RotationFailed, match="connection broke"):
        rotation.rotate()
    assert len(scene.live) == 2
    [pending] = rotation.status().pending
    assert pending.name in scene.live
    assert "answered 500" in pending.why
    scene.provider.clear_faults()
    rotation.revoke()
    assert scene.live == ["old"]


def test_what_appears_after_it_was_looked_for_is_found_later(scene: Scene) -> None:
    rotation = scene.rotation(current=scene.in_use(), attempts=1, settle=600)
    scene.provider.fault(Fault.silence(), route=CREATE)
    with pytest.raises(RotationFailed, match="no answer in time"):
        rotation.rotate()
    [pending] = rotation.status().pending
    scene.provider.admin.make("api-keys", pending.name)
    rotation.revoke()
    assert scene.live == ["old"]
    assert rotation.status().pending != ()
    scene.clock.sleep(601)
    rotation.revoke()
    assert rotation.status().pending == ()


def test_a_revocation_that_fails_is_tried_again_and_told(scene: Scene) -> None:
    rotation = scene.rotation(current=scene.in_use(), attempts=2)
    scene.provider.fault(Fault.status(500), route=DELETE)
    rotation.rotate()
    assert scene.live == [scene.named]
    scene.provider.fault(Fault.status(500), route=DELETE, times=None)
    with pytest.raises(RevocationPending, match="answered 500") as pending:
        rotation.rotate()
    assert "keys revoke" in pending.value.do
    assert len(scene.live) == 2
    assert rotation.status().pending[0].why
    scene.provider.clear_faults()
    rotation.revoke()
    assert scene.live == [scene.named]


@pytest.mark.parametrize("fault", [Fault.cut(0), Fault.stall(0), Fault.malformed_chunk()])
def test_a_deletion_whose_answer_is_lost_is_looked_at(scene: Scene, fault: Fault) -> None:
    scene.provider.fault(fault, route=DELETE)
    scene.rotation(current=scene.in_use(), attempts=1).rotate()
    assert scene.live == [scene.named]


def test_a_deletion_that_is_only_said_is_none(scene: Scene) -> None:
    from agno_portkey.testing.faults import Answer

    lie = Fault("answer", answer=Answer.of_json({}))
    scene.provider.fault(lie, route=DELETE, times=None)
    with pytest.raises(RevocationPending, match="still active"):
        scene.rotation(current=scene.in_use()).rotate()


def test_a_key_that_is_gone_already_is_revoked(scene: Scene) -> None:
    old = scene.in_use()
    rotation = scene.rotation(current=old)
    rotation.rotate(wait=False)
    del scene.provider.admin.rows["api-keys"][old]
    rotation.revoke(now=True)
    assert rotation.status().pending == ()


def test_a_list_that_is_none_is_not_taken_for_an_empty_one(scene: Scene) -> None:
    from agno_portkey.testing.faults import Answer

    rotation = scene.rotation(current=scene.in_use(), attempts=1)
    scene.provider.fault(Fault.cut(0), route=CREATE)
    junk = Fault("answer", answer=Answer.of_json({"object": "list"}))
    scene.provider.fault(junk, route=LIST)
    with pytest.raises(RotationFailed):
        rotation.rotate()
    assert "no list" in rotation.status().pending[0].why


def test_all_pages_are_searched(scene: Scene) -> None:
    old = scene.in_use()
    for number in range(250):
        scene.provider.admin.make("api-keys", f"other-{number}")
    scene.provider.fault(Fault.cut(0), route=CREATE)
    scene.rotation(current=old).rotate()
    assert [name for name in scene.live if not name.startswith("other")] == [scene.named]


# What goes wrong with the probe and the source


def test_a_key_that_is_no_good_is_taken_back(scene: Scene) -> None:
    def probe(value: str) -> None:
        raise RuntimeError(value)

    began = scene.clock()
    with pytest.raises(RotationFailed, match=r"its probe failed \(RuntimeError\)") as failed:
        scene.rotation(current=scene.in_use(), probe=probe, patience=20).rotate()
    assert (scene.live, scene.named) == (["old"], "old")
    assert 10 <= scene.clock() - began <= 20
    assert "pk-" not in str(failed.value)


def test_a_key_that_is_known_everywhere_only_later_is_waited_for(scene: Scene) -> None:
    answers = [RuntimeError, RuntimeError, None]

    def probe(value: str) -> None:
        if error := answers.pop(0):
            raise error

    scene.rotation(current=scene.in_use(), probe=probe).rotate()
    assert scene.live == [scene.named] != ["old"]


def _refuse() -> None:
    raise SecretUnavailable("the disk is full")


def _break() -> None:
    raise OSError("pk-something")


@pytest.mark.parametrize("fails", [_refuse, _break, lambda: True])
def test_a_source_that_takes_no_new_value_keeps_the_old_key(scene: Scene, fails: Any) -> None:
    scene.source.on_write.append(fails)
    with pytest.raises(RotationFailed) as failed:
        scene.rotation(current=scene.in_use()).rotate()
    assert (scene.live, scene.named) == (["old"], "old")
    assert "pk-" not in str(failed.value)


def test_a_source_that_has_written_and_raises_is_believed_to_have_written(scene: Scene) -> None:
    class Wrote(MemorySecrets):
        def write(self, name: str, value: str) -> None:
            super().write(name, value)
            raise SecretUnavailable("so it says")

    scene.source = Wrote()
    scene.rotation(current=scene.in_use()).rotate()
    assert scene.live == [scene.named] != ["old"]


def test_a_source_that_hangs_leaves_both_keys(scene: Scene) -> None:
    free = threading.Event()
    scene.source.on_write.append(lambda: free.wait() and None)
    rotation = scene.rotation(current=scene.in_use(), source_timeout=0.2)
    try:
        with pytest.raises(RotationFailed, match="no answer in time") as failed:
            rotation.rotate()
        assert failed.value.keys.startswith("The old key and the new one are both alive")
        assert len(scene.live) == 2
        assert rotation.status().stage == "shift"
    finally:
        free.set()


def test_a_source_that_can_t_be_read_after_the_write_leaves_both_keys(scene: Scene) -> None:
    rotation = scene.rotation(current=scene.in_use())
    scene.source.on_write.append(lambda: scene.source.on_read.append(_break))
    with pytest.raises(RotationFailed, match="both alive"):
        rotation.rotate()
    assert len(scene.live) == 2
    assert rotation.rotate().resumed
    assert scene.live == [scene.named] != ["old"]


def test_what_somebody_else_wrote_meanwhile_is_left(scene: Scene) -> None:
    def probe(value: str) -> None:
        scene.in_use("theirs")

    with pytest.raises(RotationFailed, match="somebody else"):
        scene.rotation(current=scene.in_use(), probe=probe).rotate()
    assert scene.named == "theirs"
    assert scene.live == ["old", "theirs"]


def test_a_key_that_the_source_names_again_is_not_revoked(scene: Scene) -> None:
    rotation = scene.rotation(current=scene.in_use())
    before = scene.source.held[NAME]
    rotation.rotate(wait=False)
    scene.source.held[NAME] = before
    with pytest.raises(RevocationPending, match="the source names it again"):
        rotation.revoke(now=True)
    assert "old" in scene.live


def test_a_key_is_not_revoked_while_nobody_can_say_what_the_source_names(scene: Scene) -> None:
    rotation = scene.rotation(current=scene.in_use())
    rotation.rotate(wait=False)
    scene.source.on_read.append(_break)
    with pytest.raises(RevocationPending, match="can't be read"):
        rotation.revoke(now=True)
    assert "old" in scene.live


def test_a_source_that_can_t_be_read_stops_it_before_anything_is_done(scene: Scene) -> None:
    rotation = scene.rotation(current=scene.in_use())
    scene.source.on_read.append(_break)
    with pytest.raises(RotationFailed, match="can't be read") as failed:
        rotation.rotate()
    assert failed.value.keys == "Nothing was done"
    assert "pk-something" not in str(failed.value)
    assert scene.live == ["old"]
