"""What `govern` is to do: a policy, and the arguments that are given beside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from agno.guardrails import BaseGuardrail

from agno_portkey.cache.policy import CachePolicy
from agno_portkey.contracts import Repair
from agno_portkey.environments import check_environment
from agno_portkey.errors import ConfigurationError, UngovernedPathError, WrongEnvironment
from agno_portkey.gates import Gate, check_gates
from agno_portkey.guardrails.checks import check_guards
from agno_portkey.modes import Modes
from agno_portkey.policy.budgets import budgets_of
from agno_portkey.policy.caches import caches_of
from agno_portkey.policy.document import Policy
from agno_portkey.policy.gates import GatePolicy
from agno_portkey.policy.models import table_of
from agno_portkey.policy.parts import wrong_tag
from agno_portkey.policy.personal import guard_of
from agno_portkey.policy.places import Places
from agno_portkey.routing.config.references import resolve
from agno_portkey.routing.limits import LimitTable
from agno_portkey.tags import check_tags
from agno_portkey.telemetry.ledger.budget import Budget

__all__ = ["Terms", "terms_of"]


@dataclass(frozen=True, slots=True)
class Terms:
    """All that is asked for, with nothing of it left in the environment.

    `places` says where the policy has what the policy alone gave, by the argument's name.
    """

    runner: Any
    gates: tuple[Gate, ...]
    tags: dict[str, str]
    guards: tuple[BaseGuardrail, ...]
    allow: tuple[object, ...]
    modes: Modes
    repair: Repair | None
    database: str | None
    gate_database: str | None
    clearance_keys: tuple[str, ...]
    caches: dict[str, CachePolicy]
    models: LimitTable
    budgets: tuple[Budget, ...]
    places: Mapping[str, str]

    @contextmanager
    def placing(self) -> Iterator[None]:
        """Have errors over what the policy alone gave say where that stands."""
        try:
            yield
        except UngovernedPathError:
            raise
        except ConfigurationError as error:
            name, colon, why = str(error).partition(": ")
            if not colon or name not in self.places:
                raise
            kind = WrongEnvironment if isinstance(error, WrongEnvironment) else ConfigurationError
            raise kind(f"{self.places[name]}: {why}") from error


def terms_of(
    policy: Policy | None = None,
    *,
    runner: Any = None,
    gate: Gate | Sequence[Gate] | None = None,
    tags: Mapping[str, Any] | None = None,
    guards: Sequence[BaseGuardrail] = (),
    allow: Sequence[object] = (),
    pii: Any = None,
    cache: Mapping[str, CachePolicy] | None = None,
    budgets: Sequence[Budget] = (),
) -> Terms:
    """What `policy` and the arguments ask for together.

    Guards, tags, budgets and allowed paths add up. A gate, a Runner or a tag that both give, and
    not alike, raises ConfigurationError: neither wins over the other unseen.
    """
    if not isinstance(policy, Policy | None):
        raise ConfigurationError(
            f"policy: a Policy, not {type(policy).__name__}; Policy.from_yaml reads a file"
        )
    check_guards(guards)
    if isinstance(allow, str) or not isinstance(allow, Iterable):
        raise ConfigurationError(f"allow: a list of paths and objects, not {allow!r}")
    if not isinstance(budgets, Iterable):
        raise ConfigurationError(f"budgets: a list of Budget, not {budgets!r}")
    if policy is None:
        policy = Policy()
    held, at = policy.gate, policy.places.at
    check_environment(policy.environment, f"{at('environment')}: this policy")
    gates = () if gate is None else check_gates(gate)
    named = str(resolve(held.runner, path=at("gate", "runner"))) if held and held.runner else None
    database = policy.stop.database
    return Terms(
        runner=_one_runner(named, runner, at("gate", "runner")),
        gates=_one_of(held, gates, at("gate")),
        tags=_joined(_tags(policy), check_tags(tags), policy.places),
        guards=(*policy.made_guards, *guards, *_personal(policy, pii)),
        allow=(*_allowed(policy), *allow),
        modes=Modes(
            gate=held.mode if held else "enforce",
            contracts=policy.contracts.mode,
            tags=policy.tags.mode,
            stop=policy.stop.mode,
        ),
        repair=policy.contracts.repair,
        database=None if database is None else resolve(database, path=at("stop", "database")),
        gate_database=_gate_database(policy),
        clearance_keys=tuple(_keys(policy)),
        caches=_cached(policy, cache),
        models=table_of(policy.models, at),
        budgets=(*budgets_of(policy.budgets, at), *(given := tuple(budgets))),
        places=_places(
            policy,
            {"runner": runner, "gate": gate, "allow": [*allow] or None, "budgets": given or None},
        ),
    )


def _gate_database(policy: Policy) -> str | None:
    named = policy.gate.database if policy.gate else None
    return None if named is None else resolve(named, path=policy.places.at("gate", "database"))


def _keys(policy: Policy) -> Iterator[str]:
    for place, key in enumerate(policy.gate.clearance_keys if policy.gate else ()):
        yield resolve(key, path=policy.places.at("gate", "clearance_keys", place))


def _cached(policy: Policy, given: Any) -> dict[str, CachePolicy]:
    """By role, what is cached of it."""
    given = {} if given is None else given
    if not isinstance(given, Mapping) or not all(
        isinstance(held, CachePolicy) for held in given.values()
    ):
        raise ConfigurationError(
            "cache: a mapping of members' names to CachePolicy, as nobody else's answers are to "
            'be served again: cache={"Researcher": CachePolicy()}'
        )
    held = caches_of(policy.cache, policy.places.at)
    for role in held.keys() & given.keys():
        if held[role] != given[role]:
            raise _both(f"cache[{role!r}]", policy.places.at("cache", role))
    return {**held, **given}


def _personal(policy: Policy, given: Any) -> tuple[BaseGuardrail, ...]:
    """The guard for personal data, behind all others: what they are to find is not hidden yet."""
    if policy.pii is not None and given is not None:
        raise _both("pii", policy.places.at("pii"))
    where = "pii" if given is not None else policy.places.at("pii")
    guard = guard_of(given if given is not None else policy.pii, where)
    return () if guard is None else (guard,)


def _places(policy: Policy, given: Mapping[str, object]) -> dict[str, str]:
    """Where the policy has each of what is not `given` beside it."""
    held = policy.gate
    own: dict[str, tuple[object, tuple[str, ...]]] = {
        "runner": (held and held.runner, ("gate", "runner")),
        "gate": (held, ("gate",)),
        "allow": (policy.allow or None, ("allow",)),
        "budgets": (policy.budgets or None, ("budgets",)),
        "database": (policy.stop.database, ("stop", "database")),
        "gate_database": (held and held.database, ("gate", "database")),
    }
    return {
        name: policy.places.at(*path)
        for name, (value, path) in own.items()
        if value is not None and given.get(name) is None
    }


def _tags(policy: Policy) -> dict[str, str]:
    tags = {}
    for name, text in policy.tags.values.items():
        where = policy.places.at("tags", "values", name)
        tags[name] = str(resolve(text, path=where))
        if (why := wrong_tag(name, tags[name])) is not None:
            raise ConfigurationError(f"{where}: {why}")
    return tags


def _allowed(policy: Policy) -> Iterator[str]:
    for place, text in enumerate(policy.allow):
        yield str(resolve(text, path=policy.places.at("allow", place)))


def _one_of(held: GatePolicy | None, given: tuple[Gate, ...], where: str) -> tuple[Gate, ...]:
    """The gates that are `given`, else the policy's, which must not say others."""
    if held is None or not given:
        return given or (held.gates if held else ())
    # An empty one is a gate at its defaults; one with a Runner or keys alone leaves the gate open.
    says = "gates" in held.model_fields_set or not held.model_fields_set
    if says and held.gates != given:
        hint = "; its runner, mode, database and clearance_keys may stay"
        raise _both("gate", where, hint)
    return given


def _one_runner(named: str | None, given: Any, where: str) -> Any:
    if named is None or given is None:
        return named if given is None else given
    known = (given, getattr(given, "id", None), getattr(given, "name", None))
    if named not in [each for each in known if isinstance(each, str)]:
        raise _both("runner", where)
    return given


def _joined(policys: dict[str, str], given: dict[str, str], places: Places) -> dict[str, str]:
    for name, value in given.items():
        if policys.get(name, value) != value:
            raise _both(f"tags[{name!r}]", places.at("tags", "values", name))
    return {**policys, **given}


def _both(name: str, where: str, hint: str = "") -> ConfigurationError:
    return ConfigurationError(
        f"{name}: the policy says one ({where}), and the argument of govern another: leave one of "
        f"them out{hint}"
    )
