"""The parts of a routing config: retries, timeouts, caches, guardrails; and how wrong ones fail."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from agno_portkey.errors import ConfigurationError

__all__ = [
    "CircuitBreakerConfig",
    "GatewayCache",
    "GatewayCheck",
    "Guardrail",
    "JsonObject",
    "Part",
    "PartError",
    "Problem",
    "Retry",
    "Seconds",
    "StatusCodes",
    "Text",
    "Timeout",
    "join_path",
    "part_error",
]

Problem = tuple[tuple[str | int, ...], str]

# Some other words for what pydantic says, which does not say what to do.
_SAID = {
    "extra_forbidden": "no such field; check its spelling",
    "missing": "required",
    "model_type": "a mapping is due here",
    "too_short": "at least one is needed",
    "union_tag_invalid": "mode: single, fallback, loadbalance or conditional; a target has none",
}


class PartError(ConfigurationError):
    """A part of a routing config that does not fit; `problems` are its paths and reasons."""

    problems: tuple[Problem, ...] = ()


def part_error(root: str, problems: Iterable[Problem]) -> PartError:
    """An error with all `problems`, their paths beginning at `root`."""
    found = tuple(problems)
    error = PartError("; ".join(f"{join_path(root, path)}: {why}" for path, why in found))
    error.problems = found
    return error


def join_path(root: str, path: Iterable[str | int]) -> str:
    """The path as the gateway writes it, as in `config.targets[1].api_key`."""
    return root + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)


class Part(BaseModel):
    """A frozen part of a routing config; one that does not fit raises `ConfigurationError`."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    if not TYPE_CHECKING:
        # Type checkers are to see the fields, and not this.
        def __init__(self, **data: Any) -> None:
            try:
                super().__init__(**data)
            except ValidationError as error:
                raise part_error(type(self).__name__, _problems(error)) from None

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        # Most fields of most parts are left out.
        fields = type(self).model_fields
        for name, value in super().__repr_args__():
            if name is None or value != fields[name].get_default(call_default_factory=True):
                yield name, value


def _problems(error: ValidationError) -> list[Problem]:
    """The problems with their full paths: a nested part comes with those it found itself."""
    problems: list[Problem] = []
    for item in error.errors(include_url=False, include_input=False):
        # The marks of a union's branches, such as <target>, stand in no config.
        path = tuple(part for part in item["loc"] if not str(part).startswith("<"))
        cause = item.get("ctx", {}).get("error")
        if isinstance(cause, PartError):
            problems += [(path + inner, why) for inner, why in cause.problems]
        else:
            said = _SAID.get(item["type"]) or item["msg"].removeprefix("Value error, ")
            problems.append((path, said))
    # A list whose items are wrong counts as empty, too.
    paths = [path for path, _ in problems]
    return [
        (path, said)
        for path, said in problems
        if said != _SAID["too_short"]
        or not any(other[: len(path)] == path and other != path for other in paths)
    ]


def _plain_json(value: dict[str, Any]) -> dict[str, Any]:
    """A copy of `value`, so that nobody's later change reaches a frozen part."""
    try:
        copied: dict[str, Any] = json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        copied = {}
    if copied != value:
        raise ValueError("plain JSON is due here: texts as keys, lists, no NaN and no objects")
    return copied


Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=False)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]
StatusCodes = Annotated[
    Sequence[Annotated[int, Field(ge=100, le=599, strict=True)]], AfterValidator(tuple)
]
JsonObject = Annotated[dict[str, Any], AfterValidator(_plain_json)]


class Retry(Part):
    """The gateway's own retries of one target: after 1, 2, 4, 8 and 16 s, without jitter.

    `attempts` is at most 5; it retries 429, 500, 502, 503 and 504 unless told otherwise.
    """

    attempts: int = Field(ge=0, le=5, strict=True)
    on_status_codes: StatusCodes | None = None
    use_retry_after_header: bool | None = None


class GatewayCache(Part):
    """The cache of hosted Portkey; `max_age` in seconds. The open-source gateway has none."""

    mode: Literal["simple", "semantic"]
    max_age: Annotated[int, Field(gt=0, strict=True)] | None = None


class Timeout(Part):
    """How long to wait, in seconds: for a whole answer, a stream's first token, and between two.

    What is left out comes from the strategy above.
    """

    answer: Seconds | None = None
    first_token: Seconds | None = None
    between_tokens: Seconds | None = None

    def or_else(self, other: Timeout | None) -> Timeout:
        """These timeouts, those that are left out taken from `other`."""
        if other is None:
            return self
        return Timeout(
            answer=self.answer or other.answer,
            first_token=self.first_token or other.first_token,
            between_tokens=self.between_tokens or other.between_tokens,
        )


class CircuitBreakerConfig(Part):
    """Hosted Portkey's circuit breaker (`cb_config`); the open-source gateway ignores it.

    A circuit opens at so many failures, or at so many percent of at least `minimum_requests`, for
    `cooldown_interval` milliseconds. Source: portkey.ai/docs/product/ai-gateway/circuit-breaker
    """

    failure_threshold: Annotated[int, Field(ge=1, strict=True)] | None = None
    failure_threshold_percentage: Annotated[float, Field(gt=0, le=100, strict=True)] | None = None
    cooldown_interval: int = Field(default=30_000, ge=30_000, strict=True)
    failure_status_codes: StatusCodes | None = None
    minimum_requests: Annotated[int, Field(ge=1, strict=True)] | None = None

    @model_validator(mode="after")
    def _has_a_threshold(self) -> Self:
        if self.failure_threshold is None and self.failure_threshold_percentage is None:
            raise ValueError("give failure_threshold or failure_threshold_percentage")
        return self


class GatewayCheck(Part):
    """One check of a gateway guardrail, as `default.contains`, with the check's own parameters.

    A text `${NAME}` in the parameters is taken from the environment when a request is made.
    """

    id: Text
    parameters: JsonObject = Field(default_factory=dict, repr=False)
    enabled: bool = True

    @model_validator(mode="before")
    @classmethod
    def _whole_id(cls, data: Any) -> Any:
        # The gateway does the same to an id without a dot.
        if isinstance(data, dict) and isinstance(data.get("id"), str) and "." not in data["id"]:
            return {**data, "id": f"default.{data['id']}"}
        return data

    @model_validator(mode="after")
    def _no_reserved_parameters(self) -> Self:
        # The gateway reads these two as the check's id and switch.
        if taken := sorted({"id", "is_enabled"} & self.parameters.keys()):
            why = f"{taken[0]!r} is not the check's own: the gateway takes it for something else"
            raise part_error("GatewayCheck", [(("parameters", taken[0]), why)])
        return self


class Guardrail(Part):
    """Checks that the gateway makes on a request or answer; with `deny` a failed one is refused.

    A failed check answers 446 with `deny`, else 246. `background` checks are not waited for, so
    they can't deny. Output checks never run on streams.
    """

    checks: Annotated[Sequence[GatewayCheck], Field(min_length=1), AfterValidator(tuple)]
    deny: bool = True
    id: Text | None = None
    background: bool = False
    sequential: bool = False
    on_fail: JsonObject | None = None
    on_success: JsonObject | None = None

    @model_validator(mode="after")
    def _background_denies_nothing(self) -> Self:
        if self.background and self.deny:
            raise ValueError("a check in the background can't deny: set deny=False, or wait for it")
        return self
