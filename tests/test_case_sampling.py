"""The sample of a matrix of tests: the same every time, with each value of each parameter."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sampling import SMALL, long_tests, sampled

pytest_plugins = ["pytester"]


def cases(test: str, *sizes: int) -> list[Any]:
    made = []
    for values in product(*(range(size) for size in sizes)):
        ids = [f"v{value}" for value in values]
        callspec = SimpleNamespace(_idlist=ids)
        made.append(SimpleNamespace(nodeid=f"{test}[{'-'.join(ids)}]", callspec=callspec))
    return made


@given(st.lists(st.integers(1, 6), min_size=1, max_size=3), st.randoms())
def test_each_value_is_there_and_the_order_of_collection_does_not_matter(
    sizes: list[int], chance: Any
) -> None:
    held = cases("a.py::test_a", *sizes)
    chosen, left_out = sampled(held)
    assert len(chosen) + len(left_out) == len(held)
    assert [each for each in held if each in chosen] == chosen
    seen = [{each.callspec._idlist[axis] for each in chosen} for axis in range(len(sizes))]
    assert [len(values) for values in seen] == sizes
    shuffled = [*held]
    chance.shuffle(shuffled)
    assert {each.nodeid for each in sampled(shuffled)[0]} == {each.nodeid for each in chosen}


def test_a_small_matrix_and_a_single_parameter_are_run_whole() -> None:
    small, long = cases("a.py::test_a", 2, SMALL // 2), cases("a.py::test_b", 30)
    plain = [SimpleNamespace(nodeid=f"a.py::test_{number}") for number in range(20)]
    held = [*small, *long, *plain]
    assert sampled(held) == (held, [])  # type: ignore[arg-type]


def test_of_a_long_matrix_as_many_cases_are_run_as_it_has_values() -> None:
    chosen, left_out = sampled(cases("a.py::test_a", 4, 10))
    assert (len(chosen), len(left_out)) == (10, 30)


def test_of_long_tests_one_case_each_is_run_and_not_the_same_of_all() -> None:
    held = [case for test in "abcdefgh" for case in cases(f"a.py::test_{test}", 2, 4)]
    chosen, left_out = sampled(held, [f"a.py::test_{test}" for test in "abcdefg"])
    assert len(left_out) == 7 * 7
    of_long = [each for each in chosen if "test_h" not in each.nodeid]
    assert len(of_long) == len({each.nodeid[:12] for each in of_long}) == 7
    assert len({each.nodeid[12:] for each in of_long}) > 2


def test_each_of_the_long_tests_is_there() -> None:
    root = Path(__file__).parent.parent
    for test in sorted(long_tests()):
        file, _, name = test.partition("::")
        assert re.search(rf"^(async )?def {name}\(", (root / file).read_text(), re.M), test


@pytest.mark.parametrize("form", ["{} [{}]", "{} / {}"])
def test_an_id_of_several_values_is_taken_for_them(form: str) -> None:
    ids = [form.format(way, mode) for way, mode in product("abcdefgh", ("run", "arun"))]
    held: list[Any] = [
        SimpleNamespace(nodeid=f"a.py::test_a[{each}]", callspec=SimpleNamespace(_idlist=[each]))
        for each in ids
    ]
    chosen, _ = sampled(held)
    assert len(chosen) == 8
    assert {each.callspec._idlist[0][0] for each in chosen} == set("abcdefgh")
    assert {"arun" in each.callspec._idlist[0] for each in chosen} == {True, False}


def test_what_is_run_is_told_and_all_of_it_on_demand(pytester: pytest.Pytester) -> None:
    folder = "/".join(__file__.split("/")[:-1])
    pytester.makeconftest(
        f"""
        import importlib.util, sys
        sys.path.insert(0, {folder!r})
        spec = importlib.util.spec_from_file_location("outer_conftest", {folder + "/conftest.py"!r})
        outer = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(outer)
        pytest_addoption = outer.pytest_addoption
        pytest_collection_modifyitems = outer.pytest_collection_modifyitems
        """
    )
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("form", ["run", "arun", "stream", "astream"])
        @pytest.mark.parametrize("kind", range(10))
        def test_matrix(form, kind):
            pass
        """
    )
    told = pytester.runpytest_subprocess("-p", "no:agno_portkey", "-p", "no:cacheprovider")
    told.assert_outcomes(passed=10, deselected=30)
    told = pytester.runpytest_subprocess("--all-cases", "-p", "no:cacheprovider")
    told.assert_outcomes(passed=40)
    named = "test_what_is_run_is_told_and_all_of_it_on_demand.py::test_matrix[0-run]"
    pytester.runpytest_subprocess(named, "-p", "no:cacheprovider").assert_outcomes(passed=1)
