"""Routes: a target, or a strategy over routes, nested at will; frozen, and checked when built.

```python
Fallback(
    targets=[
        openai("gpt-4o", name="primary", timeout=Timeout(answer=30)),
        LoadBalance(sticky="user", targets=[openrouter("qwen/qwen3"), together("Qwen/Qwen3")]),
    ]
)
```

What the gateway would ignore or misread without a word is refused: here what no gateway can
make sense of, in `profiles` what one kind of gateway can't.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    field_validator,
    model_validator,
)

from agno_portkey.errors import ConfigurationError
from agno_portkey.routing.config.parts import (
    CircuitBreakerConfig,
    GatewayCache,
    Guardrail,
    JsonObject,
    Part,
    Retry,
    StatusCodes,
    Text,
    Timeout,
    part_error,
)
from agno_portkey.routing.config.provider_options import ProviderOptions
from agno_portkey.routing.config.query import Query
from agno_portkey.routing.config.references import Secret
from agno_portkey.settings import check_url

__all__ = [
    "AnyRoute",
    "AnyStrategy",
    "Conditional",
    "Document",
    "Fallback",
    "LoadBalance",
    "Route",
    "Single",
    "Strategy",
    "Target",
    "When",
    "children",
]


def _guardrail_kind(value: object) -> str:
    return "<id>" if isinstance(value, str) else "<guardrail>"


# A guardrail, or the id of one that is kept at hosted Portkey.
AnyGuardrail = Annotated[
    Annotated[Guardrail, Tag("<guardrail>")] | Annotated[Text, Tag("<id>")],
    Discriminator(_guardrail_kind),
]
AnyGuardrails = Annotated[Sequence[AnyGuardrail], AfterValidator(tuple)]


class Route(Part):
    """What targets and strategies have in common; nested routes inherit all but name and weight.

    An empty list of guardrails is none, even where the strategy above has some.
    """

    name: Text | None = None
    weight: Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)] | None = None
    retry: Retry | None = None
    cache: GatewayCache | None = None
    timeout: Timeout | None = None
    override_params: JsonObject = Field(default_factory=dict)
    custom_host: str | None = None
    forward_headers: Annotated[Sequence[Text], AfterValidator(tuple)] | None = None
    input_guardrails: AnyGuardrails | None = None
    output_guardrails: AnyGuardrails | None = None
    strict_open_ai_compliance: bool | None = None

    @field_validator("custom_host")
    @classmethod
    def _tidy_host(cls, value: str | None) -> str | None:
        try:
            return value and check_url(value, name="custom_host")
        except ConfigurationError as error:
            raise ValueError(str(error).removeprefix("custom_host: ")) from None

    @field_validator("forward_headers")
    @classmethod
    def _no_loop(cls, value: Sequence[str] | None) -> Sequence[str] | None:
        if any(header.lower() == "x-portkey-forward-headers" for header in value or ()):
            raise ValueError("the gateway refuses x-portkey-forward-headers in this list")
        return value

    @field_validator("input_guardrails", "output_guardrails")
    @classmethod
    def _all_alike(cls, value: Sequence[object] | None) -> Sequence[object] | None:
        if len({isinstance(each, str) for each in value or ()}) > 1:
            raise ValueError("the gateway takes either ids or guardrails in one list, not both")
        return value


class Target(Route, ProviderOptions):
    """One provider and model, with its key; the leaf of a route.

    `model` replaces the request's. `context_window` (tokens) and `prefill` (whether the provider
    goes on with an assistant message that ends the request; `None`: by the provider) are for
    the client and never sent.
    """

    provider: (
        Annotated[str, StringConstraints(pattern=r"^@?[A-Za-z0-9][A-Za-z0-9._-]*$")] | None
    ) = None
    api_key: Secret | None = None
    virtual_key: Secret | None = None
    model: Text | None = None
    context_window: Annotated[int, Field(gt=0, strict=True)] | None = None
    prefill: bool | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_place_for_the_model(cls, data: Any) -> Any:
        overrides = data.get("override_params") if isinstance(data, Mapping) else None
        if not isinstance(overrides, Mapping) or "model" not in overrides:
            return data
        model = overrides["model"]
        if data.get("model") not in (None, model):
            why = f"it is {data['model']!r}, but override_params.model is {model!r}"
            raise part_error("Target", [(("model",), why)])
        rest = {name: value for name, value in overrides.items() if name != "model"}
        return {**data, "model": model, "override_params": rest}


def _kind(value: object) -> str:
    """The branch of `AnyRoute`: what has no mode is a target."""
    mode = value.get("mode") if isinstance(value, Mapping) else getattr(value, "mode", None)
    return "<target>" if mode is None else f"<{mode}>"


AnyRoute: TypeAlias = Annotated[
    Annotated[Target, Tag("<target>")]
    | Annotated["Single", Tag("<single>")]
    | Annotated["Fallback", Tag("<fallback>")]
    | Annotated["LoadBalance", Tag("<loadbalance>")]
    | Annotated["Conditional", Tag("<conditional>")],
    Discriminator(_kind),
]


class Strategy(Route):
    """A way to choose among routes; `circuit_breaker` is hosted Portkey's own."""

    circuit_breaker: CircuitBreakerConfig | None = None


