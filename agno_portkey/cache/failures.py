"""Why a store could not be used, in the few words that figures and logs tell."""

from __future__ import annotations

from errno import EDQUOT, ENOSPC

from agno_portkey.errors import ConfigurationError

__all__ = ["failure"]

_SQLITE = {
    "SQLITE_BUSY": "locked",
    "SQLITE_LOCKED": "locked",
    "SQLITE_NOTADB": "no SQLite file",
    "SQLITE_CORRUPT": "corrupt",
    "SQLITE_CANTOPEN": "can't be opened",
    "SQLITE_READONLY": "may not be written to",
    "SQLITE_FULL": "disk full",
    "SQLITE_IOERR": "disk fails",
    "SQLITE_ERROR": "tables of others",
}
# By the names of classes, for redis may not be installed.
_KINDS = {
    "OthersTables": "tables of others",
    "FileNotFoundError": "no such folder",
    "NotADirectoryError": "no such folder",
    "PermissionError": "may not be written to",
    "AuthenticationError": "wrong password",
    "NoPermissionError": "wrong user",
    "ReadOnlyError": "may not be written to",
    "OutOfMemoryError": "memory full",
    "TimeoutError": "took too long",
    "ConnectionError": "not there",
    "MissingExtraError": "extra missing",
    "ConfigurationError": "wrong address or key",
}
_WRONG_TYPE = "WRONGTYPE"


def failure(error: BaseException) -> str:
    """A few words, of a small number of them: nothing that was asked or kept is among them."""
    if isinstance(error, ConfigurationError) and error.__cause__ is not None:
        error = error.__cause__
    name = getattr(error, "sqlite_errorname", None) or ""
    for start, words in _SQLITE.items():
        if name.startswith(start):
            return words
    if getattr(error, "errno", None) in (ENOSPC, EDQUOT):
        return "disk full"
    if type(error).__name__ == "ResponseError" and _WRONG_TYPE in str(error):
        return "keys of others"
    kinds = (each.__name__ for each in type(error).__mro__)
    return next((_KINDS[kind] for kind in kinds if kind in _KINDS), type(error).__name__)
