"""Addresses of one's own network, in every spelling: no gateway is told to ask them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agno_portkey.errors import ConfigurationError
from agno_portkey.knowledge.embedder import PortkeyEmbedder
from agno_portkey.model import PortkeyModel
from agno_portkey.routing import Fallback, Target
from agno_portkey.routing.hosts import TRUSTED_VARIABLE, check_host
from agno_portkey.routing.local import LocalGateway, child_environment
from agno_portkey.testing import EmbeddedProvider

AFAR = "https://gateway.example.com/v1"
HERE = "http://127.0.0.1:8787/v1"

OWN = [
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
    *("172.16.0.0/12", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4"),
]
OWN_SIX = ["::/128", "::1/128", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8", "2001:db8::/32"]


def inside(networks: list[str]) -> st.SearchStrategy[int]:
    ranges = [ip_network(each) for each in networks]
    return st.one_of(
        st.integers(int(each.network_address), int(each.broadcast_address)) for each in ranges
    )


def spellings(number: int) -> list[str]:
    a, b, c, d = number.to_bytes(4)
    return [
        f"{a}.{b}.{c}.{d}",
        str(number),
        hex(number),
        f"0{number:o}",
        f"{a}.{number & 0xFFFFFF}",
        f"{a}.{b}.{number & 0xFFFF}",
        f"{a:#x}.{b:#x}.{c}.{d:#x}",
        f"0{a:o}.{b}.{c}.{d}",
        f"{a}.{b}.{c}.{d}.",
    ]


def forms(number: int) -> list[str]:
    six = [
        IPv6Address(0xFFFF << 32 | number),
        IPv6Address(0x2002 << 112 | number << 80),
        IPv6Address(0x0064FF9B << 96 | number),
        IPv6Address(0x0064FF9B0001 << 80 | number),
        IPv6Address(0x20010000 << 96 | (number ^ 0xFFFFFFFF)),
        IPv6Address(max(number, 2)),
    ]
    return [*(f"[{each}]" for each in six), f"[::ffff:{IPv4Address(number)}]"]


def is_refused(host: str, gateway: str = AFAR) -> bool:
    try:
        check_host(f"https://{host}:8443/v1", name="custom_host", gateway=gateway)
    except ConfigurationError:
        return True
    return False


@given(inside(OWN), st.integers(0, 8))
def test_every_spelling_of_an_address_of_ones_own_is_refused(number: int, which: int) -> None:
    assert is_refused(spellings(number)[which])


@given(inside(OWN), st.integers(0, 6))
def test_every_address_that_stands_for_one_is_refused(number: int, which: int) -> None:
    assert is_refused(forms(number)[which])
    assert is_refused(forms(number)[which], HERE), "the machine is named plainly, or not at all"


@given(inside(OWN_SIX))
def test_addresses_of_the_newer_kind_are_refused(number: int) -> None:
    assert is_refused(f"[{IPv6Address(number)}]")
    assert is_refused(f"[{IPv6Address(number).exploded.upper()}]")


@pytest.mark.parametrize(
    "host",
    [
        "api.openai.com",
        "8.8.8.8",
        "[2606:4700::1111]",
        "xn--bcher-kva.example.org",
        "a_b.example.com",
    ],
)
def test_public_ones_are_not(host: str) -> None:
    assert not is_refused(host)


@pytest.mark.parametrize(
    "host",
    [
        *("metadata.google.internal", "METADATA.google.INTERNAL", "metadata", "instance-data"),
        *("metadata.azure.com", "168.63.129.16", "100.100.100.200", "[fd00:ec2::254]"),
        *("db.corp", "nas.local", "vllm.default.svc.cluster.local", "ollama", "example.com."),
        *("a..example.com", ".", "..", "127.0.0.1.", "localhost.", "1.2.3", "1.2.3.4.5"),
        *("0x", "08.8.8.8"),
    ],
)  # fmt: skip
def test_names_of_ones_own_network_are_refused(host: str) -> None:
    assert is_refused(host)
    assert is_refused(host, HERE)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.8.8", "[::1]", "a.localhost"])
def test_a_gateway_on_the_machine_may_be_told_to_ask_the_machine(host: str) -> None:
    for gateway in (HERE, "http://localhost:8787/v1", "http://[::1]:1/v1"):
        assert not is_refused(host, gateway)
    for gateway in (AFAR, "http://localhost.example.com/v1", "http://10.0.0.1/v1"):
        assert is_refused(host, gateway)


@pytest.mark.parametrize(
    "url",
    [
        *("file:///etc/passwd", "ftp://example.com", "gopher://example.com", "//a.com", "", "x"),
        *("http://a@example.com", "http://example.com\\@127.0.0.1", "http://example.com#@127.0.0.1"),
        *("http://example.com?@127.0.0.1/", "http://127.0.0.1%2f@example.com", "http://[fe80::1%25a]"),
        *("http://example.com:0/", "http://example.com:65536/", "http://example.com:", "http://"),
        *("http://exa mple.com", "http://example.com/\r\nx: y", "http://\uff11\uff12\uff17.0.0.1"),
        *("http://%31%32%37.0.0.1", "http:/example.com", "http:///example.com", " http://example.com"),
    ],
)  # fmt: skip
def test_an_address_in_no_plain_form_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"custom_host: a plain http\(s\)://"):
        check_host(url, name="custom_host", gateway=HERE)


@given(st.text(max_size=40))
def test_no_text_does_anything_else(text: str) -> None:
    for url in (text, f"http://{text}", f"http://[{text}]/"):
        try:
            check_host(url, name="custom_host", gateway=AFAR)
        except ConfigurationError:
            continue
        # Whatever passes is what every reader of addresses takes it for.
        read = httpx.URL(url)
        assert read.scheme in ("http", "https")
        assert read.host.strip("[]") in url.lower()
        assert not read.userinfo


def test_what_is_meant_is_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TRUSTED_VARIABLE, "ollama, 10.1.0.0/16 ,192.168.1.5,[fd00::5]")
    assert [h for h in ("ollama", "10.1.9.9", "192.168.1.5", "[fd00::5]") if is_refused(h)] == []
    for host in ("ollama2", "10.2.0.1", "192.168.1.6", "[fd00::6]", "0x0a010909", "10.1.9.9."):
        assert is_refused(host)


@pytest.mark.parametrize(
    "entry", ["http://ollama", "ollama:11434", "10.0.0.0/33", "a b", "*", "10.1"]
)
def test_a_wrong_entry_is_told(entry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TRUSTED_VARIABLE, entry)
    with pytest.raises(ConfigurationError, match=f"{TRUSTED_VARIABLE}: .*write"):
        check_host("https://10.0.0.1", name="custom_host", gateway=AFAR)


# Where they can be named

PRIVATE = "http://10.0.0.1/v1"
NESTED = {
    "targets": [{"provider": "openai", "api_key": "k"}, {"targets": [{"custom_host": PRIVATE}]}]
}
HIDDEN = json.dumps(NESTED).replace("custom_host", "c\\u0075stom_host")


@pytest.mark.parametrize(
    "given",
    [
        {"custom_host": PRIVATE},
        {"custom_host": "http://127.0.0.1:1"},
        {"default_headers": {"X-PORTKEY-Custom-Host": PRIVATE}},
        {"extra_headers": {"x-portkey-CUSTOM-host": PRIVATE}},
        {"extra_headers": {"x-portkey-azure-foundry-url": PRIVATE}},
        {"extra_headers": {"X-Portkey-Config": json.dumps(NESTED)}},
        {"extra_headers": {"X-Portkey-Config": HIDDEN}},
        {"config": Target(provider="openai", api_key="k", custom_host=PRIVATE)},
        {"config": {"provider": "openai", "api_key": "k", "custom_host": PRIVATE}},
        {"config": Target(provider="huggingface", api_key="k", huggingface_base_url=PRIVATE)},
        {
            "config": Fallback(
                targets=[
                    Target(provider="openai", api_key="k", model="a"),
                    Target(provider="openai", api_key="k", model="b", custom_host=PRIVATE),
                ]
            )
        },
    ],
)  # fmt: skip
def test_a_model_is_not_made_with_one(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=TRUSTED_VARIABLE):
        PortkeyModel(**{"portkey_provider": None, "base_url": AFAR, **given})


def ask(model: PortkeyModel) -> None:
    from agno.models.message import Message

    model.response([Message(role="user", content="Hi")])


def aask(model: PortkeyModel) -> None:
    from agno.models.message import Message

    asyncio.run(model.aresponse([Message(role="user", content="Hi")]))


def late_headers(model: PortkeyModel) -> None:
    model.extra_headers = {"x-PORTKEY-custom-host": PRIVATE}


def in_parameters(model: PortkeyModel) -> None:
    model.request_params = {"extra_headers": {"x-portkey-custom-host": PRIVATE}}


def in_the_client(model: PortkeyModel) -> None:
    model.client_params = {"default_headers": {"X-Portkey-Config": HIDDEN}}


def as_custom_host(model: PortkeyModel) -> None:
    model.custom_host = PRIVATE


@pytest.mark.parametrize("change", [late_headers, in_parameters, in_the_client, as_custom_host])
@pytest.mark.parametrize("how", [ask, aask])
def test_what_is_set_later_is_not_sent(
    how: Callable[[PortkeyModel], None],
    change: Callable[[PortkeyModel], None],
    portkey_provider: EmbeddedProvider,
) -> None:
    model = PortkeyModel(base_url=portkey_provider.url, portkey_provider="openai", api_key="k")
    change(model)
    with pytest.raises(ConfigurationError, match=TRUSTED_VARIABLE):
        how(model)
    assert portkey_provider.requests == []


def test_an_embedder_sends_none(portkey_provider: EmbeddedProvider) -> None:
    embedder = PortkeyEmbedder(
        base_url=portkey_provider.url,
        portkey_provider="openai",
        api_key="k",
        request_params={"extra_headers": {"X-Portkey-Custom-Host": PRIVATE}},
    )
    with pytest.raises(ConfigurationError, match=TRUSTED_VARIABLE):
        embedder.embed(["a"])
    assert portkey_provider.requests == []


# The local gateway


def test_the_local_gateway_is_told_whom_to_trust(monkeypatch: pytest.MonkeyPatch) -> None:
    named = child_environment({TRUSTED_VARIABLE: "ollama"}, trusted_hosts=["10.0.0.0/30"])
    assert named[TRUSTED_VARIABLE] == "ollama,10.0.0.0,10.0.0.1,10.0.0.2,10.0.0.3"
    with pytest.raises(ConfigurationError, match=r"10\.0\.0\.0/8 is too large"):
        LocalGateway(trusted_hosts=["10.0.0.0/8"])
    assert TRUSTED_VARIABLE not in child_environment({})


def test_a_model_trusts_whom_its_local_gateway_does(portkey_gateway: LocalGateway) -> None:
    def make(gateway: LocalGateway) -> None:
        PortkeyModel(
            base_url=gateway.url, portkey_provider="openai", custom_host=PRIVATE, api_key="k"
        )

    with LocalGateway(trusted_hosts=["10.0.0.1"]) as trusting:
        make(trusting)
        with pytest.raises(ConfigurationError, match=TRUSTED_VARIABLE):
            make(portkey_gateway)
