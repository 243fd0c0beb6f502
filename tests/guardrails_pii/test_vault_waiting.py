"""While one vault is being kept, which a slow store draws out, others are to be had."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from agno_portkey.errors import VaultUnavailable
from agno_portkey.guardrails.pii.spans import Span
from agno_portkey.guardrails.pii.vault import Vault
from agno_portkey.guardrails.pii.vaults import Vaults

ANN = [Span(0, 3, "PERSON", 1.0)]


@pytest.mark.parametrize(
    "forgets",
    [
        lambda vaults: vaults.forget("one"),
        lambda vaults: vaults.forget_user("u"),
        lambda vaults: vaults.hand_over("one", "u", "other"),
    ],
    ids=["session", "user", "handed over"],
)
def test_who_forgets_a_vault_that_is_in_use_keeps_nobody_from_the_others(
    forgets: Callable[[Vaults], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vaults = Vaults(str(tmp_path / "vaults.db"), keys=[Fernet.generate_key()])
    one, two = vaults.of("one", "u"), vaults.of("two")
    one.hide("Ann", ANN)
    waits, used = threading.Event(), threading.Event()
    forget = Vault.forget

    def told(vault: Vault) -> None:
        waits.set()
        forget(vault)

    def use() -> None:
        # As one does that keeps something new.
        with one._lock:
            used.set()
            assert go.wait(60)

    monkeypatch.setattr(Vault, "forget", told)
    go = threading.Event()
    with ThreadPoolExecutor(3) as pool:
        try:
            using = pool.submit(use)
            assert used.wait(60)
            forgetting = pool.submit(forgets, vaults)
            assert waits.wait(60)
            assert pool.submit(vaults.of, "two").result(60) is two
            assert not forgetting.done()
        finally:
            go.set()
        using.result(60)
        assert forgetting.result(60)
    with pytest.raises(VaultUnavailable, match="forgotten"):
        one.hide("Ann", ANN)
