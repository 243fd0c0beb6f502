"""What tells two calls apart, and what doesn't: the key of a kept answer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from agno.models.message import Message
from hypothesis import given
from hypothesis import strategies as st

from agno_portkey.cache.asked import Asked, NotAsked, Whose, asked_of
from agno_portkey.cache.policy import CachePolicy
from agno_portkey.calls import Call

WHOSE = Whose(user="ann", tenant="acme", model="gpt-4o-mini", route=("http://gw", "openai"))
CALL = Call([], Message(role="assistant"))
USER = CachePolicy()
ALIKE = CachePolicy(kind="semantic")
PARAMS: dict[str, Any] = {
    "model": "gpt-4o-mini",
    "temperature": 0.2,
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is a cache?"},
    ],
    "tools": [{"type": "function", "function": {"name": "look", "parameters": {}}}],
}


def asked(
    params: dict[str, Any] | None = None,
    policy: CachePolicy = USER,
    whose: Whose = WHOSE,
    call: Call = CALL,
    embedder: str = "minilm",
) -> Asked:
    return asked_of(call, params or PARAMS, whose, policy, embedder)


def with_message(content: Any, place: int = 1) -> dict[str, Any]:
    messages = [dict(each) for each in PARAMS["messages"]]
    messages[place]["content"] = content
    return {**PARAMS, "messages": messages}


@pytest.mark.parametrize(
    "params",
    [
        {**PARAMS, "model": "gpt-4o"},
        {**PARAMS, "temperature": 0.3},
        {**PARAMS, "seed": 7},
        {**PARAMS, "user": "u"},
        {**PARAMS, "tools": []},
        {**PARAMS, "response_format": {"type": "json_object"}},
        {**PARAMS, "extra_body": {"top_k": 3}},
        with_message("What is a cache"),
        with_message("what is a cache?"),
        with_message("Be long.", 0),
        {**PARAMS, "messages": PARAMS["messages"][1:]},
        {**PARAMS, "messages": PARAMS["messages"][::-1]},
    ],
)
def test_all_that_is_asked_is_in_the_key(params: dict[str, Any]) -> None:
    assert asked(params).key != asked().key


@pytest.mark.parametrize(
    "params",
    [
        {**PARAMS, "extra_headers": {"x-portkey-trace-id": "t"}},
        {**PARAMS, "timeout": 3},
        {**PARAMS, "stream": True, "stream_options": {"include_usage": True}},
        with_message("  What is a cache?\r\n"),
        dict(reversed(PARAMS.items())),
    ],
)
def test_what_is_not_asked_is_not(params: dict[str, Any]) -> None:
    assert asked(params) == asked()


def test_letters_that_look_the_same_are() -> None:
    assert asked(with_message("Caf\u00e9?")).key == asked(with_message("Cafe\u0301?")).key


@pytest.mark.parametrize(
    "whose",
    [
        replace(WHOSE, user="bob"),
        replace(WHOSE, tenant="other"),
        replace(WHOSE, model="gpt-4o"),
        replace(WHOSE, route=("http://gw", "together-ai")),
    ],
)
def test_for_whom_and_through_what_it_goes_is_in_the_key(whose: Whose) -> None:
    assert asked(whose=whose).key != asked().key


def test_ids_of_tool_calls_are_chance_but_which_result_is_whose_is_not() -> None:
    def conversation(first: str, second: str, answered: str) -> dict[str, Any]:
        calls = [{"id": id, "function": {"name": "look"}} for id in (first, second)]
        told = [
            {"role": "assistant", "tool_calls": calls},
            {"role": "tool", "tool_call_id": answered, "content": "7"},
        ]
        return {**PARAMS, "messages": [*PARAMS["messages"], *told]}

    one = asked(conversation("a", "b", "a")).key
    assert one == asked(conversation("x", "y", "x")).key
    assert one != asked(conversation("a", "b", "b")).key


@pytest.mark.parametrize(
    ("policy", "whose", "scope"),
    [
        (CachePolicy(scope="user"), replace(WHOSE, user=None), "no user"),
        (CachePolicy(scope="user"), replace(WHOSE, user=""), "no user"),
        (CachePolicy(scope="tenant"), replace(WHOSE, tenant=None), "no tenant"),
    ],
)
def test_a_call_of_nobody_is_not_cached(policy: CachePolicy, whose: Whose, scope: str) -> None:
    with pytest.raises(NotAsked, match=scope):
        asked(policy=policy, whose=whose)


def test_scopes_share_as_far_as_they_say() -> None:
    bob = replace(WHOSE, user="bob")
    tenants, public = CachePolicy(scope="tenant"), CachePolicy(scope="public")
    assert asked(policy=tenants, whose=bob) == asked(policy=tenants)
    nobody = replace(WHOSE, user=None, tenant=None)
    assert asked(policy=public, whose=nobody) == asked(policy=public)
    scopes = [asked(policy=each).scope.partition(":")[0] for each in (USER, tenants, public)]
    assert scopes == ["user", "tenant", "public"]
    # A tenant that is called as a user is, or as another tenant's user, shares with neither.
    odd = replace(WHOSE, user="acme", tenant=None)
    assert asked(whose=odd).scope != asked(policy=tenants).scope
    assert "ann" not in asked().scope
    assert "acme" not in asked(policy=tenants).scope


names = st.text(min_size=1)


@given(names, names, names, names)
def test_no_two_owners_share_a_key(user: str, tenant: str, user2: str, tenant2: str) -> None:
    same = (user, tenant) == (user2, tenant2)
    one = asked(whose=replace(WHOSE, user=user, tenant=tenant))
    other = asked(whose=replace(WHOSE, user=user2, tenant=tenant2))
    assert (one.key == other.key) is same
    tenants = CachePolicy(scope="tenant")
    one = asked(policy=tenants, whose=replace(WHOSE, tenant=tenant))
    other = asked(policy=tenants, whose=replace(WHOSE, tenant=tenant2))
    assert (one.key == other.key) is (tenant == tenant2)


def test_samples_and_warm_answers_are_asked_anew() -> None:
    with pytest.raises(NotAsked, match="fresh"):
        asked(call=replace(CALL, fresh=True))
    for warm in ({"temperature": 1.2}, {"extra_body": {"temperature": 1.2}}):
        with pytest.raises(NotAsked, match="temperature"):
            asked({**PARAMS, **warm})
    assert asked({**PARAMS, "temperature": 1.2}, CachePolicy(max_temperature=2)).key


def test_another_version_of_the_knowledge_is_another_question() -> None:
    keys = {
        asked(policy=CachePolicy(knowledge=each)).key for each in ("", "v1", "v2", lambda: "v3")
    }
    assert len(keys) == 4
    assert asked(policy=CachePolicy(knowledge=lambda: "v1")).knowledge == "v1"


# Alike


def test_questions_worded_otherwise_are_in_one_bucket_and_nothing_else_is() -> None:
    one, other = asked(policy=ALIKE), asked(with_message("Explain caches"), ALIKE)
    assert (one.bucket, one.question) == (other.bucket, "What is a cache?")
    assert one.key != other.key
    for changed in (
        asked(with_message("Be long.", 0), ALIKE),
        asked({**PARAMS, "temperature": 0.3}, ALIKE),
        asked(policy=ALIKE, whose=replace(WHOSE, user="bob")),
        asked(policy=ALIKE, embedder="another"),
        asked(
            {**PARAMS, "messages": [*PARAMS["messages"], {"role": "user", "content": "x"}]}, ALIKE
        ),
    ):
        assert changed.bucket != one.bucket
    assert asked(policy=USER).bucket == ""


def test_what_was_looked_up_for_a_question_is_no_part_of_it() -> None:
    looked_up = (
        "\n\nUse the following references from the knowledge base if it helps:\n"
        "<references>\n{}\n</references>"
    )
    one, other = (
        asked(with_message("What is a cache?" + looked_up.format(text)), ALIKE)
        for text in ("one", "other")
    )
    assert one.question == "What is a cache?"
    assert one.bucket != other.bucket
    pictures = [{"type": "text", "text": "What is this?"}]
    assert asked(with_message(pictures), ALIKE).question == ""


def test_the_prompt_has_a_digest_of_its_own() -> None:
    assert asked().prompt == asked(with_message("Explain caches")).prompt
    assert asked().prompt != asked(with_message("Be long.", 0)).prompt
