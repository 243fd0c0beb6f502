"""What tools return is not stored before the guards have looked at it."""

from __future__ import annotations

from typing import Any

import pytest
from agno.agent import Agent
from agno.db.in_memory import InMemoryDb
from agno.offload import ResultStore
from agno.team import Team

from agno_portkey import Guard, Passage, govern
from agno_portkey.errors import ConfigurationError
from agno_portkey.model import PortkeyModel


class Looks(Guard):
    inline = True

    def inspect(self, passage: Passage) -> None:
        return None


@pytest.mark.parametrize("kind", [Agent, Team])
@pytest.mark.parametrize("checkpoint", ["tool-batch"])
def test_a_checkpoint_after_tools_is_refused_beside_guards(
    checkpoint: Any, kind: Any, portkey_model: PortkeyModel
) -> None:
    def made(**settings: Any) -> Any:
        members = {"members": []} if kind is Team else {}
        settings = {"db": InMemoryDb(), "checkpoint": checkpoint, **settings}
        return kind(name="A", model=portkey_model, **members, **settings)

    with pytest.raises(ConfigurationError, match=r"A\.checkpoint: '.*' stores what tools return"):
        govern(made(), guards=[Looks()])
    govern(made())
    govern(made(), guards=[Looks(keep_raw=True)])
    govern(made(checkpoint="runs"), guards=[Looks()])
    # A server may give it one later.
    with pytest.raises(ConfigurationError, match=r"A\.checkpoint"):
        govern(made(db=None), guards=[Looks()])


@pytest.mark.parametrize("kind", [Agent, Team])
@pytest.mark.parametrize("store", [True, ResultStore(threshold_chars=100)])
def test_a_store_of_large_results_is_refused_beside_guards(
    store: Any, kind: Any, portkey_model: PortkeyModel
) -> None:
    def made(**settings: Any) -> Any:
        members = {"members": []} if kind is Team else {}
        return kind(name="A", model=portkey_model, **members, **settings)

    with pytest.raises(ConfigurationError, match=r"A\.offload_tool_results: it stores .* Looks"):
        govern(made(offload_tool_results=store), guards=[Looks()])
    govern(made(offload_tool_results=store))
    govern(made(offload_tool_results=store), guards=[Looks(keep_raw=True)])
    govern(made(offload_tool_results=False), guards=[Looks()])
