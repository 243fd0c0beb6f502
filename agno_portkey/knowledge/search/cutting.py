"""How Postgres cuts a text into words: as `terms.words_of` does, whatever its locale."""

from __future__ import annotations

import re
from functools import cache

__all__ = ["cutting_sql"]

# Characters. An index takes no longer terms, nor does a tsvector.
_LONGEST = 255


def cutting_sql(function: str, language: str) -> str:
    """The statement that makes `function`, which gives the terms of a text and how often each is.

    `language` is a text search configuration as SQL: it stems each word by itself. Its parser cuts
    nothing, as it would take an e-mail address or a version for one word, and an accent for none.
    """
    upper, lower = _cases()
    return f"""
CREATE FUNCTION {function}(said text) RETURNS TABLE (term text, often integer)
LANGUAGE plpgsql IMMUTABLE ROWS 100 SET search_path = pg_catalog, pg_temp AS $body$
#variable_conflict use_column
BEGIN RETURN QUERY WITH found AS (
  SELECT left(m[1], {_LONGEST}) AS word, count(*) AS number FROM regexp_matches(
    lower(normalize(said, NFC) COLLATE "C"), '[{_ranges(_letters())}]+', 'g'
  ) m GROUP BY 1
), lowered AS (
  SELECT CASE WHEN word ~ '[{_ranges(upper)}]' THEN translate(word, '{upper}', '{lower}')
  ELSE word END AS word, number FROM found
), stemmed AS MATERIALIZED (
  SELECT word, number, tsvector_to_array(to_tsvector({language}::regconfig, word)) AS terms
  FROM lowered
)
SELECT t.term, sum(number)::integer FROM stemmed, LATERAL unnest(
  -- No stop word, but what the parser takes for a blank.
  CASE WHEN terms = '{{}}' AND NOT EXISTS (SELECT FROM ts_parse('default', word) WHERE tokid <> 12)
  THEN ARRAY[word] ELSE terms END
) t (term) GROUP BY t.term; END $body$"""  # noqa: S608


def _ranges(letters: str) -> str:
    """A set of letters, in order, as a regular expression has it in brackets."""
    first = last = letters[0]
    told = list[str]()
    for each in letters[1:]:
        if ord(each) != ord(last) + 1:
            told.append(f"{first}-{last}")
            first = each
        last = each
    return "".join([*told, f"{first}-{last}"])


@cache
def _letters() -> str:
    return "".join(filter(re.compile(r"[^\W_]").match, map(chr, range(0x110000))))


@cache
def _cases() -> tuple[str, str]:
    """Letters beyond ASCII whose lower case is another, and that one, in the same order."""
    pairs = {each: each.lower() for each in _letters() if not each.isascii()}
    pairs |= {"\u0130": "i", "\u03c2": "\u03c3"}
    told = [(upper, lower) for upper, lower in pairs.items() if upper != lower]
    return "".join(upper for upper, _ in told), "".join(lower for _, lower in told)
