"""The files and batches of the embedded provider, as OpenAI's client knows them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from agno_portkey.testing import EmbeddedProvider, Fault


@pytest.fixture
def client(portkey_provider: EmbeddedProvider) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=portkey_provider.url, api_key="k", max_retries=0) as made:
        yield made


def lines(count: int) -> bytes:
    said = [
        {
            "custom_id": f"line-{number}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": "m", "messages": [{"role": "user", "content": f"né {number}"}]},
        }
        for number in range(count)
    ]
    return "\n".join(json.dumps(each, ensure_ascii=False) for each in said).encode()


def begun(client: openai.OpenAI, count: int = 3) -> Any:
    file = client.files.create(file=("in.jsonl", lines(count)), purpose="batch")
    return client.batches.create(
        input_file_id=file.id,
        endpoint="/v1/chat/completions",
        completion_window="24h",
        metadata={"a": "b"},
    )


def answers(client: openai.OpenAI, name: str) -> dict[str, Any]:
    said = [json.loads(line) for line in client.files.content(name).text.splitlines()]
    return {line["custom_id"]: line for line in said}


def test_a_file_is_kept_as_it_was(client: openai.OpenAI) -> None:
    content = b"\r\n".join([lines(2), b"\x00\xff--", b""])
    file = client.files.create(file=("in.jsonl", content), purpose="batch")
    assert client.files.content(file.id).content == content
    assert client.files.retrieve(file.id).bytes == len(content)
    with pytest.raises(openai.NotFoundError):
        client.files.content("file_99")


def test_a_batch_is_over_when_it_is_asked_about(
    client: openai.OpenAI, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.when(lambda r: r.last_user == "né 1", Fault.status(400))
    batch = begun(client)
    assert (batch.status, batch.metadata) == ("validating", {"a": "b"})
    done = client.batches.retrieve(batch.id)
    assert done.status == "completed"
    assert (done.request_counts.completed, done.request_counts.failed) == (2, 1)
    good = answers(client, done.output_file_id)
    assert sorted(good) == ["line-0", "line-2"]
    said = good["line-2"]["response"]["body"]["choices"][0]["message"]["content"]
    assert said == "You said: né 2"
    bad = answers(client, done.error_file_id)
    assert bad["line-1"]["response"]["status_code"] == 400
    assert [request.last_user for request in portkey_provider.batches.lines] == [
        "né 0",
        "né 1",
        "né 2",
    ]
    assert portkey_provider.calls == []


def test_by_hand_it_goes_on_as_it_is_told(
    client: openai.OpenAI, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.batches.by_hand = True
    batch = begun(client)
    portkey_provider.batches.advance(batch.id, lines=1)
    now = client.batches.retrieve(batch.id)
    assert (now.status, now.request_counts.completed) == ("in_progress", 1)
    assert client.batches.cancel(batch.id).status == "cancelling"
    portkey_provider.batches.end(batch.id, "cancelled", lines=2)
    over = client.batches.retrieve(batch.id)
    assert over.status == "cancelled"
    assert sorted(answers(client, over.output_file_id)) == ["line-0", "line-1"]
    left = answers(client, over.error_file_id)
    assert left["line-2"]["error"]["code"] == "batch_cancelled"


def test_batches_are_listed_by_pages(client: openai.OpenAI) -> None:
    made = [begun(client).id for _ in range(5)]
    assert [batch.id for batch in client.batches.list(limit=2)] == made[::-1]
    assert [batch.id for batch in client.batches.list(limit=2).data] == made[:2:-1]


def test_what_is_not_there_is_refused(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        client.batches.retrieve("batch_9")
    with pytest.raises(openai.BadRequestError):
        client.batches.create(
            input_file_id="file_9", endpoint="/v1/chat/completions", completion_window="24h"
        )
    with pytest.raises(openai.BadRequestError):
        client.files.create(file=("in.jsonl", b"{}"), purpose="assistants")
