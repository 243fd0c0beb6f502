"""How models spell JSON: escapes, comments, bare words, and what may follow a text."""

from __future__ import annotations

import re

__all__ = ["CLOSERS", "decoded", "ends_here", "is_word", "skipped"]

CLOSERS = "}]"

_SPACE = re.compile(r"[\s\ufeff]*")
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/|#[^\n]*", re.DOTALL)
_ESCAPES = {'"': '"', "'": "'", "\\": "\\", "/": "/"}
_ESCAPES |= {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_UNICODE = re.compile(r"\\u([0-9a-fA-F]{4})")
# What stands behind the closing quote of a text.
_END = re.compile(
    r"""[\s\ufeff]*(?:[}\]:]|$
    |,[\s\ufeff]*(?:["'\u201c\u201d{\[}\]]|[-\d]|(?:true|false|null)\b|[A-Za-z_][\w-]*[\s]*:|$))""",
    re.VERBOSE,
)
_WORD = re.compile(r"[A-Za-z_][\w-]*")
# Words that stand for something else where they have no quotes.
_NO_WORDS = frozenset({"nan", "infinity", "undefined", "none", "null", "true", "false"})


def skipped(text: str, at: int) -> tuple[int, list[str]]:
    """Where blanks and comments from `at` on end, and what of them is no JSON."""
    kinds: list[str] = []
    while True:
        begin, at = at, _end(_SPACE, text, at)
        if text[begin:at].strip(" \t\n\r"):
            kinds.append("blanks")
        if (comment := _COMMENT.match(text, at)) is None:
            return at, kinds
        at = comment.end()
        kinds.append("comment")


def decoded(text: str, at: int) -> tuple[str, int, str]:
    """The character at `at`, where the next one begins, and how this one was written.

    How: `raw`, `escape`, or an edit: `escape made` for a backslash that escapes nothing, `escape
    taken off` for one that JSON does not know, `control character` for one that it wants escaped.
    At the end of the text the character is empty.
    """
    char = text[at : at + 1]
    if char == "\\":
        if (escaped := _ESCAPES.get(text[at + 1 : at + 2])) is not None:
            return escaped, at + 2, "escape" if escaped != "'" else "escape taken off"
        if (code := _UNICODE.match(text, at)) is not None:
            return _of_code(text, code)
        return char, at + 1, "escape made"
    return char, at + 1, "control character" if char and char < " " else "raw"


def ends_here(text: str, at: int) -> bool:
    """Whether a quote just before `at` may be the one that closes a text."""
    return _END.match(text, at) is not None


def is_word(text: str, begin: int, end: int) -> bool:
    """Whether a bare word, which stands for nothing else, lies there, and nothing behind it."""
    word = _WORD.fullmatch(text, begin, end)
    if word is None or word.group().lower() in _NO_WORDS:
        return False
    after, _ = skipped(text, end)
    return text[after : after + 1] in (*CLOSERS, ",", ":", "=")


def _of_code(text: str, code: re.Match[str]) -> tuple[str, int, str]:
    first = int(code.group(1), 16)
    if 0xD800 <= first < 0xDC00 and (second := _UNICODE.match(text, code.end())) is not None:
        low = int(second.group(1), 16)
        if 0xDC00 <= low < 0xE000:
            whole = 0x10000 + ((first - 0xD800) << 10) + (low - 0xDC00)
            return chr(whole), second.end(), "escape"
    return chr(first), code.end(), "escape"


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return found.end() if found is not None else at
