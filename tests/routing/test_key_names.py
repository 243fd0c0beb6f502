"""The names of keys say whose they are, and the lint what is wrong with them."""

from __future__ import annotations

import secrets
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agno_portkey.errors import ConfigurationError
from agno_portkey.routing.keys.lint import Finding, UsedName, lint
from agno_portkey.routing.keys.names import ENVIRONMENTS, KeyName, Quarter, looks_secret, shown

TODAY = date(2026, 11, 23)
NOW = Quarter(2026, 4)

PARTS = st.from_regex(r"[a-z0-9_]{1,6}(-[a-z0-9_]{1,6}){0,2}", fullmatch=True)


# Quarters


@given(st.dates(date(1000, 1, 1)))
def test_a_quarter_is_three_months_and_the_next_follows_it(day: date) -> None:
    quarter = Quarter.of(day)
    first_month = 3 * quarter.number - 2
    assert quarter.year == day.year
    assert first_month <= day.month <= first_month + 2
    assert Quarter.parse(str(quarter)) == quarter
    if (quarter.year, quarter.number) < (9999, 4):
        after = quarter.next()
        assert quarter < after
        assert (quarter.until(after), after.until(quarter)) == (1, -1)
        assert Quarter.of(date(day.year, first_month, 1) + timedelta(days=95)) == after


@given(st.dates(date(1000, 1, 1)), st.dates(date(1000, 1, 1)))
def test_quarters_are_in_the_order_of_their_days(one: date, other: date) -> None:
    first, second = Quarter.of(one), Quarter.of(other)
    if one <= other:
        assert first <= second
    assert (first < second) == (str(first) < str(second)) == (first.until(second) > 0)


@pytest.mark.parametrize("text", ["2026q0", "2026q5", "26q4", "0026q1", "2026Q4", "2026-4", ""])
def test_what_is_no_quarter_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="quarter: one like 2026q4, not"):
        Quarter.parse(text)


def test_a_quarter_is_checked_when_made() -> None:
    with pytest.raises(ConfigurationError, match="quarter: one like 2026q4, not '2026q7'"):
        Quarter(2026, 7)


# Names


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("openai-prod-search-2026q4", ("openai", "prod", "search")),
        ("@openai-prod-search-2026q4", ("openai", "prod", "search")),
        ("@together-ai-prod-search-2026q4/Qwen/Qwen3-235B", ("together-ai", "prod", "search")),
        (" openai-prod-search-2026q4\n", ("openai", "prod", "search")),
        ("azure-openai-staging-new-search-2026q4", ("azure-openai", "staging", "new-search")),
        # A known provider is believed, so the team may be called like an environment.
        ("openai-prod-dev-2026q4", ("openai", "prod", "dev")),
        ("openai-prod-test-prod-2026q4", ("openai", "prod", "test-prod")),
        # What is unknown ends at the first environment.
        ("my-llm-prod-search-2026q4", ("my-llm", "prod", "search")),
        ("acme-dev-prod-search-2026q4", ("acme", "dev", "prod-search")),
        # "openai" alone would fit, but no environment follows it.
        ("openai-eu-prod-search-2026q4", ("openai-eu", "prod", "search")),
    ],
)
def test_a_name_is_read_in_its_parts(text: str, parts: tuple[str, str, str]) -> None:
    assert KeyName.parse(text) == KeyName(*parts, NOW)


def test_environments_of_ones_own_may_stand_in_a_name() -> None:
    with pytest.raises(ConfigurationError, match="it has no environment"):
        KeyName.parse("openai-pre-prod-2026q4", environments=["eu"])
    found = KeyName.parse("openai-pre-prod-search-2026q4", environments=["pre-prod", "pre"])
    assert (found.environment, found.team) == ("pre-prod", "search")
    assert str(found) == "openai-pre-prod-search-2026q4"


@given(PARTS, st.sampled_from(ENVIRONMENTS) | PARTS, PARTS, st.dates(date(1000, 1, 1)))
def test_a_name_reads_back_as_it_was_made_or_is_refused(
    provider: str, environment: str, team: str, day: date
) -> None:
    try:
        name = KeyName(provider, environment, team, Quarter.of(day))
    except ConfigurationError:
        return
    for text in (str(name), f"@{name}", f"@{name}/a/model"):
        assert KeyName.parse(text, environments=[environment]) == name


