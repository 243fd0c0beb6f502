"""Everything that an agent or team can reach, and what of it goes round the gateway."""

from agno_portkey.reach.allow import Allow
from agno_portkey.reach.finds import Factory, Hidden, Place
from agno_portkey.reach.held import held_by, same
from agno_portkey.reach.products import seeing
from agno_portkey.reach.survey import Survey, refuse_paths

__all__ = [
    "Allow",
    "Factory",
    "Hidden",
    "Place",
    "Survey",
    "held_by",
    "refuse_paths",
    "same",
    "seeing",
]
