"""The gates of a policy, as they are written in a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, WrapValidator, model_validator

from agno_portkey.errors import ConfigurationError
from agno_portkey.gates import (
    Adjust,
    BudgetCheck,
    Check,
    CritiqueCheck,
    Gate,
    GuardCheck,
    JudgementCheck,
    ReliabilityCheck,
    Sampling,
    SuiteCheck,
    check_gates,
)
from agno_portkey.modes import Mode
from agno_portkey.policy.parts import OneMode, PolicyPart, Several, Worded, refuse_unknown
from agno_portkey.routing.config.parts import Part, Problem, part_error
from agno_portkey.routing.config.references import Secret

__all__ = ["AnyGate", "GatePolicy", "gate_written"]

# Checks that are made of plain settings alone; others are given to `Gate` in Python.
_CHECKS: Mapping[str, type[Check]] = {
    "budget": BudgetCheck,
    "critique": CritiqueCheck,
    "guards": GuardCheck,
    "judgement": JudgementCheck,
    "reliability": ReliabilityCheck,
    "suite": SuiteCheck,
}
_KIND = "check"


def _settable(kind: type) -> dict[str, Field[Any]]:
    return {field.name: field for field in fields(kind) if field.init and field.repr}


_GATE = tuple(_settable(Gate))


def _one_gate(value: Any) -> Gate:
    """A gate of its settings; the gate's own words for what is wrong with one."""
    if isinstance(value, Gate):
        return value
    if not isinstance(value, Mapping):
        raise ValueError(f"a mapping of {', '.join(_GATE)}, not {value!r}")
    refuse_unknown(value, _GATE)
    settings = dict(value)
    for name, kind in (("sampling", Sampling), ("adjust", Adjust)):
        if isinstance(settings.get(name), Mapping):
            settings[name] = _made(kind, settings[name], (name,))
    if "checks" in settings:
        settings["checks"] = _checks(settings["checks"])
    return _made(Gate, settings, ())  # type: ignore[no-any-return]


def _checks(value: Any) -> tuple[Check, ...]:
    if not isinstance(value, list | tuple):
        raise part_error("policy", [(("checks",), f"a list is due here, not {value!r}")])
    return tuple(
        each if isinstance(each, Check) else _one_check(each, ("checks", place))
        for place, each in enumerate(value)
    )


def _one_check(value: Any, path: tuple[str | int, ...]) -> Check:
    kind = _CHECKS.get(str(value.get(_KIND))) if isinstance(value, Mapping) else None
    if kind is None:
        known = ", ".join(_CHECKS)
        said = f"a mapping with check: one of {known}; other checks are given to Gate in Python"
        raise part_error("policy", [(path, said)])
    settings = {key: each for key, each in value.items() if key != _KIND}
    if isinstance(settings.get("sampling"), Mapping):
        settings["sampling"] = _made(Sampling, settings["sampling"], (*path, "sampling"))
    return _made(kind, settings, path)  # type: ignore[no-any-return]


def _made(kind: Any, settings: Mapping[str, Any], path: tuple[str | int, ...]) -> Any:
    """A gate, check, sampling or adjustment of its settings."""
    known = tuple(_settable(kind))
    said = f"no such field; it takes {', '.join(known)}"
    if unknown := [((*path, key), said) for key in settings if key not in known]:
        raise part_error("policy", unknown)
    given = {key: tuple(v) if isinstance(v, list) else v for key, v in settings.items()}
    try:
        return kind(**given)
    except ConfigurationError as error:
        raise part_error("policy", [_problem(error, path)]) from None
    except TypeError as error:
        raise part_error("policy", [(path, str(error).partition(") ")[2] or str(error))]) from None


def _problem(error: ConfigurationError, path: tuple[str | int, ...]) -> Problem:
    """What is wrong, of the field that it says it of: `Gate.min_score: ...`."""
    place, colon, why = str(error).partition(": ")
    _, dot, name = place.partition(".")
    return ((*path, name), why) if colon and dot and name.isidentifier() else (path, str(error))


