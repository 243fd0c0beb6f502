"""What makes credentials and deletes them: Portkey's API keys, integrations and virtual keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from agno_portkey.secrets.hidden import Hidden
from agno_portkey.security.rotation.admin import AdminFailed, asked

if TYPE_CHECKING:
    from portkey_ai import Portkey

__all__ = ["ApiKeyMaker", "IntegrationMaker", "Made", "Maker", "VirtualKeyMaker"]

_PAGE = 100
_MOST_PAGES = 1000


@dataclass(frozen=True, slots=True)
class Made:
    """A credential that was made: how its maker knows it, and what callers send."""

    id: str
    value: str = field(repr=False)


@runtime_checkable
class Maker(Protocol):
    """What makes the credentials of a key. All of it may block, and raises AdminFailed."""

    def create(self, name: str) -> Made:
        """Make one under `name`, which no other has."""
        ...

    def delete(self, name: str, id: str | None = None) -> None:
        """Delete the one of that `id`, and whatever else has this very name.

        That nothing is there is no error; that something still is there is one.
        """
        ...

    def id_of(self, value: str) -> str | None:
        """The id of the one that has this value, if the value tells it."""
        ...


class ApiKeyMaker:
    """API keys of Portkey, which makes their values; callers send them as `portkey_api_key`.

    `options` are those of the SDK's `api_keys.create`: `scopes`, `workspace_id`, `defaults` ...
    """

    def __init__(
        self,
        client: Portkey,
        *,
        type: str = "workspace",
        sub_type: str = "service",
        **options: Any,
    ) -> None:
        self._client = client
        self._options = {"type": type, "sub_type": sub_type, **options}

    def create(self, name: str) -> Made:
        make = partial(self._client.api_keys.create, name=name, **self._options)
        made = asked("to make an API key", lambda: _without_repr(make()))
        return Made(_text(made["id"], "id"), _text(made["key"], "key"))

    def find(self, name: str) -> list[str]:
        """The ids of all that have this very name."""
        workspace = self._options.get("workspace_id")
        only = {} if workspace is None else {"workspace_id": workspace}
        ask = partial(self._client.api_keys.list, page_size=_PAGE, **only)
        return _found(_paged("to list API keys", ask), name, "id")

    def delete(self, name: str, id: str | None = None) -> None:
        keys = self._client.api_keys
        for each in _all(id, lambda: self.find(name)):
            _delete("an API key", partial(keys.delete, id=each), partial(keys.retrieve, id=each))

    def id_of(self, value: str) -> str | None:
        return None


class _Slugs:
    """What holds a provider's key under a slug: callers send the slug.

    `new_key(name)` makes a key at the provider, or gives the one that it made under that name;
    `drop_key(name)` deletes it there. A slug whose key `drop_key` does not delete leaves that key
    alive at the provider: without it, see to that by hand.
    """

    kind: str

    def __init__(
        self,
        new_key: Callable[[str], str],
        drop_key: Callable[[str], object] | None,
    ) -> None:
        self._new_key, self._drop_key = new_key, drop_key

    def id_of(self, value: str) -> str | None:
        """The slug, without what stands before it."""
        return value.removeprefix("@")

    def _key(self, name: str) -> str:
        try:
            key = self._new_key(name)
        except Exception as error:
            kind = type(error).__name__
            raise AdminFailed(f"new_key failed with {kind}", unsure=True) from None
        return Hidden(_text(key, "key of new_key"))

    def _drop(self, name: str) -> None:
        if self._drop_key is None:
            return
        try:
            self._drop_key(name)
        except Exception as error:
            kind = type(error).__name__
            raise AdminFailed(f"drop_key failed with {kind}", unsure=True) from None


class IntegrationMaker(_Slugs):
    """Integrations of Portkey's model catalog; the value is the slug, as `@openai-prod-...`.

    `workspaces` are the ids of those that may use it, beside what `options` of the SDK's
    `integrations.create` say.
    """

    def __init__(
        self,
        client: Portkey,
        *,
        ai_provider_id: str,
        new_key: Callable[[str], str],
        drop_key: Callable[[str], object] | None = None,
        workspaces: Sequence[str] = (),
        **options: Any,
    ) -> None:
        super().__init__(new_key, drop_key)
        self._client = client
        self._workspaces = tuple(workspaces)
        self._options = {"ai_provider_id": ai_provider_id, **options}

    def create(self, name: str) -> Made:
        key, made = self._key(name), self._client.integrations
        make = partial(made.create, name=name, slug=name, key=key, **self._options)
        slug = _text(asked("to make an integration", make).slug, "slug")
        if self._workspaces:
            enabled = [{"id": each, "enabled": True} for each in self._workspaces]
            allow = partial(made.workspaces.update, slug=slug, workspaces=enabled)
            asked("to let workspaces use an integration", allow)
        return Made(slug, f"@{slug}")

    def find(self, name: str) -> list[str]:
        """The slugs of all that have this very name."""
        ask = partial(self._client.integrations.list, page_size=_PAGE)
        return _found(_paged("to list integrations", ask), name, "slug")

    def delete(self, name: str, id: str | None = None) -> None:
        made = self._client.integrations
        for each in _all(id, lambda: self.find(name)):
            gone = partial(made.retrieve, slug=each)
            _delete("an integration", partial(made.delete, slug=each), gone)
        self._drop(name)


class VirtualKeyMaker(_Slugs):
    """Virtual keys, as Portkey had them before its model catalog; the value is the slug."""

    def __init__(
        self,
        client: Portkey,
        *,
        provider: str,
        new_key: Callable[[str], str],
        drop_key: Callable[[str], object] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(new_key, drop_key)
        self._client = client
        self._options = {"provider": provider, **options}

    def create(self, name: str) -> Made:
        key = self._key(name)
        make = partial(self._client.virtual_keys.create, name=name, key=key, **self._options)
        slug = _text(asked("to make a virtual key", make).slug, "slug")
        return Made(slug, slug)

    def find(self, name: str) -> list[str]:
        """The slugs of all that have this very name."""
        answer = asked("to list virtual keys", self._client.virtual_keys.list)
        return _found(_rows(answer, "to list virtual keys"), name, "slug")

    def delete(self, name: str, id: str | None = None) -> None:
        keys = self._client.virtual_keys
        for each in _all(id, lambda: self.find(name)):
            gone = partial(keys.retrieve, slug=each)
            _delete("a virtual key", partial(keys.delete, slug=each), gone)
        self._drop(name)


def _without_repr(made: Any) -> dict[str, Any]:
    """The id and key of an answer, so that no variable shows the key."""
    key = Hidden(made.key) if isinstance(made.key, str) else made.key
    return {"id": made.id, "key": key}


def _text(value: object, what: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise AdminFailed(f"there is no {what} in an answer", unsure=True)
    return value


def _paged(what: str, ask: Callable[..., Any]) -> Iterator[Mapping[str, Any]]:
    """The rows of all pages."""
    for page in range(_MOST_PAGES):
        rows = list(_rows(asked(what, partial(ask, current_page=page)), what))
        yield from rows
        if len(rows) < _PAGE:
            return
    raise AdminFailed(f"Portkey gave no end of pages when asked {what}", unsure=True)


def _rows(answer: Any, what: str) -> Iterator[Mapping[str, Any]]:
    if not isinstance(answer.data, list):
        # Nothing in there is not the same as no keys.
        raise AdminFailed(f"there is no list in Portkey's answer when asked {what}", unsure=True)
    for row in answer.data:
        yield row if isinstance(row, Mapping) else row.model_dump()


def _found(rows: Iterator[Mapping[str, Any]], name: str, field: str) -> list[str]:
    return [_text(row.get(field), field) for row in rows if row.get("name") == name]


def _all(id: str | None, find: Callable[[], list[str]]) -> Iterator[str]:
    """The ids that are to go: the one that is known before anything else is asked."""
    if id is not None:
        yield id
    yield from (each for each in find() if each != id)


def _delete(what: str, delete: Callable[[], Any], retrieve: Callable[[], Any]) -> None:
    """Delete and look whether it is gone, which counts, whatever the first answer was."""
    failed = None
    try:
        asked(f"to delete {what}", delete)
    except AdminFailed as error:
        failed = error
    if not _is_there(what, retrieve):
        return
    raise failed or AdminFailed(f"Portkey said that {what} is deleted, and it is still active")


def _is_there(what: str, retrieve: Callable[[], Any]) -> bool:
    try:
        held = asked(f"whether {what} is gone", retrieve)
    except AdminFailed as error:
        if error.status == 404:
            return False
        raise
    # One that is kept for the record says so.
    return getattr(held, "status", None) in (None, "active")
