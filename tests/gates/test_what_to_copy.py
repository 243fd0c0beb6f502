"""How a plan is approved is said with its database, as a command that can be copied and works."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from admission_scene import Desk
from agno.db.in_memory import InMemoryDb
from agno.db.sqlite import AsyncSqliteDb, SqliteDb
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy.engine import make_url
from typer.testing import CliRunner

from agno_portkey import Gate
from agno_portkey.cli import app
from agno_portkey.gates.books import Books, books_of
from agno_portkey.gates.clearance import Clearances
from agno_portkey.gates.commands import option_of
from agno_portkey.stopping import DATABASE_VARIABLE

APPROVED = Gate(approval=True)
PATH = "agno-portkey gate approve"


def waiting(books: Books) -> tuple[str, str]:
    """What the Runner is refused with while its plan waits, and the id of the clearance."""
    desk = Desk.of(APPROVED, books=books).judged(9)
    said = desk.refused()
    return said.reason, str(said.evidence["clearance"])


def command_in(text: str) -> list[str]:
    found = re.search(r"agno-portkey (gate approve .*?), then ", text)
    assert found is not None, text
    return shlex.split(found[1])


def invoke(command: list[str], **environment: str) -> str:
    environment = {DATABASE_VARIABLE: "", **environment}
    ended = CliRunner().invoke(app, command, env=environment, terminal_width=300)
    assert ended.exit_code == 0, ended.output
    return ended.output


def approved(books: Books, id: str) -> bool:
    return books.clearances.get(id).state == "granted"


FILES: dict[str, Callable[[str], Any]] = {
    "an Agno database": lambda file: SqliteDb(db_file=file),
    "an async one": lambda file: AsyncSqliteDb(db_file=file),
    "an address": lambda file: f"sqlite:///{file}?timeout=5",
    "a file": lambda file: file,
}


@pytest.mark.parametrize("made_of", FILES)
@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("agno.db", "--db agno.db"),
        ("my agno's.db", """--db 'my agno'"'"'s.db'"""),
    ],
)
def test_a_file_is_named_for_a_shell(
    made_of: str, name: str, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    books = books_of(FILES[made_of](str(tmp_path / name)))
    said, id = waiting(books)
    assert f"{PATH} {id} {shown}, then ask the same again" in said
    invoke([*command_in(said), "--by", "ann"])
    assert approved(books, id)


def test_one_below_the_folder_is_named_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kept").mkdir()
    (tmp_path / "-kept").mkdir()
    for name, shown in {
        "agno.db": "agno.db",
        "kept/agno.db": "kept/agno.db",
        "-kept/agno.db": "./-kept/agno.db",
        ":memory:x": "./:memory:x",
        "..kept.db": "..kept.db",
    }.items():
        books = books_of(SqliteDb(db_file=str(tmp_path / name)))
        said, id = waiting(books)
        assert f"{id} --db {shown}, then" in said
        invoke(command_in(said))
        assert approved(books, id)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(st.text(st.characters(exclude_characters="\0/", exclude_categories=["Cs"]), min_size=1))
@example("~").via("a home to a shell")
@example("$HOME `id` \n%s ?x=1#y").via("what shells and addresses take for more")
def test_whatever_a_file_is_called_the_option_finds_it(tmp_path: Path, name: str) -> None:
    file = tmp_path / "of" / name[:40]
    if file.name in ("..", ".") or len(os.fsencode(file.name)) > 200:
        return
    (option, named) = shlex.split(option_of(Clearances(str(file))) or "")
    assert option == "--db"
    assert Clearances(named).url == Clearances(str(file)).url


@pytest.mark.parametrize("kind", ["a file elsewhere", "a server", "with a password", "with words"])
def test_where_any_other_database_is_stays_with_its_owner(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    address = str(tmp_path / "agno.db")
    if kind != "a file elsewhere":
        address = request.getfixturevalue("postgres").new_database()
    if kind == "with a password":
        url = make_url(address).set(password="hunter2")
        address = url.render_as_string(hide_password=False)
    if kind == "with words":
        address += "?application_name=hunter2"
    books = books_of(address)
    said, id = waiting(books)
    approve = f"{PATH} {id}, with {DATABASE_VARIABLE} set to the team's database, then ask"
    assert said.startswith(f"a person has to approve this plan: {approve}")
    assert not {str(tmp_path), "postgresql", "127.0.0.1", "hunter2"} & {*re.split(r"[ ,:@]", said)}
    invoke(["gate", "approve", id], **{DATABASE_VARIABLE: address})
    assert approved(books, id)


@pytest.mark.parametrize(
    "database",
    [None, InMemoryDb()],  # type: ignore[no-untyped-call]
    ids=["none", "in memory"],
)
def test_where_no_command_could_find_it_that_is_said(database: Any) -> None:
    said, id = waiting(books_of(database))
    assert said.startswith("a person has to approve this plan: ")
    assert PATH not in said
    assert f"its clearance {id} is kept in this process alone" in said
    assert "give the team a database (db=)" in said


def test_what_is_only_observed_waits_for_nobody() -> None:
    desk = Desk.of(APPROVED, mode="observe").judged(9)
    assert desk.refused().reason == "a person has to approve this plan"


# The command that lists what waits


def listed(output: str) -> list[list[str]]:
    found = re.findall(r"to (?:approve|override|refuse) +agno-portkey (gate .*)", output)
    return [shlex.split(each) for each in found]


def test_what_is_listed_can_be_copied(tmp_path: Path) -> None:
    books = books_of(str(tmp_path / "my agno.db"))
    _, id = waiting(books)
    approve, refuse = listed(invoke(["gate", "waiting", "--db", str(tmp_path / "my agno.db")]))
    invoke(approve)
    assert approved(books, id)
    invoke(refuse)
    assert books.clearances.get(id).state == "revoked"


@pytest.mark.parametrize("by", ["option", "environment"])
def test_an_address_with_a_password_is_not_repeated(by: str, postgres: Any) -> None:
    url = make_url(postgres.new_database()).set(password="hunter2")
    address = url.render_as_string(hide_password=False)
    books = books_of(address)
    _, id = waiting(books)
    environment = {} if by == "option" else {DATABASE_VARIABLE: address}
    given = ["--db", address] if by == "option" else []
    output = invoke(["gate", "waiting", *given], **environment)
    assert "hunter2" not in output
    # What is in the environment already, nobody need be told to put there.
    assert (f"with {DATABASE_VARIABLE} set to" in output) is (by == "option")
    approve, _ = listed(output)
    invoke(approve, **{DATABASE_VARIABLE: address})
    assert approved(books, id)
