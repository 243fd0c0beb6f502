"""Search by words and by meaning: ours by step, beside BM25, vectors and Agno's own hybrid.

    make bench-search QRELS=cranfield.json [ARGS="quality [--quick]"]
    make bench-search ARGS="latency [--quick]"
    make bench-search ARGS="indexing [--quick]"

QRELS is a JSON file `{"docs": {id: text}, "queries": {id: text}, "qrels": {id: {id: grade}}}`; it
is not shipped. With the package ir-datasets, `ARGS="fetch cranfield" QRELS=cranfield.json` writes
one. nDCG@10 and recall@100 are means over the queries, with intervals of 95 % by bootstrap; the
difference is that of the same queries. All settings are the defaults; how many documents and terms
`Feedback` takes was chosen on the CISI collection.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

os.environ["AGNO_TELEMETRY"] = "false"

import bm25s
import numpy as np
import Stemmer
from agno.knowledge.document import Document
from agno.knowledge.embedder.base import Embedder
from agno.utils.log import logger
from agno.vectordb.lancedb import LanceDb
from agno.vectordb.search import SearchType
from rich.console import Console
from rich.progress import track
from rich.table import Table
from search_indexing import indexing
from search_latency import latency

from agno_portkey.knowledge import Feedback, HybridSearch, LocalEmbedder

DEPTH, CUT, DRAWS = 100, 10, 10_000
# The goals: nDCG@10 on Cranfield, and how much more than Agno's own hybrid.
GOAL, MORE = 0.45, 0.05
HOW = """QRELS is a JSON file of documents, queries and relevance:
  {"docs": {id: text}, "queries": {id: text}, "qrels": {query id: {document id: grade}}}
