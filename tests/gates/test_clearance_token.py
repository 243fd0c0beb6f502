"""Exported clearances: what is signed holds, once where a database is shared; nothing else does."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from clearance_scene import HOUR, NOW, OTHER, PLAN, a_grant, an_asking, grants, refusal
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st
from jwt import PyJWS

from agno_portkey.contracts import Plan, Step, digest
from agno_portkey.errors import ClearanceRefused, ConfigurationError
from agno_portkey.gates.clearance import (
    Asking,
    Clearances,
    Grant,
    KeyPair,
    MemoryClearances,
    export,
    new_key,
    present,
    verify,
)
from agno_portkey.gates.clearance.keys import private_key, public_keys
from agno_portkey.gates.clearance.token import LONGEST

KEY, OTHERS = new_key(), new_key()
GRANT = a_grant(team_run_id="t1", approved_by="ann", reason="tested")
TOKEN = export(GRANT, KEY.private)
HEADER, PAYLOAD, SIGNATURE = TOKEN.split(".")
TYPE = "agno-portkey-clearance+jwt"


def checked(token: Any, asking: Asking | None = None, keys: Any = KEY.public) -> Grant:
    return verify(token, keys, asking or an_asking(), now=NOW)


def b64(data: object) -> str:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def claims() -> dict[str, Any]:
    said: dict[str, Any] = json.loads(base64.urlsafe_b64decode(PAYLOAD + "=="))
    return said


def signed(said: object, key: KeyPair = KEY, **header: Any) -> str:
    """A token that `key` has really signed, whatever it says."""
    payload = said if isinstance(said, bytes) else json.dumps(said).encode()
    headers = {"typ": TYPE, "kid": key.id, **header}
    signing = private_key(key.private)
    return str(PyJWS().encode(payload, signing, algorithm="EdDSA", headers=headers))


# What holds


@given(grant=grants(whole=True, used=False))
def test_what_is_exported_comes_back(grant: Grant) -> None:
    asking = Asking(
        runner_run_id="r",
        **{
            name: getattr(grant, name)
            for name in ("swarm", "tenant", "session_id", "user_id", "plan_digest", "fingerprint")
        },
    )
    assert verify(export(grant, KEY.private), KEY.public, asking, now=grant.issued_at) == grant


def test_times_are_in_whole_seconds_and_it_never_lasts_longer() -> None:
    part = timedelta(milliseconds=900)
    grant = replace(GRANT, issued_at=NOW + part, expires_at=NOW + HOUR + part)
    back = checked(export(grant, KEY.private))
    assert (back.issued_at, back.expires_at) == (NOW, NOW + HOUR)


def test_it_is_a_jwt_that_says_what_it_is_for() -> None:
    assert json.loads(base64.urlsafe_b64decode(HEADER + "==")) == {
        "alg": "EdDSA",
        "kid": KEY.id,
        "typ": TYPE,
    }
    said = claims()
    assert (said["aud"], said["jti"], said["plan_digest"]) == ("Release", GRANT.id, digest(PLAN))
    assert said["exp"] - said["iat"] == 3600


def test_keys_are_replaced_one_after_the_other() -> None:
    both = [KEY.public, OTHERS.public]
    for key in (KEY, OTHERS):
        assert checked(export(GRANT, key.private), keys=both) == GRANT
    refusal("forged", lambda: checked(TOKEN, keys=[OTHERS.public]))
    refusal("no_keys", lambda: checked(TOKEN, keys=[]))


def test_keys_may_be_pem() -> None:
    key = private_key(KEY.private)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    assert checked(export(GRANT, pem), keys=public) == GRANT
    assert checked(TOKEN, keys=[public]) == GRANT


# Who is refused


@pytest.mark.parametrize(
    ("code", "asked"),
    [
        ("other_tenant", {"tenant": None}),
        ("other_team", {"swarm": "Other"}),
        ("other_user", {"user_id": "eve"}),
        ("other_session", {"session_id": "s2"}),
        ("other_fingerprint", {"fingerprint": "sha256:f2"}),
        ("other_plan", {"plan_digest": digest(OTHER)}),
    ],
)
def test_a_token_is_for_one_asking_alone(code: str, asked: dict[str, Any]) -> None:
    assert GRANT.id in refusal(code, lambda: checked(TOKEN, an_asking(**asked)))


def test_a_token_has_its_time() -> None:
    second = timedelta(seconds=1)
    cases = {NOW - 61 * second: "not_yet_valid", NOW + HOUR: "expired", NOW + 9 * HOUR: "expired"}
    for now, code in cases.items():
        refusal(code, lambda now=now: verify(TOKEN, KEY.public, an_asking(), now=now))
    for now in (NOW - 60 * second, NOW + HOUR - second):
        assert verify(TOKEN, KEY.public, an_asking(), now=now) == GRANT
    # Without a time it is that of the clock.
    refusal("expired", lambda: verify(TOKEN, KEY.public, an_asking()))


# What was not signed so


def with_mac() -> str:
    """The token as one signed with the public key, by an algorithm of shared secrets."""
    said = f"{b64({'alg': 'HS256', 'kid': KEY.id, 'typ': TYPE})}.{PAYLOAD}"
    mac = hmac.new(KEY.public.encode(), said.encode(), hashlib.sha256)
    return f"{said}.{b64(mac.digest())}"


@pytest.mark.parametrize(
    ("code", "token"),
    [
        ("unsigned", f"{HEADER}.{PAYLOAD}."),
        ("unsigned", f"{b64({'alg': 'none'})}.{PAYLOAD}."),
        ("unsigned", f"{b64({'alg': 'None', 'kid': KEY.id})}.{PAYLOAD}.{SIGNATURE}"),
        ("unsigned", f"{b64({'kid': KEY.id})}.{PAYLOAD}.{SIGNATURE}"),
        ("forged", with_mac()),
        ("forged", f"{b64({'alg': ['EdDSA'], 'kid': KEY.id})}.{PAYLOAD}.{SIGNATURE}"),
        ("forged", f"{b64({'alg': 'EdDSA'})}.{PAYLOAD}.{SIGNATURE}"),
        ("forged", f"{HEADER}.{b64({**claims(), 'aud': 'Other'})}.{SIGNATURE}"),
        ("forged", f"{HEADER}.{PAYLOAD}.{b64(b'0' * 64)}"),
        ("forged", f"{HEADER}.{PAYLOAD}.{b64(b'0' * 5)}"),
        ("forged", export(GRANT, OTHERS.private)),
        ("forged", signed(claims(), OTHERS, kid=KEY.id)),
        ("malformed", TOKEN + "="),
        ("malformed", TOKEN + "\n"),
        ("malformed", TOKEN.encode()),
        ("malformed", None),
        ("malformed", ""),
        ("malformed", "a.b"),
        ("malformed", "a.b.c.d"),
        ("malformed", f"{HEADER}.{PAYLOAD}.A"),
        ("malformed", f"{b64(b'[' * 40_000)}.{PAYLOAD}.{SIGNATURE}"),
        ("malformed", f"{b64([])}.{PAYLOAD}.{SIGNATURE}"),
        ("malformed", f"{HEADER}.{PAYLOAD}.{'A' * LONGEST}"),
        ("malformed", signed(claims(), typ="JWT")),
        ("malformed", signed(claims(), more="x")),
    ],
)
def test_what_is_not_signed_as_it_should_be(code: str, token: Any) -> None:
    refusal(code, lambda: checked(token))


def test_a_signature_of_claims_that_are_said_to_be_elsewhere_is_none() -> None:
    """As RFC 7797 has it; which of its parts is wrong, libraries tell in different ways."""
    header = {"alg": "EdDSA", "kid": KEY.id, "typ": TYPE, "b64": False, "crit": ["b64"]}
    said = f"{b64(header)}.{PAYLOAD}"
    token = f"{said}.{b64(private_key(KEY.private).sign(said.encode()))}"
    with pytest.raises(ClearanceRefused) as caught:
        checked(token)
    assert caught.value.code in ("forged", "malformed")


@given(data=st.data())
def test_a_token_with_one_letter_changed_is_refused(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(TOKEN) - 1))
    letters = st.sampled_from("ABCDabcd0189-_.=+/ \n\0é")
    letter = data.draw(letters.filter(lambda letter: letter != TOKEN[at]))
    with pytest.raises(ClearanceRefused) as caught:
        checked(TOKEN[:at] + letter + TOKEN[at + 1 :])
    assert caught.value.code in ("forged", "malformed", "unsigned")


def test_the_last_letter_of_a_signature_has_one_form() -> None:
    """Its last bits stand for nothing: a decoder that drops them takes sixteen tokens for one."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    good = [letter for letter in alphabet if _is_good(TOKEN[:-1] + letter)]
    assert good == [TOKEN[-1]]


