"""Texts with and without secrets, built at run time: no file here holds what a scanner would find.

`data/secrets/*.txt` hold templates. `=== name` begins one; what stands between ⟦ and ⟧ is a
secret; `«hex:32»` stands for 32 random characters of that alphabet (the same ones in every run),
and `«»` for nothing, which breaks a prefix that scanners know. Templates whose name begins with
`n-` hold no secret. About half are held out, by a hash of their name: of those only totals are to
be looked at.
"""

import base64
import hashlib
import json
import random
import re
import string
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "data" / "secrets"
_HOLE = re.compile(r"«(?:(\w+)(?::(\d+))?)?»")
_WORDS = string.ascii_letters + string.digits
_ALPHABETS = {
    "hex": "0123456789abcdef",
    "HEX": "0123456789ABCDEF",
    "b62": _WORDS,
    "b64": _WORDS + "+/",
    "url": _WORDS + "-_",
    "up": string.ascii_uppercase + "234567",
    "low": string.ascii_lowercase + string.digits,
    "let": string.ascii_letters,
    "dig": string.digits,
    "pw": _WORDS + "!#%*+^~.?",
}


@dataclass(frozen=True)
class Text:
    """One text, and where its secrets stand: (start, end) pairs of characters."""

    name: str
    text: str
    secrets: tuple[tuple[int, int], ...]

    @property
    def held_out(self) -> bool:
        return hashlib.sha256(self.name.encode()).digest()[0] % 2 == 1


def texts(folder: Path = FOLDER) -> tuple[Text, ...]:
    """Every text, in the order of the files."""
    return tuple(t for path in sorted(folder.glob("*.txt")) for t in _of_file(path))


def _of_file(path: Path) -> Iterator[Text]:
    for part in re.split(r"^=== ", path.read_text("utf-8"), flags=re.MULTILINE)[1:]:
        name, _, template = part.partition("\n")
        yield build(name.strip(), template.rstrip("\n"))


def build(name: str, template: str) -> Text:
    """The text that a template stands for; its random parts follow from its name."""
    rng = random.Random(name)
    filled = _HOLE.sub(lambda hole: _fill(rng, hole[1] or "", int(hole[2] or 0)), template)
    assert "«" not in filled, f"{name}: a hole was not filled"
    text, spans, begun = "", [], 0
    for piece in re.split("([⟦⟧])", filled):
        if piece == "⟦":
            begun = len(text)
        elif piece == "⟧":
            spans.append((begun, len(text)))
        else:
            text += piece
    assert bool(spans) != name.startswith("n-"), f"{name}: secrets and name do not agree"
    return Text(name, text, tuple(spans))


def _fill(rng: random.Random, kind: str, size: int) -> str:
    if kind in _ALPHABETS:
        return "".join(rng.choices(_ALPHABETS[kind], k=size))
    return _SHAPES[kind](rng, size)


def _encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def _jwt(rng: random.Random, _: int) -> str:
    head = {"alg": "HS256", "typ": "JWT"}
    body = {"sub": str(rng.randrange(10**9)), "role": "service_role", "iat": 1764547200}
    parts = [_encoded(json.dumps(part, separators=(",", ":")).encode()) for part in (head, body)]
    return ".".join([*parts, _encoded(rng.randbytes(32))])


def _broken_jwt(rng: random.Random, _: int) -> str:
    whole = _jwt(rng, 0)
    return "\n".join(whole[at : at + 75] for at in range(0, len(whole), 75))


def _lines(between: str) -> Callable[[random.Random, int], str]:
    def shape(rng: random.Random, count: int) -> str:
        return between.join(_fill(rng, "b64", 64) for _ in range(count))

    return shape


_SHAPES: dict[str, Callable[[random.Random, int], str]] = {
    "": lambda rng, size: "",
    "uuid": lambda rng, size: str(uuid.UUID(int=rng.getrandbits(128), version=4)),
    "jwt": _jwt,
    "jwt75": _broken_jwt,
    "b64user": lambda rng, size: base64.b64encode(f"ann:{_fill(rng, 'b62', 16)}".encode()).decode(),
    "pem": _lines("\n"),
    "pemline": _lines("\\n"),
    "pemspace": _lines(" "),
    "pemin": _lines("\n    "),
    "pemquote": _lines("\n> "),
}
