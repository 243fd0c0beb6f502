"""What is sealed is read by nobody without the key, and changed by nobody at all."""

from __future__ import annotations

import base64
import os
import sys
from dataclasses import replace
from typing import Any

import pytest
from cache_entries import KEY, NOW, entry
from cache_places import Place

from agno_portkey.cache.entry import Selection
from agno_portkey.cache.packing import pack, raw
from agno_portkey.cache.sealing import Plain, Seal, Unreadable
from agno_portkey.errors import ConfigurationError, MissingExtraError

SECRET = entry(
    "secret", question="Who is Alice Liddell?", answer='"A girl"', embedding=b"\x01\x02\x03?" * 8
)
EVERYTHING = Selection(everything=True)


def test_what_is_sealed_does_not_lie_there_as_it_is(opened: Place) -> None:
    opened.open().put(SECRET)
    held = opened.everything()
    for said in (b"Alice", b"A girl", SECRET.embedding):
        assert (said in held) == (opened.seal is None)
    assert KEY not in held
    # What entries are found by is not sealed.
    assert b"gpt-4o-mini" in held


def test_what_is_forgotten_does_not_lie_there_any_more(opened: Place) -> None:
    store = opened.open()
    for number in range(20):
        store.put(entry(f"{number}", answer=f"answer {number} of Alice" * 500, role="of Alice"))
    store.delete(map(str, range(20)))
    store.close()
    assert b"of Alice" not in opened.everything()


def test_with_another_key_nothing_is_found_and_what_is_there_is_deleted(opened: Place) -> None:
    opened.open().put(SECRET)
    other = opened.open(seal=Seal(os.urandom(32)))
    assert other.since("b", 0) == []
    # Who has no key can have it forgotten.
    assert [each.key for each in other.select(EVERYTHING, NOW)] == ["secret"]
    assert other.get("secret", NOW) is None
    assert other.select(EVERYTHING, NOW) == []
    assert opened.open().get("secret", NOW) is None


def test_what_is_sealed_is_not_taken_for_plain_nor_the_other_way_round(opened: Place) -> None:
    opened.open().put(SECRET)
    other = opened.open(seal=None if opened.seal else Seal(KEY))
    assert other.since("b", 0) == []
    assert other.get("secret", NOW) is None
    assert opened.open().get("secret", NOW) is None


@pytest.mark.parametrize("field", ["about", "body", "embedding"])
@pytest.mark.parametrize("junk", [b"", b"\0", b"\1", b"junk", b"\0\0\0\0\xff", "text", 7], ids=repr)
def test_junk_is_a_miss_and_is_deleted(opened: Place, field: str, junk: Any) -> None:
    store = opened.open()
    store.put(SECRET)
    store.put(entry("other"))
    opened.change("secret", **{field: junk})
    assert [key for _, key, _ in store.since("b", 0)] == [
        *(["secret"] if field != "embedding" else []),
        "other",
    ]
    found = store.get("secret", NOW)
    if (field, junk) == ("embedding", b""):
        # Without one it is not found by others' words.
        assert found == replace(SECRET, embedding=b"")
    else:
        assert found is None
        assert [each.key for each in store.select(EVERYTHING, NOW)] == ["other"]
    store.put(SECRET)
    assert store.get("secret", NOW) == SECRET


@pytest.mark.parametrize("fields", [["body"], ["embedding"], ["about"], ["about", "body"]], ids=str)
def test_values_of_another_entry_are_found_out(opened: Place, fields: list[str]) -> None:
    store = opened.open()
    store.put(SECRET)
    store.put(entry("mine", bucket="mine", scope="user:me"))
    theirs = opened.fields("secret")
    opened.change("mine", **{name: theirs[name] for name in fields})
    assert "embedding" not in fields or store.since("mine", 0) == []
    assert store.get("mine", NOW) is None
    assert store.select(Selection(key="mine"), NOW) == []
    assert store.get("secret", NOW) == SECRET


def test_an_entry_is_not_another_ones_as_a_whole(opened: Place) -> None:
    store = opened.open()
    store.put(replace(SECRET, embedding=b""))
    store.put(entry("mine", embedding=b""))
    opened.change("mine", **opened.fields("secret"))
    assert store.get("mine", NOW) is None


def test_an_entry_is_found_in_no_other_bucket(opened: Place) -> None:
    store = opened.open()
    store.put(SECRET)
    opened.move("secret", "mine")
    assert store.since("mine", 0) == []


def test_what_else_is_known_of_an_entry_can_not_be_changed(opened: Place) -> None:
    store = opened.open()
    for name, value in {
        "bucket": "mine",
        "scope": "user:me",
        "expires_at": NOW + 1e6,
        "model": "other",
        "sources": ("a",),
        "tokens": 9,
    }.items():
        store.put(SECRET)
        forged = pack(entry(**{"key": "secret", name: value}), Plain()).about
        assert forged != opened.fields("secret")["about"]
        opened.change("secret", about=forged)
        assert store.get("secret", NOW) is None, name


def test_the_same_is_never_sealed_alike() -> None:
    seal = Seal(KEY)
    sealed = {seal.closed(b"value", b"about") for _ in range(100)}
    assert len(sealed) == 100
    assert {seal.opened(each, b"about") for each in sealed} == {b"value"}


def test_every_byte_counts() -> None:
    seal = Seal(KEY)
    sealed = seal.closed(b"value", b"about")
    for place in range(len(sealed)):
        changed = sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :]
        with pytest.raises(Unreadable):
            seal.opened(changed, b"about")
        with pytest.raises(Unreadable):
            seal.opened(sealed[:place], b"about")
    with pytest.raises(Unreadable):
        seal.opened(sealed, b"about ")
    # Where one ends and the next begins is no matter of chance.
    one, other = pack(entry("a", bucket="bc"), seal), pack(entry("ab", bucket="c"), seal)
    assert one.embedding != other.embedding
    with pytest.raises(Unreadable):
        seal.opened(one.embedding, raw("abc"))


@pytest.mark.parametrize("key", [KEY, base64.b64encode(KEY), base64.urlsafe_b64encode(KEY)])
def test_a_key_is_32_bytes_or_their_base64(key: bytes) -> None:
    sealed = Seal(KEY).closed(b"value", b"")
    assert Seal(key).opened(sealed, b"") == b"value"
    if len(key) > 32:
        assert Seal(f" {key.decode()}\n").opened(sealed, b"") == b"value"


def test_a_key_with_any_bytes_is_read_in_both_alphabets() -> None:
    key = b"\xfb\xff" * 16
    sealed = Seal(key).closed(b"value", b"")
    assert Seal(base64.b64encode(key)).opened(sealed, b"") == b"value"
    assert Seal(base64.urlsafe_b64encode(key)).opened(sealed, b"") == b"value"


@pytest.mark.parametrize(
    "key", ["", "h4rd", b"h4rd", "h4rd" * 8, KEY[1:], base64.b64encode(KEY[1:]), "é" * 44, 7, None]
)
def test_what_is_no_key_is_refused_and_not_shown(key: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^key: 32 bytes .*python -c") as refused:
        Seal(key)
    assert "h4rd" not in str(refused.value)


def test_a_seal_and_an_entry_show_nothing() -> None:
    assert repr(Seal(KEY)) == "Seal()"
    assert "Alice" not in repr(SECRET)
    assert "girl" not in repr(SECRET)


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    with pytest.raises(MissingExtraError, match=r"agno-portkey\[cache\]"):
        Seal(KEY)
