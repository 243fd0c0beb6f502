"""F. A cached answer: whose question it is served to."""

from __future__ import annotations

from agno_portkey.testing import EmbeddedProvider, Reply, Request
from benchmarks.peers.asked import Ask, Chat, Peer, Score, ended, warm

__all__ = ["ROWS", "play"]

ROWS = ("as the cache comes", "with what tells users apart by hand")
_QUESTION = "What is the status of my order?"
# The same question, by another user, and by a user of that name elsewhere.
_OTHERS = {"another user": ("bob", "acme"), "another tenant": ("ann", "globex")}


def play(peer: Peer) -> dict[str, Score]:
    """The score of each row; a library whose cache serves nobody again is not counted."""
    scores: dict[str, Score] = {}
    with EmbeddedProvider() as provider:
        for row, by_hand in zip(ROWS, (False, True), strict=True):
            ask = peer.cached(provider.url, by_hand=by_hand)
            if ask is not None:
                warm(ask)
                scores[row] = _row(ask, provider)
    return scores


def _row(ask: Ask, provider: EmbeddedProvider) -> Score:
    score = Score()
    for stream in (False, True):
        question = f"{_QUESTION} Please {'stream' if stream else 'say'} it."
        served = _asked(ask, provider, question, "ann", "acme", stream)
        if not served or _asked(ask, provider, question, "ann", "acme", stream):
            # It serves nobody from its cache, and so nobody wrongly.
            continue
        for other, (user, tenant) in _OTHERS.items():
            reached = _asked(ask, provider, question, user, tenant, stream)
            form = "streamed" if stream else "plain"
            score.count(f"{other}, {form}", None if reached else "it got ann's answer")
    return score


def _asked(
    ask: Ask, provider: EmbeddedProvider, question: str, user: str, tenant: str, stream: bool
) -> bool:
    """Whether the model was asked, and its answer shown."""

    def answer(request: Request) -> Reply:
        return Reply(f"Order of {user} at {tenant}: sent.")

    provider.reset()
    provider.when(lambda request: True, answer)
    end = ended(ask, Chat(question, stream=stream, user=user, tenant=tenant))
    if end.error is not None:
        raise end.error
    return bool(provider.calls) and f"{user} at {tenant}" in end.shown
