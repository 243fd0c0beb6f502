"""Everything this package raises, on one screen.

```
AgnoPortkeyError
├── ConfigurationError (ValueError)     an argument, file or variable is wrong; refused when built
│   ├── UngovernedPathError             govern found a way round the gateway or the gate
│   ├── ModelMissing                    no language model to find names and places with
│   ├── SecretMissing                   a source has no secret of that name
│   ├── TokenRefused                    a command's token is missing, not good, or lacks a scope
│   └── WrongEnvironment                it is of another environment, or not for production
├── AdjustmentRefused                   a gate's threshold may not be changed so, or not any more
├── AnalysisFailed                      a text could not be searched for personal data
├── ClearanceRefused                    a clearance is not good for who asks, or not any more
├── DatabaseGone (RuntimeError)         a table or file that was there is not there any more
├── VaultUnavailable                    hidden values can't be read or kept
├── SecretUnavailable                   a source of secrets can't be asked, or gives no usable one
├── RotationFailed                      a key was not rotated; says what state its keys are in
│   ├── RotationUnderWay                another process rotates that key
│   └── RevocationPending               the new key is in use, an old one is not revoked yet
├── LedgerUnavailable                   what was spent can't be written, or can't be read
├── MissingExtraError (ImportError)     an optional package is not installed; names the extra
├── LocalGatewayError                   the local gateway can't be installed or started
├── ToolRefused (AgentRunException)     a protected tool was called without leave
├── GatewayError (ModelProviderError)   a call through the gateway failed
│   ├── GatewayUnreachable              nothing answers at that address
│   ├── GatewayTimeout                  no answer in time
│   ├── GatewayUnauthorized             401 or 403: a key is missing or wrong
│   ├── GatewayConfigRejected           the gateway refuses the routing config
│   ├── GatewayRateLimited              429 (also a ModelRateLimitError)
│   ├── ContextOverflow                 the prompt is too long (also a ContextWindowExceededError)
│   ├── ContentFiltered                 the provider's content policy refuses the prompt
│   ├── CircuitOpen                     all targets are known to be down; none was asked
│   ├── BadResponse                     HTML, no choices, or no JSON where an answer was due
│   └── UpstreamFailed                  any other status
└── Blocked                             a guard, contract or gate said no; carries its Verdict
    ├── InputBlocked (InputCheckError)
    │   ├── BudgetExceeded              a budget is used up, or nobody can say that it is not
    │   ├── GateClosed                  the gate of a Runner or protected tool has not passed
    │   ├── InputContractError          what a run is handed does not fit its schema
    │   ├── ModelNotAllowed             the policy does not let who asks have that model
    │   ├── Stopped                     the swarm is stopped, or nobody can say that it is not
    │   └── GatewayDeniedInput          446: a gateway guardrail denied the request
    └── OutputBlocked (OutputCheckError)
        ├── ContractError               a structured output does not fit its schema
        ├── TruncatedStream             a stream broke off; carries the part that was shown
        ├── RunDeclined                 the team ends without a cleared and finished run
        ├── StepStopped                 a workflow's step was blocked or failed, and ends it
        └── GatewayDeniedOutput         446: a gateway guardrail denied the answer
```

Agno stops a run only on `InputCheckError` and `OutputCheckError`, and returns such a run with
`status=ERROR`; any other exception in a hook is logged and skipped. So whatever must block is
a `Blocked`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from agno.exceptions import (
    AgentRunException,
    CheckTrigger,
    ContextWindowExceededError,
    InputCheckError,
    ModelProviderError,
    ModelRateLimitError,
    OutputCheckError,
)
from agno.workflow.step import UnresolvableCallableError

if TYPE_CHECKING:
    from agno_portkey.verdict import Verdict

__all__ = [
    "AdjustmentRefused",
    "AgnoPortkeyError",
    "AnalysisFailed",
    "BadResponse",
    "Blocked",
    "BudgetExceeded",
    "CircuitOpen",
    "ClearanceRefused",
    "ConfigurationError",
    "ContentFiltered",
    "ContextOverflow",
    "ContractError",
    "DatabaseGone",
    "GateClosed",
    "GatewayConfigRejected",
    "GatewayDeniedInput",
    "GatewayDeniedOutput",
    "GatewayError",
    "GatewayRateLimited",
    "GatewayTimeout",
    "GatewayUnauthorized",
    "GatewayUnreachable",
    "InputBlocked",
    "InputContractError",
    "LedgerUnavailable",
    "LocalGatewayError",
    "MissingExtraError",
    "ModelMissing",
    "ModelNotAllowed",
    "OutputBlocked",
    "RevocationPending",
    "RotationFailed",
    "RotationUnderWay",
    "RunDeclined",
    "SecretMissing",
    "SecretUnavailable",
    "StepStopped",
    "Stopped",
    "TokenRefused",
    "ToolRefused",
    "TruncatedStream",
    "UngovernedPathError",
    "UpstreamFailed",
    "VaultUnavailable",
    "WrongEnvironment",
]


class AgnoPortkeyError(Exception):
    """Base of every error of this package."""


class ConfigurationError(AgnoPortkeyError, ValueError):
    """An argument, file or environment variable is wrong; the message names the field."""


class UngovernedPathError(ConfigurationError):
    """A governed object can reach a model or a protected tool by a way that is not governed."""


class ModelMissing(ConfigurationError):
    """Names or places are to be found, and there is no language model that finds them."""


class TokenRefused(ConfigurationError):
    """A token is missing, not good, or lacks a scope; the message says which, and quotes none."""


class WrongEnvironment(ConfigurationError):
    """It is of another environment, or what is not for production is used there."""


class SecretMissing(ConfigurationError):
    """A source of secrets has none of that name; the message says where to put it."""


class AdjustmentRefused(AgnoPortkeyError):
    """A gate's threshold may not be changed so, or not any more; `code` says why in one word."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.code, str(self)))


