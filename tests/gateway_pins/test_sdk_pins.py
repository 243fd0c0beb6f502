"""What this package relies on in Portkey's SDK: the names that `createHeaders` makes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from portkey_ai import createHeaders


@pytest.mark.parametrize(
    ("argument", "value", "header", "sent"),
    [
        ("api_key", "pk-1", "x-portkey-api-key", "pk-1"),
        ("virtual_key", "vk-1", "x-portkey-virtual-key", "vk-1"),
        ("config", "pc-1", "x-portkey-config", "pc-1"),
        ("provider", "openai", "x-portkey-provider", "openai"),
        ("custom_host", "http://h/v1", "x-portkey-custom-host", "http://h/v1"),
        ("trace_id", "t-1", "x-portkey-trace-id", "t-1"),
    ],
)
def test_texts_go_out_as_they_are(argument: str, value: str, header: str, sent: str) -> None:
    assert createHeaders(**{argument: value}) == {header: sent}, "model.py"


@pytest.mark.parametrize("argument", ["config", "metadata"])
def test_mappings_go_out_as_json(argument: str) -> None:
    value: dict[str, Any] = {"a": {"b": [1]}, "c": "d"}
    (sent,) = createHeaders(**{argument: value}).values()
    assert json.loads(sent) == value, "model.py sends config and metadata as mappings"


def test_header_names_of_mappings() -> None:
    headers = createHeaders(config={"a": 1}, metadata={"b": 2})
    assert set(headers) == {"x-portkey-config", "x-portkey-metadata"}, "model.py"


@pytest.mark.parametrize("empty", [None, "", [], 0])
def test_empty_values_are_dropped(empty: object) -> None:
    assert createHeaders(api_key=empty, provider="openai") == {"x-portkey-provider": "openai"}, (
        "model.py passes what is not set as it is"
    )


def test_an_empty_mapping_and_false_are_kept() -> None:
    assert createHeaders(metadata={}) == {"x-portkey-metadata": "{}"}, "model.py sends its tags so"
    assert createHeaders(debug=False) == {"x-portkey-debug": "false"}


def test_lists_are_not_json() -> None:
    (sent,) = createHeaders(config=[{"a": 1}]).values()
    assert sent == "[{'a': 1}]", "model.py takes mappings alone as a config"
