"""A policy is checked and shown on the command line."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml
from policy_texts import WHOLE
from typer.testing import CliRunner, Result

from agno_portkey.cli import app
from agno_portkey.policy import Policy, json_schema


def policy(*arguments: str, **environment: str) -> Result:
    # Wide enough for every sentence to stand on one line.
    return CliRunner().invoke(app, ["policy", *arguments], env={"COLUMNS": "300", **environment})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(WHOLE)
    return path


def rows(result: Result) -> list[list[str]]:
    lines = [line.split("│") for line in result.stdout.splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in line[1:-1]] for line in lines]


def test_a_sound_policy_is_shown_part_by_part(file: Path) -> None:
    result = policy("check", str(file))
    assert result.exit_code == 0, result.output
    assert rows(result) == [
        ["guards", "observe", "policy_guards:NoWords"],
        ["guards", "the guard's own", "policy_guards:NoWords"],
        ["gate", "observe", "quality (score 8), safety (score 9) before Runner"],
        ["contracts", "observe", "structured outputs"],
        ["tags", "off", "cost_center=cc-42, tier=2, beta=true"],
        ["stop", "observe", "the database of the policy"],
        ["allow", "", "Scout.tools*"],
    ]


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("gate: {}")
    assert rows(policy("check", str(file))) == [
        ["gate", "enforce", "gate (score 7) before the Runner that govern is given"],
        ["contracts", "enforce", "structured outputs, asked for again 2 times"],
        ["tags", "enforce", "none of its own"],
        ["stop", "enforce", "the database of the environment or team"],
    ]
    file.write_text("contracts: {repair: {reasks: 1, stronger: big}}")
    said = "structured outputs, asked for again 1 times, then of big"
    assert ["contracts", "enforce", said] in rows(policy("check", str(file)))
    file.write_text("{}")
    assert len(rows(policy("check", str(file)))) == 3


def test_whose_it_is_and_who_may_ask_what_is_shown(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(
        "environment: prod\ngate: {mode: observe}\n"
        "models: {everyone: {providers: [openai]}, agents: {Ann: [gpt-4o*, o3]}}"
    )
    shown = rows(policy("check", str(file), PORTKEY_ENVIRONMENT="dev"))
    assert shown[0] == [
        "environment", "", "prod; this process is of dev, where govern refuses it"
    ]  # fmt: skip
    assert [row for row in shown if row[0] == "models"] == [
        ["models", "enforce", "everyone: any model; providers openai"],
        ["models", "enforce", "Ann: gpt-4o*, o3"],
    ]
    shown = rows(policy("check", str(file), PORTKEY_ENVIRONMENT="prod"))
    assert shown[0] == ["environment", "", "prod"]
    assert shown[1][2].endswith("; in production govern refuses that mode")
    file.write_text("environment: 'a b'")
    result = policy("check", str(file))
    assert result.exit_code == 1
    assert "not 'a b'" in result.output


def test_the_environment_shows_where_it_overrides(file: Path) -> None:
    shown = rows(
        policy(
            "check",
            str(file),
            AGNO_PORTKEY_GATE_MODE="off",
            AGNO_PORTKEY_TAGS_MODE="junk",
            AGNO_PORTKEY_GUARDS_MODE="off",
        )
    )
    modes = [(part, mode) for part, mode, _ in shown]
    assert modes[:5] == [
        ("guards", "off (AGNO_PORTKEY_GUARDS_MODE)"),
        ("guards", "off (AGNO_PORTKEY_GUARDS_MODE)"),
        ("gate", "off (AGNO_PORTKEY_GATE_MODE)"),
        ("contracts", "observe"),
        ("tags", "enforce (AGNO_PORTKEY_TAGS_MODE)"),
    ]


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        (
            "gate: {min_score: 18}\nstop: {mode: y}",
            [
                ["1", "policy.gate.min_score", "from 0 to 10, not 18"],
                ["2", "policy.stop.mode", "off, observe or enforce, not 'y'"],
            ],
        ),
        (
            "guards: ['policy_guards:NUMBER']",
            [
                [
                    "1",
                    "policy.guards[0].use",
                    "policy_guards:NUMBER is neither a class nor a function",
                ]
            ],
        ),
        ("a: [", None),
    ],
)
def test_every_problem_is_listed(
    text: str, problems: list[list[str]] | None, tmp_path: Path
) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(text)
    result = policy("check", str(file))
    assert result.exit_code == 1
    if problems is not None:
        assert rows(result) == problems
    else:
        [[line, where, why]] = rows(result)
        assert (line, where) == ("", "")
        assert why.startswith("no YAML in line 1")


def test_guards_of_the_current_folder_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "guards_of_here.py").write_text("from policy_guards import NoWords")
    (tmp_path / "policy.yaml").write_text("guards: ['guards_of_here:NoWords']")
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    result = policy("check", "policy.yaml")
    assert result.exit_code == 0, result.output
    assert sys.path == before
    sys.modules.pop("guards_of_here")


def test_the_schema_is_that_of_what_is_read() -> None:
    schema = json.loads(policy("schema").stdout)
    assert schema == json_schema()
    validator = jsonschema.Draft202012Validator(schema)
    for text in (
        WHOLE,
        "gate: {runner: R, min_score: 8}",
        "gate: {}",
        "gate: [{name: a}, {name: b}]",
        "contracts: 'off'",
        "tags: {a: 1, mode: x}",
        "guards: ['a:B', {use: 'a:B', words: [x]}]",
        Policy.from_yaml(WHOLE).to_yaml(),
    ):
        Policy.from_yaml(text.replace("a:B", "policy_guards:shared").replace("words: [x]", "x: 1"))
        validator.validate(yaml.safe_load(text.replace("mode: off", "mode: 'off'")))
    for text in (
        "gats: {}",
        "gate: {min_scor: 8}",
        "gate: 8",
        "contracts: x",
        "stop: {mode: x}",
        "guards: [3]",
        "guards: [{words: x}]",
        "tags: {a: {b: 1}}",
    ):
        assert list(validator.iter_errors(yaml.safe_load(text))), text


RECOGNIZERS = """
recognizers:
  - name: Badge
    supported_entity: BADGE
    supported_language: en
    patterns: [{name: badge, regex: 'B-[0-9]{4}', score: 0.9}]
