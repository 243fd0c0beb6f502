"""What calls a model provider by itself: packages, classes of the host, and hidden defaults."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from functools import lru_cache
from types import FunctionType, ModuleType
from typing import Any, TypeVar, cast

from agno.models.base import Model
from pydantic import BaseModel

from agno_portkey.model import PortkeyModel
from agno_portkey.model_calls import Calls

__all__ = ["defaulted", "is_maker", "is_provider", "makes", "overrides", "per_class", "reaches"]

Said = TypeVar("Said")

# Packages whose clients talk to models. An HTTP client is none of them.
_PROVIDERS = frozenset(
    {
        "openai",
        "anthropic",
        "groq",
        "mistralai",
        "google.genai",
        "google.generativeai",
        "vertexai",
        "cohere",
        "ollama",
        "litellm",
        "boto3",
        "botocore",
        "aioboto3",
        "aiobotocore",
        "together",
        "replicate",
        "fireworks",
        "cerebras",
        "huggingface_hub",
        "ibm_watsonx_ai",
        "azure.ai.inference",
        "voyageai",
        "portkey_ai",
        "xai_sdk",
        "llama_api_client",
        "fal_client",
        "lumaai",
        "elevenlabs",
        "cartesia",
    }
)
# Amazon's clients are of every service; these serve models.
_AMAZON = ("bedrock", "sagemaker")
_ELSEWHERE = frozenset(
    {
        "agno.agents.base.BaseExternalAgent",
        "agno.client.a2a.client.A2AClient",
        "agno.client.os.AgentOSClient",
        "agno.remote.base.BaseRemote",
    }
)
_ASKING = frozenset(
    {
        "agno.guardrails.openai.OpenAIModerationGuardrail",
        "agno.knowledge.embedder.base.Embedder",
        "agno.knowledge.reranker.base.Reranker",
    }
)
# Of those, the ones that compute on this machine.
_LOCAL = frozenset(
    {
        "agno.knowledge.embedder.base.Embedder",
        "agno.knowledge.embedder.fastembed.FastEmbedEmbedder",
        "agno.knowledge.embedder.sentence_transformer.SentenceTransformerEmbedder",
        "agno.knowledge.reranker.base.Reranker",
        "agno.knowledge.reranker.mmr.MMRReranker",
        "agno.knowledge.reranker.recency.RecencyReranker",
        "agno.knowledge.reranker.sentence_transformer.SentenceTransformerReranker",
    }
)
# Toolkits that ask models by plain HTTP, by a model of the host's, or by a package of their own.
_ASKING_TOOLS = frozenset(
    {
        "agno.tools.antigravity",
        "agno.tools.cartesia",
        "agno.tools.dalle",
        "agno.tools.desi_vocal",
        "agno.tools.eleven_labs",
        "agno.tools.fal",
        "agno.tools.lumalab",
        "agno.tools.minimax",
        "agno.tools.models.aimlapi",
        "agno.tools.models.azure_openai",
        "agno.tools.models.gemini",
        "agno.tools.models.groq",
        "agno.tools.models.morph",
        "agno.tools.models.nebius",
        "agno.tools.models_labs",
        "agno.tools.nano_banana",
        "agno.tools.openai",
        "agno.tools.perplexity",
        "agno.tools.replicate",
        "agno.tools.smallest",
        "agno.tools.wavespeed",
    }
)
# What stands for an argument that was left out.
_NOTHING = frozenset({"NotGiven", "Omit", "Unset"})
# Classes that take a model of the host's choice where none of these is set.
_DEFAULTS: dict[str, tuple[str, ...]] = {
    "agno.context.provider.ContextProvider": ("model",),
    "agno.eval.accuracy.AccuracyEval": ("model", "evaluator_agent"),
    "agno.eval.agent_as_judge.AgentAsJudgeEval": ("model", "evaluator_agent"),
    "agno.knowledge.query_transformer.hyde.HyDE": ("model",),
    "agno.memory.manager.MemoryManager": ("model",),
    "agno.scorer.judge.JudgeScorer": ("model",),
    "agno.session.summary.SessionSummaryManager": ("model",),
}
_MAKERS = frozenset({"agno.agent.agent.Agent", "agno.team.team.Team", *_DEFAULTS})
# Where the guards and gates of a model run, and where it gets them.
_LOCKS = frozenset(name for name, held in vars(Calls).items() if isinstance(held, FunctionType))
_LOCKS |= {"bound_to", "checked_guards"}


def per_class(judge: Callable[[type[Any]], Said]) -> Callable[[type[Any]], Said]:
    """Remember what `judge` says of a class."""
    return cast("Callable[[type[Any]], Said]", lru_cache(maxsize=8192)(judge))


def is_provider(module: str) -> bool:
    """Whether the dotted name is a provider's package, or one inside it."""
    parts = module.split(".")
    return any(".".join(parts[:length]) in _PROVIDERS for length in (1, 2, 3))


