"""`Policy`, and its YAML.

```yaml
environment: prod
guards:
  - use: my_company.guards:NoCodenames
    words: [bluebird]
    mode: observe
pii: pseudonymize
gate: {runner: Runner, min_score: 8}
contracts: enforce
tags: {cost_center: cc-42, team: "${TEAM}"}
stop: {database: "${AGNO_PORTKEY_DATABASE_URL}"}
cache: {Researcher: {kind: semantic, scope: tenant}}
models: {everyone: {providers: [openai]}, agents: {Researcher: [gpt-4o*]}}
budgets:
  - {per: day, limit_usd: 20, cost_center: "*"}
```
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

import yaml
from agno.guardrails import BaseGuardrail
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from agno_portkey.environments import is_name
from agno_portkey.errors import ConfigurationError
from agno_portkey.gates import Gate
from agno_portkey.policy.budgets import AnyBudget
from agno_portkey.policy.caches import AnyCaches
from agno_portkey.policy.gates import AnyGate, gate_written
from agno_portkey.policy.models import ModelsPolicy
from agno_portkey.policy.parts import (
    AnyContracts,
    AnyTags,
    ContractsPolicy,
    PolicyPart,
    Several,
    StopPolicy,
    TagsPolicy,
    Worded,
)
from agno_portkey.policy.personal import AnyPII
from agno_portkey.policy.places import ROOT, Places
from agno_portkey.policy.uses import AnyGuard, GuardUse, made
from agno_portkey.routing.config.files import is_path, read_yaml
from agno_portkey.routing.config.parts import PartError, Problem
from agno_portkey.routing.config.references import is_reference

__all__ = ["Policy", "json_schema"]


def _environment(name: str) -> str:
    if not is_name(name):
        raise ValueError(f"a name in letters, digits, '.', '_' and '-', not {name!r}")
    return name


class Policy(PolicyPart):
    """What `govern` enforces, part by part, and each part's mode: off, observe or enforce.

    `guards` see every call, each in a mode of its own, and so does the one for personal data
    (`pii`). `gate` is what a plan has to pass before
    the Runner runs, `contracts` holds structured outputs to their schemas, `tags` go out with
    every call, `stop` is the kill switch, `cache` says by role whose answers are served again,
    `models` which models and providers who may ask, `budgets` how much may be spent (`govern` has
    to be given their ledger), and `allow` lists the ungoverned paths that are meant to be. What is
    left out is at its default; a policy without `gate` or `pii` has none. One that names an
    `environment` is refused in every other.

    `AGNO_PORTKEY_<PART>_MODE` overrides a part's mode while the process runs; `allow` has none. A
    text `${NAME}` is that variable of the environment, read when the policy is applied.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    environment: Annotated[Worded, AfterValidator(_environment)] | None = None
    guards: Annotated[tuple[AnyGuard, ...], Several] = ()
    pii: AnyPII | None = None
    gate: AnyGate | None = None
    contracts: AnyContracts = ContractsPolicy()
    tags: AnyTags = TagsPolicy()
    stop: StopPolicy = StopPolicy()
    cache: AnyCaches = Field(default_factory=dict)
    models: ModelsPolicy = ModelsPolicy()
    budgets: Annotated[tuple[AnyBudget, ...], Several] = ()
    allow: Annotated[tuple[Worded, ...], Several] = ()

    @classmethod
    def from_yaml(cls, source: str | Path) -> Self:
        """The policy of a YAML text, or of the file at a path (a `Path`, or a text ending as one).

        Whatever does not fit raises ConfigurationError with the file, the line and path of each
        key, and what is accepted there. Guards are imported, and made when the policy is applied.
        """
        where = f"{source}: " if is_path(source) else ""
        try:
            data = read_yaml(source, root=f"{where}{ROOT}", what="policy")
        except ConfigurationError as error:
            said = str(error)
            raise ConfigurationError(said if str(source) in said else f"{where}{said}") from None
        if not isinstance(data, dict):
            raise ConfigurationError(
                f"{where}{ROOT}: a mapping of {', '.join(cls.model_fields)} is due here"
            )
        places = Places.of(source, data)
        said = "it is empty; leave it out, or write {} for its defaults"
        if empty := [((key,), said) for key, value in data.items() if value is None]:
            # To leave a gate out, nobody writes `gate:`.
            raise _located(places, empty)
        try:
            policy = cls(**data)
        except PartError as error:
            raise _located(places, error.problems) from None
        vars(policy)["places"] = places
        for place, guard in enumerate(policy.guards):
            if isinstance(guard, GuardUse):
                guard.factory(places.at("guards", place))
        return policy

    def to_yaml(self) -> str:
        """The YAML of this policy; what can't be written there raises ConfigurationError."""
        text: str = yaml.safe_dump(_plain(self, ROOT), sort_keys=False, allow_unicode=True)
        return text

    @cached_property
    def made_guards(self) -> tuple[BaseGuardrail, ...]:
        """The guards themselves, made once."""
        return tuple(
            made(guard, self.places.at("guards", place)) for place, guard in enumerate(self.guards)
        )

    @cached_property
    def places(self) -> Places:
        """Where its keys are written."""
        return Places()


def json_schema() -> dict[str, Any]:
    """The JSON schema of a policy's YAML, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Policy.model_json_schema(),
    }


def _located(places: Places, problems: Sequence[Problem]) -> PartError:
    error = PartError(places.said(problems))
    error.problems = tuple((places.written(path), why) for path, why in problems)
    return error


# Writing


def _plain(part: BaseModel, path: str) -> dict[str, Any]:
    """`part` in plain types, without what is at its default."""
    plain: dict[str, Any] = {}
    for name, field in type(part).model_fields.items():
        value = getattr(part, name)
        if value != field.get_default(call_default_factory=True):
            plain[name] = _value(value, f"{path}.{name}")
    return {**plain, **(part.model_extra or {})}


def _value(value: Any, path: str) -> Any:
    if isinstance(value, tuple):
        return [_value(each, f"{path}[{place}]") for place, each in enumerate(value)]
    if isinstance(value, BaseModel):
        return _plain(value, path)
    if isinstance(value, SecretStr):
        return _written(value.get_secret_value(), path)
    if isinstance(value, Gate):
        return gate_written(value, path)
    if isinstance(value, BaseGuardrail):
        raise ConfigurationError(
            f"{path}: a {type(value).__name__} object can't be written to a file; guards "
            "can be named there (use: package.module:Name)"
        )
    if isinstance(value, Mapping):
        return {name: _value(held, f"{path}.{name}") for name, held in value.items()}
    return value


def _written(secret: str, path: str) -> str:
    try:
        open_ = urlsplit(secret).password is None
    except ValueError:
        open_ = False
    if open_ or is_reference(secret):
        return secret
    raise ConfigurationError(
        f"{path}: a password is not written to a file; put the address into an "
        "environment variable and refer to it as ${NAME}"
    )
