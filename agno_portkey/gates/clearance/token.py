"""A clearance as a signed JWT (EdDSA), for CI and machines that share no database."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from agno_portkey.contracts import Plan
from agno_portkey.errors import ClearanceRefused, ConfigurationError
from agno_portkey.gates.clearance.keys import key_id, missing, private_key, public_keys
from agno_portkey.gates.clearance.record import Asking, Grant
from agno_portkey.gates.clearance.refusing import (
    check_fits,
    check_in_time,
    check_unused,
    refused,
)
from agno_portkey.gates.clearance.row import check_digest, plan_text

__all__ = ["LONGEST", "export", "verify"]

# Characters of a token.
LONGEST = 64 * 1024

_ALGORITHM = "EdDSA"
# So that no other token which the same key has signed is taken for a clearance.
_TYPE = "agno-portkey-clearance+jwt"
_TOKEN = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")

# The registered claims that hold what a Grant holds by another name.
_CLAIMS = {"id": "jti", "swarm": "aud", "issued_at": "iat", "expires_at": "exp"}
_TEXTS = ("gate", "tenant", "session_id", "user_id", "plan_digest", "fingerprint")
_MORE = ("environment", "team_run_id", "approved_by", "reason")
_NEEDED = {"jti", "iat", "exp", "gate", "passed", "plan", "plan_digest", "fingerprint"}
_KNOWN = _NEEDED | {"aud", *_TEXTS, *_MORE}


def export(grant: Grant, key: str) -> str:
    """The token of a granted clearance, signed with the private `key`.

    Its times are in whole seconds, the end rounded down. A clearance that names no session or
    user gives a token for any. Raises ConfigurationError for a wrong key and for a plan that is
    too long, ClearanceRefused for a clearance that can't be used, MissingExtraError without the
    extra `clearance`.
    """
    check_digest(grant)
    check_unused(grant, "")
    if not grant.fingerprint:
        raise ConfigurationError("what the team is made of is not known: nothing can be exported")
    signing = private_key(key)
    claims: dict[str, Any] = {name: getattr(grant, name) for name in (*_TEXTS, *_MORE)}
    claims |= {"jti": grant.id, "aud": grant.swarm, "plan": json.loads(plan_text(grant.plan))}
    claims |= {
        "passed": grant.passed,
        "iat": _seconds(grant.issued_at),
        "exp": _seconds(grant.expires_at),
    }
    payload = json.dumps({name: said for name, said in claims.items() if said is not None})
    header = {"typ": _TYPE, "kid": key_id(signing.public_key())}
    token = _jws().encode(payload.encode(), signing, algorithm=_ALGORITHM, headers=header)
    if len(token) > LONGEST:
        raise ConfigurationError(f"the plan is too long: its token would be over {LONGEST} bytes")
    return str(token)


def verify(
    token: str,
    keys: str | Iterable[str],
    asking: Asking,
    *,
    now: datetime | None = None,
    leeway: float = 60.0,
) -> Grant:
    """The clearance that `token` is, if it is good for `asking`; else ClearanceRefused.

    `keys` are the public keys that may have signed it. Nothing but the token is looked at: that
    it is used once is for `Clearances.admit` to see to, in a database that is shared.
    """
    known = public_keys(keys)
    if not known:
        raise refused("no_keys")
    _check_form(token)
    grant = _grant(_signed(token, known))
    check_digest(grant, "the token")
    check_fits(grant, asking)
    check_in_time(grant, datetime.now(UTC) if now is None else now, leeway)
    return grant


def _signed(token: str, known: Mapping[str, Any]) -> bytes:
    """The payload of `token`, once its signature holds."""
    from jwt.exceptions import PyJWTError

    jws = _jws()
    try:
        header = jws.get_unverified_header(token)
    except (PyJWTError, ValueError, RecursionError):
        raise _malformed("its header is none") from None
    signature = token.rpartition(".")[2]
    algorithm = header.get("alg")
    if not signature or algorithm is None or str(algorithm).casefold() == "none":
        raise refused("unsigned")
    if algorithm != _ALGORITHM:
        raise _forged(f"it is not signed with {_ALGORITHM}")
    key = known.get(str(header.get("kid")))
    if key is None:
        raise _forged("none of the public keys has signed it")
    try:
        payload = jws.decode_complete(token, key, algorithms=[_ALGORITHM])["payload"]
    except PyJWTError:
        raise _forged("its signature does not hold") from None
    if set(header) != {"alg", "typ", "kid"} or header["typ"] != _TYPE:
        raise _malformed("it is a token of another kind")
    return bytes(payload)


def _check_form(token: object) -> None:
    """Refuse what no signature need be looked at for."""
    if not isinstance(token, str) or len(token) > LONGEST or not _TOKEN.fullmatch(token):
        raise _malformed(f"three parts in base64, of {LONGEST} bytes at most, are needed")
    signature = token.rpartition(".")[2]
    # Several texts may stand for the same bytes: one alone is taken.
    padded = signature + "=" * (-len(signature) % 4)
    try:
        again = base64.urlsafe_b64encode(base64.urlsafe_b64decode(padded)).decode()
    except ValueError:
        again = ""
    if again != padded:
        raise _malformed("its signature is not in base64")


def _grant(payload: bytes) -> Grant:
    try:
        claims = json.loads(payload)
    except (ValueError, RecursionError):
        raise _malformed("its claims are no JSON") from None
    if not isinstance(claims, dict):
        raise _malformed("its claims are no object")
    if lacks := sorted(_NEEDED - claims.keys()):
        raise _malformed(f"it lacks {', '.join(lacks)}")
    if set(claims) - _KNOWN:
        # Such as a bound that this release would not hold it to.
        raise _malformed("it makes claims that are not known here")
    names = ("id", "swarm", "passed", *_TEXTS, *_MORE)
    values: dict[str, Any] = {name: claims.get(_CLAIMS.get(name, name)) for name in names}
    try:
        return Grant(
            plan=Plan.model_validate(claims["plan"]),
            issued_at=_time(claims["iat"]),
            expires_at=_time(claims["exp"]),
            **values,
        )
    except (ValueError, TypeError, OverflowError, OSError) as error:
        said = str(error) if isinstance(error, ConfigurationError) else type(error).__name__
        raise _malformed(said) from None


def _seconds(at: datetime) -> int:
    return int(at.timestamp() // 1)


def _time(seconds: object) -> datetime:
    if not isinstance(seconds, int) or isinstance(seconds, bool):
        raise ConfigurationError("iat and exp: whole seconds are needed")
    return datetime.fromtimestamp(seconds, UTC)


def _malformed(problem: str) -> ClearanceRefused:
    return refused("malformed", what="the token", problem=problem)


def _forged(problem: str) -> ClearanceRefused:
    return refused("forged", what="the token", problem=problem)


def _jws() -> Any:
    try:
        from jwt import PyJWS
    except ImportError as error:
        raise missing() from error
    return PyJWS(algorithms=[_ALGORITHM])
