"""The names of keys are checked on the command line: those given, and those used in files."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from agno_portkey.cli import app
from agno_portkey.routing.keys.names import Quarter

SECRET = "sk-proj-Ab3dEf6hIj9lMn2pQr5tUv8x"


def named(head: str) -> str:
    """A name of the current quarter."""
    return f"{head}-{Quarter.of(date.today())}"


def lint(*arguments: str) -> Result:
    # Wide enough for every sentence to stand on one line.
    return CliRunner().invoke(app, ["keys", "lint", *arguments], env={"COLUMNS": "300"})


def test_names_that_keep_the_convention_end_with_zero() -> None:
    result = lint(named("openai-prod-search"), f"@{named('together-ai-dev-mail')}", "--strict")
    assert (result.exit_code, result.output) == (0, "2 names, nothing to say against.\n")
    assert lint(named("openai-prod-search")).output.startswith("1 name, ")


def test_a_name_against_it_ends_with_one_and_says_what_to_do() -> None:
    result = lint("openai-prod-search-2020q1", "whatever")
    assert result.exit_code == 1
    assert "it is of 2020q1: its rotation is overdue" in result.output
    assert f"make {named('openai-prod-search')}, route to it" in result.output
    assert "it ends in no quarter: name it like openai-prod-search-2026q4" in result.output


def test_warnings_end_with_one_only_if_they_are_to() -> None:
    name = named("zzz-prod-search")
    relaxed, strict = lint(name), lint(name, "--strict")
    assert "warning" in relaxed.output
    assert (relaxed.exit_code, strict.exit_code) == (0, 1)
    assert strict.output == relaxed.output


def test_the_environment_is_that_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTKEY_ENVIRONMENT", "production")
    assert lint(named("openai-prod-search")).exit_code == 0
    result = lint(named("openai-dev-search"))
    assert result.exit_code == 1
    assert "a key of dev, and PORTKEY_ENVIRONMENT is prod" in result.output


def test_environments_of_ones_own_can_be_given() -> None:
    name = named("openai-sandbox-search")
    assert lint(name).exit_code == 1
    assert lint(name, "--environment", "sandbox").exit_code == 0


def test_names_are_found_in_yaml_and_json(tmp_path: Path) -> None:
    (tmp_path / "routing.yaml").write_text(
        "mode: fallback\n"
        "targets:\n"
        f"  - provider: '@{named('openai-prod-search')}'\n"
        "    api_key: plain-and-not-looked-at\n"
        "  - model: '@nobody/gpt-4o'\n"
        "  - virtual_key: ${OLD_KEY}\n"
        "  - {provider: workers-ai, model: '@cf/meta/llama-3.1-8b'}\n"
    )
    (tmp_path / "config.json").write_text(
        json.dumps(
            {
                "targets": [
                    {"virtual_key": named("openai-prod-search")},
                    {"override_params": {"model": f"@{named('groq-prod-search')}/llama"}},
                ]
            }
        )
    )
    files = [tmp_path / "routing.yaml", tmp_path / "config.json"]
    result = lint("--file", str(files[0]), "--file", str(files[1]))
    assert result.exit_code == 1
    assert "@nobody/gpt-4o" in result.output
    assert "routing.yaml: targets[1].model" in result.output
    assert "config.json: targets[0].virtual_key" in result.output
    assert "virtual keys are deprecated by Portkey" in result.output
    for unsaid in ("OLD_KEY", "plain-and-not", "groq", "@cf/"):
        assert unsaid not in result.output


def test_a_file_without_names_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "routing.yaml").write_text("provider: openai\nmodel: gpt-4o\n")
    result = lint("--file", str(tmp_path / "routing.yaml"))
    assert (result.exit_code, result.output) == (0, "No names in there.\n")


def test_a_secret_is_not_repeated(tmp_path: Path) -> None:
    (tmp_path / "routing.yaml").write_text(f"virtual_key: {SECRET}\n")
    for result in (lint(SECRET), lint("--file", str(tmp_path / "routing.yaml"))):
        assert result.exit_code == 1
        assert "this looks like a secret" in result.output
        assert "(hidden, 32 characters)" in result.output
        assert SECRET[8:] not in result.output


def test_nothing_to_check_is_said(tmp_path: Path) -> None:
    result = lint()
    assert result.exit_code == 1
    assert "give names, or --file" in result.output


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "can't be read (No such file or directory)"),
        (b"\xff\xfe\x00", "it is no text in UTF-8"),
        (f"a: 1\nkey: [{SECRET}".encode(), "it is no YAML or JSON in line 2"),
        (f"key: {SECRET}\nday: 2026-13-45".encode(), "it is no YAML or JSON"),
    ],
)
def test_a_file_that_can_not_be_read_is_said_without_its_content(
    content: bytes | None, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "routing.yaml"
    if content is not None:
        path.write_bytes(content)
    result = lint("--file", str(path))
    assert result.exit_code == 1
    assert said in result.output
    assert SECRET not in result.output
    assert "Traceback" not in result.output


def test_a_wrong_environment_variable_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTKEY_BASE_URL", "nowhere")
    result = lint(named("openai-prod-search"))
    assert result.exit_code == 1
    assert "PORTKEY_BASE_URL" in result.output
