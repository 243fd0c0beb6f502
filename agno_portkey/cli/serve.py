"""`agno-portkey serve`: chat, gates and dashboard of a team, and what they need, in one command."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from ipaddress import ip_address
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from agno_portkey.cli.report import fail
from agno_portkey.errors import AgnoPortkeyError
from agno_portkey.stopping import DATABASE_VARIABLE

__all__ = ["serve"]

# What was asked for can't be done as it was said.
_MISUSED = 2
_DATABASE = "agno-portkey.db"
_REDIS = "AGNO_PORTKEY_REDIS_URL"
_ADDRESS = "PORTKEY_BASE_URL"


def serve(
    team: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODULE:TEAM]",
            help="A team, agent or workflow, or a list of them: package.module:name or "
            "file.py:name (the name is `team` if left out). Without one, the demo's.",
        ),
    ] = None,
    policy: Annotated[
        Path | None, typer.Option(help="A policy, by which it is governed if it is not yet.")
    ] = None,
    approval: Annotated[
        bool, typer.Option("--approval", help="Of the demo's team: a person approves each plan.")
    ] = False,
    host: Annotated[str, typer.Option(help="Any other than this machine takes tokens.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(help="0 takes a free one.", min=0, max=65_535)] = 7777,
    db: Annotated[
        str | None,
        typer.Option(
            envvar=DATABASE_VARIABLE,
            help=f"An address or a SQLite file; by default that of the team, else {_DATABASE}.",
        ),
    ] = None,
    workers: Annotated[
        int, typer.Option(min=1, max=64, help=f"Processes; several need Redis: {_REDIS}.")
    ] = 1,
    browser: Annotated[bool, typer.Option("--open", help="Open the chat in a browser.")] = False,
) -> None:
    """Serve chat, gates and dashboard of a team, with a gateway of its own where there is none.

    Without PORTKEY_API_KEY and PORTKEY_BASE_URL, models of the team that name no `base_url` ask
    the local gateway, which is started if there is one of them; the demo's team needs no account.
    With AGNO_PORTKEY_JWT_KEY, a public key or the file of one, whoever comes needs a token of it;
    without, it is for this machine alone.
    """
    _check(host, workers, team, policy, approval)
    # Before AgentOS is loaded, which takes seconds.
    Console(stderr=True).print(f"Starting {team or 'the demo'} ...", markup=False, highlight=False)
    try:
        from agno_portkey.cli.served import Wanted
    except ImportError as error:
        fail(f"serve needs AgentOS: pip install 'agno-portkey[os]' ({error})", _MISUSED)
    with _interruptible(), ExitStack() as stack:
        try:
            place = stack.enter_context(closing(_bound(host, port)))
            gateway, provider = _of_the_demo(stack) if team is None else (None, None)
            own = None if team is None else _place_of_a_gateway(stack)
            wanted = Wanted(
                spec=team,
                policy=None if policy is None else str(policy),
                db=db,
                default_db=_DATABASE,
                approval=approval,
                gateway=gateway,
                provider=provider,
            )
            app = wanted.app()
            if own is not None:
                gateway = _started_if_asked(own, stack)
        except AgnoPortkeyError as error:
            fail(error, _MISUSED)
        url = f"http://{_shown(host)}:{place.getsockname()[1]}"
        _say(wanted, gateway, app)
        _run(wanted, app, place, url, workers, browser)


def _check(host: str, workers: int, team: str | None, policy: Path | None, approval: bool) -> None:
    """End what can't be served as it was said, before anything is begun."""
    from agno_portkey.security.access.tokens import KEY_VARIABLE

    if not os.environ.get(KEY_VARIABLE) and not _is_loopback(host):
        fail(
            f"--host {host}: anybody who gets there could do everything. Set {KEY_VARIABLE} to the "
            "key that their tokens are signed with, or leave it on 127.0.0.1.",
            _MISUSED,
        )
    if workers > 1 and not os.environ.get(_REDIS, "").strip():
        fail(
            f"--workers {workers}: a stream that one of them has begun is resumed and stopped at "
            f"any other: set {_REDIS} to the Redis that they share.",
            _MISUSED,
        )
    if team is None and policy is not None:
        fail("--policy: the demo's team has its own; name a team: MODULE:TEAM", _MISUSED)
    if team is not None and approval:
        fail("--approval: it is the demo's; of your own team its gate says it", _MISUSED)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _bound(host: str, port: int) -> socket.socket:
    """A socket there, so that nothing else is begun where that can't be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    place = socket.socket(family, socket.SOCK_STREAM)
    place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        place.bind((host, port))
        # Of two that are bound to one port the second is refused only where the first listens.
        place.listen(128)
    except OSError as error:
        place.close()
        fail(
            f"{host}, port {port}: {error.strerror or error}. Give another --port; 0 takes a free "
            "one.",
            _MISUSED,
        )
    place.set_inheritable(True)
    return place


def _of_the_demo(stack: ExitStack) -> tuple[str, str]:
    """The addresses of the gateway and the provider that the demo's team asks."""
    from agno_portkey.cli.served import demo_provider

    provider = stack.enter_context(demo_provider()).url
    return _gateway(stack), provider


