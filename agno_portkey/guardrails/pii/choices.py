"""What may be given to a `PIIGuardrail`; whatever can't be meant is refused when it is made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from agno_portkey.errors import ConfigurationError
from agno_portkey.guardrails.pii.analysis import Analyzer
from agno_portkey.guardrails.pii.vaults import Vaults

__all__ = ["RELEASES", "analyzer_of", "check_both_sides", "check_choices", "vaults_of"]

_ACTIONS = ("block", "mask", "pseudonymize")
# What a release is of the segments of an answer.
RELEASES = {"sentence": "segment", "eager": "eager"}


def check_choices(name: str, mode: str, release: str, other: Iterable[str], known: str) -> None:
    """Refuse a mode or a release that there is not, and `other` settings that are not `known`."""
    if mode not in _ACTIONS:
        hint = " (that is its enforcement)" if mode in ("off", "observe", "enforce") else ""
        raise ConfigurationError(f"{name}.mode: one of {', '.join(_ACTIONS)}, not {mode!r}{hint}")
    if release not in tuple(RELEASES):
        raise ConfigurationError(f"{name}.release: sentence or eager, not {release!r}")
    for setting in other:
        if setting not in known.split(", "):
            raise ConfigurationError(f"{name}: no setting {setting!r} (it takes {known})")


def analyzer_of(name: str, analyzer: Analyzer | None, made: Mapping[str, Any]) -> Analyzer:
    """The analyzer that was given, or one of what it is `made` of; both at once are refused."""
    given = {key: value for key, value in made.items() if value is not None}
    if analyzer is None:
        return Analyzer(**given)
    if given:
        raise ConfigurationError(
            f"{name}.analyzer: it has its own recognizers; give {', '.join(given)} to it"
        )
    if not isinstance(analyzer, Analyzer):
        raise ConfigurationError(f"{name}.analyzer: an Analyzer, not {analyzer!r}")
    return analyzer


def vaults_of(name: str, mode: str, vaults: Vaults | None) -> Vaults | None:
    """Where values are kept: what was given, else this process; in other modes nowhere."""
    if mode != "pseudonymize":
        if vaults is not None:
            raise ConfigurationError(
                f'{name}.vaults: only mode="pseudonymize" has any, not {mode!r}'
            )
        return None
    if vaults is not None and not isinstance(vaults, Vaults):
        raise ConfigurationError(
            f"{name}.vaults: a Vaults, as Vaults(database=..., keys=[...]), not {vaults!r}"
        )
    return vaults or Vaults()


def check_both_sides(name: str, on: str) -> None:
    """Refuse to put placeholders in and never to take them out, or the other way round."""
    if on != "both":
        raise ConfigurationError(
            f'{name}.on: mode="pseudonymize" needs both: what it hides of the input it restores '
            f"in the output, not {on!r} alone"
        )
