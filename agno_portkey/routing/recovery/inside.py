"""What the gateway did by itself within one request, as far as its headers and the config tell."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["requests_inside"]

_PLACE = re.compile(r"targets\[(\d{1,4})\]")


def requests_inside(config: str, answered: Mapping[str, Any]) -> int:
    """How many requests the gateway sent beside the one that was answered: at least so many.

    Retries of the last target are counted by the gateway, -1 where they did not help; targets that
    a fallback left behind count once each. `config` is the JSON that was sent; of one that only
    hosted Portkey knows, each target before the one that answered counts as left behind.
    """
    retries = answered.get("retry_attempt_count") or 0
    option = answered.get("option_index")
    places = [int(place) for place in _PLACE.findall(option)] if isinstance(option, str) else []
    if not any(places) and not retries:
        return 0
    routes = _routes(config, places)
    left = sum(
        _asked_before(route, place) for route, place in zip(routes, places, strict=True) if place
    )
    return left + (retries if retries > 0 else _allowed(routes, config) if retries else 0)


def _routes(config: str, places: list[int]) -> list[Any]:
    """The strategies on the way to whom `places` name, outermost first; None where unknown."""
    try:
        route = json.loads(config)
    except (ValueError, RecursionError):
        route = None
    found: list[Any] = []
    for place in places:
        found.append(route)
        targets = route.get("targets") if isinstance(route, dict) else None
        route = targets[place] if isinstance(targets, list) and place < len(targets) else None
    return found


def _asked_before(route: Any, place: int) -> int:
    if not isinstance(route, dict):
        return place
    strategy, targets = route.get("strategy"), route.get("targets")
    if not isinstance(strategy, dict) or strategy.get("mode") != "fallback":
        return 0
    # Of a place that the config does not have nothing is known.
    known = targets[:place] if isinstance(targets, list) else []
    return sum(not (isinstance(each, dict) and each.get("is_open")) for each in known)


def _allowed(routes: list[Any], config: str) -> int:
    """How many retries were used up: those that the config allows, at least one."""
    attempts = 0
    for route in routes or _routes(config, [0]):
        retry = route.get("retry") if isinstance(route, dict) else None
        if isinstance(retry, dict) and isinstance(retry.get("attempts"), int):
            attempts = retry["attempts"]
    return max(1, attempts)
