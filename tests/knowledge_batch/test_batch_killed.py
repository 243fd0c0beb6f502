"""A job goes on after a kill at any point, and nothing of it is sent twice or lost."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from agno.agent import Agent
from batch_forms import INPUTS, Jobs, Models, said

from agno_portkey import PortkeyModel
from agno_portkey.errors import ConfigurationError, UpstreamFailed
from agno_portkey.guardrails import Block, Passage, guard
from agno_portkey.knowledge import BatchJob
from agno_portkey.knowledge.batch.provider import JOB
from agno_portkey.testing import EmbeddedProvider, Fault

# Forks a process for each of the kills that it is told of: each writes a journal of its own.
CHILD = dedent(
    """
    import json, os, signal, sys
    from agno_portkey import PortkeyModel
    from agno_portkey.guardrails import Block, guard
    from agno_portkey.knowledge import BatchJob
    from agno_portkey.knowledge.batch.journal import JobJournal

    url, folder, cases = sys.argv[1:]
    write = JobJournal._write

    @guard
    def no_sixes(passage):
        return Block("no sixes") if "question 6" in passage.text else None

    def submit(at, how):
        written = []

        def killing(self, record):
            written.append(record)
            if len(written) != at:
                return write(self, record)
            if how == "half":
                real = os.write
                def half(file, text):
                    real(file, text[: len(text) // 2])
                    os.kill(os.getpid(), signal.SIGKILL)
                os.write = half
            if how != "before":
                write(self, record)
            os.kill(os.getpid(), signal.SIGKILL)

        JobJournal._write = killing
        model = PortkeyModel(base_url=url, api_key="k", guards=[no_sixes])
        inputs = [f"question {number}" for number in range(7)]
        BatchJob(model, inputs, journal=f"{folder}/{at}-{how}", max_lines=2).submit()

    # Once here, so that none of the others has to import what a run needs.
    submit(0, "warm")
    ended = []
    for at, how in json.loads(cases):
        if (child := os.fork()) == 0:
            submit(at, how)
            os._exit(0)
        ended.append(os.waitpid(child, 0)[1])
    print(json.dumps(ended), file=sys.stderr)
    """
)
# A job of three parts writes four records of each: the part, its file, that its batch is being
# made, and the batch. One before says what the job is, one who is refused, one behind that all
# is sent.
KILLS = [
    *((at, "after") for at in (1, 2, 3, 4, 5, 6, 10, 14)),
    *((at, "half") for at in (1, 2, 3, 4, 5, 6, 15)),
    *((at, "before") for at in (1, 6, 15)),
]
UNHARMED = (99, "before")


@guard
def no_sixes(passage: Passage) -> Block | None:
    return Block("no sixes") if "question 6" in passage.text else None


class Killed:
    """The journals that killed processes have left, and what they were killed by."""

    def __init__(self, provider: EmbeddedProvider, folder: Path) -> None:
        self.provider, self.folder = provider, folder
        cases = [*KILLS, UNHARMED]
        said = [sys.executable, "-c", CHILD, provider.url, str(folder), json.dumps(cases)]
        told = subprocess.run(said, check=True, timeout=100, stderr=subprocess.PIPE).stderr
        ended = json.loads(told.splitlines()[-1])
        self.signals = dict(zip(cases, ended, strict=True))

    def path(self, at: int, how: str) -> Path:
        return self.folder / f"{at}-{how}"


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killed]:
    with EmbeddedProvider() as provider:
        yield Killed(provider, tmp_path_factory.mktemp("killed"))


def texts_in_batches(provider: EmbeddedProvider) -> list[str]:
    return texts_in(provider, provider.batches.held.values())


def texts_in(provider: EmbeddedProvider, batches: Iterable[Any]) -> list[str]:
    files = [batch["input_file_id"] for batch in batches]
    lines = [line for name in files for line in provider.batches.files[name][1].splitlines()]
    return [json.loads(line)["body"]["messages"][0]["content"] for line in lines]


@pytest.mark.parametrize(("at", "how"), KILLS)
def test_a_kill_at_any_record_sends_nothing_twice(at: int, how: str, killed: Killed) -> None:
    assert killed.signals[at, how] == signal.SIGKILL
    path, provider = killed.path(at, how), killed.provider
    asked = PortkeyModel(base_url=provider.url, api_key="k", guards=[no_sixes])
    one = BatchJob(asked, INPUTS, journal=path, max_lines=2)
    status = one.submit()
    assert (len(status.parts), status.refused, status.submitted) == (3, 1, True)
    mine = [b for b in provider.batches.held.values() if b["metadata"][JOB] == status.job]
    assert len(mine) == 3
    assert sorted(texts_in(provider, mine)) == INPUTS[:6]
    found = one.fetch()
    assert said(found) == [*(f"You said: {text}" for text in INPUTS[:6]), None]
    assert [*found.errors] == [6]


def test_a_process_that_is_not_killed_writes_as_many_records(killed: Killed) -> None:
    """So the kills above are at all kinds of records."""
    assert killed.signals[UNHARMED] == 0
    text = killed.path(*UNHARMED).read_text()
    kinds = [next(iter(json.loads(line))) for line in text.splitlines()]
    part = ["part", "uploaded", "creating", "created"]
    assert kinds == ["journal", "refused", *part, *part, *part, "whole"]
    assert len(kinds) == 15


def test_submitting_again_sends_nothing(job: Jobs, portkey_provider: EmbeddedProvider) -> None:
    first = job(max_lines=3).submit()
    asked = len(portkey_provider.requests)
    assert job(max_lines=2).submit() == first
    assert len(portkey_provider.requests) == asked


def test_two_at_once_are_kept_apart(
    model: Models, portkey_provider: EmbeddedProvider, tmp_path: Path
) -> None:
    path = tmp_path / "journal"
    refused: list[str] = []

    def second(done: int, total: int) -> None:
        # While the first is at it.
        if not refused:
            with pytest.raises(ConfigurationError, match="another process is at") as caught:
                BatchJob(model(), INPUTS, journal=path).submit()
            refused.append(str(caught.value))

    BatchJob(model(), INPUTS, journal=path, progress=second).submit()
    assert len(refused) == 1
    assert sorted(texts_in_batches(portkey_provider)) == INPUTS


def test_whoever_is_refused_leaves_the_journal_to_whoever_is_at_it(
    model: Models, portkey_provider: EmbeddedProvider, tmp_path: Path
) -> None:
    """One job in the hands of two threads."""
    refused: list[ConfigurationError] = []

    def second(done: int, total: int) -> None:
        if not refused:
            with pytest.raises(ConfigurationError, match="another process is at") as caught:
                one.submit()
            refused.append(caught.value)

    one = BatchJob(model(), INPUTS, journal=tmp_path / "journal", progress=second)
    assert one.submit().submitted
    assert len(refused) == 1
    assert sorted(texts_in_batches(portkey_provider)) == INPUTS


def test_begun_with_other_inputs_it_is_refused(
    job: Jobs, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.status(400), times=None, route="POST /files")
    with pytest.raises(UpstreamFailed):
        job().submit()
    portkey_provider.clear_faults()
    with pytest.raises(ConfigurationError, match=r"inputs\[3\]"):
        job(inputs=[*INPUTS[:3], "else", *INPUTS[4:]]).submit()
    with pytest.raises(ConfigurationError, match="of 7 inputs, not 2"):
        job(inputs=INPUTS[:2]).submit()
    assert portkey_provider.batches.held == {}
    job().submit()
    assert sorted(texts_in_batches(portkey_provider)) == INPUTS


def test_what_was_not_submitted_is_not_fetched(
    job: Jobs, portkey_provider: EmbeddedProvider
) -> None:
    with pytest.raises(ConfigurationError, match="submit the batch first"):
        job().fetch()
    portkey_provider.fault(Fault.status(400), times=1, route="POST /batches")
    with pytest.raises(UpstreamFailed):
        job().submit()
    status = job().status()
    assert (status.state, status.over, status.submitted) == ("submitting", False, False)
    assert job().wait() == status
    with pytest.raises(ConfigurationError, match="submit it again"):
        job().fetch()


def test_between_two_parts_it_is_neither_over_nor_fetched(
    job: Jobs, tmp_path: Path, portkey_provider: EmbeddedProvider
) -> None:
    """All that the journal knows of is done; what it does not know of yet is not."""
    job(max_lines=4).submit()
    path = tmp_path / "job.journal"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:5]))
    status = job().status()
    assert [part.status for part in status.parts] == ["completed"]
    assert (status.state, status.over, status.submitted) == ("submitting", False, False)
    with pytest.raises(ConfigurationError, match="submit it again"):
        job().fetch()


def test_an_interrupt_is_no_refusal(model: Models, tmp_path: Path) -> None:
    """The host makes a cancelled run of Ctrl-C; here it ends all of it."""

    def interrupted() -> str:
        raise KeyboardInterrupt

    path = tmp_path / "journal"
    who = Agent(name="Writer", model=model(), telemetry=False, instructions=interrupted)
    with pytest.raises(KeyboardInterrupt):
        BatchJob(who, INPUTS[:1], journal=path, concurrency=1).submit()
    assert "refused" not in path.read_text()
