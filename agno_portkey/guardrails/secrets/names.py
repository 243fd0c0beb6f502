"""Values behind a name that tells what they are: `api_key = ...`, `password: ...`."""

from __future__ import annotations

import math
import re
from collections import Counter
from functools import lru_cache

__all__ = ["end_of", "is_placeholder", "is_secret", "stems", "telling", "value_at"]

# Parts of names; where none of them stands in a text, no value has such a name.
stems = (
    "pass", "pwd", "secret", "token", "key", "credential", "authorization", "bearer", "_auth",
    "sessid", "sessionid",
)  # fmt: skip

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_PASSWORDS = _set(
    """
    password passwords passwd pwd passphrase passwort passe pass userpass dbpass
    """
)
_SECRETS = _set(
    """
    secret secrets credential credentials clientsecret secretkey
    """
)
_KEYS = _set(
    """
    apikey accesskey privatekey signingkey authkey apitoken authtoken
    """
)
# A key is a secret if it is one of these; a primary key is none.
_WHOSE = _set(
    """
    api access secret private encryption encrypt signing auth account master service
    subscription admin client deploy webhook shared storage license app application session
    ssh hmac jwt aes cookie portkey openai anthropic azure aws gcp google stripe github
    slack mistral cohere groq together openrouter huggingface datadog sendgrid twilio
    """
)
# Whoever has such a token is let in, though it be a UUID.
_LETS_IN = _set("access auth refresh personal bot npm ci")
# Cookies by which frameworks know who is logged in.
_COOKIES = _set("sessionid sessid phpsessid jsessionid")
# A token is none if it is one of these.
_OTHER_TOKENS = _set(
    """
    page next continuation cursor sync max min pagination cancellation eos bos pad special
    mask unk sep cls stop start end input output prompt completion total first last new
    """
)
_HARMLESS = _set("public hash sha md5 checksum digest fingerprint commit integrity etag")
# What may stand behind the telling word.
_AFTER = _set(
    """
    value prod production dev staging test live primary secondary default base string plain raw
    """
)

# How the name ends, what stands between, and the value: quoted, or up to a space or a mark.
_VALUE = re.compile(
    r"""[\w.-]{0,40}                               # the rest of the name
    (?:[ \t]?:[ \t]?[&\w.<>\[\]|?\ ]{1,30}=[ \t]?(?=["'`]) # name: str = "value"
      |[\\"'`*\])]{0,4}[ \t]{0,4}(?:=>|:=|==?|:)[ \t*\\]{0,6} # name = value, "name": value
      |[ \t]{1,2}(?:is|was|to|ist|lautet|est|es)[ \t:]{1,3} # the password is ...
      |\([ \t]?(?=["'`])                          # set_password("...")
      |(?P<pair>["'],[ \t]?(?=["']))              # ("name", "value")
      |(?P<beside>[ \t]{1,2}(?=["'`]))             # password "..."
      |["'`]?,?\s{1,40}["']?value["']?[ \t]?[=:][ \t]? # name="..." value="..."
      |(?P<option>[ \t]{1,4})                      # --password ...
      |(?P<tag>>))                                 # <password>...
    (?:(?:bearer|basic|token|apikey|ssws|bot)[ \t]{1,3})?
    (?:\\?"(?P<double>[^"\n\\]{6,400})
      |\\?'(?P<single>[^'\n\\]{6,400})
      |`(?P<back>[^`\n]{6,400})
      |(?P<plain>(?:[^\s"'`,;<>(){}\[\]&|\\]|&(?![\w.]{1,30}=)){6,100}))""",
    re.VERBOSE | re.IGNORECASE,
)
_OPENS = re.compile(r"""\(["']""")
_CLOSES = re.compile(r"""["']\s{0,20}\)""")
_REST = re.compile(r"""[^\s"'`,;<>(){}\[\]&|\\]*""")
_QUOTED = ("double", "single", "back")

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_TOKEN = re.compile(r"[A-Za-z0-9+/=_.~:%!#*^?@$&-]+")
_CODE = re.compile(r"[A-Za-z_][\w-]*(?:[.:/][A-Za-z_][\w-]*)+")
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]{1,20}://", re.IGNORECASE)
_WORDY = re.compile(r"(?:[A-Za-z]+\d{0,2}|\d{1,4})(?:[-_/.:+ =]+(?:[A-Za-z]+\d{0,2}|\d{1,4}))*")
_FILLER = re.compile(r"[xX*.#0?_\-\u2022\u2026]+")
_SAYS_SO = re.compile(
    r"your|placeholder|replace|change.?me|dummy|insert|redacted|hidden|xxxx|\*\*\*|\.\.\."
    r"|\u2026|<|>|\$\{|\{\{|%\(|^example|^none$|^null$|^undefined$|^\[|^\{[\w.]+\}$",
    re.IGNORECASE,
)
_DATED = re.compile(r"\d{4}-\d\d-\d\d(?:[T ][\d:.+Z-]*)?|\d+(?:\.\d+)*")


