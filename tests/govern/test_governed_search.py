"""A governed agent's search: its embedder and its rewriting model are bound with the agent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from agno.agent import Agent
from agno.db.sqlite import SqliteDb
from agno.knowledge.embedder.openai import OpenAIEmbedder
from agno.knowledge.knowledge import Knowledge
from agno.models.openai import OpenAIChat
from agno.vectordb.lancedb import LanceDb

from agno_portkey import PortkeyModel, govern
from agno_portkey.errors import Stopped, UngovernedPathError
from agno_portkey.guardrails import Passage, Rewrite, guard
from agno_portkey.knowledge import HybridSearch, PortkeyEmbedder, Rewrites
from agno_portkey.stopping import StopSwitch
from agno_portkey.testing import EmbeddedProvider
from agno_portkey.verdict import Event


@guard(rewrites=True)
def no_names(passage: Passage) -> Rewrite | None:
    return Rewrite(passage.text.replace("Ann", "<NAME>")) if "Ann" in passage.text else None


@pytest.fixture
def search(portkey_provider: EmbeddedProvider, tmp_path: Path) -> HybridSearch:
    embedder = PortkeyEmbedder(base_url=portkey_provider.url, api_key="k", dimensions=8)
    db = LanceDb(uri=str(tmp_path / "lance"), table_name="docs", embedder=embedder)
    rewrites = Rewrites(PortkeyModel(base_url=portkey_provider.url, api_key="k"), seconds=60)
    return HybridSearch(db, expansion=rewrites)


def agent_with(search: HybridSearch, provider: EmbeddedProvider) -> Agent:
    model = PortkeyModel(base_url=provider.url, api_key="k")
    return Agent(name="Researcher", model=model, knowledge=Knowledge(vector_db=search))


def test_embedder_and_model_are_bound(
    search: HybridSearch, portkey_provider: EmbeddedProvider
) -> None:
    heard: list[Event] = []
    agent = agent_with(search, portkey_provider)
    govern(agent, guards=[no_names], observers=[heard.append], tags={"team": "t"})
    portkey_provider.reply(json.dumps({"queries": ["who is Ann"]}))
    search.search("Ann is here")
    for request in portkey_provider.requests:
        assert "Ann" not in json.dumps(request.body)
        assert "<NAME>" in json.dumps(request.body)
        assert '"team": "t"' in request.headers["x-portkey-metadata"]
    assert len(portkey_provider.requests) == 3
    kinds = [event.kind for event in heard if event.role == "Researcher"]
    assert kinds.count("embedding") == 2
    assert "call" in kinds


def test_it_stops_with_its_agent(
    search: HybridSearch, portkey_provider: EmbeddedProvider, tmp_path: Path
) -> None:
    db = SqliteDb(db_file=str(tmp_path / "agno.db"))
    agent = agent_with(search, portkey_provider)
    agent.db = db
    govern(agent)
    StopSwitch(db).stop("Researcher")
    with pytest.raises(Stopped):
        search.search("hello")
    assert portkey_provider.requests == []
    StopSwitch(db).resume("Researcher")


def test_models_of_the_host_in_it_are_refused(
    search: HybridSearch, portkey_provider: EmbeddedProvider
) -> None:
    search.vector_db.embedder = OpenAIEmbedder(api_key="k")
    with pytest.raises(UngovernedPathError, match="OpenAIEmbedder"):
        govern(agent_with(search, portkey_provider))


def test_a_rewriter_of_the_host_is_refused(
    search: HybridSearch, portkey_provider: EmbeddedProvider
) -> None:
    assert search.rewrites is not None
    object.__setattr__(search.rewrites, "model", OpenAIChat(api_key="k"))
    with pytest.raises(UngovernedPathError, match="OpenAIChat"):
        govern(agent_with(search, portkey_provider))