class AnalysisFailed(AgnoPortkeyError):
    """A text could not be searched for personal data: too slow, or a recogniser broke."""


class ClearanceRefused(AgnoPortkeyError):
    """A clearance is not good for who asks, or not any more; `code` says why in one word."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.code, str(self)))


class DatabaseGone(AgnoPortkeyError, RuntimeError):
    """A table or file that was there is not there any more; made anew, it would be empty."""


class LedgerUnavailable(AgnoPortkeyError):
    """Rows of the ledger can't be written yet, or its sums can't be read."""


class RotationFailed(AgnoPortkeyError):
    """A key was not rotated: `what` happened, in which state its `keys` are, and what to `do`."""

    def __init__(self, key: str, what: str, keys: str, do: str) -> None:
        super().__init__(f"{key}: {what}. {keys}. {do}")
        self.key, self.what, self.keys, self.do = key, what, keys, do

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.key, self.what, self.keys, self.do))


class RotationUnderWay(RotationFailed):
    """Another process, or another thread of this one, rotates that key; nothing was done here."""


class RevocationPending(RotationFailed):
    """The new key is in use, and an old one is not revoked yet; trying again may do."""


class SecretUnavailable(AgnoPortkeyError):
    """A source of secrets can't be asked, or what it gives can't be used; says what to do."""


class VaultUnavailable(AgnoPortkeyError):
    """A vault can't be read or kept, so nothing may be hidden or shown; says what to do."""


class MissingExtraError(AgnoPortkeyError, ImportError):
    """An optional package is missing; the message names the extra to install."""


class LocalGatewayError(AgnoPortkeyError):
    """The local gateway can't be installed or started; the message says what to do."""


class ToolRefused(AgnoPortkeyError, AgentRunException):
    """A protected tool was called without leave; the run goes on, and the model reads why."""


class GatewayError(AgnoPortkeyError, ModelProviderError):
    """A call through the gateway failed; `status_code` is the gateway's, 502 where it gave none.

    `retry_after` is how many seconds the provider asks to be left alone, if it does.
    """

    retry_after: float | None = None


class GatewayUnreachable(GatewayError):
    """Nothing answers at the gateway's address."""


class GatewayTimeout(GatewayError):
    """The gateway gave no answer in time."""


