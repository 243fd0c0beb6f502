"""The stand-in of Portkey's admin API answers the SDK as Portkey does, and says who may call."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from portkey_ai import Portkey
from portkey_ai.api_resources import exceptions

from agno_portkey import PortkeyModel
from agno_portkey.security.rotation import admin_client
from agno_portkey.testing import EmbeddedProvider, Fault


@pytest.fixture
def admin(portkey_provider: EmbeddedProvider) -> Iterator[Portkey]:
    with admin_client("manager", base_url=portkey_provider.url, timeout=0.3) as client:
        yield client


def asked(provider: EmbeddedProvider, **keys: str) -> int:
    """The status of a completion that brings these keys."""
    model = PortkeyModel(base_url=provider.url, profile="hosted", **keys)  # type: ignore[arg-type]
    with model.get_client() as client:
        raw = client.with_options(max_retries=0).chat.completions.with_raw_response
        try:
            messages = [{"role": "user", "content": "Hi"}]
            headers = model.get_request_params()["extra_headers"]
            return raw.create(model="m", messages=messages, extra_headers=headers).status_code  # type: ignore[arg-type]
        except Exception as error:
            return getattr(error, "status_code", 0)


def test_api_keys(admin: Portkey, portkey_provider: EmbeddedProvider) -> None:
    made = admin.api_keys.create(
        type="workspace", sub_type="service", name="one", scopes=["completions.write"]
    )
    assert made.key
    held = admin.api_keys.retrieve(id=made.id)
    assert (held.name, held.key, held.status) == ("one", None, "active")
    assert held.scopes == ["completions.write"]
    admin.api_keys.update(id=str(made.id), name="two")
    listed = admin.api_keys.list()
    assert [(row["id"], row["name"]) for row in listed.data or []] == [(made.id, "two")]
    assert listed.total == 1
    admin.api_keys.delete(id=made.id)
    assert portkey_provider.admin.live() == []
    with pytest.raises(exceptions.NotFoundError):
        admin.api_keys.retrieve(id=made.id)


def test_integrations(admin: Portkey) -> None:
    made = admin.integrations.create(name="one", slug="one", key="sk-1", ai_provider_id="openai")
    assert made.slug == "one"
    with pytest.raises(exceptions.ConflictError):
        admin.integrations.create(name="one", slug="one", key="sk-2", ai_provider_id="openai")
    admin.integrations.workspaces.update(slug="one", workspaces=[{"id": "ws", "enabled": True}])
    held = admin.integrations.retrieve(slug="one")
    assert (held.slug, held.ai_provider_id, held.masked_key) == ("one", "openai", "sk-***")
    assert [row.slug for row in admin.integrations.list().data or []] == ["one"]
    admin.integrations.delete(slug="one")
    assert admin.integrations.list().data == []


def test_virtual_keys(admin: Portkey) -> None:
    made = admin.virtual_keys.create(name="one", provider="openai", key="sk-1")
    assert (made.slug or "").startswith("one-")
    admin.virtual_keys.update(slug=str(made.slug), note="new")
    assert admin.virtual_keys.retrieve(slug=made.slug).note == "new"
    assert [row["name"] for row in admin.virtual_keys.list().data or []] == ["one"]
    admin.virtual_keys.delete(slug=made.slug)
    assert admin.virtual_keys.list().data == []


def test_lists_come_in_pages(admin: Portkey, portkey_provider: EmbeddedProvider) -> None:
    for number in range(5):
        portkey_provider.admin.make("api-keys", f"key-{number}")
    pages = [admin.api_keys.list(page_size=2, current_page=page) for page in range(4)]
    names = [[row["name"] for row in page.data or []] for page in pages]
    assert names == [["key-0", "key-1"], ["key-2", "key-3"], ["key-4"], []]
    assert {page.total for page in pages} == {5}


def test_what_is_incomplete_or_unknown_is_refused(
    admin: Portkey, portkey_provider: EmbeddedProvider
) -> None:
    with pytest.raises(exceptions.BadRequestError):
        admin.virtual_keys.create(name="one")
    with pytest.raises(exceptions.BadRequestError):
        admin.api_keys.create(type="workspace", sub_type="service")
    with pytest.raises(exceptions.NotFoundError):
        admin.virtual_keys.delete(slug="none")
    portkey_provider.admin.manager = "somebody else"
    with pytest.raises(exceptions.AuthenticationError):
        admin.virtual_keys.list()


@pytest.mark.parametrize("lost", [Fault.cut(0), Fault.stall(0), Fault.malformed_chunk()])
def test_an_answer_can_be_lost_after_all_is_done(
    admin: Portkey, portkey_provider: EmbeddedProvider, lost: Fault
) -> None:
    portkey_provider.fault(lost, route="POST /api-keys")
    with pytest.raises(Exception):  # noqa: B017, PT011 - of the SDK, or of what it reads with
        admin.api_keys.create(type="workspace", sub_type="service", name="one")
    # Once, though the SDK's own client would ask again.
    assert portkey_provider.admin.live() == ["one"]


def test_calls_need_live_keys_once_that_is_said(portkey_provider: EmbeddedProvider) -> None:
    admin = portkey_provider.admin
    assert asked(portkey_provider, api_key="anything") == 200
    admin.enforced = True
    assert asked(portkey_provider, api_key="anything") == 401
    assert asked(portkey_provider) == 401
    key, other = admin.make("api-keys", "one"), admin.make("api-keys", "two")
    slug = admin.make("virtual-keys", "three", key="sk-3")
    assert asked(portkey_provider, portkey_api_key=key["key"]) == 200
    assert asked(portkey_provider, api_key=other["key"]) == 200
    assert asked(portkey_provider, api_key="sk-3") == 200
    both = {"portkey_api_key": key["key"], "virtual_key": slug["slug"]}
    assert asked(portkey_provider, **both) == 200
    assert asked(portkey_provider, portkey_api_key=key["key"], portkey_provider="@gone") == 401
    assert asked(portkey_provider, portkey_api_key=key["key"], portkey_provider="openai") == 200
    del admin.rows["api-keys"][key["id"]]
    assert asked(portkey_provider, **both) == 401
    assert admin.refused == 4
    portkey_provider.reset()
    assert (admin.enforced, admin.live()) == (False, [])


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "chat/completions"),
        ("POST", "embeddings"),
        ("POST", "moderations"),
        ("POST", "files"),
        ("GET", "files/file_1/content"),
        ("POST", "batches"),
        ("GET", "batches"),
        ("POST", "batches/batch_1/cancel"),
    ],
)
def test_so_does_whatever_else_is_asked(
    method: str, path: str, portkey_provider: EmbeddedProvider
) -> None:
    admin = portkey_provider.admin
    admin.enforced = True
    key = admin.make("api-keys", "one")["key"]

    def refused(**headers: str) -> bool:
        url = f"{portkey_provider.url}/{path}"
        return httpx.request(method, url, json={}, headers=headers).status_code == 401

    assert refused()
    assert refused(authorization="Bearer gone")
    assert not refused(**{"x-portkey-api-key": key})
    # Who keeps the keys has one of another kind.
    assert httpx.get(f"{portkey_provider.url}/api-keys").status_code == 200
