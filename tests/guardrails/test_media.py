"""Of pictures, sound and files every text is looked at, and a file that is text is one."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from agno.media import Audio, File, Image, Video
from agno.models.message import Message
from collected import WORD, Collected, masked
from four_forms import FORMS
from gathered import MASK, Mask, Whole, agent, go, stored
from played import Played

from agno_portkey import raise_on_block
from agno_portkey.errors import InputBlocked
from agno_portkey.guardrails.media import in_data, in_media, opened, require_readable
from agno_portkey.guardrails.messages import in_message, in_value
from agno_portkey.guardrails.passages import Unreadable
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider

PICTURE = b"\x89PNG\r\n\xff\x00"


def encoded(data: bytes, kind: str = "text/plain") -> str:
    return f"data:{kind};base64,{b64encode(data).decode()}"


MEDIA: dict[str, Callable[[str], Any]] = {
    "address of a picture": lambda word: Image(url=f"https://example.com/{word}.png"),
    "its description": lambda word: Image(content=PICTURE, alt_text=word),
    "its prompts": lambda word: Image(content=PICTURE, original_prompt=word, revised_prompt=word),
    "what is heard": lambda word: Audio(content=PICTURE, transcript=word),
    "address of a film": lambda word: Video(url=f"https://example.com/{word}"),
    "name of a file": lambda word: File(content=PICTURE, filename=f"{word}.pdf"),
    "other name of a file": lambda word: File(content=PICTURE, name=word),
    "a file as bytes": lambda word: File(content=f"the {word}".encode()),
    "a file as text": lambda word: File(content=f"the {word}"),
}


@pytest.mark.parametrize("kind", MEDIA)
def test_every_text_of_a_medium_is_found_and_replaced(kind: str) -> None:
    held = MEDIA[kind](WORD)
    seen = Collected()
    assert in_media(held, seen, "user") is held
    assert any(WORD in text for text in seen)
    found = in_media(held, masked, "user")
    assert WORD not in str(found.model_dump())
    assert "<X>" in str(found.model_dump())
    assert type(found) is type(held)
    assert found.id == held.id
    # And in a message that is sent.
    names = {Image: "images", Audio: "audio", File: "files"}
    if (name := names.get(type(held))) is not None:
        message = Message(role="user", content="Look.", **{name: [held]})
        assert in_message(message, Collected()) is message
        assert WORD not in str(in_message(message, masked).model_dump())


def test_what_is_no_text_is_not_asked_about() -> None:
    seen = Collected()
    for held in (
        Image(content=PICTURE),
        Image(content=WORD.encode()),
        Audio(content=WORD.encode()),
        File(content=PICTURE),
        File(content=b"a\0b"),
        File(id="file_1"),
    ):
        assert in_media(held, seen, "user") is held
    assert seen == []


ADDRESSES = {
    "base64": (encoded(f"the {WORD}".encode()), encoded(b"the <X>")),
    "base64 in lines": ("data:;base64,dGhlIGJs\r\ndWViaXJk", "data:;base64,dGhlIDxYPg=="),
    "written out": (f"data:,the%20{WORD}", "data:,the%20%3CX%3E"),
    "no base64 after all": (f"data:;base64,{WORD}!", "data:;base64,<X>!"),
    "no address": (f"data {WORD}, indeed", "data <X>, indeed"),
    "elsewhere": (f"https://example.com/{WORD}", "https://example.com/<X>"),
}


@pytest.mark.parametrize("kind", ADDRESSES)
def test_an_address_that_holds_its_data_is_looked_into(kind: str) -> None:
    given, expected = ADDRESSES[kind]
    seen = Collected()
    assert in_data(given, seen, "user") == given
    assert any(WORD in text for text in seen)
    assert in_data(given, masked, "user") == expected


def test_an_address_that_holds_a_picture_is_not() -> None:
    seen = Collected()
    for given in (encoded(PICTURE, "image/png"), "data:,", ""):
        assert in_data(given, seen, "user") == given
    assert seen == []


PARTS: dict[str, Callable[[str], dict[str, Any]]] = {
    "picture": lambda word: {"type": "image_url", "image_url": {"url": f"https://x/{word}"}},
    "picture in short": lambda word: {"type": "image_url", "image_url": f"https://x/{word}"},
    "file's name": lambda word: {"type": "file", "file": {"filename": word, "file_data": ""}},
    "file": lambda word: {"type": "file", "file": {"file_data": encoded(word.encode())}},
    "file without its kind": lambda word: {
        "type": "file",
        "file": {"file_data": b64encode(word.encode()).decode()},
    },
    "more of a file": lambda word: {"type": "file", "file": {"file_id": "x", "more": [word]}},
}


@pytest.mark.parametrize("kind", PARTS)
def test_a_part_as_the_provider_takes_it_is_looked_into(kind: str) -> None:
    part = PARTS[kind](WORD)
    seen = Collected()
    assert in_value([part], seen, "user") == [part]
    assert any(WORD in text for text in seen)
    [found] = in_value([part], masked, "user")
    assert found.keys() == part.keys()
    assert WORD not in json.dumps(found)
    data = found["file"].get("file_data", "") if "file" in found else ""
    if "without" in kind:
        assert b64decode(data) == b"<X>"
    elif kind == "file":
        assert data == encoded(b"<X>")
    else:
        assert "<X>" in json.dumps(found)


# Files that are elsewhere


def read_by(path: Path) -> Message:
    return Message(role="user", content="Read.", files=[File(filepath=path)])


def test_what_is_looked_at_is_what_is_sent(tmp_path: Path) -> None:
    path = tmp_path / "notes.md"
    path.write_text("the plan")
    message = read_by(path)
    played = Played([Whole()], messages=[message])
    assert played.out is not None
    path.write_text(f"the {WORD} plan")
    [file] = played.sent[0].files or ()
    assert (file.content, file.filename, file.filepath) == (b"the plan", "notes.md", None)
    assert file.mime_type == "text/markdown"
    # The host's own message still says where it is.
    [own] = message.files or ()
    assert own.filepath == path


def test_a_file_that_can_not_be_had_is_left_out(tmp_path: Path) -> None:
    good = File(content=b"fine")
    lost = Message(role="user", content="Read.", files=[File(filepath=tmp_path / "no"), good])
    plain = Message(role="user", content="Hi")
    played = Played([Whole()], messages=[plain, lost])
    assert played.out is not None
    assert played.sent[0] is plain
    assert played.sent[1].files == [good]


class Sent(File):
    """A file whose address answers."""

    answer: Any = None

    @property
    def file_url_content(self) -> Any:
        return self.answer


@pytest.mark.parametrize(
    ("answer", "files"), [((WORD.encode(), "text/csv"), [("text/csv", "a.csv")]), (None, [])]
)
def test_a_file_by_its_address_is_fetched_and_looked_at(
    answer: Any, files: list[tuple[str, str]]
) -> None:
    message = Message(role="user", content="x")
    message.files = [Sent(url="https://example.com/b/a.csv?c=d", answer=answer)]
    played = Played([Mask()], messages=[message])
    assert played.out is not None
    held = played.sent[0].files or []
    assert [(file.mime_type, file.filename) for file in held] == files
    assert all(file.content == MASK.encode() and file.url is None for file in held)


def test_nothing_is_read_where_there_is_nothing_to_read() -> None:
    class NoIO:
        pass

    messages = [Message(role="user", content="Hi", files=[File(content=b"x")])]
    coroutine = opened(messages, NoIO())  # type: ignore[arg-type]
    with pytest.raises(StopIteration) as done:
        coroutine.send(None)
    assert done.value.value is messages


# In whole runs


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("how", ["content", "filepath"])
def test_no_file_goes_out_with_the_word(
    how: str,
    form: str,
    tmp_path: Path,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    path = tmp_path / "notes.txt"
    path.write_text(f"the {WORD} plan")

    def a_file() -> File:
        if how == "filepath":
            return File(filepath=path)
        return File(content=path.read_bytes(), filename=path.name, mime_type="text/plain")

    def sent_file() -> tuple[str, bytes]:
        [message] = portkey_provider.calls[-1].messages
        [file] = [part["file"] for part in message["content"] if part["type"] == "file"]
        return file["filename"], b64decode(file["file_data"].partition(",")[2])

    portkey_provider.reply("Read.")
    assert not go(agent(portkey_model), form, files=[a_file()]).failed
    assert sent_file() == ("notes.txt", path.read_bytes())

    portkey_model.guards = (Whole(on="input"),)
    asked = agent(portkey_model)
    seen = go(asked, form, files=[a_file()])
    with pytest.raises(InputBlocked, match="a secret project is named"):
        raise_on_block(seen.last)
    assert len(portkey_provider.calls) == 1
    assert not holds(seen.everything + stored(asked.db), WORD)

    portkey_model.guards = (Mask(),)
    portkey_provider.reply("Read.")
    asked = agent(portkey_model)
    seen = go(asked, form, files=[a_file()])
    assert not seen.failed
    assert sent_file() == ("notes.txt", f"the {MASK} plan".encode())
    assert not holds(seen.everything + stored(asked.db), WORD)


def holds(text: str, word: str) -> bool:
    """Whether `word` stands in `text`, be it as base64 at any offset."""
    forms = [b64encode(b"x" * shift + word.encode())[4:-4].decode() for shift in range(3)]
    return any(form in text for form in (word, *forms))


def test_what_cannot_be_read_in_a_content_of_parts() -> None:
    picture = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    for content in ([picture], [{"type": "text", "text": "Hi"}, picture]):
        with pytest.raises(Unreadable, match="image_url"):
            require_readable([Message(role="user", content=content)])
    require_readable([Message(role="user", content=[{"type": "text", "text": "Hi"}, "there"])])
    with pytest.raises(Unreadable, match="files"):
        require_readable([Message(role="user", files=[File(external=object())])])
    require_readable([Message(role="user", files=[File(content=b"a", mime_type="text/plain")])])


@pytest.mark.parametrize("form", FORMS)
def test_a_file_that_is_refused_by_its_name_ends_the_run_and_is_not_stored(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    # What comes behind its name was not asked about; its kind has to stay one that the host knows.
    portkey_model.guards = (Whole(),)
    owner = agent(portkey_model)
    file = File(content=b"words", mime_type="text/plain", filename=f"{WORD}.txt")
    seen = go(owner, form, files=[file])
    assert seen.failed
    with pytest.raises(InputBlocked):
        raise_on_block(seen.last)
    assert portkey_provider.calls == []
    assert WORD not in stored(owner.db)
    assert "text/plain" in stored(owner.db)


def test_a_kind_that_the_host_knows_is_no_words() -> None:
    seen = Collected()
    in_media(File(content=PICTURE, mime_type="application/pdf"), seen, "user")
    assert seen == []
    in_media(Image(content=PICTURE, mime_type=WORD), seen, "user")
    assert seen == [WORD]
