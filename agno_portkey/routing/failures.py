"""Turns what the client raised into one typed error that says what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import openai
from agno.exceptions import ModelProviderError

from agno_portkey.errors import (
    AgnoPortkeyError,
    BadResponse,
    ConfigurationError,
    ContentFiltered,
    ContextOverflow,
    GatewayConfigRejected,
    GatewayDeniedInput,
    GatewayDeniedOutput,
    GatewayError,
    GatewayRateLimited,
    GatewayTimeout,
    GatewayUnauthorized,
    GatewayUnreachable,
    TruncatedStream,
    UpstreamFailed,
)
from agno_portkey.routing.error_bodies import (
    FILTER_CODES,
    body_of,
    code_of,
    details_of,
    message_of,
    retry_after_of,
    tidied,
)
from agno_portkey.routing.unsaid import forget_variables, hush, without_keys
from agno_portkey.settings import LOOPBACK
from agno_portkey.verdict import Verdict

__all__ = ["explain", "reported", "truncated"]

_DENIED = 446
_OVERFLOW_CODES = ("context_length_exceeded", "context_window_exceeded")
_TIMEOUTS = (408, 504, 524)
_RATE_LIMITS = (429, 529)
_TIMED_OUT = (openai.APITimeoutError, httpx.TimeoutException, TimeoutError)
_NEVER_CONNECTED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol)
# What the gateway says when it can't read what the provider answered.
_GATEWAY_BROKE = "something went wrong"


def explain(
    error: Exception, *, model_id: str, base_url: str, amid: bool = False
) -> AgnoPortkeyError:
    """The typed error for what a request raised; `amid` says that some of its answer had come."""
    forget_variables(error)
    if isinstance(error, AgnoPortkeyError):
        return error
    if isinstance(error, openai.APIConnectionError) and isinstance(error.__cause__, BadResponse):
        return error.__cause__  # of what the client takes for its connection's fault
    if isinstance(error, openai.APIError):
        hush(error)
    if isinstance(error, openai.APIStatusError):
        return _Answered(error, model_id=model_id, base_url=base_url).explained()
    if amid and not isinstance(error, openai.APIError):
        return _broken_off(error, model_id=model_id)
    lost = openai.APIConnectionError | httpx.TransportError | TimeoutError | UnicodeEncodeError
    if isinstance(error, lost):
        return _lost(error, model_id=model_id, base_url=base_url)
    if isinstance(error, openai.APIError):
        details = error.body if isinstance(error.body, dict) else {}
        told = {"message": error.message, "code": error.code, **details}
        return reported(told, model_id=model_id)
    if isinstance(error, TypeError) and "unexpected keyword argument" in str(error):
        return ConfigurationError(f"request_params: the client does not take them ({error})")
    return BadResponse(
        f"the answer from {base_url} can't be read as a chat completion "
        f"({type(error).__name__}): check the provider behind the gateway, or ask again",
        model_id=model_id,
    )


def truncated(model_id: str, cause: str, partial: str = "") -> TruncatedStream:
    """The error for an answer that broke off after `partial` was shown."""
    reason = (
        f"the answer of {model_id} is not whole ({cause}): discard it and ask again, or give the "
        "route a target that continues answers (prefill=True)"
    )
    evidence = {"model": model_id, "partial": partial}
    return TruncatedStream(Verdict(False, "stream", (reason,), evidence=evidence))


def _broken_off(error: Exception, *, model_id: str) -> GatewayError:
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        return GatewayTimeout(
            "the stream stalled: no token came within stream_idle_timeout",
            status_code=504,
            model_id=model_id,
        )
    broken = "an event in it is no JSON" if isinstance(error, ValueError) else tidied(error)
    return UpstreamFailed(
        f"the stream broke off: {broken or type(error).__name__}", model_id=model_id
    )


def _lost(error: Exception, *, model_id: str, base_url: str) -> GatewayError:
    causes = [*_causes(error)]
    if any(isinstance(cause, httpx.LocalProtocolError | UnicodeEncodeError) for cause in causes):
        # It quotes the header, which may be a key.
        return GatewayConfigRejected(
            "a header's value holds characters that no header can have: look for line breaks and "
            "other than ASCII letters in keys, headers and ids",
            status_code=400,
            model_id=model_id,
        )
    why = str(causes[-1]) or type(causes[-1]).__name__
    if any(isinstance(cause, _NEVER_CONNECTED) for cause in causes):
        return GatewayUnreachable(
            f"nothing answers at {base_url} ({why}): check PORTKEY_BASE_URL, or start a "
            "local gateway with `agno-portkey gateway start`",
            model_id=model_id,
        )
    if any(isinstance(cause, _TIMED_OUT) for cause in causes):
        return GatewayTimeout(
            f"the gateway at {base_url} gave no answer in time: raise its limit (`Recovery`, "
            "or the target's `Timeout`), or give the route a fallback",
            status_code=504,
            model_id=model_id,
        )
    return GatewayUnreachable(
        f"the connection to {base_url} broke before there was an answer ({why}): ask "
        "again, and check that the gateway runs",
        model_id=model_id,
    )


def reported(details: dict[str, Any], *, model_id: str) -> GatewayError:
    """The error for one that came with a good status: as a document, or an event of a stream."""
    said, code = (
        tidied(details.get("message") or details.get("type") or "no reason"),
        code_of(details),
    )
    if code in _OVERFLOW_CODES or _speaks_of_overflow(said):
        return ContextOverflow(_shorten(said), model_id=model_id)
    if code in FILTER_CODES:
        return ContentFiltered(_filtered(said), model_id=model_id)
    if code == "rate_limit_exceeded":
        return GatewayRateLimited(_slow_down(said), model_id=model_id)
    return UpstreamFailed(
        f"the provider reported: {said} (ask again, or give the route a fallback)",
        model_id=model_id,
    )


# What Node says of a host that does not answer.
_UNREACHED = re.compile(
    r"ECONNREFUSED|ENOTFOUND|EAI_AGAIN|and not trusted|redirect is not followed"
)


class _Answered:
    """An answer with an error status, and what it says about its cause."""

    def __init__(self, error: openai.APIStatusError, *, model_id: str, base_url: str) -> None:
        self.status = error.status_code
        self.headers = error.response.headers
        # Before all else: what is cut off or hidden of a key would leave the rest of it.
        self.body = without_keys(body_of(error.response), error.request)
        self.said = message_of(self.body, error)
        self.code = code_of(details_of(self.body))
        self.base_url = base_url
        self.about: dict[str, Any] = {"status_code": self.status, "model_id": model_id}

    def explained(self) -> AgnoPortkeyError:
        """The typed error; the host tells rate limits and overflows apart in the same way."""
        if self.status == _DENIED:
            return _denied(self.body, self.said)
        error = self._told_apart()
        error.retry_after = retry_after_of(self.headers)
        return error

    def _told_apart(self) -> GatewayError:
        # By the code: an overflow and a refusal are both a 400, and some send a 403 for one.
        if self.code in FILTER_CODES:
            return ContentFiltered(_filtered(self.said), **self.about)
        if self.status in (401, 403):
            return GatewayUnauthorized(
                f"the gateway at {self.base_url} refused the key ({self.status}: {self.said}): "
                "check PORTKEY_API_KEY for hosted Portkey, or the provider's key (`api_key`) for "
                "a gateway of your own",
                **self.about,
            )
        if self.status in _RATE_LIMITS:
            told = _slow_down(self.said, retry_after_of(self.headers))
            return GatewayRateLimited(told, **self.about)
        if self.code in _OVERFLOW_CODES or _speaks_of_overflow(self.said):
            return ContextOverflow(_shorten(self.said), **self.about)
        if self.status in _TIMEOUTS:
            return GatewayTimeout(
                f"{self._who()} gave no answer in time ({self.status}: {self.said}): raise the "
                "target's `Timeout`, or give the route a fallback",
                **self.about,
            )
        return self._refused_or_failed()

    def _refused_or_failed(self) -> GatewayError:
        if _UNREACHED.search(self.said):
            return UpstreamFailed(
                f"the gateway at {self.base_url} can't reach the provider ({self.said}): check "
                "`custom_host`, and the gateway's network (AGNO_PORTKEY_TRUSTED_HOSTS names who of "
                "it may be asked)",
                **self.about,
            )
        if "custom host" in self.said.lower():
            return GatewayConfigRejected(
                f"the gateway at {self.base_url} does not accept the provider's address "
                f"({self.said}): check `custom_host`; a private address must be among the "
                "gateway's trusted hosts (`agno-portkey gateway start --trusted-host`)",
                **self.about,
            )
        if self._gateway_broke():
            return BadResponse(
                f"the gateway at {self.base_url} could not read what the provider answered "
                f"({self.status}: {self.said}): check the provider's address, or ask again",
                **self.about,
            )
        if self._config_fault():
            return GatewayConfigRejected(
                f"the gateway at {self.base_url} does not accept the routing config or provider "
                f"({self.status}: {self.said}): {self._named()}",
                **self.about,
            )
        if not self._from_gateway() and self.status in (404, 405):
            return BadResponse(
                f"{self.base_url} answered {self.status}: check that it is the address of a "
                "Portkey gateway's API (it ends in /v1)",
                **self.about,
            )
        return UpstreamFailed(
            f"{self._who()} answered {self.status}: {self.said} ({self._advice()})", **self.about
        )

    def _who(self) -> str:
        return "the provider" if "x-portkey-provider" in self.headers else self.base_url

    def _advice(self) -> str:
        if self.status >= 500:
            return "ask again later, or give the route a fallback"
        return "check the model's name and the request's parameters"

    def _named(self) -> str:
        # What the open-source gateway says of a request that names neither.
        unnamed = "x-portkey-provider header is required" in self.said
        if unnamed and httpx.URL(self.base_url).host in LOOPBACK:
            return (
                "this gateway has no account: name the provider and its key: "
                'PortkeyModel(..., portkey_provider="openai", api_key=...)'
            )
        return "check `config` and `portkey_provider`"

    def _from_gateway(self) -> bool:
        return any(name.startswith("x-portkey-") for name in self.headers)

    def _gateway_broke(self) -> bool:
        raised = self.headers.get("x-portkey-gateway-exception") == "true"
        return raised and self.said.lower().startswith(_GATEWAY_BROKE)

    def _config_fault(self) -> bool:
        """Whether the gateway itself, not the provider, turned the request down."""
        if self.headers.get("x-portkey-gateway-exception") == "true":
            return True
        if self.status not in (400, 500) or "x-portkey-provider" in self.headers:
            return False
        return self.body.get("status") == "failure" or "config" in self.said.lower()


def _denied(body: dict[str, Any], said: str) -> GatewayDeniedInput | GatewayDeniedOutput:
    # Had a check before the request denied it, there would be none after it.
    after, before = (
        [*_denials(body, stage)] for stage in ("after_request_hooks", "before_request_hooks")
    )
    names = [_check_names(hook) for hook in after or before]
    reasons = tuple(f"the gateway's guardrail {name} denied it" for name in names) or (said,)
    # The results quote the text that was refused, so they stay behind.
    verdict = Verdict(False, "gateway", reasons, evidence={"checks": names})
    return GatewayDeniedOutput(verdict) if after else GatewayDeniedInput(verdict)


def _denials(body: dict[str, Any], stage: str) -> Iterator[dict[str, Any]]:
    hooks = body.get("hook_results")
    results = hooks.get(stage) if isinstance(hooks, dict) else None
    for hook in results if isinstance(results, list) else []:
        if isinstance(hook, dict) and hook.get("verdict") is False and hook.get("deny", True):
            yield hook


def _check_names(hook: dict[str, Any]) -> str:
    checks = hook.get("checks")
    names = [
        str(check.get("id"))
        for check in (checks if isinstance(checks, list) else [])
        if isinstance(check, dict) and check.get("verdict") is False
    ]
    return ", ".join(names) or str(hook.get("id"))


def _shorten(said: str) -> str:
    return f"the prompt does not fit the model's context window: {said} (shorten the history)"


def _filtered(said: str) -> str:
    return f"the provider's content policy refuses it: {said} (rephrase the prompt)"


def _slow_down(said: str, retry_after: float | None = None) -> str:
    wait = "wait" if retry_after is None else f"ask again in {retry_after:g} s"
    return f"the rate limit is reached: {said} ({wait}, or spread the load over several targets)"


def _speaks_of_overflow(said: str) -> bool:
    said = said.lower()
    return any(pattern in said for pattern in ModelProviderError.CONTEXT_WINDOW_PATTERNS)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
