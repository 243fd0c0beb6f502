"""`agno-portkey doctor`: one page on a set-up, and what to do about it."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agno_portkey.cli.keys import read_plain
from agno_portkey.cli.report import Level, Row, report
from agno_portkey.cli.routing import problems_of
from agno_portkey.cli.security_checks import security_rows
from agno_portkey.cli.setup_checks import (
    REDIS_VARIABLE,
    GatewayKind,
    environment_rows,
    gateway_row,
    package_rows,
    pii_row,
    settings_or_row,
)
from agno_portkey.errors import ConfigurationError, MissingExtraError
from agno_portkey.routing.breaker.circuits import Circuits, CircuitState
from agno_portkey.routing.breaker.redis_store import RedisStore
from agno_portkey.routing.config.emit import Profile
from agno_portkey.routing.config.files import from_config, from_yaml
from agno_portkey.routing.config.leaves import leaves
from agno_portkey.routing.config.profiles import Retries, check
from agno_portkey.routing.keys.lint import UsedName, lint
from agno_portkey.routing.keys.uses import uses
from agno_portkey.settings import Settings

__all__ = ["doctor"]

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def doctor(
    config: Annotated[
        Path | None, typer.Option(help="A routing config to check, instead of PORTKEY_CONFIG.")
    ] = None,
    redis: Annotated[
        str | None,
        typer.Option(help="Where circuits are shared.", envvar=REDIS_VARIABLE, show_envvar=True),
    ] = None,
    retries: Annotated[
        Retries, typer.Option(help="Which layer retries; the other must not.")
    ] = "client",
) -> None:
    """Check this set-up: versions, variables, gateway, routing, keys, circuits, and its safety."""
    console = Console()
    with console.status("Looking ..."):
        rows = [*package_rows(), *environment_rows(), pii_row()]
        settings = settings_or_row()
        if isinstance(settings, Row):
            rows.append(settings)
        else:
            rows += _of_the_gateway(settings, config, retries)
            rows += security_rows(settings)
        circuits = _circuits(redis)
    rows += circuits.rows
    report(console, rows, title="This set-up", also=circuits.table)


def _of_the_gateway(settings: Settings, file: Path | None, retries: Retries) -> Iterator[Row]:
    row, kind = gateway_row(settings)
    yield row
    try:
        plain = read_plain(file) if file is not None else settings.config
        where = str(file) if file is not None else "PORTKEY_CONFIG"
    except ConfigurationError as error:
        yield Row("routing", "problem", str(error))
        plain, where = None, ""
    else:
        yield from _routing(plain, file, _profile(settings, kind), retries)
    yield from _keys(plain, where, settings)


# Routing


def _routing(plain: Any, file: Path | None, profile: Profile, retries: Retries) -> Iterator[Row]:
    if file is None and not isinstance(plain, Mapping):
        yield _of_no_config(plain, profile)
        return
    try:
        route = from_yaml(file) if file is not None else from_config(plain)
        check(route, profile, retries=retries)
    except ConfigurationError as error:
        for path, why in problems_of(error):
            yield Row("routing", "problem", f"{path}: {why}" if path else why)
        return
    names = ", ".join(leaf.name for leaf in leaves(route))
    yield Row("routing", "ok", f"fits {profile.replace('_', ' ')} Portkey; targets: {names}")
    for name in dict.fromkeys(_VARIABLE.findall(json.dumps(plain, default=str))):
        if not os.environ.get(name):
            told = f"it refers to ${{{name}}}: set the environment variable {name}"
            yield Row("routing", "problem", told)


def _of_no_config(config: str | None, profile: Profile) -> Row:
    """About PORTKEY_CONFIG if it is not set, or an id, which is not shown."""
    if config is None:
        told = "none in PORTKEY_CONFIG: each model says where its calls go"
        return Row("routing", "ok", told)
    if profile == "hosted":
        return Row("routing", "ok", "PORTKEY_CONFIG is the id of a config kept at Portkey")
    told = "PORTKEY_CONFIG is an id, known to hosted Portkey only; give the config itself"
    return Row("routing", "problem", told)


def _profile(settings: Settings, kind: GatewayKind) -> Profile:
    if kind == "open source":
        return "open_source"
    return "hosted" if kind == "hosted" or settings.api_key is not None else "open_source"


# Names of keys

_LEVELS: Mapping[str, Level] = {"error": "problem", "warning": "warning"}


def _keys(plain: Any, where: str, settings: Settings) -> Iterator[Row]:
    used = [*uses(plain, where=where)]
    findings = lint(used, environment=settings.environment)
    for finding in findings:
        told = f"{finding.name} ({finding.where}): {finding.what}; {finding.do}"
        yield Row("key names", _LEVELS[finding.level], told)
    if not findings:
        count = len({each.name for each in used})
        yield Row("key names", "ok", f"{count} used, nothing to say against" if used else "none")
    if settings.virtual_key is not None:
        yield _virtual_key(settings.virtual_key.get_secret_value(), settings.environment)


def _virtual_key(value: str, environment: str | None) -> Row:
    """About PORTKEY_VIRTUAL_KEY; its value is not shown, nor what would give it away."""
    findings = lint([UsedName(value, "virtual_key")], environment=environment)
    wrong = any(finding.level == "error" for finding in findings)
    unfit = "; the name is not as it should be (agno-portkey keys lint NAME)" if wrong else ""
    told = "PORTKEY_VIRTUAL_KEY: virtual keys are deprecated by Portkey; use a model's @slug"
    return Row("key names", "problem" if wrong else "warning", told + unfit)


# Circuits


@dataclass(frozen=True, slots=True)
class _Circuits:
    rows: list[Row]
    table: Table | None = None


def _circuits(url: str | None) -> _Circuits:
    if not url:
        told = f"each process keeps its own; to share and see them, set {REDIS_VARIABLE}"
        return _Circuits([Row("circuits", "ok", told)])
    try:
        store = RedisStore(url)
    except (ConfigurationError, MissingExtraError) as error:
        return _Circuits([Row("circuits", "problem", f"{REDIS_VARIABLE}: {error}")])
    with _Heard() as heard:
        states = Circuits(store=store).states()
    store.close()
    if heard.warnings:
        return _Circuits([Row("circuits", "problem", heard.warnings[0])])
    shut = sorted(key for key, state in states.items() if state.state != "closed")
    if shut:
        told = f"not asked for now: {', '.join(shut)}; see below why"
        return _Circuits([Row("circuits", "warning", told)], _table(states))
    told = f"shared through Redis, none open, {len(states)} with failures of late"
    return _Circuits([Row("circuits", "ok", told)], _table(states) if states else None)


class _Heard(logging.Handler):
    """Keeps what this package warns of in a block, which a store does instead of raising."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.warnings: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.warnings.append(record.getMessage())

    def __enter__(self) -> _Heard:
        logging.getLogger("agno_portkey").addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("agno_portkey").removeHandler(self)


def _table(states: Mapping[str, CircuitState]) -> Table:
    table = Table("target", "state", "failures", "since", "until", title="Circuits")
    table.add_column("last reason", overflow="fold")
    for key, state in sorted(states.items()):
        table.add_row(
            Text(key),
            Text(state.state.replace("_", "-")),
            str(state.failures),
            _time(state.since),
            _time(state.until),
            Text(state.reason or ""),
        )
    return table


def _time(seconds: float | None) -> str:
    return "" if seconds is None else f"{datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M:%S}"
