"""`agno-portkey gateway`: install, start and check the local gateway."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import httpx
import typer
from rich.console import Console
from rich.text import Text

from agno_portkey.cli.report import Row, fail, report
from agno_portkey.errors import ConfigurationError, LocalGatewayError
from agno_portkey.routing.local import GATEWAY_VERSION, LocalGateway, find_node
from agno_portkey.routing.local import install as install_gateway
from agno_portkey.routing.local_install import (
    PINNED,
    find_node_binary,
    install_folder,
    installed_version,
    problems,
    retry_is_patched,
)
from agno_portkey.testing import EmbeddedProvider

__all__ = ["app", "diagnose"]

app = typer.Typer(help="Install, start and check the local gateway.", no_args_is_help=True)

_REINSTALL = "run: agno-portkey gateway install --force"
_MODEL = (
    'PortkeyModel("gpt-4o-mini", portkey_provider="openai", api_key=os.environ["OPENAI_API_KEY"])'
)


@app.command()
def install(
    force: Annotated[bool, typer.Option(help="Install anew even if it is there.")] = False,
) -> None:
    """Install the pinned gateway into your cache folder (25 MB)."""
    console = Console()
    try:
        with console.status("Looking for the gateway ...") as status:
            folder = install_gateway(force=force, on_progress=status.update)
    except LocalGatewayError as error:
        fail(error)
    console.print(
        Text(f"Portkey gateway {GATEWAY_VERSION} is installed in {folder}"), soft_wrap=True
    )


@app.command()
def start(
    port: Annotated[int, typer.Option(help="Port of 127.0.0.1; 0 takes a free one.")] = 8787,
    trusted_host: Annotated[
        list[str] | None, typer.Option(help="A private address that custom_host may name.")
    ] = None,
    log: Annotated[
        Path | None, typer.Option(help="Write the gateway's output here; it can hold secrets.")
    ] = None,
) -> None:
    """Run the gateway until Ctrl-C or SIGTERM."""
    console = Console()
    # Also for SIGINT, which a shell has its background jobs ignore.
    before = {
        number: signal.signal(number, signal.default_int_handler)
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        with console.status("Starting the gateway ...") as status:
            install_gateway(on_progress=status.update)
            gateway = LocalGateway(
                port=port, trusted_hosts=trusted_host or (), log_path=log
            ).start()
        with gateway:
            console.print(f"Portkey gateway {GATEWAY_VERSION} at {gateway.url} (Ctrl-C ends it)")
            console.print("To point PortkeyModel at it, in another terminal:")
            console.print(f"    export PORTKEY_BASE_URL={gateway.url}", soft_wrap=True)
            console.print("It has no account: a model says which provider it is of, and its key:")
            console.print(Text(f"    {_MODEL}"), soft_wrap=True)
            while gateway.alive:
                time.sleep(0.2)
        fail(LocalGatewayError("The gateway ended by itself; start it with --log FILE to see why."))
    except KeyboardInterrupt:
        console.print("Stopped.")
    except (LocalGatewayError, ConfigurationError) as error:
        fail(error)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@app.command()
def doctor() -> None:
    """Check Node.js, the installation, its patches, and a call through a running gateway."""
    console = Console()
    with console.status("Checking ..."):
        rows = list(diagnose())
    report(console, rows, title="Local gateway")


def diagnose() -> Iterator[Row]:
    """Check everything that a local gateway needs; starts one on a free port and ends it."""
    yield _row("node", lambda: str(find_node_binary()))
    yield _row("npm", lambda: " ".join(find_node()[1]))
    folder = install_folder()
    if not folder.exists():
        yield Row("installed", "problem", "run: agno-portkey gateway install")
        return
    found = problems(folder)
    yield _judged("installed", not found, str(folder), f"{'; '.join(found)}; {_REINSTALL}")
    server = installed_version(folder, "@hono/node-server")
    pinned = server == PINNED["@hono/node-server"]
    yield _judged("hono pinned", pinned, f"@hono/node-server {server}", _REINSTALL)
    patched = retry_is_patched(folder)
    yield _judged("retry patched", patched, "async-retry", _REINSTALL)
    if not found:
        yield from _check_running()


def _check_running() -> Iterator[Row]:
    gateway = LocalGateway()
    started = _row("starts", lambda: gateway.start().url)
    yield started
    if started.level == "ok":
        with gateway:
            yield _row("loopback only", lambda: _check_loopback_only(gateway.url))
            yield _row("proxied call", lambda: _check_proxied_call(gateway.url))


def _row(name: str, check: Callable[[], str]) -> Row:
    try:
        return Row(name, "ok", check())
    except LocalGatewayError as error:
        return Row(name, "problem", str(error))


def _judged(name: str, good: bool, found: str, otherwise: str) -> Row:
    return Row(name, "ok", found) if good else Row(name, "problem", otherwise)


def _check_loopback_only(url: str) -> str:
    port = httpx.URL(url).port
    reached = [address for address in ("127.0.0.2", "::1") if _connects(address, port)]
    if reached:
        raise LocalGatewayError(f"It also listens on {', '.join(reached)}; {_REINSTALL}")
    return "127.0.0.1, no other address"


def _connects(address: str, port: int | None) -> bool:
    try:
        socket.create_connection((address, port or 0), timeout=1).close()
    except OSError:
        return False
    return True


def _check_proxied_call(url: str) -> str:
    with EmbeddedProvider() as provider:
        provider.when(lambda request: True, "pong")
        headers = {"x-portkey-provider": "openai", "x-portkey-custom-host": provider.url}
        for kind, stream in (("plain", False), ("streamed", True)):
            question = {"role": "user", "content": "ping"}
            body = {"model": "any", "messages": [question], "stream": stream}
            try:
                # A proxy of the environment can't reach our loopback.
                answer = httpx.post(
                    f"{url}/chat/completions",
                    json=body,
                    headers=headers,
                    trust_env=False,
                    timeout=20,
                )
            except httpx.HTTPError as error:
                raise LocalGatewayError(f"{kind} call: {error!r}; {_REINSTALL}") from error
            if answer.status_code != 200 or "pong" not in answer.text:
                said = f"{answer.status_code} {answer.text[:200]}"
                raise LocalGatewayError(f"{kind} call: {said}; {_REINSTALL}")
    return "plain and streamed, through a provider on this machine"