class GatewayUnauthorized(GatewayError):
    """A key is missing, wrong or not allowed (401, 403)."""


class GatewayConfigRejected(GatewayError):
    """The gateway does not accept the routing config or a `x-portkey-*` header."""


class GatewayRateLimited(GatewayError, ModelRateLimitError):
    """The provider's or the gateway's rate limit is used up (429)."""


class ContextOverflow(GatewayError, ContextWindowExceededError):
    """The prompt is longer than the model's context window."""


class ContentFiltered(GatewayError):
    """The provider's content policy refuses the prompt; another try would be refused as well."""


class CircuitOpen(GatewayError):
    """Every target that may answer has failed too often of late; no request was sent."""


class BadResponse(GatewayError):
    """What came back is not a chat completion: HTML, no choices, or broken JSON."""


class UpstreamFailed(GatewayError):
    """The provider answered with any other error status."""


class Told(str):
    """The words of a `Blocked`, which carry its verdict and the name of its class along."""

    def __new__(cls, text: str, blocked: Blocked | None = None) -> Self:
        told = super().__new__(cls, text)
        if blocked is not None:
            told.error, told.verdict = type(blocked).__name__, blocked.verdict
        return told

    error: str
    verdict: Verdict


class Blocked(AgnoPortkeyError):
    """A guard, contract or gate said no.

    `verdict` holds its reason, scores and evidence.
    """

    message: str

    def __init__(self, verdict: Verdict, message: str | None = None) -> None:
        text = message or verdict.reason
        details: dict[str, Any] = {"verdict": verdict.as_dict(), "error": type(self).__name__}
        # The check errors of the host take these; Exception alone takes the text.
        super().__init__(text, self._trigger, details)
        self.verdict = verdict

    _trigger: CheckTrigger = CheckTrigger.VALIDATION_FAILED

    def __str__(self) -> str:
        # The host makes this the run's content, and drops all else where a run is not streamed.
        return Told(self.message, self)

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.verdict, self.message))


class InputBlocked(Blocked, InputCheckError):
    """What was about to happen is refused; nothing was sent."""

    _trigger = CheckTrigger.INPUT_NOT_ALLOWED


class BudgetExceeded(InputBlocked):
    """A budget is used up, or the ledger that would tell can't be read."""


class GateClosed(InputBlocked):
    """The gate in front of a Runner or a protected tool has not passed."""


class InputContractError(InputBlocked):
    """What a run is handed does not fit the schema of its input."""


class ModelNotAllowed(InputBlocked):
    """The policy does not let an agent ask a model, or a provider, that its calls can reach."""


class Stopped(InputBlocked):
    """An operator stopped the swarm, or the database that would tell can't be read."""


class GatewayDeniedInput(InputBlocked):
    """A guardrail of the gateway denied the request (446)."""


class OutputBlocked(Blocked, OutputCheckError):
    """What was produced is refused; it reaches nobody."""

    _trigger = CheckTrigger.OUTPUT_NOT_ALLOWED


class ContractError(OutputBlocked):
    """A structured output does not fit its schema."""


class TruncatedStream(OutputBlocked):
    """A stream broke off after some of it was shown, which `partial` holds."""

    @property
    def partial(self) -> str:
        return str(self.verdict.evidence.get("partial", ""))


class RunDeclined(OutputBlocked):
    """The team ends without a plan that was cleared and run; `verdict` lists the reasons."""


class StepStopped(OutputBlocked, UnresolvableCallableError):
    """A step was blocked or failed, so its workflow ends; `stop` says which and why.

    It is an `UnresolvableCallableError` since that is the one error that the host's steps never
    try again or skip, and that none of its containers turns into an output.
    """

    def __init__(self, verdict: Verdict, message: str | None = None, stop: Any = None) -> None:
        super().__init__(verdict, message)
        self.stop = stop
        if (kind := getattr(stop, "kind", None)) is not None:
            # What the host tells of it names the guard's, contract's or gate's own error.
            self.additional_data = {**(self.additional_data or {}), "error": kind}

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.verdict, self.message, self.stop))


class GatewayDeniedOutput(OutputBlocked):
    """A guardrail of the gateway denied the answer (446)."""
