"""What each command of `agno-portkey` takes, where it asks for a token."""

from __future__ import annotations

from agno_portkey.security.access.scopes import (
    ADMIN,
    APPROVE,
    AUDIT,
    DASHBOARD,
    KEYS,
    OVERRIDE,
    READ,
    ROTATE,
    STOP,
    TRACES,
)

__all__ = ["COMMAND_SCOPES", "OPTION_SCOPES"]

# Whoever runs these needs files of their own alone: they read and change nothing that is shared.
_FREE: tuple[str, ...] = ()

COMMAND_SCOPES: dict[str, tuple[str, ...]] = {
    "demo": _FREE,
    "doctor": _FREE,
    # Whoever comes to it shows a token of their own.
    "serve": _FREE,
    "stop": (STOP,),
    "resume": (STOP,),
    "stops": (DASHBOARD,),
    "alerts rules": _FREE,
    "alerts check": _FREE,
    "alerts test": _FREE,
    "audit verify": (AUDIT,),
    "audit export": (AUDIT,),
    "audit tail": (AUDIT,),
    # A program of the caller's own, with a journal and keys of their own.
    "batch submit": _FREE,
    "batch status": _FREE,
    "batch cancel": _FREE,
    "batch fetch": _FREE,
    "cache report": (DASHBOARD,),
    "cache list": (DASHBOARD,),
    "cache log": (AUDIT,),
    "cache forget": (ADMIN,),
    "gate check": _FREE,
    "gate waiting": (READ,),
    "gate approve": (APPROVE,),
    "gate revoke": (APPROVE,),
    "gate history": (READ,),
    "gate report": (READ,),
    "gate calibrate": (READ,),
    "gate propose": (READ,),
    "gate adjust": (APPROVE,),
    "gate rollback": (APPROVE,),
    "gate thresholds": (READ,),
    "gate key": _FREE,
    # What it prints lets a Runner run.
    "gate export": (APPROVE,),
    "gate verify": _FREE,
    "gateway install": _FREE,
    "gateway start": _FREE,
    "gateway doctor": _FREE,
    "keys lint": _FREE,
    "keys status": (KEYS,),
    "keys due": (KEYS,),
    "keys rotate": (ROTATE,),
    "keys revoke": (ROTATE,),
    "ledger report": (DASHBOARD,),
    "policy check": _FREE,
    "policy schema": _FREE,
    "routing check": _FREE,
    "routing show": _FREE,
    "routing schema": _FREE,
    "trace list": (TRACES,),
    "trace show": (TRACES,),
}
"""The scopes that each command takes; one that is not here is refused."""

OPTION_SCOPES: dict[tuple[str, str], tuple[str, ...]] = {
    ("gate approve", "override"): (OVERRIDE,),
    # The result then counts as a check of a gate.
    ("gate check", "record"): (APPROVE,),
}
"""What an option takes beside its command."""