def is_placeholder(value: str) -> bool:
    """Whether `value` stands where a secret is to go, and is none."""
    return (
        _FILLER.fullmatch(value) is not None
        or _SAYS_SO.search(value) is not None
        or (value[0] in "$%{@" and value[1:].replace("_", "").isalpha())
    )


@lru_cache(4096)
def telling(name: str) -> str | None:
    """What a name says its value is: `password`, `secret`, `key` or `token`; None if nothing."""
    words = [word.lower() for word in _WORDS.findall(name)]
    while words and (words[-1] in _AFTER or words[-1].isdigit()):
        words.pop()
    last, before = ["", *words][-1], ["", "", *words][-2]
    if before in _HARMLESS:
        return None
    if last in _PASSWORDS:
        return "password"
    if last in _SECRETS or (last == "auth" and "_auth" in name.lower()):
        return "secret"
    if last in _KEYS or (last == "key" and (before in _WHOSE or "secret" in words)):
        return "key"
    if last == "token" and (before in _WHOSE or before in _LETS_IN):
        return "key"
    if (
        last in ("authorization", "bearer")
        or last in _COOKIES
        or (last == "token" and before not in _OTHER_TOKENS)
    ):
        return "token"
    return None


def value_at(text: str, end: int, name_at: int) -> tuple[int, int] | None:
    """Where the value of the name stands that begins at `name_at`; its stem ends at `end`."""
    found = _VALUE.match(text, end)
    if found is None:
        return None
    if found["option"] is not None and text[max(0, name_at - 2) : name_at] != "--":
        return None
    if found["beside"] is not None and text[name_at:end].lower() == "pass":
        # "do not pass `fork=True`"
        return None
    if found["tag"] is not None and text[name_at - 1 : name_at] != "<":
        return None
    if found["pair"] is not None and not _is_pair(text, name_at, found.end()):
        return None
    return next(found.span(group) for group in (*_QUOTED, "plain") if found[group] is not None)


def _is_pair(text: str, name_at: int, end: int) -> bool:
    """Whether the two are all that stands in the brackets."""
    return _OPENS.fullmatch(text, max(0, name_at - 2), name_at) is not None and (
        _CLOSES.match(text, end) is not None
    )


def end_of(text: str, end: int) -> int:
    """Where a value ends that is longer than was needed to tell what it is."""
    rest = _REST.match(text, end)
    return rest.end() if rest else end


def is_secret(kind: str, value: str) -> bool:
    """Whether `value`, behind a name that tells of a `kind`, is one."""
    value = value.rstrip(".,!?:") or value
    if is_placeholder(value) or _is_code(value) or _DATED.fullmatch(value):
        return kind == "password" and value.isdigit() and len(value) >= 6
    if _ADDRESS.match(value):
        # What is secret of an address stands in it.
        return False
    if kind == "password":
        return _is_password(value)
    if _UUID.fullmatch(value):
        return kind != "token"
    if len(value) >= 16 and _TOKEN.fullmatch(value):
        return _is_random(value)
    return kind == "secret" and len(value) >= 8 and _classes(value) >= 3 and _is_password(value)


def _is_code(value: str) -> bool:
    """Whether it is a path of names, none of which is random."""
    return _CODE.fullmatch(value) is not None and not any(
        len(part) >= 20 and _is_random(part) for part in re.split("[.:/]", value)
    )


def _is_password(value: str) -> bool:
    """No word and no code: it has a digit or a mark in it, and a letter or eight others."""
    if "(" in value or ")" in value:
        return False
    if value.count(" ") > 3:
        return False
    plain = value.replace("-", "").replace("_", "").replace(" ", "").replace(".", "")
    return not plain.isalpha() and (any(c.isalpha() for c in value) or len(value) >= 8)


def _is_random(value: str) -> bool:
    if _WORDY.fullmatch(value) or not any(c.isdigit() for c in value):
        return _classes(value) >= 3 and len(value) >= 32 and _entropy(value) > 4
    return _entropy(value) >= 3


def _classes(value: str) -> int:
    kinds = (str.isupper, str.islower, str.isdigit, lambda c: not c.isalnum())
    return sum(any(is_one(c) for c in value) for is_one in kinds)


def _entropy(value: str) -> float:
    """Bits a character, by how often each stands in `value`."""
    size = len(value)
    return -sum(n / size * math.log2(n / size) for n in Counter(value).values())
