"""Hooks for Agno's `pre_hooks` and `post_hooks`; `govern` installs them, and each works by hand."""

from agno_portkey.hooks.audit import AuditHook
from agno_portkey.hooks.base import Hook, Moment
from agno_portkey.hooks.contract import ContractHook
from agno_portkey.hooks.gate import GateHook
from agno_portkey.hooks.progress import ProgressHook
from agno_portkey.hooks.tags import TagHook

__all__ = [
    "AuditHook",
    "ContractHook",
    "GateHook",
    "Hook",
    "Moment",
    "ProgressHook",
    "TagHook",
]
