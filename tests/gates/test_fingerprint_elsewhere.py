"""The fingerprint of a team is the same in each process, and of a copy."""

from __future__ import annotations

import copy
import functools
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from agno.memory import MemoryManager
from fingerprint_scene import (
    BEFORE,
    Called,
    Mine,
    Own,
    Watcher,
    a_team,
    acting,
    deploy,
    governed,
    knowledge,
    made_of,
    model,
    other_deploy,
    runner,
)

from agno_portkey import Gate
from agno_portkey.fingerprint import fingerprint_of
from agno_portkey.gates.sampling import Sampling
from agno_portkey.guardrails import PIIGuardrail, SecretsGuardrail


def told() -> dict[str, str]:
    team = a_team()
    runner(team).tools = [deploy, made_of("def tool(x): return x in {'a', 'b', 'c'}"), Called()]
    team.members[0].additional_input = [{"a": {"x", "y", "z"}}]
    acts = acting(pre_hook=deploy, tool_hooks=[other_deploy], requires_confirmation=True)
    runner(team).tools.append(acts)  # type: ignore[union-attr]
    for member in team.members:
        member.pre_hooks = [Mine(["a"]), Watcher().watch, PIIGuardrail()]
        member.post_hooks = [deploy, functools.partial(deploy, version="1")]
        member.session_state = {"a": {"x", "y", "z"}}
        member.memory_manager = MemoryManager(model=model())
        member.knowledge = knowledge("plans")
    gate = Gate(checks=(Own(),), sampling=Sampling())
    guards = [Mine(["a"]), SecretsGuardrail(), PIIGuardrail()]
    found = fingerprint_of(team, (gate,), guards, runner="Runner")
    return {"": found.digest, **found.parts, "governed": governed().digest}


def test_it_is_the_same_in_each_process() -> None:
    here = Path(__file__)
    code = f"import sys, json; sys.path.insert(0, {str(here.parent)!r}); import {here.stem} as t; "
    ends = []
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "AGNO_TELEMETRY": "false"}
        command = [sys.executable, "-c", code + "print(json.dumps(t.told()))"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        ends.append(json.loads(done.stdout.splitlines()[-1]))
    assert ends[0] == ends[1] == told()


def test_a_copy_has_the_same() -> None:
    assert fingerprint_of(copy.deepcopy(a_team()), (Gate(),)) == BEFORE
    assert fingerprint_of(a_team(), [Gate()]) == BEFORE


def test_what_it_takes_is_told() -> None:
    team, count = a_team(), 50
    began = time.perf_counter()
    for _ in range(count):
        fingerprint_of(team, (Gate(),))
    took = (time.perf_counter() - began) / count * 1000
    print(f"a fingerprint of a team of five takes {took:.2f} ms")
