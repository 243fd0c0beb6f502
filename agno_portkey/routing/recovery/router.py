"""What a model and its copies share of their routing: plans, circuits and partial answers."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping
from typing import Any

import httpx

from agno_portkey.environments import current
from agno_portkey.errors import ConfigurationError
from agno_portkey.routing.breaker.circuits import CircuitBreaker, Circuits
from agno_portkey.routing.breaker.redis_store import RedisStore
from agno_portkey.routing.config.emit import Profile
from agno_portkey.routing.config.files import from_config
from agno_portkey.routing.config.leaves import Leaf, leaves
from agno_portkey.routing.config.profiles import check
from agno_portkey.routing.config.routes import Document, Route, Target
from agno_portkey.routing.connection import variable
from agno_portkey.routing.hosts import check_headers, check_host, check_route_hosts
from agno_portkey.routing.keyed import marked
from agno_portkey.routing.keys.placed import check_names
from agno_portkey.routing.recovery.partials import Partials
from agno_portkey.routing.recovery.patience import Watchdog
from agno_portkey.routing.recovery.plan import Plan
from agno_portkey.routing.recovery.settings import Recovery
from agno_portkey.routing.recovery.shares import Shares
from agno_portkey.secrets.base import Secret
from agno_portkey.secrets.hidden import Hidden
from agno_portkey.settings import HOSTED_URL, LOOPBACK, Settings

# A model has one plan, unless its settings change from call to call.
_PLANS = 64
_KEYED_OTHERWISE = frozenset(
    {"azure-ai", "azure-openai", "bedrock", "sagemaker", "vertex-ai", "workers-ai"}
)

__all__ = ["Router", "make_plan", "route_of"]

# Fields that only our own form has on its outside.
_OURS = frozenset({"mode", "model", "timeout", "context_window", "prefill"})


class Router:
    """Shared by a model and its copies; never pickled, so that a copy elsewhere begins anew."""

    def __init__(self, breaker: CircuitBreaker | Circuits | None = None) -> None:
        self.circuits = breaker if isinstance(breaker, Circuits) else _circuits(breaker)
        self.partials = Partials()
        self.watchdog = Watchdog()
        self.shares = Shares()
        # Under which names the calls of the model were answered.
        self.answered_as: set[str] = set()
        self._lock = threading.Lock()
        self._plans: dict[tuple[Any, ...], tuple[Plan, Any]] = {}

    def __deepcopy__(self, memo: dict[int, Any]) -> Router:
        return self

    def plan(self, model: Any) -> Plan:
        """The plan of `model`; made once for each form of its settings and the environment."""
        key = _key(model)
        held = self._plans.get(key)
        if held is None:
            made = make_plan(model)
            with self._lock:
                while len(self._plans) >= _PLANS:
                    del self._plans[next(iter(self._plans))]
                # The config is kept with it, so that its id means no other one.
                held = self._plans.setdefault(key, (made, model.config))
        return held[0]

    def require_target(self, model: Any, name: str | None) -> None:
        """Refuse a `Repair.stronger` that is no target of the model's route."""
        held = self.plan(model)
        if name is None or held.route is None:
            return
        if not any(leaf.name == name for leaf in held.leaves):
            known = ", ".join(leaf.name for leaf in held.leaves)
            raise ConfigurationError(
                f"Repair.stronger: {name!r} is no target of the route of {model!r} ({known})"
            )
        if not held.may_answer_alone(name):
            raise ConfigurationError(
                f"Repair.stronger: {name!r} can't be asked by itself: it stands under a condition, "
                "or has the weight 0; put it last in a Fallback"
            )


def _circuits(settings: CircuitBreaker | None) -> Circuits:
    """Circuits of the model's own, or those that all processes with this Redis share."""
    url = os.environ.get("AGNO_PORTKEY_REDIS_URL")
    return Circuits(settings, store=RedisStore(url) if url else None)


def make_plan(model: Any) -> Plan:
    """The plan of `model`; ConfigurationError where its gateway would not do what it says."""
    settings = Settings.read()
    url = str(model.base_url or settings.base_url)
    _check_hosts(model, url)
    config = model.config if model.config is not None else settings.config
    portkey_key = model.portkey_api_key or settings.api_key
    profile = model.profile or _profile(url, portkey_key)
    opaque = config if isinstance(config, str) else None
    if opaque is not None:
        _require_hosted(profile, "config", f"the id {opaque!r}", url)
    # What a config at Portkey retries can't be seen from here, and two layers would multiply.
    recovery = model.recovery or Recovery(by="client" if opaque is None else "gateway")
    for name in ("portkey_provider", "id"):
        if str(getattr(model, name) or "").startswith("@") and not _at_workers_ai(model):
            _require_hosted(profile, name, f"the slug {getattr(model, name)!r}", url)
    if isinstance(model.portkey_provider, Secret):
        # A provider's plain name does not change; what does is a slug.
        _require_hosted(profile, "portkey_provider", "a Secret, which holds a slug,", url)
    if model.virtual_key or settings.virtual_key:
        _require_hosted(profile, "virtual_key", "a virtual key", url)
    try:
        route = route_of(config)
    except ConfigurationError as error:
        if model.config is not None:
            raise
        raise ConfigurationError(f"environment variable PORTKEY_CONFIG: {error}") from None
    if route is not None:
        check_route_hosts(route, gateway=url)
        check(route, profile, retries=recovery.by)
        _refuse_doubles(route, profile, model)
    elif opaque is None and profile == "open_source":
        _check_provider(model)
    plan = Plan(
        route if model.named is None else marked(route),
        profile=profile,
        recovery=recovery,
        model_id=model.id,
        place=(
            url,
            _telling(model.portkey_provider),
            model.custom_host,
            _telling(model.api_key),
            _telling(model.virtual_key),
        ),
        opaque=opaque,
    )
    check_names(model, plan.leaves)
    _warn_of_short_answers(plan, model)
    return plan


