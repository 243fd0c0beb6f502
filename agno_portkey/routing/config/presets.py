"""Targets of three providers, each with the variable that holds its key.

The open-source gateway builds each provider's body from the fields that it knows, and drops the
others without a word:

- openai: passes on all of OpenAI's own fields.
- openrouter: drops `seed`, `stop`, `n`, `user`, `parallel_tool_calls`, the penalties and
  `logprobs`; `stream_options` becomes `usage`, the role `developer` becomes `system`.
- together-ai: drops `stream_options`, so that streams tell no usage, and `seed`, `n`, `user`,
  `parallel_tool_calls`, `presence_penalty`; `frequency_penalty` becomes `repetition_penalty`, the
  role `developer` becomes `system`. A request without `max_tokens` is sent with 128.
"""

from __future__ import annotations

from typing import Any

from agno_portkey.routing.config.routes import Target

__all__ = ["openai", "openrouter", "together"]


def openai(model: str, *, api_key: str = "${OPENAI_API_KEY}", **options: Any) -> Target:
    """A model of OpenAI; `options` are a `Target`'s. A `custom_host` is given with `/v1`."""
    return Target(provider="openai", model=model, api_key=api_key, **options)


def openrouter(model: str, *, api_key: str = "${OPENROUTER_API_KEY}", **options: Any) -> Target:
    """A model at OpenRouter; `options` are a `Target`'s.

    The gateway adds `/v1` to a `custom_host`.
    """
    return Target(provider="openrouter", model=model, api_key=api_key, **options)


def together(model: str, *, api_key: str = "${TOGETHER_API_KEY}", **options: Any) -> Target:
    """A model at Together AI; `options` are a `Target`'s.

    Give every request a `max_tokens`: without one the gateway asks for 128. The gateway adds
    `/v1` to a `custom_host`.
    """
    return Target(provider="together-ai", model=model, api_key=api_key, **options)