def reaches(held: object) -> str | None:
    """How `held` reaches a provider by itself, said as what is wrong with it; else None."""
    kind = type(held)
    if isinstance(held, Model):
        return None if isinstance(held, PortkeyModel) else _foreign(kind)
    if (said := _reaches(kind)) is None:
        return _chunks_by_model(held, kind)
    return None if _other_service(held) else said


def defaulted(held: object) -> str | None:
    """Which attribute `held` leaves to a default model of the host's, and what to do; else None."""
    wanted = _default_of(type(held))
    if not wanted or any(getattr(held, name, None) is not None for name in wanted):
        return None
    if str(getattr(getattr(held, "mode", None), "value", "")) == "tools":
        return None  # a context provider that hands out its tools asks nobody
    return "is not set: the host would take its own default; give a PortkeyModel"


@per_class
def overrides(kind: type[Any]) -> str | None:
    """What is wrong with a user's kind of `PortkeyModel` whose calls are its own."""
    for base in kind.__mro__[: kind.__mro__.index(PortkeyModel)]:
        if own := sorted(_LOCKS & vars(base).keys()):
            return (
                f"is a {kind.__name__}, whose own {own[0]} goes round the guards and gates there: "
                "leave it to PortkeyModel, and use guards or observers"
            )
    return None


def makes(named: object) -> str | None:
    """How code that names `named` could reach a provider; None if it can't by that alone."""
    if isinstance(named, ModuleType):
        return None
    module = str(getattr(named, "__module__", None) or "")
    name = getattr(named, "__name__", type(named).__name__)
    if isinstance(named, type):
        if issubclass(named, Model) and not issubclass(named, Calls):
            return None if named is Model else f"is the model class {name}: give a PortkeyModel"
        if _client(named):
            return f"is the class {name} of a provider's client"
        said = _reaches(named)
        return f"is the class {name}, whose objects go round the gateway" if said else None
    if module == "agno.models.utils":
        return f"is the host's {name}, which makes models"
    if callable(named) and is_provider(module) and not isinstance(named, BaseModel):
        return f"is {module.split('.')[0]}'s {name}"
    return None


def is_maker(named: object) -> bool:
    """Whether calling the class `named` may bring a model of the host's choice."""
    return isinstance(named, type) and any(full in _MAKERS for full in _names(named))


def _foreign(kind: type[Any]) -> str:
    return f"is {kind.__module__.split('.')[0]}'s {kind.__name__}: give a PortkeyModel"


@per_class
def _names(kind: type[Any]) -> tuple[str, ...]:
    return tuple(f"{base.__module__}.{base.__qualname__}" for base in kind.__mro__)


@per_class
def _reaches(kind: type[Any]) -> str | None:
    names = _names(kind)
    package = kind.__module__.split(".")[0]
    if package == "agno_portkey":
        return None
    if any(name in _ELSEWHERE for name in names):
        return f"is {package}'s {kind.__name__}: it runs elsewhere and can't be governed"
    # A user's own embedder is looked into like anything else; the host's are known.
    ours = next((name for name in names if name.startswith("agno.")), None)
    if any(name in _ASKING for name in names) and ours is not None and ours not in _LOCAL:
        return f"is {package}'s {kind.__name__}: it asks a provider by itself"
    if any(base.__module__ in _ASKING_TOOLS for base in kind.__mro__):
        return f"is {package}'s {kind.__name__}: it asks a provider by itself"
    if _client(kind):
        return f"is {package}'s {kind.__name__}: it asks a provider by itself"
    return None


@per_class
def _client(kind: type[Any]) -> bool:
    """Whether this is a client of a provider's package, and not just data or an error of it."""
    if issubclass(kind, BaseModel | BaseException | Enum | dict | str) or kind.__name__ in _NOTHING:
        return False
    return any(
        is_provider(base.__module__)
        and not {"types", "_types", "exceptions"} & set(base.__module__.split("."))
        for base in kind.__mro__
    )


@per_class
def _default_of(kind: type[Any]) -> tuple[str, ...]:
    return next((_DEFAULTS[name] for name in _names(kind) if name in _DEFAULTS), ())


def _other_service(held: object) -> bool:
    """Whether an Amazon client is of a service that serves no models."""
    service = getattr(
        getattr(getattr(held, "meta", None), "service_model", None), "service_name", ""
    )
    return isinstance(service, str) and bool(service) and not service.startswith(_AMAZON)


def _chunks_by_model(held: object, kind: type[Any]) -> str | None:
    """Semantic chunking takes an embedder by name; a name with an owner is one to download."""
    if "agno.knowledge.chunking.semantic.SemanticChunking" not in _names(kind):
        return None
    embedder = getattr(held, "embedder", None)
    if isinstance(embedder, str) and ("/" not in embedder or "://" in embedder):
        return f"embeds by {embedder!r}, which asks a provider by itself"
    return None
