"""Clearances that others change all the time, and such as contradict themselves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from clearance_scene import NOW, a_grant, an_asking

from agno_portkey.errors import ClearanceRefused, ConfigurationError
from agno_portkey.gates.clearance import MemoryClearances
from agno_portkey.gates.clearance.memory import MemoryStore
from agno_portkey.gates.clearance.row import packed, unpacked


def test_a_clearance_that_others_change_each_time_is_busy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clearances, grant = MemoryClearances(), a_grant(state="waiting", reason="")
    clearances.put(grant)
    swap = MemoryStore.swap

    def overtaken(self: MemoryStore, old: Any, new: Any) -> bool:
        others = unpacked(old)
        assert swap(self, old, packed(replace(others, reason=f"{others.reason}x")))
        return swap(self, old, new)

    with monkeypatch.context() as others:
        others.setattr(MemoryStore, "swap", overtaken)
        with pytest.raises(ClearanceRefused) as caught:
            clearances.approve(grant.id, by="ann", now=NOW)
    assert caught.value.code == "busy"
    kept = clearances.get(grant.id)
    assert (kept.state, kept.approved_by) == ("waiting", None)
    assert clearances.approve(grant.id, by="ann", now=NOW).state == "granted"
    assert clearances.claim(grant.id, an_asking(), NOW).claimed_by == "r1"


@pytest.mark.parametrize("state", ["waiting", "granted"])
def test_what_waits_or_is_granted_was_not_claimed(state: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"it is {state}, so nobody has claimed it"):
        replace(a_grant(), state=state, claimed_by="r1", claimed_at=NOW)
