"""The part of a policy about personal data, and the guard that is made of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, Literal, Self, get_args

from agno.guardrails import BaseGuardrail
from pydantic import BeforeValidator, SecretStr, model_validator

from agno_portkey.errors import ConfigurationError
from agno_portkey.guardrails.pii import PIIGuardrail, Vaults
from agno_portkey.guardrails.pii.sealing import KEYS_VARIABLE
from agno_portkey.policy.parts import OneMode, PolicyPart, Several, Worded, refuse_unknown
from agno_portkey.routing.config.parts import Seconds, part_error
from agno_portkey.routing.config.references import Secret, resolve_all

__all__ = ["AnyPII", "PIIPolicy", "VaultsPolicy", "guard_of"]

Kind = Literal["block", "mask", "pseudonymize"]
_KINDS = "block, mask or pseudonymize"


class VaultsPolicy(PolicyPart):
    """Where the values behind placeholders are kept, and for how long after their last use.

    `database` is an address or a SQLite file, and may stand alone for the part; `lifetime` is in
    seconds. The keys that they are sealed with are those of AGNO_PORTKEY_VAULT_KEYS, and stand in
    no file. Without a database the values are in the process, and lost with it.
    """

    database: Secret | None = None
    lifetime: Seconds | None = None

    @model_validator(mode="before")
    @classmethod
    def _known(cls, data: Any) -> Any:
        if isinstance(data, str | SecretStr):
            return {"database": data}
        if isinstance(data, Mapping):
            if "keys" in data:
                said = f"keys stand in no file: set the environment variable {KEYS_VARIABLE}"
                raise part_error("policy", [(("keys",), said)])
            refuse_unknown(data, tuple(cls.model_fields))
        return data


AnyVaults = Annotated[
    VaultsPolicy, BeforeValidator(lambda v: v, json_schema_input_type=VaultsPolicy | str)
]


def _kind(value: object) -> object:
    if value not in get_args(Kind):
        modes = "; enforcement takes off, observe and enforce"
        raise ValueError(f"{_KINDS}, not {value!r}{modes}")
    return value


class PIIPolicy(PolicyPart):
    """Personal data: the settings of a `PIIGuardrail`.

    `mode` is what becomes of it: block, mask or pseudonymize. `enforcement` is the part's mode:
    in `observe` it is told and goes through, in `off` nobody looks. A `mode`, or `off`, may stand
    alone for the part. `recognizers` is a file in Presidio's format. `vaults` is where
    `pseudonymize` keeps what it hides.
    """

    mode: Annotated[Kind, BeforeValidator(_kind)] = "mask"
    enforcement: OneMode = "enforce"
    entities: Annotated[tuple[Worded, ...], Several] | None = None
    languages: Annotated[tuple[Worded, ...], Several] = ("en",)
    recognizers: Worded | None = None
    deny_list: Annotated[tuple[Worded, ...], Several] = ()
    release: Literal["sentence", "eager"] = "sentence"
    unreadable: Literal["allow", "refuse"] = "refuse"
    vaults: AnyVaults | None = None

    @model_validator(mode="after")
    def _only_pseudonyms_are_kept(self) -> Self:
        if self.vaults is not None and self.mode != "pseudonymize":
            said = f"only mode: pseudonymize has any, not {self.mode}"
            raise part_error("policy", [(("vaults",), said)])
        return self


def _pii(value: Any) -> Any:
    # To YAML a bare `off` is false.
    if value is False or value == "off":
        return {"enforcement": "off"}
    if isinstance(value, str):
        return {"mode": value}
    if not isinstance(value, Mapping | PIIPolicy):
        fields = ", ".join(PIIPolicy.model_fields)
        raise ValueError(f"{_KINDS}, off, or a mapping of {fields}, not {value!r}")
    return value


AnyPII = Annotated[
    PIIPolicy, BeforeValidator(_pii, json_schema_input_type=PIIPolicy | Kind | Literal["off"])
]


def guard_of(asked: PIIPolicy | BaseGuardrail | str | None, where: str) -> BaseGuardrail | None:
    """The guard for `pii`: a mode, a policy's part, or a guard itself; none for None."""
    if asked is None or isinstance(asked, PIIGuardrail):
        return asked
    if isinstance(asked, BaseGuardrail):
        kind = type(asked).__name__
        raise ConfigurationError(
            f"{where}: block, mask, pseudonymize, or a PIIGuardrail; give a {kind} as guards=[...]"
        )
    if isinstance(asked, str):
        if asked not in get_args(Kind):
            known = ", ".join(get_args(Kind))
            raise ConfigurationError(f"{where}: one of {known}, or a PIIGuardrail, not {asked!r}")
        asked = PIIPolicy(mode=asked)  # type: ignore[arg-type]
    if not isinstance(asked, PIIPolicy):
        raise ConfigurationError(f"{where}: block, mask, pseudonymize, or a PIIGuardrail")
    settings = resolve_all(_settings(asked), path=where)
    try:
        return _made(json.dumps(settings))
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error}") from error


def _settings(asked: PIIPolicy) -> dict[str, Any]:
    settings = asked.model_dump(mode="json")
    held = asked.vaults.database if asked.vaults else None
    if isinstance(held, SecretStr):
        # Else dumped as stars.
        settings["vaults"]["database"] = held.get_secret_value()
    return settings


@lru_cache(maxsize=64)
def _made(settings: str) -> BaseGuardrail:
    """One guard for all who ask for the same: its models are large, and what it has seen counts."""
    given: dict[str, Any] = json.loads(settings)
    vaults = given["vaults"]
    return PIIGuardrail(
        **{
            **given,
            "deny_list": given["deny_list"] or None,
            "vaults": None if vaults is None else Vaults(**vaults),
        }
    )
