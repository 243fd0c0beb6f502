"""`SecretsGuardrail`: no key, token or password goes to a model, or comes from one."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Literal

from agno_portkey.errors import ConfigurationError
from agno_portkey.guardrails.base import Guard
from agno_portkey.guardrails.findings import Block, Finding, Rewrite
from agno_portkey.guardrails.passages import Passage
from agno_portkey.guardrails.secrets.finding import Secret, begins_one, secrets
from agno_portkey.guardrails.segments import CUT, Ranges

__all__ = ["SecretsGuardrail", "digests_in", "tells_of", "without_secrets"]

Action = Literal["block", "mask"]

# Whoever reads a digest can't try short passwords on it: the key is this process's own.
_KEY = os.urandom(16)


class SecretsGuardrail(Guard):
    """Blocks or masks keys, tokens, private keys, and passwords, in what goes in and comes out.

    It knows those of model providers, clouds and services by their form, and others by the name
    before them (`api_key = ...`, or the key of a JSON field), or by a login beside them. It reads
    what is broken over lines, percent-encoded, in base64 or hex, or laced with invisible marks.
    Placeholders, ids and hashes are none. `allow`: whole secrets that may pass, such as a key that
    is public. It does not find what is spelled with spaces, reversed, compressed, encoded twice,
    or shared out among several messages, nor a password of letters alone.

    `action="block"` lets a streamed answer go sentence by sentence and ends it before the first
    secret; `"mask"` puts `[secret: <kind>]` in its place and holds the answer to its end, since a
    private key spans lines. A verdict tells the kind and a digest, which is keyed by the process.
    """

    name = "SecretsGuardrail"
    inline = True

    def __init__(
        self, *, action: Action = "block", allow: Collection[str] = (), **settings: Any
    ) -> None:
        if action not in ("block", "mask"):
            raise ConfigurationError(f"{self.name}.action: block or mask, not {action!r}")
        if isinstance(allow, str) or not all(isinstance(each, str) and each for each in allow):
            raise ConfigurationError(f"{self.name}.allow: a list of secrets, none empty")
        self.action: Action = action
        self.rewrites = action == "mask"
        self._allowed = frozenset(map(_digest, allow))
        # A private key spans pieces of an answer, and its first line several words.
        self.streams = ("whole",) if self.rewrites else ("whole", "segment", "eager")
        super().__init__(**{"stream": "whole" if self.rewrites else "segment", **settings})

    def inspect(self, passage: Passage) -> Finding:
        text, before = passage.text, passage.before
        if len(text) < _LEAST and not before:
            return None
        found = secrets(before + text, "" if before else _field(passage.path))
        if self._allowed:
            found = [each for each in found if not self._allows(before + text, each)]
        found = [each for each in found if each.end > len(before)]
        if not found:
            if self.stream != "whole" and len(text) >= CUT and begins_one(text):
                return Block("a secret may have begun that is not whole yet")
            return None
        evidence = _evidence(before + text, found)
        kinds = ", ".join(dict.fromkeys(each.kind for each in found))
        if self.action == "block":
            return Block(f"a secret ({kinds})", evidence=evidence)
        return Rewrite(_masked(text, found), f"a secret ({kinds})", evidence)

    def keeps_together(self, before: str, text: str) -> Ranges:
        for secret in secrets(before + text):
            if secret.end > len(before):
                yield secret.start - len(before), secret.end - len(before)

    def _allows(self, text: str, secret: Secret) -> bool:
        return _digest(text[secret.start : secret.end]) in self._allowed


# No text shorter than this holds one.
_LEAST = 6


def without_secrets(text: str) -> str:
    """`text` with `[secret: <kind>]` in the place of each secret; for logs."""
    return _masked(text, found) if (found := secrets(text)) else text


def tells_of(evidence: Mapping[str, Any], secret: str) -> bool:
    """Whether the evidence of a verdict of this process is of `secret`, which it does not hold."""
    return _digest(secret) in digests_in(evidence)


def digests_in(evidence: Mapping[str, Any]) -> set[str]:
    """The digests of secrets that were found; other guards may put there what they like."""
    found = evidence.get("found")
    told = [one.get("secrets") for one in _list(found) if isinstance(one, Mapping)]
    secrets = [each for one in told for each in _list(one) if isinstance(each, Mapping)]
    return {each["digest"] for each in secrets if isinstance(each.get("digest"), str)}


def _list(held: Any) -> list[Any]:
    return held if isinstance(held, list) else []


def _masked(text: str, found: Sequence[Secret]) -> str:
    for secret in reversed(found):
        text = f"{text[: secret.start]}[secret: {secret.kind}]{text[secret.end :]}"
    return text


def _field(path: str) -> str:
    """The name of the field that a path leads to: `c` of `a.b[0].c`."""
    return path.rpartition(".")[2].partition("[")[0]


def _evidence(text: str, found: Sequence[Secret]) -> dict[str, Any]:
    told = [{"kind": each.kind, "digest": _digest(text[each.start : each.end])} for each in found]
    return {"secrets": told}


def _digest(secret: str) -> str:
    return blake2b(secret.encode("utf-8", "replace"), key=_KEY, digest_size=4).hexdigest()
