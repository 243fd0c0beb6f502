"""What the tests of rotation share: a source in memory that fails on demand, and a clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agno_portkey.errors import SecretMissing
from agno_portkey.security.rotation import ApiKeyMaker, Rotation, admin_client
from agno_portkey.testing import EmbeddedProvider

if TYPE_CHECKING:
    from portkey_ai import Portkey

NAME = "openai-prod-search"


@dataclass
class MemorySecrets:
    """A source whose next reads and writes may fail, or not do what they say."""

    held: dict[str, str] = field(default_factory=dict)
    environment: str | None = None
    on_read: list[Callable[[], Any]] = field(default_factory=list)
    on_write: list[Callable[[], Any]] = field(default_factory=list)

    def read(self, name: str) -> str:
        if self.on_read:
            self.on_read.pop(0)()
        if name not in self.held:
            raise SecretMissing(f"{name}: it is not there")
        return self.held[name]

    def write(self, name: str, value: str) -> None:
        # What is armed says whether the value arrives all the same: True does not let it.
        if self.on_write and self.on_write.pop(0)():
            return
        self.held[name] = value

    def remove(self, name: str) -> None:
        self.held.pop(name, None)

    def names(self) -> list[str]:
        return sorted(self.held)


class Clock:
    """Seconds that pass only where somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1_790_000_000.0  # 2026q3

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@contextmanager
def at_portkey() -> Iterator[tuple[EmbeddedProvider, Portkey]]:
    """The stand-in of Portkey and a client of it, which take a while to make."""
    with (
        EmbeddedProvider() as provider,
        admin_client("manager", base_url=provider.url, timeout=0.3) as client,
    ):
        yield provider, client


@dataclass
class Scene:
    """One key at the stand-in of Portkey: its source, clock and rotation."""

    provider: EmbeddedProvider
    client: Portkey
    folder: Path
    source: MemorySecrets = field(default_factory=MemorySecrets)
    clock: Clock = field(default_factory=Clock)

    def rotation(self, **settings: Any) -> Rotation:
        given = {
            "maker": ApiKeyMaker(self.client),
            "source": self.source,
            "journal": self.folder,
            "clock": self.clock,
            "sleep": self.clock.sleep,
            **settings,
        }
        return Rotation(NAME, **given)

    def in_use(self, name: str = "old") -> str:
        """A key made by hand that the source names; its id."""
        row = self.provider.admin.make("api-keys", name)
        self.source.held[NAME] = row["key"]
        return str(row["id"])

    @property
    def live(self) -> list[str]:
        return self.provider.admin.live("api-keys")

    @property
    def named(self) -> str | None:
        """The name of the live key that the source names, if it names one."""
        value = self.source.held.get(NAME)
        rows = self.provider.admin.rows["api-keys"].values()
        return next((row["name"] for row in rows if row["key"] == value), None)
