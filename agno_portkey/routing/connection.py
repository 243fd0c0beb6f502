"""How a model reaches its gateway: its arguments checked, and what its clients are made of."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

import httpx
import openai

from agno_portkey.environments import check_environment
from agno_portkey.errors import ConfigurationError, GatewayUnauthorized
from agno_portkey.routing.breaker.circuits import CircuitBreaker, Circuits
from agno_portkey.routing.config.routes import Route
from agno_portkey.routing.keyed import Keys
from agno_portkey.routing.recovery.settings import MAX_ATTEMPTS, Recovery
from agno_portkey.secrets.base import Secret
from agno_portkey.secrets.hidden import Hidden
from agno_portkey.secrets.source import SecretSource, unusable
from agno_portkey.settings import HOSTED_URL, Settings, check_config, check_url

__all__ = [
    "check_arguments",
    "client_key",
    "client_params",
    "gateway_url",
    "given_http",
    "variable",
    "without_made_up_key",
]

_SLUG = re.compile(r"@?[A-Za-z0-9][A-Za-z0-9._-]*")


def check_arguments(model: Any) -> None:
    """Refuse a model whose arguments can't work, by the argument's name; tidies its addresses."""
    if not isinstance(model.id, str) or not model.id.strip():
        raise ConfigurationError(f"id: a model's name, not {model.id!r}")
    _check_keys(model)
    for name in ("base_url", "custom_host"):
        if (value := getattr(model, name)) is not None:
            setattr(model, name, check_url(str(value), name=name))
    slug = model.portkey_provider
    plain = isinstance(slug, str) and _SLUG.fullmatch(slug)
    if slug is not None and not plain and not isinstance(slug, Secret):
        raise ConfigurationError(f"portkey_provider: a provider's slug, not {slug!r}")
    if not isinstance(model.config, Route):
        check_config(model.config)
    if model.profile not in (None, "hosted", "open_source"):
        raise ConfigurationError(f"profile: 'hosted' or 'open_source', not {model.profile!r}")
    if not isinstance(model.breaker, CircuitBreaker | Circuits | None):
        raise ConfigurationError(
            f"breaker: a CircuitBreaker or Circuits, not {type(model.breaker).__name__} (none at "
            "all: CircuitBreaker(enabled=False))"
        )
    _check_host_options(model)
    model.recovery = _recovery(model)


def _check_keys(model: Any) -> None:
    for name in ("api_key", "portkey_api_key", "virtual_key", "portkey_provider"):
        value = getattr(model, name)
        if isinstance(value, Secret):
            check_environment(value.source.environment, f"{name}: the secret {value.name}")
        elif name != "portkey_provider" and value is not None:
            if not isinstance(value, str) or not value.strip():
                raise ConfigurationError(f"{name}: a non-empty text, or a Secret")
            if (why := unusable(value)) is not None:
                raise ConfigurationError(f"{name}: {why}")
            setattr(model, name, Hidden(value))
    if model.secrets is not None:
        if not isinstance(model.secrets, SecretSource) or isinstance(model.secrets, type):
            raise ConfigurationError("secrets: a source of secrets, as FileSecrets(folder)")
        check_environment(model.secrets.environment, "secrets: the source")


def _check_host_options(model: Any) -> None:
    if model.cache_response:
        raise ConfigurationError(
            "cache_response: Agno's response cache stands above every guard and serves one "
            "user's reply to another; leave it off"
        )
    if model.client is not None or model.async_client is not None:
        raise ConfigurationError(
            "client: a client of your own would go round the gateway; give http_client to "
            "change how it is reached"
        )


def _recovery(model: Any) -> Recovery | None:
    """The one owner of retries, from the arguments of ours, the host's and the client's."""
    asked = [("retries", model.retries), ("max_retries", model.max_retries)]
    given = [(name, value) for name, value in asked if value not in (0, None)]
    # The host would make its own above ours, and the client below.
    model.retries, model.max_retries = 0, None
    if "max_retries" in (model.client_params or {}):
        raise ConfigurationError(
            "client_params.max_retries: the client's retries would multiply the others; give "
            "recovery=Recovery(attempts=...)"
        )
    recovery = model.recovery
    if recovery is not None and not isinstance(recovery, Recovery):
        raise ConfigurationError(f"recovery: a Recovery, not {type(recovery).__name__}")
    if not given:
        return recovery
    if recovery is not None or len(given) > 1:
        raise ConfigurationError(f"{given[0][0]}: give either recovery or this, not both")
    name, value = given[0]
    if value in ("client", "gateway"):
        return Recovery(by=value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < MAX_ATTEMPTS:
        raise ConfigurationError(
            f"{name}: 'client', 'gateway' or 1 to {MAX_ATTEMPTS - 1} retries, not {value!r}"
        )
    return Recovery(attempts=value + 1)


def gateway_url(model: Any) -> str:
    """The gateway's address: the argument, the environment's, or hosted Portkey's."""
    return str(model.base_url or Settings.read().base_url)


