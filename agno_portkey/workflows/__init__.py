"""Workflows: a step that was blocked, or has failed, stops its workflow."""

from agno_portkey.workflows.flow import GovernedWorkflow
from agno_portkey.workflows.gate_step import FlowGate, StepHook, question_of
from agno_portkey.workflows.governing import (
    convert,
    refuse_steps,
    ungoverned_steps,
)
from agno_portkey.workflows.parts import executors, functions, prepare, steps_of, title
from agno_portkey.workflows.steps import GovernedStep
from agno_portkey.workflows.stopped import STEP_KEY, StepStopped

__all__ = [
    "STEP_KEY",
    "FlowGate",
    "GovernedStep",
    "GovernedWorkflow",
    "StepHook",
    "StepStopped",
    "convert",
    "executors",
    "functions",
    "prepare",
    "question_of",
    "refuse_steps",
    "steps_of",
    "title",
    "ungoverned_steps",
]
