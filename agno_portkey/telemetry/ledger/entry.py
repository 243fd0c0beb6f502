"""What one event comes to: rows of figures, whose texts fit into any database."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

from agno_portkey.telemetry.ledger.prices import Prices, nanodollars
from agno_portkey.verdict import Event

__all__ = ["LONGEST", "Entry", "entries_of", "fitted"]

# Characters of a name, and of all tags together.
LONGEST = 255
_TAGS = 4000
# More than this is no count of tokens, and no dollars of one request.
_MOST_TOKENS = 10**12
_MOST_DOLLARS = Decimal(1_000_000)

Priced = Literal["provider", "list", "free", "unknown", "unmeasured"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One row. Tokens and `cost` (billionths of a dollar) are None where nobody has told them.

    `run` is the outermost run, `own_run` the agent's. `priced` says where the cost is from: the
    `provider`, a `list`, `free` (it was refused, or answered from the gateway's cache), `unknown`
    (no price is known of the model), or `unmeasured` (the provider did not say what it took). An
    `estimated` row is what the gateway sent by itself: `requests` at least, whose tokens nobody
    told.
    """

    at: datetime
    kind: Literal["attempt", "embedding", "batch", "gateway", "lost"]
    status: Literal["ok", "failed", "cancelled"] = "ok"
    run: str | None = None
    own_run: str | None = None
    session: str | None = None
    role: str | None = None
    swarm: str | None = None
    cost_center: str | None = None
    tags: str = "{}"
    model: str | None = None
    provider: str | None = None
    target: str | None = None
    option_index: str | None = None
    error: str | None = None
    requests: int = 1
    input_tokens: int | None = None
    output_tokens: int | None = None
    tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost: int | None = None
    priced: Priced = "unmeasured"
    estimated: bool = False
    # Of a batch: the row that says it all, which each fetch puts in the place of the last one.
    key: str | None = field(default=None, compare=False)

    @property
    def day(self) -> str:
        """The day, in UTC."""
        return self.at.astimezone(UTC).date().isoformat()


def entries_of(event: Event, prices: Prices, at: datetime) -> Iterator[Entry]:
    """The rows of an `attempt` or `embedding`: what was measured, and what the gateway did."""
    base = _about(event, at)
    if event.kind == "embedding":
        yield _embedding(base, event.data, prices)
        return
    yield _attempt(base, event.data, prices)
    if inside := _count(event.data.get("gateway_requests")):
        yield replace(base, kind="gateway", requests=inside, estimated=True)


def _about(event: Event, at: datetime) -> Entry:
    data = event.data
    tags = data.get("tags")
    tags = tags if isinstance(tags, Mapping) else {}
    return Entry(
        at=at,
        kind="attempt",
        run=fitted(data.get("run") or event.run_id or tags.get("run")),
        own_run=fitted(event.run_id or tags.get("run")),
        session=fitted(tags.get("session")),
        role=fitted(event.role),
        swarm=fitted(event.swarm),
        cost_center=fitted(tags.get("cost_center")),
        tags=_written(tags),
        model=fitted(data.get("model") or data.get("asked")),
        provider=fitted(data.get("provider")),
        target=fitted(data.get("target")),
        option_index=fitted(data.get("option_index")),
    )


def _attempt(base: Entry, data: Mapping[str, Any], prices: Prices) -> Entry:
    failed, cancelled = data.get("error"), data.get("cancelled")
    prompt, completion = _count(data.get("input_tokens")), _count(data.get("output_tokens"))
    # More than its parts, where what a model thought is in none of them.
    total = _count(data.get("total_tokens"))
    if prompt is not None and completion is not None:
        total = max(prompt + completion, total or 0)
    entry = replace(
        base,
        status="cancelled" if cancelled else "failed" if failed else "ok",
        error=fitted(failed),
        input_tokens=prompt,
        output_tokens=completion,
        tokens=total,
        cached_tokens=_count(data.get("cached_tokens")),
        reasoning_tokens=_count(data.get("reasoning_tokens")),
    )
    if str(data.get("cache_status")).upper() in ("HIT", "SEMANTIC HIT"):
        # What the gateway kept was paid for once: the usage in it is that of then.
        return _free(replace(entry, cached_tokens=None, reasoning_tokens=None))
    if (told := _money(data.get("cost"))) is not None:
        return replace(entry, cost=told, priced="provider")
    if total is None:
        return _untold(entry, data)
    if prompt is None or completion is None:
        # Of its tokens nobody knows which part was which.
        return replace(entry, priced="unknown")
    # By the name that answered, else by the one that was asked for.
    price = prices.of(base.model, _text(data.get("asked")))
    if price is None:
        return replace(entry, priced="unknown")
    # What is in the total alone was written, and costs as much.
    cost = price.cost(prompt, total - prompt, entry.cached_tokens or 0)
    return replace(entry, cost=cost, priced="list")


