"""Secrets in the forms in which programs, logs and people write them, and encoded ones."""

from __future__ import annotations

import base64
import importlib.util
import json
import random
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import quote

import pytest
from agno.agent import Agent
from four_forms import FORMS, play
from hypothesis import given
from hypothesis import strategies as st
from labelled import kinds, private_key

from agno_portkey.guardrails import Block, Passage
from agno_portkey.guardrails.secrets import SecretsGuardrail, secrets, without_secrets
from agno_portkey.guardrails.segments import CUT, Segments
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider, Reply, ToolCall

PATH = Path(__file__).parents[2] / "benchmarks/secret_texts.py"
KEYS = kinds(random.Random(4))
KEY = KEYS["github"]
UUID = "0f8fad5b-d9cb-469f-a165-70867728950e"
# The example of RFC 8037.
JWK = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"
PEM = private_key(random.Random(1))


def _written() -> ModuleType:
    spec = importlib.util.spec_from_file_location("secret_texts", PATH)
    assert spec is not None
    assert spec.loader is not None
    sys.modules[spec.name] = made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


TEXTS = _written().texts()


def _hidden(text: str) -> set[int]:
    return {at for each in secrets(text) for at in range(each.start, each.end)}


@pytest.mark.parametrize("held_out", [False, True], ids=["seen", "held out"])
def test_texts_as_they_are_written(held_out: bool) -> None:
    half = [each for each in TEXTS if each.held_out is held_out]
    spans = [_hidden(each.text).issuperset(range(*span)) for each in half for span in each.secrets]
    assert sum(spans) / len(spans) >= (0.95 if held_out else 1)
    false = sum(bool(secrets(each.text)) for each in half if not each.secrets)
    assert false <= (2 if held_out else 0)


@pytest.mark.parametrize("each", [t for t in TEXTS if t.secrets], ids=lambda each: each.name)
def test_a_streamed_answer_ends_before_the_first(each: Any) -> None:
    guard, segments, shown = SecretsGuardrail(), Segments(apart=False), ""
    if not secrets(each.text):
        return
    for piece in [*segments.feed(each.text, guard.keeps_together), segments.flush()]:
        if guard.inspect(Passage(piece, "assistant", "output", "", shown[-80:])) is not None:
            break
        shown += piece
    assert len(shown) <= each.secrets[0][0]


def _encode(said: str) -> str:
    return base64.b64encode(said.encode()).decode()


ENCODED = {
    "query": quote(f"https://x.org?token={KEY}", safe=""),
    "userinfo": "go?to=" + quote("postgres://ann:hunter22x@db.internal/shop", safe=""),
    "every character": "".join(f"%{ord(c):02X}" for c in KEY),
    "base64": _encode(KEY),
    "base64 of an assignment": f"data:text/plain;base64,{_encode(f'token={KEY}')}",
    "base64 for addresses": base64.urlsafe_b64encode(f"~~~{KEY}".encode()).decode(),
    "base64 of a key": f"client-key-data: {_encode(PEM)}",
    "base64 in lines": "\n".join(_encode(PEM)[at : at + 76] for at in range(0, 900, 76)),
    "hex": KEY.encode().hex(),
    "a JSON text": json.dumps({"text": f"it is\n{KEY}"}),
    "a JSON text in ASCII": json.dumps({"text": f"é{KEY}"}),
    "colours": f"\x1b[32m{KEY}\x1b[0m",
    "zero widths": "\u200b".join(KEY),
    "a soft hyphen": f"{KEY[:9]}\u00ad{KEY[9:]}",
    "wide": "".join(chr(ord(c) + 0xFEE0) for c in KEY),
    "behind letters": f"keyis{KEY}",
    "behind other letters": f"密钥{KEY}是",
    "two pieces": f'"{KEY[:20]}" + "{KEY[20:]}"',
    "lines": f"{KEYS['pypi'][:76]}\n{KEYS['pypi'][76:]}",
    "lines of a shell": f"export T={KEYS['openai'][:70]}\\\n{KEYS['openai'][70:]}",
    "a quotation": "> " + PEM.replace("\n", "\n> "),
    "breaks of HTML": PEM.replace("\n", "<br>"),
    "pieces of code": " +\n".join(f'"{line}\\n"' for line in PEM.split("\n")),
    "numbered lines": "\n".join(f"{n}: {line}" for n, line in enumerate(PEM.split("\n"))),
}


@pytest.mark.parametrize("how", ENCODED)
def test_however_it_is_encoded(how: str) -> None:
    text = f"It is\n\n{ENCODED[how]}\n\nand that is all."
    masked = without_secrets(text)
    assert "[secret: " in masked
    assert masked.startswith("It is")
    assert masked.endswith("and that is all.")
    assert all(ENCODED[how][at : at + 12] not in masked for at in range(40, len(KEY), 4))
    for kept in (KEY[4:24], _encode(KEY)[8:30], KEY.encode().hex()[8:40], PEM.split("\n")[3]):
        assert kept not in masked


