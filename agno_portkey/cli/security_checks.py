"""What the doctor looks at of security: environment, modes, transport, keys, access and files."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import httpx

from agno_portkey.cli.plain import read_plain
from agno_portkey.cli.report import Level, Row
from agno_portkey.environments import (
    ALLOWS_VARIABLE,
    CAPTURE_VARIABLE,
    RELAXATIONS,
    VARIABLE,
    check_capture,
    check_environment,
    current,
    is_allowed,
    is_production,
)
from agno_portkey.errors import AgnoPortkeyError, ConfigurationError, TokenRefused
from agno_portkey.modes import PARTS, mode_now, override_of, variable_of
from agno_portkey.routing.config.gateway_names import did_you_mean
from agno_portkey.routing.keys.names import ENVIRONMENTS
from agno_portkey.settings import LOOPBACK, Settings
from agno_portkey.sql import file_of, named, stamp_of
from agno_portkey.stopping import DATABASE_VARIABLE

__all__ = ["KEYS_FILE_VARIABLE", "environment_rows", "security_rows"]

KEYS_FILE_VARIABLE = "AGNO_PORTKEY_KEYS_FILE"


def security_rows(settings: Settings) -> Iterator[Row]:
    """What is found of security, each with what to do; no value of a key is in it."""
    try:
        current()
    except ConfigurationError as error:
        # Nothing else can be told: what holds depends on it.
        yield Row("environment", "problem", str(error))
        return
    yield from environment_rows()
    yield from _modes()
    yield _transport(settings)
    yield _access()
    yield from _keys()
    yield from _database()


# Environments


def environment_rows() -> Iterator[Row]:
    """Which environment this process is of, and what production was told to allow."""
    own = current()
    if own is None:
        told = f"{VARIABLE} is not set: nothing keeps what is of prod from being used here"
        yield Row("environment", "warning", f"{told}; set it to {', '.join(ENVIRONMENTS)}")
        return
    if own not in ENVIRONMENTS and (meant := did_you_mean(own, ENVIRONMENTS)):
        yield Row(
            "environment", "warning", f"{VARIABLE} is {own}{meant}: prod alone is held as prod is"
        )
    try:
        allowed = [each for each in RELAXATIONS if is_production() and is_allowed(each)]
        check_capture()
    except ConfigurationError as error:
        yield Row("environment", "problem", str(error))
        return
    if allowed:
        told = f"prod, where {ALLOWS_VARIABLE} allows {', '.join(allowed)}"
        yield Row("environment", "warning", f"{told}: unset it once that is over")
        return
    more = "; no gate that only observes, no messages in traces" if own == "prod" else ""
    yield Row("environment", "ok", f"{own}: what is of another environment is refused{more}")


def _modes() -> Iterator[Row]:
    said = {part: mode for part in PARTS if (mode := _loosened(part))}
    if "gate" in said and mode_now("gate", "enforce") == "enforce":
        told = f"{variable_of('gate')}={said.pop('gate')} is not heeded in prod"
        yield Row("modes", "warning", f"{told} ({ALLOWS_VARIABLE}=observed-gates allows it)")
    loosened = [f"{variable_of(part)}={mode}" for part, mode in said.items()]
    if loosened:
        told = f"{', '.join(loosened)}: what is not enforced lets through what it finds"
        yield Row("modes", "warning", f"{told}; unset it once that is over")
    else:
        yield Row("modes", "ok", "no variable loosens a part")
    if not is_production() and os.environ.get(CAPTURE_VARIABLE):
        told = f"{CAPTURE_VARIABLE}: messages are written into traces; prod refuses that"
        yield Row("modes", "warning", told)


def _loosened(part: str) -> str | None:
    mode = override_of(part)
    return mode if mode in ("off", "observe") and part != "cache" else None


# The gateway


def _transport(settings: Settings) -> Row:
    url = httpx.URL(settings.base_url)
    if url.scheme == "https" or url.host in LOOPBACK:
        told = "to this machine" if url.host in LOOPBACK else "by https"
        unsaid = "" if "base_url" in settings.model_fields_set else ", unless the code says where"
        return Row("transport", "ok", told + unsaid)
    told = f"keys and messages go to {url.host} in the clear: use https, or a gateway beside this"
    level: Level = "problem" if is_production() else "warning"
    return Row("transport", level, f"{told} process")


# Who may run commands


def _access() -> Row:
    # They need AgentOS, which takes a second to import, once a key is set.
    from agno_portkey.security.access.tokens import KEY_VARIABLE, TOKEN_VARIABLE, holder_of

    key, token = os.environ.get(KEY_VARIABLE), os.environ.get(TOKEN_VARIABLE)
    if key is None:
        told = "commands ask for no token: who can read this machine's files is trusted"
        return Row("access", "ok", f"{told} ({KEY_VARIABLE} changes that)")
    try:
        holder = holder_of(token or "none", key)
    except TokenRefused as error:
        if not token:
            return Row("access", "ok", f"commands ask for a token in {TOKEN_VARIABLE}; none is set")
        return Row("access", "problem", f"{error}: ask for a new one")
    except AgnoPortkeyError as error:
        return Row("access", "problem", str(error))
    told = f"commands are run as {holder.name}, with {', '.join(holder.scopes) or 'no scope'}"
    return Row("access", "ok", told)


# Keys that are rotated


def _keys() -> Iterator[Row]:
    named = os.environ.get(KEYS_FILE_VARIABLE)
    file = Path(named or "keys.yaml")
    if named is None and not file.exists():
        told = "no keys.yaml here: nobody is told when a key is due, or leaked"
        yield Row("rotation", "ok", f"{told} (agno-portkey keys --help)")
        return
    from agno_portkey.security.rotation.config import KeysFile

    try:
        found = KeysFile.parse(read_plain(file), where=str(file)).statuses(file.parent)
    except AgnoPortkeyError as error:
        yield Row("rotation", "problem", str(error))
        return
    if _is_open(file, stat.S_IWGRP | stat.S_IWOTH):
        told = f"{file}: others can write to it, and it names what is run: chmod go-w"
        yield Row("rotation", "problem", told)
    for name, status in found.items():
        for due in status.due:
            told = f"{name}: {due.said}: agno-portkey keys rotate {name}"
            yield Row("rotation", "problem" if due.reason == "leak" else "warning", told)
        if status.pending:
            told = f"{name}: an old key is alive yet: agno-portkey keys revoke {name}"
            yield Row("rotation", "warning", told)
    if not any(status.due or status.pending for status in found.values()):
        yield Row("rotation", "ok", f"{len(found)} keys, none due")


# The database that processes share


def _database() -> Iterator[Row]:
    address = os.environ.get(DATABASE_VARIABLE)
    if not address:
        yield Row("database", "ok", f"none in {DATABASE_VARIABLE}: each team has its own")
        return
    try:
        source = named(address)
        file, theirs = file_of(source), stamp_of(source)
        check_environment(theirs, f"the database in {DATABASE_VARIABLE}")
    except AgnoPortkeyError as error:
        yield Row("database", "problem", str(error))
        return
    except Exception as error:  # whatever a driver raises; its words may hold a password
        told = f"it can't be read ({type(error).__name__}): see that it is up, and the address"
        yield Row("database", "problem", f"{DATABASE_VARIABLE}: {told}")
        return
    if file is not None and _is_open(Path(file), stat.S_IRWXG | stat.S_IRWXO):
        told = f"others can read it: chmod 600 {file}"
        yield Row("database", "problem" if is_production() else "warning", told)
        return
    its = f"of {theirs}" if theirs else "of no environment: of that of whoever writes first"
    yield Row("database", "ok", its)


def _is_open(path: Path, to: int) -> bool:
    try:
        return bool(path.stat().st_mode & to)
    except OSError:
        return False
