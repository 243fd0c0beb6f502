"""What a traceback with its variables would show."""

from __future__ import annotations

from collections.abc import Iterator


def variables(error: BaseException | None) -> Iterator[str]:
    """The variables of all frames of ours that an error, and whatever it came of, went through."""
    seen = set[int]()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield repr(error)
        trace = error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_globals["__name__"].startswith("agno_portkey"):
                yield from (repr(value) for value in trace.tb_frame.f_locals.values())
            trace = trace.tb_next
        error = error.__cause__ or error.__context__
