"""`Budget`: how much may be spent, and what is asked about it before each request is sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Literal, get_args

from agno_portkey.calls import IO
from agno_portkey.errors import BudgetExceeded, ConfigurationError, LedgerUnavailable
from agno_portkey.modes import Mode, check_mode, mode_now
from agno_portkey.tags import MAX_TAG_LENGTH
from agno_portkey.telemetry.ledger.entry import fitted
from agno_portkey.telemetry.ledger.prices import dollars, nanodollars
from agno_portkey.telemetry.ledger.store import Total
from agno_portkey.verdict import Event, Verdict, failure_told, tell
from agno_portkey.workers import Failed, Job

if TYPE_CHECKING:
    from agno_portkey.telemetry.ledger.ledger import Ledger

__all__ = ["Budget", "BudgetAllowance", "Key"]

Per = Literal["run", "day", "total"]
# The columns of the rows that count, by what they hold.
Key = tuple[tuple[str, str | None], ...]

_AFTER = {"run": "another run, or with ", "day": "the next day (UTC), or with ", "total": ""}


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How much each run, each day (in UTC), or all together may take: dollars, tokens, or both.

    `cost_center` limits it to what has that tag; `"*"` gives each cost center its own. In
    `enforce` a request is refused once that much was spent, in `observe` observers hear of it.
    What crosses the line is paid: requests under way when it was crossed, and those that other
    processes sent before their next read (`max_age` of the ledger). Calls of no run, as for an
    agent's memory, count for days and in total. `unpriced="refuse"`: dollars are not to be counted
    where no price is known of a model, so it is not asked; with `"allow"` it costs nothing.
    """

    per: Per
    limit_usd: Decimal | float | str | None = None
    limit_tokens: int | None = None
    cost_center: str | None = None
    mode: Mode = "enforce"
    unpriced: Literal["refuse", "allow"] = "refuse"

    def __post_init__(self) -> None:
        if self.per not in get_args(Per):
            raise ConfigurationError(
                f"Budget.per: one of {', '.join(get_args(Per))}, not {self.per!r}"
            )
        if self.limit_usd is None and self.limit_tokens is None:
            raise ConfigurationError("Budget: give it limit_usd, limit_tokens, or both")
        if self.limit_usd is not None:
            object.__setattr__(self, "limit_usd", _dollars(self.limit_usd))
        tokens = self.limit_tokens
        if tokens is not None and (
            isinstance(tokens, bool) or not isinstance(tokens, int) or tokens < 0
        ):
            raise ConfigurationError(f"Budget.limit_tokens: a whole number, not {tokens!r}")
        name = self.cost_center
        if name is not None and (
            not isinstance(name, str) or not name.strip() or len(name) > MAX_TAG_LENGTH
        ):
            # No tag is longer: nothing would ever be under it.
            raise ConfigurationError(
                f"Budget.cost_center: a tag's value, of at most {MAX_TAG_LENGTH} characters, or "
                f"'*', not {name!r}"
            )
        check_mode(self.mode, name="Budget.mode")
        if self.unpriced not in ("refuse", "allow"):
            raise ConfigurationError(f"Budget.unpriced: refuse or allow, not {self.unpriced!r}")

    def key(self, tags: Mapping[str, str], run: str | None, now: datetime) -> Key | None:
        """The columns of the rows that count, by what they hold; None where it is not for this."""
        key: list[tuple[str, str | None]] = []
        if self.per == "run":
            if run is None:
                return None
            key.append(("run", fitted(run)))
        elif self.per == "day":
            key.append(("day", now.astimezone(UTC).date().isoformat()))
        if self.cost_center is not None:
            named = fitted(tags.get("cost_center"))
            if self.cost_center != "*" and fitted(self.cost_center) != named:
                return None
            key.append(("cost_center", named))
        return tuple(key)

    def used_up(self, spent: Total) -> str | None:
        """Why no more may be spent, where that is so."""
        if self.limit_usd is not None and spent.cost >= nanodollars(Decimal(self.limit_usd)):
            said = f"{dollars(spent.cost):f} of {Decimal(self.limit_usd):f} USD are spent"
        elif self.limit_tokens is not None and spent.tokens >= self.limit_tokens:
            said = f"{spent.tokens} of {self.limit_tokens} tokens are spent"
        else:
            return None
        return f"{said} (it goes on with {_AFTER[self.per]}a larger Budget)"


