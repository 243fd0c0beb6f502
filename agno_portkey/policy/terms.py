"""What `govern` is to do: a policy, and the arguments that are given beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agno.guardrails import BaseGuardrail
from pydantic import SecretStr

from agno_portkey.errors import ConfigurationError
from agno_portkey.gates import Gate, check_gates
from agno_portkey.guardrails import check_guards
from agno_portkey.modes import Modes
from agno_portkey.policy.document import ROOT, Policy
from agno_portkey.routing.config.references import resolve
from agno_portkey.tags import check_tags

__all__ = ["Terms", "terms_of"]


@dataclass(frozen=True, slots=True)
class Terms:
    """All that is asked for, with nothing of it left in the environment."""

    runner: Any
    gates: tuple[Gate, ...]
    tags: dict[str, str]
    guards: tuple[BaseGuardrail, ...]
    allow: tuple[object, ...]
    modes: Modes
    database: str | None


def terms_of(
    policy: Policy | None = None,
    *,
    runner: Any = None,
    gate: Gate | Sequence[Gate] | None = None,
    tags: Mapping[str, Any] | None = None,
    guards: Sequence[BaseGuardrail] = (),
    allow: Sequence[object] = (),
) -> Terms:
    """What `policy` and the arguments ask for together.

    Guards, tags and allowed paths add up. A gate, a Runner or a tag that both give, and not
    alike, raises ConfigurationError: neither wins over the other unseen.
    """
    if not isinstance(policy, Policy | None):
        raise ConfigurationError(
            f"policy: a Policy, not {type(policy).__name__}; Policy.from_yaml reads a file"
        )
    check_guards(guards)
    if isinstance(allow, str) or not isinstance(allow, Iterable):
        raise ConfigurationError(f"allow: a list of paths and objects, not {allow!r}")
    if policy is None:
        policy = Policy()
    held = policy.gate
    gates = () if gate is None else check_gates(gate)
    named = resolve(held.runner, path=f"{ROOT}.gate.runner") if held and held.runner else None
    database = policy.stop.database
    return Terms(
        runner=_one_runner(named, runner),
        gates=_one_of(held.gates if held else (), gates, "gate"),
        tags=_joined(_tags(policy), check_tags(tags)),
        guards=(*policy.made_guards, *guards),
        allow=(*_resolved(policy.allow, f"{ROOT}.allow"), *allow),
        modes=Modes(
            gate=held.mode if held else "enforce",
            contracts=policy.contracts.mode,
            tags=policy.tags.mode,
            stop=policy.stop.mode,
        ),
        database=None if database is None else _address(database),
    )


def _address(database: SecretStr | str) -> str:
    return resolve(database, path=f"{ROOT}.stop.database")


def _tags(policy: Policy) -> dict[str, str]:
    path = f"{ROOT}.tags.values"
    values = {k: resolve(text, path=f"{path}.{k}") for k, text in policy.tags.values.items()}
    return check_tags(values, name=path)


def _resolved(texts: Sequence[str], path: str) -> tuple[str, ...]:
    return tuple(resolve(text, path=f"{path}[{place}]") for place, text in enumerate(texts))


def _one_of(policys: tuple[Gate, ...], given: tuple[Gate, ...], name: str) -> tuple[Gate, ...]:
    if policys and given and policys != given:
        raise _both(name)
    return given or policys


def _one_runner(named: str | None, given: Any) -> Any:
    if named is None or given is None:
        return named if given is None else given
    known = (given, getattr(given, "id", None), getattr(given, "name", None))
    if named not in [each for each in known if isinstance(each, str)]:
        raise _both("runner")
    return given


def _joined(policys: dict[str, str], given: dict[str, str]) -> dict[str, str]:
    for name, value in given.items():
        if policys.get(name, value) != value:
            raise _both(f"tags[{name!r}]")
    return {**policys, **given}


def _both(name: str) -> ConfigurationError:
    return ConfigurationError(
        f"{name}: the policy says one, and the argument of govern another: leave one of them out"
    )
