"""Which addresses a gateway may be told to ask: providers', and not its own network's.

Who may choose `custom_host` could else have the gateway read what only its machine can reach. What
is meant is named in `AGNO_PORTKEY_TRUSTED_HOSTS`: hosts, addresses and networks, with commas
between them.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Any

import httpx

from agno_portkey.errors import ConfigurationError
from agno_portkey.routing.config.leaves import ROOT, below
from agno_portkey.routing.config.routes import Route, children

__all__ = [
    "TRUSTED_VARIABLE",
    "Trusted",
    "check_headers",
    "check_host",
    "check_request",
    "check_route_hosts",
    "no_longer_trusted_at",
    "trusted_at",
]

TRUSTED_VARIABLE = "AGNO_PORTKEY_TRUSTED_HOSTS"

_Address = IPv4Address | IPv6Address

# As strict as no parser is, so that none reads another host in it than is checked here.
_FORM = re.compile(
    r"https?://(?:\[(?P<six>[0-9a-f:.]+)\]|(?P<name>[a-z0-9._-]+))(?::(?P<port>[0-9]{1,5}))?"
    r"(?:/[!-\[\]-~]*)?",
    re.IGNORECASE,
)
_MOST_ADDRESSES = 1024
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.IGNORECASE)
# The headers, and the keys of a config, that name an address.
_NAMES = ("custom-host", "huggingface-base-url", "azure-foundry-url")
_FIELDS = tuple(name.replace("-", "_") for name in _NAMES)
_HEADERS = tuple(f"x-portkey-{name}" for name in _NAMES)
_KEYS = frozenset(name.replace("-", "") for name in _NAMES)
_CONFIG = "x-portkey-config"
# An escaped letter could hide a key; other escapes of letters than these are not ASCII.
_MAY_NAME = re.compile(r"custom|base|foundry|\\u00", re.IGNORECASE)

_OWN_NAMES = frozenset(
    {"metadata", "instance-data", "metadata.google.internal", "metadata.azure.com"}
)
_OWN_ENDS = (
    *(".local", ".localdomain", ".internal", ".intranet", ".lan", ".home", ".home.arpa"),
    *(".corp", ".test", ".invalid", ".onion", ".localhost"),
)
# What stands for the machine itself, which a gateway on it may ask.
_THIS_MACHINE = frozenset({"localhost", "host.docker.internal"})
# Public by their number, and the cloud's own.
_CLOUD = frozenset({ip_address("168.63.129.16")})
_NAT64 = (ip_network("64:ff9b::/96"), ip_network("64:ff9b:1::/48"))
_COMPATIBLE = ip_network("::/96")


@dataclass(frozen=True, slots=True)
class Trusted:
    """Hosts by name, addresses and networks that may be asked although they are one's own."""

    names: frozenset[str] = frozenset()
    networks: tuple[IPv4Network | IPv6Network, ...] = ()

    @classmethod
    def of(cls, entries: Iterable[str], *, name: str = TRUSTED_VARIABLE) -> Trusted:
        """Those that `entries` tell; ConfigurationError by `name` for what is none."""
        names, networks = set[str](), list[IPv4Network | IPv6Network]()
        for entry in (each.strip().lower() for each in entries):
            try:
                networks.append(ip_network(entry.strip("[]")))
            except ValueError:
                if not re.fullmatch(r"[a-z0-9._-]*[a-z_-][a-z0-9._-]*", entry):
                    raise ConfigurationError(
                        f"{name}: {entry!r} is no host, address or network: write `ollama`, "
                        "`10.0.0.5` or `10.0.0.0/24`, without a scheme, port or path"
                    ) from None
                names.add(entry)
        return cls(frozenset(names), tuple(networks))

    def spelled(self) -> list[str]:
        """Each name and address, for who can't read networks; ConfigurationError for large ones."""
        for network in self.networks:
            if network.num_addresses > _MOST_ADDRESSES:
                raise ConfigurationError(
                    f"trusted_hosts: {network} is too large for the local gateway, which compares "
                    f"texts; name hosts, or networks of {_MOST_ADDRESSES} addresses at most"
                )
        return [*sorted(self.names), *(str(one) for network in self.networks for one in network)]

    def holds(self, host: str | _Address) -> bool:
        """Whether `host` is one of them."""
        if isinstance(host, str):
            return host in self.names
        return any(host in network for network in self.networks)


# What a local gateway of this process was started with, by its host and port.
_started: dict[str, Trusted] = {}


def trusted_at(gateway: str, trusted: Trusted) -> None:
    """Note what the gateway at this address was told to trust."""
    _started[_place(gateway)] = trusted


def no_longer_trusted_at(gateway: str) -> None:
    """Forget it: the gateway has ended, and another may get its port."""
    _started.pop(_place(gateway), None)


def check_host(url: object, *, name: str, gateway: str) -> None:
    """Refuse an address that the gateway at `gateway` should not be told to ask.

    ConfigurationError by `name` for one of a private network, of the machine itself (unless the
    gateway is on it), of a cloud's metadata, or in a form that hides which one it is.
    """
    found = _FORM.fullmatch(str(url))
    if found is None or (found["port"] is not None and not 0 < int(found["port"]) < 65_536):
        raise ConfigurationError(
            f"{name}: a plain http(s)://host[:port]/path is due, of ASCII letters, without a user "
            "name, spaces or backslashes"
        )
    host = (found["six"] or found["name"]).lower()
    address = _address(host, name)
    why = _why_not(host, address, gateway)
    if why is not None:
        raise ConfigurationError(
            f"{name}: {host} is {why}, which the gateway must not be told to ask. Give the "
            f"provider's public address; if this one is meant, add it to {TRUSTED_VARIABLE}"
        )