class BudgetAllowance:
    """One budget of a ledger, asked before each request; see `Ledger.budgets`."""

    def __init__(self, ledger: Ledger, budget: Budget) -> None:
        self.ledger = ledger
        self.budget = budget

    def __deepcopy__(self, memo: dict[int, Any]) -> BudgetAllowance:
        return self

    def __repr__(self) -> str:
        return f"BudgetAllowance({self.budget!r})"

    async def require(self, io: IO, model: Any, run_response: Any, /) -> None:
        """Raise `BudgetExceeded` if `model` may send no request for that run now."""
        mode = mode_now("budgets", self.budget.mode)
        if mode == "off":
            return
        tags = model.tags_of(run_response)
        key = self.budget.key(tags, model.root_run(run_response), self.ledger.now())
        if key is None:
            return
        reason, spent = await self._refusal(io, key, model)
        if reason is None:
            return
        verdict = Verdict(False, "budget", (_told(key, reason),))
        run = getattr(run_response, "run_id", None)
        data = {
            "mode": mode,
            "per": self.budget.per,
            "cost_center": dict(key).get("cost_center"),
            "cost": None if spent is None else str(dollars(spent.cost)),
            "tokens": None if spent is None else spent.tokens,
            "tags": tags,
        }
        event = Event("budget", tags.get("role"), tags.get("swarm"), run, verdict, data)
        tell(model.observers, event)
        if mode == "enforce":
            raise BudgetExceeded(verdict)

    async def _refusal(self, io: IO, key: Key, model: Any) -> tuple[str | None, Total | None]:
        """Why not, and what was spent as far as it is known."""
        counts_dollars = self.budget.limit_usd is not None and self.budget.unpriced == "refuse"
        if counts_dollars and (unknown := [*self._unpriced(model)]):
            return f"no price is known of {', '.join(unknown)}: {_PRICE_IT}", None
        try:
            spent = self.ledger.known(key)
            if spent is None:
                spent = await self._read(io, key)
        except Exception as error:
            return f"{failure_told(error)}, so nobody can say what was spent", None
        if (said := self.budget.used_up(spent)) is not None:
            return said, spent
        if counts_dollars and spent.unpriced:
            return f"{spent.unpriced} requests have no known price: {_PRICE_IT}", spent
        if self.ledger.lost and self.budget.unpriced == "refuse":
            return f"{self.ledger.lost} rows of the ledger were lost in this process", spent
        return None, spent

    async def _read(self, io: IO, key: Key) -> Total:
        """What was spent, from the database: within the time that the ledger gives it."""
        job = Job(lambda: self.ledger.read(key), 2 * self.ledger.timeout)
        [outcome] = await io.race([job], lambda place, outcome: False)
        if isinstance(outcome, Failed):
            if isinstance(outcome.error, TimeoutError):
                late = f"the ledger's database does not answer within {self.ledger.timeout:g} s"
                self.ledger.give_up(key, late)
                raise LedgerUnavailable(late)
            raise outcome.error
        spent: Total = outcome
        return spent

    def _unpriced(self, model: Any) -> Iterator[str]:
        """The models that may be asked and have no price."""
        leaves = model.router.plan(model).leaves
        for name in dict.fromkeys(leaf.model or model.id for leaf in leaves) or (model.id,):
            if not self.ledger.prices.knows(name):
                yield str(name)


_PRICE_IT = 'give its price to Prices.from_file, or say unpriced="allow"'


def _told(key: Key, reason: str) -> str:
    of = ", ".join(f"{name.replace('_', ' ')} {value or 'none'}" for name, value in key)
    return f"the budget of {of or 'all together'} lets no request through: {reason}"


def _dollars(said: object) -> Decimal:
    """A limit in dollars; a float is taken for the digits that it is written with."""
    try:
        if isinstance(said, bool) or not isinstance(said, int | float | str | Decimal):
            raise InvalidOperation
        amount = Decimal(str(said))
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or not 0 <= amount <= 1_000_000_000:
        raise ConfigurationError(f"Budget.limit_usd: dollars, 0 or more, not {said!r}")
    return amount
