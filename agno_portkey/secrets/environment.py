"""Secrets in environment variables."""

from __future__ import annotations

import os

from agno_portkey.errors import ConfigurationError, SecretMissing
from agno_portkey.secrets.hidden import Hidden
from agno_portkey.secrets.source import check_name

__all__ = ["EnvironmentSecrets"]


class EnvironmentSecrets:
    """The environment's variables; the secret `NAME` is the variable `prefix` + `NAME`.

    They are those of this process: what is exported elsewhere is not seen. Other processes of the
    same user can read them, so a file or a keyring is the better place where there is one.
    """

    def __init__(self, prefix: str = "", *, environment: str | None = None) -> None:
        if prefix:
            check_name(prefix)
        self.prefix, self.environment = prefix, environment

    def __repr__(self) -> str:
        return f"EnvironmentSecrets({self.prefix!r})"

    def read(self, name: str) -> str:
        variable = self.prefix + check_name(name)
        try:
            # An empty one is as good as none.
            value = Hidden(os.environ.get(variable, ""))
        except ValueError:  # a name that the system has no variables of
            raise ConfigurationError(f"name: {variable!r} is no variable's name") from None
        if not value:
            raise SecretMissing(f"{name}: set the environment variable {variable}")
        return value
