"""Environments apart: which one this process is of, and what of another one it must not use.

`PORTKEY_ENVIRONMENT` names it. What bears the name of another is refused: a key, a clearance, a
database, a policy. Production refuses what is meant for trying out, unless it is said so.
"""

from __future__ import annotations

import os
import re
from unicodedata import normalize

from agno_portkey.errors import ConfigurationError, WrongEnvironment

__all__ = [
    "ALLOWS_VARIABLE",
    "CAPTURE_VARIABLE",
    "RELAXATIONS",
    "VARIABLE",
    "called",
    "check_capture",
    "check_environment",
    "check_production",
    "current",
    "is_allowed",
    "is_name",
    "is_production",
]

VARIABLE = "PORTKEY_ENVIRONMENT"
# What production is to allow nevertheless, with commas between them.
ALLOWS_VARIABLE = "AGNO_PORTKEY_PROD_ALLOWS"
RELAXATIONS = ("observed-gates", "raw-content", "embedded-provider")
# By which the host is told to log what is asked and answered, and instrumentations of OpenTelemetry
# to write messages into spans and logs.
_DEBUG_VARIABLE = "AGNO_DEBUG"
CAPTURE_VARIABLE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"

_SHORT = {"development": "dev", "testing": "test", "stage": "staging", "production": "prod"}
_PRODUCTION = "prod"
_NAME = re.compile(r"[a-z0-9._-]+")
_NO_CAPTURE = frozenset({"", "false", "0", "no_content"})


def called(name: str) -> str:
    """The name of an environment as names of keys have it: `prod` of `Production`."""
    name = normalize("NFKC", name).strip().lower()
    return _SHORT.get(name, name)


def current() -> str | None:
    """The environment that this process says it is of, if any; read at each use.

    ConfigurationError for what is no name, which may be meant for production.
    """
    name = called(os.environ.get(VARIABLE, ""))
    if name and not is_name(name):
        raise ConfigurationError(
            f"{VARIABLE}: a name such as dev, staging or prod, without quotes, not {name!r}"
        )
    return name or None


def is_name(name: str) -> bool:
    """Whether an environment may be called so: letters, digits, `.`, `_` and `-`."""
    return _NAME.fullmatch(called(name)) is not None


def is_production() -> bool:
    """Whether this process is of production."""
    return current() == _PRODUCTION


def check_environment(theirs: str | None, what: str) -> None:
    """Raise WrongEnvironment where `what` is of another environment than this process.

    None is what is of no environment, and for any. A process that names none is not of `theirs`.
    """
    if theirs is None or called(theirs) == (own := current()):
        return
    its = called(theirs)
    said = f"{VARIABLE} is {own}" if own else f"{VARIABLE} is not set"
    raise WrongEnvironment(
        f"{what} is of {its}, and {said}: use what is of {own or 'no environment'}, or set "
        f"{VARIABLE}={its}"
    )


def is_allowed(relaxation: str) -> bool:
    """Whether one of `RELAXATIONS` holds here: everywhere but in production, and there if said."""
    if not is_production():
        return True
    said = {each.strip().lower() for each in os.environ.get(ALLOWS_VARIABLE, "").split(",")}
    if unknown := sorted(said - {*RELAXATIONS, ""}):
        raise ConfigurationError(
            f"{ALLOWS_VARIABLE}: {', '.join(RELAXATIONS)} can be allowed, not {unknown[0]!r}"
        )
    return relaxation in said


def check_production(relaxation: str, what: str) -> None:
    """Raise WrongEnvironment where production does not allow `what`."""
    if not is_allowed(relaxation):
        raise WrongEnvironment(
            f"{what} is not for production ({VARIABLE}={_PRODUCTION}); if it is meant, set "
            f"{ALLOWS_VARIABLE}={relaxation}"
        )


def check_capture() -> None:
    """Raise WrongEnvironment where production is told to write messages into traces and logs."""
    if os.environ.get(CAPTURE_VARIABLE, "").strip().lower() not in _NO_CAPTURE:
        said = f"{CAPTURE_VARIABLE}, by which messages are written into traces and logs,"
        check_production("raw-content", said)
    if os.environ.get(_DEBUG_VARIABLE, "").strip().lower() == "true":
        said = f"{_DEBUG_VARIABLE}, by which what is asked and answered is logged,"
        check_production("raw-content", said)
