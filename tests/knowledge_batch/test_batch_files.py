"""Result files that are cut off, or lie: no answer is lost, doubled or misplaced."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent
from batch_forms import (
    INPUTS,
    RIGHT,
    Jobs,
    Line,
    Models,
    agent,
    said,
    through,
    through_one,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from agno_portkey import PortkeyModel
from agno_portkey.errors import (
    BadResponse,
    ConfigurationError,
    GatewayError,
    UpstreamFailed,
)
from agno_portkey.knowledge import BatchJob
from agno_portkey.testing import EmbeddedProvider, Fault, Reply


@pytest.mark.parametrize("clean", [True, False])
def test_a_file_that_is_cut_off_is_read_again(
    clean: bool, job: Jobs, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.cut(0.5, clean=clean), times=2, route="GET /files/")
    assert said(through(job)) == RIGHT


def test_of_several_reads_the_longest_counts(job: Jobs, portkey_provider: EmbeddedProvider) -> None:
    one = job()
    one.submit()
    portkey_provider.fault(Fault.cut(0.8, clean=True), times=1, route="GET /files/")
    portkey_provider.fault(Fault.cut(0.05, clean=True), times=2, route="GET /files/")
    # The lines are as long as each other, and the last ones are cut off.
    assert sum(output is not None for output in one.fetch().outputs) == 5


def test_what_stays_cut_off_is_missing_and_asked_again_alone(
    job: Jobs, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.cut(0.5, clean=True), times=None, route="GET /files/")
    one = job()
    one.submit()
    found = one.fetch()
    assert found.errors
    assert {type(error) for error in found.errors.values()} == {UpstreamFailed}
    assert found.foreign == 1
    assert all(said(found)[p] == (None if p in found.errors else RIGHT[p]) for p in range(7))
    again = one.fetch(retry=True)
    assert said(again) == RIGHT
    assert [*again.retried] == [*found.errors]
    assert sorted(call.last_user for call in portkey_provider.calls) == [
        INPUTS[place] for place in found.errors
    ]


def place_of(line: Line) -> int:
    return int(line["custom_id"].rpartition("-")[2])


@pytest.mark.parametrize(
    ("alter", "failed", "foreign"),
    [
        (lambda lines: lines[1:], {6: UpstreamFailed}, 0),
        (lambda lines: [*lines, *lines, lines[0]], {}, 0),
        (lambda lines: [*lines, {**lines[0], "id": "else"}], {6: BadResponse}, 0),
        (lambda lines: [{**lines[0], "error": {"code": 5}}, *lines], {6: BadResponse}, 0),
        (lambda lines: [{**line, "error": {}} for line in lines], {}, 0),
        (
            lambda lines: [{**line, "error": {"code": None, "message": ""}} for line in lines],
            {},
            0,
        ),
        (lambda lines: [{**lines[0], "error": {"code": 5}}, *lines[1:]], {6: UpstreamFailed}, 0),
        (lambda lines: [*lines, {**lines[0], "custom_id": "else-0"}], {}, 1),
        (lambda lines: [*lines, {**lines[0], "custom_id": 6}], {}, 1),
        (lambda lines: [*lines, "}{", "[1]", "null", "nan"], {}, 4),
        (lambda lines: [{**lines[0], "response": None}, *lines[1:]], {6: BadResponse}, 0),
        (lambda lines: [{**lines[0], "response": "x"}, *lines[1:]], {6: BadResponse}, 0),
        (
            lambda lines: [{**lines[0], "response": {"status_code": 200, "body": []}}, *lines[1:]],
            {6: BadResponse},
            0,
        ),
        (
            lambda lines: [{**lines[0], "response": {"status_code": 200, "body": {}}}, *lines[1:]],
            {6: BadResponse},
            0,
        ),
        (
            lambda lines: [{**lines[0], "response": {"status_code": "200"}}, *lines[1:]],
            {6: BadResponse},
            0,
        ),
        (
            lambda lines: [{**lines[0], "response": {"status_code": 302}}, *lines[1:]],
            {6: BadResponse},
            0,
        ),
        (lambda lines: [], dict.fromkeys(range(7), UpstreamFailed), 0),
        (lambda lines: ["<html>no</html>"], dict.fromkeys(range(7), UpstreamFailed), 1),
    ],
)
def test_a_lying_file_costs_only_whom_it_is_about(
    alter: Callable[[list[Line]], Iterable[Line | str]],
    failed: dict[int, type[Exception]],
    foreign: int,
    job: Jobs,
    portkey_provider: EmbeddedProvider,
) -> None:
    portkey_provider.batches.alter = alter
    found = through_one(job)
    assert {place: type(error) for place, error in found.errors.items()} == failed
    assert found.foreign == foreign
    assert said(found) == [None if p in failed else right for p, right in enumerate(RIGHT)]


def test_answers_of_another_part_are_foreign(job: Jobs, portkey_provider: EmbeddedProvider) -> None:
    seen: list[Line] = []

    def alter(lines: list[Line]) -> list[Line]:
        others, seen[:] = [*seen], lines
        return [*lines, *others]

    portkey_provider.batches.alter = alter
    found = through(job)
    assert (said(found), found.foreign) == (RIGHT, 4)


def test_the_name_of_the_model_that_answered_is_told(
    job: Jobs, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.reset()
    portkey_provider.when(lambda r: True, Reply("Well", model="cheaper-model"))
    found = through_one(job)
    assert found.models == ("cheaper-model",)
    assert {output.model for output in found.outputs} == {"cheaper-model"}


@pytest.mark.parametrize("tokens", [-5, -(10**30), "5", None])
def test_tokens_that_are_no_count_are_not_counted(
    tokens: Any, job: Jobs, portkey_provider: EmbeddedProvider
) -> None:
    def alter(lines: list[Line]) -> list[Line]:
        for line in lines:
            line["response"]["body"]["usage"]["total_tokens"] = tokens
        return lines

    portkey_provider.batches.alter = alter
    assert through_one(job).tokens == 0


def test_a_wrong_count_loses_nothing(job: Jobs, portkey_provider: EmbeddedProvider) -> None:
    for count in (0, 3, 10_000, "many", None):
        one = job()
        one.submit()
        one.status()
        [batch] = portkey_provider.batches.held.values()
        batch["request_counts"]["completed"] = count
        assert said(one.fetch()) == RIGHT


def test_an_answer_is_to_the_request_that_was_submitted(
    job: Jobs, model: Models, portkey_provider: EmbeddedProvider
) -> None:
    job().submit()
    swapped = [INPUTS[1], INPUTS[0], *INPUTS[2:]]
    found = job(inputs=swapped).fetch(retry=True)
    assert [*found.errors] == [0, 1]
    assert all(isinstance(error, ConfigurationError) for error in found.errors.values())
    assert said(found)[2:] == RIGHT[2:]
    assert portkey_provider.calls == []
    prompted = Agent(name="Writer", model=model(), telemetry=False, instructions="Lie.")
    assert len(job(prompted).fetch().errors) == 7
    with pytest.raises(ConfigurationError, match="of 7"):
        job(inputs=INPUTS[:3]).fetch()


@pytest.mark.parametrize("said", ["\ud800", float("nan"), 10**400])
def test_a_refusal_that_has_no_bytes_is_the_line_s_own(
    said: Any, job: Jobs, portkey_provider: EmbeddedProvider
) -> None:
    refused = {"status_code": 500, "body": {"error": {"message": said}}}
    portkey_provider.batches.alter = lambda lines: [{**lines[0], "response": refused}, *lines[1:]]
    found = through_one(job)
    assert {place: type(error) for place, error in found.errors.items()} == {6: UpstreamFailed}


def test_a_refusal_that_is_too_deep_is_the_line_s_own(
    model: Models, tmp_path: Path, portkey_provider: EmbeddedProvider
) -> None:
    """Of some depth it can be read, and not told again."""
    depths = range(880, 1000)

    def altered(line: Line) -> str:
        depth = depths[place_of(line)]
        said = json.dumps({**line, "response": {"status_code": 500, "body": {"error": 5}}})
        return said.replace('{"error": 5}', f'{{"error": {"[" * depth}{"]" * depth}}}')

    portkey_provider.batches.alter = lambda lines: [*map(altered, lines)]
    one = BatchJob(model(), [str(depth) for depth in depths], journal=tmp_path / "journal")
    one.submit()
    found = one.fetch()
    assert [*found.errors] == [*range(len(depths))]
    assert all(isinstance(error, GatewayError) for error in found.errors.values())


def test_an_answer_that_has_no_bytes_comes_as_by_a_call(
    job: Jobs, model: Models, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.reset()
    portkey_provider.when(lambda r: True, "half \ud83d of it")
    called = agent(model()).run(INPUTS[0]).content
    assert through_one(job).outputs[0].content == called


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["custom_id", "response", "error", "status_code", "body", "choices", "message"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@settings(max_examples=40)
@given(garbage=JSON, place=st.integers(0, 2), status=st.sampled_from([None, 200, 400, 500]))
def test_whatever_a_line_holds_the_others_come(
    garbage: Any, place: int, status: int | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    if status is not None:
        garbage = {"status_code": status, "body": garbage}

    def alter(lines: list[Line]) -> list[Line | str]:
        out: list[Line | str] = []
        for line in lines:
            mine = place_of(line) == place
            out.append(json.dumps({**line, "response": garbage}) if mine else line)
        return [*out, json.dumps(garbage)]

    with EmbeddedProvider() as provider:
        provider.batches.alter = alter
        asked = PortkeyModel(base_url=provider.url, api_key="k")
        path = tmp_path_factory.mktemp("job") / "journal"
        one = BatchJob(asked, INPUTS[:3], journal=path)
        one.submit()
        found = one.fetch()
        assert [p for p in range(3) if found.outputs[p] is not None] == [
            p for p in range(3) if p != place
        ]
        assert [*found.errors] == [place]
