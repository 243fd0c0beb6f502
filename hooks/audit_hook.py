"""AuditHook by hand: a line for each run's start and end, and no word of what was said."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from _stage import stage
from agno.agent import Agent
from agno.team import Team

from agno_portkey.hooks import AuditHook
from agno_portkey.testing import Reply, ToolCall

with stage() as (model, provider), TemporaryDirectory() as folder:
    ask = ToolCall("delegate_task_to_member", {"member_id": "writer", "task": "the secret"})
    provider.when("You are the Desk", [Reply(tool_calls=(ask,)), "All is written."])
    provider.when("You are the Writer", "The secret is 42.")

    file = Path(folder) / "audit.jsonl"
    audit = AuditHook(file)
    model.observers = [audit]  # the model's calls are recorded as well
    hooks = {"pre_hooks": [audit], "post_hooks": [audit]}
    writer = Agent(
        id="writer", name="Writer", model=model, instructions="You are the Writer", **hooks
    )
    team = Team(
        name="Desk", members=[writer], model=model, instructions="You are the Desk", **hooks
    )
    team.run("Write down the secret", user_id="ada")

    text = file.read_text()

records = [json.loads(line) for line in text.splitlines()]
for record in records:
    said = record.get("data", record)
    tokens = said.get("total_tokens") or said.get("output_tokens")
    print(record["time"][11:19], record["kind"], record["role"], record.get("status", ""), tokens)

runs = [(r["kind"], r["name"]) for r in records if r["kind"] in ("start", "end")]
assert runs == [("start", "Desk"), ("start", "Writer"), ("end", "Writer"), ("end", "Desk")]
assert {r["user_id"] for r in records if r["kind"] == "start"} == {"ada"}
assert "secret" not in text
