"""What people say to a workflow, when they start it and when it waits for them, as it is stored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from agno.run.base import RunStatus
from agno.workflow.types import StepInput, StepOutput, StepRequirement

from agno_portkey.guardrails.at_rest import parts_rewritten, replaced

__all__ = ["clean_requests", "clean_steps", "texts_of", "unanswered"]

# What the host puts behind a step's request, in what it gives to the step's agent.
_BEHIND = (
    "\n\nUser preferences:\n",
    "\n\nYour previous output:\n",
    "\n\nFeedback from reviewer:\n",
)
# Where the host gives a step what a person has said, in the additional data of its input.
_SAID = ("user_input", "rejection_feedback")
# How a run is that goes on; in the background it waits for its turn.
_GOES_ON = (RunStatus.running, RunStatus.pending)
# And where a person says it.
_ANSWERS = (*_SAID, "edited_output")


def texts_of(given: StepInput) -> Iterator[str]:
    """The texts that a person has added to the request of a step."""
    for name in _SAID:
        said = (given.additional_data or {}).get(name)
        for each in said.values() if isinstance(said, Mapping) else (said,):
            if each is not None:
                yield str(each)


def clean_requests(run: Any, kept: Mapping[str, str]) -> None:
    """Leave in the requests of a workflow's run nothing that `kept` says is not to be stored.

    Guards were asked about the whole that the host makes of a request, of what was said before and
    of a person's answer: of that each is a part.
    """
    if not kept:
        return
    whole = {raw: replaced(raw, kept) for raw in kept if _is_asked_with(raw, run.input)}
    run.input = replaced(replaced(run.input, kept), parts_rewritten(run.input, whole))
    waited = run.step_requirements or ()
    said = [text for each in waited for text in _said(each)]
    kept = {**kept, **parts_rewritten(said, kept)}
    for each in waited:
        _clean_requirement(each, kept)


@contextmanager
def unanswered(run: Any) -> Iterator[None]:
    """Leave out, while it is written that `run` goes on, what no guard has been asked about yet.

    That is what a person has just answered: the host writes it before the step is given it.
    """
    waited = (run.step_requirements or ()) if run.status in _GOES_ON else ()
    held = [(each, name) for each in waited for name in _ANSWERS]
    held += [(field, "value") for each in waited for field in each.user_input_schema or ()]
    before = [getattr(each, name) for each, name in held]
    for each, name in held:
        setattr(each, name, None)
    try:
        yield
    finally:
        for (each, name), value in zip(held, before, strict=True):
            setattr(each, name, value)


def clean_steps(held: Any, kept: Mapping[str, str]) -> None:
    """Clean the outputs of steps in `held`, in lists and mappings at any depth."""
    if isinstance(held, list | tuple):
        for item in held:
            clean_steps(item, kept)
    elif isinstance(held, dict):
        clean_steps([*held.values()], kept)
    elif isinstance(held, StepOutput):
        held.content, held.error = replaced(held.content, kept), replaced(held.error, kept)
        clean_steps(held.steps, kept)


def _is_asked_with(raw: str, request: Any) -> bool:
    """Whether `raw` is what an agent was asked with that request in it."""
    if not isinstance(request, str):
        return False
    return raw.endswith(request) or any(f"{request}{behind}" in raw for behind in _BEHIND)


def _said(requirement: StepRequirement) -> list[Any]:
    said = [*(requirement.user_input or {}).values()]
    said += texts_of(requirement.step_input or StepInput())
    return [*said, requirement.rejection_feedback, requirement.edited_output]


def _cleaned(said: Any, kept: Mapping[str, str]) -> Any:
    """The values of a mapping without what is not to be stored; its keys are the application's."""
    return {name: replaced(each, kept) for name, each in said.items()} if said else said


def _clean_requirement(held: StepRequirement, kept: Mapping[str, str]) -> None:
    held.user_input = _cleaned(held.user_input, kept)
    held.rejection_feedback = replaced(held.rejection_feedback, kept)
    held.edited_output = replaced(held.edited_output, kept)
    for field in held.user_input_schema or ():
        if (value := replaced(field.value, kept)) is not field.value:
            field.value = value
            # The host, which reads it back, would refuse the whole session.
            field.field_type, field.allowed_values = type(value).__name__, None
    clean_steps(held.step_output, kept)
    if (given := held.step_input) is not None:
        given.input = replaced(given.input, kept)
        given.previous_step_content = replaced(given.previous_step_content, kept)
        given.additional_data = _cleaned(given.additional_data, kept)
        clean_steps(given.previous_step_outputs, kept)
