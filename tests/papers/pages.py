"""The pages that people read: the README, the guides and the docs, and what is in their fences."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
TOP = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")]
DOCS = sorted((ROOT / "docs").rglob("*.md"))
GUIDES = [ROOT / name / "README.md" for name in ("hooks", "guardrails", "cookbook")]
PAGES = [*TOP, *GUIDES, *DOCS]


def called(page: Path) -> str:
    return str(page.relative_to(ROOT))


def fences(page: Path, *languages: str) -> Iterator[str]:
    found = re.findall(r"^ *```(\w*)\n(.*?)^ *```", page.read_text(), re.DOTALL | re.MULTILINE)
    yield from (text for language, text in found if language in languages)


def of(*languages: str) -> list[Path]:
    return [page for page in PAGES if any(fences(page, *languages))]
