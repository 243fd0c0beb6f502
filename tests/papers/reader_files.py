"""Files that a reader of the pages has: a team of theirs, an agent, a suite, a policy."""

from __future__ import annotations

# Runs a team three times: two plans wait for a person, and one is refused.
BADLY = "Plan badly."
RELEASED = """
import os
from agno.db.sqlite import SqliteDb
from agno_portkey import Gate, PortkeyModel, govern, telemetry
from agno_portkey.telemetry.ledger import Ledger
from agno_portkey.testing.story import REQUEST, Release, release_team

db = SqliteDb(db_file="agno.db")
with telemetry.setup(db=db):
    for session in ("first", "second", "third"):
        model = PortkeyModel(
            "gpt-4o-mini", base_url=os.environ["PROVIDER"], api_key="k",
            config={"strategy": {"mode": "fallback"}, "targets": [
                {"provider": "openai", "api_key": "k"}]},
        )
        team = release_team(model, Release(), db=db, id="release")
        if session == "third":
            team.members[0].instructions += " Plan badly."
        team = govern(
            team, runner="Runner", gate=Gate(name="release", min_score=8, approval=True),
            tags={"cost_center": "cc-42"}, ledger=Ledger(db),
        )
        team.run(REQUEST, session_id=session)
"""

# A team that is governed by the policy that is named beside it.
APP = """
from agno_portkey import PortkeyModel
from agno_portkey.testing.story import Release, release_team

team = release_team(PortkeyModel(api_key="x"), Release(), id="mine", name="Mine")
"""
POLICY = "gate: {name: release, runner: Runner, min_score: 8}\n"

DESK = """
import os
from agno.agent import Agent
from agno_portkey import PortkeyModel

model = PortkeyModel(base_url=os.environ["PROVIDER"], api_key="k")
agent = Agent(name="Desk", model=model, telemetry=False)
"""
INPUTS = '"When do you open?"\n{"id": "b", "input": "And close?"}\n'

SUITE = """
from agno.eval.suite import Case
from agno.scorer import CodeScorer
from desk import agent

greets = CodeScorer(lambda run, _: "Hi" in run.content)
CASES = [Case(name="greets", input="Hi", agent=agent, scorer=greets)]
"""

# Asks a question whose answer is kept, as one that an answer from the handbook would be.
CACHED = """
import os
from agno_portkey.cache import Cache, Entry

cache = Cache(os.environ["AGNO_PORTKEY_CACHE_URL"])
cache.store.put(
    Entry(
        key="one", bucket="b", scope="public", question="When?", answer="At nine.",
        model="gpt-4o-mini", role="Desk", tags=(), sources=("handbook",),
        created_at=cache.clock(), expires_at=cache.clock() + 1e6,
    )
)
cache.close()
"""
