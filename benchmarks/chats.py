"""Many chats at once with the playground: `make bench-chats`, `ARGS="--seconds 3 --chats 5"`.

Each chat is a user who asks, reads the answer's stream to its end, thinks, and asks again: mostly
an agent whose answers are kept for that user, sometimes the release team behind its gate. Each
question carries a nonce, which the answer has to carry. The same agent and team then answer as
many without us: Agno's own model, ungoverned, in a bare AgentOS. The provider and the server are
processes of their own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from typing import Any

import httpx

_NONCE = re.compile(r"n[0-9a-f]{12}")
# Of the questions: how many are asked again by who has asked them, and how many are for the team.
_AGAIN, _RELEASES = 0.6, 0.1
_START, _ANSWER = 60.0, 60.0


# The provider


def provide() -> None:
    """The models of both, until this process is ended; every twentieth plan is a bad one."""
    from agno_portkey.testing import EmbeddedProvider, Reply
    from agno_portkey.testing.provider import Request
    from agno_portkey.testing.story import FLAWED, SOUND, tell

    chance = random.Random(7)

    def is_lead(request: Request) -> bool:
        return "delegate_task_to_member" in request.tools and "runner" in _asked(request)

    def last_word(request: Request) -> Reply:
        return Reply(f"Released, {_nonce(request)}.")

    def plan(request: Request) -> Any:
        good = "Plan again" in request.last_user or chance.random() > 0.05
        return SOUND if good else FLAWED

    with EmbeddedProvider() as provider:
        provider.when("You are the desk", lambda r: Reply(f"The answer to {_nonce(r)} is yes."))
        provider.when(lambda r: r.schema_name == "Plan", plan)
        provider.when(lambda r: is_lead(r) and not _refused(r), last_word)
        tell(provider)
        print(provider.url, flush=True)
        sys.stdin.read()


def _asked(request: Any) -> str:
    calls = [call for message in request.messages for call in message.get("tool_calls") or ()]
    return json.dumps(calls[-1:])


def _refused(request: Any) -> bool:
    return any(said in request.tool_results[-1] for said in ("may not run", "Refused by the gate"))


def _nonce(request: Any) -> str:
    said = json.dumps([m.get("content") for m in request.messages if m.get("role") == "user"])
    return str((_NONCE.findall(said) or ["none"])[-1])


# The server


def serve(port: int, provider: str, folder: Path, kind: str) -> None:
    """The app, or a bare AgentOS with the same agent and team, until this process is ended."""
    import uvicorn
    from agno.agent import Agent
    from agno.db.sqlite import SqliteDb
    from agno.models.openai.like import OpenAILike
    from agno.os import AgentOS

    from agno_portkey import Gate, PortkeyModel, govern, playground
    from agno_portkey.cache import CachePolicy
    from agno_portkey.testing.story import Release, release_team

    ours = kind == "ours"
    model: Any = (
        PortkeyModel(base_url=provider, api_key="x")
        if ours
        else OpenAILike(id="gpt-4o-mini", base_url=provider, api_key="x")
    )
    db = SqliteDb(id="main", db_file=str(folder / f"{kind}.db"))
    desk = Agent(id="desk", name="Desk", model=model, db=db, instructions="You are the desk.")
    team = release_team(model, Release(), id="release", db=db)
    if ours:
        kept = CachePolicy(kind="exact", scope="user", store=str(folder / "cache.db"))
        govern(desk, cache={"Desk": kept})
        govern(team, runner="Runner", gate=Gate(name="release", min_score=8))
        app = playground.app([desk, team], db=db)
    else:
        app = AgentOS(agents=[desk], teams=[team], db=db, telemetry=False).get_app()
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", timeout_graceful_shutdown=2)


# The chats


@dataclass
class Tally:
    """What came of all chats; seconds by whom was asked, and how."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    outcomes: Counter[str] = field(default_factory=Counter)
    gates: Counter[bool] = field(default_factory=Counter)
    troubles: list[str] = field(default_factory=list)
    crossed: int = 0

    def note(self, kind: str, seconds: float) -> None:
        self.seconds.setdefault(kind, []).append(seconds)

    def p95(self, *kinds: str) -> float:
        all_of = sorted(s for kind in kinds or self.seconds for s in self.seconds.get(kind, []))
        return quantiles(all_of, n=20)[-1] if len(all_of) > 1 else max(all_of, default=0.0)


async def chat(url: str, until: float, think: float, seed: int, tally: Tally) -> None:
    """One user's chat, until the time is up; what is under way then is read to its end."""
    chance = random.Random(seed)
    user, known = f"user-{uuid.uuid4().hex[:8]}", list[str]()
    async with httpx.AsyncClient(base_url=url, timeout=_ANSWER, trust_env=False) as http:
        await asyncio.sleep(chance.random() * think)
        while time.monotonic() < until:
            again = bool(known) and chance.random() < _AGAIN
            team = not again and chance.random() < _RELEASES
            nonce = chance.choice(known) if again else f"n{uuid.uuid4().hex[:12]}"
            kind = "team" if team else "again" if again else "new"
            try:
                said, seconds = await _answer(http, team, nonce, user, tally)
            except (httpx.HTTPError, ValueError, KeyError) as error:
                tally.troubles.append(f"{kind}: {error!r}")
                continue
            tally.note(kind, seconds)
            if set(_NONCE.findall(said)) != {nonce}:
                tally.crossed += 1
                tally.troubles.append(f"{kind}: asked with {nonce}, and was told {said[:80]!r}")
            if not team and not again:
                known.append(nonce)
            await asyncio.sleep(chance.expovariate(1 / think) if think else 0)


