"""However a value is written in a text, it is found, and so are its codes within codes."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from agno.agent import Agent
from four_forms import FORMS, play

from agno_portkey.guardrails.pii.analysis import Analyzer
from agno_portkey.guardrails.pii.guard import PIIGuardrail
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider

MAIL, CARD = "ann.lee@corp.example", "4111 1111 1111 1111"
IN_BASE64 = base64.b64encode(f"write to {MAIL}".encode()).decode()
IN_HEX = f"SSN 219-09-9999, card {CARD}".encode().hex()


def asked(body: Any) -> str:
    said: str = body["messages"][-1]["content"]
    return said


def within(depth: int) -> str:
    """JSON in JSON, in JSON."""
    said = json.dumps({"email": MAIL, "name": "Zorvan Qilt"})
    for _ in range(depth):
        said = json.dumps({"arguments": said})
    return said


WRITTEN = {
    "a code of a link": ("GET /u?to=ann.lee%40corp.example&n=1", "ann.lee%40corp.example"),
    "a code of a code": ("/u?to=ann.lee%2540corp.example", "ann.lee%2540corp.example"),
    "codes for dots": ("/u?to=ann%2Elee%40corp%2Eexample", "ann%2Elee%40corp%2Eexample"),
    "codes for all": (
        "q=" + "".join(f"%{ord(c):02x}" for c in MAIL),
        "".join(f"%{ord(c):02x}" for c in MAIL),
    ),
    "a name in a link": (
        "?first_name=J%C3%BCrgen&last_name=M%C3%BCller",
        "J%C3%BCrgen",
        "M%C3%BCller",
    ),
    "an entity": ("to ann.lee&#x40;corp.example", "ann.lee&#x40;corp.example"),
    "named ones": ("to ann.lee&commat;corp&period;example", "ann.lee&commat;corp&period;example"),
    "entities for all": (
        "to " + "".join(f"&#{ord(c)};" for c in MAIL),
        "".join(f"&#{ord(c)};" for c in MAIL),
    ),
    "an escape of code": (r"x = 'ann.lee\x40corp.example'", r"ann.lee\x40corp.example"),
    "words in brackets": ("ann.lee [at] corp [dot] example", "ann.lee [at] corp [dot] example"),
    "base64": (f"data:{IN_BASE64}", IN_BASE64),
    "hex": (f"x {IN_HEX}", IN_HEX),
    "dots in an account": ("IBAN GB29.NWBK.6016.1331.9268.19", "GB29.NWBK.6016.1331.9268.19"),
    "a card with slashes": ("card 4111/1111/1111/1111", "4111/1111/1111/1111"),
    "a card with underscores": ("card 4111_1111_1111_1111", "4111_1111_1111_1111"),
    "a card on two lines": ("card 4111 1111\n  1111 1111", "4111 1111\n  1111 1111"),
    "a phone from abroad": ("ruf 0049 151 23456789 an", "0049 151 23456789"),
    "stressed": ("Ask _John Smith_ or __Maria Garcia__.", "John Smith", "Maria Garcia"),
    "JSON in JSON": (within(1), MAIL, "Zorvan Qilt"),
    "JSON in JSON in JSON": (within(2), MAIL, "Zorvan Qilt"),
    "once more": (within(3), MAIL, "Zorvan Qilt"),
}


@pytest.mark.parametrize("how", WRITTEN)
def test_it_is_found(how: str, analyzer: Analyzer) -> None:
    text, *values = WRITTEN[how]
    found = [text[span.start : span.end] for span in analyzer.spans(text)]
    assert [*filter(found.__contains__, values)] == values


@pytest.mark.parametrize(
    "text",
    [
        base64.b64encode(b"nobody is named in these few words").decode(),
        b"nobody is named in these few words".hex(),
        # No card is written so where nobody speaks of one, and no date or path is a card.
        "4111/1111/1111/1111",
        "4111 1111\n1111 1111",
        "card in /4111/1111/1111/1111/x",
        "card 4111/1111/1111/1112",
        "00 1 2 of 0049 15",
        "width: 50%25; R&D; AT&amp;T",
        "_a b_ __init__ _x",
    ],
)
def test_what_only_looks_so(text: str, analyzer: Analyzer) -> None:
    assert analyzer.spans(text) == ()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("mode", ["mask", "pseudonymize"])
def test_none_is_sent_and_none_is_lost(
    mode: str,
    form: str,
    analyzer: Analyzer,
    portkey_model: PortkeyModel,
    portkey_provider: EmbeddedProvider,
) -> None:
    """Towards the provider, and back: masked for good, or shown again as it was written."""
    portkey_model.guards = (PIIGuardrail(mode, analyzer=analyzer),)  # type: ignore[arg-type]
    portkey_provider.when(lambda request: True, lambda request: asked(request.body))
    for text, *values in WRITTEN.values():
        ended = play(Agent(model=portkey_model), form, text)
        sent = asked(portkey_provider.calls[-1].body)
        assert [value for value in values if value in sent] == []
        assert ended.content == (text if mode == "pseudonymize" else sent)
