"""Portkey's admin API in the embedded provider: integrations, virtual keys and API keys."""

from __future__ import annotations

import itertools
import secrets
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

from agno_portkey.testing.faults import Answer, error_answer
from agno_portkey.testing.requests import Request

__all__ = ["Admin"]

Row = dict[str, Any]

# By what each kind is known in paths.
_KNOWN_BY = {"integrations": "slug", "virtual-keys": "slug", "api-keys": "id"}
_MEMBERS = ("workspaces", "models")
# What a key is needed for: all but the API itself, and the list of models.
_KEYED = ("/chat/completions", "/embeddings", "/moderations", "/files", "/batches")


class Admin:
    """What Portkey keeps for its users, in memory, and who may call while keys are `enforced`.

    `rows` are the records by kind (`integrations`, `virtual-keys`, `api-keys`) and id or slug.
    While `enforced`, a call is answered 401 unless all the keys that it brings are live: API keys,
    keys of providers, slugs. A key is live from when it is made until it is deleted or replaced.
    With a `manager` the API wants that key. Faults are armed with `EmbeddedProvider.fault`, as for
    `route="POST /api-keys"`; one that is no answer by itself, as `Fault.cut(0)`, loses the answer
    after all was done.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._serials = itertools.count(1)
        self.reset()

    def reset(self) -> None:
        """Forget all keys, and enforce none."""
        with self._lock:
            self.rows: dict[str, dict[str, Row]] = {kind: {} for kind in _KNOWN_BY}
            self.enforced = False
            self.manager: str | None = None
            self.refused = 0

    def live(self, kind: str | None = None) -> list[str]:
        """The names of what is there, of one kind or of all, in the order it was made."""
        with self._lock:
            kinds = [kind] if kind is not None else [*self.rows]
            return [row["name"] for each in kinds for row in self.rows[each].values()]

    def make(self, kind: str, name: str, **fields: Any) -> Row:
        """Make a record at once, as by hand in Portkey's pages; its `key` is in there."""
        with self._lock:
            number = next(self._serials)
            slug = fields.get("slug") or name
            if kind == "virtual-keys":
                slug = f"{name}-{number:06x}"
            now = datetime.now(UTC).isoformat()
            row = {**fields, "id": f"id-{number}", "name": name, "slug": slug, "status": "active"}
            row |= {"created_at": now, "last_updated_at": now}
            if kind == "api-keys":
                row["key"] = f"pk-{secrets.token_urlsafe(24)}"
            self.rows[kind][row[_KNOWN_BY[kind]]] = row
            return row

    # Over HTTP

    def refusal(self, request: Request) -> Answer | None:
        """The 401 for a call that brings a key which is not live, or none at all."""
        if not self.enforced or not request.route.partition(" ")[2].startswith(_KEYED):
            return None
        brought = [*_brought(request.headers)]
        with self._lock:
            if brought and all(each in self._values() for each in brought):
                return None
            self.refused += 1
        return error_answer(401, "Incorrect API key provided.", code="invalid_api_key")

    def answer(self, request: Request) -> Answer | None:
        """The answer to a request of the admin API, None to another."""
        method, _, path = request.route.partition(" ")
        kind, *rest = path.strip("/").split("/")
        if kind not in self.rows:
            return None
        if self.manager is not None and request.headers.get("x-portkey-api-key") != self.manager:
            return error_answer(401, "You may not manage keys.", code="unauthorized")
        with self._lock:
            match method, rest:
                case "POST", [] if kind != "api-keys":
                    return self._create(kind, _body(request))
                case "POST", [type, sub_type] if kind == "api-keys":
                    return self._create(kind, {**_body(request), "type": f"{type}-{sub_type}"})
                case "GET", []:
                    return self._listed(kind, request)
                case _, [id, *member] if id in self.rows[kind]:
                    return self._one(method, kind, id, member, request)
        return error_answer(404, "There is no such thing.", code="not_found")

    def _create(self, kind: str, body: Mapping[str, Any]) -> Answer:
        name = body.get("name")
        if not isinstance(name, str) or not name:
            return error_answer(400, "A name is needed.", param="name")
        if kind != "api-keys" and not body.get("key"):
            return error_answer(400, "A key is needed.", param="key")
        if kind == "integrations" and (body.get("slug") or name) in self.rows[kind]:
            return error_answer(409, "There is one of that slug.", code="conflict")
        fields = {each: value for each, value in body.items() if each not in ("name", "id")}
        row = self.make(kind, name, **fields)
        told = ("id", "key") if kind == "api-keys" else ("id", "slug")
        return Answer.of_json({**{each: row[each] for each in told}, "object": kind})

    def _listed(self, kind: str, request: Request) -> Answer:
        asked = parse_qs(request.query)
        rows = [_shown(row) for row in self.rows[kind].values()]
        if kind != "virtual-keys":
            size, page = (int(asked.get(each, [default])[0]) for each, default in _PAGES)
            rows = rows[page * size :][:size]
        return Answer.of_json({"object": "list", "total": len(self.rows[kind]), "data": rows})

    def _one(
        self, method: str, kind: str, id: str, member: list[str], request: Request
    ) -> Answer | None:
        row = self.rows[kind][id]
        if member and member[0] not in _MEMBERS:
            return error_answer(404, "There is no such thing.", code="not_found")
        if method == "DELETE":
            del self.rows[kind][id]
            return Answer.of_json({})
        if method == "PUT":
            changed = {member[0]: _body(request)} if member else _body(request)
            row |= {**changed, "last_updated_at": datetime.now(UTC).isoformat()}
            return Answer.of_json({"success": True})
        return Answer.of_json(_shown(row))

    def _values(self) -> Iterator[str]:
        """Whatever a live key can be called by."""
        for kind, rows in self.rows.items():
            for row in rows.values():
                yield row["key"]
                if kind != "api-keys":
                    yield row["slug"]


_PAGES = (("page_size", "100"), ("current_page", "0"))


def _brought(headers: Mapping[str, str]) -> Iterator[str]:
    """The keys that a call brings, and slugs of keys."""
    for name in ("x-portkey-api-key", "x-portkey-virtual-key", "x-portkey-provider"):
        value = headers.get(name, "")
        # Without a mark it is the name of a provider, and no key.
        if value and (name != "x-portkey-provider" or value.startswith("@")):
            yield value.removeprefix("@")
    scheme, _, key = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and key:
        yield key


def _body(request: Request) -> Row:
    return dict(request.body) if isinstance(request.body, dict) else {}


def _shown(row: Row) -> Row:
    """A record as it is listed: its key can't be read again."""
    shown = {name: value for name, value in row.items() if name != "key"}
    return {**shown, "masked_key": f"{row['key'][:3]}***"}
