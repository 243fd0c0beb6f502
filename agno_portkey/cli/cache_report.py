"""What `agno-portkey cache report` shows: what is kept, and how far likeness is trusted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from rich.table import Table
from rich.text import Text

from agno_portkey.cache import Cache, CachePolicy, Evidence
from agno_portkey.cache.semantic.trust import Estimate, Trust
from agno_portkey.verdict import shown

__all__ = ["kept_table", "told", "trusted"]

# The longest word that is not broken.
_WORD = 24
# Where a budget of errors is from, as a report says it.
_BY_OPTION, _BY_POLICY, _BY_DEFAULT = "--max-error", "its policy", "the default"


def trusted(cache: Cache, max_error: float | None) -> list[dict[str, Any]]:
    """A row for each stratum, with the budget that is given, else with that of its role."""
    if max_error is not None:
        _policy(max_error)
    evidence = [each for _, each in cache.store.evidence(0)]
    budgets = {_role(each): each.max_error for each in evidence if each.max_error is not None}
    rows, known = [], dict[float, tuple[Trust, dict[str, Estimate]]]()
    for stratum, compared in _by_stratum(evidence).items():
        role, _, against = stratum.rpartition("/")
        told = budgets.get(role)
        budget, by = (max_error, _BY_OPTION) if max_error is not None else (told, _BY_POLICY)
        if budget is None:
            budget, by = CachePolicy.max_error, _BY_DEFAULT
        if budget not in known:
            known[budget] = (trust := cache.trust(_policy(budget))), trust.estimate()
        trust, estimates = known[budget]
        estimate = estimates.get(stratum)
        rows.append(
            {
                "role": role,
                "against": against,
                "compared": len(compared),
                "different": sum(not each.same for each in compared),
                "max_error": budget,
                "max_error_by": by,
                # What something speaks against is not served, whatever was learnt.
                "serves_from": None if against else trust.serves_from(stratum),
                "needed": None if against else trust.needed(stratum),
                "false_hits": None if against or estimate is None else asdict(estimate),
            }
        )
    return rows


def _policy(max_error: float) -> CachePolicy:
    return CachePolicy(kind="semantic", max_error=max_error)


def _role(evidence: Evidence) -> str:
    return evidence.stratum.rpartition("/")[0]


def _by_stratum(evidence: Iterable[Evidence]) -> dict[str, list[Evidence]]:
    found: dict[str, list[Evidence]] = {}
    for each in evidence:
        found.setdefault(each.stratum, []).append(each)
    return dict(sorted(found.items()))


def kept_table(kept: Iterable[tuple[str, str, int, int]]) -> Table:
    table = Table("scope", "role", box=None, pad_edge=False)
    for name in ("entries", "kB"):
        table.add_column(name, justify="right")
    for scope, role, entries, size in kept:
        table.add_row(
            Text(shown(scope)), Text(shown(role) or "-"), f"{entries}", f"{size / 1024:.0f}"
        )
    return table


def told(learnt: list[dict[str, Any]]) -> Iterable[Text | Table]:
    budgets = {(row["max_error"], row["max_error_by"]) for row in learnt}
    if len(budgets) == 1:
        [(budget, by)] = budgets
        yield Text(f"Questions alike, at most {budget:.3g} of them answered wrongly ({by})")
        yield _trust_table(learnt, several=False)
        return
    yield Text("Questions alike, and the share of them that may be answered wrongly")
    yield _trust_table(learnt, several=True)
    yield Text("budget: as the role's policy said; * the default, where none has")


def _trust_table(learnt: list[dict[str, Any]], *, several: bool) -> Table:
    table = Table(box=None, pad_edge=False)
    columns = {
        "role": [shown(row["role"]).replace("@", " @") or "-" for row in learnt],
        "against it": [shown(row["against"]).replace("+", ", ") or "nothing" for row in learnt],
        "budget": [_budget(row) for row in learnt],
        "compared": [f"{row['compared']}" for row in learnt],
        "differed": [f"{row['different']}" for row in learnt],
        "served from": [_served(row) for row in learnt],
        "false hits": [_rate(row["false_hits"]) for row in learnt],
    }
    if not several:
        del columns["budget"]
    for name, cells in columns.items():
        names = name in ("role", "against it")
        # Only names give way where there is little room, and none of their words is broken.
        longest = max(len(word) for each in cells for word in each.split()) if names else 0
        table.add_column(
            name if names else name.replace(" ", "\n"),
            min_width=min(longest, _WORD),
            justify="left" if names else "right",
            overflow="fold",
            no_wrap=not names,
        )
    for row in zip(*columns.values(), strict=True):
        table.add_row(*map(Text, row))
    return table


def _budget(row: dict[str, Any]) -> str:
    return f"{row['max_error']:.3g}" + (" *" if row["max_error_by"] == _BY_DEFAULT else "")


def _served(row: dict[str, Any]) -> str:
    if row["against"]:
        return "never"
    # Some are served before: as far as the budget lets them.
    start = row["serves_from"]
    return f"{row['needed']} more\nfor all" if start is None else f"{start:.2f}"


def _rate(found: dict[str, Any] | None) -> str:
    if found is None:
        return ""
    return f"{found['rate']:.2%}\n({_percent(found['low'])}-{_percent(found['high'])})"


def _percent(share: float) -> str:
    return f"{100 * share:.2f}" if share < 0.1 else f"{100 * share:.1f}"