def _is_good(token: str) -> bool:
    try:
        return checked(token) == GRANT
    except ClearanceRefused:
        return False


# What was signed, and says what no clearance says


@pytest.mark.parametrize("name", sorted(claims()))
def test_each_claim_is_needed_or_its_absence_is_less(name: str) -> None:
    said = claims()
    del said[name]
    if name in ("team_run_id", "approved_by", "reason"):
        assert getattr(checked(signed(said)), name) is None
    elif name in ("session_id", "user_id"):
        # Whoever may sign may leave these open.
        assert checked(signed(said), an_asking(**{name: "any"})).id == GRANT.id
    elif name in ("aud", "tenant"):
        refusal({"aud": "other_team"}.get(name, "other_tenant"), lambda: checked(signed(said)))
    else:
        assert name in refusal("malformed", lambda: checked(signed(said)))


@pytest.mark.parametrize(
    ("code", "changed"),
    [
        ("forged", {"plan": {**claims()["plan"], "goal": "Ship 6.6"}}),
        ("forged", {"plan_digest": digest(OTHER)}),
        ("malformed", {"plan": "Ship it"}),
        ("malformed", {"plan": {**claims()["plan"], "more": 1}}),
        ("malformed", {"iat": True}),
        ("malformed", {"iat": "now"}),
        ("malformed", {"iat": 1.5}),
        ("malformed", {"exp": None}),
        ("malformed", {"exp": 10**20}),
        ("malformed", {"exp": 0}),
        ("malformed", {"aud": ["Release"]}),
        ("malformed", {"jti": ""}),
        ("malformed", {"jti": "a.b.c"}),
        ("malformed", {"passed": "yes"}),
        ("malformed", {"nbf": 2_000_000_000}),
        ("malformed", {"state": "spent"}),
        ("malformed", {"session_id": 1}),
    ],
)
def test_what_was_signed_by_mistake(code: str, changed: dict[str, Any]) -> None:
    refusal(code, lambda: checked(signed({**claims(), **changed})))


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b"[" * 20_000, b"\xff", b'"x"'])
def test_claims_that_are_no_object(payload: bytes) -> None:
    refusal("malformed", lambda: checked(signed(payload)))


