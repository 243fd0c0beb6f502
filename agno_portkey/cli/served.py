"""What `agno-portkey serve` serves, made anew in each of its processes."""

from __future__ import annotations

import gc
import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from types import FrameType
from typing import Any, cast

import uvicorn
from agno.agent import Agent
from agno.factory import BaseFactory
from agno.team import Team
from agno.workflow.workflow import Workflow
from fastapi import FastAPI
from uvicorn.supervisors import Multiprocess

from agno_portkey import playground
from agno_portkey.cli.objects import named
from agno_portkey.contracts import Plan
from agno_portkey.gates import Gate
from agno_portkey.govern import govern
from agno_portkey.model import PortkeyModel
from agno_portkey.policy import Policy
from agno_portkey.security.access.tokens import verification
from agno_portkey.testing import EmbeddedProvider
from agno_portkey.testing.provider import Request
from agno_portkey.testing.story import FLAWED, SOUND, Release, release_team, tell

__all__ = ["Wanted", "demo_provider", "is_asked", "made", "run"]

# Where a process reads what it is to serve, as the one that began it has written it.
_VARIABLE = "_AGNO_PORTKEY_SERVED"
# Seconds in which streams under way may end.
_GRACE = 3


@dataclass(frozen=True)
class Wanted:
    """What is served, and on what; `gateway` and `provider` are addresses of the command's own."""

    spec: str | None
    policy: str | None
    db: str | None
    default_db: str
    approval: bool
    gateway: str | None
    provider: str | None

    def app(self) -> FastAPI:
        """The app; ConfigurationError that says what is wrong with what was named."""
        served = self._demo() if self.spec is None else named(self.spec, "team")
        policy = None if self.policy is None else Policy.from_yaml(self.policy)
        return playground.app(
            served,
            policy=policy,
            db=self.db or (None if _has_database(served) else self.default_db),
            authorization=_authorization(),
        )

    def named(self, app: FastAPI) -> str:
        """Who is served, by name."""
        return ", ".join(app.state.agno_portkey_served)

    def _demo(self) -> Team:
        target = {"provider": "openai", "api_key": "demo", "custom_host": self.provider}
        config = {"strategy": {"mode": "fallback"}, "targets": [target]}
        model = PortkeyModel("gpt-4o-mini", base_url=self.gateway, config=config)
        return govern(
            release_team(model, Release(), id="release"),
            runner="Runner",
            gate=Gate(name="release", min_score=8, approval=self.approval),
            tags={"cost_center": "cc-42", "environment": "demo"},
        )


def _has_database(served: Any) -> bool:
    alone = isinstance(served, Agent | Team | Workflow | BaseFactory)
    several = [served] if alone else served if isinstance(served, list | tuple) else []
    return any(getattr(each, "db", None) is not None for each in several)


def _authorization() -> Any:
    """AgentOS' authorization by the key that our commands take tokens of; None without one."""
    verified = verification()
    if verified is None:
        return None
    from agno.os.authz import Authorization

    key, algorithm, audience = verified
    return Authorization(
        verification_keys=[key], algorithm=algorithm, verify_audience=True, audience=audience
    )


@contextmanager
def demo_provider() -> Iterator[EmbeddedProvider]:
    """A provider that plays the demo's models: badly planned at first, in each conversation."""

    def plan(request: Request) -> Plan:
        return SOUND if "Plan again" in request.last_user else FLAWED

    with EmbeddedProvider() as provider:
        provider.when(lambda request: request.schema_name == "Plan", plan)
        tell(provider)
        yield provider


def is_asked(gateway: str) -> bool:
    """Whether a model of this process asks the gateway at that address, or may be made that does.

    All there are, wherever they are held: in a tool, a guard or an index, too.
    """
    return any(_asks(each, gateway) for each in gc.get_objects())


def _asks(each: object, gateway: str) -> bool:
    # By the type: of its class some objects lie, or fail where they are asked for it.
    if issubclass(type(each), PortkeyModel):
        return cast("PortkeyModel", each).gateway_url == gateway
    if issubclass(type(each), Agent | Team):
        return any(
            callable(getattr(each, slot, None)) for slot in ("tools", "members", "knowledge")
        )
    return issubclass(type(each), BaseFactory)


def made() -> FastAPI:
    """What a process is to serve that `run` began."""
    return Wanted(**json.loads(os.environ[_VARIABLE])).app()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, begun: Callable[[], None]) -> None:
        super().__init__(config)
        self._begun = begun

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        # A second one would leave out the end of the app, which is bounded: spans went with it.
        self.force_exit = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._begun()


def run(
    wanted: Wanted,
    app: FastAPI,
    place: socket.socket,
    workers: int,
    begun: Callable[[], None],
) -> bool:
    """Serve at `place` until a signal ends it; whether it ever did. `begun` once it does."""
    options: dict[str, Any] = {
        "log_level": "warning",
        "timeout_graceful_shutdown": _GRACE,
        # What a proxy says of who asks is not taken from anybody.
        "proxy_headers": False,
    }
    if workers == 1:
        server = _Server(uvicorn.Config(app, **options), begun)
        server.run(sockets=[place])
        return bool(server.started)
    os.environ[_VARIABLE] = json.dumps(asdict(wanted))
    config = uvicorn.Config(f"{__name__}:made", factory=True, workers=workers, **options)
    begun()
    Multiprocess(config, sockets=[place]).run()
    return True
