"""The part of a policy that says whose answers are cached, role by role."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from agno_portkey.cache.policy import CachePolicy, Kind, Scope
from agno_portkey.errors import ConfigurationError
from agno_portkey.policy.parts import OneMode, PolicyPart, whole_reference
from agno_portkey.policy.uses import imported
from agno_portkey.routing.config.parts import Text, part_error
from agno_portkey.routing.config.references import Secret, resolve

__all__ = ["AnyCaches", "CacheUse", "caches_of"]


class CacheUse(PolicyPart):
    """What of one role's answers is served again; the fields are those of `CachePolicy`.

    `verifier` is named as `package.module:Name`. A kind alone may stand for the part.
    """

    kind: Kind = "exact"
    scope: Scope = "user"
    lifetime: float = CachePolicy.lifetime
    max_temperature: float = CachePolicy.max_temperature
    tool_calls: bool = False
    knowledge: Annotated[Text, AfterValidator(whole_reference)] | None = None
    tags: tuple[Text, ...] = ()
    max_error: float = CachePolicy.max_error
    floor: float = CachePolicy.floor
    sample: float = CachePolicy.sample
    verifier: Text | None = None
    store: Secret | None = None
    mode: OneMode = "enforce"

    def make(self, path: str) -> CachePolicy:
        """The policy itself; `path` is where this part stands, for errors."""
        given = {name: getattr(self, name) for name in self.model_fields_set}
        for name in ("knowledge", "store"):
            if given.get(name) is not None:
                given[name] = resolve(given[name], path=f"{path}.{name}")
        if self.verifier is not None:
            given["verifier"] = imported(self.verifier, f"{path}.verifier")
        try:
            return CachePolicy(**{name: held for name, held in given.items() if held is not None})
        except ConfigurationError as error:
            raise ConfigurationError(f"{path}.{error}") from None


def _use(value: Any) -> Any:
    # To YAML a bare `off` is false.
    if value is False:
        value = "off"
    return {"kind": value} if isinstance(value, str) else value


def _caches(value: Any) -> Any:
    if not isinstance(value, Mapping):
        raise ValueError(f"a mapping of roles to what is cached of them is due here, not {value!r}")
    if unnamed := [((name,), "the name of a member is due here") for name in value if not name]:
        raise part_error("policy", unnamed)
    return value


AnyCaches = Annotated[
    dict[
        str,
        Annotated[CacheUse, BeforeValidator(_use, json_schema_input_type=CacheUse | Kind)],
    ],
    BeforeValidator(_caches, json_schema_input_type=dict[str, CacheUse | Kind]),
]


def caches_of(uses: Mapping[str, CacheUse], at: Any) -> dict[str, CachePolicy]:
    """The policies that a file names, by role."""
    return {role: use.make(at("cache", role)) for role, use in uses.items()}
