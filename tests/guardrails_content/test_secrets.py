"""Secrets are found where they stand, and neither shown, stored, nor told of."""

from __future__ import annotations

import random

import pytest
from agno.agent import Agent
from agno.db.in_memory import InMemoryDb
from four_forms import FORMS, STREAMED, play
from hypothesis import given
from hypothesis import strategies as st
from labelled import benign, kinds, labelled, private_key

from agno_portkey import verdict_of
from agno_portkey.errors import ConfigurationError
from agno_portkey.guardrails import Block, Passage, Rewrite
from agno_portkey.guardrails.secrets import SecretsGuardrail, secrets, without_secrets
from agno_portkey.guardrails.segments import Segments
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider, Reply, ToolCall

KEYS = kinds(random.Random(4))
KEY = KEYS["github"]


def test_the_labelled_set(capsys: pytest.CaptureFixture[str]) -> None:
    told, hard = labelled(1), benign(2)
    found = sum(
        any(each.text[s.start : s.end] == each.secrets[0] for s in secrets(each.text))
        for each in told
    )
    false = [each.text for each in hard if secrets(each.text)]
    with capsys.disabled():
        print(f"\nsecrets: recall {found / len(told):.3f}, {len(told)} texts; ", end="")
        print(f"precision {found / (found + len(false)):.3f}, {len(hard)} without")
    assert found == len(told)
    assert false == []


@pytest.mark.parametrize("kind", KEYS)
def test_each_kind_is_blocked_and_masked_and_never_told(kind: str) -> None:
    text = f"use {KEYS[kind]} now"
    blocked = SecretsGuardrail().inspect(Passage(text))
    masked = SecretsGuardrail(action="mask").inspect(Passage(text))
    assert isinstance(blocked, Block)
    assert isinstance(masked, Rewrite)
    assert masked.text.startswith("use [secret: ")
    assert masked.text.endswith("] now")
    assert KEYS[kind] not in masked.text
    assert KEYS[kind] not in repr(blocked) + repr(masked)
    assert SecretsGuardrail(action="mask").inspect(Passage(masked.text)) is None


def test_a_field_tells_by_its_name_and_its_path_is_not_told_with_a_secret_in_it() -> None:
    guard = SecretsGuardrail()
    assert guard.inspect(Passage("hunter2!", path="login.user")) is None
    said = guard.inspect(Passage("hunter2!", path=f"{KEY}.password"))
    assert isinstance(said, Block)
    assert KEY not in repr(said)


def test_what_is_allowed_passes() -> None:
    assert SecretsGuardrail(allow=[KEY]).inspect(Passage(f"key {KEY}")) is None
    assert SecretsGuardrail(allow=[KEY]).inspect(Passage(KEYS["npm"])) is not None


