"""How strictly a part is held: off, observe or enforce; a variable of the environment overrides it.

`AGNO_PORTKEY_<PART>_MODE` is read at each use, so that a running process can be rolled back.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, cast, get_args

from agno_portkey.environments import ALLOWS_VARIABLE, is_allowed
from agno_portkey.errors import ConfigurationError

__all__ = ["PARTS", "Mode", "Modes", "check_mode", "mode_now", "override_of", "variable_of"]

Mode = Literal["off", "observe", "enforce"]
# What has a mode, and a variable that overrides it.
PARTS = ("guards", "gate", "contracts", "tags", "stop", "cache", "budgets", "models")

_MODES: tuple[str, ...] = get_args(Mode)


@dataclass(frozen=True, slots=True)
class Modes:
    """The modes of the parts that `govern` installs for a whole team; each guard has its own."""

    gate: Mode = "enforce"
    contracts: Mode = "enforce"
    tags: Mode = "enforce"
    stop: Mode = "enforce"


def variable_of(part: str) -> str:
    """The name of the variable that overrides the mode of `part`."""
    return f"AGNO_PORTKEY_{part.upper()}_MODE"


def check_mode(mode: Any, *, name: str = "mode") -> Mode:
    """Return `mode`; anything but off, observe and enforce is refused."""
    if mode not in _MODES:
        raise ConfigurationError(f"{name}: one of {', '.join(_MODES)}, not {mode!r}")
    return cast("Mode", mode)


def override_of(part: str) -> Mode | None:
    """What the environment says of `part` now, None if nothing.

    A variable that says anything else can't loosen what is held, nor have anything served from a
    cache: it counts as enforce, and of a cache as off.
    """
    said = os.environ.get(variable_of(part))
    if not said:
        return None
    said = said.strip().lower()
    if said not in _MODES:
        taken: Mode = "off" if part == "cache" else "enforce"
        _warn(variable_of(part), said, taken)
        return taken
    return cast("Mode", said)


@lru_cache(maxsize=256)
def _warn(variable: str, said: str, taken: Mode) -> None:
    """Say once of each value that it is no mode: it is read at every call."""
    logging.getLogger("agno_portkey").warning(
        "%s is %r, and not one of %s: taken as %s", variable, said, _MODES, taken
    )


def mode_now(part: str, own: Mode) -> Mode:
    """The mode of `part` now: the environment's if it says one, else `own`.

    In production a gate is enforced, unless it is said there that one may observe.
    """
    mode = override_of(part) or own
    if part == "gate" and mode != "enforce" and not is_allowed("observed-gates"):
        _warn_of_production(mode)
        return "enforce"
    return mode


@lru_cache(maxsize=2)
def _warn_of_production(mode: str) -> None:
    logging.getLogger("agno_portkey").warning(
        "a gate is to %s, in production: it is enforced (%s=observed-gates allows it)",
        mode,
        ALLOWS_VARIABLE,
    )
