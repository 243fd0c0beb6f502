"""The parts of a policy, each with a mode of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, model_validator

from agno_portkey.contracts import Repair
from agno_portkey.errors import ConfigurationError
from agno_portkey.modes import Mode
from agno_portkey.routing.config.parts import Part, Text, part_error
from agno_portkey.routing.config.references import Secret, is_reference
from agno_portkey.tags import check_tags

__all__ = [
    "AnyContracts",
    "AnyTags",
    "ContractsPolicy",
    "OneMode",
    "PolicyPart",
    "Several",
    "StopPolicy",
    "TagsPolicy",
    "Worded",
]


def _mode(value: object) -> object:
    # To YAML a bare `off` is false, and `on` is true.
    if value is False:
        return "off"
    if value not in ("off", "observe", "enforce"):
        raise ValueError(f"off, observe or enforce, not {value!r}")
    return value


def whole_reference(text: str) -> str:
    if "${" in text and not is_reference(text):
        raise ValueError("a reference is the whole value: ${NAME}, in letters, digits and _")
    return text


def _several(value: object) -> object:
    if not isinstance(value, list | tuple):
        raise ValueError(f"a list is due here, not {value!r}")
    return value


OneMode = Annotated[Mode, BeforeValidator(_mode)]
# A text, or the name of a variable that it is read from.
Worded = Annotated[Text, AfterValidator(whole_reference)]
# What makes of a field one that takes lists only, and says so.
Several = BeforeValidator(_several)


class PolicyPart(Part):
    """A part that says which fields it takes, where another one is given."""

    @model_validator(mode="before")
    @classmethod
    def _known(cls, data: Any) -> Any:
        if isinstance(data, Mapping):
            refuse_unknown(data, tuple(cls.model_fields))
        return data


def refuse_unknown(data: Mapping[str, Any], known: tuple[str, ...]) -> None:
    """Raise an error for the keys that are none of `known`, which it lists."""
    said = f"no such field; it takes {', '.join(known)}"
    if unknown := [((key,), said) for key in data if key not in known]:
        raise part_error("policy", unknown)


# Contracts and tags


class ContractsPolicy(PolicyPart):
    """Structured outputs. In `observe` a broken one is told, and goes through as Agno makes it.

    In `off` none is looked at. A mode alone may stand for the part. `repair` says how far a broken
    one is mended, where a model or a contract does not say it.
    """

    mode: OneMode = "enforce"
    repair: Repair | None = None


class TagsPolicy(PolicyPart):
    """Tags that go out with every call; in `off` none does. To observe is to send.

    The tags alone may stand for the part.
    """

    values: Annotated[
        Mapping[str, Annotated[str, AfterValidator(whole_reference)]],
        BeforeValidator(
            lambda value: _tag_values(value), json_schema_input_type=dict[str, str | float | bool]
        ),
    ] = {}
    mode: OneMode = "enforce"


def _tag_values(value: Any) -> dict[str, str]:
    """Checked tags; each one's problem is said of its own key."""
    if not isinstance(value, Mapping):
        return check_tags(value)
    problems = [((name,), why) for name, held in value.items() if (why := wrong_tag(name, held))]
    if problems:
        raise part_error("policy", problems)
    return check_tags(value)


def wrong_tag(name: Any, value: object) -> str | None:
    """What is wrong with a tag, if something is."""
    try:
        check_tags({name: value})
    except ConfigurationError as error:
        return str(error).partition(": ")[2]
    return None


def _contracts(value: Any) -> Any:
    return {"mode": value} if isinstance(value, str | bool) else value


def _tags(value: Any) -> Any:
    bare = isinstance(value, Mapping) and not value.keys() <= TagsPolicy.model_fields.keys()
    return {"values": value} if bare else value


AnyContracts = Annotated[
    ContractsPolicy,
    BeforeValidator(_contracts, json_schema_input_type=ContractsPolicy | Mode),
]
AnyTags = Annotated[
    TagsPolicy,
    BeforeValidator(_tags, json_schema_input_type=TagsPolicy | dict[str, str | float | bool]),
]


class StopPolicy(PolicyPart):
    """The kill switch. `database` is the address of the database that it is in.

    Left out, it is that of AGNO_PORTKEY_DATABASE_URL, else the team's own. In `observe` a stopped
    swarm goes on, and observers hear of it; in `off` the switch is not looked at.
    """

    database: Secret | None = None
    mode: OneMode = "enforce"
