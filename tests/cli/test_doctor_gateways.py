"""What the doctor says of gateways, of routing and of the names of keys; never a secret."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pytest
from doctor_page import SECRET, Page

from agno_portkey.cli import setup_checks
from agno_portkey.routing.keys.names import Quarter
from agno_portkey.routing.local import LocalGateway
from agno_portkey.testing import EmbeddedProvider

pytestmark = pytest.mark.usefixtures("nothing_set")

NAME = f"openai-prod-search-{Quarter.of(date.today())}"


# The gateway


HOSTED = "https://api.portkey.ai/v1"


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        (
            {},
            ("nothing in the environment says where calls go", "fine if the code does", "base_url"),
        ),
        (
            {"PORTKEY_BASE_URL": HOSTED},
            (f"{HOSTED} (hosted Portkey) needs a key", "fine if the code does", "portkey_api_key"),
        ),
    ],
)
def test_a_gateway_that_the_environment_does_not_name_may_be_named_by_the_code(
    variables: Mapping[str, str], words: tuple[str, ...]
) -> None:
    # Tests reach no address but loopback: a request would be an error.
    for named in ({}, {"PORTKEY_ENVIRONMENT": "staging"}):
        page = Page(**variables, **named)
        assert page.code == 0, page.text
        [(level, told)] = page["gateway"]
        assert level == "warning"
        assert [word for word in words if word not in told] == []
        assert "PORTKEY_API_KEY" in told
        assert page["transport"] == [
            ("ok", "by https" if variables else "by https, unless the code says where")
        ]


@pytest.mark.parametrize("name", ["prod", "production", "PROD", "prod/eu"])
@pytest.mark.parametrize("variables", [{}, {"PORTKEY_BASE_URL": HOSTED}])
def test_production_is_to_name_what_can_be_looked_at(
    variables: Mapping[str, str], name: str
) -> None:
    page = Page(**variables, PORTKEY_ENVIRONMENT=name)
    assert page.code == 1
    [(level, told)] = page["gateway"]
    assert level == "problem"
    assert "what the code gives can't be looked at" in told
    assert told.partition(": set ")[2] or told.endswith(": set it")


def test_a_gateway_that_does_not_answer_is_a_problem() -> None:
    with socket.socket() as taken:
        # Bound and not listening: connections to it are refused.
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        page = Page(PORTKEY_BASE_URL=url)
    assert page.code == 1
    [(level, told)] = page["gateway"]
    assert level == "problem"
    assert f"{url} does not answer (ConnectError)" in told
    assert "agno-portkey gateway start" in told


def test_hosted_portkey_that_does_not_answer_is_a_problem() -> None:
    # The way there is a proxy that nobody runs.
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        proxy = f"http://127.0.0.1:{taken.getsockname()[1]}"
        page = Page(PORTKEY_API_KEY=SECRET, HTTPS_PROXY=proxy, https_proxy=proxy, NO_PROXY="")
    [(level, told)] = page["gateway"]
    assert level == "problem"
    assert "https://api.portkey.ai/v1 does not answer (ConnectError): check the network" in told
    assert SECRET not in page.text


def test_a_gateway_on_this_machine_is_not_asked_through_a_proxy(at: Mapping[str, str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        proxy = f"http://127.0.0.1:{taken.getsockname()[1]}"
        page = Page(**at, HTTP_PROXY=proxy, http_proxy=proxy, NO_PROXY="", no_proxy="")
    assert [level for level, _ in page["gateway"]] == ["ok"]


def test_hosted_portkey_that_answers_is_ok(
    portkey_provider: EmbeddedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Any server will do: hosted Portkey is known by its address alone.
    monkeypatch.setattr(setup_checks, "HOSTED_URL", portkey_provider.url)
    page = Page(PORTKEY_BASE_URL=portkey_provider.url, PORTKEY_API_KEY=SECRET)
    assert page.code == 0, page.text
    assert page["gateway"] == [("ok", f"{portkey_provider.url}: hosted Portkey")]
    assert SECRET not in page.text


def test_an_address_without_its_v1_is_a_problem(portkey_gateway: LocalGateway) -> None:
    page = Page(PORTKEY_BASE_URL=portkey_gateway.url.removesuffix("/v1"))
    [(level, told)] = page["gateway"]
    assert level == "problem"
    assert "its API is at /v1: set PORTKEY_BASE_URL so" in told


def test_something_else_is_said_to_be_that(portkey_provider: EmbeddedProvider) -> None:
    page = Page(PORTKEY_BASE_URL=portkey_provider.url)
    assert page.code == 0
    [(level, told)] = page["gateway"]
    assert level == "warning"
    assert "not as the open-source gateway: check that it is a Portkey gateway's address" in told


def test_with_a_key_it_is_taken_for_portkeys_own(portkey_provider: EmbeddedProvider) -> None:
    page = Page(
        PORTKEY_BASE_URL=portkey_provider.url, PORTKEY_API_KEY=SECRET, PORTKEY_CONFIG="pc-1"
    )
    assert page.code == 0
    [(level, told)] = page["gateway"]
    assert level == "ok"
    assert "taken for Portkey's own" in told
    assert page["routing"] == [("ok", "PORTKEY_CONFIG is the id of a config kept at Portkey")]
    assert SECRET not in page.text


# Routing and names of keys


def test_without_a_config_that_is_said(at: Mapping[str, str]) -> None:
    [(level, told)] = Page(**at)["routing"]
    assert (level, told) == (
        "ok",
        "none in PORTKEY_CONFIG: each model says where its calls go",
    )


def test_an_id_of_a_hosted_config_is_a_problem_for_the_open_source_gateway(
    at: Mapping[str, str],
) -> None:
    # A key does not make it a hosted one: it greets as what it is.
    for key in ({}, {"PORTKEY_API_KEY": SECRET}):
        page = Page(**at, **key, PORTKEY_CONFIG="pc-team-a7f3")
        assert page.code == 1
        [(level, told)] = page["routing"]
        assert level == "problem"
        assert "known to hosted Portkey only" in told
        assert "a7f3" not in page.text


def test_every_problem_of_a_config_is_a_row(at: Mapping[str, str], tmp_path: Path) -> None:
    file = tmp_path / "routing.yaml"
    file.write_text(
        "mode: fallback\n"
        f"targets: [{{provider: opnai, api_key: {SECRET}}}, {{provider: '@openai-prod'}}]\n"
    )
    page = Page("--config", str(file), **at)
    assert page.code == 1
    assert [(level, told.split(":")[0]) for level, told in page["routing"]] == [
        ("problem", "config.targets[0].provider"),
        ("problem", "config.targets[1].provider"),
    ]
    [(level, told)] = page["key names"]
    assert level == "problem"
    assert "@openai-prod (" in told
    assert "routing.yaml: targets[1].provider): it ends in no quarter" in told
    assert SECRET not in page.text


def test_a_variable_that_the_routing_needs_is_named(at: Mapping[str, str], tmp_path: Path) -> None:
    file = tmp_path / "routing.yaml"
    file.write_text("provider: openai\napi_key: ${DOCTOR_TEST_KEY}\nmodel: gpt-4o\n")
    page = Page("--config", str(file), **at)
    assert page.code == 1
    problems = [told for level, told in page["routing"] if level == "problem"]
    assert problems == [
        "it refers to ${DOCTOR_TEST_KEY}: set the environment variable DOCTOR_TEST_KEY"
    ]
    set_up = Page("--config", str(file), **at, DOCTOR_TEST_KEY=SECRET)
    assert set_up.code == 0
    assert SECRET not in set_up.text


def test_the_layer_that_retries_can_be_named(at: Mapping[str, str], tmp_path: Path) -> None:
    file = tmp_path / "routing.yaml"
    file.write_text("provider: openai\napi_key: k\nretry: {attempts: 2}\n")
    assert Page("--config", str(file), **at).code == 1
    assert Page("--config", str(file), "--retries", "gateway", **at).code == 0


def test_a_config_that_can_not_be_read_is_a_problem(at: Mapping[str, str], tmp_path: Path) -> None:
    page = Page("--config", str(tmp_path / "nowhere.yaml"), **at)
    assert page.code == 1
    [(level, told)] = page["routing"]
    assert level == "problem"
    assert "nowhere.yaml: can't be read" in told


def test_the_keys_of_a_hosted_set_up_are_linted(portkey_provider: EmbeddedProvider) -> None:
    hosted = {"PORTKEY_BASE_URL": portkey_provider.url, "PORTKEY_API_KEY": "k"}
    config = {"strategy": {"mode": "fallback"}, "targets": [{"provider": f"@{NAME}"}]}
    page = Page(**hosted, PORTKEY_CONFIG=json.dumps(config), PORTKEY_ENVIRONMENT="prod")
    assert page.code == 0, page.text
    assert page["key names"] == [("ok", "1 used, nothing to say against")]
    page = Page(**hosted, PORTKEY_CONFIG=json.dumps(config), PORTKEY_ENVIRONMENT="dev")
    assert page.code == 1
    [(level, told)] = page["key names"]
    assert level == "problem"
    assert "(PORTKEY_CONFIG: targets[0].provider): a key of prod" in told


@pytest.mark.parametrize(
    ("value", "level"), [(NAME, "warning"), (SECRET, "problem"), ("some-other-name", "problem")]
)
def test_a_virtual_key_is_deprecated_and_not_shown(
    value: str, level: str, portkey_provider: EmbeddedProvider
) -> None:
    hosted = {"PORTKEY_BASE_URL": portkey_provider.url, "PORTKEY_API_KEY": "k"}
    page = Page(**hosted, PORTKEY_VIRTUAL_KEY=value)
    [_, (found, told)] = page["key names"]
    assert found == level
    assert told.startswith("PORTKEY_VIRTUAL_KEY: virtual keys are deprecated")
    assert ("not as it should be" in told) is (level == "problem")
    assert value not in page.text