class Single(Strategy):
    """One route, with what it is to inherit."""

    mode: Literal["single"] = "single"
    target: AnyRoute


class _Many(Strategy):
    targets: Annotated[Sequence[AnyRoute], Field(min_length=1), AfterValidator(tuple)]

    @field_validator("targets")
    @classmethod
    def _names_once(cls, value: Sequence[Route]) -> Sequence[Route]:
        _refuse_doubles(each.name for each in value)
        return value


class Fallback(_Many):
    """The first of `targets` that answers; on any failure, or on `on_status_codes` alone."""

    mode: Literal["fallback"] = "fallback"
    on_status_codes: StatusCodes | None = None


class LoadBalance(_Many):
    """One of `targets` by weight, 1 where none is given.

    `sticky` keeps a user or session with its target, and `experiment` names what is compared;
    the client sees to both.
    """

    mode: Literal["loadbalance"] = "loadbalance"
    sticky: Literal["user", "session"] | None = None
    experiment: Text | None = None

    @field_validator("targets")
    @classmethod
    def _some_weight(cls, value: Sequence[Route]) -> Sequence[Route]:
        if not any(each.weight is None or each.weight > 0 for each in value):
            raise ValueError("the weights are all 0: the gateway would choose none")
        return value


class When(Part):
    """The name of the target to take when `query` holds."""

    query: Query
    then: Text


class Conditional(_Many):
    """The target of the first condition that holds, else `default`; else the gateway errs."""

    mode: Literal["conditional"] = "conditional"
    conditions: Annotated[Sequence[When], Field(min_length=1), AfterValidator(tuple)]
    default: Text | None = None

    @model_validator(mode="after")
    def _names_known(self) -> Self:
        known = {each.name for each in self.targets}
        asked: list[tuple[tuple[str | int, ...], str | None]] = [
            (("conditions", i, "then"), each.then) for i, each in enumerate(self.conditions)
        ]
        named = ", ".join(sorted(filter(None, known))) or "none has a name"
        wrong = [
            (place, f"no target is named {name!r} (targets: {named})")
            for place, name in [*asked, (("default",), self.default)]
            if name is not None and name not in known
        ]
        if wrong:
            raise part_error("Conditional", wrong)
        return self


class Document(Part):
    """A route as it stands in a file."""

    config: AnyRoute


AnyStrategy: TypeAlias = Single | Fallback | LoadBalance | Conditional


def children(route: Route) -> tuple[Route, ...]:
    """The routes right below `route`, none below a target."""
    if isinstance(route, Single):
        return (route.target,)
    return tuple(route.targets) if isinstance(route, _Many) else ()


def _refuse_doubles(names: Iterable[str | None]) -> None:
    seen: set[str] = set()
    for name in filter(None, names):
        if name in seen:
            raise ValueError(f"two targets are named {name!r}: give each a name of its own")
        seen.add(name)


# Built anew once all names are known, so that their signatures show every field.
for _kind_of_route in (Single, Fallback, LoadBalance, Conditional):
    _kind_of_route.model_rebuild(force=True)
