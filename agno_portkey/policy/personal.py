"""The part of a policy about personal data, and the guard that is made of it."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Annotated, Any, Literal, get_args

from agno.guardrails import BaseGuardrail
from pydantic import BeforeValidator

from agno_portkey.errors import ConfigurationError
from agno_portkey.policy.parts import OneMode, PolicyPart, Several, Worded
from agno_portkey.routing.config.references import resolve_all

__all__ = ["AnyPII", "PIIPolicy", "guard_of"]

Kind = Literal["block", "mask", "pseudonymize"]


class PIIPolicy(PolicyPart):
    """Personal data: the settings of a `PIIGuardrail`.

    `mode` is what becomes of it: block, mask or pseudonymize. `enforcement` is the part's mode:
    in `observe` it is told and goes through, in `off` nobody looks. A `mode` alone may stand for
    the part. `recognizers` is a file in Presidio's format.
    """

    mode: Kind = "mask"
    enforcement: OneMode = "enforce"
    entities: Annotated[tuple[Worded, ...] | None, BeforeValidator(lambda v: v)] = None
    languages: Annotated[tuple[Worded, ...], Several] = ("en",)
    recognizers: Worded | None = None
    deny_list: Annotated[tuple[Worded, ...], Several] = ()
    release: Literal["sentence", "eager"] = "sentence"
    unreadable: Literal["allow", "refuse"] = "refuse"


def _pii(value: Any) -> Any:
    return {"mode": value} if isinstance(value, str) else value


AnyPII = Annotated[PIIPolicy, BeforeValidator(_pii, json_schema_input_type=PIIPolicy | Kind)]


def guard_of(asked: PIIPolicy | BaseGuardrail | str | None, where: str) -> BaseGuardrail | None:
    """The guard for `pii`: a mode, a policy's part, or a guard itself; none for None."""
    if asked is None or isinstance(asked, BaseGuardrail):
        return asked
    if isinstance(asked, str):
        if asked not in get_args(Kind):
            known = ", ".join(get_args(Kind))
            raise ConfigurationError(f"{where}: one of {known}, or a PIIGuardrail, not {asked!r}")
        asked = PIIPolicy(mode=asked)  # type: ignore[arg-type]
    if not isinstance(asked, PIIPolicy):
        raise ConfigurationError(f"{where}: block, mask, pseudonymize, or a PIIGuardrail")
    return _made(json.dumps(resolve_all(asked.model_dump(mode="json"), path=where)))


@lru_cache(maxsize=64)
def _made(settings: str) -> BaseGuardrail:
    """One guard for all who ask for the same: its models are large, and what it has seen counts."""
    # Only now: it takes a while to import.
    from agno_portkey.guardrails.pii import PIIGuardrail

    given: dict[str, Any] = json.loads(settings)
    return PIIGuardrail(**{**given, "deny_list": given["deny_list"] or None})
