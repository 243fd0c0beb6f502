"""A telemetry that keeps what it exports in memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from seen_spans import Seen

from agno_portkey import telemetry


@pytest.fixture
def seen() -> Iterator[Seen]:
    exporter = InMemorySpanExporter()
    with telemetry.setup(exporters=[exporter]) as held:
        yield Seen(held, exporter)
