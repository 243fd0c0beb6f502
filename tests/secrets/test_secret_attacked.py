"""Sources, files and callers that do their worst to secrets."""

from __future__ import annotations

import base64
import pickle
import threading
from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent
from agno.run.base import RunStatus
from four_forms import FORMS, ask, play
from odd_sources import Hanging, Told
from told_variables import variables

from agno_portkey import PortkeyModel
from agno_portkey.described import model_of
from agno_portkey.errors import (
    ConfigurationError,
    GatewayUnauthorized,
    SecretMissing,
    SecretUnavailable,
    WrongEnvironment,
)
from agno_portkey.govern import govern
from agno_portkey.policy import Policy
from agno_portkey.routing import Recovery
from agno_portkey.sealing import Seal
from agno_portkey.secrets import EncryptedFile, FileSecrets, Secret, private_files
from agno_portkey.secrets.base import held_by, refreshed
from agno_portkey.secrets.hidden import Hidden
from agno_portkey.secrets.private_files import alone, replace_with
from agno_portkey.testing import EmbeddedProvider, Fault
from agno_portkey.testing.requests import Request
from agno_portkey.verdict import Event

OLD, NEW = "@openai-prod-search-r000001-2026q3", "@openai-prod-search-r000002-2026q4"
SLUG = "x-portkey-provider"


def model(provider: EmbeddedProvider, **options: Any) -> PortkeyModel:
    given = {"base_url": provider.url, "profile": "hosted", "recovery": Recovery(attempts=1)}
    return PortkeyModel(**{**given, **options})


def refuse_old(provider: EmbeddedProvider) -> None:
    def refused(request: Request) -> Any:
        return Fault.status(401, message=f"There is no {request.headers[SLUG]}.")

    provider.when(lambda request: request.headers[SLUG] == OLD, refused)


# A slug that is a secret


@pytest.mark.parametrize("form", FORMS)
def test_a_slug_is_read_when_a_request_is_sent(
    form: str, portkey_provider: EmbeddedProvider
) -> None:
    secret = Secret("SLUG", Told(OLD, NEW), ttl=0)
    agent = Agent(model=model(portkey_provider, portkey_provider=secret))
    for _ in range(2):
        assert play(agent, form).content == "You said: Hi"
    assert [each.headers[SLUG] for each in portkey_provider.calls] == [OLD, NEW]


@pytest.mark.parametrize("form", FORMS)
def test_nobody_hears_of_a_slug_that_was_changed(
    form: str, portkey_provider: EmbeddedProvider
) -> None:
    refuse_old(portkey_provider)
    asked = model(portkey_provider, portkey_provider=Secret("SLUG", Told(OLD, NEW, OSError())))
    assert play(Agent(model=asked), form).content == "You said: Hi"
    assert [each.headers[SLUG] for each in portkey_provider.calls] == [OLD, NEW]


def test_a_slug_that_is_a_secret_is_told_nowhere(portkey_provider: EmbeddedProvider) -> None:
    refuse_old(portkey_provider)
    events: list[Event] = []
    asked = model(
        portkey_provider,
        portkey_provider=Secret("SLUG", Told(OLD)),
        observers=[events.append],
    )
    with pytest.raises(GatewayUnauthorized) as raised:
        ask(asked, "run")
    assert "There is no [key]." in str(raised.value)
    assert OLD not in "".join(variables(raised.value))
    data = asked.to_dict()
    assert "portkey_provider" not in data
    assert PortkeyModel.from_dict(data).portkey_provider is None
    assert pickle.loads(pickle.dumps(asked)).portkey_provider is None
    assert OLD not in f"{events}{asked}{data}"
    assert [event.kind for event in events].count("attempt") == 1


def test_whose_slug_it_is_tells_models_apart(portkey_provider: EmbeddedProvider) -> None:
    ours, theirs = (
        model(portkey_provider, portkey_provider=Secret(name, Told(OLD))) for name in ("A", "B")
    )
    assert model_of(ours) != model_of(theirs)


def test_a_slug_that_can_t_be_used_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = Secret("SLUG", Told(OLD))
    with pytest.raises(ConfigurationError, match="portkey_provider: a Secret, which holds a slug"):
        PortkeyModel(base_url="http://127.0.0.1:9", portkey_provider=secret)
    source = Told(OLD)
    source.environment = "prod"
    monkeypatch.setenv("PORTKEY_ENVIRONMENT", "dev")
    with pytest.raises(WrongEnvironment, match="portkey_provider"):
        PortkeyModel(portkey_provider=Secret("SLUG", source), portkey_api_key="pk")


@pytest.mark.parametrize("field", ["portkey_provider", "virtual_key"])
@pytest.mark.parametrize("form", FORMS)
def test_what_a_secret_names_is_held_to_the_limits(
    form: str, field: str, portkey_provider: EmbeddedProvider
) -> None:
    """Whatever the source says by then: what is refused is what would be sent."""

    source = Told(OLD, OLD, "@groq-prod-search")
    secret = Secret("SLUG", source, ttl=0)
    agent = Agent(name="Desk", model=model(portkey_provider, **{field: secret}))
    govern(agent, policy=Policy(models={"everyone": {"providers": ["@openai-*"]}}))
    source.values = [OLD]
    assert play(agent, form).content == "You said: Hi"
    source.values = ["@groq-prod-search"]
    before = len(portkey_provider.calls)
    ended = play(agent, form)
    assert ended.status == RunStatus.error
    assert "may not ask" in str(ended.content)
    assert len(portkey_provider.calls) == before


