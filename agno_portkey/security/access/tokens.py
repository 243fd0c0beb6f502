"""Who runs a command, as a token says that was signed with a key of theirs."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agno_portkey.errors import ConfigurationError, MissingExtraError, TokenRefused
from agno_portkey.security.access.people import refused_subject

__all__ = [
    "AUDIENCE_VARIABLE",
    "KEY_VARIABLE",
    "TOKEN_VARIABLE",
    "Holder",
    "holder_of",
    "verification",
]

KEY_VARIABLE = "AGNO_PORTKEY_JWT_KEY"
TOKEN_VARIABLE = "AGNO_PORTKEY_TOKEN"  # noqa: S105 - its name
# Whom tokens have to be for: the id of an AgentOS, say, whose tokens are to hold here too.
AUDIENCE_VARIABLE = "AGNO_PORTKEY_JWT_AUDIENCE"
_AUDIENCE = "agno-portkey"

_LARGEST = 16_384
# As RFC 7518 has it for HS256: as long as its digest, which is 32 bytes; and for RS256, in bits.
_SHORTEST, _SMALLEST = 32, 2048


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a verified token, and the scopes that it gives."""

    name: str
    scopes: tuple[str, ...]
    # Whether the token names a tenant: commands are for all of them.
    of_tenant: bool = False

    def lacks(self, scopes: Sequence[str]) -> list[str]:
        """Which of `scopes` it does not give, as AgentOS reads them."""
        from agno.os.scopes import has_required_scopes

        held = [*self.scopes]
        return [scope for scope in scopes if not has_required_scopes(held, [scope])]


def holder_of(token: str | None, key: str) -> Holder:
    """Who `token` says it is, verified by AgentOS' own validator with what `key` names.

    `key` is a public key in PEM, or the file of one, or of a secret of 32 bytes or more that
    nobody else may read. The token needs a signature of that key's algorithm, an end (exp), the
    audience that AGNO_PORTKEY_JWT_AUDIENCE names (else `agno-portkey`) and a subject. Raises
    TokenRefused, which quotes nothing of it, and ConfigurationError for a key that is none.
    """
    if not token or not token.strip():
        raise TokenRefused(
            f"{TOKEN_VARIABLE}: it is not set; {KEY_VARIABLE} is, so that a token is needed"
        )
    if not key.strip():
        raise ConfigurationError(f"{KEY_VARIABLE}: it is empty: name a key, or unset it")
    text, algorithm = _key(key)
    claims = _verified(token.strip(), text, algorithm)
    name = claims.get("sub")
    if (why := refused_subject(name)) is not None:
        raise TokenRefused(f"{TOKEN_VARIABLE}: {why[1]}")
    return Holder(str(name), tuple(claims["scopes"]), claims.get("tenant") is not None)


def verification() -> tuple[str, str, str] | None:
    """The key, algorithm and audience by which this machine verifies tokens; None without one.

    ConfigurationError for a key that is none.
    """
    named = os.environ.get(KEY_VARIABLE)
    if named is None:
        return None
    if not named.strip():
        raise ConfigurationError(f"{KEY_VARIABLE}: it is empty: name a key, or unset it")
    return *_key(named), _audience()


def _audience() -> str:
    return os.environ.get(AUDIENCE_VARIABLE, "").strip() or _AUDIENCE


def _verified(token: str, key: str, algorithm: str) -> dict[str, Any]:
    """The claims of a token that is good; `scopes` is a list of texts."""
    try:
        import jwt
        from agno.os.middleware.jwt import JWTValidator, is_reserved_principal
    except ImportError as error:
        raise MissingExtraError(
            f"{KEY_VARIABLE} needs AgentOS, which verifies tokens: pip install 'agno-portkey[os]'"
        ) from error
    validator = JWTValidator([key], algorithm=algorithm, leeway=0)
    # It takes the server's from the environment as well.
    validator.verification_keys, validator.jwks_keys = [key], {}
    audience = _audience()
    try:
        claims = validator.validate_token(token, audience)
    except jwt.ExpiredSignatureError:
        raise TokenRefused(f"{TOKEN_VARIABLE}: it has expired") from None
    except jwt.InvalidAudienceError:
        said = f"it is for another audience than {audience!r} ({AUDIENCE_VARIABLE})"
        raise TokenRefused(f"{TOKEN_VARIABLE}: {said}") from None
    except Exception as error:  # whatever a token of somebody else's making runs into
        said = f"it is not good ({type(error).__name__}): not signed with the key in {KEY_VARIABLE}"
        raise TokenRefused(f"{TOKEN_VARIABLE}: {said}, or not valid yet") from None
    if isinstance(claims.get("exp"), bool) or not isinstance(claims.get("exp"), int | float):
        raise TokenRefused(f"{TOKEN_VARIABLE}: it needs an exp, a time in seconds, to expire at")
    if is_reserved_principal(claims.get("sub")):
        raise TokenRefused(f"{TOKEN_VARIABLE}: its subject is a name that AgentOS gives itself")
    told = validator.extract_claims(claims)["scopes"]
    return {**claims, "scopes": [scope for scope in told if isinstance(scope, str)]}


def _key(named: str) -> tuple[str, str]:
    """The key that `named` is or names, and the one algorithm that it verifies."""
    text = named if "-----BEGIN" in named else _read(named)
    if "-----BEGIN" not in text:
        secret = text.strip()
        if len(secret.encode()) < _SHORTEST:
            raise ConfigurationError(
                f"{KEY_VARIABLE}: a secret of at least {_SHORTEST} bytes, or a public key in PEM"
            )
        return secret, "HS256"
    return text, _algorithm(text)


def _algorithm(text: str) -> str:
    """That of a public key in PEM: a token can't choose another."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    wanted = f"{KEY_VARIABLE}: a public key in PEM: RSA, EC P-256 or Ed25519"
    try:
        key = load_pem_public_key(text.encode())
    except Exception as error:  # the words may quote a private key
        raise ConfigurationError(f"{wanted} ({type(error).__name__})") from None
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < _SMALLEST:
            raise ConfigurationError(f"{KEY_VARIABLE}: an RSA key of at least {_SMALLEST} bits")
        return "RS256"
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return "ES256"
    if isinstance(key, ed25519.Ed25519PublicKey):
        return "EdDSA"
    raise ConfigurationError(wanted)


def _read(path: str) -> str:
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with os.fdopen(file, "rb") as held:
            status = os.fstat(held.fileno())
            said = held.read(_LARGEST + 1) if stat.S_ISREG(status.st_mode) else b""
    except (OSError, ValueError) as error:
        # It may be a secret that was put there in place of its file's name.
        said_why = f"it names no file that can be read ({type(error).__name__})"
        raise ConfigurationError(f"{KEY_VARIABLE}: {said_why}") from None
    text = said.decode("utf-8", "replace")
    if not text.strip() or len(said) > _LARGEST:
        raise ConfigurationError(f"{KEY_VARIABLE}: its file holds no key")
    if "-----BEGIN" not in text and status.st_mode & 0o077:
        raise ConfigurationError(f"{KEY_VARIABLE}: others can read the secret in it: chmod 600")
    if status.st_mode & 0o002:
        raise ConfigurationError(f"{KEY_VARIABLE}: anybody can put another key there: chmod 644")
    return text
