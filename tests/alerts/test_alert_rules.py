"""Prometheus' own promtool takes the rules, and each alert fires when it should and only then."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import promtool
import pytest
import yaml

from agno_portkey.telemetry.alerts import DayBudget, Spending, Thresholds, rules
from agno_portkey.telemetry.alerts.rules import duration

MODEL, PROVIDER = 'gen_ai_request_model="gpt"', 'gen_ai_provider_name="openai"'
ANSWERED = 'agno_portkey_outcome="answered"'
CALLS = "gen_ai_client_operation_duration_seconds"
FIRST = "gen_ai_server_time_to_first_token_seconds"
COST = 'gen_ai_usage_cost_USD_total{gen_ai_request_model="gpt"}'
# All of them look back 5 minutes, at 20 events at least, and fire after 5 minutes.
ALIKE: Any = {"window": "5m", "lasts": "5m", "least": 20}
THRESHOLDS = Thresholds(
    latency=ALIKE,
    first_token=ALIKE,
    errors=ALIKE,
    cache_hits=ALIKE,
    gate_passes=ALIKE,
    spending=Spending(**ALIKE, per_hour=10),
    day_budget=DayBudget(**ALIKE, usd=20, share=0.1),
)
BAD, GOOD, END = 15, 30, 45


@dataclass(frozen=True)
class Story:
    """What each series grows by in a minute while it is bad, and while it is good."""

    part: str
    labels: dict[str, str]
    grows: dict[str, tuple[float, float]]

    def series(self, share: float = 1.0) -> dict[str, str]:
        return {
            name: f"0+{bad * share}x{BAD} {bad * share * BAD + good * share}+{good * share}x{GOOD}"
            for name, (bad, good) in self.grows.items()
        }


def latencies(metric: str) -> dict[str, tuple[float, float]]:
    def bucket(bound: str, outcome: str = ANSWERED) -> str:
        return f'{metric}_bucket{{{MODEL},{outcome},le="{bound}"}}'

    kept = 'agno_portkey_outcome="cached"'

    return {
        bucket("0.5"): (0, 10),
        bucket("2.5"): (0, 10),
        bucket("3"): (10, 10),
        bucket("+Inf"): (10, 10),
        f"{metric}_count{{{MODEL},{ANSWERED}}}": (10, 10),
        # What failed or was in the cache is none of the model's latency.
        f'{metric}_count{{{MODEL},agno_portkey_outcome="failed"}}': (30, 30),
        **{bucket(bound, kept): (500, 0) for bound in ("0.5", "2.5", "3", "+Inf")},
    }


def alert(name: str, severity: str = "warning", **labels: str) -> dict[str, str]:
    return {"alertname": f"AgnoPortkey{name}", "severity": severity, **labels}


def cached(outcome: str) -> str:
    return f'agno_portkey_cache_outcomes_total{{agno_portkey_outcome="{outcome}"}}'


def decided(decision: str) -> str:
    return (
        'agno_portkey_gate_decisions_total{agno_portkey_source="release",'
        f'agno_portkey_mode="enforce",gate_decision="{decision}"}}'
    )


def attempts(outcome: str, provider: str = PROVIDER) -> str:
    return f'agno_portkey_attempts_total{{{provider},agno_portkey_outcome="{outcome}"}}'


STORIES = [
    Story("latency", alert("Latency", gen_ai_request_model="gpt"), latencies(CALLS)),
    Story("first_token", alert("FirstToken", gen_ai_request_model="gpt"), latencies(FIRST)),
    Story(
        "errors",
        alert("Errors", "critical", gen_ai_provider_name="openai"),
        {
            attempts("answered"): (9, 9.9),
            attempts("failed"): (1, 0.1),
            attempts("answered", 'gen_ai_provider_name="other"'): (20, 20),
            attempts("failed", 'gen_ai_provider_name="other"'): (0, 0),
        },
    ),
    Story(
        "cache_hits",
        alert("CacheHits"),
        # 30 %, then 50 %; what did not ask the cache counts for nothing.
        {
            cached("hit"): (1, 3),
            cached("near"): (1, 1),
            cached("shared"): (1, 1),
            cached("miss"): (7, 5),
            cached("bypass"): (50, 0),
        },
    ),
    Story(
        "gate_passes",
        alert("GatePasses", agno_portkey_source="release"),
        {decided("passed"): (8, 9), decided("refused"): (2, 1)},
    ),
    Story(
        "spending",
        alert("Spending"),
        # 12 USD an hour, then 6; a tenth of a day's budget of 20 USD is 2 USD in 5 minutes.
        {COST: (0.2, 0.1), f"{CALLS}_count{{{MODEL},{ANSWERED}}}": (10, 10)},
    ),
    Story(
        "day_budget",
        alert("DayBudget", "critical"),
        {COST: (0.5, 0.1), f"{CALLS}_count{{{MODEL},{ANSWERED}}}": (10, 10)},
    ),
]


def of(part: str, **instead: object) -> str:
    """The rules of one part alone."""
    parts = dict.fromkeys(Thresholds.model_fields)
    return rules(Thresholds(**{**parts, part: getattr(THRESHOLDS, part), **instead}))


@pytest.mark.parametrize("story", STORIES, ids=lambda each: each.part)
def test_it_fires_in_time_and_resolves(story: Story, tmp_path: Path) -> None:
    """So for 2 minutes there are too few events; it is pending from then on, and fires 5 later."""
    expected: dict[tuple[int, str], list[dict[str, str]]] = {
        (1, "pending"): [],
        (5, "pending"): [story.labels],
        (5, "firing"): [],
        (10, "firing"): [story.labels],
        (BAD, "firing"): [story.labels],
        (BAD + 8, "firing"): [],
        (BAD + 8, "pending"): [],
        (END, "firing"): [],
    }
    assert not promtool.trouble(tmp_path, of(story.part), story.series(), expected)


@pytest.mark.parametrize("share", [0.0, 0.2], ids=["no traffic", "little traffic"])
@pytest.mark.parametrize("story", STORIES, ids=lambda each: each.part)
def test_without_traffic_it_never_does(story: Story, share: float, tmp_path: Path) -> None:
    """2 events a minute are 10 in a window, which say nothing; of none a share is no number."""
    # Dollars alone are no traffic either.
    series = story.series(share)
    if story.part in ("spending", "day_budget"):
        series[COST] = story.series()[COST]
    expected: dict[tuple[int, str], list[dict[str, str]]] = {
        (minute, state): [] for minute in range(1, END, 3) for state in ("pending", "firing")
    }
    assert not promtool.trouble(tmp_path, of(story.part), series, expected)


def test_a_story_that_is_good_fires_nothing(tmp_path: Path) -> None:
    for story in STORIES[:5]:
        series = {name: f"0+{good}x{END}" for name, (_, good) in story.grows.items()}
        expected: dict[tuple[int, str], list[dict[str, str]]] = {
            (minute, "pending"): [] for minute in (2, 5, 10, 20, 40)
        }
        assert not promtool.trouble(tmp_path, rules(THRESHOLDS), series, expected)


def test_circuits(tmp_path: Path) -> None:
    """Half open is not open; it is one alert, whichever processes see it."""
    told = {
        f'agno_portkey_circuit_state{{agno_portkey_target="{target}",instance="{at}"}}': values
        for target, at, values in (
            ("a", "1", "0x2 2x12 1x20"),
            ("a", "2", "0x2 2x12 0x20"),
            ("b", "1", "2x3 1x40"),
        )
    }
    labels = alert("CircuitOpen", agno_portkey_target="a")
    expected = {
        (7, "firing"): [],
        (7, "pending"): [labels],
        (10, "firing"): [labels],
        (16, "firing"): [],
    }
    assert not promtool.trouble(tmp_path, of("circuits"), told, expected)


@pytest.mark.parametrize("job", [None, "agno"])
def test_metrics_that_are_gone(job: str | None, tmp_path: Path) -> None:
    """They are missed for 5 minutes before they count as gone, and fire 5 minutes later."""
    count = f"{CALLS}_count{{{MODEL},{ANSWERED}}}"
    up = 'up{job="agno",instance="1"}'
    told = {count: "1x10 _x30 2x10"} if job is None else {up: "1x15 0x25 1x10"}
    labels = alert("Gone", "critical") | {"alertname": "AgnoPortkeyMetricsGone"}
    text = of("gone", gone={"job": job})
    expected = {
        (10, "pending"): [],
        (18, "pending"): [labels],
        (18, "firing"): [],
        (25, "firing"): [labels],
        (43, "firing"): [],
    }
    assert not promtool.trouble(tmp_path, text, told, expected)
    # Those that never were are not missed: nobody has asked for a model yet.
    never: dict[tuple[int, str], list[dict[str, str]]] = {
        (minute, "pending"): [] for minute in (1, 10, 30)
    }
    assert bool(promtool.trouble(tmp_path, text, {"x": "1x50"}, never)) is (job is not None)


def test_its_words_say_of_whom_and_how_much(tmp_path: Path) -> None:
    story = STORIES[2]
    said = "10% of the requests to openai fail, more than 5.0 %."
    words = "agno_portkey_errors_total says of which kind. "
    told = yaml.safe_load(of("errors"))["groups"][0]["rules"][-1]["annotations"]
    assert words in told["description"]
    do = told["description"].split(" %. ")[1]
    fired = {
        "eval_time": "12m",
        "alertname": "AgnoPortkeyErrors",
        "exp_alerts": [
            {
                "exp_labels": {"severity": "critical", "gen_ai_provider_name": "openai"},
                "exp_annotations": {"summary": said, "description": f"{said} {do}"},
            }
        ],
    }
    assert not promtool.trouble(tmp_path, of("errors"), story.series(), {}, [fired])


def test_all_of_them_are_taken(tmp_path: Path) -> None:
    assert "20 rules found" in promtool.check(tmp_path, rules())
    assert "23 rules found" in promtool.check(tmp_path, rules(THRESHOLDS))
    for group in yaml.safe_load(rules(THRESHOLDS))["groups"]:
        [told] = [rule for rule in group["rules"] if "alert" in rule]
        assert told["labels"]["severity"] in ("warning", "critical")
        assert told["annotations"]["summary"]
        assert len(told["annotations"]["description"]) > 80


@pytest.mark.parametrize(("seconds", "told"), [(300.0, "300s"), (0.0, "0s"), (1.5, "1500ms")])
def test_durations(seconds: float, told: str) -> None:
    assert duration(seconds) == told
