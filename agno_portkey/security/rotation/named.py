"""What a source names: read and written in time, and no word of its errors told."""

from __future__ import annotations

from concurrent.futures import Future
from concurrent.futures import TimeoutError as _TooLate
from dataclasses import dataclass

from agno_portkey.errors import AgnoPortkeyError, SecretMissing, SecretUnavailable
from agno_portkey.secrets.base import Secret, WritableSource
from agno_portkey.secrets.hidden import Hidden
from agno_portkey.threads import pool

__all__ = ["Named"]


@dataclass(frozen=True, slots=True)
class Named:
    """The secret `name` of a source that is given `timeout` seconds for each thing asked of it."""

    name: str
    source: WritableSource
    timeout: float

    def value(self) -> str | None:
        """What the source names now, None if nothing; raises SecretUnavailable."""
        secret = Secret(self.name, self.source, ttl=0, grace=0, timeout=self.timeout)
        try:
            return secret.reveal()
        except SecretMissing:
            return None

    def write(self, value: str) -> None:
        """Have the source name `value`.

        Raises TimeoutError where nobody knows whether it will, else SecretUnavailable.
        """
        done: Future[None] = Future()
        held = Hidden(value)

        def write() -> None:
            try:
                self.source.write(self.name, held)
            except BaseException as error:
                done.set_exception(_told(self.name, error))
            else:
                done.set_result(None)

        if not pool.submit(write):
            raise SecretUnavailable(f"{self.name}: no thread is to be had to write it")
        try:
            done.result(self.timeout)
        except _TooLate:
            raise TimeoutError from None


def _told(name: str, error: BaseException) -> AgnoPortkeyError:
    if isinstance(error, AgnoPortkeyError):
        return SecretUnavailable(str(error))
    # Its words may hold anything.
    return SecretUnavailable(f"{name}: it can't be written ({type(error).__name__})")
