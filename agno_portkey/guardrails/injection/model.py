"""The injection model: weights as data, read at first use, and the score that they give a text."""

from __future__ import annotations

import json
from array import array
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import sha256
from importlib.resources import files
from math import sqrt
from typing import Any
from zlib import compress, decompressobj, error

from agno_portkey.errors import ConfigurationError
from agno_portkey.guardrails.injection.features import (
    VERSION,
    pair_slots,
    piece_slots,
    windows,
    word_code,
)
from agno_portkey.guardrails.injection.text import tokens, views

__all__ = ["Model", "default_model", "packed"]

_FORMAT = 1
# How many words are remembered with what their pieces add up to.
_KNOWN = 50_000


class Model:
    """A logistic regression over hashed words, pairs of words, and pieces of words.

    `data` is what `packed` makes; anything else raises `ConfigurationError`. Thread-safe.
    """

    def __init__(self, data: Mapping[str, Any]) -> None:
        weights, self._mask = _weights(data)
        half = len(weights) // 2
        self._words, self._pieces = weights[:half], weights[half:]
        self._word_scale, self._piece_scale = map(float, data["scales"])
        self._bias = float(data["bias"])
        self.threshold = float(data["threshold"])
        self._known: dict[str, tuple[int, int, int]] = {}

    def score(self, text: str) -> float:
        """The highest log-odds of all windows of `text`: above 0, an injection is likely."""
        return max(self._window(window) for view in views(text) for window in windows(tokens(view)))

    def _window(self, window: Sequence[str]) -> float:
        known, added, count = self._known, 0, 0
        codes = []
        met: set[str] = set()
        for word in window:
            code, pieces, many = known.get(word) or self._read(word)
            codes.append(code)
            if word not in met:
                met.add(word)
                added, count = added + pieces, count + many
        score = self._bias
        if count:
            score += self._piece_scale * added / sqrt(count)
        if slots := pair_slots(codes, self._mask):
            told = sum(map(self._words.__getitem__, slots))
            score += self._word_scale * told / sqrt(len(slots))
        return score

    def _read(self, word: str) -> tuple[int, int, int]:
        slots = piece_slots(word, self._mask)
        read = word_code(word), sum(map(self._pieces.__getitem__, slots)), len(slots)
        if len(self._known) >= _KNOWN:
            self._known.clear()
        self._known[word] = read
        return read


@cache
def default_model() -> Model:
    """The model that comes with the package."""
    file = files("agno_portkey.guardrails.injection") / "model.json"
    return Model(json.loads(file.read_text("utf-8")))


def packed(
    weights: Sequence[int], *, scales: tuple[float, float], bias: float, threshold: float
) -> dict[str, Any]:
    """A model as plain data: weights of -127 to 127, those of words and then those of pieces."""
    raw = array("b", weights).tobytes()
    return {
        "format": _FORMAT,
        "features": VERSION,
        "size": len(raw),
        "scales": list(scales),
        "bias": bias,
        "threshold": threshold,
        "sha256": sha256(raw).hexdigest(),
        "weights": b64encode(compress(raw, 9)).decode(),
    }


def _weights(data: Mapping[str, Any]) -> tuple[array[int], int]:
    """The weights of `data`, and the mask of their places."""
    try:
        if (data["format"], data["features"]) != (_FORMAT, VERSION):
            raise ConfigurationError("injection model: made for another version; train it anew")
        size = int(data["size"])
        unpack = decompressobj()
        raw = unpack.decompress(b64decode(data["weights"], validate=True), size + 1)
        whole = len(raw) == size >= 2 and size & (size - 1) == 0
        numbers = [*data["scales"], data["bias"], data["threshold"]]
        if not whole or len(numbers) != 4 or sha256(raw).hexdigest() != data["sha256"]:
            raise ConfigurationError("injection model: damaged; install the package anew")
        [float(number) for number in numbers]
    except (KeyError, TypeError, ValueError, error) as exc:
        if isinstance(exc, ConfigurationError):
            raise
        raise ConfigurationError(f"injection model: not readable ({type(exc).__name__})") from None
    return array("b", raw), size // 2 - 1
