"""`agno-portkey gateway`: what it starts, and what it says is wrong."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from local_processes import FAKE_SERVER, output_of, port_of, python
from typer.testing import CliRunner

from agno_portkey import PortkeyModel
from agno_portkey.cli.gateway import app
from agno_portkey.routing import local_install
from agno_portkey.routing.local import LocalGateway, install

RUN_THE_CLI = "from agno_portkey.cli.gateway import app; app()"


def test_the_doctor_finds_a_sound_gateway() -> None:
    install()
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 0, result.output
    assert "not ok" not in result.output
    for row in ("node", "npm", "installed", "hono", "retry", "starts", "loopback", "proxied"):
        assert row in result.output


def test_the_doctor_says_what_to_do(fake_install: Callable[[str], Path]) -> None:
    folder = fake_install('console.error("boom"); process.exit(3);')
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 1
    assert "boom" in result.output

    (folder / "node_modules/async-retry/lib/index.js").unlink()
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 1
    assert "gateway install --force" in result.output

    (folder / local_install.ENTRY).unlink()
    folder.rename(folder.with_name("elsewhere"))
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 1
    assert "agno-portkey gateway install" in result.output


def test_the_doctor_finds_a_gateway_that_does_not_proxy(
    fake_install: Callable[[str], Path],
) -> None:
    fake_install(FAKE_SERVER)
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 1
    assert "plain call: 200 AI Gateway" in result.output


def test_install_says_where() -> None:
    result = CliRunner().invoke(app, ["install"])
    assert result.exit_code == 0
    assert str(install()) in result.output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_start_runs_until_a_signal(number: signal.Signals) -> None:
    with python(RUN_THE_CLI, "start", "--port", "0") as cli:
        said = [output_of(cli).readline() for _ in range(3)]
        _, address = said[-1].strip().split("PORTKEY_BASE_URL=")
        assert httpx.get(address.removesuffix("v1"), trust_env=False).status_code == 200
        cli.send_signal(number)
        rest = output_of(cli).read()
    # A signal that comes while a line is written has it written again.
    assert (cli.returncode, rest.splitlines()[-1]) == (0, "Stopped.")
    with pytest.raises(httpx.ConnectError):
        httpx.get(address, trust_env=False)


def test_what_start_prints_works_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    with python(RUN_THE_CLI, "start", "--port", "0") as cli:
        *_, export, _, line = [output_of(cli).readline().strip() for _ in range(5)]
        cli.send_signal(signal.SIGTERM)
    name, _, address = export.removeprefix("export ").partition("=")
    monkeypatch.setenv(name, address)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-tests")
    model = eval(line, {"os": os, "PortkeyModel": PortkeyModel})
    assert (model.gateway_url, model.portkey_provider) == (address, "openai")
    assert model.api_key == "sk-of-the-tests"


def test_start_reports_a_port_that_is_taken(gateway: LocalGateway) -> None:
    result = CliRunner().invoke(app, ["start", "--port", str(port_of(gateway))])
    assert result.exit_code == 1
    assert "The port is taken" in result.output


def test_start_reports_a_gateway_that_ends(fake_install: Callable[[str], Path]) -> None:
    fake_install(FAKE_SERVER + "setTimeout(() => process.exit(0), 1500);")
    result = CliRunner().invoke(app, ["start", "--port", "0"])
    assert result.exit_code == 1
    assert "ended by itself" in result.output
