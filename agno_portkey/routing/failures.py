"""Turns what the client raised into one typed error that says what to do."""

from __future__ import annotations

import json
from typing import Any

import httpx
import openai

from agno_portkey.errors import (
    AgnoPortkeyError,
    BadResponse,
    ContextOverflow,
    GatewayConfigRejected,
    GatewayDeniedInput,
    GatewayDeniedOutput,
    GatewayRateLimited,
    GatewayTimeout,
    GatewayUnauthorized,
    GatewayUnreachable,
    TruncatedStream,
    UpstreamFailed,
)
from agno_portkey.verdict import Verdict

__all__ = ["explain", "explain_mid_stream", "truncated"]

_DENIED = 446
_OVERFLOW_CODES = {"context_length_exceeded", "context_window_exceeded"}


def explain(error: Exception, *, model_id: str, base_url: str) -> AgnoPortkeyError:
    """The typed error for what a call raised before any of its answer was used."""
    if isinstance(error, AgnoPortkeyError):
        return error
    if isinstance(error, openai.APITimeoutError | httpx.TimeoutException):
        return GatewayTimeout(
            f"the gateway at {base_url} gave no answer in time: raise `timeout`, or give the "
            "route a fallback",
            status_code=504,
            model_id=model_id,
        )
    if isinstance(error, openai.APIStatusError):
        return _from_status(error, model_id=model_id, base_url=base_url)
    if isinstance(error, openai.APIConnectionError | httpx.TransportError):
        return GatewayUnreachable(
            f"nothing answers at {base_url} ({_innermost(error)}): check PORTKEY_BASE_URL, or "
            "start a local gateway with `agno-portkey gateway start`",
            model_id=model_id,
        )
    if isinstance(error, openai.APIError):
        return UpstreamFailed(f"the provider reported: {error.message}", model_id=model_id)
    return BadResponse(
        f"the answer from {base_url} is not a chat completion ({type(error).__name__}: {error})",
        model_id=model_id,
    )


def explain_mid_stream(error: Exception, *, model_id: str) -> AgnoPortkeyError:
    """The typed error for what broke a stream after some of it was passed on.

    Always a check error: the host would replay a provider error into text already shown.
    """
    if isinstance(error, AgnoPortkeyError):
        return error
    detail = error.message if isinstance(error, openai.APIError) else str(error)
    return truncated(model_id, f"{type(error).__name__}: {detail}")


def truncated(model_id: str, cause: str) -> TruncatedStream:
    """The error for an answer that ended before it was whole."""
    reason = f"the answer of {model_id} is not whole: {cause}"
    return TruncatedStream(Verdict(False, "stream", (reason,), evidence={"model": model_id}))


def _from_status(error: openai.APIStatusError, *, model_id: str, base_url: str) -> AgnoPortkeyError:
    status = error.status_code
    body = _body(error.response)
    details = body.get("error")
    if not isinstance(details, dict):
        details = {"message": details} if isinstance(details, str) else {}
    said = _message(body, details, error)
    code = details.get("code")
    if status == _DENIED:
        return _denied(body, said)
    if status in (401, 403):
        return GatewayUnauthorized(
            f"the gateway at {base_url} refused the key ({status}: {said}): check PORTKEY_API_KEY "
            "for hosted Portkey, or the provider's key (`api_key`) for a gateway of your own",
            status_code=status,
            model_id=model_id,
        )
    if code in _OVERFLOW_CODES:
        return ContextOverflow(said, status_code=status, model_id=model_id)
    if status == 429:
        return GatewayRateLimited(
            f"rate limit reached: {said}", status_code=status, model_id=model_id
        )
    if status == 408:
        return GatewayTimeout(
            f"the provider gave no answer within the route's request_timeout: {said}",
            status_code=status,
            model_id=model_id,
        )
    if _config_fault(error.response, body, said):
        return GatewayConfigRejected(
            f"the gateway does not accept the routing config or provider ({status}): {said}",
            status_code=status,
            model_id=model_id,
        )
    return UpstreamFailed(
        f"the provider answered {status}: {said}", status_code=status, model_id=model_id
    )


def _denied(body: dict[str, Any], said: str) -> AgnoPortkeyError:
    hooks = body.get("hook_results")
    hooks = hooks if isinstance(hooks, dict) else {}
    failed = [_check_name(hook) for hook in _failed(hooks, "before_request_hooks")]
    kind: type[GatewayDeniedInput] | type[GatewayDeniedOutput] = GatewayDeniedInput
    if not failed:
        failed = [_check_name(hook) for hook in _failed(hooks, "after_request_hooks")]
        kind = GatewayDeniedOutput if failed else GatewayDeniedInput
    reasons = tuple(f"the gateway's guardrail {name} denied it" for name in failed) or (said,)
    return kind(Verdict(False, "gateway", reasons, evidence={"hook_results": hooks}))


def _failed(hooks: dict[str, Any], stage: str) -> list[dict[str, Any]]:
    results = hooks.get(stage)
    if not isinstance(results, list):
        return []
    return [hook for hook in results if isinstance(hook, dict) and hook.get("verdict") is False]


def _check_name(hook: dict[str, Any]) -> str:
    checks = hook.get("checks")
    names = [
        str(check.get("id"))
        for check in (checks if isinstance(checks, list) else [])
        if isinstance(check, dict) and check.get("verdict") is False
    ]
    return ", ".join(names) or str(hook.get("id"))


def _config_fault(response: httpx.Response, body: dict[str, Any], said: str) -> bool:
    """Whether the gateway itself, not the provider, turned the request down."""
    if response.headers.get("x-portkey-gateway-exception") == "true":
        return True
    refused = response.status_code in (400, 500) and "x-portkey-provider" not in response.headers
    return refused and (body.get("status") == "failure" or "config" in said.lower())


def _body(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except (json.JSONDecodeError, UnicodeDecodeError, httpx.ResponseNotRead):
        return {}
    return body if isinstance(body, dict) else {}


def _message(body: dict[str, Any], details: dict[str, Any], error: openai.APIStatusError) -> str:
    said = details.get("message") or body.get("message")
    if not said:
        said = body.get("errors") or body.get("html-message") or error.message
    if isinstance(said, list):
        said = "; ".join(
            str(item.get("message", item)) if isinstance(item, dict) else str(item) for item in said
        )
    return " ".join(str(said).split())[:500]


def _innermost(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error) or type(error).__name__