# Sources


def test_several_sources_that_hang_are_waited_for_together() -> None:
    """Each is asked before any is waited for: the first is let go by the last being asked."""
    first, last = Hanging(), Hanging()
    last.read = lambda name: (first.let_go.set(), "sk-last-value")[1]  # type: ignore[method-assign]
    one, two = Secret("A", first, timeout=30), Secret("B", last, timeout=30)
    held = held_by([one, two])
    assert {each.name: value for each, (value, _) in held.items()} == {
        "A": "sk-late-value",
        "B": "sk-last-value",
    }
    first.let_go.clear()
    first.value = "sk-other-value"
    assert refreshed([(one, 1), (two, 1)])
    assert (one.version, two.version) == (2, 1)


def test_who_asks_again_for_one_that_others_ask_for_has_it_read_anew() -> None:
    source = Hanging()
    secret = Secret("A", source, timeout=30)
    began = threading.Thread(target=secret.reveal)
    began.start()
    source.begun.acquire()
    done: list[bool] = []
    asks = threading.Thread(target=lambda: done.append(refreshed([(secret, 0)])))
    asks.start()
    source.let_go.set()
    began.join()
    asks.join()
    assert done == [True]


class Sealed(SecretUnavailable):
    def __init__(self, code: int, *, vault: str) -> None:
        super().__init__(f"{vault} is sealed ({code})")


class Gone(SecretMissing):
    def __init__(self, code: int, *, vault: str) -> None:
        super().__init__(f"{vault} has none ({code})")


@pytest.mark.parametrize(("kind", "told"), [(Sealed, SecretUnavailable), (Gone, SecretMissing)])
def test_errors_of_the_user_s_own_classes_come_through(kind: Any, told: type[Exception]) -> None:
    secret = Secret("KEY", Told(kind(503, vault="the vault")), timeout=30)
    for _ in range(6):
        with pytest.raises(told, match="the vault"):
            secret.reveal()
        with pytest.raises(told, match="the vault"):
            secret.refresh()


@pytest.mark.parametrize(
    "seconds", [{"timeout": float("inf")}, {"timeout": 1e300}, {"ttl": True}, {"grace": -1}]
)
def test_times_that_nobody_can_wait_are_refused(seconds: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(seconds))):
        Secret("KEY", Told("sk-value"), **seconds)


# Files


@pytest.mark.parametrize("key", [32, [0] * 32, bytearray(32), True, object()])
def test_what_is_no_key_is_none(key: Any, tmp_path: Path) -> None:
    """Of the number 32 `bytes` makes 32 zeros, which is a key that all know."""
    with pytest.raises(ConfigurationError, match="key: 32 bytes"):
        EncryptedFile(tmp_path / "keys", key=key)
    with pytest.raises(ConfigurationError, match="key: 32 bytes"):
        Seal(key)


def test_a_key_that_is_none_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = base64.b64encode(b"planted-4711-of-31-bytes-0815xx").decode()
    monkeypatch.setenv("AGNO_PORTKEY_SECRETS_KEY", short)
    with pytest.raises(ConfigurationError, match="key: 32 bytes") as raised:
        EncryptedFile(tmp_path / "keys")
    shown = "".join(variables(raised.value))
    assert short[:12] not in shown
    assert "planted" not in shown


@pytest.mark.parametrize("passphrase", ["", " " * 40, "\t" * 12, "short" + " " * 20, "x" * 11])
def test_a_passphrase_of_nothing_is_refused(passphrase: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="passphrase: at least"):
        EncryptedFile(tmp_path / "keys", passphrase=passphrase)


def test_a_passphrase_without_bytes_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="half a character") as raised:
        EncryptedFile(tmp_path / "keys", passphrase="correct horse \ud800 battery")
    assert "horse" not in "".join(variables(raised.value))


def test_files_whose_names_begin_alike_leave_each_other_alone(tmp_path: Path) -> None:
    """`keys` and `keys.prod` have a lock each: one may write while the other does."""
    part, other = (tmp_path / f".{name}.{'0' * 16}.part" for name in ("keys", "keys.prod"))
    part.write_text("of who was killed")
    other.write_text("of who writes now")
    replace_with(tmp_path / "keys", Hidden("value"))
    assert (part.exists(), other.exists()) == (False, True)
    replace_with(tmp_path / ".*", Hidden("value"))
    assert other.exists()


def test_who_waits_too_long_for_a_file_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(private_files, "_WAIT", 0.0)
    source = FileSecrets(tmp_path / "keys")
    with (
        alone(tmp_path / "keys" / ".lock"),
        pytest.raises(SecretUnavailable, match="another process has had"),
    ):
        source.write("KEY", "sk-value")
    source.write("KEY", "sk-value")
    assert source.read("KEY") == "sk-value"
