"""Odd answers can be shown back to the model: it is asked again, whatever is in them."""

from __future__ import annotations

import pytest
from four_forms import FORMS, ask
from verses import GOOD, Verse

from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider, Reply

ODD = {
    "a lone surrogate": '{"text": "\\ud800", "lines": 0}',
    "a lone surrogate in a key": '{"text": "a", "lines": 0, "\\udfff": 1}',
    "control characters": '{"text": "a\0\7", "lines": 0}',
    "a huge number": '{"text": "a", "lines": -' + "9" * 5_000 + "}",
    "no number": '{"text": "a", "lines": NaN}',
    "deep": '{"text": ' + "[" * 5_000 + "]" * 5_000 + ', "lines": 0}',
    "a key twice": '{"text": "a", "text": "b", "lines": 0}',
    "two objects": '{"text": "a", "lines": 1} or {"text": "b", "lines": 1}',
    "a megabyte": '{"text": "' + "x" * 1_000_000 + '", "lines": 0}',
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ODD)
def test_the_model_is_asked_again_whatever_it_said(
    name: str, form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_provider.reply(Reply(ODD[name], chunk_size=5_000))
    portkey_provider.reply(GOOD)
    ask(portkey_model, form, response_format=Verse)
    assert len(portkey_provider.calls) == 2