@pytest.mark.parametrize(
    "settings",
    [{"action": "hide"}, {"allow": "abc"}, {"action": "mask", "stream": "segment"}, {"on": "x"}],
)
def test_settings_that_cannot_be_meant(settings: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        SecretsGuardrail(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("action", ["block", "mask"])
def test_none_is_sent_shown_or_stored(
    form: str, action: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    db = InMemoryDb()
    portkey_model.guards = (SecretsGuardrail(action=action),)  # type: ignore[arg-type]
    ended = play(Agent(model=portkey_model, db=db), form, f"my key is {KEY}")
    assert KEY not in str(portkey_provider.requests[-1].body if portkey_provider.requests else "")
    assert len(portkey_provider.calls) == (action == "mask")
    assert KEY not in f"{ended.content}{ended.text_shown}{vars(db)}"
    if action == "block" and ended.output is not None:
        verdict = verdict_of(ended.output)
        assert verdict is not None
        assert KEY not in repr(verdict)
    portkey_provider.reply(Reply(f"Sure. It is {KEY} as ever.", chunk_size=3))
    ended = play(Agent(model=portkey_model, db=db), form, "What is it?")
    assert KEY[4:12] not in f"{ended.content}{ended.text_shown}{vars(db)}"


def test_arguments_of_tools_are_masked(
    portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    seen: list[str] = []

    def login(password: str) -> str:
        """Log in."""
        seen.append(password)
        return f"token={KEYS['npm']}"

    portkey_model.guards = (SecretsGuardrail(action="mask"),)
    portkey_provider.reply(Reply(tool_calls=(ToolCall("login", {"password": "hunter2!"}),)))
    Agent(model=portkey_model, tools=[login]).run("go")
    assert seen == ["[secret: password]"]
    assert KEYS["npm"] not in str(portkey_provider.calls[1].body)


def _shown(text: str, cuts: list[int]) -> str:
    """What a streamed answer shows until the guard ends it."""
    guard, segments, shown = SecretsGuardrail(), Segments(apart=False), ""
    parts = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    asks = guard.keeps_together
    pieces = [piece for part in parts for piece in segments.feed(part, asks)] + [segments.flush()]
    before = ""
    for piece in pieces:
        if guard.inspect(Passage(piece, "assistant", "output", "", before)) is not None:
            return shown
        shown += piece
        before = (before + piece)[-80:]
    return shown


@pytest.mark.parametrize("kind", KEYS)
def test_at_every_cut_no_part_of_one_is_shown(kind: str) -> None:
    text = f"Here you are. It says {KEYS[kind]} and that is all. Bye."
    for cut in range(len(text)):
        assert _shown(text, [cut]) == "Here you are. "


@given(
    st.sampled_from(sorted(KEYS)),
    st.integers(0, 1200),
    st.sampled_from(["x", '{"a":1},', "word ", "Sentence. ", "0123456789abcdef"]),
    st.lists(st.integers(0, 3000), max_size=4),
)
def test_however_far_into_an_answer_it_begins(
    kind: str, size: int, filler: str, cuts: list[int]
) -> None:
    lead = (filler * size)[:size] + (" " if filler.isalnum() else "")
    text = f"{lead}{'=' if lead and lead[-1].isalnum() else ''}{KEYS[kind]}, and so on."
    shown = _shown(text, sorted(min(cut, len(text)) for cut in cuts))
    # No forced cut is within it.
    assert len(shown) <= text.index(KEYS[kind])


@pytest.mark.parametrize("begin", range(900, 956, 5))
def test_where_a_long_run_is_cut_anywhere_none_has_begun(begin: int) -> None:
    text = f"{('a,' * 480)[: begin - 1]}={KEY},and so on. "
    shown = _shown(text, [])
    assert KEY[:5] not in shown


@pytest.mark.parametrize(
    "text",
    [
        "sk-" * 300_000,
        "key" * 300_000,
        "password=" * 100_000,
        "://" * 300_000,
        "://a:" * 200_000,
        "-----BEGIN PRIVATE KEY-----" * 30_000,
        "eyJaaaaaaaaa." * 70_000,
        "a" * 1_000_000,
        " " * 1_000_000,
        "token " * 160_000,
        "Bearer " * 140_000,
        '"d" : "' * 140_000,
        "-----BEGIN PRIVATE KEY-----" * 30_000 + "-----END PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----" + "-----END PRIVATE KEY-----" * 30_000,
        "password: str = " * 60_000,
        'auth = ("a", "' * 70_000,
        "user a password " * 60_000,
        "mysql " * 160_000,
        "mysql -" * 140_000,
        "curl -u a" * 110_000,
        "a:1234:a:a:" * 90_000,
        ("a" * 60 + "1\n") * 16_000,
        "a%20" * 250_000,
        "YWFhYWFh" * 120_000,
        "6161" * 250_000,
        "a\u200b" * 500_000,
        '"' * 1_000_000,
        "key " * 250_000,
        "-" * 1_000_000,
        "\ud800" * 1_000_000,
    ],
    ids=lambda text: text[:12].encode("ascii", "replace").decode() + text[-3:-2],
)
def test_hostile_texts_come_to_an_end(text: str) -> None:
    """A pattern that were quadratic would take hours over a megabyte."""
    assert isinstance([*secrets(text)], list)


@given(st.text())
def test_any_text_is_taken(text: str) -> None:
    for found in secrets(text):
        assert 0 <= found.start < found.end <= len(text)


def test_a_key_without_an_end_is_hidden_as_far_as_it_goes() -> None:
    key = private_key(random.Random(1)).rpartition("-----END")[0]
    assert without_secrets(f"see\n{key}") == "see\n[secret: private key]"


@pytest.mark.parametrize("form", STREAMED)
def test_what_can_not_be_looked_through_blocks(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    class Broken(SecretsGuardrail):
        def inspect(self, passage: Passage) -> Block | None:
            raise RuntimeError(f"no {passage.text}")

    portkey_model.guards = (Broken(),)
    ended = play(Agent(model=portkey_model), form, f"my key is {KEY}")
    assert ended.status.value == "ERROR"
    assert KEY not in str(ended.content)
    assert portkey_provider.calls == []
