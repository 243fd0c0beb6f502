"""What a hook fails with blocks; its words are for the log."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
from agno.agent import Agent
from four_forms import FORMS, play

from agno_portkey.errors import InputBlocked
from agno_portkey.guardrails import verdict_of
from agno_portkey.hooks import Hook, Moment
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider


class Quotes(Hook):
    """Fails as a lookup does, with what it was looking for."""

    def before(self, moment: Moment) -> None:
        raise KeyError(moment.run_input.input_content)

    def after(self, moment: Moment) -> None:
        raise KeyError(moment.run_output.content)


@pytest.mark.parametrize("place", ["pre_hooks", "post_hooks"])
@pytest.mark.parametrize("form", FORMS)
def test_the_words_of_a_hooks_error_are_for_the_log(
    form: str,
    place: str,
    portkey_model: PortkeyModel,
    portkey_provider: EmbeddedProvider,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whoever gets the refusal need not be who may see what the hook was looking at."""
    portkey_provider.reply("Hi to you")
    with caplog.at_level(logging.DEBUG, "agno_portkey"):
        ended = play(Agent(model=portkey_model, **{place: [Quotes()]}), form)
    verdict = verdict_of(ended.output or ended.errors[0])
    assert verdict is not None
    assert verdict.reasons == ("Quotes failed: KeyError",)
    if place == "pre_hooks":
        assert ended.content == "Quotes failed: KeyError"
    else:
        assert "Hi" not in str(ended.content)
    [noted] = [each for each in caplog.records if each.getMessage() == "Quotes failed"]
    assert noted.levelno == logging.DEBUG
    assert noted.exc_info is not None
    assert "Hi" in str(noted.exc_info[1])


def test_the_error_of_a_hook_is_the_cause_of_its_refusal() -> None:
    with pytest.raises(InputBlocked, match=r"^Quotes failed: KeyError$") as refused:
        Quotes().check(run_input=SimpleNamespace(input_content="Hi"))
    assert str(refused.value.__cause__) == "'Hi'"
