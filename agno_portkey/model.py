"""`PortkeyModel`: an Agno model whose every call goes through a Portkey gateway, and its guards."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, fields
from typing import Any, Self

import httpx
import openai
from agno.guardrails import BaseGuardrail
from agno.models.message import Message
from agno.models.openai.like import OpenAILike
from agno.models.response import ModelResponse
from openai import AsyncOpenAI, OpenAI
from portkey_ai import createHeaders

from agno_portkey.calls import Call
from agno_portkey.drivers import AsyncIO, SyncIO, drive
from agno_portkey.errors import ConfigurationError, GatewayUnauthorized
from agno_portkey.gates import Seat
from agno_portkey.pipeline import deltas, merge
from agno_portkey.routing.clients import Clients
from agno_portkey.settings import HOSTED_URL, Settings, check_url
from agno_portkey.tags import call_tags, check_tags, trace_headers
from agno_portkey.verdict import Observer

__all__ = ["PortkeyModel"]

# How many runs' tags a model keeps; a run needs its own until it ends.
_NOTED_RUNS = 1_000
_SLUG = re.compile(r"@?[A-Za-z0-9][A-Za-z0-9._-]*")
# Kept out of `to_dict`, pickles and repr.
_SECRET_FIELDS = frozenset(
    {
        "portkey_api_key",
        "virtual_key",
        "api_key",
        "default_headers",
        "extra_headers",
        "client_params",
        "http_client",
    }
)


@dataclass(repr=False)
class PortkeyModel(OpenAILike):
    """A chat model behind a Portkey gateway; takes the arguments of Agno's own `Portkey`.

    Arguments left out are read from `PORTKEY_API_KEY`, `PORTKEY_BASE_URL`, `PORTKEY_CONFIG` and
    `PORTKEY_VIRTUAL_KEY`. `base_url` defaults to hosted Portkey; a gateway of your own needs no
    Portkey key. `config` is a routing config or the id of a hosted one (`pc-...`).

    `api_key` is the provider's key, for a gateway that holds none; `portkey_provider` the
    provider's slug (`openai`, `openrouter`, `@my-slug`); `custom_host` the provider's address.
    `tags` go out with every call as metadata. `guards` are Agno guardrails that see every message
    of every call. `observers` hear of each call.

    A call that fails raises a `GatewayError`; one that is refused a `Blocked`.
    """

    id: str = "gpt-4o-mini"
    name: str | None = "PortkeyModel"  # type: ignore[assignment]
    provider: str | None = "agno-portkey"  # type: ignore[assignment]
    api_key: str | None = None
    base_url: str | httpx.URL | None = None

    portkey_api_key: str | None = None
    virtual_key: str | None = None
    config: dict[str, Any] | str | None = None
    portkey_provider: str | None = None
    custom_host: str | None = None
    tags: Mapping[str, Any] | None = None
    guards: Sequence[BaseGuardrail] = ()
    observers: Sequence[Observer] = ()

    # Set by `govern`: whom this copy speaks for.
    seat: Seat | None = field(default=None, kw_only=True)
    _clients: Clients = field(default_factory=Clients, init=False, compare=False)
    _environment: dict[str, str] = field(default_factory=dict, init=False, compare=False)
    _noted: dict[str, dict[str, str]] = field(default_factory=dict, init=False, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.id, str) or not self.id.strip():
            raise ConfigurationError(f"id: a model's name, not {self.id!r}")
        for name in ("api_key", "portkey_api_key", "virtual_key"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, str) or not value.strip()):
                raise ConfigurationError(f"{name}: a non-empty text")
        for name in ("base_url", "custom_host"):
            if (value := getattr(self, name)) is not None:
                setattr(self, name, check_url(str(value), name=name))
        slug = self.portkey_provider
        if slug is not None and not (isinstance(slug, str) and _SLUG.fullmatch(slug)):
            raise ConfigurationError(f"portkey_provider: a provider's slug, not {slug!r}")
        _check_config(self.config)
        self.tags = check_tags(self.tags)
        self.guards = tuple(self.guards)
        for guard in self.guards:
            if not isinstance(guard, BaseGuardrail):
                raise ConfigurationError(f"guards: an Agno BaseGuardrail, not {guard!r}")
        self.observers = tuple(self.observers)
        if self.cache_response:
            raise ConfigurationError(
                "cache_response: Agno's response cache stands above every guard and serves one "
                "user's reply to another; leave it off"
            )
        if environment := Settings.read().environment:
            self._environment = check_tags({"environment": environment})

    # What identifies the model, and what does not leave it

    def __repr__(self) -> str:
        return f"{type(self).__name__}(id={self.id!r}, provider={self.provider!r})"

    def __getstate__(self) -> dict[str, Any]:
        """The state without secrets and clients; keys come from the environment again."""
        state = {k: v for k, v in self.__dict__.items() if k != "_clients"}
        state.update(dict.fromkeys(_SECRET_FIELDS))
        state["config"] = _without_keys(self.config)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._clients = Clients()

    def __copy__(self) -> Self:
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        return twin

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        # The host deep-copies models for auxiliary managers and per request; the connections and
        # the user's own http client are shared.
        twin = copy(self)
        memo[id(self)] = twin
        return twin

    def bound_to(
        self,
        seat: Seat,
        *,
        tags: Mapping[str, str] | None = None,
        guards: Sequence[BaseGuardrail] = (),
        observers: Sequence[Observer] = (),
    ) -> Self:
        """A copy that speaks for `seat`, with a provider of its own and what is added here.

        Agno's registry tells models apart by class, provider and id alone; with equal ones a
        rehydrated Runner would be handed the Planner's model.
        """
        twin = copy(self)
        twin.seat = seat
        twin.provider = f"{self.provider}:{seat.swarm or ''}/{seat.role}"
        twin.tags = {**(self.tags or {}), **(tags or {})}
        twin.guards = (*self.guards, *guards)
        twin.observers = (*self.observers, *observers)
        return twin

    def to_dict(self) -> dict[str, Any]:
        """What `from_dict` rebuilds the model from; holds no secret."""
        data = super().to_dict()
        for name in ("base_url", "portkey_provider", "custom_host", "tags"):
            if value := getattr(self, name):
                data[name] = value
        if self.config is not None:
            data["config"] = _without_keys(self.config)
        return {k: v for k, v in data.items() if k not in _SECRET_FIELDS}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        known = {f.name for f in fields(cls) if f.init}
        return cls(**{k: v for k, v in data.items() if k in known})

    # The clients

    @property
    def gateway_url(self) -> str:
        return str(self.base_url or Settings.read().base_url)

    def _is_local(self) -> bool:
        # A proxy set for the machine must not catch calls to a gateway on it.
        return httpx.URL(self.gateway_url).host in ("127.0.0.1", "localhost", "::1")

    def _get_client_params(self) -> dict[str, Any]:
        settings = Settings.read()
        url = str(self.base_url or settings.base_url)
        params: dict[str, Any] = {
            "api_key": self.api_key or "unused",
            "base_url": url,
            # One layer owns retries, and it is not the client.
            "max_retries": 0,
            "default_headers": {**dict(self.default_headers or {}), **self._headers(settings, url)},
        }
        for name in ("organization", "timeout", "default_query"):
            if (value := getattr(self, name)) is not None:
                params[name] = value
        return {**params, **(self.client_params or {})}

    def _headers(self, settings: Settings, url: str) -> dict[str, Any]:
        key = self.portkey_api_key or _reveal(settings.api_key)
        if key is None and httpx.URL(url).host == httpx.URL(HOSTED_URL).host:
            raise GatewayUnauthorized(
                "hosted Portkey needs a key: set PORTKEY_API_KEY or pass portkey_api_key (or set "
                "PORTKEY_BASE_URL to a gateway of your own)",
                status_code=401,
                model_id=self.id,
            )
        config = self.config if self.config is not None else settings.config
        headers: dict[str, Any] = dict(
            createHeaders(
                api_key=key,
                virtual_key=self.virtual_key or _reveal(settings.virtual_key),
                config=config,
                provider=self.portkey_provider,
                custom_host=self.custom_host,
            )
        )
        if self.api_key is None:
            headers["Authorization"] = openai.Omit()
        return headers

    def get_client(self) -> OpenAI:
        """The client for blocking calls."""
        return self._clients.sync_client(
            self._client_key(), self._get_client_params, self.http_client, local=self._is_local()
        )

    def get_async_client(self) -> AsyncOpenAI:
        """The client of the running event loop: connections do not outlive their loop."""
        return self._clients.async_client(
            self._client_key(), self._get_client_params, self.http_client, local=self._is_local()
        )

    def _client_key(self) -> tuple[Any, ...]:
        return (
            self.base_url,
            self.portkey_api_key,
            self.virtual_key,
            self.api_key,
            repr(self.config),
            self.portkey_provider,
            self.custom_host,
            self.timeout,
            id(self.http_client),
        )

    # One call

    def tags_of(self, run_response: Any) -> dict[str, str]:
        """The tags of a call made for `run_response`; those of the seat and the model win."""
        seat: dict[str, str] = {}
        if self.seat is not None:
            seat = {"role": self.seat.role}
            if self.seat.swarm:
                seat["swarm"] = self.seat.swarm
        noted = self._noted.get(getattr(run_response, "run_id", None) or "", {})
        return call_tags(run_response, self._environment, noted, seat, dict(self.tags or {}))

    def note_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Give the calls of one run these tags; what `TagHook` does for the run it is set on."""
        while len(self._noted) >= _NOTED_RUNS:
            self._noted.pop(next(iter(self._noted)))
        self._noted[run_id] = dict(tags)

    def get_request_params(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        params = super().get_request_params(*args, **kwargs)
        run_response = kwargs.get("run_response")
        tags = self.tags_of(run_response)
        headers = {
            **createHeaders(metadata=tags),
            **trace_headers(self._root_run(run_response)),
        }
        params["extra_headers"] = {**(params.get("extra_headers") or {}), **headers}
        return params

    def _root_run(self, run_response: Any) -> str | None:
        run_id: str | None = getattr(run_response, "run_id", None)
        if self.seat is not None and self.seat.charter is not None:
            station = self.seat.charter.runs.find(run_id)
            if station is not None:
                return station.run.id
        return run_id

    def chat_params(self, call: Call) -> dict[str, Any]:
        """The arguments of the chat completion that `call` is."""
        return {
            "model": self.id,
            "messages": self._format_all_messages(call.messages, call.compress_tool_results),
            **self.get_request_params(
                response_format=call.response_format,
                tools=call.tools,
                tool_choice=call.tool_choice,
                run_response=call.run_response,
            ),
        }

    def invoke(
        self, messages: list[Message], assistant_message: Message, **kwargs: Any
    ) -> ModelResponse:
        return merge(drive(deltas(self, _call(messages, assistant_message, kwargs), SyncIO())))

    async def ainvoke(
        self, messages: list[Message], assistant_message: Message, **kwargs: Any
    ) -> ModelResponse:
        call = _call(messages, assistant_message, kwargs)
        return merge([delta async for delta in deltas(self, call, AsyncIO())])

    def invoke_stream(
        self, messages: list[Message], assistant_message: Message, **kwargs: Any
    ) -> Iterator[ModelResponse]:
        call = _call(messages, assistant_message, kwargs, stream=True)
        yield from drive(deltas(self, call, SyncIO()))

    async def ainvoke_stream(
        self, messages: list[Message], assistant_message: Message, **kwargs: Any
    ) -> AsyncIterator[ModelResponse]:
        call = _call(messages, assistant_message, kwargs, stream=True)
        async for delta in deltas(self, call, AsyncIO()):
            yield delta

    # The host's response cache stands above `invoke`, where no guard sees it

    def _get_cached_model_response(self, cache_key: str) -> None:
        return None

    def _save_model_response_to_cache(self, *args: Any, **kwargs: Any) -> None:
        return None

    def _save_streaming_responses_to_cache(self, *args: Any, **kwargs: Any) -> None:
        return None


def _call(
    messages: list[Message],
    assistant_message: Message,
    kwargs: dict[str, Any],
    *,
    stream: bool = False,
) -> Call:
    # The host passes this to every model once it retries with guidance.
    kwargs.pop("retry_with_guidance", None)
    return Call(messages, assistant_message, stream=stream, **kwargs)


def _check_config(config: object) -> None:
    if config is None:
        return
    if isinstance(config, str):
        if not config.startswith("pc-"):
            raise ConfigurationError(
                f"config: the id of a hosted config (pc-...) or a mapping, not {config!r}"
            )
        return
    if not isinstance(config, Mapping):
        raise ConfigurationError(f"config: a mapping, not {type(config).__name__}")
    try:
        json.dumps(config)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"config: it can't be written as JSON ({error})") from None


def _without_keys(config: Any) -> Any:
    """`config` without its provider keys."""
    if isinstance(config, Mapping):
        return {
            key: _without_keys(value)
            for key, value in config.items()
            if not re.search(r"key|secret|token|password|authorization", str(key), re.IGNORECASE)
            or isinstance(value, Mapping | bool | int)
        }
    if isinstance(config, list | tuple):
        return [_without_keys(item) for item in config]
    return config


def _reveal(secret: Any) -> str | None:
    return secret.get_secret_value() if secret is not None else None
