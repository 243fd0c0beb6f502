"""Vaults are kept, found again, shared by threads and processes, and forgotten."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from vault_sessions import KEY, Clock, tell

from agno_portkey.errors import VaultUnavailable
from agno_portkey.guardrails.pii.vault import Vault
from agno_portkey.guardrails.pii.vault_store import MemoryStore
from agno_portkey.guardrails.pii.vaults import Vaults


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def make(request: Any, tmp_path: Path) -> Callable[..., Vaults]:
    """Makes Vaults that share what is kept, as after a restart; not those in memory."""
    if request.param == "memory":
        store = MemoryStore(100)
        return lambda **options: Vaults(**{"database": store, **options})
    if request.param == "sqlite":
        address = f"sqlite:///{tmp_path / 'vaults.db'}"
    else:
        address = request.getfixturevalue("server").new_database()
    return lambda **options: Vaults(**{"database": address, "keys": [KEY], **options})


def test_a_vault_is_found_again(make: Callable[..., Vaults]) -> None:
    first = make()
    vault = first.of("one", "ann")
    assert tell(vault, "Alice") == "<PERSON_1>"
    stored = vault.keep("to Alice and ALICE")
    again = make().of("one", "ann")
    assert again.restore(stored) == "to Alice and ALICE"
    assert again.show("<PERSON_1>") == "Alice"
    assert tell(again, "Bob") == "<PERSON_2>"
    # The first one learns what another has added.
    assert first.of("one", "ann") is vault
    assert vault.show("<PERSON_2>") == "Bob"


def test_each_session_of_each_user_has_its_own(make: Callable[..., Vaults]) -> None:
    vaults = make()
    stored = {}
    for session, user in [("one", "ann"), ("two", "ann"), ("one", "ben"), ("one", None)]:
        vault = vaults.of(session, user)
        value = f"{session} {user}"
        assert tell(vault, value) == "<PERSON_1>"
        stored[session, user] = vault.keep(value)
    for (session, user), text in stored.items():
        for asked in stored:
            shown = vaults.of(*asked).restore(text)
            assert (shown == f"{session} {user}") is (asked == (session, user))


def test_who_may_open_a_mark(make: Callable[..., Vaults]) -> None:
    vaults = make()
    marks = {}
    for session, user in [("one", "ann"), ("one", None), (None, "ann"), ("two", "ben")]:
        vault = vaults.of(session, user)
        tell(vault, "Alice")
        marks[session, user] = vault.seen[0] or ""

    def opens(session: str | None, user: str | None, by: tuple[str | None, str | None]) -> bool:
        return make().by_mark(marks[by], session, user) is not None

    assert opens("one", "ann", ("one", "ann"))
    assert opens("one", "ann", ("one", None))
    assert opens(None, "ann", ("one", "ann"))
    assert opens(None, "ann", (None, "ann"))
    assert opens(None, "default", ("one", None))
    # A session is one user's: what names the session alone is theirs.
    assert opens("one", None, ("one", "ann"))
    assert not opens("two", "ann", ("one", "ann"))
    assert not opens("one", "ben", ("one", "ann"))
    assert not opens(None, "ben", ("one", "ann"))
    assert not opens("one", "ann", ("two", "ben"))
    assert vaults.by_mark("0" * 16, "one", "ann") is None
    assert vaults.marked("0" * 16) is None
    assert {vault.seen[0] for vault in vaults.all_of(None, "ann")} == {
        marks[None, "ann"],
        marks["one", "ann"],
    }
    assert [vault.seen[0] for vault in vaults.all_of("one", "ann")] == [
        marks["one", "ann"],
        marks["one", None],
    ]
    assert [vault.seen[0] for vault in vaults.all_of("one")] == [
        marks["one", None],
        marks["one", "ann"],
    ]


def test_what_is_forgotten_is_opened_by_nobody(make: Callable[..., Vaults]) -> None:
    here, there = make(), make()
    vault = here.of("one", "ann")
    tell(vault, "Alice")
    stored = vault.keep("Alice")
    elsewhere = there.of("one", "ann")
    assert elsewhere.restore(stored) == "Alice"
    assert here.forget("one") == 1
    assert here.forget("one") == 0
    with pytest.raises(VaultUnavailable, match="was forgotten"):
        vault.show("<PERSON_1>")
    fresh = there.of("one", "ann")
    assert fresh is not elsewhere
    with pytest.raises(VaultUnavailable, match="was forgotten"):
        elsewhere.hide("Alice")
    assert tell(fresh, "Bob") == "<PERSON_1>"
    assert fresh.restore(stored) == stored
    assert make().of("one", "ann").restore(stored) == stored


def test_a_session_that_is_forgotten_in_use_hides_nothing_more(
    make: Callable[..., Vaults],
) -> None:
    vault = make().of("one")
    tell(vault, "Alice")
    make().forget("one")
    with pytest.raises(VaultUnavailable, match="was forgotten"):
        tell(vault, "Bob")


def test_a_user_is_forgotten(make: Callable[..., Vaults]) -> None:
    vaults = make()
    for session, user in [("one", "ann"), ("two", "ann"), (None, "ann"), ("one", "ben")]:
        tell(vaults.of(session, user), "Alice")
    assert vaults.forget_user("ann") == 3
    assert repr(vaults.of("one", "ann")) == "Vault(0 values)"
    assert repr(vaults.of("one", "ben")) == "Vault(1 values)"


def test_a_session_is_handed_over(make: Callable[..., Vaults]) -> None:
    vaults = make()
    stored = {}
    for user in ("ann", "ben"):
        vault = vaults.of("one", user)
        tell(vault, f"a value of {user}")
        stored[user] = vault.keep(f"a value of {user}")
    assert not vaults.hand_over("one", "ann", "ann")
    assert not vaults.hand_over("one", "dora", "carl")
    with pytest.raises(VaultUnavailable, match="can't be handed over"):
        vaults.hand_over("one", "ann", "ben")
    assert vaults.of("one", "ann").restore(stored["ann"]) == "a value of ann"
    assert vaults.hand_over("one", "ann", "carl")
    for each in (vaults, make()):
        assert each.of("one", "carl").restore(stored["ann"]) == "a value of ann"
        assert repr(each.of("one", "ann")) == "Vault(0 values)"
        assert each.of("one", "ben").restore(stored["ben"]) == "a value of ben"


def test_a_vault_lives_from_its_last_use(make: Callable[..., Vaults]) -> None:
    clock = Clock()
    vaults = make(lifetime=100, clock=clock)
    vault = vaults.of("one")
    tell(vault, "Alice")
    mark = vault.seen[0] or ""
    stored = vault.keep("Alice")
    clock.now += 90
    assert vaults.of("one").restore(stored) == "Alice"
    clock.now += 90
    assert vaults.of("one").restore(stored) == "Alice"
    clock.now += 101
    assert vaults.by_mark(mark, "one", None) is None
    assert vaults.of("one").restore(stored) == stored
    assert make(lifetime=None).of("one").restore(stored) == stored
    with pytest.raises(VaultUnavailable, match="was forgotten"):
        vault.hide("Alice")


def test_what_is_over_goes_unasked(make: Callable[..., Vaults]) -> None:
    clock = Clock()
    vaults = make(lifetime=100, clock=clock)
    tell(vaults.of("one"), "Alice")
    clock.now += 101
    tell(vaults.of("two"), "Bob")
    assert vaults.expire() == 0
    assert make().forget("one") == 0
    clock.now += 101
    assert vaults.expire() == 1
    assert make().expire() == 0


def test_two_at_once_lose_nothing(make: Callable[..., Vaults]) -> None:
    # However busy the machine is.
    makers = [make(timeout=30) for _ in range(4)]
    before = [each.of("one", "ann") for each in makers]
    said: list[tuple[str, str]] = []

    def work(vault: Vault, who: int) -> None:
        for number in range(6):
            value = f"value {who % 2} {number}"
            said.append((value, tell(vault, value)))

    threads = [threading.Thread(target=work, args=(v, i)) for i, v in enumerate(before)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    last = make().of("one", "ann")
    assert repr(last) == "Vault(12 values)"
    assert len(said) == 24
    assert [last.show(placeholder) for _, placeholder in said] == [value for value, _ in said]


def _tell_many(address: str, who: str, found: Any) -> None:
    vault = Vaults(address, keys=[KEY], timeout=30).of("one")
    found.put([(f"{who}{n}", tell(vault, f"{who}{n}")) for n in range(10)])


def test_two_processes_add_to_one_vault(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path / 'vaults.db'}"
    spawn = multiprocessing.get_context("spawn")
    found = spawn.Queue()
    each = [spawn.Process(target=_tell_many, args=(address, who, found)) for who in ("ann", "ben")]
    for process in each:
        process.start()
    said = [*found.get(timeout=60), *found.get(timeout=60)]
    for process in each:
        process.join()
    vault = Vaults(address, keys=[KEY]).of("one")
    assert len({placeholder for _, placeholder in said}) == 20
    assert [vault.show(placeholder) for _, placeholder in said] == [value for value, _ in said]


def test_a_call_without_a_session_has_one_for_itself() -> None:
    vaults = Vaults()
    vault = vaults.for_call()
    assert tell(vault, "Alice") == "<PERSON_1>"
    assert vaults.for_call().show("<PERSON_1>") == "<PERSON_1>"


def test_in_memory_there_are_not_too_many() -> None:
    vaults = Vaults(most=2)
    for session in ("one", "two", "three"):
        tell(vaults.of(session), "Alice")
    assert [repr(vaults.of(s)) for s in ("three", "two")] == ["Vault(1 values)"] * 2
    assert repr(vaults.of("one")) == "Vault(0 values)"
    assert len(vaults._open) == 2


def test_an_own_type_is_known_without_brackets() -> None:
    vault = Vaults(types=["Badge no"]).of("one")
    assert tell(vault, "A17", "Badge no") == "<BADGE_NO_1>"
    assert vault.show("BADGE_NO_1") == "A17"
    assert vault.hide("BADGE_NO_1") == "<LITERAL_1>"
