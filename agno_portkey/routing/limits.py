"""Which models and providers an agent may ask, held against all that its calls can reach."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache
from itertools import product
from typing import Any, cast

from agno_portkey.calls import IO, Call, Deltas, Layer, Next
from agno_portkey.errors import ModelNotAllowed
from agno_portkey.modes import Mode, mode_now
from agno_portkey.routing.config.references import resolve
from agno_portkey.routing.connection import given_http
from agno_portkey.secrets.base import Secret
from agno_portkey.settings import Settings
from agno_portkey.verdict import Event, Observer, Verdict, tell

__all__ = ["LimitTable", "Limits", "ModelLimit", "Reached", "limit_layer", "reached_by"]

# What a request says of whom it is for, in headers.
_CONFIG, _PROVIDER = "x-portkey-config", "x-portkey-provider"
_VIRTUAL = "x-portkey-virtual-key"
_SAID = (_CONFIG, _PROVIDER, _VIRTUAL)


@dataclass(frozen=True, slots=True)
class Reached:
    """One target that a call can come to: its model, and what names its provider.

    `providers` are a slug, a `@slug` and a virtual key, as far as there are any; `config` is the id
    of a hosted config, behind which anything may be.
    """

    model: str
    providers: tuple[str, ...] = ()
    config: str | None = None

    def __str__(self) -> str:
        if self.config is not None:
            return f"the hosted config {self.config}, which can't be looked into,"
        return f"{self.model} of {' and '.join(self.providers) or 'a provider that is not named'}"


@dataclass(frozen=True)
class ModelLimit:
    """Patterns (`*`, `?`, in the letters' case) of what may be asked; None: any.

    A hosted config is asked only where one of `configs` fits its id. `where` is where this stands.
    """

    models: tuple[str, ...] | None = None
    providers: tuple[str, ...] | None = None
    configs: tuple[str, ...] = ()
    where: str = field(default="models", compare=False)

    def allows(self, reached: Reached) -> bool:
        if reached.config is not None:
            return _fits(reached.config, self.configs)
        if self.models is not None and not _fits(reached.model, self.models):
            return False
        if self.providers is None:
            return True
        known = reached.providers
        return bool(known) and all(_fits(each, self.providers) for each in known)

    def __str__(self) -> str:
        said = {"models": self.models, "providers": self.providers, "configs": self.configs}
        return "; ".join(
            f"{name} {', '.join(held) or 'none'}" for name, held in said.items() if held is not None
        )


@dataclass(frozen=True)
class LimitTable:
    """The limits of a whole team: each that is for an agent has to let its calls through."""

    everyone: ModelLimit | None = None
    roles: Mapping[str, ModelLimit] = field(default_factory=dict)
    agents: Mapping[str, ModelLimit] = field(default_factory=dict)
    mode: Mode = "enforce"

    def of(
        self, part: str, name: str, swarm: str | None, observers: Iterable[Observer] = ()
    ) -> Limits | None:
        """Those of the agent `name`, whose role in the team is `part`; None if there are none."""
        found = (self.everyone, self.roles.get(part), self.agents.get(name))
        held = tuple(limit for limit in found if limit is not None)
        return Limits(held, name, swarm, self.mode, tuple(observers)) if held else None


@dataclass(frozen=True, eq=False)
class Limits:
    """What one agent may ask. `AGNO_PORTKEY_MODELS_MODE` overrides `mode`."""

    held: tuple[ModelLimit, ...]
    role: str
    swarm: str | None
    mode: Mode
    observers: tuple[Observer, ...] = ()

    def __deepcopy__(self, memo: dict[int, Any]) -> Limits:
        return self

    def refusal(self, several: Iterable[Reached]) -> str | None:
        """Why one of `several` may not be asked, or None."""
        for reached in several:
            for limit in self.held:
                if not limit.allows(reached):
                    return f"{self.role} may not ask {reached}: {limit.where} allows {limit}"
        return None

    def require(self, several: Iterable[Reached], run_id: str | None) -> None:
        """Raise ModelNotAllowed if one of `several` may not be asked."""
        mode = mode_now("models", self.mode)
        if mode == "off" or (why := self.refusal(several)) is None:
            return
        verdict = Verdict(False, "models", (why,))
        tell(
            self.observers,
            Event("limit", self.role, self.swarm, run_id, verdict, {"mode": mode}),
        )
        if mode == "enforce":
            raise ModelNotAllowed(verdict)

    def require_request(self, model: Any, params: Mapping[str, Any], run_id: str | None) -> None:
        """The same of a request just as it is sent."""
        self.require(_requested(model, params), run_id)


def limit_layer(limits: Limits, model: Any) -> Layer:
    """The layer that refuses a call which could come to what its agent may not ask."""

    async def layer(call: Call, io: IO, inner: Next) -> Deltas:
        await _known(model, io)
        limits.require(reached_by(model, call.target), call.run_id)
        async with inner(call) as out:
            async for delta in out:
                yield delta

    return layer


class LimitedIO:
    """io that holds each request, as it is sent, to the limits of who sends it."""

    def __init__(self, io: IO, limits: Limits, run_id: str | None) -> None:
        self._io, self._limits, self._run_id = io, limits, run_id

    async def create(self, model: Any, params: dict[str, Any]) -> Any:
        await _known(model, self._io)
        self._limits.require_request(model, params, self._run_id)
        return await self._io.create(model, params)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._io, name)


def limited(io: IO, limits: Limits, run_id: str | None) -> IO:
    """`io`, which refuses requests that `limits` does not let through."""
    return cast("IO", LimitedIO(io, limits, run_id))


def reached_by(model: Any, target: str | None = None) -> list[Reached]:
    """Everything that calls of `model` can come to by its route, an experiment's arms included.

    Without a route: its own model, or `target`, and what a repair may ask in its place.
    """
    plan = model.router.plan(model)
    virtual = _said_by(model.virtual_key) or _revealed(Settings.read().virtual_key)
    provider = _said_by(model.portkey_provider)
    if plan.opaque is not None:
        return [Reached(model.id, config=plan.opaque)]
    if plan.route is not None:
        return [
            _reached(
                leaf.model or model.id,
                leaf.target.provider or (provider if not leaf.provider else None),
                _resolved(leaf.target.virtual_key) or virtual,
            )
            for leaf in plan.leaves
        ]
    repairs = (model.repair, *(contract.repair for contract in model.contracts))
    stronger = [repair.stronger for repair in repairs if repair and repair.stronger]
    asked = dict.fromkeys([target or model.id, *stronger])
    return [_reached(each, provider, virtual) for each in asked]


def _requested(model: Any, params: Mapping[str, Any]) -> list[Reached]:
    """What a request names: in its body, and in headers that may be the user's own."""
    models = list(dict.fromkeys([*_models(params), *_models(params.get("extra_body"))]))
    said = _headers(model, params)
    for name, value in ((_PROVIDER, model.portkey_provider), (_VIRTUAL, model.virtual_key)):
        if isinstance(value, Secret):
            # Put in last, in the place of what else is said.
            said[name] = [str(_said_by(value))]
    named = [said.get(name, [None]) for name in (_CONFIG, _PROVIDER, _VIRTUAL)]
    return [
        reached
        for config, provider, virtual in product(*named)
        for each in models
        for reached in _one(each, config, provider, virtual)
    ]


def _one(
    model: str, config: str | None, provider: str | None, virtual: str | None
) -> Iterator[Reached]:
    if config is None:
        yield _reached(model, provider, virtual)
        return
    targets = _targets(config)
    if targets is None:
        yield Reached(model, config=config)
        return
    for its_model, its_provider, its_virtual, nested in targets:
        if nested is not None:
            yield Reached(model, config=nested)
        else:
            yield _reached(its_model or model, its_provider or provider, its_virtual or virtual)


def _models(said: Any) -> list[str]:
    """The models that a body asks for: `models` are those that some providers fall back to."""
    held = said if isinstance(said, Mapping) else {}
    several = held.get("models")
    several = several if isinstance(several, list | tuple) else [several]
    return [str(each) for each in (held.get("model"), *several) if each is not None]


def _headers(model: Any, params: Mapping[str, Any]) -> dict[str, list[str]]:
    """All that is said under each name; in other letters a name is sent a second time."""
    sent: dict[Any, Any] = {}
    own = model._get_client_params().get("default_headers")
    for headers in (own, params.get("extra_headers")):
        sent |= dict(headers) if isinstance(headers, Mapping) else {}
    found: dict[str, dict[str, None]] = {}
    for name, value in sent.items():
        if _text(name).lower() in _SAID and isinstance(value, str | bytes):
            found.setdefault(_text(name).lower(), {})[_text(value)] = None
    # What a client of the user's own adds, where nothing else is said.
    for name, value in dict(getattr(given_http(model), "headers", None) or {}).items():
        if name.lower() in _SAID:
            found.setdefault(name.lower(), {value: None})
    return {name: [*values] for name, values in found.items()}


def _text(said: Any) -> str:
    return said.decode("latin-1") if isinstance(said, bytes) else str(said)


# Model, provider, virtual key, and the id of a config, of one target.
_Target = tuple[str | None, str | None, str | None, str | None]


@lru_cache(maxsize=256)
def _targets(config: str) -> Sequence[_Target] | None:
    """The targets of a config in a header; None for an id, or what nobody can read."""
    try:
        held = json.loads(config)
        return [*_below(held, (None, None, None, None))] if isinstance(held, dict) else None
    except (ValueError, RecursionError):
        return None


def _below(config: Mapping[str, Any], above: _Target) -> Iterator[_Target]:
    said = _folded(config)
    override = said.get("overrideparams")
    models: list[str | None] = []
    if isinstance(override, Mapping):
        models += _models(_folded(override))
    own = (said.get("provider"), said.get("virtualkey"), said.get("config"))
    rest = tuple(above[at] if each is None else str(each) for at, each in enumerate(own, 1))
    targets = said.get("targets")
    inner = [each for each in targets if isinstance(each, Mapping)] if targets else []
    for model in models or [above[0]]:
        here = cast("_Target", (model, *rest))
        if not inner:
            yield here
        for each in inner:
            yield from _below(each, here)


def _folded(config: Mapping[str, Any]) -> dict[str, Any]:
    """`config` by names without underscores and capitals: gateways take `overrideParams`, too."""
    found = {str(name).replace("_", "").lower(): value for name, value in config.items()}
    if len(found) < len(config):
        raise ValueError("one thing is said twice")
    return found


def _reached(model: str, provider: str | None, virtual: str | None) -> Reached:
    # Hosted Portkey's `@slug/model`; a provider's own names may begin so, as @cf/meta/llama does.
    if model.startswith("@") and "/" in model and (provider is None or provider.startswith("@")):
        slug, _, model = model.partition("/")
        named = dict.fromkeys(each for each in (slug, provider, virtual) if each)
    else:
        named = dict.fromkeys(each for each in (provider, virtual) if each)
    return Reached(model, tuple(named))


def _fits(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _resolved(secret: Any) -> str | None:
    said = _revealed(secret)
    return None if said is None else resolve(said, path="virtual_key")


async def _known(model: Any, io: IO) -> None:
    """Have the secrets that name a provider read, beside the event loop."""
    for value in (model.portkey_provider, model.virtual_key):
        if isinstance(value, Secret) and not value.fresh:
            await io.run(value.reveal)


def _said_by(value: Any) -> str | None:
    return (value.known or value.reveal()) if isinstance(value, Secret) else value


def _revealed(secret: Any) -> str | None:
    return None if secret is None else str(secret.get_secret_value())
