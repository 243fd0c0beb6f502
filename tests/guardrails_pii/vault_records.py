"""Records of the host that hold a name and a number."""

from __future__ import annotations

import json

from agno.models.message import Message
from agno.models.response import ToolExecution
from agno.run.agent import RunInput, RunOutput
from agno.run.base import RunStatus
from agno.session import AgentSession
from agno.session.summary import SessionSummary
from pydantic import BaseModel

ALICE = "Alice Liddell"
CARD = 4111111111111111


class Form(BaseModel):
    to: str
    card: int


def a_run() -> RunOutput:
    return RunOutput(
        run_id="r1",
        session_id="one",
        user_id="ann",
        agent_id="a",
        content=f"Dear {ALICE} and ALICE LIDDELL, <PERSON_1@0123456789abcdef>",
        input=RunInput(input_content=f"write to {ALICE}"),
        status=RunStatus.completed,
        messages=[
            Message(role="user", content=f"write to {ALICE}"),
            Message(
                role="assistant",
                tool_calls=[
                    {
                        "id": "c1",
                        "type": "function",
                        "function": {"name": "send", "arguments": json.dumps({"to": ALICE})},
                    }
                ],
            ),
            Message(role="tool", tool_call_id="c1", content=f"sent to {ALICE}"),
        ],
        tools=[ToolExecution(tool_name="send", tool_args={"to": ALICE, "card": CARD})],
        session_state={ALICE: [ALICE, CARD]},
    )


def a_session() -> AgentSession:
    return AgentSession(
        session_id="one",
        agent_id="a",
        user_id="ann",
        session_data={"session_state": {"who": ALICE, "card": CARD, "said": "<#i7#>"}},
        metadata={"note": f"for {ALICE}"},
        summary=SessionSummary(summary=f"{ALICE} wrote", topics=[ALICE]),
        runs=[a_run()],
        created_at=1,
    )
