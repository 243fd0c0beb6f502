"""The README, the guides and the docs: each fence runs or is checked, each link leads somewhere."""

from __future__ import annotations

import importlib.util
import re
import sys
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import httpx
import pytest
import typer
import yaml
from agno.agent import Agent
from agno.db.sqlite import SqliteDb
from agno.os.authz import Authorization
from pages import DOCS, PAGES, ROOT, called, fences, of
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

from agno_portkey import Judgement, Policy, PortkeyModel, playground
from agno_portkey.cli import app
from agno_portkey.gates.history import Decided, History
from agno_portkey.routing import from_yaml
from agno_portkey.security.rotation.config import KeysFile
from agno_portkey.telemetry.alerts import Thresholds
from agno_portkey.testing import EmbeddedProvider

# The examples of all pages go on from the names of this one.
FIRST = ROOT / "docs" / "getting-started.md"
SYBIL = Sybil(parsers=[PythonCodeBlockParser()], patterns=["*.md"], path=str(ROOT))


def played(page: Path, names: dict[str, Any]) -> dict[str, Any]:
    """What is there once all Python of `page` has run, one after another, beside `names`."""
    document = SYBIL.parse(page)
    document.namespace.update(names)
    for example in document.examples():
        example.evaluate()
    found: dict[str, Any] = document.namespace
    return found


def decided(**fields: Any) -> Decided:
    """A plan of the team Release that its gate has passed."""
    unsaid = ("team_id", "run_id", "session_id", "user_id", "tenant", "plan_digest", "fingerprint")
    told = {"gate": "release", "swarm": "Release", "passed": True, "outcome": "pass", "score": 0.9}
    empty = {"reasons": (), "checks": (), "versions": {}, "evidence": {}}
    return Decided(**{**dict.fromkeys(unsaid), **told, **empty, **fields})


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    return played(FIRST, {})


@pytest.mark.parametrize("page", of("python"), ids=called)
def test_all_python_of_a_page_runs(page: Path, names: dict[str, Any]) -> None:
    # Classes that a page makes are found by name where they are pickled, or typed.
    assert played(page, dict(names))


def test_no_fence_is_of_a_language_that_nobody_checks() -> None:
    known = {"python", "bash", "console", "yaml", "promql", ""}
    for page in PAGES:
        languages = re.findall(r"^ *```(\w+)$", page.read_text(), re.MULTILINE)
        assert {*languages} <= known, page


def test_what_is_governed_in_the_beginning_is(names: dict[str, Any]) -> None:
    assert names["runner"].model.seat.part == "runner"
    assert names["team"].model.tags == {"cost_center": "cc-42"}


def test_the_readme_and_the_first_page_govern_the_same() -> None:
    [govern, *_] = fences(ROOT / "README.md", "python")
    assert govern in [*fences(FIRST, "python")]


# YAML


def is_policy(data: Any) -> bool:
    return isinstance(data, dict) and data.keys() <= Policy.model_fields.keys()


@pytest.mark.parametrize(
    ("page", "text"),
    [(page, text) for page in of("yaml") for text in fences(page, "yaml")],
    ids=lambda given: called(given) if isinstance(given, Path) else "",
)
def test_each_yaml_is_what_it_is_for(page: Path, text: str, monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "my_company", type(sys)("my_company"))
    guards = type(sys)("my_company.guards")
    played_guards = played(ROOT / "docs/guide/guards.md", played(FIRST, {}))
    guards.NoCodenames = lambda **_: played_guards["NoCodenames"]()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "my_company.guards", guards)
    data = yaml.safe_load(text)
    if is_policy(data):
        Policy.from_yaml(text)
    elif "keys" in data and "journal" in data:
        KeysFile.parse(data, where=called(page))
    elif "targets" in data:
        from_yaml(text)
    elif data.keys() <= Thresholds.model_fields.keys():
        Thresholds.from_yaml(text)
    else:
        # Forms of others: Presidio's, Prometheus', Alertmanager's.
        others = {"recognizers", "scrape_configs", "rule_files", "alerting", "route", "receivers"}
        assert data.keys() <= others


# Commands

GROUP: Any = typer.main.get_command(app)


def commands_in(page: Path) -> Iterator[list[str]]:
    text = "\n".join(fences(page, "bash", "")).replace("\\\n", " ")
    lines = [line.removeprefix("$ ").strip() for line in text.splitlines()]
    lines += re.findall(r"`(agno-portkey [^`]+|make [a-z-]+[^`]*)`", page.read_text())
    yield from (line.split() for line in lines if line.startswith(("agno-portkey ", "make ")))


@pytest.mark.parametrize("page", [page for page in PAGES if any(commands_in(page))], ids=called)
def test_each_command_is_there_and_takes_what_it_is_given(page: Path) -> None:
    targets = re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for words in commands_in(page):
        if words[0] == "make":
            assert words[1].strip(".,:;") in targets, words
        else:
            _check_command(words[1:])


@pytest.mark.parametrize("page", PAGES, ids=called)
def test_each_extra_is_there(page: Path) -> None:
    """Where pip brings nothing along it does not miss one."""
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = re.findall(r"(?:CHECKOUT|agno-portkey)\[([a-z,]+)\]", page.read_text())
    assert {extra for each in named for extra in each.split(",")} <= known.keys()


def _check_command(words: list[str]) -> None:
    command, rest = GROUP, [*words]
    while getattr(command, "commands", None) and rest and not rest[0].startswith("-"):
        # `keys status|due|rotate` are several; so are `audit verify, export`.
        for name in rest[0].strip(",.").split("|"):
            assert name in command.commands or name.isupper(), words
        command = command.commands[rest.pop(0).strip(",.").split("|")[0]]
    context = click.Context(command)
    known = {option for each in command.get_params(context) for option in each.opts}
    known |= {option for each in command.get_params(context) for option in each.secondary_opts}
    said = [word.split("=")[0].strip(",.`'\"()") for word in rest if word.startswith("-")]
    for option in said:
        assert {*option.split("|")} <= {*known, "--help", "-"}, words


