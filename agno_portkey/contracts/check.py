"""Holds a structured output to its schema: an object, or a `ContractError`; never a string."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from agno.models.response import ModelResponse
from pydantic import BaseModel, ValidationError

from agno_portkey.calls import IO, Call, Deltas, Layer, Next
from agno_portkey.errors import ContractError
from agno_portkey.modes import Mode, mode_now
from agno_portkey.verdict import Event, Observer, Verdict, tell

__all__ = ["asks_for_json", "contract_layer", "schema_of", "tell_broken", "validate"]

M = TypeVar("M", bound=BaseModel)

_MAX_REASONS = 8


def validate(schema: type[M], content: object, *, role: str | None = None) -> M:
    """Return `content` as an instance of `schema`, from an instance or its JSON text.

    A code fence round the JSON is taken off, as the host does; anything else that does not
    fit raises `ContractError` with one reason a field.
    """
    try:
        if isinstance(content, schema):
            return content
        if isinstance(content, str):
            return schema.model_validate_json(_without_fence(content))
        return schema.model_validate(content)
    except ValidationError as error:
        reasons = tuple(_reason(item) for item in error.errors(include_url=False)[:_MAX_REASONS])
    except Exception as error:  # a validator of the user's may raise anything
        reasons = (f"{type(error).__name__}: {error}",)
    raise _unfit(schema.__name__, reasons, role)


def schema_of(response_format: object) -> type[BaseModel] | None:
    """The Pydantic schema a call asks for, if it asks for one."""
    if isinstance(response_format, type) and issubclass(response_format, BaseModel):
        return response_format
    return None


def asks_for_json(response_format: object) -> bool:
    """Whether a call asks for JSON, be it with a Pydantic schema or in the provider's own form."""
    if isinstance(response_format, Mapping):
        return response_format.get("type") in ("json_object", "json_schema")
    return schema_of(response_format) is not None


def contract_layer(
    call: Call,
    *,
    mode: Mode = "enforce",
    observers: Iterable[Observer] = (),
    swarm: str | None = None,
) -> Layer | None:
    """The layer that holds the answer to `call` to its schema, if it asks for JSON.

    `mode`, unless AGNO_PORTKEY_CONTRACTS_MODE says another: `enforce` keeps the answer back until
    it is whole and valid, and passes it on in one piece; `observe` passes it on as it comes, and
    afterwards tells of a broken one; `off` does not look. In JSON mode the host does not say which
    schema is meant: there, any JSON object is valid.
    """
    now = mode_now("contracts", mode)
    if now == "off" or not asks_for_json(call.response_format):
        return None

    def broken(error: ContractError) -> None:
        who = {"role": _role(call), "swarm": swarm, "run_id": call.run_id}
        tell_broken(observers, error, mode=now, stage="model", **who)

    return _held(broken) if now == "enforce" else _observed(broken)


def tell_broken(
    observers: Iterable[Observer], error: ContractError, *, mode: Mode, stage: str, **who: Any
) -> None:
    """Let observers hear that an output does not fit; where it goes through, it is logged too."""
    if mode == "observe":
        logging.getLogger("agno_portkey").warning("observed, not refused: %s", error)
    data = {"stage": stage, "mode": mode}
    tell(observers, Event("contract", verdict=error.verdict, data=data, **who))


def _held(broken: Callable[[ContractError], None]) -> Layer:
    async def layer(call: Call, io: IO, inner: Next) -> Deltas:
        text: list[str] = []
        provider_data: dict[str, Any] | None = None
        calls_tools = False
        async with inner(call) as out:
            async for delta in out:
                calls_tools = calls_tools or bool(delta.tool_calls)
                if isinstance(delta.content, str) and delta.content:
                    text.append(delta.content)
                delta.content = None
                provider_data = delta.provider_data or provider_data
                if not delta.tool_calls:
                    delta.provider_data = None
                yield delta
        if calls_tools:
            # Words beside a tool call would be glued to the object by the host, and break it.
            return
        whole = _without_fence("".join(text))
        try:
            _require_fit(call, whole)
        except ContractError as error:
            broken(error)
            raise
        # The host takes what stands before this mark for a model's thoughts, in JSON as well.
        whole = whole.replace("</think>", r"<\/think>")
        yield ModelResponse(content=whole, provider_data=provider_data)

    return layer


def _observed(broken: Callable[[ContractError], None]) -> Layer:
    async def layer(call: Call, io: IO, inner: Next) -> Deltas:
        text: list[str] = []
        calls_tools = False
        async with inner(call) as out:
            async for delta in out:
                calls_tools = calls_tools or bool(delta.tool_calls)
                text.append(delta.content if isinstance(delta.content, str) else "")
                yield delta
        if calls_tools:
            return
        try:
            _require_fit(call, _without_fence("".join(text)))
        except ContractError as error:
            broken(error)

    return layer


def _role(call: Call) -> str | None:
    run = call.run_response
    return getattr(run, "agent_name", None) or getattr(run, "team_name", None)


def _require_fit(call: Call, whole: str) -> None:
    role = _role(call)
    schema = schema_of(call.response_format)
    if schema is not None:
        validate(schema, whole, role=role)
        return
    try:
        found: object = json.loads(whole)
    except (ValueError, RecursionError) as error:
        found, reason = None, f"(whole): Invalid JSON: {error}"
    else:
        reason = f"(whole): a JSON object, not a {type(found).__name__}"
    if not isinstance(found, dict):
        raise _unfit("JSON object", (reason,), role)


def _unfit(name: str, reasons: tuple[str, ...], role: str | None) -> ContractError:
    who = f"{role}'s output" if role else "the output"
    verdict = Verdict(False, f"contract {name}", reasons, evidence={"role": role})
    return ContractError(verdict, f"{who} is not a valid {name}: {verdict.reason}")


def _without_fence(text: str) -> str:
    text = text.strip()
    if text.startswith("```") and text.endswith("```") and "\n" in text:
        return text[text.index("\n") + 1 : -3].strip()
    return text


def _reason(item: Any) -> str:
    path = ".".join(str(part) for part in item["loc"]) or "(whole)"
    return f"{path}: {item['msg']}"
