"""Random secrets, one for each source and place, and the search for them in all that is written."""

from __future__ import annotations

import base64
import secrets
import string
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from keyring.backend import KeyringBackend

from agno_portkey.secrets import (
    EncryptedFile,
    EnvironmentSecrets,
    FileSecrets,
    KeyringSecrets,
    SecretSource,
)
from agno_portkey.secrets.hidden import Hidden

__all__ = ["PLACES", "SOURCES", "Leak", "Planted", "plant", "search"]

SOURCES = ("environment", "file", "keyring", "encrypted file")
PLACES = ("api_key", "portkey_api_key", "virtual_key", "route")
# No rule for the keys of some provider fits it, so that only who knows it can take it out.
_LETTERS = string.ascii_letters + string.digits + "+/%~=&"
_LENGTH, _PIECE = 48, 12


@dataclass(frozen=True)
class Planted:
    """The secrets by source and place, and the sources that hold them; `names` are theirs there."""

    sources: dict[str, SecretSource]
    values: dict[tuple[str, str], Hidden] = field(repr=False)
    variables: list[str]

    def name(self, source: str, place: str) -> str:
        return f"PLANTED_{SOURCES.index(source)}_{place.upper()}"


@dataclass(frozen=True, order=True)
class Leak:
    """What was found: whose secret, in which form, and where."""

    source: str
    place: str
    form: str
    where: str


class Drawer(KeyringBackend):
    """A keyring in the memory of this process."""

    priority = 1.0  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.held: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.held.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.held[service, username] = password


def plant(vault: Path, searched: Path, environ: Any) -> Planted:
    """A new secret for each source and place.

    `vault` is where files hold them as they are; the encrypted one is in what is `searched`.
    """
    written: dict[str, Any] = {
        "file": FileSecrets(vault),
        "keyring": KeyringSecrets("planted", backend=Drawer()),
        "encrypted file": EncryptedFile(searched / "sealed", key=secrets.token_bytes(32)),
    }
    planted = Planted({"environment": EnvironmentSecrets(), **written}, {}, [])
    for source in SOURCES:
        for place in PLACES:
            value = Hidden("".join(secrets.choice(_LETTERS) for _ in range(_LENGTH)))
            planted.values[source, place] = value
            name = planted.name(source, place)
            if source == "environment":
                environ[name] = str(value)
                planted.variables.append(name)
            else:
                written[source].write(name, value)
    return planted


def search(planted: Planted, written: Iterator[tuple[str, bytes]]) -> tuple[list[Leak], int, int]:
    """Each secret that is in what was written, in any form; how many bytes and forms there are."""
    forms = [
        (source, place, form, piece)
        for (source, place), value in planted.values.items()
        for form, piece in pieces(value)
    ]
    leaks, size = set(), 0
    for where, data in written:
        size += len(data)
        for source, place, form, piece in forms:
            if piece in data:
                leaks.add(Leak(source, place, form, where))
    return sorted(leaks), size, len(forms)


def pieces(value: str) -> Iterator[tuple[str, bytes]]:
    """The pieces of a secret, by the form in which they might be written."""
    plain = value.encode()
    whole = {
        "plain": plain,
        "reversed": plain[::-1],
        "hex": plain.hex().encode(),
        "HEX": plain.hex().upper().encode(),
        "URL": quote(value, safe="").encode(),
        "url": quote(value, safe="").lower().encode(),
    }
    # What stands before it shifts its base64, and what stands behind it changes its end.
    for shift in range(3):
        coded = base64.b64encode(b"\0" * shift + plain)[4 if shift else 0 : -4]
        whole[f"base64+{shift}"] = coded
        whole[f"base64url+{shift}"] = coded.translate(bytes.maketrans(b"+/", b"-_"))
    for form, text in whole.items():
        step = 2 * _PIECE if form.lower() == "hex" else _PIECE
        for at in [*range(0, len(text) - step + 1, step), len(text) - step]:
            yield form, text[at : at + step]
