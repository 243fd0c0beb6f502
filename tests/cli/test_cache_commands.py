"""`agno-portkey cache`: what is kept, what is forgotten, and who did it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agno_portkey.cache import Cache, Entry, Evidence
from agno_portkey.cli import app

NOW = 1_700_000_000.0


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["cache", *arguments], env={"COLUMNS": "120"})
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture
def store(tmp_path: Path) -> str:
    file = str(tmp_path / "answers.db")
    cache = Cache(file)
    for name, tag in (("one", "faq"), ("two", "faq"), ("three", "news")):
        cache.store.put(
            Entry(
                key=name,
                bucket="b",
                scope="public",
                question="a secret question",
                answer="a secret answer",
                model="gpt-4o-mini",
                role="Researcher",
                tags=(tag,),
                sources=("handbook",) if name == "one" else (),
                created_at=cache.clock(),
                expires_at=cache.clock() + 1e6,
            )
        )
    cache.close()
    return file


def test_what_is_kept_is_listed_without_its_words(store: str) -> None:
    shown = run("list", "--store", store)
    assert all(name in shown for name in ("one", "two", "three", "Researcher", "faq"))
    assert "secret" not in shown + run("list", "--store", store, "--format", "json")
    assert len(json.loads(run("list", "--store", store, "--limit", "2", "--format", "json"))) == 2
    assert "Researcher" in run("report", "--store", store)


def test_forgetting_is_tried_first_and_noted(store: str) -> None:
    said = run("forget", "--store", store, "--tag", "faq")
    assert "It would be forgotten: 2 of tag='faq'" in said
    assert "Nothing has changed" in said
    assert "Nothing was ever forgotten" in run("log", "--store", store)
    said = run("forget", "--store", store, "--tag", "faq", "--yes", "--by", "ann")
    assert "Forgotten: 2 of tag='faq'" in said
    kept = json.loads(run("list", "--store", store, "--format", "json"))
    assert [entry["key"] for entry in kept] == ["three"]
    log = run("log", "--store", store)
    assert all(word in log for word in ("ann", "tag='faq'", "2"))


@pytest.mark.parametrize(
    ("arguments", "gone"),
    [
        (("--source", "handbook"), 1),
        (("--key", "two"), 1),
        (("--role", "Researcher", "--tag", "news"), 1),
        (("--model", "gpt-4o-mini"), 3),
        (("--model", "gpt-4o"), 0),
        (("--older-than", "1"), 0),
        (("--all",), 3),
    ],
)
def test_what_is_named_is_forgotten(store: str, arguments: tuple[str, ...], gone: int) -> None:
    assert f"Forgotten: {gone} of" in run("forget", "--store", store, *arguments, "--yes")
    assert (
        len(json.loads(run("list", "--store", store, "--format", "json"))) == 3 - gone
        if gone < 3
        else "Nothing is kept" in run("list", "--store", store)
    )


def test_nothing_named_is_refused(store: str) -> None:
    assert "say which entries" in run("forget", "--store", store, "--yes", code=1)
    assert "not both" in run("forget", "--store", store, "--all", "--tag", "x", code=1)


def test_a_store_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    missing = tmp_path / "none.db"
    for command in ("report", "list", "log"):
        assert "There is no" in run(command, "--store", str(missing), code=1)
    assert not missing.exists()
    assert "keeps no answers" in run("list", "--store", "mysql://u:secret@h/d", code=1)


def test_the_report_says_how_far_likeness_is_trusted(store: str) -> None:
    cache = Cache(store)
    for number in range(400):
        cache.store.learn(Evidence("Researcher/", f"k{number}", 0.9, True, NOW + number))
    for number in range(20):
        cache.store.learn(Evidence("Researcher/negation", "k", 0.95, False, NOW + number))
    cache.close()
    rows = {
        row["against"]: row
        for row in json.loads(run("report", "--store", store, "--format", "json"))["trust"]
    }
    assert (rows[""]["compared"], rows[""]["different"], rows[""]["needed"]) == (400, 0, 0)
    assert rows[""]["serves_from"] <= 0.9
    assert rows[""]["false_hits"]["high"] < 0.011
    assert (rows["negation"]["serves_from"], rows["negation"]["different"]) == (None, 20)
    assert rows["negation"]["needed"] > 100
    shown = run("report", "--store", store)
    assert "more needed" in shown
    assert "negation" in shown
    stricter = json.loads(
        run("report", "--store", store, "--max-error", "0.001", "--format", "json")
    )
    assert all(row["serves_from"] is None for row in stricter["trust"])
