"""Holds a structured output to its schema: an object, or a `ContractError`; never a string."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, overload

from pydantic import BaseModel

from agno_portkey.contracts.forms import provider_form
from agno_portkey.contracts.rescue import Rescued, rescue
from agno_portkey.contracts.schemas import Misfit, Problem, Schema, any_object
from agno_portkey.errors import ContractError
from agno_portkey.verdict import Verdict

__all__ = ["asks_for_json", "held_to", "refusal", "schema_of", "validate", "wanted"]

M = TypeVar("M", bound=BaseModel)

_MAX_REASONS = 8


@overload
def validate(schema: type[M], content: object, *, role: str | None = None) -> M: ...
@overload
def validate(schema: Mapping[str, Any], content: object, *, role: str | None = None) -> Any: ...


def validate(schema: Any, content: object, *, role: str | None = None) -> Any:
    """Return `content` as an instance of `schema`, from an instance, its JSON text or its data.

    Of a JSON schema it is the data.

    Broken JSON is repaired, and a value coerced, where nothing is lost and nothing is guessed (see
    `rescue`). Anything else that does not fit raises `ContractError` with one reason a field.
    """
    if isinstance(schema, Mapping):
        return held_to(wanted(schema) or any_object(), content, role=role).value
    if isinstance(content, schema):
        return content
    return held_to(Schema(schema), content, role=role).value


def held_to(schema: Schema, content: object, *, role: str | None = None) -> Rescued:
    """The object of `schema` that `content`, a text or data, holds; or `ContractError`."""
    try:
        if isinstance(content, str):
            return rescue(content, schema)
        return Rescued(schema.of_data(content), content)
    except Misfit as error:
        raise refusal(schema, error.problems, role) from error


def refusal(schema: Schema, problems: Sequence[Problem], role: str | None = None) -> ContractError:
    """The error of an output of `role` that has `problems`."""
    reasons = tuple(map(str, problems[:_MAX_REASONS]))
    who = f"{role}'s output" if role else "the output"
    verdict = Verdict(False, f"contract {schema.name}", reasons, evidence={"role": role})
    return ContractError(verdict, f"{who} is not a valid {schema.name}: {verdict.reason}")


def schema_of(response_format: object) -> type[BaseModel] | None:
    """The Pydantic schema a call asks for, if it asks for one."""
    if isinstance(response_format, type) and issubclass(response_format, BaseModel):
        return response_format
    return None


def wanted(response_format: object) -> Schema | None:
    """The schema of the JSON that a call asks for; none if it asks for no JSON."""
    if (model := schema_of(response_format)) is not None:
        return Schema(model)
    if not isinstance(response_format, Mapping):
        return None
    asked = provider_form(response_format)
    match asked["type"]:
        case "json_schema":
            return _named(asked.get("json_schema"))
        case "json_object":
            return any_object()
        case _:
            return None


def asks_for_json(response_format: object) -> bool:
    """Whether a call asks for JSON, be it with a Pydantic schema or in the provider's own form."""
    if isinstance(response_format, Mapping):
        return provider_form(response_format)["type"] in ("json_object", "json_schema")
    return schema_of(response_format) is not None


def _named(asked: Any) -> Schema:
    asked = asked if isinstance(asked, Mapping) else {}
    schema = asked.get("schema")
    held: Mapping[str, Any] = schema if isinstance(schema, Mapping) else any_object().json
    return Schema(held, str(asked.get("name") or held.get("title") or "JSON object"))
