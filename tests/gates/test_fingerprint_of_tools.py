"""Tools and hooks in the fingerprint of a team: by what they do, and how they are run."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from agno.guardrails import PIIDetectionGuardrail
from agno.tools import Toolkit
from agno.tools.function import Function
from fingerprint_scene import (
    Called,
    Mine,
    Watcher,
    a_team,
    acting,
    changed_digest,
    deploy,
    differs,
    made_of,
    other_deploy,
    runner,
    setting,
)

from agno_portkey.fingerprint import fingerprint_of
from agno_portkey.guardrails import PIIGuardrail
from agno_portkey.run_facts import Fingerprint
from agno_portkey.testing.story import Release


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (deploy, other_deploy),
        (functools.partial(deploy, version="1"), functools.partial(deploy, version="2")),
        (Function(name="a", entrypoint=deploy), Function(name="a", entrypoint=other_deploy)),
        (Function(name="a", entrypoint=deploy), Function(name="b", entrypoint=deploy)),
        (Function(name="a"), Function(name="a", description="of a")),
        (Toolkit(tools=[deploy]), Toolkit(tools=[other_deploy])),
        (Called(), deploy),
    ],
)
def test_tools_are_told_apart_by_what_they_do(one: Any, two: Any) -> None:
    told = [changed_digest(setting(tools=[each])) for each in (one, two)]
    assert told[0] != told[1]
    assert told[0] == changed_digest(setting(tools=[one]))


class OtherWatcher(Watcher):
    pass


@pytest.mark.parametrize(
    "how",
    [
        {"requires_confirmation": True},
        {"requires_user_input": True, "user_input_fields": ["version"]},
        {"external_execution": True},
        {"requires_confirmation": True, "approval_type": "required"},
        {"stop_after_tool_call": True},
        {"instructions": "Use it.", "add_instructions": True},
        {"pre_hook": deploy},
        {"post_hook": deploy},
        {"post_hook": other_deploy},
        {"tool_hooks": [deploy]},
        {"tool_hooks": [deploy, other_deploy]},
        {"tool_hooks": [other_deploy, deploy]},
    ],
)
def test_how_a_tool_is_run_is_part_of_it(how: dict[str, Any]) -> None:
    ways = [{}, {"pre_hook": other_deploy}, {"requires_confirmation": True}]
    told = [changed_digest(setting(tools=[acting(**each)])) for each in ways if each != how]
    assert changed_digest(setting(tools=[acting(**how)])) not in told
    part = differs(*(_of_runner(acting(**each)) for each in (how, {})))
    assert part == {"Runner.tools"}


def _of_runner(tool: Function) -> Fingerprint:
    team = a_team()
    runner(team).tools = [tool]
    return fingerprint_of(team)


def test_hooks_are_told_apart_by_what_they_do_and_whose_they_are() -> None:
    hooks = [
        [deploy],
        [other_deploy],
        [deploy, other_deploy],
        [other_deploy, deploy],
        [Watcher().watch],
        [OtherWatcher().watch],
        [Mine(["a"])],
        [Mine(["b"])],
        [PIIGuardrail()],
        [PIIDetectionGuardrail(mask_pii=True)],
        [PIIDetectionGuardrail()],
    ]
    for place in ("pre_hooks", "post_hooks", "tool_hooks"):
        told = [changed_digest(setting(**{place: each, "tools": [deploy]})) for each in hooks]
        assert len(set(told)) == len(told)
        assert told == [changed_digest(setting(**{place: e, "tools": [deploy]})) for e in hooks]


def test_a_guardrail_is_the_same_by_whichever_of_its_methods_the_host_calls_it() -> None:
    mine = Mine(["a"])
    forms = ([mine], [mine.check], [mine.async_check])
    assert len({changed_digest(setting(pre_hooks=form)) for form in forms}) == 1


@pytest.mark.parametrize(
    "source",
    [
        "def tool(x): return 'b'",
        "def tool(x): return x in {'a', 'c'}",
        "def tool(x): return other(x)",
        "def tool(x): return lambda: 'a'",
        "def tool(x): return lambda: 'b'",
    ],
)
def test_a_function_without_a_source_is_told_by_its_instructions(source: str) -> None:
    first = changed_digest(setting(tools=[made_of("def tool(x): return 'a'")]))
    assert changed_digest(setting(tools=[made_of(source)])) != first
    twice = {changed_digest(setting(tools=[made_of(source)])) for _ in range(2)}
    assert len(twice) == 1


def test_the_order_of_tools_does_not_matter() -> None:
    one, two = [deploy, Release().run_tests], [Release().run_tests, deploy]
    assert changed_digest(setting(tools=one)) == changed_digest(setting(tools=two))
