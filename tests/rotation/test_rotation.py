"""A key is rotated: the new one is in use before the old one goes, and what fails is taken back."""

from __future__ import annotations

import errno
import json
import os
import pickle
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from rotated import NAME, MemorySecrets, Scene

from agno_portkey.errors import (
    ConfigurationError,
    RevocationPending,
    RotationFailed,
    RotationUnderWay,
    SecretUnavailable,
    WrongEnvironment,
)
from agno_portkey.security.rotation import (
    AdminFailed,
    ApiKeyMaker,
    IntegrationMaker,
    Made,
    Rotation,
    Step,
    VirtualKeyMaker,
    admin_client,
)
from agno_portkey.testing import Fault

CREATE, DELETE, LIST = "POST /api-keys", "DELETE /api-keys", "GET /api-keys"


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


# Who is at it, and what is written down


def test_two_at_once_are_one_that_does_and_one_that_says_so(scene: Scene) -> None:
    rotation, said = scene.rotation(current=scene.in_use()), []

    def second(step: Step) -> None:
        with pytest.raises(RotationUnderWay, match="is at this key") as under_way:
            scene.rotation().rotate()
        said.append(under_way.value.keys)

    rotation.rotate(on_step=second)
    assert set(said) == {"Nothing was done here"}
    assert scene.live == [scene.named]


def test_who_watches_and_fails_stops_nothing(scene: Scene) -> None:
    def watch(step: Step) -> None:
        raise RuntimeError

    scene.rotation(current=scene.in_use()).rotate(on_step=watch)
    assert scene.live == [scene.named]


