"""Thresholds from YAML, and the commands about them."""

from __future__ import annotations

from pathlib import Path

import promtool
import pytest
import yaml
from typer.testing import CliRunner
from webhook_receiver import Receiver

from agno_portkey.cli import app
from agno_portkey.errors import ConfigurationError
from agno_portkey.telemetry.alerts import Thresholds, rules

TEXT = """
latency: {above: 1.5, window: 10m, lasts: 90s, least: 5, severity: critical}
cache_hits: {below: 0.25}
spending: null
day_budget: {usd: 20}
"""


def run(*words: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["alerts", *words])
    assert done.exit_code == code, done.output
    return done.output


def alerts_in(text: str) -> dict[str, str]:
    """The conditions of rules by the names of their alerts."""
    found = [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]
    return {rule["alert"]: rule["expr"] for rule in found if "alert" in rule}


def test_defaults_are_those_of_the_success_metrics() -> None:
    given = Thresholds()
    assert given.latency is not None
    assert given.latency.above == 2.0
    assert given.errors is not None
    assert given.errors.above == 0.05
    assert given.cache_hits is not None
    assert given.cache_hits.below == 0.40
    assert given.gate_passes is not None
    assert given.gate_passes.below == 0.85
    assert given.spending is not None
    assert given.day_budget is None


def test_from_yaml() -> None:
    given = Thresholds.from_yaml(TEXT)
    latency = given.latency
    assert latency is not None
    assert given.cache_hits is not None
    assert given.day_budget is not None
    assert (latency.above, latency.window, latency.lasts, latency.least) == (1.5, 600.0, 90.0, 5)
    assert latency.severity == "critical"
    assert given.cache_hits.below == 0.25
    assert given.spending is None
    assert given.day_budget.share == 0.10
    assert given.errors == Thresholds().errors
    assert Thresholds.from_yaml("{}") == Thresholds()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("latency: {above: 0}", r"thresholds\.latency\.above: .*greater than 0"),
        ("latency: {above: .nan}", r"thresholds\.latency\.above"),
        ("latency: {above: fast}", r"thresholds\.latency\.above"),
        ("latency: {window: 5x}", r"thresholds\.latency\.window: seconds, or a duration"),
        ("latency: {window: 1ms}", r"thresholds\.latency\.window"),
        ("latency: {lasts: 400d}", r"thresholds\.latency\.lasts"),
        ("latency: {least: 0}", r"thresholds\.latency\.least"),
        ("latency: {below: 1}", r"thresholds\.latency\.below: no such field"),
        ("errors: {above: 5}", r"thresholds\.errors\.above"),
        ("errors: {severity: loud}", r"thresholds\.errors\.severity"),
        ("day_budget: {}", r"thresholds\.day_budget\.usd: required"),
        ("gone: {job: 'a\"} or vector(1) #'}", r"thresholds\.gone\.job"),
        ("latencies: {}", r"thresholds\.latencies: no such field"),
        ("a: 1\na: 2", "a key stands twice"),
        ("- 1", "a mapping of latency, first_token"),
        ("", "a mapping of latency"),
    ],
)
def test_what_does_not_fit_is_told_by_its_path(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Thresholds.from_yaml(text)
    file = tmp_path / "thresholds.yaml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=r"thresholds\.yaml"):
        Thresholds.from_yaml(file)
    assert "Problems of" in run("check", str(file), code=1)


def test_rules_of_a_file_and_of_options(tmp_path: Path) -> None:
    file = tmp_path / "t.yaml"
    file.write_text(TEXT)
    assert run("rules") == rules()
    told = run("rules", "--file", str(file))
    assert told == rules(Thresholds.from_yaml(TEXT))
    conditions = alerts_in(told)
    assert "AgnoPortkeySpending" not in conditions
    assert conditions["AgnoPortkeyDayBudget"].startswith("agno_portkey:cost_usd:increase > 2 and")
    changed = alerts_in(
        run("rules", "--file", str(file), "--latency", "3", "--spending", "7", "--errors", "0.5")
    )
    # The window and the rest of the file are kept.
    assert changed["AgnoPortkeyLatency"] == (
        "agno_portkey:call_seconds:p95 > 3 and agno_portkey:answered_calls:increase >= 5"
    )
    assert "> 7 and" in changed["AgnoPortkeySpending"]
    assert "> 0.5 and" in changed["AgnoPortkeyErrors"]
    promtool.check(tmp_path, told)


def test_a_wrong_option_ends_with_1() -> None:
    assert "errors.above" in run("rules", "--errors", "5", code=1)
    assert "can't be read" in run("rules", "--file", "/nowhere/t.yaml", code=1)


def test_check_shows_the_alerts(tmp_path: Path) -> None:
    file = tmp_path / "t.yaml"
    file.write_text(TEXT)
    told = run("check", str(file))
    assert "> 1.50 s" in told
    assert "< 25.0 %" in told
    assert "600s" in told
    assert "> 2.00 USD" in told
    assert "spending" not in told


def test_one_alert_for_a_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_TOKEN", "s3cret")
    with Receiver() as receiver:
        assert "has taken it" in run("test", "--webhook", receiver.url)
        run("test", "--webhook", receiver.url, "--bearer-from", "HOOK_TOKEN")
        first, second = receiver.messages
        assert first["version"] == "4"
        assert first["commonLabels"]["test"] == "true"
        assert "authorization" not in receiver.headers[0]
        assert receiver.headers[1]["authorization"] == "Bearer s3cret"
        assert second["status"] == "firing"


@pytest.mark.parametrize(("answer", "said"), [(500, "answered 500"), (302, "answered 302")])
def test_one_that_is_not_taken(answer: int, said: str) -> None:
    with Receiver(answer) as receiver:
        assert said in run("test", "--webhook", receiver.url, code=1)
        assert len(receiver.messages) == 1


def test_a_receiver_that_is_none() -> None:
    with Receiver() as receiver:
        url = receiver.url
    assert "not reached (ConnectError)" in run("test", "--webhook", url, code=1)
    assert "webhook" in run("test", "--webhook", "nowhere", code=1)
    assert "NOT_SET" in run("test", "--webhook", url, "--bearer-from", "NOT_SET", code=1)
