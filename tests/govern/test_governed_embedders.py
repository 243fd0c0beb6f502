"""What a governed agent has embedded is guarded, tagged, observed and stopped with the rest."""

from __future__ import annotations

from typing import Any

import pytest
from agno.agent import Agent
from agno.db.sqlite import SqliteDb
from agno.knowledge.embedder.openai import OpenAIEmbedder
from agno.knowledge.knowledge import Knowledge
from agno.team import Team
from agno.vectordb.base import VectorDb

from agno_portkey import PortkeyModel, govern
from agno_portkey.errors import Stopped, UngovernedPathError
from agno_portkey.guardrails import Passage, Rewrite, guard
from agno_portkey.knowledge import PortkeyEmbedder
from agno_portkey.stopping import StopSwitch
from agno_portkey.testing import EmbeddedProvider
from agno_portkey.verdict import Event


def _nothing(self: Any, *args: Any, **options: Any) -> list[Any]:
    return []


class Empty(VectorDb):
    """A vector database that holds an embedder, and nothing else."""

    def __init__(self, embedder: Any) -> None:
        super().__init__()
        self.embedder = embedder


for _name in VectorDb.__abstractmethods__:
    setattr(Empty, _name, _nothing)
Empty.__abstractmethods__ = frozenset()


@guard(rewrites=True)
def no_names(passage: Passage) -> Rewrite | None:
    return Rewrite(passage.text.replace("Ann", "<NAME>")) if "Ann" in passage.text else None


@pytest.fixture
def embedder(portkey_provider: EmbeddedProvider) -> PortkeyEmbedder:
    return PortkeyEmbedder(base_url=portkey_provider.url, api_key="k", dimensions=8)


def agent_with(embedder: Any, provider: EmbeddedProvider) -> Agent:
    model = PortkeyModel(base_url=provider.url, api_key="k")
    database = Empty(embedder)
    return Agent(name="Researcher", model=model, knowledge=Knowledge(vector_db=database))


def test_it_is_bound_with_its_agent(
    embedder: PortkeyEmbedder, portkey_provider: EmbeddedProvider
) -> None:
    heard: list[Event] = []
    team = Team(
        name="Desk",
        members=[agent_with(embedder, portkey_provider)],
        model=PortkeyModel(base_url=portkey_provider.url, api_key="k"),
    )
    govern(team, guards=[no_names], observers=[heard.append], tags={"team": "t"})
    embedder.get_embedding("Ann is here")
    [request] = portkey_provider.requests
    assert request.body["input"] == ["<NAME> is here"]
    assert '"team": "t"' in request.headers["x-portkey-metadata"]
    [event] = [event for event in heard if event.kind == "embedding"]
    assert (event.role, event.swarm) == ("Researcher", "Desk")


def test_it_stops_with_its_swarm(
    embedder: PortkeyEmbedder, portkey_provider: EmbeddedProvider, tmp_path: Any
) -> None:
    db = SqliteDb(db_file=str(tmp_path / "agno.db"))
    agent = agent_with(embedder, portkey_provider)
    agent.db = db
    govern(agent)
    StopSwitch(db).stop("Researcher")
    with pytest.raises(Stopped):
        embedder.get_embedding("hello")
    assert portkey_provider.requests == []
    StopSwitch(db).resume("Researcher")


def test_the_hosts_own_is_refused(portkey_provider: EmbeddedProvider) -> None:
    with pytest.raises(UngovernedPathError, match="OpenAIEmbedder"):
        govern(agent_with(OpenAIEmbedder(api_key="k"), portkey_provider))
