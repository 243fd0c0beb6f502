"""A hundred schemas of all shapes, made from a seed, and objects of each."""

from __future__ import annotations

import random
from collections.abc import Callable
from enum import Enum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from agno_portkey.contracts import Critique, Judgement, Plan

__all__ = ["WORDS", "objects", "schemas"]

_NOUNS = """
title summary owner amount status city invoice reason account product score region ticket comment
deadline quantity currency country customer message topic source target version priority category
address description balance rating label channel department supplier
"""
NOUNS = _NOUNS.split()
_WORDS = """
alpha river quiet ledger October signal harbour velvet margin orbit copper lantern, however
north (draft) half-day 3rd meadow: window; \u201cso\u201d it's O'Neil's 42% e.g. naïve Zürich 東京
"""
WORDS = _WORDS.split()
CHOICES = (
    ("open", "closed", "pending"),
    ("low", "medium", "high"),
    ("approve", "revise", "reject"),
    ("in_progress", "done", "blocked_by_other"),
    ("EUR", "USD", "GBP"),
)

Make = Callable[[random.Random], Any]
Kind = tuple[Any, Make]


def _text(rng: random.Random) -> str:
    text = " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, 8)))
    if rng.random() < 0.15:
        text += rng.choice(
            ["\nsecond line", ' said "yes"', " \\d+ C:\\temp", "\ttab", " {x}", " [1]"]
        )
    return text


def _number(rng: random.Random) -> float:
    return round(rng.uniform(-500, 500), rng.choice([1, 2, 3]))


def _enum(rng: random.Random) -> Kind:
    choices = rng.choice(CHOICES)
    if rng.random() < 0.5:
        return Literal[choices], lambda r: r.choice(choices)  # type: ignore[valid-type]
    kind = Enum("Choice", {f"C{i}": one for i, one in enumerate(choices)}, type=str)  # type: ignore[misc]
    return kind, lambda r: r.choice(choices)


def _scalar(rng: random.Random) -> Kind:
    kinds: list[Kind] = [
        (str, _text),
        (str, _text),
        (int, lambda r: r.randint(-1000, 100_000)),
        (float, _number),
        (bool, lambda r: r.random() < 0.5),
        _enum(rng),
    ]
    return rng.choice(kinds)


def _listed(kind: Kind, low: int = 0) -> Kind:
    annotation, make = kind
    return list[annotation], lambda r: [make(r) for _ in range(r.randint(low, 4))]  # type: ignore[valid-type]


def _kind(rng: random.Random, depth: int) -> Kind:
    draw = rng.random()
    if draw < 0.6 or depth == 0:
        return _scalar(rng)
    if draw < 0.75:
        return _listed(_scalar(rng))
    inner = _model(rng, depth - 1)
    if draw < 0.9:
        return _listed(inner)
    return inner


def _model(rng: random.Random, depth: int, name: str = "Part") -> Kind:
    fields: dict[str, Any] = {}
    makers: dict[str, tuple[Make, bool]] = {}
    for noun in rng.sample(NOUNS, rng.randint(2, 6)):
        key = noun if rng.random() < 0.6 else f"{noun}_{rng.choice(['id', 'name', 'code', 'text'])}"
        annotation, make = _kind(rng, depth)
        optional = rng.random() < 0.25
        fields[key] = (annotation | None, None) if optional else (annotation, Field())
        makers[key] = (make, optional)
    extra = rng.choice(["forbid", "forbid", "ignore"])
    model = create_model(name, __config__=ConfigDict(extra=extra), **fields)

    def made(r: random.Random) -> dict[str, Any]:
        return {
            key: make(r)
            for key, (make, optional) in makers.items()
            if not optional or r.random() < 0.7
        }

    return model, made


def _plan(rng: random.Random) -> dict[str, Any]:
    steps = []
    for _ in range(rng.randint(1, 4)):
        inputs = [
            {"name": f"n{i}", "value": rng.choice([1, "x", True])} for i in range(rng.randint(0, 2))
        ]
        steps.append(
            {
                "action": _text(rng),
                "tool": rng.choice(NOUNS),
                "inputs": inputs,
                "expected": _text(rng),
            }
        )
    return {"goal": _text(rng), "steps": steps}


def _critique(rng: random.Random) -> dict[str, Any]:
    issues = [
        {
            "severity": rng.choice(["blocking", "major", "minor"]),
            "description": _text(rng),
            "step": i + 1,
        }
        for i in range(rng.randint(0, 3))
    ]
    return {"summary": _text(rng), "issues": issues}


def _judgement(rng: random.Random) -> dict[str, Any]:
    return {
        "decision": rng.choice(["approve", "revise", "reject"]),
        "score": rng.choice([1, 7.5, 9, 3.25]),
        "reasons": [_text(rng) for _ in range(rng.randint(1, 3))],
    }


def schemas(seed: int = 0, count: int = 100) -> list[tuple[type[BaseModel], Make]]:
    """The roles' schemas and `count` others, each with what makes an object of it."""
    rng = random.Random(seed)
    made: list[tuple[type[BaseModel], Make]] = [
        (Plan, _plan),
        (Critique, _critique),
        (Judgement, _judgement),
    ]
    for place in range(count):
        made.append(_model(rng, depth=rng.randint(0, 3), name=f"Reply{place}"))
    return made


def objects(schema: type[BaseModel], make: Make, rng: random.Random) -> dict[str, Any]:
    """An object that fits `schema` as it is."""
    while True:
        found: dict[str, Any] = make(rng)
        try:
            schema.model_validate(found)
        except ValueError:
            continue
        if found:
            return found
