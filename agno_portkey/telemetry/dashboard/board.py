"""`Board`: the points of an Agno database, kept up with its spans, and what is asked of them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.exc import OperationalError

from agno_portkey.errors import ConfigurationError
from agno_portkey.sql import SqlTable, in_memory, source_of, trouble_of
from agno_portkey.telemetry.dashboard.filling import Filling, spans_table
from agno_portkey.telemetry.dashboard.panels import BY, PANELS
from agno_portkey.telemetry.dashboard.points import TABLE
from agno_portkey.telemetry.dashboard.ranges import Asked
from agno_portkey.telemetry.dashboard.runs import runs_behind, waterfall

__all__ = ["Board"]

# Sets of names that filters are offered.
_NAMES = 1_000
# How far a quantile may be from the true one.
_EXACT = 0.01


class Board:
    """Panels of the spans in `db`: Agno's SqliteDb or PostgresDb that `telemetry.setup` was given.

    It keeps the points of spans in a table of its own there, `agno_portkey_points`, which each
    answer brings up to date for at most `seconds`; runs do nothing for it. Each method blocks, and
    raises what the database does, WrongEnvironment for one of another environment among it. Any
    other database, and one in memory, is refused with a ConfigurationError.
    """

    def __init__(self, db: Any, *, seconds: float = 1.0) -> None:
        source = source_of(db) if not isinstance(db, str) else None
        name, schema = getattr(db, "span_table_name", None), getattr(db, "db_schema", None)
        url = source.url if isinstance(source, Engine) else source
        dialect = make_url(url).get_backend_name() if url is not None else ""
        if dialect not in ("sqlite", "postgresql") or source is None or not name:
            raise ConfigurationError(
                f"db: Agno's SqliteDb or PostgresDb that telemetry.setup writes to, not "
                f"{type(db).__name__}"
            )
        if in_memory(source):
            raise ConfigurationError("db: one in memory is seen by nobody else; give it a file")
        self._points = SqlTable(source, TABLE, seconds=5.0)
        self._spans = spans_table(name, schema if dialect == "postgresql" else None)
        self._filling = Filling(self._points, self._spans, dialect=dialect)
        self._seconds = seconds

    def begin(self) -> None:
        """Catch up in a thread with all that is there; what fails then is left for answers."""
        with suppress(RuntimeError):  # the system has no thread: answers catch up by themselves
            threading.Thread(target=self._begin, daemon=True, name="agno-portkey-points").start()

    def catch_up(self, seconds: float | None = None) -> int:
        """Take over new spans, for about so long; how many are left."""
        return self._filling.catch_up(self._seconds if seconds is None else seconds)

    def forget(self, before: datetime) -> int:
        """Take away points of what began before then, for good; how many there were."""
        return self._filling.forget(before)

    def panel(self, name: str, asked: Asked, by: str = BY[0]) -> dict[str, Any]:
        """One of `PANELS` as JSON types: its `groups`, each with a `key`, `totals` and `series`.

        Series have a value for each of `times` (milliseconds since 1970, `step` apart), None where
        nothing was; key "" is of no name, None of all that are `left_out`. Quantiles are within
        `exact` of the true ones. `behind` spans are not counted yet; without `spans` nobody has
        ever written one.
        """
        panel = PANELS[name]
        told = self._kept_up(asked)
        return {
            "panel": name,
            **told,
            "times": asked.times,
            "step": asked.step,
            "units": dict(panel.units),
            "exact": _EXACT,
            **panel.ask(self._read, asked, by),
        }

    def runs(
        self,
        name: str,
        asked: Asked,
        by: str = BY[0],
        key: str | None = None,
        of: str | None = None,
    ) -> dict[str, Any]:
        """The runs behind the figures of a panel: under a `key` and an outcome, or of all."""
        told = self._kept_up(asked)
        return {"panel": name, **told, **runs_behind(self._read, PANELS[name], asked, by, key, of)}

    def run(self, trace_id: str) -> dict[str, Any] | None:
        """The spans of one run as they stand in Agno's table; None where there are none."""
        if not self._filling.has_spans():
            return None
        return waterfall(self._read, self._spans, trace_id)

    def filters(self) -> Mapping[str, Any]:
        """The names that points bear, by which they can be filtered, and when the first one was."""
        self._kept_up(None)
        c, of = TABLE.c, ("swarm", "role", "environment")
        # Calls bear all that there is, and are few of the points.
        ours = c.kind.in_(("call", "run"))
        named = self._read(select(*(c[name] for name in of)).where(ours).distinct().limit(_NAMES))
        first = self._read(select(func.min(c.at)).where(ours))[0][0]
        return {
            **{
                f"{name}s": sorted({row[place] for row in named} - {None})
                for place, name in enumerate(of)
            },
            "since": None if first is None else int(first),
        }

    def _kept_up(self, asked: Asked | None) -> dict[str, Any]:
        try:
            behind: int | None = self.catch_up()
        except OperationalError as error:
            # Who writes holds it: what is there already can be read.
            if trouble_of(error) != "it is locked":
                raise
            behind = None
        told = {"behind": behind, "spans": self._filling.has_spans()}
        return told if asked is None else {"since": asked.since, "until": asked.until, **told}

    def _begin(self) -> None:
        try:
            while self.catch_up(60.0):
                pass
        except Exception as error:
            logger = logging.getLogger("agno_portkey")
            logger.warning("dashboard: it could not catch up (%s)", type(error).__name__)

    def _read(self, wanted: Any) -> Sequence[Any]:
        with self._points.missed():
            return self._points.read(wanted)
