"""`PortkeyEmbedder`: an Agno embedder whose requests go through Portkey."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, InitVar, dataclass, field
from typing import Any

from agno.guardrails import BaseGuardrail
from agno.knowledge.embedder.base import Embedder, raise_embedding_error
from rich.progress import Progress

from agno_portkey.errors import ConfigurationError, GatewayError
from agno_portkey.knowledge.embedding_cache import EmbeddingCache
from agno_portkey.knowledge.embedding_request import Throttle
from agno_portkey.knowledge.embedding_run import Embedded, Run, Settings
from agno_portkey.knowledge.spread import aspread, spread
from agno_portkey.model import PortkeyModel
from agno_portkey.routing.config.emit import Profile
from agno_portkey.routing.config.routes import Route
from agno_portkey.routing.connection import without_made_up_key
from agno_portkey.routing.recovery.allowance import Allowance
from agno_portkey.routing.recovery.settings import Recovery
from agno_portkey.secrets.base import Secret
from agno_portkey.verdict import Observer

__all__ = ["PortkeyEmbedder"]

# Those that are not as long as OpenAI's usual ones.
_LENGTHS = {"text-embedding-3-large": 3072}
_USUAL = 1536
_UNSET: Any = None


@dataclass
class PortkeyEmbedder(Embedder):
    """Embeds texts through a Portkey gateway, for any of Agno's vector databases.

    Where the gateway is and who answers is said as to `PortkeyModel`: `base_url`, `api_key`,
    `portkey_api_key`, `portkey_provider`, `virtual_key`, `custom_host`, `tags`, `recovery`; what
    they leave out comes from the environment. There is no routing: vectors of two models can't be
    compared. `guards` see each text before it leaves, and what they make of it is embedded;
    `observers` hear of each list of texts, `budgets` of a ledger are asked before each request.
    `govern` binds it with the rest of a team.

    `dimensions` is the length of the vectors; given, it is asked for. A list of texts goes out in
    batches of at most `batch_size` texts and about `batch_tokens` tokens, `concurrency` at once;
    each text once, however often it is there. What fails with others is tried alone. `cache`, an
    `EmbeddingCache`, its path or True for the usual one, keeps vectors on disk. `progress` is True
    for a bar, or a function that is given how many texts are done, of how many.

    Agno's methods raise `EmbeddingError`, and `Blocked` for a text that a guard refuses.
    """

    id: str = "text-embedding-3-small"
    _: KW_ONLY
    dimensions: int | None = None
    enable_batch: bool = True
    batch_size: int = 256
    batch_tokens: int = 100_000
    concurrency: int = 8
    request_params: Mapping[str, Any] | None = field(default=None, repr=False)
    cache: EmbeddingCache | str | bool | None = None
    progress: Callable[[int, int], None] | bool | None = None

    base_url: InitVar[str | None] = _UNSET
    api_key: InitVar[str | Secret | None] = _UNSET
    portkey_api_key: InitVar[str | Secret | None] = _UNSET
    portkey_provider: InitVar[str | Secret | None] = _UNSET
    virtual_key: InitVar[str | Secret | None] = _UNSET
    custom_host: InitVar[str | None] = _UNSET
    config: InitVar[str | None] = _UNSET
    profile: InitVar[Profile | None] = _UNSET
    default_headers: InitVar[Any] = _UNSET
    timeout: InitVar[float | None] = _UNSET
    http_client: InitVar[Any] = _UNSET
    tags: InitVar[Mapping[str, Any] | None] = _UNSET
    recovery: InitVar[Recovery | None] = _UNSET
    guards: InitVar[Sequence[BaseGuardrail]] = ()
    observers: InitVar[Sequence[Observer]] = ()
    budgets: InitVar[Sequence[Allowance]] = ()

    # Whose gateway, keys, tags, guards and seat these are; it is never asked for words.
    model: PortkeyModel = field(init=False, repr=False)
    _throttle: Throttle = field(default_factory=Throttle, init=False, repr=False, compare=False)
    _asks_length: bool = field(default=False, init=False, repr=False)

    def __post_init__(self, *given: Any) -> None:
        for name in ("batch_size", "batch_tokens", "concurrency"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigurationError(f"{name}: a whole number above 0, not {value!r}")
        length = self.dimensions
        if length is not None and (isinstance(length, bool) or not isinstance(length, int)):
            raise ConfigurationError(f"dimensions: a whole number, not {length!r}")
        self._asks_length = length is not None
        self.dimensions = length if length is not None else _LENGTHS.get(self.id, _USUAL)
        values = dict(zip(_OF_THE_MODEL, given, strict=True))
        if isinstance(values["config"], Route | Mapping):
            raise ConfigurationError(
                "config: no routing config, but the id of a hosted one: vectors of another model "
                "can't be compared with those that are there"
            )
        self.model = PortkeyModel(self.id, **values)
        if self.cache is not None and not isinstance(self.cache, EmbeddingCache):
            self.cache = self._cache(self.cache)

    @staticmethod
    def _cache(said: str | bool) -> EmbeddingCache | None:
        if isinstance(said, bool):
            return EmbeddingCache() if said else None
        return EmbeddingCache(said)

    # Lists of texts

    def embed(self, texts: Sequence[str]) -> Embedded:
        """The vectors of `texts`, and what kept others from being there.

        GatewayUnauthorized, CircuitOpen, Stopped, ModelNotAllowed and BudgetExceeded are raised:
        they are about all of them.
        """
        with self._told(texts) as run:
            spread(run.pieces(), run.embed, workers=self.concurrency)
        return run.result

    async def aembed(self, texts: Sequence[str]) -> Embedded:
        """The same on an event loop."""
        with self._told(texts) as run:
            await aspread(run.pieces(), run.embed, workers=self.concurrency)
        return run.result

    def _told(self, texts: Sequence[str]) -> _Told:
        if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
            raise ConfigurationError("texts: a list of texts")
        return _Told(self, texts)

    def _params(self) -> dict[str, Any]:
        model, plan = self.model, self.model.router.plan(self.model)
        headers: dict[str, Any] = dict(model.metadata_of(None, {}))
        if (emitted := plan.emit(frozenset())) is not None and emitted.header:
            headers["x-portkey-config"] = emitted.header
        params = {"model": self.id, **(self.request_params or {})}
        if self._asks_length:
            params["dimensions"] = self.dimensions
        headers |= params.get("extra_headers") or {}
        return {**params, "extra_headers": without_made_up_key(model, headers)}

    def _settings(self, progress: Callable[[int, int], None] | None) -> Settings:
        asked = {k: v for k, v in (self.request_params or {}).items() if k != "extra_headers"}
        # Whichever gateway it goes through, who answers is the same.
        _gateway, *whose = self.model.router.plan(self.model).identity
        return Settings(
            model=self.model,
            params=self._params(),
            about=[self.id, self.dimensions, whose, asked],
            dimensions=self.dimensions,
            batch_size=self.batch_size if self.enable_batch else 1,
            batch_tokens=self.batch_tokens,
            recovery=self.model.recovery or Recovery(),
            throttle=self._throttle,
            cache=self.cache if isinstance(self.cache, EmbeddingCache) else None,
            progress=progress,
        )

    # What Agno asks for

    def get_embedding(self, text: str) -> list[float]:
        return self.get_embedding_and_usage(text)[0]

    def get_embedding_and_usage(self, text: str) -> tuple[list[float], dict[str, Any] | None]:
        try:
            return self._one(self.embed([text]))
        except GatewayError as error:
            raise_embedding_error(error, model_id=self.id, provider="Portkey")

    async def async_get_embedding(self, text: str) -> list[float]:
        return (await self.async_get_embedding_and_usage(text))[0]

    async def async_get_embedding_and_usage(
        self, text: str
    ) -> tuple[list[float], dict[str, Any] | None]:
        try:
            return self._one(await self.aembed([text]))
        except GatewayError as error:
            raise_embedding_error(error, model_id=self.id, provider="Portkey")

    async def async_get_embeddings_batch_and_usage(
        self, texts: list[str]
    ) -> tuple[list[list[float]], list[dict[str, Any] | None]]:
        """The vectors, empty where there is none, and what each took; raises if there are none."""
        try:
            found = await self.aembed(texts)
            if texts and len(found.failures) == len(texts):
                found.require()
        except GatewayError as error:
            raise_embedding_error(error, model_id=self.id, provider="Portkey")
        return found.vectors, [_usage(tokens) for tokens in found.tokens]

    @staticmethod
    def _one(found: Embedded) -> tuple[list[float], dict[str, Any] | None]:
        [vector] = found.require()
        return vector, _usage(found.tokens[0])


_OF_THE_MODEL = (
    "base_url",
    "api_key",
    "portkey_api_key",
    "portkey_provider",
    "virtual_key",
    "custom_host",
    "config",
    "profile",
    "default_headers",
    "timeout",
    "http_client",
    "tags",
    "recovery",
    "guards",
    "observers",
    "budgets",
)


class _Told:
    """A run that is told of when it is over, with a bar meanwhile if there is to be one."""

    def __init__(self, embedder: PortkeyEmbedder, texts: Sequence[str]) -> None:
        self._progress = embedder.progress
        self._bar: Progress | None = None
        self._embedder, self._texts = embedder, texts

    def __enter__(self) -> _Told:
        shows = self._progress if callable(self._progress) else None
        if self._progress is True and len(self._texts) > 1:
            shows = self._shown()
        self._run = Run(self._embedder._settings(shows), self._texts)
        self.pieces, self.embed = self._run.pieces, self._run.embed
        return self

    def _shown(self) -> Callable[[int, int], None]:
        """What shows a bar, from now on."""
        bar = self._bar = Progress(transient=True)
        bar.start()
        task = bar.add_task("embedding", total=len(self._texts))
        return lambda done, total: bar.update(task, completed=done)

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if self._bar is not None:
            self._bar.stop()
        self.result = self._run.ended(error)


def _usage(tokens: int) -> dict[str, Any] | None:
    return {"prompt_tokens": tokens, "total_tokens": tokens} if tokens else None
