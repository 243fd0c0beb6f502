"""The environment variables this package reads, and the checks that arguments share with them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from agno_portkey.errors import ConfigurationError

__all__ = [
    "HOSTED_URL",
    "LOOPBACK",
    "VARIABLES",
    "Settings",
    "check_config",
    "check_url",
    "parse_config",
]

# What is read from the environment beside the settings below and the modes of parts.
VARIABLES = frozenset(
    {
        "AGNO_PORTKEY_AUDIT_KEY",
        "AGNO_PORTKEY_CACHE_DIR",
        "AGNO_PORTKEY_CACHE_KEY",
        "AGNO_PORTKEY_CACHE_URL",
        "AGNO_PORTKEY_CLEARANCE_KEY",
        "AGNO_PORTKEY_CLEARANCE_PUBLIC_KEY",
        "AGNO_PORTKEY_DATABASE_URL",
        "AGNO_PORTKEY_JWT_AUDIENCE",
        "AGNO_PORTKEY_JWT_KEY",
        "AGNO_PORTKEY_KEYS_FILE",
        "AGNO_PORTKEY_PROD_ALLOWS",
        "AGNO_PORTKEY_REDIS_URL",
        "AGNO_PORTKEY_SECRETS_KEY",
        "AGNO_PORTKEY_TOKEN",
        "AGNO_PORTKEY_TRUSTED_HOSTS",
        "AGNO_PORTKEY_VAULT_KEYS",
        "PORTKEY_ADMIN_API_KEY",
    }
)
HOSTED_URL = "https://api.portkey.ai/v1"
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def check_url(url: str, *, name: str) -> str:
    """Return `url` without a trailing slash; anything but http(s) with a host is refused.

    So is a user name or password in it: the address is shown in errors and serialised.
    """
    from httpx import URL, InvalidURL

    try:
        parsed = URL(url.strip())
    except InvalidURL as error:
        raise ConfigurationError(f"{name}: {url!r} is not a URL ({error})") from error
    if parsed.userinfo:
        raise ConfigurationError(
            f"{name}: no user name or password in an address; send them in a header"
        )
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ConfigurationError(
            f"{name}: {url!r} is not a URL of the form http(s)://host[:port]/v1"
        )
    return str(parsed).rstrip("/")


class Settings(BaseSettings):
    """`PORTKEY_*` variables; an argument of `PortkeyModel` always wins over them.

    `PORTKEY_CONFIG` is a config id (`pc-...`) or a routing config as JSON.
    """

    model_config = SettingsConfigDict(env_prefix="PORTKEY_", extra="ignore", env_ignore_empty=True)

    api_key: SecretStr | None = None
    base_url: str = HOSTED_URL
    virtual_key: SecretStr | None = None
    config: Annotated[dict[str, Any] | str | None, NoDecode] = Field(default=None, repr=False)
    environment: str | None = None

    @field_validator("base_url")
    @classmethod
    def _base_url(cls, value: str) -> str:
        return check_url(value, name="PORTKEY_BASE_URL")

    @field_validator("config", mode="before")
    @classmethod
    def _config(cls, value: object) -> object:
        return parse_config(value) if isinstance(value, str) else value

    @classmethod
    def read(cls) -> Self:
        """Read the environment; a wrong value is refused by the variable's name."""
        try:
            return cls()
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            name = "PORTKEY_" + "_".join(str(part) for part in first["loc"]).upper()
            said = first["msg"].removeprefix("Value error, ").removeprefix(f"{name}: ")
            raise ConfigurationError(f"environment variable {name} is wrong: {said}") from None


def parse_config(text: str) -> dict[str, Any] | str:
    """A config id (`pc-...`) as it is, anything else as the JSON object it has to be."""
    text = text.strip()
    if text.startswith("pc-"):
        return text
    try:
        config = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"neither a config id (pc-...) nor JSON: {error.msg} at character {error.pos}"
        ) from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(config, dict):
        raise ValueError("a routing config is a JSON object")
    return config


def check_config(config: object) -> None:
    """Refuse a routing config that is neither a hosted one's id nor a mapping of JSON."""
    if config is None or (isinstance(config, str) and config.startswith("pc-")):
        return
    if isinstance(config, str):
        raise ConfigurationError(
            "config: the id of a hosted config (pc-...) or a mapping, not any other text"
        )
    if not isinstance(config, Mapping):
        raise ConfigurationError(f"config: a mapping, not {type(config).__name__}")
    try:
        json.dumps(config)
    except RecursionError:
        raise ConfigurationError("config: it is nested too deeply") from None
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"config: it can't be written as JSON ({error})") from None
