"""What one kind of gateway can't do with a route, or would ignore without a word."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from agno_portkey.errors import ConfigurationError
from agno_portkey.routing.config.emit import Profile, emit
from agno_portkey.routing.config.gateway_names import check_ids, did_you_mean, provider_slugs
from agno_portkey.routing.config.leaves import ROOT, below
from agno_portkey.routing.config.parts import GatewayCheck, Guardrail
from agno_portkey.routing.config.routes import Route, Strategy, Target, children

__all__ = ["MAX_HEADER_BYTES", "Retries", "check"]

Retries = Literal["client", "gateway"]

# Node refuses a request with more than 16 KB of headers; this leaves some for the others.
MAX_HEADER_BYTES = 12_288

# Whose address the gateway completes itself.
_ADDS_V1 = ("openrouter", "together-ai")
_KEYLESS = ("ollama", "triton")
_AWS = ("bedrock", "sagemaker")
_AZURE = ("azure-openai", "azure-ai")


def check(
    route: Route,
    profile: Profile = "open_source",
    *,
    retries: Retries = "client",
    max_header_bytes: int = MAX_HEADER_BYTES,
) -> None:
    """Refuse a route that a gateway of this `profile` would not do as written.

    ConfigurationError lists every problem by its path. `retries` names the layer that owns
    them. The size is checked where the variables that the route refers to are set.
    """
    if profile not in ("hosted", "open_source"):
        raise ConfigurationError(f"profile: 'hosted' or 'open_source', not {profile!r}")
    look = _Look(profile == "open_source", retries, {})
    problems = [*look.at(route, ROOT)]
    if not problems:
        problems = [*_size_problems(route, profile, max_header_bytes)]
    if problems:
        raise ConfigurationError("; ".join(f"{path}: {why}" for path, why in problems))


_Problems = Iterator[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class _Look:
    open_source: bool
    retries: Retries
    names: dict[str, str]

    def at(self, route: Route, path: str) -> _Problems:
        """What is wrong with `route` and all below it."""
        yield from self._common(route, path)
        if isinstance(route, Target):
            yield from self._target(route, path)
        if isinstance(route, Strategy) and route.circuit_breaker and self.open_source:
            yield (
                f"{path}.circuit_breaker",
                "the open-source gateway accepts it and does nothing; leave it out, the client "
                "has its own",
            )
        for index, child in enumerate(children(route)):
            yield from self.at(child, below(path, index))

    def _common(self, route: Route, path: str) -> _Problems:
        if route.name is not None:
            first = self.names.setdefault(route.name, path)
            if first != path:
                yield f"{path}.name", f"{route.name!r} is also the name of {first}; rename one"
        if route.retry and route.retry.attempts and self.retries == "client":
            yield (
                f"{path}.retry",
                "the client retries, and both would multiply; leave it out, or say "
                'retries="gateway"',
            )
        if route.cache and self.open_source:
            yield (
                f"{path}.cache",
                "the open-source gateway caches nothing (its status is always DISABLED); leave it "
                "out",
            )
        model = route.override_params.get("model")
        if model is not None and not isinstance(model, str):
            yield f"{path}.override_params.model", "a model's name, as text"
        if isinstance(model, str) and model.startswith("@") and self.open_source:
            yield f"{path}.override_params.model", _hosted_only("a model by @slug")
        for side in ("input_guardrails", "output_guardrails"):
            for index, each in enumerate(getattr(route, side) or ()):
                yield from self._guardrail(each, f"{path}.{side}[{index}]")

    def _guardrail(self, guardrail: Guardrail | str, path: str) -> _Problems:
        if isinstance(guardrail, str):
            if self.open_source:
                yield path, _hosted_only(f"the guardrail id {guardrail!r}", "would pass everything")
            return
        for index, each in enumerate(guardrail.checks):
            yield from self._check(each, f"{path}.checks[{index}].id")

    def _check(self, check: GatewayCheck, path: str) -> _Problems:
        if check.id == "default.log":
            yield path, "default.log posts every request header, your keys included; leave it out"
        elif self.open_source and check.id not in check_ids():
            meant = did_you_mean(check.id, check_ids())
            yield path, f"no check {check.id!r}: it would pass everything{meant}"

    def _target(self, target: Target, path: str) -> _Problems:
        if not self.open_source:
            return
        if target.virtual_key is not None:
            yield f"{path}.virtual_key", _hosted_only("a virtual key")
        if target.model is not None and target.model.startswith("@"):
            yield f"{path}.model", _hosted_only("a model by @slug")
        provider = target.provider
        if provider is None:
            # At the root, headers may say who it is.
            if path != ROOT and not target.virtual_key:
                yield f"{path}.provider", "missing; name the provider's slug, as openai"
        elif provider.startswith("@"):
            yield f"{path}.provider", _hosted_only(f"{provider!r}")
        elif provider not in provider_slugs():
            meant = did_you_mean(provider, provider_slugs())
            yield f"{path}.provider", f"the gateway knows no {provider!r}{meant}"
        else:
            yield from _key_problems(target, provider, path)
            if provider in _ADDS_V1 and (target.custom_host or "").endswith("/v1"):
                yield f"{path}.custom_host", f"for {provider} without /v1, which the gateway adds"


def _hosted_only(what: str, otherwise: str = "would be ignored") -> str:
    return f"{what} is for hosted Portkey only and {otherwise} here"


def _key_problems(target: Target, provider: str, path: str) -> _Problems:
    """Whether the provider gets what it knows its client by."""
    if provider in _KEYLESS:
        return
    if provider == "vertex-ai":
        yield from _vertex_problems(target, path)
    elif provider in _AWS and target.aws_auth_type != "apiKey":
        for name in ("aws_access_key_id", "aws_secret_access_key"):
            if getattr(target, name) is None:
                yield f"{path}.{name}", f"missing; {provider} takes keys of AWS"
    elif target.api_key is None and not (provider in _AZURE and target.azure_auth_mode):
        yield (
            f"{path}.api_key",
            "missing; the gateway would send `Bearer undefined` (any text does for a provider "
            "that asks for none)",
        )


def _vertex_problems(target: Target, path: str) -> _Problems:
    if target.vertex_region is None:
        yield f"{path}.vertex_region", "missing"
    if target.vertex_service_account_json is not None:
        return
    for name in ("vertex_project_id", "api_key"):
        if getattr(target, name) is None:
            yield f"{path}.{name}", "missing; or give vertex_service_account_json"


def _size_problems(route: Route, profile: Profile, most: int) -> Iterable[tuple[str, str]]:
    try:
        emitted = emit(route, profile=profile, one_at_a_time=False)
    except ConfigurationError:
        # A variable is not set here: sending says so, if it comes to that.
        return
    size = len(emitted.header) if emitted is not None else 0
    if size > most:
        yield (
            ROOT,
            f"{size} bytes as a header, more than {most}: node refuses a request with 16 KB of "
            "headers; split the route, or start the gateway's node with --max-http-header-size "
            "and raise max_header_bytes",
        )
