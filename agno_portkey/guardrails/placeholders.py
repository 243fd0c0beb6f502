"""How a placeholder such as `<PERSON_1>` begins, in all the forms that models give it.

What cuts a text into pieces and what restores it hold back the same: what may go on as one.
"""

from __future__ import annotations

import re

__all__ = ["BEGINS", "BEGUN", "LONGEST", "OPEN"]

# What opens one: a bracket as it is, or escaped for JSON or HTML.
OPEN = r"(?:<|\\u003[cC]|&lt;)"
# Where one without a bracket may begin.
BEGINS = r"(?:(?<![\w@])|(?<=\\u003[eE]))"
_WORD, _UPPER = r"[A-Za-z][A-Za-z0-9_]{0,26}", r"[A-Z][A-Z0-9_]{0,26}"
_ESCAPE = r"\\(?:u(?:0(?:0(?:3)?)?)?)?"
_OPENING = rf"(?:{_ESCAPE}|&(?:l(?:t)?)?)"
_CLOSING = rf"(?:{_ESCAPE}|&(?:g(?:t)?)?)"
# What stands at the end of a text and may be the beginning of one of the forms, or a whole one
# that goes on.
BEGUN = re.compile(
    rf"(?:{OPEN}(?: ?{_WORD}(?: ?{_CLOSING}?)| ?)|{_OPENING}"
    rf"|\[(?:{_UPPER}\]?)?|{BEGINS}{_UPPER})\Z"
)
# Characters of it at most: 6 + 1 + 27 + 1 + 5.
LONGEST = 40
