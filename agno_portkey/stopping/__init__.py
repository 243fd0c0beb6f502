"""The kill switch: what a swarm may not do any more, said once in the database that it shares."""

from agno_portkey.stopping.brake import Brake, aguard_tool, guard_tool, stop_layer, stoppable
from agno_portkey.stopping.databases import missing_file
from agno_portkey.stopping.late import LateSwitch, switch_of
from agno_portkey.stopping.record import ALL, Resumed, Stop, Store, fold
from agno_portkey.stopping.switch import DATABASE_VARIABLE, StopSwitch

__all__ = [
    "ALL",
    "DATABASE_VARIABLE",
    "Brake",
    "LateSwitch",
    "Resumed",
    "Stop",
    "StopSwitch",
    "Store",
    "aguard_tool",
    "fold",
    "guard_tool",
    "missing_file",
    "stop_layer",
    "stoppable",
    "switch_of",
]
