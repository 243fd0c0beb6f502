"""Files and batches of the embedded provider: kept in memory, answered as chat completions are."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from email.parser import BytesParser
from typing import Any
from urllib.parse import parse_qs

from agno_portkey.testing.faults import Answer, error_answer
from agno_portkey.testing.requests import Request

__all__ = ["Batches"]

Line = dict[str, Any]
Answers = Callable[[Request], Awaitable[tuple[int, Any]]]

_OVER = ("completed", "failed", "expired", "cancelled")


class Batches:
    """The batches of a provider; each is over when it is first asked about, unless `by_hand`.

    By hand, one goes on with `advance`, and ends before its lines are done with `end`. `lines` are
    the requests of all lines that were answered. `alter` takes the lines of a result file, as
    mappings, and gives what is sent in their place: mappings, or texts that are no JSON.
    """

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._lock = threading.RLock()
        self._serials = itertools.count(1)
        self.by_hand = False
        self.files: dict[str, tuple[str, bytes]] = {}
        self.held: dict[str, dict[str, Any]] = {}
        self.lines: list[Request] = []
        self.alter: Callable[[list[Line]], Iterable[Line | str]] | None = None
        self._done: dict[str, list[Line]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def reset(self) -> None:
        """Forget files and batches."""
        with self._lock:
            self.files, self.held, self.lines, self._done = {}, {}, [], {}
            self.by_hand, self.alter = False, None

    # What a test says of a batch

    def advance(self, batch: str, status: str = "in_progress", *, lines: int = 0) -> None:
        """Have a batch go on to `status`, with its first `lines` answered; blocks."""
        if self._loop is None:
            raise RuntimeError("no batch was made yet")
        asyncio.run_coroutine_threadsafe(self._advance(batch, status, lines), self._loop).result()

    def end(self, batch: str, status: str, *, lines: int = 0, why: str = "") -> None:
        """End a batch as `expired`, `cancelled` or `failed`, with its first `lines` answered."""
        self.advance(batch, "finalizing", lines=lines)
        held = self.held[batch]
        if status == "failed":
            told = {"code": "invalid", "message": why or "The file is not valid.", "line": None}
            held["errors"] = {"object": "list", "data": [told]}
            held["status"] = status
            return
        for body in self._left(batch) if status != "completed" else ():
            error = {"code": f"batch_{status}", "message": why or f"The batch has {status}."}
            line = {"id": self._id("batch_req"), "custom_id": body["custom_id"], "response": None}
            self._done[batch].append({**line, "error": error})
        self._over(batch, status)

    # The routes

    async def answer(self, request: Request) -> Answer | None:
        """What is answered to a request about files or batches; None for any other."""
        self._loop = asyncio.get_running_loop()
        method, _, path = request.route.partition(" ")
        parts = path.strip("/").split("/")
        match method, parts:
            case "POST", ["files"]:
                return self._upload(request)
            case "GET", ["files", name, *rest] if rest in ([], ["content"]):
                return self._file(name, whole=bool(rest))
            case "POST", ["batches"]:
                return self._create(request)
            case "GET", ["batches"]:
                return self._listed(request)
            case ("GET", ["batches", name]) | ("POST", ["batches", name, "cancel"]):
                return await self._batch(name, cancel=method == "POST")
        return None

    def _upload(self, request: Request) -> Answer:
        fields = _form(request)
        if "file" not in fields or fields.get("purpose") != b"batch":
            return error_answer(400, "'file' and the purpose 'batch' are needed.")
        name = self._id("file")
        with self._lock:
            self.files[name] = ("input.jsonl", fields["file"])
        return self._file(name, whole=False)

    def _file(self, name: str, *, whole: bool) -> Answer:
        if name not in self.files:
            return error_answer(404, f"No such File object: {name}")
        title, content = self.files[name]
        if whole:
            return Answer((content,), content_type="application/octet-stream")
        told = {"id": name, "object": "file", "bytes": len(content), "filename": title}
        told |= {"created_at": int(time.time()), "purpose": "batch", "status": "processed"}
        return Answer.of_json(told)

    def _create(self, request: Request) -> Answer:
        body = request.body if isinstance(request.body, dict) else {}
        file = body.get("input_file_id")
        if file not in self.files:
            return error_answer(400, f"No such File object: {file}", param="input_file_id")
        batch = self._id("batch")
        told = {
            "id": batch,
            "object": "batch",
            "endpoint": body.get("endpoint"),
            "input_file_id": file,
            "completion_window": body.get("completion_window"),
            "status": "validating",
            "created_at": int(time.time()),
            "metadata": body.get("metadata"),
            "output_file_id": None,
            "error_file_id": None,
            "errors": None,
            "request_counts": {"total": 0, "completed": 0, "failed": 0},
        }
        with self._lock:
            self.held[batch] = told
            self._done[batch] = []
        return Answer.of_json(told)

    def _listed(self, request: Request) -> Answer:
        asked = parse_qs(request.query)
        found = [*self.held.values()][::-1]
        if after := asked.get("after"):
            names = [each["id"] for each in found]
            found = found[names.index(after[0]) + 1 :]
        limit = int(asked.get("limit", ["20"])[0])
        page = found[:limit]
        told = {"object": "list", "data": page, "has_more": len(found) > limit}
        told |= {"first_id": page[0]["id"], "last_id": page[-1]["id"]} if page else {}
        return Answer.of_json(told)

    async def _batch(self, name: str, *, cancel: bool) -> Answer:
        if name not in self.held:
            return error_answer(404, f"No batch found with id '{name}'.")
        if cancel:
            self.held[name]["status"] = "cancelling"
        elif not self.by_hand and self.held[name]["status"] not in _OVER:
            await self._advance(name, "completed", 10**9)
        return Answer.of_json(self.held[name])

    # A batch on its way

    async def _advance(self, batch: str, status: str, lines: int) -> None:
        self.held[batch]["status"] = status
        for body in self._left(batch)[: max(0, lines - len(self._done[batch]))]:
            self._done[batch].append(await self._answered(body))
        self._count(batch, len(self._left(batch)) + len(self._done[batch]))
        if status == "completed":
            self._over(batch, status)

    async def _answered(self, body: Line) -> Line:
        said = json.dumps(body["body"]).encode()
        path, at = f"/v1{body['url'].removeprefix('/v1')}", time.monotonic()
        request = Request(body["method"], path, {}, json.loads(said), at)
        self.lines.append(request)
        status, answer = await self._answers(request)
        serial = self._id("batch_req")
        response = {"status_code": status, "request_id": f"req-{serial}", "body": answer}
        return {"id": serial, "custom_id": body["custom_id"], "response": response, "error": None}

    def _left(self, batch: str) -> list[Line]:
        _, content = self.files[self.held[batch]["input_file_id"]]
        asked = [json.loads(line) for line in content.splitlines() if line.strip()]
        done = {line["custom_id"] for line in self._done[batch]}
        return [line for line in asked if line["custom_id"] not in done]

    def _over(self, batch: str, status: str) -> None:
        held, done = self.held[batch], self._done[batch]
        good = [line for line in done if _is_good(line)]
        bad = [line for line in done if not _is_good(line)]
        for slot, lines in (("output_file_id", good), ("error_file_id", bad)):
            if lines:
                name = held[slot] = self._id("file")
                # Backwards: the order of a batch's results is nobody's promise.
                self.files[name] = (f"{slot}.jsonl", self._written(lines[::-1]))
        self._count(batch, len(done))
        held["status"] = status

    def _written(self, lines: list[Line]) -> bytes:
        altered = self.alter(lines) if self.alter is not None else lines
        said = [line if isinstance(line, str) else json.dumps(line) for line in altered]
        return "".join(f"{line}\n" for line in said).encode()

    def _count(self, batch: str, total: int) -> None:
        done = self._done[batch]
        good = sum(map(_is_good, done))
        counts = {"total": total, "completed": good, "failed": len(done) - good}
        self.held[batch]["request_counts"] = counts

    def _id(self, kind: str) -> str:
        return f"{kind}_{next(self._serials)}"


def _is_good(line: Line) -> bool:
    return line["error"] is None and line["response"]["status_code"] == 200


def _form(request: Request) -> Mapping[str, bytes]:
    """The fields of a multipart form."""
    head = f"Content-Type: {request.headers.get('content-type', '')}\r\n\r\n".encode()
    body = request.body if isinstance(request.body, bytes) else b""
    fields = {}
    for part in BytesParser().parsebytes(head + body).walk():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(content, bytes):
            fields[name] = content
    return fields
