"""Where the secrets of a text stand, and of which kind each is."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter

from agno_portkey.guardrails.secrets.kinds import RULES
from agno_portkey.guardrails.secrets.names import (
    end_of,
    is_placeholder,
    is_secret,
    stems,
    telling,
    value_at,
)

__all__ = ["Secret", "begins_one", "secrets"]


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret at `text[start:end]`; `kind` says whose or what it is."""

    start: int
    end: int
    kind: str


_BEGIN = re.compile(
    r"-----BEGIN (?:[A-Z0-9]{2,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----|PuTTY-User-Key-File-\d:"
)
# What a private key is written in, its own headers and the escapes of JSON among it.
_KEY_BODY = re.compile(r"[A-Za-z0-9+/=\s\\:,.()-]*")
_END = re.compile(r"-----END [A-Z0-9 ]{0,40}-----|Private-MAC: ?[0-9a-f]+")
_LOGIN = re.compile(r"://[^\s/?#:@\"'<>`]{0,256}:(?P<value>[^\s/\"'<>`]{1,512})@[\w\[{$.-]")
_BASIC = re.compile(r"basic[ \t]+(?P<value>[A-Za-z0-9+/]{8,400}={0,2})", re.IGNORECASE)
_BEARER = re.compile(r"bearer[ \t]+(?P<value>[A-Za-z0-9._~+/-]{16,}=*)", re.IGNORECASE)
_USUAL = frozenset(
    """password passwd pass pwd pw secret user username postgres root admin guest token key
    example test mysecretpassword""".split()  # noqa: SIM905
)
# `host:8080?to=a@b` has none.
_PORT = re.compile(r"\d{1,5}(?:[?#]|$)")
_LOWER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")
_NAME = re.compile(r"[\w.-]{0,40}")
_BASE64 = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")

# Whatever has a form of its own has so long a part without a space.
_RUN = re.compile(r"[\w.~+/=%:-]{14}")

# What a secret may begin with, up to the end of the text.
_OPEN = re.compile(
    r"(?:sk-|gh[pousr]_|github_pat_|gl[a-z]{2,5}-|xox|xapp-|[sr]k_live_|[sr]k_test_|AKIA|AIza|eyJ"
    r"|npm_|pypi-|hf_|ya29|://[^\s/]{0,256}:|-----BEGIN"
    r"|(?:pass\w{0,6}|pwd|secret|token|key|bearer|basic)\W{1,6})[^\s]{0,400}\Z",
    re.IGNORECASE,
)


def secrets(text: str, name: str = "") -> list[Secret]:
    """The secrets in `text`, in order, no two overlapping; `name` is what the text is called.

    Linear in the length of the text.
    """
    lower = text.translate(_LOWER) if not text.isascii() else text.lower()
    found = [*_private_keys(text), *_in_addresses(text, lower), *_by_name(text, lower)]
    if _RUN.search(text) is not None:
        found = [*_by_rule(text), *found]
    if name and (kind := telling(name)) and is_secret(kind, text.strip()):
        found.append(Secret(0, len(text), kind))
    return _joined(found) if len(found) > 1 else found


def begins_one(text: str) -> bool:
    """Whether a secret may have begun at the end of `text` that is not whole yet."""
    return _OPEN.search(text, max(0, len(text) - 512)) is not None


def _joined(found: list[Secret]) -> list[Secret]:
    """Those that overlap as one, of the kind that was found first."""
    joined: list[Secret] = []
    for secret in sorted(found, key=attrgetter("start")):
        if joined and secret.start < joined[-1].end:
            last = joined[-1]
            joined[-1] = Secret(last.start, max(last.end, secret.end), last.kind)
        else:
            joined.append(secret)
    return joined


def _private_keys(text: str) -> Iterator[Secret]:
    if "PRIVATE KEY" not in text and "PuTTY-User-Key" not in text:
        return
    place, ends = 0, True
    while (begin := _BEGIN.search(text, place)) is not None:
        end = _END.search(text, begin.end()) if ends else None
        # Once there is no end, there is none further on.
        ends = end is not None
        body = _KEY_BODY.match(text, begin.end())
        place = body.end() if body else begin.end()
        if end is not None and end.start() <= place:
            place = end.end()
        yield Secret(begin.start(), place, "private key")


def _by_rule(text: str) -> Iterator[Secret]:
    for rule in RULES:
        if not any(gate in text for gate in rule.gates):
            continue
        for found in rule.pattern.finditer(text):
            group = "value" if "value" in rule.pattern.groupindex else 0
            start, end = found.span(group)
            before = text[found.start() - 1] if found.start() else " "
            if before.isalnum() or (rule.bare and before in _BASE64):
                continue
            said = found.group(group)
            if rule.digits and sum(c.isdigit() for c in said) < rule.digits:
                continue
            if not _is_filled(said):
                yield Secret(start, end, rule.kind)


def _is_filled(said: str) -> bool:
    """Whether all but the beginning of a token is filler."""
    for mark in ("-", "_", "."):
        said = said.rpartition(mark)[2] if len(said.rpartition(mark)[2]) >= 8 else said
    return is_placeholder(said)


def _in_addresses(text: str, lower: str) -> Iterator[Secret]:
    """Passwords in addresses, and what an Authorization header carries."""
    place = text.find("://")
    while place >= 0:
        found = _LOGIN.match(text, place)
        if found and not _is_usual(found["value"]):
            yield Secret(*found.span("value"), "connection password")
        place = text.find("://", place + 3)
    for word, pattern, kind in (
        ("basic", _BASIC, "basic login"),
        ("bearer", _BEARER, "bearer token"),
    ):
        place = lower.find(word)
        while place >= 0:
            found = pattern.match(text, place)
            if found and (_is_login if word == "basic" else _is_token)(found["value"]):
                yield Secret(*found.span("value"), kind)
            place = lower.find(word, place + len(word))


def _is_usual(password: str) -> bool:
    """Whether it is what examples have in the place of a password."""
    return (
        is_placeholder(password) or password.lower() in _USUAL or _PORT.match(password) is not None
    )


def _is_token(value: str) -> bool:
    return is_secret("token", value)


def _is_login(value: str) -> bool:
    try:
        said = base64.b64decode(value + "=" * (-len(value) % 4)).decode()
    except ValueError:
        return False
    return ":" in said and said.isprintable() and not _is_usual(said.partition(":")[2] or "*")


def _by_name(text: str, lower: str) -> Iterator[Secret]:
    for stem in stems:
        place = lower.find(stem)
        while place >= 0:
            end = place + len(stem)
            if found := _named(text, place, end):
                yield found
                end = found.end
            place = lower.find(stem, end)


def _named(text: str, place: int, end: int) -> Secret | None:
    begin = place
    while (
        begin > 0 and place - begin < 40 and (text[begin - 1].isalnum() or text[begin - 1] in "_.-")
    ):
        begin -= 1
    rest = _NAME.match(text, end)
    name_at = begin + len(text[begin:place]) - len(text[begin:place].lstrip("-."))
    name = text[name_at : rest.end() if rest else end]
    if (kind := telling(name)) is None:
        return None
    span = value_at(text, end, name_at)
    if span is None or not is_secret(kind, text[slice(*span)][:100]):
        return None
    start, stop = span
    # A quoted value ends with its quote, at which this one ends as well.
    return Secret(start, end_of(text, stop), kind)
