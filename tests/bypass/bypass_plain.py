"""The gate of a careful user of plain Agno: hooks, and the run's own dependencies.

The Critic's and the Judge's verdicts are kept for the run, and the Runner's pre-hook raises
without an approval.
"""

from __future__ import annotations

from typing import Any

from agno.agent import Agent
from agno.exceptions import InputCheckError
from agno.run.base import RunContext
from agno.team import Team

from agno_portkey import Critique, Judgement


def _open_board(run_context: RunContext) -> None:
    run_context.dependencies = {**(run_context.dependencies or {}), "board": {}}


def _note_opinion(run_output: Any, run_context: RunContext) -> None:
    said = run_output.content
    board = run_context.dependencies["board"]
    if isinstance(said, Judgement):
        board["approved"] = said.decision.value == "approve" and said.score >= 8
    elif isinstance(said, Critique):
        board["criticised"] = not said.blocking


def _refuse_unapproved(run_context: RunContext) -> None:
    board = (run_context.dependencies or {}).get("board") or {}
    if not (board.get("approved") and board.get("criticised")):
        raise InputCheckError("The Runner may not run: the plan has not been approved.")


def with_plain_gate(team: Team) -> Team:
    """Hooks that carry the Judge's approval to the Runner, in the run's own dependencies."""
    team.pre_hooks = [_open_board, *(team.pre_hooks or [])]
    for name, slot, hook in (
        ("Critic", "post_hooks", _note_opinion),
        ("Judge", "post_hooks", _note_opinion),
        ("Runner", "pre_hooks", _refuse_unapproved),
    ):
        if (agent := member(team, name)) is not None:
            setattr(agent, slot, [*(getattr(agent, slot) or []), hook])
    return team


def member(team: Team, name: str) -> Agent:
    """The member of this name, however deep."""
    for each in team.members or []:
        if each.name == name:
            return each
        if isinstance(each, Team) and (found := member(each, name)) is not None:
            return found
    return None
