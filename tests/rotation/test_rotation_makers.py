"""What makes the credentials of a key, and what can't be given to a rotation."""

from __future__ import annotations

from typing import Any

import pytest
from rotated import NAME, Scene

from agno_portkey.errors import (
    ConfigurationError,
    RotationFailed,
    WrongEnvironment,
)
from agno_portkey.security.rotation import (
    ApiKeyMaker,
    IntegrationMaker,
    Made,
    Rotation,
    VirtualKeyMaker,
)
from agno_portkey.testing import Fault


def test_a_virtual_key_is_rotated_with_the_provider_s_key_in_it(scene: Scene) -> None:
    keys: dict[str, str] = {}

    def new_key(name: str) -> str:
        return keys.setdefault(name, f"sk-{len(keys)}-{name[-13:]}")

    admin = scene.provider.admin
    row = admin.make("virtual-keys", "old", key="sk-old")
    scene.source.held[NAME] = row["slug"]
    maker = VirtualKeyMaker(
        scene.client,
        provider="openai",
        new_key=new_key,
        drop_key=lambda name: keys.pop(name, None),
        note="ours",
    )
    keys[row["slug"]] = "sk-old"
    scene.provider.fault(Fault.stall(0), route="POST /virtual-keys")
    scene.rotation(maker=maker).rotate()
    [only] = admin.rows["virtual-keys"].values()
    assert scene.source.held[NAME] == only["slug"]
    assert [*keys.values()] == [only["key"]]
    assert (only["provider"], only["note"]) == ("openai", "ours")


def test_an_integration_is_rotated_and_let_into_its_workspaces(scene: Scene) -> None:
    admin = scene.provider.admin
    admin.make("integrations", "old", slug="old", key="sk-old")
    scene.source.held[NAME] = "@old"
    maker = IntegrationMaker(
        scene.client, ai_provider_id="openai", new_key=lambda name: "sk-new", workspaces=["ws-1"]
    )
    scene.provider.fault(Fault.status(400), route="PUT /integrations")
    with pytest.raises(RotationFailed, match="answered 400"):
        scene.rotation(maker=maker).rotate()
    assert admin.live("integrations") == ["old"]
    scene.rotation(maker=maker).rotate()
    [only] = admin.rows["integrations"].values()
    assert scene.source.held[NAME] == f"@{only['slug']}"
    assert only["workspaces"] == {"workspaces": [{"id": "ws-1", "enabled": True}]}


def test_a_function_for_new_keys_that_fails_is_told_by_its_kind(scene: Scene) -> None:
    def new_key(name: str) -> str:
        raise RuntimeError("sk-oops")

    maker = VirtualKeyMaker(scene.client, provider="openai", new_key=new_key)
    with pytest.raises(RotationFailed, match=r"new_key failed with RuntimeError\.") as failed:
        scene.rotation(maker=maker).rotate()
    assert "sk-oops" not in str(failed.value)


class Broken:
    """A maker of one's own that raises what it likes."""

    def create(self, name: str) -> Made:
        raise KeyError("pk-secret")

    def delete(self, name: str, id: str | None = None) -> None:
        raise KeyError("pk-secret")

    def id_of(self, value: str) -> str | None:
        return None


def test_a_maker_that_breaks_is_told_by_the_kind_of_its_error(scene: Scene) -> None:
    rotation = scene.rotation(maker=Broken())
    with pytest.raises(RotationFailed, match=r"the maker failed \(KeyError\)") as failed:
        rotation.rotate()
    assert "pk-secret" not in str(failed.value)
    assert rotation.status().pending[0].why == "the maker failed (KeyError)"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"maker": object()}, "maker"),
        ({"source": object()}, "source"),
        ({"probe": 3}, "probe"),
        ({"attempts": 0}, "attempts"),
        ({"attempts": True}, "attempts"),
        ({"drain": -1}, "drain"),
        ({"settle": float("nan")}, "settle"),
        ({"patience": "long"}, "patience"),
        ({"secret": "../etc"}, "name"),
    ],
)
def test_settings_that_can_t_work_are_refused(
    scene: Scene, settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said):
        scene.rotation(**settings)


def test_a_name_says_whose_key_it_is(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    maker, source = ApiKeyMaker(scene.client), scene.source
    with pytest.raises(ConfigurationError, match="provider-environment-team"):
        Rotation("search", maker=maker, source=source, journal=scene.folder)
    source.environment = "dev"
    with pytest.raises(WrongEnvironment, match="its source is of dev"):
        scene.rotation()
    source.environment = "production"
    scene.rotation()
    monkeypatch.setenv("PORTKEY_ENVIRONMENT", "staging")
    with pytest.raises(WrongEnvironment, match="PORTKEY_ENVIRONMENT is staging"):
        scene.rotation()
