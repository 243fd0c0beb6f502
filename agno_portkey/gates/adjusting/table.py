"""The table `agno_portkey_gate_thresholds`: rows are added to it, and never changed."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Column, Double, Integer, MetaData, String, Table, Text, select
from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import DBAPIError, IntegrityError

from agno_portkey.errors import AdjustmentRefused
from agno_portkey.gates.adjusting.change import Change, packed, parsed
from agno_portkey.gates.clearance.kept import KeptTable

__all__ = ["ThresholdTable"]

_TABLE = Table(
    "agno_portkey_gate_thresholds",
    MetaData(),
    Column("swarm", String(255), primary_key=True),
    Column("gate", String(255), primary_key=True),
    # Of all the gate's checks together: who adds the next one has seen all before it.
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("check", String(255), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    # None: that of the gate as it is written.
    Column("threshold", Double),
    Column("before", Double, nullable=False),
    Column("written", Double, nullable=False),
    # In ISO 8601 and UTC.
    Column("at", String(64), nullable=False),
    Column("by", Text, nullable=False),
    Column("reason", Text),
    Column("rate", Double),
    Column("low", Double),
    Column("high", Double),
    Column("runs", Integer),
)


class ThresholdTable:
    """The versions of gates' thresholds in one database; made by whoever first writes to it.

    Once it was there its absence is an error, as is that of a SQLite file: whatever took it away
    must not loosen a gate. Each method blocks; `seconds` is how long a lock is waited for.
    """

    def __init__(self, database: URL | Engine, *, seconds: float) -> None:
        self._table = KeptTable(database, _TABLE, seconds=seconds)

    def rows(self, swarm: str | None, gates: Sequence[str]) -> list[Change]:
        """All versions of these gates, in order; refused as malformed where one is none."""
        if not self._table.is_there():
            return []
        columns = _TABLE.c
        wanted = select(_TABLE).where(columns.swarm == (swarm or ""), columns.gate.in_(gates))
        wanted = wanted.order_by(columns.gate, columns.version)
        with self._table.missed():
            try:
                found = self._table.read(wanted)
            except DBAPIError as error:
                if not error.connection_invalidated:
                    raise
                # The server was started anew since.
                found = self._table.read(wanted)
        return [parsed(row) for row in found]

    def add(self, changes: Sequence[Change]) -> None:
        """Write `changes`, all or none; refused as overtaken where another took their versions."""
        if not self._table.is_there():
            self._table.make()
            self._table.seen = True
        try:
            with self._table.missed(), self._table.writing() as connection:
                connection.execute(_TABLE.insert(), [packed(each) for each in changes])
        except IntegrityError:
            first = changes[0]
            raise AdjustmentRefused(
                "overtaken",
                f"version {first.version} of the thresholds of {first.gate!r} was written by "
                "somebody else meanwhile: look at them, and decide again",
            ) from None
