"""Clients that put keys into a request as it is sent, and ask for a newer one that is refused.

The clients themselves hold none: a key that has changed goes out with the next request, over the
connections that are open, and no call that is under way hears of it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import openai
from openai import AsyncOpenAI, OpenAI
from pydantic import SecretStr

from agno_portkey.errors import SecretUnavailable
from agno_portkey.routing.config.parts import GatewayCheck, Part
from agno_portkey.routing.config.references import is_reference
from agno_portkey.routing.config.routes import Target
from agno_portkey.routing.hosts import check_request
from agno_portkey.routing.unsaid import SENT, forget_variables, hush
from agno_portkey.secrets.base import Secret, SecretSource, arefreshed, held_by, refreshed
from agno_portkey.secrets.hidden import Hidden

__all__ = ["AsyncKeyedClient", "KeyedClient", "Keys", "Named", "marked"]

_REFUSED = (401, 403)
# How often a refused request is sent again: once for the key that its source has now, and once
# for one that has come while the request was made.
_AGAIN = 2
_SENT_WITH = "agno_portkey.keys"
_CONFIG = "x-portkey-config"
_OBJECTS = frozenset({"vertex_service_account_json"})
_MARK = "agno-portkey-secret"
_MARKED = re.compile(
    rf'\{{"{_MARK}":"{_MARK}:(?P<object>\w+):[0-9a-f]{{16}}"\}}'
    rf"|{_MARK}:(?P<text>\w+):[0-9a-f]{{16}}"
)

Held = Mapping[Secret, tuple[str, int]]


class Named:
    """The secrets of a source that a route's references name, each made once."""

    def __init__(self, source: SecretSource) -> None:
        self._source = source
        self._secrets: dict[str, Secret] = {}
        self._lock = threading.Lock()

    def __getitem__(self, name: str) -> Secret:
        with self._lock:
            if name not in self._secrets:
                self._secrets[name] = Secret(name, self._source)
            return self._secrets[name]


@dataclass(frozen=True, slots=True)
class Keys:
    """The secrets that a model's requests are sent with: by header, and by a route's references."""

    headers: Mapping[str, Secret]
    named: Named | None = None

    def of(self, request: httpx.Request) -> list[Secret]:
        """The secrets that `request` needs."""
        needed = dict.fromkeys(self.headers.values())
        if self.named is not None:
            for found in _MARKED.finditer(request.headers.get(_CONFIG, "")):
                needed[self.named[found["object"] or found["text"]]] = None
        return list(needed)

    def put(self, request: httpx.Request, held: Held) -> None:
        """Write the values in `held` into the headers of `request`."""
        for header, secret in self.headers.items():
            value = held[secret][0]
            bearer = header == "Authorization"
            request.headers[header] = Hidden(f"Bearer {value}") if bearer else value
        named = self.named
        if named is not None and _MARK in (config := request.headers.get(_CONFIG, "")):
            filled = _MARKED.sub(lambda found: _filled(found, named, held), config)
            request.headers[_CONFIG] = Hidden(filled)
        versions = tuple((secret, version) for secret, (_, version) in held.items())
        values = tuple(Hidden(value) for value, _ in held.values())
        request.extensions = {**request.extensions, _SENT_WITH: versions, SENT: values}


def marked(route: Any) -> Any:
    """`route` with marks where it refers to secrets; `Keys.put` has the values put there.

    So what is made of a route, kept ready and logged holds none of them.
    """
    if isinstance(route, GatewayCheck):
        return route.model_copy(update={"parameters": _marked_texts(route.parameters)})
    if isinstance(route, Part):
        objects = _OBJECTS if isinstance(route, Target) else frozenset[str]()
        update = {
            name: _marked_secret(value, name in objects)
            if isinstance(value := getattr(route, name), SecretStr)
            else marked(value)
            for name in type(route).model_fields
        }
        return route.model_copy(update=update)
    if isinstance(route, list | tuple):
        return type(route)([marked(each) for each in route])
    return route


