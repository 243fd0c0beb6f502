"""`audit_router`: an audit log, page by page and verified, as routes of AgentOS or FastAPI."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from agno_portkey.errors import ConfigurationError
from agno_portkey.security.access.scopes import AUDIT
from agno_portkey.serving.bodies import answering
from agno_portkey.serving.callers import Caller, Doors, problem
from agno_portkey.verdict import Observer, check_observers

if TYPE_CHECKING:
    from auditchain import AuditRecord

    from agno_portkey.telemetry.audit.keys import Key

__all__ = ["audit_router"]

# Of one page: lines that are looked through, and bytes of those that are shown.
_LINES, _BYTES = 20_000, 4 << 20
_Text = Annotated[str | None, Field(max_length=255)]


class _Asked(BaseModel):
    """Which records are asked for; `before` is the `next` of the page above."""

    model_config = ConfigDict(extra="forbid")

    kind: _Text = None
    by: _Text = None
    user_id: _Text = None
    role: _Text = None
    swarm: _Text = None
    run_id: _Text = None
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    before: int | None = Field(default=None, ge=0, lt=1 << 62)
    limit: int = Field(default=100, ge=1, le=500)

    def fits(self, record: AuditRecord) -> bool:
        at = _time(record.timestamp)
        told, data = record.metadata, record.metadata.get("data")
        wanted = {name: getattr(self, name) for name in ("user_id", "role", "swarm", "run_id")}
        return (
            (self.kind is None or record.action == self.kind)
            # One of no time was written by somebody else, which is to be seen.
            and (self.since is None or at is None or at >= self.since)
            and (self.until is None or at is None or at < self.until)
            and (self.by is None or (isinstance(data, dict) and data.get("by") == self.by))
            and all(held is None or told.get(name) == held for name, held in wanted.items())
        )


def audit_router(
    path: str | os.PathLike[str],
    *,
    key: str | bytes | None = None,
    key_file: str | os.PathLike[str] | None = None,
    public_key: str | None = None,
    checkpoints: str | os.PathLike[str] | None = None,
    observers: Sequence[Observer] = (),
    tenant_claim: str = "tenant",
) -> APIRouter:
    """The routes of the log at `path`; the key and `checkpoints` are given as to `verify`.

    `GET /audit` shows records, the newest first: those of a `kind`, `by`, `user_id`, `role`,
    `swarm`, `run_id`, `since` and `until`, at most `limit` (500) of them, and `next`, which is the
    `before` of the page below; `sound` says whether a line is as it was sealed. `GET /audit/verify`
    reads all of it. Both take the scope `audit:read`, and a caller who is known. Callers see what
    is of the tenant that their token names under `tenant_claim`, by the tag of that name; who names
    none sees what is of none, and who is an administrator all of it. One that names a tenant can't
    have the log verified. `observers` hear of who is refused.
    """
    doors = Doors(check_observers(observers), False, tenant_claim)
    log = _Log(Path(path), (key, key_file, public_key), checkpoints, tenant_claim)
    router = APIRouter(tags=["Audit"])

    async def reader(request: Request) -> Caller:
        return await doors.caller(request, AUDIT)

    async def verifier(request: Request) -> Caller:
        return await doors.caller(request, AUDIT, of_all=True)

    may_read, may_verify = Depends(reader), Depends(verifier)

    @router.get("/audit", name="read_audit")
    def read_audit(asked: Annotated[_Asked, Query()], caller: Caller = may_read) -> dict[str, Any]:
        with _answering():
            return log.page(asked, caller)

    @router.get("/audit/verify", name="verify_audit")
    def verify_audit(caller: Caller = may_verify) -> dict[str, Any]:
        with _answering():
            return log.verified()

    return router


def _time(said: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(said)
    except ValueError:
        return None
    return at if at.tzinfo else None


@contextmanager
def _answering() -> Iterator[None]:
    with answering("the audit log"):
        try:
            yield
        except ConfigurationError as error:
            # It names files of the server's.
            logging.getLogger("agno_portkey").error("audit: %s", error)
            said = "the audit log, or its key, can't be read: see the server's log"
            raise problem(503, "audit", said) from error


@dataclass(frozen=True)
class _Kept:
    tenant: str | None
    user_id: str | None


@dataclass
class _Log:
    """A log that is read; each method blocks."""

    path: Path
    keys: tuple[Any, ...]
    checkpoints: Any
    tenant_tag: str
    _verifying: threading.Lock = field(default_factory=threading.Lock)

    def page(self, asked: _Asked, caller: Caller) -> dict[str, Any]:
        """Records from the end, or from before a line, downwards."""
        from agno_portkey.telemetry.audit.lines import opened, record_of, tail_of

        key, shown, size = self._key(), [], 0
        try:
            file = opened(self.path, "path")
        except FileNotFoundError:
            return {"records": [], "next": None}
        try:
            end = os.fstat(file).st_size
            at = end if asked.before is None else min(asked.before, end)
            lines = tail_of(file, at)
            # What follows the last line is not written yet.
            at -= len(next(lines))
            for count, line in enumerate(lines, 1):
                at -= len(line)
                told = self._told(key, record_of(line), asked, caller)
                if told is not None:
                    shown.append(told)
                    size += len(line)
                if len(shown) >= asked.limit or size >= _BYTES or count >= _LINES:
                    break
        finally:
            os.close(file)
        return {"records": shown, "next": at or None}

    def _told(
        self, key: Key, record: AuditRecord | None, asked: _Asked, caller: Caller
    ) -> dict[str, Any] | None:
        """One line as it is shown; None where it is not asked for, or not for the caller."""
        if record is None:
            # Whose it was nobody knows.
            return {"line": None, "sound": False} if caller.all else None
        if not caller.sees(self._whose(record)) or not asked.fits(record):
            return None
        return {
            "line": record.seq + 1,
            "recorded": record.timestamp,
            "kind": record.action,
            "record": record.metadata,
            "hash": record.hash,
            "sound": key.refusal(record) is None,
        }

    def _whose(self, record: AuditRecord) -> _Kept:
        told = record.metadata
        data, tags = told.get("data"), told.get("tags")
        if not isinstance(tags, dict):
            tags = data.get("tags") if isinstance(data, dict) else None
        tenant = tags.get(self.tenant_tag) if isinstance(tags, dict) else None
        return _Kept(tenant, told.get("user_id"))

    def verified(self) -> dict[str, Any]:
        """What `verify` says of all of it; one at a time, as it reads the whole file."""
        from agno_portkey.telemetry.audit.checking import Reading

        if not self._verifying.acquire(blocking=False):
            raise problem(409, "busy", "the log is being verified: ask again in a while")
        try:
            report = Reading(self.path, self._key(), self.checkpoints).run()
        finally:
            self._verifying.release()
        return {"ok": report.ok, **asdict(report), "path": self.path.name}

    def _key(self) -> Key:
        from agno_portkey.telemetry.audit import find_key

        key, key_file, public_key = self.keys
        return find_key(key, key_file, public_key=public_key)
