"""What a provider calls itself goes to records that no guard looks at: it is a name, or dropped."""

from __future__ import annotations

import httpx
import pytest

from agno_portkey.routing.answered import named, read_headers


@pytest.mark.parametrize(
    "name",
    [
        "gpt-4o-mini",
        "@cf/meta/llama-3.1-8b-instruct",
        "meta-llama/Llama-3.3-70B-Instruct-Turbo",
        "arn:aws:bedrock:us-east-1::foundation-model/x",
        "llama3:8b",
        "x" * 200,
    ],
)
def test_names_of_models_are_names(name: str) -> None:
    assert named(name) == name


@pytest.mark.parametrize("said", ["a plan", "a\tplan", "a\nplan", "x" * 201, None, 4, ["x"]])
def test_what_is_no_name_is_dropped(said: object) -> None:
    assert named(said) is None


def test_so_are_headers() -> None:
    headers = {"x-portkey-provider": "open ai", "x-portkey-trace-id": "t1"}
    assert read_headers(httpx.Headers(headers)) == {"trace_id": "t1"}