def _untold(entry: Entry, data: Mapping[str, Any]) -> Entry:
    """An attempt of which nobody said what it took: one that was refused took nothing."""
    begun = "finish_reason" in data
    status = data.get("status")
    refused = (isinstance(status, int) and status in _REFUSED) or entry.error in _NOT_ASKED
    if entry.status == "failed" and refused and not begun:
        return _free(entry)
    return entry


def _free(entry: Entry) -> Entry:
    none = replace(entry, input_tokens=0, output_tokens=0, tokens=0)
    return replace(none, cost=0, priced="free")


# A provider that answers so has not begun; after these errors none was asked.
_REFUSED = frozenset((400, 401, 403, 404, 405, 409, 413, 422, 429, 529))
_NOT_ASKED = frozenset(("GatewayDeniedInput", "GatewayUnreachable"))


def _embedding(base: Entry, data: Mapping[str, Any], prices: Prices) -> Entry:
    tokens, requests = _count(data.get("tokens")), _count(data.get("requests")) or 0
    if not tokens and requests and _is_answered(data):
        # It was answered, and what it took was not said.
        tokens = None
    failed = data.get("error") or (data.get("failed") and data.get("failed") == data.get("texts"))
    entry = replace(
        base,
        kind="embedding",
        status="failed" if failed else "ok",
        error=fitted(data.get("error")),
        requests=requests,
        input_tokens=tokens,
        output_tokens=None if tokens is None else 0,
        tokens=tokens,
    )
    if tokens is None:
        return entry
    if not tokens:
        # Kept on the disk, or all of it was refused.
        return replace(entry, cost=0, priced="free")
    price = prices.of(base.model, embedding=True)
    if price is None:
        return replace(entry, priced="unknown")
    return replace(entry, cost=price.cost(tokens), priced="list")


def _is_answered(data: Mapping[str, Any]) -> bool:
    """Whether some texts got their vectors from a provider."""
    texts, kept, failed = (_count(data.get(name)) or 0 for name in ("texts", "kept", "failed"))
    return texts > kept + failed


def fitted(said: object) -> str | None:
    """`said` as a text that fits into a column; what is cut keeps a digest of all of it."""
    if said is None:
        return None
    text = str(said).replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
    if len(text) <= LONGEST:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:32]
    return f"{text[: LONGEST - 33]}:{digest}"


def _text(said: object) -> str | None:
    return said if isinstance(said, str) else None


def _written(tags: Mapping[Any, Any]) -> str:
    """Tags as JSON in ASCII; those that are too many are left out from the end."""
    kept = {str(name): str(value) for name, value in tags.items()}
    while len(written := json.dumps(kept)) > _TAGS:
        kept.popitem()
    return written


def _count(said: object) -> int | None:
    """A count, where it is one that can be added up."""
    if isinstance(said, bool) or not isinstance(said, int) or not 0 <= said <= _MOST_TOKENS:
        return None
    return said


def _money(said: object) -> int | None:
    """What a provider says that it cost, in nanodollars."""
    if isinstance(said, bool) or not isinstance(said, int | float | Decimal | str):
        return None
    if isinstance(said, float) and not math.isfinite(said):
        return None
    try:
        amount = Decimal(str(said))
    except InvalidOperation:
        return None
    if not amount.is_finite() or not 0 <= amount <= _MOST_DOLLARS:
        return None
    return nanodollars(amount)
