"""A model on loopback that breaks the first reply of each case, and none after it."""

from __future__ import annotations

import json
import re
import threading
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from agno_portkey.testing import EmbeddedProvider, Reply, Request, Usage
from agno_portkey.testing.replies import tokens
from agno_portkey.testing.requests import text_of
from benchmarks.contracts.cases import Case

__all__ = ["Bill", "ScriptedModel"]

_MARK = re.compile(r"\bcase-(\d+)\b")


@dataclass
class Bill:
    """The requests of one case, and their tokens: four characters each, a sent schema's too."""

    calls: int = 0
    tokens: int = 0


class ScriptedModel:
    """Speaks OpenAI's API at `url`; `bills` has what each case cost, by its number.

    A case's first request gets the broken reply, each further one the object that was meant: the
    model corrects itself as soon as it is asked to.
    """

    def __init__(self, cases: Sequence[Case]) -> None:
        self.cases = cases
        self._lock = threading.Lock()
        self._provider = EmbeddedProvider()
        self._provider.when(lambda request: True, self._answer)
        self.bills: dict[int, Bill] = defaultdict(Bill)

    def __enter__(self) -> Self:
        self._provider.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._provider.stop()
        # What went wrong in here would be counted against whoever asked.
        if error is None and self._provider.errors:
            raise self._provider.errors[0]

    @property
    def url(self) -> str:
        return self._provider.url

    @staticmethod
    def prompt(number: int) -> str:
        """What to ask for the reply of a case."""
        return f"Give me the object of case-{number}."

    def _answer(self, request: Request) -> Reply:
        asked = "".join(map(text_of, request.messages))
        mark = _MARK.search(asked)
        if mark is None:
            raise LookupError(f"no case is named in {asked!r}")
        number = int(mark[1])
        schema = [request.body[key] for key in ("response_format", "tools") if key in request.body]
        with self._lock:
            bill = self.bills[number]
            bill.calls += 1
            case = self.cases[number]
            text = case.text if bill.calls == 1 else case.whole
            sent = tokens(asked) + sum(tokens(json.dumps(each)) for each in schema)
            usage = Usage(sent, tokens(text))
            bill.tokens += usage.prompt_tokens + usage.completion_tokens
        return Reply(text, usage=usage)