def test_a_signature_comes_before_what_it_signs() -> None:
    """Who can't sign learns nothing of what a right token would have to say."""
    wrong = {**claims(), "aud": "Other", "exp": 1, "iat": 0, "plan": None}
    refusal("forged", lambda: checked(signed(wrong, OTHERS)))
    refusal("malformed", lambda: checked(signed(wrong)))
    expired = {**claims(), "aud": "Other", "exp": 1, "iat": 0}
    refusal("other_team", lambda: checked(signed(expired)))


# Exporting


def test_only_what_can_be_used_is_exported() -> None:
    use = {"claimed_by": "r1", "claimed_at": NOW}
    for code, given_ in (
        ("waiting", {"state": "waiting"}),
        ("revoked", {"state": "revoked"}),
        ("other_run", {"state": "claimed", **use}),
        ("replayed", {"state": "spent", **use}),
        ("forged", {"plan_digest": digest(OTHER)}),
    ):
        refusal(code, lambda given_=given_: export(a_grant(**given_), KEY.private))
    with pytest.raises(ConfigurationError, match="not known"):
        export(a_grant(fingerprint=""), KEY.private)
    long = Plan(goal="x" * LONGEST, steps=(Step(action="a"),))
    with pytest.raises(ConfigurationError, match="too long"):
        export(a_grant(plan=long), KEY.private)


def _pem(key: Any) -> str:
    said: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return said.decode()


@pytest.mark.parametrize(
    "key",
    [
        KEY.public,  # as a seed it would sign with what everybody knows
        base64.b64encode(b"0" * 64).decode(),
        base64.b64encode(private_key(KEY.private).private_bytes_raw()).decode(),
        "",
        "no key",
        "-----BEGIN PRIVATE KEY-----\nxxxx\n-----END PRIVATE KEY-----",
        _pem(ec.generate_private_key(ec.SECP256R1())),
        _pem(ed448.Ed448PrivateKey.generate()),
    ],
    # They are made anew in each process.
    ids=lambda key: "key",
)
def test_a_key_that_is_none_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(ConfigurationError, match="a private Ed25519 key is needed") as caught:
        export(GRANT, key)
    assert not key or key not in str(caught.value)


@pytest.mark.parametrize(
    "key", [KEY.private, "", "no key", "-----BEGIN PUBLIC KEY-----"], ids=lambda key: "key"
)
def test_a_public_key_that_is_none(key: str) -> None:
    with pytest.raises(ConfigurationError, match="a public Ed25519 key is needed") as caught:
        checked(TOKEN, keys=[key])
    assert not key or key not in str(caught.value)


def test_a_pair_does_not_show_its_private_key() -> None:
    assert KEY.private not in repr(KEY)
    assert list(public_keys([KEY.public])) == [KEY.id]
    assert isinstance(private_key(f" {KEY.private}\n"), ed25519.Ed25519PrivateKey)


