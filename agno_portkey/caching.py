"""How the calls of a model are cached: for whom, through what, and what must not be kept."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from agno_portkey.cache.answers import cache_at
from agno_portkey.cache.asked import Asked, NotAsked, Whose, asked_of
from agno_portkey.cache.layer import Caching
from agno_portkey.cache.policy import CachePolicy
from agno_portkey.cache.screening import Finds
from agno_portkey.calls import Call
from agno_portkey.errors import MissingExtraError
from agno_portkey.guardrails.pii import Analyzer
from agno_portkey.guardrails.secrets import secrets
from agno_portkey.modes import mode_now
from agno_portkey.routing.recovery.plan import Who
from agno_portkey.runs import TENANT_KEY
from agno_portkey.verdict import Event, heard, tell

if TYPE_CHECKING:
    from agno_portkey.model import PortkeyModel

__all__ = ["caching_of"]

# What is found without a language model.
_STRUCTURED = ("CREDIT_CARD", "IBAN_CODE", "US_SSN", "EMAIL_ADDRESS", "PHONE_NUMBER", "IP_ADDRESS")


def caching_of(model: PortkeyModel, call: Call) -> Caching | None:
    """How `call` is cached; None where it is not."""
    policy = model.cache
    if policy is None or policy.kind == "off":
        return None
    mode = mode_now("cache", policy.mode)
    if mode == "off":
        return None
    return Caching(
        cache_at(policy.store),
        policy,
        mode,
        ask=partial(_asked, model, policy),
        tell=partial(_tell, model, policy, call),
        finders=_finders(policy.scope != "user"),
    )


def _asked(model: PortkeyModel, policy: CachePolicy, call: Call, embedder: str) -> Asked:
    return asked_of(call, model.chat_params(call), _whose(model, call), policy, embedder)


def _whose(model: PortkeyModel, call: Call) -> Whose:
    run, seat = call.run_response, model.seat
    who, plan = Who.of(run), model.router.plan(model)
    # Of an experiment only: where chance decides who answers, any of them would do.
    _, arm = plan.arms(who, ()) if who.key("user") is not None else ((), {})
    return Whose(
        user=who.user,
        tenant=_tenant(model, call),
        model=str(call.target or model.id),
        route=(*plan.identity, sorted(arm.items()), _headers(model)),
        role=seat.role if seat is not None else str(getattr(run, "agent_name", None) or ""),
        swarm=(seat.swarm or "") if seat is not None else "",
        sources=_sources(run),
        temperatures=tuple(leaf.target.override_params.get("temperature") for leaf in plan.leaves),
    )


def _tenant(model: PortkeyModel, call: Call) -> str | None:
    """The tenant of the run, as the gate knows it, or as the run's metadata say.

    NotAsked for one that is told and is no text: nobody knows whom it would be shared with.
    """
    charter = model.seat.charter if model.seat is not None else None
    station = charter.runs.find(call.run_id) if charter is not None else None
    told = station.run.who.tenant if station is not None else None
    metadata = getattr(call.run_response, "metadata", None)
    if told is None and isinstance(metadata, Mapping):
        told = metadata.get(TENANT_KEY)
    if told is not None and not (isinstance(told, str) and told):
        raise NotAsked("tenant")
    return told


def _headers(model: PortkeyModel) -> list[tuple[str, str]]:
    """Headers of the user's own: they may choose who answers."""
    params = model.request_params or {}
    told = (model.default_headers, model.extra_headers, params.get("extra_headers"))
    own = {
        name: value for each in told if isinstance(each, Mapping) for name, value in each.items()
    }
    return sorted((str(name).lower(), str(value)) for name, value in own.items())


def _sources(run: Any) -> tuple[str, ...]:
    """The names of documents that were looked up for the run."""
    names: dict[str, None] = {}
    for looked_up in getattr(run, "references", None) or ():
        for each in getattr(looked_up, "references", None) or ():
            if isinstance(each, Mapping) and isinstance(name := each.get("name"), str):
                names[name] = None
    return tuple(names)


def _tell(model: PortkeyModel, policy: CachePolicy, call: Call, data: dict[str, Any]) -> None:
    if not heard(model.observers):
        return
    tags = model.tags_of(call.run_response)
    told = {"scope": policy.scope, "model": model.id, **data, "tags": tags}
    tell(
        model.observers,
        Event("cache", tags.get("role"), tags.get("swarm"), call.run_id, data=told),
    )


@lru_cache(maxsize=2)
def _finders(shared: bool) -> Sequence[tuple[str, Finds]]:
    """What finds that which is not to be kept; names of people too, where others are answered."""
    found: list[tuple[str, Finds]] = [("secret", _known(lambda text: bool(secrets(text))))]
    try:
        analyzer = Analyzer(None if shared else _STRUCTURED)
    except MissingExtraError:
        logging.getLogger("agno_portkey").warning(
            "the cache can't tell personal data from other text: install agno-portkey[pii]"
        )
        return found
    return [*found, ("personal data", _known(partial(_is_personal, analyzer)))]


def _is_personal(analyzer: Analyzer, text: str) -> bool:
    """Whether there is personal data in `text`; a place is some with a number: an address."""
    return any(
        span.type != "LOCATION" or any(map(str.isdigit, text[span.start : span.end]))
        for span in analyzer.spans(text)
    )


def _known(finds: Finds) -> Finds:
    """`finds`, which is not asked again of a system prompt and of what was said before."""
    return lru_cache(maxsize=64)(finds)