@pytest.mark.parametrize(
    "text",
    [
        f"sha256 {random.Random(1).randbytes(32).hex()}",
        _encode("this is only a picture of a cat, with no more to it"),
        b"this is only a picture of a cat".hex(),
        f"{'a' * 50}1\n{'b' * 50}2\n",
        "do not pass `fork=True` here",
        'f"https://x-access-token:{token}@github.com"',
        "password: https://example.org/account/reset2",
        "user and password fields, or login ann password only",
        "main.c:1234:note:unused:variable",
        'labels = ("password", "Kennwort", "x1")',
        "xghp_short",
        "the primary key: 12345678901234567890ab",
        "class dusk-organiser-in-oak-and-teak-with-drawers",
        "\u00ad\u200b",
        "%zz %41 %",
        "https://example.org/a%20b%2Fc?d=%7Be%7D",
        "Basic c29tZXRoaW5n and basic knowledge",
        "Basic YTpwYXNzd29yZA==",
        "password: setting.of.a.program.with9",
        "token: ${TOKEN_9}, key: {api_key}, password = @password",
        "password=(a1b2c3d4)",
        "password: 'one two three four five6'",
        "password: 'read(name9)'",
        "the password>wX9#kk21<",
        f"session_id: {UUID}",
        f"token: {UUID}",
        "the password field9 of form2",
    ],
)
def test_what_only_looks_so(text: str) -> None:
    assert secrets(text) == []


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ('auth=("ann", "wX9#kk21")', "wX9#kk21"),
        ("password: 123456", "123456"),
        ("password: 'correct horse 9'", "correct horse 9"),
        ("secret: aB3$5678", "aB3$5678"),
        ("x --password field9 y", "field9"),
        ("mysqldump -u root -phunter22x shop", "hunter22x"),
        (f"postgres://ann:x9-{KEY}-tail@db.internal/shop", f"x9-{KEY}-tail"),
        ("see https://x.org, then postgres://ann:hunter22x@db.internal/shop", "hunter22x"),
        (f"refresh_token: {UUID}", UUID),
        (f'{{"kty": "OKP", "d": "{JWK}"}}', JWK),
        ("Basic YW5uOnRyMHViNGRvcg==", "YW5uOnRyMHViNGRvcg=="),
        ("Mein Passwort ist wX9#kk21", "wX9#kk21"),
        ("key: str = 'no', api key: " + "a1b2c3d4" * 4, "a1b2c3d4" * 4),
    ],
)
def test_what_stands_beside_tells(text: str, secret: str) -> None:
    assert [text[each.start : each.end] for each in secrets(text)] == [secret]


def test_a_long_key_and_what_follows_one_that_has_no_end() -> None:
    assert without_secrets(f"{PEM}\n\nThat is all!") == "[secret: private key]\n\nThat is all!"
    # What lies further on is another one's end.
    far = f"{PEM.rpartition('-----END')[0]}!{' word' * 6_000}\n-----END RSA PRIVATE KEY-----"
    assert "word word" in without_secrets(far)
    assert without_secrets(f"{PEM}\n!!\n{PEM}").count("private key") == 2


@given(st.text(alphabet="aZ9+/=%4\n\u200b\uff21 \"'-\\", max_size=300), st.integers(0, 300))
def test_no_other_reading_loses_its_place(noise: str, at: int) -> None:
    text = f"{noise[:at]} {KEY} {noise[at:]}"
    hidden = _hidden(text)
    begin = len(noise[:at]) + 1
    assert hidden.issuperset(range(begin, begin + len(KEY)))
    assert all(0 <= each.start < each.end <= len(text) for each in secrets(text))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("how", ["query", "base64", "zero widths", "two pieces"])
def test_encoded_ones_in_tools(
    form: str, how: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    """Neither in the arguments of a tool, nor in what it returns, nor in what it raises."""
    ran: list[str] = []

    def send(body: str) -> str:
        """Send it."""
        ran.append(body)
        if body == "raise":
            raise RuntimeError(ENCODED[how])
        return ENCODED[how]

    portkey_model.guards = (SecretsGuardrail(action="mask"),)
    for body in (ENCODED[how], "return", "raise"):
        portkey_provider.reply(Reply(tool_calls=(ToolCall("send", {"body": body}),)))
        play(Agent(model=portkey_model, tools=[send]), form, "go")
    assert len(ran) == 3
    told = f"{ran}{[call.body for call in portkey_provider.calls]}"
    assert ENCODED[how] not in told.encode().decode("unicode_escape", "replace")
    assert ENCODED[how] not in told
    assert told.count("[secret: ") >= 3


@pytest.mark.parametrize("before", ["\\n", "\\u003d", "\\x3d", "%3D", "\x1b[32m"])
def test_a_short_one_right_behind_an_escape(before: str) -> None:
    text = f"it{before}{KEYS['aws id']} is"
    assert KEYS["aws id"] not in without_secrets(text)
    assert secrets(f"itn{KEYS['aws id']}") == []


def test_what_stands_before_a_piece_is_no_part_of_it() -> None:
    guard = SecretsGuardrail()
    assert [*guard.keeps_together(f"It is {KEY}. ", "And so on.")] == []
    assert guard.inspect(Passage("And so on.", before=f"It is {KEY}. ")) is None
    assert [*guard.keeps_together(KEY[:9], f"{KEY[9:]}.")] == [(-9, len(KEY) - 9)]


def test_a_long_piece_that_ends_with_the_beginning_of_one_blocks() -> None:
    long = "a," * 480
    assert SecretsGuardrail().inspect(Passage(f"{long}={KEY[:9]}")) is not None
    assert SecretsGuardrail().inspect(Passage(f"{long}=")) is None
    assert SecretsGuardrail().inspect(Passage(f"a={KEY[:9]}")) is None


@pytest.mark.parametrize("begun", [KEY[:9], "postgres://ann:" + "hunter2x" * 40])
def test_from_where_a_piece_may_have_been_cut_the_beginning_of_one_blocks(begun: str) -> None:
    least = f"{'a,' * CUT} {begun}"[-CUT:]
    assert isinstance(SecretsGuardrail().inspect(Passage(least)), Block)
    assert SecretsGuardrail().inspect(Passage(least[1:])) is None
