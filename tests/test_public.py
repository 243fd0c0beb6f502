"""The table of contents is what can be seen, and every name in it is there."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import pytest

import agno_portkey
from agno_portkey import errors, guardrails

MODULES = [m.name for m in pkgutil.walk_packages(agno_portkey.__path__, "agno_portkey.")]


def test_the_top_level_holds_what_it_lists() -> None:
    visible = {
        name
        for name in dir(agno_portkey)
        if not name.startswith("_") and not inspect.ismodule(getattr(agno_portkey, name))
    }
    assert visible == set(agno_portkey.__all__)


def test_guardrails_hold_what_users_write_with_and_no_more() -> None:
    visible = {
        name
        for name, value in vars(guardrails).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert visible == set(guardrails.__all__)
    assert visible == {
        *("AgnoGuard", "ModerationGuardrail", "PIIGuardrail", "PromptInjectionGuardrail"),
        *("SecretsGuardrail", "Guard", "guard", "Passage", "Scene"),
        *("Finding", "Block", "Flag", "Rewrite", "raise_on_block", "verdict_of"),
    }


@pytest.mark.parametrize("name", MODULES)
def test_every_module_has_a_docstring_and_lists_what_it_offers(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__
    listed = getattr(module, "__all__", [])
    assert [name for name in listed if not hasattr(module, name)] == []


def test_the_tree_of_errors_is_the_one_drawn() -> None:
    drawn = [line for line in (errors.__doc__ or "").splitlines() if "──" in line]
    names = {line.split("── ")[1].split()[0] for line in drawn} | {"AgnoPortkeyError"}
    assert names == set(errors.__all__)
    for name in names:
        assert issubclass(getattr(errors, name), errors.AgnoPortkeyError)
