"""A routing config is checked and shown on the command line, without its secrets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from agno_portkey.cli import app
from agno_portkey.routing.config.files import json_schema

SECRET = "sk-literal-4711"

ROUTING = f"""
mode: fallback
name: everyone
on_status_codes: [429, 500]
timeout: {{answer: 30}}
targets:
  - {{name: primary, provider: openai, api_key: "${{UNSET_KEY}}", model: gpt-4o}}
  - mode: conditional
    conditions:
      - query: {{metadata.tier: gold}}
        then: paid
      - query: {{$or: [{{metadata.tier: {{$in: [a, b]}}}}, {{params.max_tokens: {{$gt: 9}}}}]}}
        then: paid
    default: cheap
    targets:
      - mode: loadbalance
        name: paid
        sticky: user
        experiment: sizes
        targets:
          - {{provider: openrouter, api_key: {SECRET}, model: qwen/qwen3, weight: 3, name: big}}
          - {{provider: together-ai, api_key: k, model: Qwen/Qwen3, name: small}}
      - {{name: cheap, provider: ollama, custom_host: "http://127.0.0.1:11434"}}
      - {{name: spare, provider: ollama, model: llama3}}
"""


def routing(*arguments: str) -> Result:
    # Wide enough for every sentence to stand on one line.
    return CliRunner().invoke(app, ["routing", *arguments], env={"COLUMNS": "300"})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "routing.yaml"
    path.write_text(ROUTING)
    return path


# Check


def test_a_sound_config_is_shown_as_a_tree(file: Path) -> None:
    result = routing("check", str(file))
    assert result.exit_code == 0, result.output
    lines = [line.strip("├└│─ ") for line in result.output.splitlines()]
    assert lines == [
        "fallback on 429, 500  everyone  answer 30 s",
        "primary  openai gpt-4o",
        "conditional",
        'when metadata.tier == "gold" or (metadata.tier in ["a", "b"] or params.max_tokens > 9): '
        "loadbalance, sticky by user, experiment sizes  paid",
        "big  openrouter qwen/qwen3  weight 3",
        "small  together-ai Qwen/Qwen3  weight 1",
        "else: cheap  ollama model of the request  at http://127.0.0.1:11434",
        "never: spare  ollama llama3",
    ]


def test_the_tree_says_what_else_a_target_has(tmp_path: Path) -> None:
    (tmp_path / "routing.yaml").write_text(
        "mode: single\n"
        "target:\n"
        "  model: '@openai-prod/gpt-4o'\n"
        "  timeout: {first_token: 2.5, between_tokens: 1}\n"
        "  retry: {attempts: 2}\n"
        "  cache: {mode: semantic}\n"
        "  output_guardrails: [pg-1]\n"
    )
    arguments = ["check", str(tmp_path / "routing.yaml"), "--profile", "hosted"]
    result = routing(*arguments, "--retries", "gateway")
    assert result.exit_code == 0, result.output
    root, target = result.output.splitlines()
    assert root == "single"
    assert target.endswith(
        " @openai-prod @openai-prod/gpt-4o  first_token 2.5 s, between_tokens 1 s  2 retries  "
        "semantic cache  guarded"
    )
    refused = routing(*arguments)
    assert refused.exit_code == 1
    assert "config.targets[0].retry" in refused.output


def test_the_request_may_name_provider_and_model(tmp_path: Path) -> None:
    (tmp_path / "routing.json").write_text('{"mode": "fallback", "targets": [{"name": "any"}]}')
    result = routing("check", str(tmp_path / "routing.json"), "--profile", "hosted")
    assert "any  provider of the request model of the request" in result.output
    assert "└── " in result.output


def test_every_problem_is_listed_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "routing.yaml").write_text(
        "mode: fallback\n"
        "targets:\n"
        f"  - {{provider: opnai, api_key: {SECRET}}}\n"
        "  - {provider: openai, cache: {mode: simple}}\n"
    )
    result = routing("check", str(tmp_path / "routing.yaml"))
    assert result.exit_code == 1
    rows = [
        [cell.strip() for cell in line.split("│")[1:3]]
        for line in result.output.splitlines()
        if "│" in line
    ]
    assert [path for path, _ in rows] == [
        "config.targets[0].provider",
        "config.targets[1].cache",
        "config.targets[1].api_key",
    ]
    assert "did you mean openai" in rows[0][1]
    # A reason with a semicolon of its own is one reason.
    assert "; leave it out" in rows[1][1]
    assert SECRET not in result.output


def test_what_does_not_parse_is_listed_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "routing.yaml").write_text(
        f"mode: fallback\ntargets: [{{provider: openai, api_kye: {SECRET}}}, {{weight: -1}}]\n"
    )
    result = routing("check", str(tmp_path / "routing.yaml"))
    assert result.exit_code == 1
    assert "config.targets[0].api_kye" in result.output
    assert "config.targets[1].weight" in result.output
    assert SECRET not in result.output


@pytest.mark.parametrize("content", [None, f"key: [{SECRET}", "- a list"])
def test_a_file_that_is_no_config_is_said(content: str | None, tmp_path: Path) -> None:
    path = tmp_path / "routing.yaml"
    if content is not None:
        path.write_text(content)
    for command in ("check", "show"):
        result = routing(command, str(path))
        assert result.exit_code == 1
        assert len(result.output.strip()) > 20
        assert "Traceback" not in result.output
        assert SECRET not in result.output


def test_the_gateways_own_form_is_read_too(tmp_path: Path) -> None:
    config = {
        "strategy": {"mode": "fallback"},
        "targets": [{"provider": "openai", "api_key": SECRET, "override_params": {"model": "m"}}],
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    result = routing("check", str(tmp_path / "config.json"))
    assert result.exit_code == 0, result.output
    assert "openai/m  openai m" in result.output


# Show


def test_the_gateways_json_is_shown_without_secrets(file: Path) -> None:
    result = routing("show", str(file))
    assert result.exit_code == 0, result.output
    config = json.loads(result.output)
    assert config["strategy"] == {"mode": "fallback", "on_status_codes": [429, 500]}
    assert config["targets"][0] == {
        "provider": "openai",
        "api_key": "<from UNSET_KEY>",
        "name": "primary",
        "override_params": {"model": "gpt-4o"},
        "request_timeout": 30_000,
    }
    [big, small] = config["targets"][1]["targets"][0]["targets"]
    assert (big["api_key"], big["weight"], small["api_key"]) == ("<hidden>", 3, "<hidden>")
    # The whole of it, as if nobody had failed yet.
    assert "is_open" not in result.output
    assert SECRET not in result.output


def test_secrets_in_odd_places_are_hidden_too(tmp_path: Path) -> None:
    target: dict[str, Any] = {
        "provider": "vertex-ai",
        "vertex_region": "europe-west1",
        "vertex_service_account_json": {"private_key": SECRET},
        "override_params": {
            "max_tokens": 5,
            "extra_headers": {"list": [SECRET, {"y": SECRET}], "deep": {"x": SECRET}},
            "tools": [{"name": "t", "password": SECRET}],
        },
        "input_guardrails": [
            {
                "checks": [
                    {
                        "id": "default.webhook",
                        "parameters": {
                            "webhookURL": f"https://user:{SECRET}@example.com/",
                            "headers": {"Authorization": "${HOOK_KEY}", "X": SECRET},
                            "list": ["${ANY}", 1],
                        },
                    }
                ]
            }
        ],
    }
    for secret in ({"private_key": SECRET}, "${ACCOUNT}"):
        path = tmp_path / "routing.json"
        path.write_text(json.dumps({**target, "vertex_service_account_json": secret}))
        result = routing("show", str(path))
        assert result.exit_code == 0, result.output
        assert SECRET not in result.output
    shown = json.loads(result.output)
    assert shown["vertex_service_account_json"] == {"json": "<from ACCOUNT>"}
    assert shown["override_params"]["max_tokens"] == 5
    assert shown["override_params"]["extra_headers"] == {
        "list": ["<hidden>", {"y": "<hidden>"}],
        "deep": {"x": "<hidden>"},
    }
    assert shown["override_params"]["tools"] == [{"name": "t", "password": "<hidden>"}]
    check = shown["input_guardrails"][0]["default.webhook"]
    assert check["headers"] == {"Authorization": "<from HOOK_KEY>", "X": "<hidden>"}
    assert check["webhookURL"] == "https://example.com/"
    assert check["list"] == ["<from ANY>", 1]


# Schema


def test_the_schema_is_that_of_the_files() -> None:
    result = routing("schema")
    assert result.exit_code == 0
    assert json.loads(result.output) == json_schema()