class KeyedClient(OpenAI):
    """A blocking client whose requests get their keys as they are sent."""

    keys: Keys

    def copy(self, **changed: Any) -> Any:
        made = super().copy(**changed)
        made.keys = self.keys
        return made

    with_options = copy

    def request(self, cast_to: Any, options: Any, **how: Any) -> Any:
        renewal = _Renewal()
        _stay(options)
        while True:
            try:
                return super().request(cast_to, options, **how)
            except openai.APIStatusError as error:
                hush(error)
                asked = renewal.begun(error, options)
                if asked is None or (asked and not refreshed(asked)):
                    raise

    def _prepare_request(self, request: httpx.Request) -> None:
        check_request(request)
        self.keys.put(request, held_by(self.keys.of(request)))

    def _send_request(self, request: httpx.Request, **how: Any) -> httpx.Response:
        try:
            return super()._send_request(request, **how)
        except BaseException as error:
            forget_variables(error)
            raise


class AsyncKeyedClient(AsyncOpenAI):
    """The same for event loops."""

    keys: Keys

    def copy(self, **changed: Any) -> Any:
        made = super().copy(**changed)
        made.keys = self.keys
        return made

    with_options = copy

    async def request(self, cast_to: Any, options: Any, **how: Any) -> Any:
        renewal = _Renewal()
        _stay(options)
        while True:
            try:
                return await super().request(cast_to, options, **how)
            except openai.APIStatusError as error:
                hush(error)
                asked = renewal.begun(error, options)
                if asked is None or (asked and not await arefreshed(asked)):
                    raise

    async def _prepare_request(self, request: httpx.Request) -> None:
        check_request(request)
        secrets = self.keys.of(request)
        held = await asyncio.gather(*(secret.aheld() for secret in secrets))
        self.keys.put(request, dict(zip(secrets, held, strict=True)))

    async def _send_request(self, request: httpx.Request, **how: Any) -> httpx.Response:
        try:
            return await super()._send_request(request, **how)
        except BaseException as error:
            forget_variables(error)
            raise


def _stay(options: Any) -> None:
    """Follow no redirect: it would take the keys in the headers to where it leads."""
    options.follow_redirects = False


class _Renewal:
    """What is done about the answers that refuse the keys of one request."""

    def __init__(self) -> None:
        self._left = _AGAIN
        self._asked = False

    def begun(
        self, error: openai.APIStatusError, options: Any
    ) -> Sequence[tuple[Secret, int]] | None:
        """Whose sources are to be asked before it is sent again; None where it is not to be."""
        sent = error.request.extensions.get(_SENT_WITH, ())
        if error.status_code not in _REFUSED or not sent or not self._left:
            return None
        if getattr(options, "files", None) or getattr(options, "content", None):
            return None  # they were read, and can't be sent twice
        self._left -= 1
        if any(secret.version != version for secret, version in sent):
            return ()
        if self._asked:
            return None
        self._asked = True
        return sent  # type: ignore[no-any-return]


def _filled(found: re.Match[str], named: Named, held: Held) -> str:
    name = found["object"] or found["text"]
    value = held[named[name]][0]
    if found["object"] is None:
        return Hidden(json.dumps(value)[1:-1])
    if not _is_object(value):
        raise SecretUnavailable(f"{name}: a JSON object is due there, in one line")
    return value


def _is_object(value: str) -> bool:
    try:
        return isinstance(json.loads(value), dict)
    except (ValueError, RecursionError):
        return False


def _marked_secret(value: SecretStr, is_object: bool) -> SecretStr:
    text = value.get_secret_value()
    if not is_reference(text):
        return value
    mark = _mark(text)
    return SecretStr(json.dumps({_MARK: mark}) if is_object else mark)


def _marked_texts(value: Any) -> Any:
    if isinstance(value, str):
        return _mark(value) if is_reference(value) else value
    if isinstance(value, Mapping):
        return {name: _marked_texts(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_marked_texts(each) for each in value]
    return value


def _mark(reference: str) -> str:
    # The same in all processes, which may share circuits; nothing that is written by chance.
    name = reference[2:-1]
    return f"{_MARK}:{name}:{hashlib.sha256(f'{_MARK}:{name}'.encode()).hexdigest()[:16]}"
