"""The spans that a telemetry exported, as a tree."""

from __future__ import annotations

from collections.abc import Iterator

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from agno_portkey.telemetry import Telemetry, names


class Seen:
    """What was exported since it was last looked at."""

    def __init__(self, telemetry: Telemetry, exporter: InMemorySpanExporter) -> None:
        self.telemetry, self.exporter = telemetry, exporter

    def spans(self) -> Spans:
        """Those that have ended; they are not seen again."""
        assert self.telemetry.flush()
        spans = self.exporter.get_finished_spans()
        self.exporter.clear()
        return Spans(spans)


class Spans:
    def __init__(self, spans: tuple[ReadableSpan, ...]) -> None:
        self.all = sorted(spans, key=lambda span: span.start_time or 0)
        self._by_id = {span.context.span_id: span for span in spans}

    def __iter__(self) -> Iterator[ReadableSpan]:
        return iter(self.all)

    def named(self, start: str) -> list[ReadableSpan]:
        return [span for span in self.all if span.name.startswith(start)]

    def parent(self, span: ReadableSpan) -> ReadableSpan | None:
        return self._by_id[span.parent.span_id] if span.parent is not None else None

    @property
    def traces(self) -> int:
        return len({span.context.trace_id for span in self.all})

    @property
    def roots(self) -> list[str]:
        return [span.name for span in self.all if self.parent(span) is None]

    def edges(self) -> set[tuple[str, str]]:
        """Which kind of span stands in which: the first words of their names."""
        return {(_kind(parent), _kind(span)) for span in self.all if (parent := self.parent(span))}

    def tokens(self) -> tuple[int, int]:
        """The sums of what all spans say was used."""
        both = (names.INPUT_TOKENS, names.OUTPUT_TOKENS)
        put_in, out = (sum(_figure(span, name) for span in self.all) for name in both)
        return put_in, out

    def failed(self) -> list[str]:
        return [span.name for span in self.all if span.status.status_code.name == "ERROR"]


def attribute(span: ReadableSpan, name: str) -> object:
    return (span.attributes or {}).get(name)


def _figure(span: ReadableSpan, name: str) -> int:
    value = attribute(span, name)
    return value if isinstance(value, int) else 0


def _kind(span: ReadableSpan) -> str:
    return span.name.split(" ")[0]
