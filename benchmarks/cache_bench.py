"""The cache: traps, a budget of errors, latency, and scopes; beside static thresholds and GPTCache.

    python benchmarks/cache_bench.py [pairs] [stream] [latency] [scopes] [--quick]

Without a name all of them. `pairs`: of questions worded alike, which are served: ours before
anything is learnt (a likeness of at least FLOOR and nothing that speaks against it), ours with a
verifier that knows, MiniLM alone, and GPTCache with the same vectors. The verifier stands for a
model that is asked whether the kept answer answers the question; here it is right. `stream`: see
cache_stream.py. `latency`: a look-up in one bucket that holds them all. `scopes`: look-ups by
generated users and tenants. Ends with 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

os.environ["AGNO_TELEMETRY"] = "false"
sys.path.insert(0, str(Path(__file__).parent.parent))

from cache_latency import latency
from cache_pairs import Pair, pairs
from cache_scopes import scopes
from rich.console import Console
from rich.table import Table

from agno_portkey.cache.policy import CachePolicy
from agno_portkey.cache.semantic.embedder import Embedder
from agno_portkey.cache.semantic.vetoes import vetoes

# The goals: of traps at most, of should-hits at least, before anything is learnt and verified.
TRAPS, UNTAUGHT, VERIFIED = 0.01, 0.40, 0.90
FLOOR = CachePolicy.floor
THRESHOLDS = (0.8, 0.85, 0.9, 0.95)

Serves = Callable[[Pair, float], bool]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="pairs|stream|latency|scopes")
    parser.add_argument("--quick", action="store_true", help="smaller, for the tests")
    args = parser.parse_args()
    parts = {
        "pairs": lambda: table_of_pairs(args.quick),
        "stream": lambda: stream(args.quick),
        "latency": lambda: latency(args.quick),
        "scopes": lambda: scopes(args.quick),
    }
    for name in args.parts:
        if name not in parts:
            parser.error(f"{name}: one of {', '.join(parts)}")
    met = [parts[name]() for name in args.parts or parts]
    return int(not all(met))


def table_of_pairs(quick: bool) -> bool:
    """Print what each serves of the pairs; whether ours keeps to its goals."""
    known = pairs()[:: 7 if quick else 1]
    embedder = Embedder()
    texts = sorted({text for pair in known for text in (pair.a, pair.b)})
    at = dict(zip(texts, embedder.embed(texts), strict=True))
    alike = {pair: float(at[pair.a] @ at[pair.b]) for pair in known}
    against = {pair: bool(vetoes(pair.b, pair.a)) for pair in known}
    rows: dict[str, Serves] = {
        "ours, untaught": lambda pair, like: like >= FLOOR and not against[pair],
        "ours, verified": lambda pair, like: like >= FLOOR and pair.same,
    }
    for threshold in THRESHOLDS:
        rows[f"MiniLM {threshold}"] = lambda pair, like, at=threshold: like >= at  # type: ignore[misc]
    if (gptcache := _gptcache(at)) is not None:
        rows["GPTCache 0.8, same vectors"] = lambda pair, like: gptcache(pair)
    splits = ("shared", "tuned", "held")
    table = Table("served", title=f"{len(known)} pairs: traps / should-hits served")
    for split in (*splits, "all"):
        table.add_column(split, justify="right")
    met = True
    for name, serves in rows.items():
        cells = []
        for split in (*splits, "all"):
            of = [pair for pair in known if split in (pair.split, "all")]
            traps, hits = (
                _share([serves(pair, alike[pair]) for pair in of if pair.same is same])
                for same in (False, True)
            )
            cells.append(f"{traps:.1%} / {hits:.1%}")
        table.add_row(name, *cells)
        # The last is of all pairs.
        if name.startswith("ours"):
            met &= traps <= TRAPS and hits >= (VERIFIED if "verified" in name else UNTAUGHT)
    Console(width=110).print(table)
    return met


def _share(served: list[bool]) -> float:
    return sum(served) / len(served) if served else 0.0


def _gptcache(at: dict[str, object]) -> Callable[[Pair], bool] | None:
    """Whether GPTCache, as its README sets it up, serves the second question the first's answer."""
    try:
        from gptcache_peer import Peer
    except ImportError:
        Console().print("GPTCache is not installed: make bench-cache brings it")
        return None
    peer = Peer(at)
    return lambda pair: peer.serves(pair.a, pair.b)


def stream(quick: bool) -> bool:
    """Play the streams of cache_stream.py; whether no budget was exceeded."""
    options = ["--seeds", "2", "--queries", "2000"] if quick else []
    path = Path(__file__).parent / "cache_stream.py"
    return subprocess.run([sys.executable, str(path), *options], check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