Cranfield, for one, comes with the package ir-datasets:
  pip install ir-datasets
  make bench-search ARGS="fetch cranfield" QRELS=cranfield.json
  make bench-search QRELS=cranfield.json"""

Finds = Callable[[str], Sequence[str]]


class Remembered(Embedder):
    """MiniLM, asked for each text once, whoever asks."""

    def __init__(self) -> None:
        super().__init__(dimensions=384)
        self._local = LocalEmbedder()
        self._known: dict[str, list[float]] = {}

    def learn(self, texts: Sequence[str]) -> None:
        for start in track(range(0, len(texts), 128), "embedding", transient=True):
            some = texts[start : start + 128]
            self._known |= zip(some, self._local.embed(some), strict=True)

    def get_embedding(self, text: str) -> list[float]:
        if text not in self._known:
            self.learn([text])
        return self._known[text]

    def get_embedding_and_usage(self, text: str) -> tuple[list[float], None]:
        return self.get_embedding(text), None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "what", nargs="?", default="quality", help="quality, latency, indexing or fetch"
    )
    parser.add_argument("name", nargs="?", default="cranfield", help="of the set to fetch")
    parser.add_argument("--qrels", default=os.environ.get("QRELS", ""), help="the JSON file")
    parser.add_argument("--quick", action="store_true", help="fewer, to see that it runs")
    args = parser.parse_args()
    logger.setLevel("WARNING")
    if args.what == "latency":
        return int(not latency(args.quick))
    if args.what == "indexing":
        return int(not indexing(args.quick))
    if args.what == "fetch" and args.qrels:
        return fetch(args.name, Path(args.qrels))
    if args.what != "quality" or not args.qrels:
        print(HOW)
        return int(args.what != "quality")
    return int(not quality(json.loads(Path(args.qrels).read_text()), args.quick))


def fetch(name: str, path: Path) -> int:
    """Write a set of ir-datasets to `path`."""
    try:
        import ir_datasets  # type: ignore[import-not-found]
    except ImportError:
        print(HOW)
        return 1
    found = ir_datasets.load(name)
    told: dict[str, Any] = {
        "docs": {each.doc_id: each.default_text() for each in found.docs_iter()},
        "queries": {each.query_id: each.default_text() for each in found.queries_iter()},
        "qrels": {},
    }
    for each in found.qrels_iter():
        told["qrels"].setdefault(each.query_id, {})[each.doc_id] = each.relevance
    path.write_text(json.dumps(told))
    return 0


def quality(told: Mapping[str, Any], quick: bool) -> bool:
    """Print the table; whether the goals are met."""
    docs: dict[str, str] = told["docs"]
    queries = {key: text for key, text in told["queries"].items() if told["qrels"].get(key)}
    if quick:
        queries = dict([*queries.items()][:20])
    embedder = Remembered()
    embedder.learn([*docs.values(), *queries.values()])
    table = Table("system", f"nDCG@{CUT}", "95 %", f"recall@{DEPTH}", "95 %")
    scores: dict[str, np.ndarray] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, finds in systems(docs, embedder, folder).items():
            orders = [(told["qrels"][key], finds(text)) for key, text in queries.items()]
            gains = np.array([ndcg(relevant, order) for relevant, order in orders])
            recalls = np.array([recall(relevant, order) for relevant, order in orders])
            scores[name] = gains
            table.add_row(name, *figures(gains), *figures(recalls))
    console = Console(width=110)
    console.print(table)
    for name in (each for each in scores if each.startswith("ours")):
        more = scores[name] - scores[AGNO]
        mean, between = figures(more)
        share = more.mean() / scores[AGNO].mean()
        console.print(f"{name} over {AGNO}: {mean} ({between}), {share:+.1%}", highlight=False)
    fed, agno = scores[FED].mean(), scores[AGNO].mean()
    best = fed >= GOAL and fed >= (1 + MORE) * agno
    console.print(
        f"goals: {GOAL} without a model, {MORE:.0%} over Agno: {'met' if best else 'missed'}"
    )
    return bool(best)


AGNO, FED = "Agno's LanceDb, hybrid", "ours, weighted, feedback"


def systems(docs: Mapping[str, str], embedder: Remembered, folder: str) -> dict[str, Finds]:
    """Each system, by name; all have the same documents and vectors."""

    def given() -> list[Document]:
        return [
            Document(content=text, id=key, name=key, embedding=embedder.get_embedding(text))
            for key, text in docs.items()
        ]

    agno = LanceDb(uri=folder, table_name="agno", embedder=embedder)
    agno.insert("all", given())

    def of_agno(kind: SearchType, query: str) -> list[str]:
        agno.search_type = kind
        return [str(each.name) for each in agno.search(query, limit=DEPTH)]

    def ours(**options: Any) -> Finds:
        db = LanceDb(uri=folder, table_name="ours", embedder=embedder)
        search = HybridSearch(db, **options)
        if not db.get_count():
            search.insert("all", given())
        return lambda query: [str(each.name) for each in search.search(query, limit=DEPTH)]

    ours_db = LanceDb(uri=folder, table_name="ours", embedder=embedder)
    words = HybridSearch(ours_db, search_type=SearchType.keyword)
    made: dict[str, Finds] = {
        "BM25 (bm25s)": bm25(docs),
        "vectors (Agno's LanceDb)": partial(of_agno, SearchType.vector),
        AGNO: partial(of_agno, SearchType.hybrid),
        "ours, weighted": ours(),
        "ours, RRF": ours(fusion="rrf", weight=0.5),
        FED: ours(expansion=Feedback()),
    }
    made["our words alone (FTS5)"] = lambda query: [
        str(each.name) for each in words.search(query, limit=DEPTH)
    ]
    return made


def bm25(docs: Mapping[str, str]) -> Finds:
    stemmer, keys = Stemmer.Stemmer("english"), [*docs]
    tokens = bm25s.tokenize([*docs.values()], stopwords="en", stemmer=stemmer, show_progress=False)
    index = bm25s.BM25(method="lucene", k1=1.2, b=0.75)
    index.index(tokens, show_progress=False)

    def finds(query: str) -> list[str]:
        asked = bm25s.tokenize([query], stopwords="en", stemmer=stemmer, show_progress=False)
        found, scores = index.retrieve(asked, k=min(DEPTH, len(keys)), show_progress=False)
        return [keys[at] for at, score in zip(found[0], scores[0], strict=True) if score > 0]

    return finds


def ndcg(relevant: Mapping[str, int], order: Sequence[str]) -> float:
    gains = [relevant.get(key, 0) for key in order[:CUT]]
    ideal = sorted((grade for grade in relevant.values() if grade > 0), reverse=True)[:CUT]
    best = sum(grade / math.log2(rank + 2) for rank, grade in enumerate(ideal))
    got = sum(max(0, grade) / math.log2(rank + 2) for rank, grade in enumerate(gains))
    return got / best if best else 0.0


def recall(relevant: Mapping[str, int], order: Sequence[str]) -> float:
    wanted = {key for key, grade in relevant.items() if grade > 0}
    return len(wanted & {*order[:DEPTH]}) / len(wanted) if wanted else 0.0


def figures(values: np.ndarray) -> tuple[str, str]:
    """The mean and its interval."""
    drawn = np.random.default_rng(7).choice(values, (DRAWS, len(values))).mean(axis=1)
    low, high = np.quantile(drawn, (0.025, 0.975))
    return f"{values.mean():.3f}", f"{low:.3f} to {high:.3f}"


if __name__ == "__main__":
    sys.exit(main())
