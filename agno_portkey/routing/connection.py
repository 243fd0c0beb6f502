"""How a model reaches its gateway: its arguments checked, and what its clients are made of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import httpx

from agno_portkey.errors import ConfigurationError, GatewayUnauthorized
from agno_portkey.routing.breaker.circuits import CircuitBreaker, Circuits
from agno_portkey.routing.config.routes import Route
from agno_portkey.routing.recovery.settings import MAX_ATTEMPTS, Recovery
from agno_portkey.settings import HOSTED_URL, Settings, check_config, check_url

__all__ = ["check_arguments", "client_key", "client_params", "gateway_url", "given_http"]

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
    if slug is not None and not (isinstance(slug, str) and _SLUG.fullmatch(slug)):
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
    for name in ("api_key", "portkey_api_key", "virtual_key"):
        value = getattr(model, name)
        if value is not None and (not isinstance(value, str) or not value.strip()):
            raise ConfigurationError(f"{name}: a non-empty text")
        if value is not None and not (value.isascii() and value.isprintable()):
            raise ConfigurationError(
                f"{name}: it holds a line break or other characters that no header can have"
            )


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
        "api_key": model.api_key or "unused",
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
        model.base_url,
        model.portkey_api_key,
        model.virtual_key,
        model.api_key,
        model.portkey_provider,
        model.custom_host,
        model.organization,
        model.timeout and repr(model.timeout),
        model.default_headers and repr(model.default_headers),
        model.default_query and repr(model.default_query),
        model.client_params and repr(model.client_params),
        id(model.http_client),
    )


def given_http(model: Any) -> Any:
    """The http client that the user gave, if any."""
    return model.http_client or (model.client_params or {}).get("http_client")


def _headers(model: Any, settings: Settings, url: str) -> dict[str, str]:
    """The `x-portkey-*` headers that are the same for every call of a model."""
    key = model.portkey_api_key or _reveal(settings.api_key)
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
        api_key=key,
        virtual_key=model.virtual_key or _reveal(settings.virtual_key),
        provider=model.portkey_provider,
        custom_host=model.custom_host,
    )
    return dict(made)


def _reveal(secret: Any) -> str | None:
    return secret.get_secret_value() if secret is not None else None
