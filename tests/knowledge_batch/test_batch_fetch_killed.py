"""A fetch that is killed goes on where it was: no answer that was kept is asked for again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest
from batch_forms import Line, said

from agno_portkey import PortkeyModel
from agno_portkey.knowledge import BatchJob
from agno_portkey.testing import EmbeddedProvider

CHILD = dedent(
    """
    import json, os, signal, sys
    from agno_portkey import PortkeyModel
    from agno_portkey.knowledge import BatchJob
    from agno_portkey.knowledge.batch.retried import Retried

    url, folder, cases = sys.argv[1:]
    note = Retried._note

    def fetch(at, how):
        written = []

        def killing(self, place, answer):
            written.append(place)
            if len(written) == at:
                if how == "half":
                    real = os.write
                    def half(file, text):
                        real(file, text[: len(text) // 2])
                        os.kill(os.getpid(), signal.SIGKILL)
                    os.write = half
                if how != "before":
                    note(self, place, answer)
                os.kill(os.getpid(), signal.SIGKILL)
            return note(self, place, answer)

        Retried._note = killing
        model = PortkeyModel(base_url=url, api_key="k")
        inputs = [f"{at}-{how} {number}" for number in range(5)]
        job = BatchJob(model, inputs, journal=f"{folder}/{at}-{how}", concurrency=1)
        job.submit()
        job.fetch(retry=True)

    fetch(0, "warm")
    ended = []
    for at, how in json.loads(cases):
        if (child := os.fork()) == 0:
            fetch(at, how)
            os._exit(0)
        ended.append(os.waitpid(child, 0)[1])
    print(json.dumps(ended), file=sys.stderr)
    """
)
KILLS = [(at, how) for at in (1, 2, 3) for how in ("before", "half", "after")]


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedProvider]:
    def failing(lines: list[Line]) -> list[Line]:
        """The last three of five fail in the batch."""
        broken = {"status_code": 500, "body": {"error": {"message": "no"}}}
        return [{**line, "response": broken} if line["custom_id"][-1] in "234" else line
                for line in lines]  # fmt: skip

    with EmbeddedProvider() as made:
        made.batches.alter = failing
        yield made


@pytest.fixture(scope="module")
def folder(provider: EmbeddedProvider, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("killed")
    said = [sys.executable, "-c", CHILD, provider.url, str(folder), json.dumps(KILLS)]
    told = subprocess.run(said, check=True, timeout=100, stderr=subprocess.PIPE).stderr
    assert json.loads(told.splitlines()[-1]) == [signal.SIGKILL] * len(KILLS)
    return folder


@pytest.mark.parametrize(("at", "how"), KILLS)
def test_what_was_kept_is_not_asked_for_again(
    at: int, how: str, folder: Path, provider: EmbeddedProvider
) -> None:
    inputs = [f"{at}-{how} {number}" for number in range(5)]
    one = BatchJob(
        PortkeyModel(base_url=provider.url, api_key="k"), inputs, journal=folder / f"{at}-{how}"
    )
    for _ in range(2):
        found = one.fetch(retry=True)
        assert said(found) == [f"You said: {text}" for text in inputs]
    asked = [call.last_user for call in provider.calls if call.last_user in inputs]
    # The one that was under way when the kill came is lost, unless it was on the disk.
    lost = [] if how == "after" else [inputs[1 + at]]
    assert sorted(asked) == sorted([*inputs[2:], *lost])