def _place_of_a_gateway(stack: ExitStack) -> socket.socket | None:
    """Where a gateway of this command's own would be; None where the environment names another.

    Models read its address as the team's module makes them, which is before anybody knows whether
    one of them asks it.
    """
    if any(os.environ.get(name, "").strip() for name in ("PORTKEY_API_KEY", _ADDRESS)):
        return None
    place = stack.enter_context(closing(socket.socket()))
    # Its port is taken over by the gateway.
    place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    place.bind(("127.0.0.1", 0))
    os.environ[_ADDRESS] = _address_of(place)
    stack.callback(os.environ.pop, _ADDRESS, None)
    return place


def _started_if_asked(place: socket.socket, stack: ExitStack) -> str | None:
    """The address of a gateway there; None where whoever is served names another."""
    from agno_portkey.cli.served import is_asked

    address = _address_of(place)
    if not is_asked(address):
        # A team's module may have put its own there, as from a file of settings.
        if os.environ.get(_ADDRESS) == address:
            del os.environ[_ADDRESS]
        return None
    port = place.getsockname()[1]
    place.close()
    return _gateway(stack, port)


def _address_of(place: socket.socket) -> str:
    return f"http://127.0.0.1:{place.getsockname()[1]}/v1"


def _gateway(stack: ExitStack, port: int = 0) -> str:
    from agno_portkey.routing.local import LocalGateway

    with Console(stderr=True).status("Starting the gateway (the first time it is installed) ..."):
        return stack.enter_context(LocalGateway(port=port)).url


@contextmanager
def _interruptible() -> Iterator[None]:
    """Have both signals end this process by way of its `with` blocks: a gateway goes with them.

    The first one does: it ends within seconds then, and another does not break that off.
    """
    both = (signal.SIGINT, signal.SIGTERM)
    ended = False

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal ended
        ended = True
        for each in both:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, end) for number in both}
    try:
        with suppress(KeyboardInterrupt):
            yield
        Console(stderr=True).print("Stopped.")
    finally:
        if not ended:
            for number, handler in before.items():
                signal.signal(number, handler)


def _say(wanted: Any, gateway: str | None, app: Any) -> None:
    from agno_portkey.security.access.tokens import KEY_VARIABLE

    hosted = "hosted Portkey" if os.environ.get("PORTKEY_API_KEY") else "as its models say"
    where = os.environ.get(_ADDRESS) or hosted
    who = "whoever has a token" if os.environ.get(KEY_VARIABLE) else "everybody on this machine"
    for name, said in (
        ("Served", wanted.named(app)),
        ("Database", app.state.agno_portkey_database),
        ("Gateway", f"{gateway} (started for this)" if gateway else where),
        ("For", who),
    ):
        Console().print(Text.assemble((f"{name:<10}", "bold"), str(said)), soft_wrap=True)


def _run(
    wanted: Any, app: Any, place: socket.socket, url: str, workers: int, browser: bool
) -> None:
    from agno_portkey.cli.served import run

    def begun() -> None:
        for name, path in (
            ("Chat", "/portkey/chat"),
            ("Dashboard", "/portkey/"),
            ("API", "/docs"),
        ):
            line = Text.assemble((f"{name:<10}", "bold"), f"{url}{path}")
            Console().print(line, soft_wrap=True)
        Console().print("Ctrl-C ends it.")
        if browser:
            import webbrowser

            webbrowser.open(f"{url}/portkey/chat")

    if not run(wanted, app, place, workers, begun):
        fail("The server did not start: see above.", 1)