"""


@pytest.mark.parametrize(
    ("text", "mode", "what"),
    [
        ("pii: mask", "enforce", "mask the usual types"),
        ("pii: off", "off", "mask the usual types"),
        (
            "pii: {mode: block, enforcement: observe, entities: [PERSON, AGE], deny_list: [a, b]}",
            "observe",
            "block PERSON, AGE, a deny list of 2",
        ),
        (
            "pii: {recognizers: own.yaml}",
            "enforce",
            "mask the usual types, recognizers of own.yaml",
        ),
        (
            "pii: {recognizers: '${NO_SUCH_FILE}'}",
            "enforce",
            "mask the usual types, recognizers of ${NO_SUCH_FILE} (not looked at)",
        ),
        (
            "pii: pseudonymize",
            "enforce",
            "pseudonymize the usual types, vaults in the process",
        ),
        (
            "pii: {mode: pseudonymize, vaults: '${NO_SUCH_DATABASE}'}",
            "enforce",
            "pseudonymize the usual types, vaults in the database of the policy",
        ),
    ],
)
def test_personal_data_is_shown(
    text: str, mode: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own.yaml").write_text(RECOGNIZERS)
    Path("policy.yaml").write_text(text)
    result = policy("check", "policy.yaml")
    assert result.exit_code == 0, result.output
    assert rows(result)[0] == ["pii", mode, what]
    overridden = policy("check", "policy.yaml", AGNO_PORTKEY_GUARDS_MODE="observe")
    assert rows(overridden)[0] == ["pii", "observe (AGNO_PORTKEY_GUARDS_MODE)", what]


@pytest.mark.parametrize(
    ("held", "said"),
    [
        (None, "own.yaml can't be read"),
        (b"recognizers: [", "own.yaml can't be read"),
        (b"\xff\xfe\xff", "own.yaml can't be read"),
        (b"- a", ""),
        (RECOGNIZERS.replace("0.9", "7").encode(), ""),
    ],
    ids=["not there", "no YAML", "no text", "a list", "a score of 7"],
)
def test_a_file_of_recognizers_that_cant_be_used_is_a_problem(
    held: bytes | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if held is not None:
        Path("own.yaml").write_bytes(held)
    Path("policy.yaml").write_text("tags: {}\npii:\n  recognizers: own.yaml\n")
    result = policy("check", "policy.yaml")
    assert result.exit_code == 1, result.output
    # What YAML says of itself may take more lines.
    line, where, why = rows(result)[0]
    assert (line, where) == ("3", "policy.pii.recognizers")
    assert why
    assert said in why


def test_without_the_extra_recognizers_are_a_problem_of_the_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "presidio_analyzer", None)
    file = tmp_path / "policy.yaml"
    file.write_text("pii: {deny_list: [bluebird]}")
    result = policy("check", str(file))
    assert result.exit_code == 1
    [[line, where, why]] = rows(result)
    assert (line, where) == ("1", "policy.pii")
    assert 'pip install "agno-portkey[pii]"' in why
