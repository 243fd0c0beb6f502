"""`agno-portkey cache`: what is kept, what is forgotten, and who did it."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agno_portkey.cache import Cache, Entry, Evidence
from agno_portkey.cli import app

NOW = 1_700_000_000.0


def run(*arguments: str, code: int = 0, columns: int = 120) -> str:
    result = CliRunner().invoke(app, ["cache", *arguments], env={"COLUMNS": str(columns)})
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


ESCAPES = "\x1b]0;title\x07\x1b[2J\x1b]52;c;ZXZpbA==\x07\u202e\r\n\x9b31m\ud800"


def kept(store: Path | str, **values: Any) -> Entry:
    """One more entry, in a cache that may be new."""
    cache = Cache(str(store))
    plain: dict[str, Any] = {
        "key": "a" * 64,
        "bucket": "b",
        "scope": "public",
        "question": "q",
        "answer": "a",
        "model": "m",
        "created_at": cache.clock(),
        "expires_at": cache.clock() + 1e6,
    }
    held = Entry(**plain | values)
    cache.store.put(held)
    cache.close()
    return held


def test_a_terminal_obeys_nothing_that_is_kept(tmp_path: Path) -> None:
    names = ("key", "scope", "role", "model")
    file = tmp_path / "answers.db"
    kept(file, tags=(ESCAPES,), **{name: ESCAPES + name for name in names})
    cache = Cache(str(file))
    cache.store.note(NOW, f"{ESCAPES}ann", f"{ESCAPES}what", 1)
    cache.store.learn(Evidence(f"{ESCAPES}role/{ESCAPES}negation", "k", 0.9, True, NOW))
    cache.close()
    said = [
        run(*command, "--store", str(file))
        for command in (["list"], ["report"], ["log"], ["forget", "--all"])
    ]
    for name, each in zip(("role", "negation", "ann", "role"), said, strict=True):
        assert name in each
    for each in "".join(said):
        assert each.isprintable() or each == "\n", f"{each!r}"


@pytest.mark.parametrize("name", ["key", "scope"])
def test_what_is_listed_is_what_is_forgotten(tmp_path: Path, name: str) -> None:
    file = str(tmp_path / "answers.db")
    for digest in ("1" * 64, "2" * 64):
        kept(file, key=digest, scope=f"user:{digest}")
    place = ["key", "scope"].index(name)
    [*_, line] = run("list", "--store", file).splitlines()
    said = run("forget", "--store", file, f"--{name}", line.split()[place], "--yes")
    assert "Forgotten: 1 of" in said
    [left] = json.loads(run("list", "--store", file, "--format", "json"))
    assert left["key"][:12] not in line
    # Who is told later which it was is told the whole.
    [(*_, what, _)] = Cache(file).store.notes()
    assert len(what) > 64


def test_what_names_several_is_refused(tmp_path: Path) -> None:
    file = str(tmp_path / "answers.db")
    for end in "123":
        kept(file, key="a" * 63 + end, scope=f"tenant:{'b' * 63}{end}")
    for option, given in (("--key", "a" * 12), ("--scope", f"tenant:{'b' * 9}")):
        said = run("forget", "--store", file, option, given, "--yes", code=1)
        assert "3 of those kept begin with" in said
        assert "give more of it" in said
    # Less than is listed, nobody, and a whole one are taken as they are.
    for option, given, gone in (
        ("--key", "a" * 11, 0),
        ("--key", "", 0),
        ("--scope", "tenant:", 0),
        ("--scope", "user:" + "b" * 12, 0),
        ("--key", "a" * 63 + "2", 1),
        ("--key", "a" * 63 + "1", 1),
        ("--scope", f"tenant:{'b' * 9}", 1),
    ):
        assert f": {gone} of" in run("forget", "--store", file, option, given, "--yes")


def test_what_can_not_be_read_is_forgotten_too(store: str) -> None:
    with sqlite3.connect(store) as connection:
        connection.execute("UPDATE agno_portkey_cache_2_contents SET about = x'00' WHERE seq = 2")
        connection.execute("INSERT INTO agno_portkey_cache_2_notes VALUES (1, 1e300, 'a', 'b', 1)")
    connection.close()
    assert "Forgotten: 3 of everything" in run("forget", "--store", store, "--all", "--yes")
    assert "Nothing is kept" in run("list", "--store", store)
    assert "?" in run("log", "--store", store)


def test_nothing_named_is_refused(store: str) -> None:
    assert "Say which entries: by --tag" in run("forget", "--store", store, "--yes", code=1)
    assert "not both" in run("forget", "--store", store, "--all", "--tag", "x", code=1)


def test_a_store_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    missing = tmp_path / "none.db"
    for command in ("report", "list", "log"):
        for address in (str(missing), f"sqlite:///{missing}"):
            assert "There is no" in run(command, "--store", address, code=1)
    assert not missing.exists()
    assert "keeps no answers" in run("list", "--store", "mysql://u:secret@h/d", code=1)


def test_the_report_says_how_far_likeness_is_trusted(store: str) -> None:
    cache = Cache(store)
    for number in range(400):
        cache.store.learn(Evidence("Researcher/", f"k{number}", 0.9, True, NOW + number))
    for number in range(400):
        # Served nevertheless: never, for something speaks against it.
        cache.store.learn(Evidence("Researcher/negation", f"k{number}", 0.95, True, NOW + number))
    for number in range(3):
        cache.store.learn(Evidence("Writer/", f"k{number}", 0.9, True, NOW + number))
    cache.close()
    rows = {
        row["role"] + row["against"]: row
        for row in json.loads(run("report", "--store", store, "--format", "json"))["trust"]
    }
    trusted, vetoed = rows["Researcher"], rows["Researchernegation"]
    assert (trusted["compared"], trusted["different"], trusted["needed"]) == (400, 0, 0)
    assert trusted["serves_from"] <= 0.9
    assert trusted["false_hits"]["high"] < 0.011
    assert (vetoed["serves_from"], vetoed["needed"], vetoed["compared"]) == (None, None, 400)
    assert rows["Writer"]["needed"] > 100
    shown = run("report", "--store", store)
    assert "more" in shown
    assert "for all" in shown
    assert "negation" in shown
    assert "never" in shown
    stricter = json.loads(
        run("report", "--store", store, "--max-error", "0.001", "--format", "json")
    )
    assert all(row["serves_from"] is None for row in stricter["trust"])


def learn(file: str, role: str, count: int, max_error: float | None, *, against: str = "") -> None:
    cache = Cache(file)
    for number in range(count):
        at = NOW + number
        cache.store.learn(Evidence(f"{role}/{against}", f"k{number}", 0.9, True, at, max_error))
    cache.close()


def trusted(file: str, *arguments: str) -> dict[str, dict[str, Any]]:
    rows = json.loads(run("report", "--store", file, *arguments, "--format", "json"))["trust"]
    return {row["role"]: row for row in rows}


def test_the_report_knows_what_each_policy_allows(store: str) -> None:
    learn(store, "Researcher", 40, 0.1)
    learn(store, "Writer", 40, 0.01)
    learn(store, "Reader", 40, None)
    rows = trusted(store)
    assert {role: (row["max_error"], row["max_error_by"]) for role, row in rows.items()} == {
        "Researcher": (0.1, "its policy"),
        "Writer": (0.01, "its policy"),
        "Reader": (0.01, "the default"),
    }
    assert {role: row["needed"] == 0 for role, row in rows.items()} == {
        "Researcher": True,
        "Writer": False,
        "Reader": False,
    }
    said = run("report", "--store", store)
    assert "budget: as the role's policy said" in said
    lines = {line.split()[0]: line for line in said.splitlines() if line.strip()}
    assert lines["Researcher"].split()[2] == "0.1"
    assert lines["Writer"].split()[2:4] == ["0.01", "40"]
    assert lines["Reader"].split()[2:4] == ["0.01", "*"]


def test_what_is_given_goes_before_what_the_policy_allows(store: str) -> None:
    learn(store, "Researcher", 40, 0.1)
    [row] = trusted(store, "--max-error", "0.02").values()
    assert (row["max_error"], row["max_error_by"], row["serves_from"]) == (
        0.02,
        "--max-error",
        None,
    )
    assert "at most 0.02 of them answered wrongly (--max-error)" in run(
        "report", "--store", store, "--max-error", "0.02"
    )
    assert "at most 0.1 of them answered wrongly (its policy)" in run("report", "--store", store)
    assert "max_error: a share" in run("report", "--store", store, "--max-error", "1", code=1)


def test_a_policy_that_has_changed_counts_from_its_next_comparison(store: str) -> None:
    learn(store, "Researcher", 40, 0.1)
    learn(store, "Researcher", 1, 0.3)
    learn(store, "Researcher", 1, None)
    assert trusted(store)["Researcher"]["max_error"] == 0.3


@pytest.mark.parametrize("junk", ["'much'", "7", "-0.5", "0", "x'ff'"])
def test_what_no_policy_allows_is_not_known(store: str, junk: str) -> None:
    learn(store, "Researcher", 3, 0.1)
    with sqlite3.connect(store) as connection:
        connection.execute(f"UPDATE agno_portkey_cache_2_evidence SET max_error = {junk}")
    connection.close()
    row = trusted(store)["Researcher"]
    assert (row["compared"], row["max_error"], row["max_error_by"]) == (3, 0.01, "the default")


@pytest.mark.parametrize("columns", [80, 120])
def test_no_word_of_a_report_is_broken(store: str, columns: int) -> None:
    learn(store, "Documentation Writer@0123456789ab", 400, 0.1)
    learn(store, "Documentation Writer@0123456789ab", 2, 0.1, against="number+negation")
    learn(store, "Researcher", 3, None)
    # The path of the store is never broken.
    [_, *lines] = run("report", "--store", store, columns=columns).splitlines()
    assert all(len(line) <= columns for line in lines)
    words = set(" ".join(lines).replace(",", "").split())
    assert {"Documentation", "Writer", "@0123456789ab", "Researcher", "nothing"} <= words
    assert {"number", "negation", "compared", "differed", "budget", "false", "hits"} <= words
    assert {"more", "for", "all", "never", "0.1", "400", "0.00%", "(0.00-1.83)"} <= words
