"""A guard is not given an answer in pieces that are too small for it to judge."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agno_portkey.errors import ConfigurationError
from agno_portkey.guardrails import (
    Guard,
    ModerationGuardrail,
    PIIGuardrail,
    PromptInjectionGuardrail,
    SecretsGuardrail,
)
from agno_portkey.guardrails.base import STREAMS
from agno_portkey.guardrails.checks import check_guards
from agno_portkey.guardrails.pii import Analyzer
from agno_portkey.model import PortkeyModel

Make = Callable[..., Guard]


def _moderation(**settings: Any) -> Guard:
    model = PortkeyModel(base_url="http://127.0.0.1:1/v1", api_key="k", portkey_provider="openai")
    return ModerationGuardrail(model=model, **settings)


def _pii(mode: Any) -> Make:
    return lambda **settings: PIIGuardrail(mode, analyzer=Analyzer(), **settings)


SENTENCES = ("whole", "segment", "eager")
MAKES: dict[str, tuple[Make, tuple[str, ...]]] = {
    "secrets, masked": (lambda **s: SecretsGuardrail(action="mask", **s), ("whole",)),
    "secrets, blocked": (SecretsGuardrail, SENTENCES),
    "personal data, blocked": (_pii("block"), SENTENCES),
    "personal data, masked": (_pii("mask"), SENTENCES),
    "placeholders": (_pii("pseudonymize"), STREAMS),
    "moderation": (_moderation, SENTENCES),
    # It judges nothing that a model says.
    "injections": (PromptInjectionGuardrail, STREAMS),
}


@pytest.mark.parametrize("kind", MAKES)
@pytest.mark.parametrize("stream", STREAMS)
def test_a_stream_that_cannot_hold_is_refused_when_it_is_made(kind: str, stream: str) -> None:
    make, holds = MAKES[kind]
    if stream in holds:
        assert make(stream=stream).stream == stream
        return
    with pytest.raises(ConfigurationError, match=rf"\.stream: one of {', '.join(holds)}, not"):
        make(stream=stream)
    guard: Any = make()
    guard.stream = stream
    with pytest.raises(ConfigurationError, match=r"\.stream: one of"):
        check_guards([guard])