def _check_hosts(model: Any, url: str) -> None:
    """Refuse addresses that a gateway is not to be told to ask, before the first request."""
    if model.custom_host is not None:
        check_host(model.custom_host, name="custom_host", gateway=url)
    for name in ("default_headers", "extra_headers"):
        check_headers(getattr(model, name), name=name, gateway=url)


def _check_provider(model: Any) -> None:
    """What a route is refused for, where headers name the provider."""
    provider = model.portkey_provider
    # The keys of these come in headers of their own.
    if provider is None or provider in _KEYED_OTHERWISE or provider.startswith("@"):
        return
    params = (model.request_params or {}).get("extra_headers")
    headers = {**(model.default_headers or {}), **(model.extra_headers or {}), **(params or {})}
    given = any(str(name).lower() == "authorization" for name in headers)
    key = _telling(model.api_key) or ("given" if given else None)
    try:
        check(Target(provider=provider, api_key=key, custom_host=model.custom_host))
    except ConfigurationError as error:
        said = str(error).replace("config.provider", "portkey_provider")
        raise ConfigurationError(said.replace("config.", "")) from None


def _refuse_doubles(route: Route, profile: Profile, model: Any) -> None:
    """Refuse arguments that the gateway would ignore for the route, or the route for them."""
    if profile != "open_source" or all(leaf.provider is None for leaf in leaves(route)):
        return
    for name in ("portkey_provider", "custom_host"):
        if getattr(model, name) is not None:
            raise ConfigurationError(
                f"{name}: the route in config has its own, and this would be "
                f"{'sent to all of it' if name == 'custom_host' else 'ignored'}; leave it out here"
            )


def _warn_of_short_answers(plan: Plan, model: Any) -> None:
    """Say that the gateway asks Together for 128 tokens where the request names no number."""
    limits = (model.max_tokens, model.max_completion_tokens)
    short = [leaf.name for leaf in plan.leaves if leaf.provider == "together-ai"]
    if short and limits == (None, None) and not any(map(_has_limit, plan.leaves)):
        logging.getLogger("agno_portkey").warning(
            "%s: without max_tokens the gateway asks Together for 128 tokens, and answers are cut "
            "off there; set it",
            ", ".join(short),
        )


def _has_limit(leaf: Leaf) -> bool:
    return "max_tokens" in leaf.target.override_params


def route_of(config: Any) -> Route | None:
    """The route of a config: a mapping is in the gateway's own form, or in that of our YAML."""
    if isinstance(config, Route):
        return config
    if not isinstance(config, Mapping):
        return None
    if _OURS.isdisjoint(config):
        return from_config(config)
    fields: dict[str, Any] = {"config": dict(config)}
    return Document(**fields).config


def _profile(url: str, portkey_key: Any) -> Profile:
    """Hosted Portkey's, or that of a gateway that takes a Portkey key; on loopback it is ours."""
    host = httpx.URL(url).host
    if host == httpx.URL(HOSTED_URL).host:
        return "hosted"
    return "hosted" if portkey_key and host not in LOOPBACK else "open_source"


def _require_hosted(profile: Profile, name: str, what: str, url: str) -> None:
    if profile != "hosted":
        raise ConfigurationError(
            f"{name}: {what} means something to hosted Portkey only; the gateway at {url} would "
            "not know it (if it is one of Portkey's own, say profile='hosted')"
        )


def _at_workers_ai(model: Any) -> bool:
    # Whose models are named so: @cf/meta/llama-3.1-8b-instruct.
    return bool(model.portkey_provider == "workers-ai")


def _key(model: Any) -> tuple[Any, ...]:
    config = model.config
    return (
        Hidden(repr(config)) if isinstance(config, Mapping) else id(config),
        model.id,
        model.profile,
        model.recovery,
        model.portkey_provider,
        model.custom_host,
        model.api_key,
        None if config is not None else variable("PORTKEY_CONFIG"),
        model.base_url or os.environ.get("PORTKEY_BASE_URL"),
        model.portkey_api_key or variable("PORTKEY_API_KEY"),
        model.virtual_key or variable("PORTKEY_VIRTUAL_KEY"),
        id(model.named),
        current(),
    )


def _telling(key: Any) -> str | None:
    """What tells a key from others: a secret's name, which stays when its value changes."""
    return repr(key) if isinstance(key, Secret) else key