def test_no_value_is_in_the_journal_which_is_for_its_owner_alone(scene: Scene) -> None:
    old = scene.in_use()
    rotation, values = scene.rotation(current=old), [scene.source.held[NAME]]
    rotation.rotate()
    values.append(scene.source.held[NAME])
    path = Path(rotation.journal.path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    text = path.read_text()
    assert [value for value in values if value[:12] in text] == []
    path.chmod(0o644)
    told = json.dumps([rotation.status().to_dict(), rotation.rotate().to_dict()])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [value for value in values if value[:12] in told] == []
    assert "digest" not in told


@pytest.mark.parametrize("rest", [b"", b'{"jour', b"\x00\xff"])
def test_a_line_that_a_kill_cut_off_was_of_a_step_not_begun(scene: Scene, rest: bytes) -> None:
    rotation = scene.rotation(current=scene.in_use())
    rotation.rotate()
    with open(rotation.journal.path, "ab") as file:
        file.write(rest)
    assert rotation.status().rotations == 1
    rotation.rotate()
    assert scene.live == [scene.named]
    assert rotation.status().rotations == 2


def test_a_journal_that_is_damaged_or_another_s_is_refused(scene: Scene) -> None:
    rotation = scene.rotation(current=scene.in_use())
    path = Path(rotation.journal.path)
    path.parent.mkdir(parents=True)
    for text, said in (
        ("{}\n", "damaged"),
        ("not ours\n", "damaged"),
        ('{"journal": "another", "key": "a"}\n', "is not the journal of"),
        ("no line", "is not the journal of"),
    ):
        path.write_text(text)
        with pytest.raises(ConfigurationError, match=said):
            rotation.rotate()
        assert path.read_text() == text
    assert scene.live == ["old"]


def test_what_can_t_be_written_down_is_not_done(scene: Scene) -> None:
    rotation = scene.rotation(current=scene.in_use())
    scene.folder.parent.mkdir(exist_ok=True)
    scene.folder.write_text("no folder")
    with pytest.raises(ConfigurationError, match="can't be written"):
        rotation.rotate()
    assert scene.live == ["old"]
    assert [r for r in scene.provider.requests if r.method == "POST"] == []


@pytest.mark.parametrize("line", range(1, 6))
def test_a_disk_that_is_full_stops_a_rotation_that_then_goes_on(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, line: int
) -> None:
    rotation, written = scene.rotation(current=scene.in_use()), [0]
    sync = os.fsync

    def fails(file: int) -> None:
        if os.path.isfile(f"/proc/self/fd/{file}"):
            written[0] += 1
            if written[0] == line:
                raise OSError(errno.ENOSPC, "full")
        sync(file)

    with monkeypatch.context() as patched:
        patched.setattr("agno_portkey.security.rotation.journal.os.fsync", fails)
        with pytest.raises(ConfigurationError, match=r"can't be written \(OSError\)"):
            rotation.rotate()
    assert scene.named is not None
    rotation.rotate()
    assert scene.live == [scene.named]


def test_a_source_that_can_t_be_read_stops_it_before_anything_is_done(scene: Scene) -> None:
    rotation = scene.rotation(current=scene.in_use())
    scene.source.on_read.append(_break)
    with pytest.raises(RotationFailed, match="can't be read") as failed:
        rotation.rotate()
    assert failed.value.keys == "Nothing was done"
    assert "pk-something" not in str(failed.value)
    assert scene.live == ["old"]


def test_what_failed_can_be_handed_to_another_process() -> None:
    for kind in (RotationFailed, RotationUnderWay, RevocationPending):
        error = pickle.loads(pickle.dumps(kind("a", "b", "c", "d")))
        assert (type(error), str(error), error.do) == (kind, "a: b. c. d", "d")
    failed = pickle.loads(pickle.dumps(AdminFailed("no", status=429)))
    assert (str(failed), failed.status, failed.unsure, failed.passing) == ("no", 429, False, True)


def test_an_admin_client_needs_a_key_and_an_address() -> None:
    with pytest.raises(ConfigurationError, match="api_key"):
        admin_client(" ")
    with pytest.raises(ConfigurationError, match="base_url"):
        admin_client("key", base_url="portkey")


# Makers of provider's keys


def test_a_virtual_key_is_rotated_with_the_provider_s_key_in_it(scene: Scene) -> None:
    keys: dict[str, str] = {}

    def new_key(name: str) -> str:
        return keys.setdefault(name, f"sk-{len(keys)}-{name[-13:]}")

    admin = scene.provider.admin
    row = admin.make("virtual-keys", "old", key="sk-old")
    scene.source.held[NAME] = row["slug"]
    maker = VirtualKeyMaker(
        scene.client,
        provider="openai",
        new_key=new_key,
        drop_key=lambda name: keys.pop(name, None),
        note="ours",
    )
    keys[row["slug"]] = "sk-old"
    scene.provider.fault(Fault.stall(0), route="POST /virtual-keys")
    scene.rotation(maker=maker).rotate()
    [only] = admin.rows["virtual-keys"].values()
    assert scene.source.held[NAME] == only["slug"]
    assert [*keys.values()] == [only["key"]]
    assert (only["provider"], only["note"]) == ("openai", "ours")


def test_an_integration_is_rotated_and_let_into_its_workspaces(scene: Scene) -> None:
    admin = scene.provider.admin
    admin.make("integrations", "old", slug="old", key="sk-old")
    scene.source.held[NAME] = "@old"
    maker = IntegrationMaker(
        scene.client, ai_provider_id="openai", new_key=lambda name: "sk-new", workspaces=["ws-1"]
    )
    scene.provider.fault(Fault.status(400), route="PUT /integrations")
    with pytest.raises(RotationFailed, match="answered 400"):
        scene.rotation(maker=maker).rotate()
    assert admin.live("integrations") == ["old"]
    scene.rotation(maker=maker).rotate()
    [only] = admin.rows["integrations"].values()
    assert scene.source.held[NAME] == f"@{only['slug']}"
    assert only["workspaces"] == {"workspaces": [{"id": "ws-1", "enabled": True}]}


def test_a_function_for_new_keys_that_fails_is_told_by_its_kind(scene: Scene) -> None:
    def new_key(name: str) -> str:
        raise RuntimeError("sk-oops")

    maker = VirtualKeyMaker(scene.client, provider="openai", new_key=new_key)
    with pytest.raises(RotationFailed, match=r"new_key failed with RuntimeError\.") as failed:
        scene.rotation(maker=maker).rotate()
    assert "sk-oops" not in str(failed.value)


class Broken:
    """A maker of one's own that raises what it likes."""

    def create(self, name: str) -> Made:
        raise KeyError("pk-secret")

    def delete(self, name: str, id: str | None = None) -> None:
        raise KeyError("pk-secret")

    def id_of(self, value: str) -> str | None:
        return None


def test_a_maker_that_breaks_is_told_by_the_kind_of_its_error(scene: Scene) -> None:
    rotation = scene.rotation(maker=Broken())
    with pytest.raises(RotationFailed, match=r"the maker failed \(KeyError\)") as failed:
        rotation.rotate()
    assert "pk-secret" not in str(failed.value)
    assert rotation.status().pending[0].why == "the maker failed (KeyError)"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"maker": object()}, "maker"),
        ({"source": object()}, "source"),
        ({"probe": 3}, "probe"),
        ({"attempts": 0}, "attempts"),
        ({"attempts": True}, "attempts"),
        ({"drain": -1}, "drain"),
        ({"settle": float("nan")}, "settle"),
        ({"patience": "long"}, "patience"),
        ({"secret": "../etc"}, "name"),
    ],
)
def test_settings_that_can_t_work_are_refused(
    scene: Scene, settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said):
        scene.rotation(**settings)


def test_a_name_says_whose_key_it_is(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    maker, source = ApiKeyMaker(scene.client), scene.source
    with pytest.raises(ConfigurationError, match="provider-environment-team"):
        Rotation("search", maker=maker, source=source, journal=scene.folder)
    source.environment = "dev"
    with pytest.raises(WrongEnvironment, match="its source is of dev"):
        scene.rotation()
    source.environment = "production"
    scene.rotation()
    monkeypatch.setenv("PORTKEY_ENVIRONMENT", "staging")
    with pytest.raises(WrongEnvironment, match="PORTKEY_ENVIRONMENT is staging"):
        scene.rotation()
