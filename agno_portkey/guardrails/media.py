"""What is said of pictures, sound, films and files; and what a file says that is text.

Nobody can look into the others: what a picture shows, or a PDF says, no guard is asked about.
"""

from __future__ import annotations

import binascii
import logging
from base64 import b64decode, b64encode
from collections.abc import Iterator
from functools import partial
from mimetypes import guess_type
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlparse

from agno.media import Audio, File, Image, Video
from agno.models.message import Message

from agno_portkey.calls import IO

if TYPE_CHECKING:
    from agno_portkey.guardrails.passages import Source, Take

__all__ = ["MEDIA", "PARTS", "in_data", "in_media", "is_media", "opened", "require_readable"]

MEDIA = (Audio, File, Image, Video)
# Parts of a message's content that hold one.
PARTS = ("image", "image_url", "input_image", "input_audio", "file", "input_file", "video_url")
# The fields of any of them that are words, or are sent as some; a kind that the host knows is none,
# and of a file it takes no other.
_WORDS: tuple[str, ...] = (
    "url",
    "filename",
    "name",
    "transcript",
    "original_prompt",
    "revised_prompt",
    "alt_text",
)
_WORDS += ("format", "mime_type", "detail", "file_type")
_KINDS = frozenset(File.valid_mime_types())
_BASE64 = ";base64"


def is_media(value: Any) -> bool:
    """Whether `value` is one of them, or a list of nothing else."""
    several = value if isinstance(value, list) else [value]
    return bool(several) and all(isinstance(each, MEDIA) for each in several)


def in_media(value: Any, take: Take, source: Source, path: str = "") -> Any:
    """The texts of one of them; the very one if none changes."""
    changed: dict[str, Any] = {}
    for name in _WORDS:
        held = getattr(value, name, None)
        if isinstance(held, str) and not (name == "mime_type" and held in _KINDS):
            found = in_data(held, take, source, f"{path}.{name}" if path else name)
            if found != held:
                changed[name] = found
    if isinstance(value, File) and isinstance(value.content, str | bytes):
        found = _in_bytes(value.content, take, source, path)
        if found != value.content:
            changed["content"] = found
    return value.model_copy(update=changed) if changed else value


def in_data(text: str, take: Take, source: Source, path: str = "") -> str:
    """A text, or an address that holds its data itself (`data:`): what that says, if it is text."""
    head, comma, body = text.partition(",")
    if not comma or not head.startswith("data:"):
        return take(text, source, path) if text else text
    if not head.endswith(_BASE64):
        found = _in_bytes(said := unquote(body), take, source, path)
        return text if found == said else f"{head},{quote(found)}"
    try:
        data = b64decode("".join(body.split()), validate=True)
    except (binascii.Error, ValueError):
        return take(text, source, path)
    found = _in_bytes(data, take, source, path)
    return text if found == data else f"{head},{b64encode(found).decode()}"


def _in_bytes(data: Any, take: Take, source: Source, path: str) -> Any:
    """The same of data that may be text, as bytes or not."""
    try:
        text: str = data if isinstance(data, str) else data.decode()
    except UnicodeDecodeError:
        return data
    if not text or "\0" in text:
        return data
    found = take(text, source, path)
    if found == text or isinstance(data, str):
        return found if found != text else data
    return found.encode(errors="backslashreplace")


def require_readable(messages: list[Message]) -> None:
    """Raise `Unreadable` where a message brings what no guard can look into."""
    from agno_portkey.guardrails.passages import Unreadable

    if kinds := sorted({kind for message in messages for kind in _unseen(message)}):
        raise Unreadable(
            f"nobody can look into what is sent beside the words ({', '.join(kinds)}); "
            'unreadable="allow" lets it through'
        )


def _unseen(message: Message) -> Iterator[str]:
    for name in ("images", "audio", "videos"):
        if getattr(message, name):
            yield name
    if any(not _is_text(file.content) for file in message.files or ()):
        yield "files"
    for part in message.content if isinstance(message.content, list) else ():
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in PARTS:
            yield kind


def _is_text(content: Any) -> bool:
    seen: list[str] = []

    def take(text: str, source: Source, path: str) -> str:
        seen.append(text)
        return text

    if isinstance(content, str | bytes):
        _in_bytes(content, take, "user", "")
    return bool(seen)


async def opened(messages: list[Message], io: IO) -> list[Message]:
    """The messages with the files that are elsewhere in them; the very list if there are none.

    The host fetches them as it sends, after all guards: so what is looked at is what is sent. As
    with the host, one that can't be had is left out.
    """
    if not any(_is_elsewhere(file) for message in messages for file in message.files or ()):
        return messages
    return [await _with_files(message, io) if message.files else message for message in messages]


def _is_elsewhere(file: File) -> bool:
    return file.url is not None or file.filepath is not None


async def _with_files(message: Message, io: IO) -> Message:
    held = [
        await io.run(partial(_read, file)) if _is_elsewhere(file) else file
        for file in message.files or ()
    ]
    return message.model_copy(update={"files": [file for file in held if file is not None]})


def _read(file: File) -> File | None:
    """The file with its content in it, and the name and kind under which it would be sent."""
    try:
        if file.url is not None:
            content, kind = file.file_url_content or (None, None)
            name = Path(urlparse(file.url).path).name or "file"
        else:
            path = Path(file.filepath or "")
            content, kind, name = path.read_bytes(), file.mime_type, path.name
    except Exception as error:
        logging.getLogger("agno_portkey").error("a file that can't be read is left out: %s", error)
        return None
    if content is None:
        return None
    kind = kind or file.mime_type or guess_type(name)[0]
    changed = {"url": None, "filepath": None, "content": content, "filename": name}
    return file.model_copy(update={**changed, "mime_type": kind})
