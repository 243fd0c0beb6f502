"""Where vectors are kept if nobody says so, and what is said where that can't be."""

from __future__ import annotations

from pathlib import Path

import pytest

from agno_portkey.errors import ConfigurationError
from agno_portkey.knowledge import EmbeddingCache, PortkeyEmbedder


def test_the_usual_folder_is_made_for_its_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "new"))
    cache = EmbeddingCache()
    assert Path(cache.path) == tmp_path / "new" / "agno-portkey" / "embeddings.db"
    assert Path(cache.path).parent.stat().st_mode & 0o777 == 0o700


def test_a_usual_folder_that_can_not_be_made_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    said = r"path: the folder .*agno-portkey can't be made \(\w+\); give the path of a file"
    with pytest.raises(ConfigurationError, match=said):
        EmbeddingCache()
    with pytest.raises(ConfigurationError, match=said):
        PortkeyEmbedder(base_url="http://localhost:1", api_key="k", cache=True)
    # With a file of its own it needs none.
    assert EmbeddingCache(tmp_path / "vectors.db").get([b"key"]) == {}
