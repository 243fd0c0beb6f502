"""A keyring that does what it is told to."""

from __future__ import annotations

from typing import Any

from keyring.backend import KeyringBackend


class Drawer(KeyringBackend):
    """A keyring in the memory of this process; it may be told to fail or to lie."""

    priority = 1.0  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.held: dict[tuple[str, str], str] = {}
        self.fails: BaseException | None = None
        self.forgets = False

    def _asked(self) -> None:
        if self.fails is not None:
            raise self.fails

    def get_password(self, service: str, username: str) -> Any:
        self._asked()
        return self.held.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self._asked()
        assert type(password) is str  # others pickle it, or hand it to C
        if not self.forgets:
            self.held[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        self._asked()
        del self.held[service, username]
