"""`TagHook`: tags for every call of a run, its members' included."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agno_portkey.guardrails.forms import run_being_started
from agno_portkey.hooks.base import Hook, Moment
from agno_portkey.model import PortkeyModel
from agno_portkey.tags import TAGS_KEY, check_tags

__all__ = ["TagHook"]


class TagHook(Hook):
    """A pre-hook that gives each `PortkeyModel` call of the run these tags.

    They travel in the run's metadata, which members inherit, and are stored with it: a run that is
    gone on with has those that it began with, whatever its caller says then. Set on a team, it
    adds the team's name as `swarm`.
    """

    def __init__(self, **tags: Any) -> None:
        self.tags = check_tags(tags)

    def before(self, moment: Moment) -> None:
        swarm = {"swarm": moment.name} if moment.is_team else {}
        context = moment.run_context
        metadata = context.metadata or {}
        inherited = metadata.get(TAGS_KEY)
        tags = {**swarm, **(inherited if isinstance(inherited, Mapping) else {}), **self.tags}
        # Members read them in the metadata that they are handed; this run's own output was made
        # before, so it is told as well, and its model.
        context.metadata = {**metadata, TAGS_KEY: tags}
        if (run := run_being_started()) is not None:
            run.metadata = {**(run.metadata or {}), TAGS_KEY: dict(tags)}
        if isinstance(model := moment.owner.model, PortkeyModel):
            model.note_tags(moment.run_id, tags)