# Links

# Looked at by hand, for the tests do not leave the machine.
ELSEWHERE = {
    "https://github.com/agno-agi/agno",
    "https://keepachangelog.com",
    "https://portkey.ai",
    "https://semver.org",
}


def anchors(page: Path) -> set[str]:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=called)
def test_each_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`]*`", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("https://"):
            assert target in ELSEWHERE, f"{called(page)}: {target}"
            continue
        file, _, anchor = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        assert there.exists(), f"{called(page)}: {target}"
        if anchor:
            assert anchor in anchors(there), f"{called(page)}: {target}"


def test_every_page_is_in_the_navigation() -> None:
    # Tags of emoji extensions are none that are needed here.
    text = re.sub(r"!!\S+", "", (ROOT / "mkdocs.yml").read_text())
    named = set(re.findall(r"([\w/-]+\.md)$", yaml.safe_dump(yaml.safe_load(text)["nav"]), re.M))
    assert named == {str(page.relative_to(ROOT / "docs")) for page in DOCS}


def test_the_reference_is_what_the_code_says() -> None:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "docs/write_reference.py")
    assert spec is not None
    assert spec.loader is not None
    written = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(written)
    folder = ROOT / "docs" / "reference"
    for name in ("configuration", "commands"):
        said = (folder / f"{name}.md").read_text()
        assert said == getattr(written, name)(), f"make docs writes docs/reference/{name}.md anew"


# What the examples do


def test_a_users_test_passes(
    names: dict[str, Any], portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    page = played(ROOT / "docs/guide/testing.md", dict(names))
    page["test_a_rate_limit_is_waited_for"](portkey_provider, portkey_model)


def test_a_users_script_runs(names: dict[str, Any]) -> None:
    said = []

    def play(model: PortkeyModel) -> None:
        said.append(Agent(model=model).run("Hi").content)
        said.append(Agent(model=model, output_schema=Judgement).run("Judge").content.score)

    played(ROOT / "docs/guide/testing.md", dict(names))["on_the_embedded_provider"](play)
    assert said == ["You said: Hi", 9]


def test_a_users_whole_file_passes_by_itself_and_again(
    portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    whole = [*fences(ROOT / "docs/guide/testing.md", "python")][1]
    alone: dict[str, Any] = {}
    exec(compile(whole, "test_release.py", "exec"), alone)
    for _ in range(2):
        alone["test_the_release_ships"](portkey_provider, portkey_model)


def test_a_governed_team_runs_without_an_account(names: dict[str, Any]) -> None:
    page = played(ROOT / "docs/guide/testing.md", dict(names))
    assert page["a_governed_team_without_an_account"]().status.value == "COMPLETED"


def test_what_gates_decided_is_read(
    names: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(tmp_path / "agno.db")
    for number, days_ago in enumerate((8, 2, 1)):
        at = datetime.now(UTC) - timedelta(days=days_ago)
        History(file).put(decided(id=f"decision {number}", at=at))
    History(file).put(decided(id="another's", at=datetime.now(UTC), swarm="Other"))
    days, moved = played(ROOT / "docs/guide/gates.md", dict(names))["last_week"](file)
    assert [day.passed for day in days if day.decisions] == [1, 1]
    assert moved == []
    assert len(capsys.readouterr().out.splitlines()) == 2


async def test_a_token_of_the_page_gets_in(names: dict[str, Any], tmp_path: Path) -> None:
    page = played(ROOT / "docs/guide/access.md", dict(names))
    tokens = Authorization(
        verification_keys=[page["public"]], audience="release-os", verify_audience=True
    )
    agent = Agent(id="desk", model=PortkeyModel(base_url="http://127.0.0.1:1/v1"))
    db = SqliteDb(db_file=str(tmp_path / "agno.db"))
    made = playground.app(agent, db=db, id="release-os", authorization=tokens, telemetry=False)
    bearer = {"Authorization": f"Bearer {page['bearer']}"}
    transport = httpx.ASGITransport(app=made)
    async with httpx.AsyncClient(transport=transport, base_url="http://os") as http:
        assert (await http.get("/gates", headers=bearer)).status_code == 200
        assert (await http.get("/teams", headers=bearer)).status_code == 200
        assert (await http.get("/gates")).status_code == 401


def test_the_night_comes_back(
    names: dict[str, Any],
    portkey_provider: EmbeddedProvider,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = played(ROOT / "docs/guide/batches.md", dict(names))
    page["test_the_night_comes_back"](portkey_provider, tmp_path, monkeypatch)


def test_a_users_key_is_rotated(
    names: dict[str, Any], portkey_provider: EmbeddedProvider, tmp_path: Path
) -> None:
    portkey_provider.admin.enforced = True
    page = played(ROOT / "docs/guide/keys.md", dict(names))
    rotation = page["search_key"]("manager", tmp_path, base_url=portkey_provider.url)
    model = page["search_model"](rotation, base_url=portkey_provider.url)
    rotation.rotate()
    assert Agent(model=model).run("Hi").content == "You said: Hi"
    rotation.rotate(wait=False)
    rotation.revoke(now=True)
    # The model holds the old key yet, and asks again once that is refused.
    assert Agent(model=model).run("Hi").content == "You said: Hi"
    assert portkey_provider.admin.live() == [rotation.status().current.name]
    rotation.maker._client.close()
