"""What the body and headers of an error say: its words, its code, and when to come back."""

from __future__ import annotations

import math
import time
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import openai
from agno.exceptions import redact_secrets

from agno_portkey.routing.bounded import is_deep

__all__ = [
    "FILTER_CODES",
    "body_of",
    "code_of",
    "details_of",
    "message_of",
    "retry_after_of",
    "tidied",
]

FILTER_CODES = (
    "content_filter",
    "content_policy_violation",
    "content_policy",
    "ResponsibleAIPolicyViolation",
)


_LONGEST = 4000


def body_of(response: httpx.Response) -> dict[str, Any]:
    """The JSON object of an error, empty where it is none."""
    try:
        body = response.json()
    except (ValueError, RecursionError, httpx.ResponseNotRead):
        return {}
    return body if isinstance(body, dict) and not is_deep(body) else {}


def details_of(body: dict[str, Any]) -> dict[str, Any]:
    """What stands under `error`, in OpenAI's form."""
    details = body.get("error")
    if isinstance(details, dict):
        return details
    return {"message": details} if isinstance(details, str) else {}


def code_of(details: dict[str, Any]) -> object:
    """The error's code, or the one inside of it that says more; what was flagged is a refusal."""
    inner = details.get("innererror")
    metadata = details.get("metadata")
    if isinstance(metadata, dict) and "flagged_input" in metadata:
        return FILTER_CODES[0]
    if isinstance(inner, dict) and inner.get("code") in FILTER_CODES:
        return inner["code"]
    return details.get("code")


def retry_after_of(headers: httpx.Headers) -> float | None:
    """How many seconds the provider asks to be left alone, if it does."""
    told = headers.get("retry-after", "").strip()
    seconds = _number(headers.get("retry-after-ms", "")) / 1000
    if math.isnan(seconds):
        seconds = _number(told)
    if math.isnan(seconds):
        with suppress(ValueError, TypeError):
            seconds = parsedate_to_datetime(told).timestamp() - time.time()
    return max(0.0, seconds) if math.isfinite(seconds) else None


def message_of(body: dict[str, Any], error: openai.APIStatusError) -> str:
    """The words of a provider or of the gateway, without secrets, at most 500 characters."""
    said = [details_of(body).get("message") or body.get("message")]
    listed = body.get("errors")
    for item in listed if isinstance(listed, list) else [listed]:
        said.append(item.get("message", item) if isinstance(item, dict) else item)
    told = "; ".join(str(part) for part in said if part)
    return tidied(told or body.get("html-message") or error.message)


def tidied(said: object) -> str:
    """Words that may be shown and kept: in one line, without keys, at most 500 characters."""
    # Some providers quote the key they refuse, and the message is stored with the run.
    words = str(said)[:_LONGEST]
    if len(words) == _LONGEST:
        # What is sought takes long in long texts. The last word is not whole: it may be a key.
        words = words[: max(words.rfind(" "), 0)] or "(words too long to be shown)"
    return redact_secrets(" ".join(words.split()))[:500]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