def check_headers(headers: Mapping[str, Any] | None, *, name: str, gateway: str) -> None:
    """Refuse headers that name such an address, a config among them, in any case of letters."""
    for header, value in (headers or {}).items():
        lower = str(header).lower()
        if isinstance(value, bytes):
            value = value.decode("latin-1")
        if lower in _HEADERS and isinstance(value, str):
            check_host(value, name=f"{name}.{header}", gateway=gateway)
        elif lower == _CONFIG and isinstance(value, str):
            _check_config(value, name=f"{name}.{header}", gateway=gateway)


def check_request(request: httpx.Request) -> None:
    """Refuse a request that names such an address to the gateway that it is for."""
    headers = request.headers
    if any(name in headers for name in (*_HEADERS, _CONFIG)):
        gateway = str(request.url)
        for header, value in headers.multi_items():
            check_headers({header: value}, name="headers", gateway=gateway)


def check_route_hosts(route: Route, *, gateway: str, path: str = ROOT) -> None:
    """Refuse a route, or what is below it, that names such an address."""
    for field in _FIELDS:
        if (value := getattr(route, field, None)) is not None:
            check_host(value, name=f"{path}.{field}", gateway=gateway)
    for index, child in enumerate(children(route)):
        check_route_hosts(child, gateway=gateway, path=below(path, index))


def _check_config(text: str, *, name: str, gateway: str) -> None:
    if not _MAY_NAME.search(text):
        return
    try:
        config = json.loads(text)
    except RecursionError:
        raise ConfigurationError(f"{name}: it is nested too deeply") from None
    except ValueError:
        return  # the id of a hosted one, or what the gateway refuses itself
    for place, value in _hosts(config, name):
        check_host(value, name=place, gateway=gateway)


def _hosts(value: Any, name: str) -> Iterator[tuple[str, object]]:
    """The addresses in plain data, with their paths; without recursion, for it may be deep."""
    left = [(name, value)]
    while left:
        path, held = left.pop()
        if isinstance(held, Mapping):
            for key, each in held.items():
                inner = f"{path}.{key}"
                if re.sub(r"[-_]", "", str(key)).lower() in _KEYS and isinstance(each, str):
                    yield inner, each
                left.append((inner, each))
        elif isinstance(held, list | tuple):
            left += [(f"{path}[{index}]", each) for index, each in enumerate(held)]


def _address(host: str, name: str) -> _Address | None:
    """The address that `host` is, None for a name; what only looks like either is refused."""
    with suppress(ValueError):
        return ip_address(host)
    labels = host.split(".")
    if _NUMBER.fullmatch(labels[-1] or labels[max(len(labels) - 2, 0)]) or ":" in host:
        raise ConfigurationError(
            f"{name}: {host} is an address in a form of its own; write it as four decimal numbers"
        )
    if not all(labels):
        raise ConfigurationError(f"{name}: {host} has a dot too many; leave it out")
    return None


def _why_not(host: str, address: _Address | None, gateway: str) -> str | None:
    trusted = (_from_variable(os.environ.get(TRUSTED_VARIABLE, "")), _started.get(_place(gateway)))
    if any(each.holds(host if address is None else address) for each in trusted if each):
        return None
    if address is None:
        return _why_not_named(host, gateway)
    # Python 3.13 calls an address that is mapped into IPv6 what it is without that.
    plain = getattr(address, "ipv4_mapped", None) is None
    if plain and address.is_loopback and _on_loopback(gateway):
        return None
    return _kind(address)


def _why_not_named(host: str, gateway: str) -> str | None:
    if host in _THIS_MACHINE or host.endswith(".localhost"):
        return None if _on_loopback(gateway) else "the gateway's own machine"
    if host in _OWN_NAMES:
        return "a cloud's metadata"
    if host.endswith(_OWN_ENDS) or "." not in host:
        return "a name of a network of one's own"
    return None


def _kind(address: _Address) -> str | None:
    """What kind of one's own `address` is, also inside another one; None if it is public."""
    for inner in _inside(address):
        if (kind := _kind(inner)) is not None:
            return f"{kind}, in another form"
    if address.is_loopback:
        return "the gateway's own machine"
    if address.is_link_local or address in _CLOUD:
        return "a link's own address, as a cloud's metadata has"
    if address.is_multicast:
        return "an address of many"
    if address.is_unspecified:
        return "no one's address"
    site_local = isinstance(address, IPv6Address) and address.is_site_local
    return None if address.is_global and not site_local else "of a private network"


def _inside(address: _Address) -> Iterator[_Address]:
    """The older addresses that a newer one stands for."""
    if isinstance(address, IPv4Address):
        return
    yield from filter(None, (address.ipv4_mapped, address.sixtofour, *(address.teredo or ())))
    compatible = address in _COMPATIBLE and int(address) > 1
    if compatible or any(address in network for network in _NAT64):
        yield IPv4Address(int(address) & 0xFFFF_FFFF)


@lru_cache(maxsize=16)
def _from_variable(text: str) -> Trusted:
    return Trusted.of(each for each in text.split(",") if each.strip())


@lru_cache(maxsize=64)
def _place(gateway: str) -> str:
    url = httpx.URL(gateway)
    return f"{url.host}:{url.port}"


@lru_cache(maxsize=64)
def _on_loopback(gateway: str) -> bool:
    host = httpx.URL(gateway).host.lower()
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return host == "localhost"
