"""What is of one environment is refused in another: its names, caches, keys and policies."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent
from environment_scene import be
from four_forms import FORMS, play
from hypothesis import given
from hypothesis import strategies as st

from agno_portkey import PortkeyModel, govern
from agno_portkey.cache import Cache, CachePolicy
from agno_portkey.environments import called, check_environment, current
from agno_portkey.errors import WrongEnvironment
from agno_portkey.policy import Policy
from agno_portkey.testing import EmbeddedProvider

SLUG = "openai-{}-search-2026q4"


# Names


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("prod", "prod"),
        ("Production", "prod"),
        (" PROD ", "prod"),
        ("stage", "staging"),
        ("development", "dev"),
        ("testing", "test"),
        ("qa-7", "qa-7"),
    ],
)
def test_an_environment_is_called_as_keys_call_it(
    said: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    be(monkeypatch, said)
    assert called(said) == name
    assert current() == name


def test_a_blank_name_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    be(monkeypatch, "  ")
    assert current() is None
    check_environment(None, "a key")


NAMES = st.text(string.ascii_letters + string.digits + "-", min_size=1, max_size=12)


@given(own=NAMES, theirs=NAMES)
def test_what_bears_another_name_is_refused_and_nothing_else(own: str, theirs: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        be(patch, own)
        if called(own) == called(theirs):
            check_environment(theirs, "a key")
        else:
            with pytest.raises(WrongEnvironment, match=f"a key is of {called(theirs)}"):
                check_environment(theirs, "a key")


# Caches


@pytest.mark.parametrize("form", FORMS)
def test_nothing_is_served_that_another_environment_has_kept(
    form: str, portkey_provider: EmbeddedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Cache(":memory:")
    policy = CachePolicy(store=cache, scope="public")
    portkey_provider.when(lambda request: True, "All is well.")
    asked = []
    for name in ("dev", "staging", "Staging", None, "dev"):
        be(monkeypatch, name)
        model = PortkeyModel(base_url=portkey_provider.url, api_key="k", cache=policy)
        assert play(Agent(model=model), form).content == "All is well."
        asked.append(len(portkey_provider.calls))
    assert asked == [1, 2, 2, 3, 3]
    cache.close()


# Keys


@pytest.mark.parametrize(
    "given",
    [
        {"portkey_provider": "@" + SLUG.format("dev")},
        {"id": f"@{SLUG.format('dev')}/gpt-4o"},
        {"virtual_key": SLUG.format("dev")},
        {"config": {"strategy": {"mode": "fallback"}, "targets": [
            {"provider": "@" + SLUG.format("prod")}, {"provider": "@" + SLUG.format("dev")}]}},
        {"config": {"virtual_key": SLUG.format("dev")}},
        {"config": {"provider": "openai", "api_key": "k",
            "override_params": {"model": f"@{SLUG.format('dev')}/o3"}}},
    ],
    ids=["provider", "id", "virtual key", "target", "target's key", "target's model"],
)  # fmt: skip
def test_a_key_of_dev_is_refused_in_production(
    given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    hosted: dict[str, Any] = {"portkey_api_key": "k", **given}
    be(monkeypatch, "production")
    with pytest.raises(WrongEnvironment, match=f"the key @?{SLUG.format('dev')}.* is of dev"):
        PortkeyModel(**hosted)
    # Where no environment is named, and in its own, it may be used.
    for own in (None, "dev"):
        be(monkeypatch, own)
        if "prod" not in json.dumps(given):
            PortkeyModel(**hosted)


@pytest.mark.parametrize(
    "given", [{"portkey_provider": "@openai-dev"}, {"id": "@together-ai-dev/llama"}]
)
def test_a_slug_that_ends_in_an_environment_is_of_that(
    given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    be(monkeypatch, "prod")
    with pytest.raises(WrongEnvironment, match="is of dev"):
        PortkeyModel(portkey_api_key="k", **given)
    for own in (None, "dev"):
        be(monkeypatch, own)
        PortkeyModel(portkey_api_key="k", **given)


def test_a_name_that_says_no_environment_is_for_any(monkeypatch: pytest.MonkeyPatch) -> None:
    be(monkeypatch, "prod")
    for name in ("@openai", "@dev", "@my-dev-team", "@openai-dev-search"):
        PortkeyModel(portkey_api_key="k", portkey_provider=name)
    PortkeyModel("our-model-dev", portkey_api_key="k")


# Policies


def test_a_policy_of_production_governs_nothing_else(
    tmp_path: Path, portkey_model: PortkeyModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("tags: {team: x}\nenvironment: production\n")
    for own in ("staging", None):
        be(monkeypatch, own)
        with pytest.raises(WrongEnvironment, match=r"policy\.yaml:2: .* this policy is of prod"):
            govern(Agent(model=portkey_model), policy=Policy.from_yaml(file))
    be(monkeypatch, "prod")
    govern(Agent(model=portkey_model), policy=Policy.from_yaml(file))
