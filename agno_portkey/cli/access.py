"""Who may run which command, where AGNO_PORTKEY_JWT_KEY says that a token is needed for it."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from agno_portkey.cli.report import ACTING, fail

if TYPE_CHECKING:
    from agno_portkey.security.access.tokens import Holder

__all__ = ["REFUSED", "guarded"]

# EX_NOPERM of sysexits.h: no command ends with it otherwise.
REFUSED = 77
# `security.access.tokens` has them too; it takes a while to import.
_KEY, _TOKEN = "AGNO_PORTKEY_JWT_KEY", "AGNO_PORTKEY_TOKEN"


def guarded(command: Any, path: str) -> Any:
    """`command`, or the group of that name, each of whose commands asks for its scopes first.

    Without the variable nothing is asked for: who can read the files of this machine is trusted.
    """
    inner = getattr(command, "commands", None)
    if inner is None:
        command.invoke = partial(_invoke, path, command.invoke)
    else:
        for name, each in inner.items():
            guarded(each, f"{path} {name}")
    return command


def _invoke(path: str, invoke: Any, context: Any) -> Any:
    key = os.environ.get(_KEY)
    holder = None if key is None else _admitted(path, key, context.params)
    if holder is None:
        return invoke(context)
    acting = ACTING.set(holder.name)
    try:
        return invoke(context)
    finally:
        ACTING.reset(acting)


def _admitted(path: str, key: str, params: dict[str, Any]) -> Holder | None:
    """Who holds the token for the command, None where it takes none; ends it if they may not."""
    from agno_portkey.errors import AgnoPortkeyError
    from agno_portkey.security.access.commands import COMMAND_SCOPES, OPTION_SCOPES
    from agno_portkey.security.access.scopes import ADMIN
    from agno_portkey.security.access.tokens import holder_of

    scopes = COMMAND_SCOPES.get(path)
    if scopes is None:
        _refuse(path, (), 403, None, f"{path}: no scope stands for this command, so nobody may")
    for (of, option), more in OPTION_SCOPES.items():
        scopes += more if of == path and params.get(option) else ()
    if not scopes:
        return None
    try:
        holder = holder_of(os.environ.get(_TOKEN), key)
    except AgnoPortkeyError as error:
        _refuse(path, scopes, 401, None, str(error))
    if lacking := holder.lacks(scopes):
        said = f"{path} takes the scope {' and '.join(lacking)}, which the token of {holder.name}"
        _refuse(path, scopes, 403, holder.name, f"{said} does not give")
    if holder.of_tenant and holder.lacks((ADMIN,)):
        said = f"{path} is of all tenants: take a token that names none (tenant)"
        _refuse(path, scopes, 403, holder.name, said)
    _require_own_name(path, scopes, params, holder)
    return holder


def _require_own_name(
    path: str, scopes: tuple[str, ...], params: dict[str, Any], holder: Holder
) -> None:
    """Refuse to have another one named as who decided."""
    decides = any(not scope.endswith(":read") for scope in scopes)
    by = params.get("by")
    if decides and isinstance(by, str) and by != holder.name:
        said = f"--by: what is decided is {holder.name}'s, whose token this is; leave it out"
        _refuse(path, scopes, 403, holder.name, said)


def _refuse(path: str, scopes: tuple[str, ...], status: int, by: str | None, why: str) -> NoReturn:
    from agno_portkey.security.access.telling import refusal_of
    from agno_portkey.verdict import tell

    tell((), refusal_of(status, f"agno-portkey {path}", scopes, by=by))
    fail(why, REFUSED)
