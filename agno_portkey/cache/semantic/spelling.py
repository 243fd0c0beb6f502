"""A text as tokens: words in lower case, numbers, signs; each with what its spelling says."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from agno_portkey.cache.semantic.english import listed, tables

__all__ = ["Token", "normal", "shouted", "tokens"]

# A letter that only looks like a small word: "plan A", "the US", "IT".
MARK = "·"
_SMALL = frozenset(listed("small"))
_TOKEN = re.compile(
    r"(?P<number>(?<![\w.])[-+]?\d+(?:[.,:/-]\d+)*(?![\w]))"
    # "a" as the name of something: "a = 5", "cp b a"; but "it's a cat".
    r"|(?P<letter>\ba(?=\s*[=<>+*^|])|(?:(?<=[=<>+*^|])|(?<=[=<>+*^|]\s)"
    r"|(?<=\b[b-hj-z]\s)(?<!['.&/-][b-z]\s))a\b(?!'))"
    r"|(?P<word>\.?[^\W_](?:[\w]|[.'&@/:-](?=\w))*(?:\+\+|\#)?|\w+)"
    r"|(?P<operator>[=!<>&|+*^~-]{2,})"
    r"|(?P<sign>[^\s\w.,;:!?\"'()/`\u00bf\u00a1-]|-(?=\s*\d))"
    r"|(?P<stop>[,.;:!?](?=\s|$))"
)
_SIGNS = {
    **dict.fromkeys((0x2018, 0x2019), "'"),
    **dict.fromkeys((0x201C, 0x201D), '"'),
    # Hyphens and dashes, and the minus.
    **dict.fromkeys((*range(0x2010, 0x2016), 0x2212), "-"),
    0x2044: "/",
}
_RAISED = "\u2070\u00b9\u00b2\u00b3\u2074-\u207b\u207f"
# "10⁵" and "x²" are powers, "m²" is a unit; "1½" is not "11/2", nor "log₂8" "log28".
_POWER = re.compile(rf"(?<!\bm)(?<!\b[kcdm]m)(?<!\bft)(?<!\bin)(?<!\bmi)([{_RAISED}]+)")
_BESIDE = re.compile(r"(?<=\d)(?=[\u00bc-\u00be\u2150-\u215e])|(?<=[\u2080-\u2089])(?=\d)")
_CONTRACTIONS = {
    "can't": "can not", "cannot": "can not", "cant": "can not", "won't": "will not",
    "wont": "will not", "shan't": "shall not", "dont": "do not", "doesnt": "does not",
    "didnt": "did not", "isnt": "is not", "arent": "are not", "wasnt": "was not",
    "couldnt": "could not", "shouldnt": "should not", "wouldnt": "would not", "hasnt": "has not",
    "havent": "have not", "whats": "what is", "hows": "how is", "wheres": "where is",
    "whos": "who is", "im": "i am", "ive": "i have", "let's": "let us", "gonna": "going to",
    "wanna": "want to",
}  # fmt: skip
_ENDINGS = {
    "n't": "not", "'re": "are", "'m": "am", "'ve": "have", "'ll": "will", "'d": "would",
}  # fmt: skip
_IS_BEFORE_S = frozenset(listed("is_before_s"))


@dataclass(frozen=True, slots=True)
class Token:
    """`text` is what is compared; `name` if it is written like a proper name.

    `first` if it begins a sentence with a capital, so that nobody can tell.
    """

    text: str
    name: bool = False
    first: bool = False


def tokens(text: str) -> list[Token]:
    """The tokens of `text`; punctuation that says nothing is left out, a comma stays."""
    text = normal(text)
    found: list[Token] = []
    loud = shouted(text)
    first = True
    for match in _TOKEN.finditer(text):
        if match["stop"]:
            # "Hello, convert this": so early, a comma is a greeting's.
            first = first or match["stop"] in ".!?:" or len(found) < 2
            if match["stop"] == ",":
                found.append(Token(","))
            continue
        if match["letter"]:
            found.append(Token("a" + MARK, name=True))
        elif match[0] == "I" and found and found[-1].name:
            found.append(Token("1"))
        elif match["word"]:
            numbered = bool(found) and found[-1].text[-1:].isdigit()
            found.extend(_of_word(match[0], loud, first, numbered))
        else:
            found.append(Token(match[0]))
        first = False
    return found


def normal(text: str) -> str:
    """`text` with one spelling of each sign; powers and fractions keep what they say."""
    text = _BESIDE.sub(" ", _POWER.sub(r"^\1", text))
    return unicodedata.normalize("NFKC", text).translate(_SIGNS)


def shouted(text: str) -> bool:
    """Whether most words are in capitals, so that capitals say nothing."""
    words = [word for word in text.split() if sum(map(str.isalpha, word)) > 1]
    return 2 * sum(map(str.isupper, words)) > len(words)


def _of_word(raw: str, loud: bool, first: bool, numbered: bool = False) -> list[Token]:
    """The tokens of one word; `first` in its sentence, `numbered` if a number stands before it."""
    if unit := _of_unit(raw, numbered):
        return unit
    lower = raw.lower()
    small = raw.isupper() and raw != "I" and lower in _SMALL
    if small and not loud and not (first and raw == "A"):
        return [Token(lower + MARK, name=True)]
    name = raw[0].isupper() and not loud and not first and raw != "I"
    if lower in _CONTRACTIONS:
        return [Token(part) for part in _CONTRACTIONS[lower].split()]
    for ending, full in _ENDINGS.items():
        if lower.endswith(ending) and len(lower) > len(ending):
            return [*_of_word(raw[: -len(ending)], loud, first), Token(full)]
    if lower.endswith("'s"):
        whose = lower[:-2]
        if whose in _IS_BEFORE_S:
            return [Token(whose), Token("is")]
        return [*_of_word(raw[:-2], loud, first), Token("'s")]
    inner = any(c.isdigit() for c in raw) or "@" in raw or "://" in raw or raw.startswith(".")
    if not inner and re.search(r"[-/'&:]", raw):
        return [
            Token(part.lower(), name and part[0].isupper())
            for part in re.split(r"[-/'&:]+", raw)
            if part
        ]
    return [Token(_joined(lower), name, raw[0].isupper() and (first or loud))]


def _of_unit(raw: str, numbered: bool) -> list[Token]:
    """A unit whose capitals matter, by its long name; behind no number "ML" may be anything."""
    number, name = re.fullmatch(r"(\d+(?:[.,]\d+)*)?(.*)", raw, re.DOTALL).groups()  # type: ignore[union-attr]
    unit = tables().cased.get(name)
    if unit is None or not (number or numbered or not raw.isupper()):
        return []
    return [Token(number), Token(unit)] if number else [Token(unit)]


def _joined(word: str) -> str:
    """Without dots inside initials: "U.S." is "us·"; a name such as "node.js" keeps its own."""
    if re.fullmatch(r"(?:\w\.)+\w?", word):
        bare = word.replace(".", "")
        return bare + MARK if bare in _SMALL else bare
    return word
