"""Where the secrets of a text stand, and of which kind each is."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter

from agno_portkey.guardrails.secrets.around import beside_a_login
from agno_portkey.guardrails.secrets.kinds import RULES, Rule
from agno_portkey.guardrails.secrets.names import (
    end_of,
    is_placeholder,
    is_secret,
    stems,
    telling,
    value_at,
)
from agno_portkey.guardrails.secrets.views import encoded, views

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
_KEY_BODY = re.compile(r"[A-Za-z0-9+/=\s\\:,.()>|\"'-]*")
# Characters: a longer one there is not.
_LONGEST_KEY = 20_000
_END = re.compile(r"-----END [A-Z0-9 ]{0,40}-----|Private-MAC: ?[0-9a-f]+")
_LOGIN = re.compile(r"://[^\s/?#:@\"'<>`]{0,256}:(?P<value>[^\s/\"'<>`]{1,512})@[\w\[{$.-]")
# Of a header, and of a file of logins: {"auth": "..."}.
_BASIC = re.compile(
    r"(?:basic[ \t]+|auth[\"'][ \t]{0,2}:[ \t]{0,2}[\"'])(?P<value>[A-Za-z0-9+/]{8,400}={0,2})",
    re.IGNORECASE,
)
_BEARER = re.compile(r"bearer[ \t]+(?P<value>[A-Za-z0-9._~+/-]{16,}=*)", re.IGNORECASE)
_USUAL = frozenset(
    """password passwd pass pwd pw secret user username postgres root admin guest token key
    example test mysecretpassword""".split()  # noqa: SIM905
)
# `host:8080?to=a@b` has none.
_PORT = re.compile(r"\d{1,5}(?:[?#]|$)")
_LOWER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")
_NAME = re.compile(r"[\w.-]{0,40}")
_WORD_BEFORE = re.compile(r"[A-Za-z]+[ \t]\Z")
_BASE64 = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")

# What ends in a letter and is none: \n in a JSON text, %3D, the colours of a terminal.
_ESCAPE = re.compile(
    r"(?:\\[nrtbf]|\\x[0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4}|%[0-9A-Fa-f]{2}|\x1b\[[0-9;]{0,8}[A-Za-z])\Z"
)

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
    found = [*_found(text), *_within(text)]
    for view, places in views(text):
        found += [
            Secret(places[each.start], places[each.end], each.kind)
            for each in (*_found(view), *_within(view))
        ]
    if name and (kind := telling(name)) and is_secret(kind, text.strip()):
        found.append(Secret(0, len(text), kind))
    return _joined(found) if len(found) > 1 else found


def _within(text: str) -> Iterator[Secret]:
    """Runs that have a secret encoded in them."""
    for start, end, said in encoded(text):
        if found := _found(said):
            yield Secret(start, end, found[0].kind)


def _found(text: str) -> list[Secret]:
    """The secrets of a text as it stands."""
    lower = text.translate(_LOWER) if not text.isascii() else text.lower()
    found = list(_by_rule(text)) if _RUN.search(text) is not None else []
    found += [*_private_keys(text), *_in_addresses(text, lower), *_by_name(text, lower)]
    found += [Secret(*span, "password") for span in beside_a_login(text, lower)]
    return found


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
    place, end = 0, _END.search(text)
    while (begin := _BEGIN.search(text, place)) is not None:
        while end is not None and end.start() < begin.end():
            end = _END.search(text, end.end())
        body = _KEY_BODY.match(text, begin.end())
        place = body.end() if body else begin.end()
        if end is not None and end.start() <= max(place, begin.end() + _LONGEST_KEY):
            place = end.end()
        yield Secret(begin.start(), place, "private key")


def _by_rule(text: str) -> Iterator[Secret]:
    for rule in RULES:
        if not any(gate in text for gate in rule.gates):
            continue
        for found in rule.pattern.finditer(text):
            group = "value" if "value" in rule.pattern.groupindex else 0
            start, end = found.span(group)
            said = found.group(group)
            if not _stands_alone(text, found.start(), rule, said):
                continue
            if rule.digits and sum(c.isdigit() for c in said) < rule.digits:
                continue
            if not _is_filled(said):
                yield Secret(start, end, rule.kind)


def _stands_alone(text: str, start: int, rule: Rule, said: str) -> bool:
    """Whether what begins there is no part of a word, or of base64 where that means something."""
    before = text[start - 1] if start else " "
    if (before in _BASE64 and rule.bare) or (before.isascii() and before.isalnum()):
        if _ESCAPE.search(text, max(0, start - 12), start) is not None:
            return True
        # No word ends so.
        return not rule.bare and len(said) >= 30 and is_secret("key", said)
    return True


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
        ("auth", _BASIC, "basic login"),
        ("bearer", _BEARER, "bearer token"),
    ):
        place = lower.find(word)
        while place >= 0:
            found = pattern.match(text, place)
            if found and (_is_login if pattern is _BASIC else _is_token)(found["value"]):
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
    if name.lower() == "key" and (
        whose := _WORD_BEFORE.search(text, max(0, name_at - 20), name_at)
    ):
        name = whose[0] + name
    if (kind := telling(name)) is None:
        return None
    span = value_at(text, end, name_at)
    if span is None or not is_secret(kind, text[slice(*span)][:100]):
        return None
    start, stop = span
    # A quoted value ends with its quote, at which this one ends as well.
    return Secret(start, end_of(text, stop), kind)
