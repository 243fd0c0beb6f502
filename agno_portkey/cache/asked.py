"""What a call asks, as digests: two calls with one key get one answer."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from agno_portkey.cache.policy import CachePolicy
from agno_portkey.calls import Call
from agno_portkey.environments import current

__all__ = ["Asked", "NotAsked", "Whose", "asked_of"]

# What may differ between two calls that are to have one answer.
_NOT_OF_THE_QUESTION = ("extra_headers", "timeout", "stream", "stream_options", "messages")
# Where the host appends to a user's words what it has looked up.
_LOOKED_UP = ("\n\nUse the following references from", "\n\n<additional context>")


class NotAsked(Exception):
    """Why a call is not answered from a cache, nor kept: one word or two, for figures."""


@dataclass(frozen=True, slots=True)
class Whose:
    """For whom a call is made, and through what it goes: all that its messages don't say."""

    user: str | None
    tenant: str | None
    model: str
    route: tuple[Any, ...]
    role: str = ""
    swarm: str = ""
    sources: tuple[str, ...] = ()
    # What a route's targets set it to, whatever the call says.
    temperatures: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One call as the cache knows it; `question` is empty where nothing alike is looked for.

    `learners` names those who learn together how far likeness can be trusted: no tenant teaches
    another's.
    """

    key: str
    bucket: str
    scope: str
    question: str
    model: str
    role: str
    swarm: str
    prompt: str
    knowledge: str
    sources: tuple[str, ...]
    learners: str = ""


def asked_of(
    call: Call, params: Mapping[str, Any], whose: Whose, policy: CachePolicy, embedder: str = ""
) -> Asked:
    """What `call` asks, with the arguments `params`; NotAsked for one that no cache may answer."""
    if call.fresh:
        raise NotAsked("fresh")
    _check_temperature(params, whose, policy)
    scope = _scope(whose, policy)
    messages = _normalised(params.get("messages") or ())
    knowledge = _version(policy)
    place, question, looked_up = _question(messages) if policy.semantic else (None, "", "")
    rest: dict[str, Any] = {
        "scope": scope,
        # What one environment has kept is served in no other.
        "environment": current(),
        "model": whose.model,
        "route": whose.route,
        "params": {name: params[name] for name in params if name not in _NOT_OF_THE_QUESTION},
        "knowledge": knowledge,
    }
    around = messages
    if place is not None:
        around = [*messages]
        around[place] = {**messages[place], "content": looked_up}
    return Asked(
        key=_digest([rest, messages]),
        bucket=_digest([rest, around, place, embedder]) if question else "",
        scope=scope,
        question=question,
        model=whose.model,
        role=whose.role,
        swarm=whose.swarm,
        prompt=_digest([each for each in messages if each.get("role") in ("system", "developer")]),
        knowledge=knowledge,
        sources=whose.sources,
        learners="" if scope == "public" or not whose.tenant else _digest([whose.tenant])[:12],
    )


def _version(policy: CachePolicy) -> str:
    if isinstance(policy.knowledge, str):
        return policy.knowledge
    try:
        return str(policy.knowledge())
    except Exception:
        raise NotAsked("knowledge") from None


def _check_temperature(params: Mapping[str, Any], whose: Whose, policy: CachePolicy) -> None:
    extra = params.get("extra_body")
    told = [each.get("temperature") for each in (params, extra) if isinstance(each, Mapping)]
    for warmth in (*told, *whose.temperatures):
        try:
            # What is no number may be a high one to the provider.
            cool = warmth is None or float(warmth) <= policy.max_temperature
        except (TypeError, ValueError):
            cool = False
        if not cool:
            raise NotAsked("temperature")


def _scope(whose: Whose, policy: CachePolicy) -> str:
    if policy.scope == "public":
        return "public"
    if policy.scope == "tenant":
        if not whose.tenant:
            raise NotAsked("no tenant")
        return f"tenant:{_digest([whose.tenant])}"
    if not whose.user:
        raise NotAsked("no user")
    # One name may be two people's, at two tenants.
    return f"user:{_digest([whose.tenant, whose.user])}"


def _normalised(messages: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The messages without what differs by chance: forms of letters, space at the ends, and ids."""
    ids: dict[str, str] = {}

    def named(id: Any) -> Any:
        return ids.setdefault(id, f"call-{len(ids)}") if isinstance(id, str) else id

    normal = []
    for message in messages:
        each = {name: _plain(value) for name, value in message.items() if value is not None}
        if isinstance(calls := each.get("tool_calls"), list):
            each["tool_calls"] = [
                {**one, "id": named(one.get("id"))} if isinstance(one, dict) else one
                for one in calls
            ]
        if "tool_call_id" in each:
            each["tool_call_id"] = named(each["tool_call_id"])
        normal.append(each)
    return normal


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value).replace("\r\n", "\n").strip()
    if isinstance(value, Mapping):
        return {str(name): _plain(held) for name, held in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(held) for held in value]
    return value


def _question(messages: list[dict[str, Any]]) -> tuple[int | None, str, str]:
    """Where the last words of the user are, those words, and what was looked up for them."""
    for place in range(len(messages) - 1, -1, -1):
        if messages[place].get("role") != "user":
            continue
        content = messages[place].get("content")
        if not isinstance(content, str):
            break
        ends = [at for mark in _LOOKED_UP if (at := content.find(mark)) > 0]
        end = min(ends, default=len(content))
        return place, content[:end].strip(), content[end:]
    return None, "", ""


def _digest(said: Any) -> str:
    try:
        text = json.dumps(said, sort_keys=True, default=repr, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        # Keys of several types, say: no one order is theirs.
        raise NotAsked("unclear") from None
    # Escaped, half a pair of surrogates would be told from no whole character.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