# The type's own schema is kept, for editors.
OneGate = Annotated[Gate, WrapValidator(lambda value, handler: _one_gate(value))]


class GatePolicy(PolicyPart):
    """The gates that a plan has to pass, and the Runner behind them.

    Where it has no settings of a gate, `govern(gate=...)` may give one in Python beside it; else
    it is one at its defaults. `runner` is the member's name or id; left out, `govern` is told. The
    settings of a single gate may stand here in place of `gates`. `database` is the address of the
    database that decisions and clearances are kept in, the team's own if it is left out;
    `clearance_keys` are the public keys that exported clearances may be signed with. In `observe`
    the team runs as if there were no gate, and observers hear what would have been refused; in
    `off` nothing is looked at. A team run keeps to its end the mode in which it began.
    """

    runner: Worded | None = None
    mode: OneMode = "enforce"
    database: Secret | None = None
    clearance_keys: Annotated[tuple[Worded, ...], Several] = ()
    gates: Annotated[tuple[OneGate, ...], Several, AfterValidator(check_gates)] = (Gate(),)

    @model_validator(mode="before")
    @classmethod
    def _known(cls, data: Any) -> Any:
        if isinstance(data, Gate | list | tuple):
            return {"gates": [data] if isinstance(data, Gate) else data}
        if not isinstance(data, Mapping):
            return data
        known = tuple(cls.model_fields)
        settings = {key: value for key, value in data.items() if key not in known}
        if "gates" in data or not settings:
            refuse_unknown(data, known)
            return data
        refuse_unknown(data, (*known, *_GATE))
        rest = {key: value for key, value in data.items() if key in known}
        return {**rest, "gates": [_one_gate(settings)]}


class _GateSchema(Part):
    """One gate's settings; for the JSON schema alone."""

    name: str = Gate.name
    min_score: float = Gate.min_score
    max_rounds: int = Gate.max_rounds
    ordered: bool = Gate.ordered
    checks: tuple[dict[str, Any], ...] = ()
    sampling: dict[str, float | bool] | None = None
    approval: bool = Gate.approval
    max_age: float = Gate.max_age
    adjust: dict[str, float | bool] | None = None


class _SingleGate(_GateSchema):
    """A gate part with the settings of one gate in it; for the JSON schema alone."""

    runner: str | None = None
    mode: Mode = "enforce"
    database: str | None = None
    clearance_keys: tuple[str, ...] = ()


class _Gates(Part):
    """A gate part with several gates in it; for the JSON schema alone."""

    runner: str | None = None
    mode: Mode = "enforce"
    database: str | None = None
    clearance_keys: tuple[str, ...] = ()
    gates: tuple[_GateSchema, ...] = ()


AnyGate = Annotated[
    GatePolicy,
    BeforeValidator(
        lambda value: value, json_schema_input_type=_Gates | _SingleGate | list[_GateSchema]
    ),
]


# Writing


def gate_written(gate: Gate, path: str) -> dict[str, Any]:
    """`gate` in plain types, without what is at its default."""
    if type(gate) is not Gate:
        raise _unwritable(gate, path)
    return _written(gate, path)


def _written(value: Any, path: str) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for name, field in _settable(type(value)).items():
        held = getattr(value, name)
        default = field.default_factory() if field.default_factory is not MISSING else field.default
        if held != default:
            plain[name] = _plain(held, f"{path}.{name}")
    return plain


def _plain(value: Any, path: str) -> Any:
    if isinstance(value, Check):
        names = [name for name, kind in _CHECKS.items() if type(value) is kind]
        if not names:
            raise _unwritable(value, path)
        return {_KIND: names[0], **_written(value, path)}
    if isinstance(value, Sampling | Adjust):
        return _written(value, path)
    if isinstance(value, tuple | list):
        return [_plain(each, f"{path}[{place}]") for place, each in enumerate(value)]
    return dict(value) if isinstance(value, Mapping) else value


def _unwritable(value: Any, path: str) -> ConfigurationError:
    return ConfigurationError(f"{path}: a {type(value).__name__} object can't be written to a file")
