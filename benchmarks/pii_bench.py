"""Finding personal data: accuracy, CPU and memory, beside Presidio and other packages.

Accuracy is measured on the odd half of presidio-research's texts and on chats of agents that were
not looked at when the recognisers were made; `--half even --chats tune` shows the sets that were.
Of the texts that were written one by one both halves are shown: one to learn from, one held out.
Peers that are not installed are named below the table.

    python benchmarks/pii_bench.py [accuracy] [speed] [memory] [same] [streams] [--model NAME]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from rich.console import Console
from rich.table import Table

from agno_portkey.guardrails import PIIGuardrail
from benchmarks.pii import accuracy, memory, peers, same, speed, streams
from benchmarks.pii.data import agent_chats, synth, written

CONSOLE = Console(width=150)


def show_accuracy(options: argparse.Namespace) -> None:
    texts, chats = synth(options.half), agent_chats(options.chats)
    makers: list[Callable[[], peers.Peer]] = [
        lambda: peers.ours(options.model),
        lambda: peers.presidio(options.model),
        peers.agno,
        peers.scrubadub,
        peers.pii_anon,
    ]
    there, missing = peers.installed(*makers)
    title = f"synth v2, {options.half} half ({len(texts)}) | {options.chats} chats ({len(chats)})"
    table = Table(title=title)
    for name in ("", "PERSON recall", "precision", "structured F2", "over-redacted"):
        table.add_column(name)
    for name in ("chats: covered", "over-redacted", "PERSON recall", "structured F2"):
        table.add_column(name)
    for peer in there:
        one, other = accuracy.accuracy(peer, texts), accuracy.accuracy(peer, chats)
        table.add_row(
            peer.name,
            f"{one.person.recall:.3f}",
            f"{one.person.precision:.3f}",
            f"{one.structured.f2:.3f}",
            f"{one.over_structured:.2%}",
            f"{other.covered:.3f}",
            f"{other.over:.2%}",
            f"{other.person.recall:.3f}",
            f"{other.structured.f2:.3f}",
        )
    CONSOLE.print(table)
    _show_written(there)
    for line in missing:
        CONSOLE.print(f"not measured: {line}")
    _show_evaluator(options)


def _show_written(there: list[peers.Peer]) -> None:
    halves = {"learnt from": written("even"), "held out": written("odd")}
    counts = ", ".join(f"{name} ({len(texts)})" for name, texts in halves.items())
    table = Table(title=f"texts written one by one: {counts}")
    for name in ("", "covered", "over-redacted", "PERSON recall", "precision", "structured F2"):
        table.add_column(name)
    for name, texts in halves.items():
        for peer in there:
            found = accuracy.accuracy(peer, texts)
            table.add_row(
                f"{peer.name} | {name}",
                f"{found.covered:.3f}",
                f"{found.over:.2%}",
                f"{found.person.recall:.3f}",
                f"{found.person.precision:.3f}",
                f"{found.structured.f2:.3f}",
            )
    CONSOLE.print(table)


def _show_evaluator(options: argparse.Namespace) -> None:
    table = Table(title="F2 over all types, as presidio-evaluator computes it (IoU .7 | .9)")
    for name in ("", f"{options.half} half", "all"):
        table.add_column(name)
    for peer in (peers.ours(options.model, every=True), peers.presidio(options.model)):
        row = [
            " | ".join(f"{accuracy.as_evaluator(peer, synth(half), at):.3f}" for at in (0.7, 0.9))
            for half in (options.half, "all")
        ]
        table.add_row(peer.name, *row)
    table.add_row("published: default (lg), at .9", "", ".618")
    table.add_row("published: its own tuned analyzer, at .7", "", ".845")
    CONSOLE.print(table)


def show_speed(options: argparse.Namespace) -> None:
    table = Table(title="CPU, medians (a cached message costs ours next to nothing)")
    for name in (
        "",
        "new message, 200 chars",
        "of Presidio",
        "20 turns, history resent",
        "of Presidio",
    ):
        table.add_column(name)
    sides = speed.measure(options.model)
    for side in sides:
        table.add_row(
            side.name,
            f"{side.message:.2f} ms",
            f"{side.message / sides[0].message:.2f}x",
            f"{side.chat:.0f} ms",
            f"{side.chat / sides[0].chat:.3f}x",
        )
    CONSOLE.print(table)


def show_memory(options: argparse.Namespace) -> None:
    table = Table(title="Memory over 10,000 new messages of 200 characters")
    table.add_column("")
    table.add_column("grows by")
    for which in ("presidio", "ours"):
        table.add_row(which, f"{memory.growth(which, 10_000, options.model):+.0f} MB")
    CONSOLE.print(table)


def show_same(options: argparse.Namespace) -> None:
    table = Table(title="Texts whose spans differ from plain Presidio's with the same recognisers")
    for name in ("", "texts", "same model", "model with all its parts"):
        table.add_column(name)
    for row in same.compare(options.model):
        table.add_row(*(str(cell) for cell in row))
    CONSOLE.print(table)


def show_streams(options: argparse.Namespace) -> None:
    """Of 200 answers; a peer that holds an answer to its end waits for all of it."""
    chats = [each.text for each in agent_chats(options.chats, 100)]
    texts = [each.text for each in synth(options.half)][:100] + [text[:300] for text in chats]
    table = Table(title=f"{len(texts)} streamed answers at {streams.TOKENS_PER_SECOND} tokens/s")
    for name in ("release", "cuts that change what is shown", "added to the first token, median"):
        table.add_column(name)
    for release in ("eager", "sentence"):
        guard = PIIGuardrail("mask", release=release).warm()  # type: ignore[arg-type]
        differ, cuts = streams.differing(guard, texts)
        guard.analyzer.forget()
        first = streams.median(streams.first_tokens(guard, texts))
        table.add_row(release, f"{differ} of {cuts}", f"{first:.0f} ms")
    whole = PIIGuardrail("mask", stream="whole").warm()
    table.add_row(
        "held to the end", "", f"{streams.median(streams.first_tokens(whole, texts)):.0f} ms"
    )
    CONSOLE.print(table)


def main() -> None:
    parts = {
        "accuracy": show_accuracy,
        "speed": show_speed,
        "memory": show_memory,
        "same": show_same,
        "streams": show_streams,
    }
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", help=", ".join(parts))
    parser.add_argument("--model", help="a spaCy model by name; by default the best installed one")
    parser.add_argument("--half", default="odd", choices=("odd", "even"))
    parser.add_argument("--chats", default="unseen", choices=("unseen", "tune"))
    options = parser.parse_args()
    for name in options.parts or parts:
        if name not in parts:
            parser.error(f"no part {name!r}")
        parts[name](options)


if __name__ == "__main__":
    main()