async def _answer(
    http: httpx.AsyncClient, team: bool, nonce: str, user: str, tally: Tally
) -> tuple[str, float]:
    """What the one who was asked said at last, and the seconds to the end of the stream."""
    path = "/teams/release/runs" if team else "/agents/desk/runs"
    what = "Ship release 2.1 to staging" if team else "Is it so"
    form = {
        "message": f"{what}, {nonce}?",
        "stream": "true",
        "background": "true",
        "user_id": user,
        "session_id": f"{user}-{uuid.uuid4().hex[:8]}",
    }
    whole, run_id, last = "", "", ""
    begun = time.monotonic()
    async with http.stream("POST", path, data=form) as response:
        response.raise_for_status()
        async for line in response.aiter_lines():
            if not line.startswith("data: "):
                continue
            event = json.loads(line.removeprefix("data: "))
            run_id, last = run_id or event["run_id"], event["event"]
            if last == ("TeamRunContent" if team else "RunContent"):
                whole += str(event.get("content") or "")
            if last == ("TeamRunError" if team else "RunError"):
                raise ValueError(f"ended with {event.get('content')!r}")
    if last != ("TeamRunCompleted" if team else "RunCompleted"):
        raise ValueError(f"the stream ended with {last}, before the run did")
    seconds = time.monotonic() - begun
    await _read_again(http, path, run_id, form["session_id"], tally)
    return whole, seconds


async def _read_again(
    http: httpx.AsyncClient, path: str, run_id: str, session: str, tally: Tally
) -> None:
    """What observers heard of the run, which its own stream has, and this response has not."""
    form = {"session_id": session}
    async with http.stream("POST", f"{path}/{run_id}/resume", data=form) as response:
        async for line in response.aiter_lines():
            if line.startswith("data: ") and '"source":"agno_portkey"' in line:
                _count(json.loads(line.removeprefix("data: ")), tally)


def _count(event: dict[str, Any], tally: Tally) -> None:
    if event.get("kind") == "cache":
        tally.outcomes[event["data"]["outcome"]] += 1
    elif event.get("kind") == "gate":
        tally.gates[event["verdict"]["passed"]] += 1


# The run


async def _play(url: str, chats: int, seconds: float, think: float) -> Tally:
    tally = Tally()
    until = time.monotonic() + seconds
    await asyncio.gather(*(chat(url, until, think, seed, tally) for seed in range(chats)))
    return tally


@contextmanager
def _process(*args: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, __file__, *args]
    environment = {**os.environ, "AGNO_TELEMETRY": "false"}
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(10)


def _free() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _up(port: int) -> None:
    deadline = time.monotonic() + _START
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit("a process did not start in time")


def measure(kind: str, chats: int, seconds: float, think: float) -> Tally:
    """Begin a provider and a server of this kind, and have so many chats with it."""
    with tempfile.TemporaryDirectory() as folder:
        served = _free()
        with _process("--provide") as provider:
            assert provider.stdout is not None
            address = provider.stdout.readline().strip()
            with _process("--serve", str(served), address, folder, kind):
                _up(served)
                url = f"http://127.0.0.1:{served}"
                # The first of each imports and makes what the others find.
                asyncio.run(_play(url, 2, 0.5, 0.1))
                return asyncio.run(_play(url, chats, seconds, think))


def report(ours: Tally, bare: Tally) -> bool:
    """Print what came of it against the targets; whether nothing went wrong."""
    print(f"{'':<28}{'ours':>10}{'bare':>10}")
    for name, kinds in (
        ("a new question, p95 s", ("new",)),
        ("one asked again, p95 s", ("again",)),
        ("the release team, p95 s", ("team",)),
        ("all, p95 s", ()),
    ):
        print(f"{name:<28}{ours.p95(*kinds):>10.3f}{bare.p95(*kinds):>10.3f}")
    counts = [sum(map(len, each.seconds.values())) for each in (ours, bare)]
    print(f"{'answers':<28}{counts[0]:>10}{counts[1]:>10}")
    over = ours.p95("new") - bare.p95("new")
    print(f"p95 over bare AgentOS, of new questions: {over * 1000:+.0f} ms")
    looked = sum(ours.outcomes[each] for each in ("hit", "miss", "near", "shared"))
    hits = sum(ours.outcomes[each] for each in ("hit", "near", "shared"))
    rate, passed = _share(hits, looked), _share(ours.gates[True], sum(ours.gates.values()))
    wrong = len(ours.troubles)
    for name, found, target, good in (
        ("chats answered", f"p95 {ours.p95():.2f} s", "under 2 s", ours.p95() < 2),
        ("cache hits", f"{rate:.0%}", "over 40%", rate > 0.4),
        ("gate passes", f"{passed:.0%}", "over 85%", passed > 0.85),
        ("incidents", str(wrong), "0", not wrong),
        ("answers of another's", str(ours.crossed), "0", not ours.crossed),
    ):
        print(f"{name:<28}{found:>14}   target {target:<12}{'met' if good else 'missed'}")
    for trouble in (*ours.troubles, *bare.troubles)[:10]:
        print(f"  {trouble}")
    return not wrong and not bare.troubles


def _share(some: int, whole: int) -> float:
    return some / whole if whole else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chats", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--think", type=float, default=8.0, help="seconds between, on average")
    parser.add_argument("--provide", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--serve", nargs=4, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.provide:
        provide()
    elif asked.serve:
        port, provider, folder, kind = asked.serve
        serve(int(port), provider, Path(folder), kind)
    else:
        ours, bare = (
            measure(kind, asked.chats, asked.seconds, asked.think) for kind in ("ours", "bare")
        )
        if not report(ours, bare):
            raise SystemExit(1)


if __name__ == "__main__":
    main()
