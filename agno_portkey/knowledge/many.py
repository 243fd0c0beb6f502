"""Many runs of one agent or team: some at a time, in order, and gone on with after a kill."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import Any
from uuid import uuid4

from agno.run.base import RunStatus
from rich.progress import Progress

from agno_portkey.calls import IO
from agno_portkey.drivers import AsyncIO
from agno_portkey.errors import AgnoPortkeyError, ConfigurationError
from agno_portkey.guardrails.refusals import raise_on_block
from agno_portkey.knowledge.journal import Journal
from agno_portkey.knowledge.spread import aspread, spread

__all__ = ["Many", "RunFailed", "arun_many", "run_many"]

Shows = Callable[[int, int], None]


class RunFailed(AgnoPortkeyError):
    """A run among many that did not complete; `output` is what the host says of it."""

    def __init__(self, message: str, output: Any) -> None:
        super().__init__(message)
        self.output = output


@dataclass(frozen=True, slots=True, repr=False)
class Many:
    """What came of many runs, in the order of their inputs.

    `outputs` has None where a run did not complete, and `errors` says why, by place: what it
    raised, the `Blocked` that refused it, or `RunFailed`. `resumed` were in the journal.
    """

    outputs: list[Any]
    errors: Mapping[int, Exception] = field(default_factory=dict)
    resumed: int = 0

    def __iter__(self) -> Iterator[Any]:
        return iter(self.outputs)

    def __len__(self) -> int:
        return len(self.outputs)

    def __repr__(self) -> str:
        return f"Many({len(self)} runs, {len(self.errors)} failed, {self.resumed} resumed)"

    def require(self) -> list[Any]:
        """The outputs, if all are there; else raises what kept the first one from being."""
        if self.errors:
            raise self.errors[min(self.errors)]
        return self.outputs


def run_many(
    agent: Any,
    inputs: Sequence[Any],
    *,
    concurrency: int = 8,
    journal: str | PathLike[str] | None = None,
    progress: Shows | bool = False,
    **options: Any,
) -> Many:
    """Run an agent or team on each of `inputs`, at most `concurrency` at once, on threads.

    One that fails is no obstacle to the others. With a `journal`, a file, each run is written down
    once it has completed, and whoever is given the same file and inputs again makes the other ones
    alone: after a kill as well. Another prompt, model id or option is another run. Outputs stand
    in it as they are. `progress` is True for a bar, or
    a function that is given how many are done, of how many. `options` go to each run; without a
    `session_id` each has a session of its own. Raises ConfigurationError for what can't be meant.
    """
    with _Runs(agent, inputs, concurrency, journal, progress, options) as runs:
        spread(runs.left, runs.one, workers=concurrency)
    return runs.result()


async def arun_many(
    agent: Any,
    inputs: Sequence[Any],
    *,
    concurrency: int = 8,
    journal: str | PathLike[str] | None = None,
    progress: Shows | bool = False,
    **options: Any,
) -> Many:
    """`run_many` on the running event loop."""
    with _Runs(agent, inputs, concurrency, journal, progress, options) as runs:
        await aspread(runs.left, runs.one, workers=concurrency)
    return runs.result()


class _Runs:
    """The runs of one call of `run_many`."""

    def __init__(
        self,
        agent: Any,
        inputs: Sequence[Any],
        concurrency: int,
        journal: str | PathLike[str] | None,
        progress: Shows | bool,
        options: dict[str, Any],
    ) -> None:
        if isinstance(inputs, str) or not isinstance(inputs, Sequence):
            raise ConfigurationError("inputs: a list, one input for each run")
        if isinstance(concurrency, bool) or not isinstance(concurrency, int) or concurrency < 1:
            raise ConfigurationError(f"concurrency: a whole number above 0, not {concurrency!r}")
        if wrong := {"stream", "stream_events", "background"} & options.keys():
            raise ConfigurationError(f"{min(wrong)}: a run among many is given as a whole")
        self._agent, self._inputs, self._options = agent, inputs, options
        self._journal = Journal(journal, agent, inputs, options) if journal is not None else None
        self._progress = progress
        self._bar: Progress | None = None
        self._outputs: dict[int, Any] = {}
        self._errors: dict[int, Exception] = {}
        self._resumed = 0

    def __enter__(self) -> _Runs:
        if self._journal is not None:
            self._outputs = dict(self._journal.open())
            self._resumed = len(self._outputs)
        self.left = [place for place in range(len(self._inputs)) if place not in self._outputs]
        self._shows = self._progress if callable(self._progress) else None
        if self._progress is True:
            bar = self._bar = Progress(transient=True)
            bar.start()
            task = bar.add_task("runs", total=len(self._inputs), completed=self._resumed)
            self._shows = lambda done, total: bar.update(task, completed=done)
        return self

    def __exit__(self, *raised: object) -> None:
        if self._bar is not None:
            self._bar.stop()
        if self._journal is not None:
            self._journal.close()

    async def one(self, place: int, io: IO) -> None:
        """The run at `place`; its error is noted, and is nobody else's."""
        # The host would put them all into one.
        options = {"session_id": self._session(place), **self._options}
        try:
            if isinstance(io, AsyncIO):
                output = await self._agent.arun(self._inputs[place], **options)
            else:
                output = self._agent.run(self._inputs[place], **options)
            self._outputs[place] = _completed(output)
        except Exception as error:
            self._errors[place] = error
        else:
            if self._journal is not None:
                journal = self._journal
                await io.run(lambda: journal.note(place, output))
        if self._shows is not None:
            self._shows(len(self._outputs) + len(self._errors), len(self._inputs))

    def _session(self, place: int) -> str:
        if self._journal is None:
            return f"many-{uuid4().hex}"
        # The same one where it is run anew.
        return self._journal.session_of(place)

    def result(self) -> Many:
        outputs = [self._outputs.get(place) for place in range(len(self._inputs))]
        return Many(outputs, dict(sorted(self._errors.items())), self._resumed)


def _completed(output: Any) -> Any:
    """`output`, if its run completed; raises what kept it from that."""
    raise_on_block(output)
    if output.status == RunStatus.cancelled and output.cancellation_stage is None:
        # The host takes Ctrl-C for the end of one run.
        raise KeyboardInterrupt
    if output.status != RunStatus.completed:
        said = output.content if isinstance(output.content, str) else ""
        raise RunFailed(f"the run ended {output.status.value}: {said}".rstrip(": "), output)
    return output
