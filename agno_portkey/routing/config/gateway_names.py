"""The names that the pinned open-source gateway knows: providers, and checks of guardrails."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["check_ids", "did_you_mean", "provider_slugs"]

# Source: VALID_PROVIDERS in the gateway's src/globals.ts.
_PROVIDERS = frozenset(
    {
        "302ai",
        "ai21",
        "aibadgr",
        "anthropic",
        "anyscale",
        "azure-ai",
        "azure-openai",
        "bedrock",
        "bytez",
        "cerebras",
        "cohere",
        "cometapi",
        "cortex",
        "dashscope",
        "deepbricks",
        "deepinfra",
        "deepseek",
        "featherless-ai",
        "fireworks-ai",
        "github",
        "google",
        "groq",
        "huggingface",
        "hyperbolic",
        "inference-net",
        "iointelligence",
        "jina",
        "kluster-ai",
        "krutrim",
        "lambda",
        "lemonfox-ai",
        "lepton",
        "lingyi",
        "matterai",
        "meshy",
        "milvus",
        "mistral-ai",
        "modal",
        "monsterapi",
        "moonshot",
        "ncompass",
        "nebius",
        "nextbit",
        "nomic",
        "novita-ai",
        "nscale",
        "ollama",
        "openai",
        "openrouter",
        "oracle",
        "ovhcloud",
        "palm",
        "perplexity-ai",
        "portkey",
        "predibase",
        "qdrant",
        "recraft-ai",
        "reka-ai",
        "replicate",
        "sagemaker",
        "sambanova",
        "segmind",
        "siliconflow",
        "stability-ai",
        "together-ai",
        "tripo3d",
        "triton",
        "upstage",
        "vertex-ai",
        "voyage",
        "workers-ai",
        "x-ai",
        "z-ai",
        "zhipu",
    }
)

# Case-exact. Source: the gateway's bundle as published, which lacks some of plugins/index.ts.
_CHECKS = frozenset(
    {
        "acuvity.scan",
        "aporia.validateProject",
        "azure.contentSafety",
        "azure.pii",
        "azure.protectedMaterial",
        "azure.shieldPrompt",
        "bedrock.guard",
        "default.addPrefix",
        "default.alllowercase",
        "default.allowedRequestTypes",
        "default.alluppercase",
        "default.characterCount",
        "default.contains",
        "default.containsCode",
        "default.endsWith",
        "default.jsonKeys",
        "default.jsonSchema",
        "default.jwt",
        "default.log",
        "default.modelRules",
        "default.modelWhitelist",
        "default.notNull",
        "default.regexMatch",
        "default.regexReplace",
        "default.requiredMetadataKeys",
        "default.sentenceCount",
        "default.validUrls",
        "default.webhook",
        "default.wordCount",
        "exa.online",
        "f5-guardrails.scan",
        "javelin.guardrails",
        "lasso.classify",
        "mistral.moderateContent",
        "pangea.pii",
        "pangea.textGuard",
        "panw-prisma-airs.intercept",
        "patronus.custom",
        "patronus.isConcise",
        "patronus.isHelpful",
        "patronus.isPolite",
        "patronus.noApologies",
        "patronus.noGenderBias",
        "patronus.noRacialBias",
        "patronus.phi",
        "patronus.pii",
        "patronus.retrievalAnswerRelevance",
        "patronus.toxicity",
        "pillar.scanPrompt",
        "pillar.scanResponse",
        "portkey.gibberish",
        "portkey.language",
        "portkey.moderateContent",
        "portkey.pii",
        "promptfoo.guard",
        "promptfoo.harm",
        "promptfoo.pii",
        "promptsecurity.protectPrompt",
        "promptsecurity.protectResponse",
        "qualifire.contentModeration",
        "qualifire.grounding",
        "qualifire.hallucinations",
        "qualifire.pii",
        "qualifire.policy",
        "qualifire.promptInjections",
        "qualifire.toolUseQuality",
        "sydelabs.sydeguard",
        "walledai.walledprotect",
    }
)


def provider_slugs() -> frozenset[str]:
    """The providers that the gateway takes."""
    return _PROVIDERS


def check_ids() -> frozenset[str]:
    """The checks that its guardrails can make."""
    return _CHECKS


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A question to end a message with, empty where nothing is close."""
    by_lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), by_lower, n=1)
    return f"; did you mean {by_lower[close[0]]}?" if close else ""
