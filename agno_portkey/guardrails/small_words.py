"""Small English words that name nobody: an answer may begin with them before it is looked at."""

from __future__ import annotations

__all__ = ["BEGINNINGS", "SMALL_WORDS"]

_WORDS = """
    a about above after again all also always and any are as at be because been before below
    best better between both but by can could did does done down each either else enough even
    every few first for from further get give given go goes had has have having he her here hers
    him his how however i if in instead into is it its itself just last later least less let
    like made make many maybe me might mine more most much must near need needs never next no
    nor not nothing now of off often on once one only or other our ours out over own perhaps
    please quite rather really right same second see shall she should since some something
    sometimes soon still such sure take than that the their theirs them then there therefore
    these they thing things third this those though through thus to today together tomorrow too
    under until up upon us use used very want was way we well were what when where whether which
    while who whole whose why with within without would yes yesterday yet you your yours
    it's that's there's here's let's i'm i've i'll you're you've we're we've they're don't doesn't
    didn't can't won't isn't aren't wasn't weren't
"""
SMALL_WORDS = frozenset(_WORDS.split()) | {"I", "I'm", "I've", "I'll"}

# The same at the beginning of a sentence, but for those that are somebody's name as well.
_NAMES = {"an", "art", "best", "can", "do", "he", "in", "may", "my", "no", "on", "see", "so", "us"}
_NAMES |= {"well", "will"}
# How answers begin.
_OPENINGS = """
absolutely according additionally alright based below certainly dear done finally furthermore good
got great hello hey hi however meanwhile moreover note okay overall regarding similarly sorry
specifically summary thank thanks unfortunately welcome what's here's
"""
BEGINNINGS = frozenset(word.capitalize() for word in (SMALL_WORDS | {*_OPENINGS.split()}) - _NAMES)