@pytest.mark.parametrize("package", ["jwt", "cryptography"])
def test_the_extra_is_named_where_it_is_not_installed(package: str) -> None:
    program = (
        "import sys\n"
        f"sys.modules[{package!r}] = None\n"
        "import agno_portkey.gates.clearance as clearance\n"
        "from clearance_scene import a_grant\n"
        "clearance.MemoryClearances().put(a_grant())\n"
        "try:\n"
        f"    clearance.export(a_grant(), {KEY.private!r})\n"
        "except ImportError as error:\n"
        "    print(type(error).__name__, error)\n"
    )
    path = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=path, check=True
    )
    assert done.stdout.startswith("MissingExtraError")
    assert '"agno-portkey[clearance]"' in done.stdout


# Used once


def test_a_token_is_used_once_where_a_database_is_shared(clearances: Clearances) -> None:
    given_ = present(clearances, [KEY.public], f" {TOKEN}\n", an_asking("r1"), NOW)
    assert (given_.state, given_.claimed_by, given_.approved_by) == ("claimed", "r1", "ann")
    assert clearances.held_by("r1") == given_
    assert present(clearances, KEY.public, TOKEN, an_asking("r1"), NOW) == given_
    said = refusal("replayed", lambda: present(clearances, KEY.public, TOKEN, an_asking("r2"), NOW))
    assert "used by the run r1 at 2026-03-01 12:00:00 UTC" in said
    clearances.spend(GRANT.id)
    for run in ("r1", "r2"):
        refusal(
            "replayed",
            lambda run=run: present(clearances, KEY.public, TOKEN, an_asking(run), NOW),
        )


def test_the_time_is_that_of_whoever_keeps_them(clearances: Clearances) -> None:
    assert present(clearances, KEY.public, TOKEN, an_asking()).claimed_at == NOW
    late = MemoryClearances(clock=lambda: NOW + HOUR)
    refusal("expired", lambda: present(late, KEY.public, TOKEN, an_asking()))


def test_a_token_of_a_clearance_that_is_kept_uses_it_up(clearances: Clearances) -> None:
    clearances.put(GRANT)
    open_ = replace(GRANT, session_id=None, user_id=None)
    asking = an_asking("ci", session_id="ci", user_id=None)
    token = export(open_, KEY.private)
    assert present(clearances, KEY.public, token, asking, NOW).claimed_by == "ci"
    assert present(clearances, KEY.public, token, asking, NOW).claimed_by == "ci"
    refusal("other_run", lambda: present(clearances, [], GRANT.id, an_asking("r1"), NOW))


def test_a_clearance_that_was_revoked_here_is_so_as_a_token(clearances: Clearances) -> None:
    clearances.put(GRANT)
    clearances.revoke(GRANT.id, by="ann")
    refusal("revoked", lambda: present(clearances, KEY.public, TOKEN, an_asking(), NOW))
    clearances.put(a_grant(id="other", state="waiting"))
    waiting = export(a_grant(id="other"), KEY.private)
    refusal("waiting", lambda: present(clearances, KEY.public, waiting, an_asking(), NOW))


def test_a_token_and_a_row_of_one_id_are_of_one_plan(clearances: Clearances) -> None:
    clearances.put(GRANT)
    other = export(a_grant(id=GRANT.id, plan=OTHER), KEY.private)
    asking = an_asking(plan_digest=None)
    refusal("forged", lambda: present(clearances, KEY.public, other, asking, NOW))
    assert clearances.get(GRANT.id) == GRANT


def test_a_token_that_is_refused_leaves_nothing(clearances: Clearances) -> None:
    for asking, now in ((an_asking(swarm="Other"), NOW), (an_asking(), NOW + HOUR)):
        with pytest.raises(ClearanceRefused):
            present(clearances, KEY.public, TOKEN, asking, now)
    refusal("unknown", lambda: clearances.get(GRANT.id))


@pytest.mark.parametrize("presented", [None, "", " ", 7, "x" * 256, "a\0b", "a.b", "..", "a\nb"])
def test_what_is_neither_an_id_nor_a_token(presented: Any) -> None:
    store = MemoryClearances()
    refusal("malformed", lambda: present(store, [KEY.public], presented, an_asking(), NOW))


def test_an_id_is_presented_without_keys(clearances: Clearances) -> None:
    clearances.put(GRANT)
    assert present(clearances, [], GRANT.id, an_asking(), NOW).state == "claimed"
    refusal("unknown", lambda: present(clearances, [], "x", an_asking("r2"), NOW))
    refusal("no_keys", lambda: present(clearances, [], TOKEN, an_asking("r1"), NOW))