@given(st.text() | PARTS.map(lambda part: f"openai-prod-{part}-2026q4"))
def test_any_text_is_a_name_or_a_typed_error(text: str) -> None:
    try:
        name = KeyName.parse(text)
    except ConfigurationError:
        return
    assert str(name) == text.strip().removeprefix("@").partition("/")[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("openai-prod-search", "it ends in no quarter; name it like openai-prod-search-2026q4"),
        ("", "it ends in no quarter"),
        ("2026q4", "small letters"),
        ("OpenAI-prod-search-2026q4", "small letters, digits and single dashes"),
        ("openai--prod-search-2026q4", "small letters"),
        ("openai-search-2026q4", r"no environment \(dev, test, staging, prod\)"),
        ("openai-prod-2026q4", "no environment .* between a provider and a team"),
        ("prod-search-2026q4", "no environment"),
    ],
)
def test_what_is_no_name_is_refused_with_the_reason(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        KeyName.parse(text)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (("OpenAI", "prod", "search"), "provider: small letters"),
        (("openai", "", "search"), "environment: small letters"),
        (("openai", "prod", "search-"), "team: small letters"),
        (("acme-dev", "prod", "search"), "provider: 'acme-dev' can't be told"),
    ],
)
def test_parts_are_checked_when_a_name_is_made(parts: tuple[str, str, str], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        KeyName(*parts, NOW)


# Secrets

SECRETS = [
    "sk-proj-Ab3dEf6hIj9lMn2pQr5tUv8x",
    "sk-ant-api03-abcdefghijklmnop",
    "gsk_1234567890abcdefghij",
    "AIzaSyA1234567890abcdefghijklmnopqrstuv",
    "hf_abcdefghijklmnopqrstuvwx",
    "wJalrXUtnFEMI1K7MDENGbPxRfiCYzEXAMPLEKEY",
    "0123456789abcdef0123456789abcdef",
    "3F2504E0-4F89-41D3-9A0C-0305E82C3301",
    "Bearer abcdefghijklmnopqrstu",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_is_seen_and_never_shown(secret: str) -> None:
    assert looks_secret(secret)
    with pytest.raises(ConfigurationError, match="looks like a secret") as refused:
        KeyName.parse(secret)
    for used in (secret, f"@{secret}", f" {secret}", UsedName(secret, "virtual_key", "a.yaml")):
        [finding] = lint([used], today=TODAY)
        assert finding.level == "error"
        assert "looks like a secret" in finding.what
        assert secret not in repr(finding)
        assert secret[3:12] not in repr(finding)
    assert secret not in str(refused.value)
    with pytest.raises(ConfigurationError) as refused:
        KeyName(secret, "prod", "search", NOW)
    assert secret not in str(refused.value)


@given(st.randoms(use_true_random=False), st.integers(16, 64))
def test_random_keys_are_seen(chance: Any, size: int) -> None:
    token = f"sk-{chance.randbytes(size).hex()}"
    assert looks_secret(token)
    assert looks_secret(token[3:])


def test_keys_as_programs_make_them_are_mostly_seen() -> None:
    made = [secrets.token_urlsafe(48) for _ in range(300)]
    # Dashes by chance can cut one into short pieces.
    assert sum(map(looks_secret, made)) > 270


@pytest.mark.parametrize(
    "name",
    [
        "openai-prod-internationalization-2026q4",
        "@together-ai-prod-search-2026q4/meta-llama/Llama3170BInstructTurbo128K",
        "sk-prod-a-2026q4",
        "openai-key-66a67d",
        "",
    ],
)
def test_names_are_not_taken_for_secrets(name: str) -> None:
    assert not looks_secret(name)
    assert shown(name) == name


def test_a_long_name_is_cut_where_it_is_shown() -> None:
    assert shown("a-" * 100) == "a-" * 38 + "a..."


# The lint


def levels(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.name, finding.level) for finding in findings]


def test_names_that_keep_the_convention_are_no_finding() -> None:
    names = ["@openai-prod-search-2026q4", "azure-openai-prod-mail-2026q4"]
    assert lint(names, environment="prod", today=TODAY) == []
    assert lint(names, environment="production", today=TODAY) == []
    assert lint([], today=TODAY) == []


@pytest.mark.parametrize(
    ("quarter", "level", "what"),
    [
        ("2026q3", "warning", "its rotation is due"),
        ("2026q2", "error", "its rotation is overdue"),
        ("2024q4", "error", "its rotation is overdue"),
        ("2027q1", "warning", "it is of 2027q1, and this is 2026q4"),
        ("2027q2", "error", "it is of 2027q2, and this is 2026q4"),
    ],
)
def test_the_quarter_says_when_to_rotate(quarter: str, level: str, what: str) -> None:
    [finding] = lint([f"openai-prod-search-{quarter}"], today=TODAY)
    assert finding.level == level
    assert what in finding.what
    if "rotation" in what:
        assert finding.do.startswith("make openai-prod-search-2026q4, route to it")


def test_without_a_date_the_current_quarter_is_todays() -> None:
    # The quarter may end between the two lines: then one of the two is right.
    before = lint([f"openai-prod-search-{Quarter.of(date.today())}"])
    after = lint([f"openai-prod-search-{Quarter.of(date.today())}"])
    assert [] in (before, after)


def test_a_misspelt_provider_is_named() -> None:
    [near] = lint(["opnai-prod-search-2026q4"], today=TODAY)
    assert (near.level, near.do) == ("error", "use 'openai'")
    [far] = lint(["zzz-prod-search-2026q4"], today=TODAY)
    assert far.level == "warning"
    assert "the gateway knows no provider 'zzz'" in far.what


def test_a_key_of_another_environment_is_an_error() -> None:
    [finding] = lint(["openai-prod-search-2026q4"], environment="dev", today=TODAY)
    assert finding.level == "error"
    assert finding.what == "a key of prod, and PORTKEY_ENVIRONMENT is dev"
    assert finding.do == "use the key of dev, or set PORTKEY_ENVIRONMENT=prod"


def test_the_environment_of_the_process_may_be_one_of_its_own() -> None:
    name = "openai-sandbox-search-2026q4"
    assert lint([name], environment="sandbox", today=TODAY) == []
    assert lint([name], environments=["sandbox"], today=TODAY) == []
    assert levels(lint([name], today=TODAY)) == [(name, "error")]


def test_virtual_keys_are_deprecated() -> None:
    used = UsedName("openai-prod-search-2026q4", "virtual_key", "routing.yaml: virtual_key")
    [finding] = lint([used], today=TODAY)
    assert (finding.level, finding.where) == ("warning", "routing.yaml: virtual_key")
    assert '"@openai-prod-search-2026q4"' in finding.do
    # As Portkey named them by itself.
    old, unfit = lint(["openai-key-66a67d"], today=TODAY)
    assert "deprecated" in old.what
    assert "no quarter" in unfit.what


def test_a_list_holds_each_name_once_and_a_config_may_use_one_twice() -> None:
    name = "openai-prod-search-2026q4"
    [finding] = lint([name, f"@{name}"], today=TODAY)
    assert (finding.name, finding.level) == (f"@{name}", "warning")
    assert "more than once" in finding.what
    used = [UsedName(f"@{name}", "slug", place) for place in ("a", "b")]
    assert lint(used, today=TODAY) == []
    bad = [UsedName("@what", "slug", place) for place in ("a", "b")]
    assert [finding.where for finding in lint(bad, today=TODAY)] == ["a"]


def test_findings_are_in_the_order_of_the_names() -> None:
    names = ["nothing", "openai-prod-a-2026q3", "acme-prod-a-2020q1"]
    assert levels(lint(names, environment="dev", today=TODAY)) == [
        ("nothing", "error"),
        ("openai-prod-a-2026q3", "error"),
        ("openai-prod-a-2026q3", "warning"),
        ("acme-prod-a-2020q1", "warning"),
        ("acme-prod-a-2020q1", "error"),
        ("acme-prod-a-2020q1", "error"),
    ]
