"""Passwords that neither their form nor a name right before them tells, but what stands around."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agno_portkey.guardrails.secrets.names import is_secret

__all__ = ["beside_a_login"]

# Each with the words one of which stands in a text that has one, in small letters.
_BESIDE = (
    # auth = ("ann", "..."), HTTPBasicAuth("ann", "...")
    (
        ("auth", "credential", "login"),
        re.compile(
            r"(?:auth|credentials?|login)\w{0,20}[ \t]{0,2}(?:[=:][ \t]{0,2})?\(\s{0,20}"
            r"(?P<q>[\"'])[^\"'\n]{1,100}(?P=q),\s{0,20}"
            r"(?P<r>[\"'])(?P<value>[^\"'\n]{6,200})(?P=r)\s{0,20}\)",
            re.IGNORECASE,
        ),
    ),
    # machine ... login ann password ...
    (
        ("password",),
        re.compile(
            r"\b(?:login|user|username|account)\s{1,4}\S{1,64}\s{1,8}password[ \t]{1,4}"
            r"(?P<value>\S{6,100})",
            re.IGNORECASE,
        ),
    ),
    # mysqldump -u root -p...
    (
        ("mysql", "mariadb"),
        re.compile(
            r"\b(?:mysql|mariadb)\w{0,20}[ \t][^\n]{0,200}?[ \t]-p(?P<value>[^\s-]\S{5,100})"
        ),
    ),
    # curl -u ann:...
    (
        ("curl", "wget"),
        re.compile(
            r"[ \t](?:-u|--user|--proxy-user)[ \t=]{1,3}[\"']?[^\s:\"']{1,100}:"
            r"(?P<value>[^\s\"']{6,200})"
        ),
    ),
    # host:5432:database:user:...
    (
        (":",),
        re.compile(
            r"^[\w.*-]{1,100}:(?:\d{4,5}|\*):(?:[A-Za-z_][\w-]{0,60}|\*):[A-Za-z_][\w-]{0,60}:"
            r"(?P<value>[^\s:]{6,100})$",
            re.MULTILINE,
        ),
    ),
)


def beside_a_login(text: str, lower: str) -> Iterator[tuple[int, int]]:
    """Where passwords stand beside the name of who logs in."""
    for gates, pattern in _BESIDE:
        if any(gate in lower for gate in gates):
            for found in pattern.finditer(text):
                if is_secret("password", found["value"]):
                    yield found.span("value")
