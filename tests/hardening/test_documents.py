"""Documents that people write: within limits, and of plain data alone, whoever reads them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from agno_portkey.cli.plain import read_plain
from agno_portkey.documents import MAX_BYTES, MAX_DEPTH, compose, parse, read_text
from agno_portkey.errors import ConfigurationError
from agno_portkey.guardrails.pii.recognition import _document
from agno_portkey.policy import Policy
from agno_portkey.routing.config.files import from_yaml, read_yaml

LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{name}: &{name} [*{before}, *{before}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
ITSELF = "a: &a [*a]"

Reader = Callable[[Path], Any]
READERS: dict[str, Reader] = {
    "policy": Policy.from_yaml,
    "route": from_yaml,
    "plain": read_plain,
    "recognizers": _document,
    "yaml": lambda path: read_yaml(path, root="it", what="it"),
}


def deep(levels: int, form: int) -> str:
    if form == 0:
        return "[" * levels + "]" * levels
    if form == 1:
        return '{"a":' * levels + "1" + "}" * levels
    if form == 2:
        return "".join(f"{'  ' * level}a:\n" for level in range(min(levels, 300)))
    return "- " * levels + "x"


BAD = {
    "laughs": LAUGHS,
    "itself": ITSELF,
    "twice": "a: 1\na: 2",
    "twice in JSON": '{"a": {"b": 1, "b": 2}}',
    "an object": "!!python/object/apply:os.system ['true']",
    "a name": "a: !!python/name:os.system",
    "a day": "a: 2026-13-45",
    "a number": "a: " + "9" * 5000,
    "a truth": "a: !!bool x",
    "a time": "a: !!timestamp x",
    "null": "a: \x00",
    "open": "[" * 100_000,
    "open blocks": "- " * 100_000,
    "huge": "# " + "x" * MAX_BYTES,
    **{f"deep {form}": deep(100_000 // (1 + 9 * form), form) for form in range(4)},
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_refused_by_each_reader(reader: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / "it.yaml"
    path.write_text(BAD[name], encoding="utf-8")
    with pytest.raises(ConfigurationError):
        READERS[reader](path)


@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_text_or_no_file(reader: str, tmp_path: Path) -> None:
    path = tmp_path / "it.yaml"
    for at in (path, tmp_path):
        with pytest.raises(ConfigurationError):
            READERS[reader](at)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError):
        READERS[reader](path)


def test_a_pipe_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "it.yaml"
    os.mkfifo(path)
    assert read_text(path) == ""  # and nobody is waited for
    reading, writing = os.pipe()
    with open(writing, "w", encoding="utf-8") as file:
        file.write("a: 1")
    assert read_text(f"/dev/fd/{reading}") == "a: 1"
    os.close(reading)


def test_a_device_has_no_end_and_is_not_read_to_it() -> None:
    with pytest.raises(ConfigurationError, match="bytes at most"):
        read_text("/dev/zero")


@given(st.integers(1, 3 * MAX_DEPTH), st.integers(0, 3))
def test_depth_has_one_limit(levels: int, form: int) -> None:
    text = deep(levels, form)
    # A mapping's or list's last value is a level of its own.
    real = levels + (form in (1, 2, 3))
    for read in (parse, compose):
        if real <= MAX_DEPTH:
            read(text)
        else:
            with pytest.raises(ConfigurationError, match="nested too deeply"):
                read(text)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(PLAIN)
def test_plain_data_comes_back(data: Any) -> None:
    assert parse(json.dumps(data)) == data
    assert parse(yaml.safe_dump(data, allow_unicode=False)) == data


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda raw: raw.decode("latin-1")))
def test_any_text_is_read_or_refused(text: str) -> None:
    for read in (parse, compose):
        try:
            read(text)
        except ConfigurationError as error:
            assert str(error)  # noqa: PT017


@given(st.text("sk-proj0123456789", min_size=12, max_size=40))
def test_what_is_refused_is_not_quoted(secret: str) -> None:
    for text in (f"a: [{secret}", f"a: {secret}\na: 1", f"{secret}: *x", f"!!int {secret}"):
        try:
            parse(text)
        except ConfigurationError as error:
            assert secret not in str(error)  # noqa: PT017