def client_params(model: Any) -> dict[str, Any]:
    """The arguments of an OpenAI client for `model`; what it lacks comes from the environment."""
    settings = Settings.read()
    url = str(model.base_url or settings.base_url)
    params: dict[str, Any] = {
        # A secret is put in as a request is sent; what stands here until then opens nothing.
        "api_key": _plain(model.api_key) or "unused",
        "keys": _keys(model),
        "base_url": url,
        # Its own retries would multiply those of `Recovery`.
        "max_retries": 0,
        "default_headers": {**dict(model.default_headers or {}), **_headers(model, settings, url)},
    }
    for name in ("organization", "timeout", "default_query"):
        if (value := getattr(model, name)) is not None:
            params[name] = value
    return {**params, **(model.client_params or {})}


def client_key(model: Any) -> tuple[Any, ...]:
    """All that a client is made of; asked on every call, so the usual `None`s cost little."""
    return (
        model.base_url or os.environ.get("PORTKEY_BASE_URL"),
        model.portkey_api_key or variable("PORTKEY_API_KEY"),
        model.virtual_key or variable("PORTKEY_VIRTUAL_KEY"),
        model.api_key,
        model.portkey_provider,
        model.custom_host,
        model.organization,
        model.timeout and repr(model.timeout),
        model.default_headers and Hidden(repr(model.default_headers)),
        model.default_query and Hidden(repr(model.default_query)),
        model.client_params and Hidden(repr(model.client_params)),
        id(model.http_client),
        id(model.named),
    )


def given_http(model: Any) -> Any:
    """The http client that the user gave, if any."""
    return model.http_client or (model.client_params or {}).get("http_client")


def without_made_up_key(model: Any, headers: Mapping[str, Any]) -> dict[str, Any]:
    """`headers` of one request; where nobody gave a provider's key, none is sent.

    The client has to have one, and honours only in a request that there is to be none.
    """
    # Those of the client's arguments are in the place of the model's own.
    default = (model.client_params or {}).get("default_headers", model.default_headers)
    given = any("Authorization" in each for each in (headers, default) if each)
    if model.api_key is not None or given:
        return dict(headers)
    return {**headers, "Authorization": openai.Omit()}


def variable(name: str) -> Hidden:
    """What the environment says now, empty if nothing."""
    return Hidden(os.environ.get(name, ""))


def _headers(model: Any, settings: Settings, url: str) -> dict[str, str]:
    """The `x-portkey-*` headers that are the same for every call of a model."""
    key = model.portkey_api_key or _reveal(settings.api_key)
    virtual_key = model.virtual_key or _reveal(settings.virtual_key)
    if key is None and httpx.URL(url).host == httpx.URL(HOSTED_URL).host:
        raise GatewayUnauthorized(
            "hosted Portkey needs a key: set PORTKEY_API_KEY or pass portkey_api_key (or set "
            "PORTKEY_BASE_URL to a gateway of your own)",
            status_code=401,
            model_id=model.id,
        )
    # Its package takes a second to import, which `--help` need not wait for.
    from portkey_ai import createHeaders

    made: Mapping[str, str] = createHeaders(  # type: ignore[no-untyped-call]
        api_key=_plain(key),
        virtual_key=_plain(virtual_key),
        provider=_plain(model.portkey_provider),
        custom_host=model.custom_host,
    )
    return {name: Hidden(value) for name, value in made.items()}


def _keys(model: Any) -> Keys:
    """The secrets that are put into each request."""
    given = (
        ("Authorization", model.api_key),
        ("x-portkey-api-key", model.portkey_api_key),
        ("x-portkey-virtual-key", model.virtual_key),
        ("x-portkey-provider", model.portkey_provider),
    )
    secrets = {header: value for header, value in given if isinstance(value, Secret)}
    return Keys(secrets, model.named)


def _plain(key: Any) -> str | None:
    return None if isinstance(key, Secret) else key


def _reveal(secret: Any) -> Hidden | None:
    return Hidden(secret.get_secret_value()) if secret is not None else None
