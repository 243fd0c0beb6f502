"""A vault in a database: it outlives the process, its key is changed, a session is forgotten."""

import tempfile
from pathlib import Path

from _stage import stage
from agno.agent import Agent
from agno.db.base import SessionType
from agno.db.sqlite import SqliteDb
from cryptography.fernet import Fernet

from agno_portkey import govern
from agno_portkey.guardrails import PIIGuardrail
from agno_portkey.guardrails.pii import Vaults

old, new = Fernet.generate_key(), Fernet.generate_key()


def desk(vaults):
    """What a process would make as it starts."""
    agent = Agent(name="Desk", model=model, db=SqliteDb(db_file=f"{folder}/agno.db"))
    return govern(agent, pii=PIIGuardrail("pseudonymize", vaults=vaults))


def asked(session):
    return session.runs[0].messages[0].content


with stage() as (model, provider), tempfile.TemporaryDirectory() as folder:
    kept = f"sqlite:///{Path(folder)}/vaults.db"
    # In production the keys are those of AGNO_PORTKEY_VAULT_KEYS.
    desk(Vaults(kept, keys=[old])).run("I am John Smith.", session_id="monday")
    stored = asked(SqliteDb(db_file=f"{folder}/agno.db").get_session("monday", SessionType.AGENT))

    # A new key: it seals, the old one still opens; after `rotate` the old one can go.
    Vaults(kept, keys=[new, old]).rotate()
    vaults = Vaults(kept, keys=[new])
    later = asked(desk(vaults).get_session("monday"))

    vaults.forget("monday")
    forgotten = asked(desk(vaults).get_session("monday"))

print("the database holds:", stored)
print("another process reads:", later)
print("once forgotten:", forgotten)
assert "Smith" not in stored
assert later == "I am John Smith."
assert forgotten == stored
