"""A small schema, and replies for it, right and wrong."""

from __future__ import annotations

from pydantic import BaseModel, Field


class Verse(BaseModel):
    """Some lines of text."""

    text: str
    lines: int = Field(ge=1)


GOOD = Verse(text="a\nb", lines=2)
WRONG = '{"text": "a", "lines": 0}'
