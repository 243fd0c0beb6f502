"""Trains the model of `PromptInjectionGuardrail` on the train splits, and writes it as data.

    python benchmarks/train_injection.py /path/to/data

The folder holds `injection/` and `pii/` as benchmarks/data/injection/README.md tells. Needs
scikit-learn and pyarrow, which the package itself does without. The test splits are not read.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import random
import sysconfig
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from agno_portkey.guardrails.injection import features
from agno_portkey.guardrails.injection.model import Model, packed
from agno_portkey.guardrails.injection.text import tokens, views

BITS = 16
STRENGTH = 10.0
FOLDS = 5
FALSE_ALARMS = 0.008
TARGET = Path(__file__).parents[1] / "agno_portkey/guardrails/injection/model.json"


def read(folder: Path, split: str) -> dict[str, list[tuple[str, int]]]:
    """The texts and labels of a split, by data set."""
    import pyarrow.parquet as parquet

    with (folder / f"slabs_injection_{split}.csv").open(encoding="utf-8", newline="") as file:
        slabs = [(row["text"], int(row["label"])) for row in csv.DictReader(file)]
    rows = parquet.read_table(folder / f"neuralchemy_core_{split}.parquet").to_pylist()
    return {"slabs": slabs, "neuralchemy": [(row["text"], int(row["label"])) for row in rows]}


def everyday(folder: Path, rng: random.Random) -> list[str]:
    """Harmless texts of other kinds: sentences with personal data, and Python code."""
    said = json.loads((folder / "pii/synth_dataset_v2.json").read_text("utf-8"))
    texts = [each["full_text"] for each in said[::2]]
    library = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted([*library.glob("*.py"), *library.glob("[a-h]*/*.py")]):
        if "test" in path.parts or "idlelib" in path.parts or "site-packages" in path.parts:
            continue
        code = path.read_text("utf-8", errors="ignore")
        for _ in range(2):
            start = rng.randrange(max(1, len(code) - 900))
            texts.append(code[start : start + rng.randint(80, 900)])
    return texts


def documents(harmless: list[str], rng: random.Random, count: int) -> list[str]:
    """Harmless texts one after the other, as tools return them."""
    joints = (" ", "\n", "\n- ", "\n\n")
    return [
        rng.choice(joints).join(rng.choices(harmless, k=rng.randint(3, 14))) for _ in range(count)
    ]


def hidden(attacks: list[str], harmless: list[str], rng: random.Random, count: int) -> list[str]:
    """Attacks with harmless texts before and after them."""
    short = [text for text in attacks if len(text) < 200]
    made = []
    for _ in range(count):
        around = rng.choices(
            [text for text in rng.choices(harmless, k=9) if len(text) < 150] or harmless, k=2
        )
        made.append(rng.choice((" ", "\n", "\n\n")).join([around[0], rng.choice(short), around[1]]))
    return made


def seen(text: str) -> list[list[str]]:
    return [[*window] for view in views(text) for window in features.windows(tokens(view))]


def matrix(windows: list[list[str]]) -> csr_matrix:
    mask = (1 << BITS) - 1
    rows, columns, values = [], [], []
    for row, window in enumerate(windows):
        words = features.pair_slots([features.word_code(word) for word in window], mask)
        pieces = [slot for word in set(window) for slot in features.piece_slots(word, mask)]
        for slots, offset in ((words, 0), (pieces, 1 << BITS)):
            rows += [row] * len(slots)
            columns += [offset + slot for slot in slots]
            values += [1 / math.sqrt(len(slots) or 1)] * len(slots)
    shape = (len(windows), 2 << BITS)
    return csr_matrix((values, (rows, columns)), shape=shape, dtype=np.float32)


def fitted(attacks: list[str], harmless: list[str]) -> LogisticRegression:
    """The regression; of a long attack, it learns from the window that tells most."""
    several = [seen(text) for text in attacks]
    told = [window for text in harmless for window in seen(text)]
    chosen = [windows[0] for windows in several]
    for _ in range(2):
        labels = [1] * len(chosen) + [0] * len(told)
        model = LogisticRegression(C=STRENGTH, max_iter=500, solver="liblinear", random_state=0)
        model.fit(matrix([*chosen, *told]), labels)
        scores = iter(model.decision_function(matrix([w for each in several for w in each])))
        ranked = [[(next(scores), window) for window in windows] for windows in several]
        chosen = [max(each, key=lambda pair: pair[0])[1] for each in ranked]
    return model


def as_data(model: LogisticRegression, threshold: float) -> dict[str, object]:
    halves = np.split(model.coef_[0], 2)
    scales = [float(np.abs(half).max()) / 127 for half in halves]
    weights = [
        round(float(w) / scale) for half, scale in zip(halves, scales, strict=True) for w in half
    ]
    return packed(
        weights,
        scales=(scales[0], scales[1]),
        bias=float(model.intercept_[0]),
        threshold=threshold,
    )


def trained(labelled: list[tuple[str, int]], extra: list[str]) -> LogisticRegression:
    rng = random.Random(7)
    attacks = [text for text, label in labelled if label]
    harmless = [text for text, label in labelled if not label]
    more = [*extra, *documents(harmless + extra, rng, len(harmless) // 8)]
    attacks = [*attacks, *hidden(attacks, harmless, rng, len(attacks) // 8)]
    return fitted(attacks, harmless + more)


def held_out_threshold(sets: dict[str, list[tuple[str, int]]], extra: list[str]) -> float:
    """The lowest threshold at which no set has more false alarms, in texts not trained on."""
    scores: dict[str, list[float]] = {name: [] for name in (*sets, "everyday")}
    for fold in range(FOLDS):
        kept = [e for each in sets.values() for i, e in enumerate(each) if i % FOLDS != fold]
        known = [text for i, text in enumerate(extra) if i % FOLDS != fold]
        model = Model(as_data(trained(kept, known), 0.0))
        for name, each in sets.items():
            told = [t for i, (t, label) in enumerate(each) if i % FOLDS == fold and not label]
            scores[name] += map(model.score, told)
        scores["everyday"] += map(model.score, extra[fold::FOLDS])
    limits = {}
    for name, found in scores.items():
        limits[name] = sorted(found, reverse=True)[int(len(found) * FALSE_ALARMS)]
        print(f"held out {name}: {len(found)} harmless texts, threshold {limits[name]:.2f}")
    return max(limits.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--target", type=Path, default=TARGET)
    options = parser.parse_args()
    sets = read(options.data / "injection", "train")
    extra = everyday(options.data, random.Random(5))
    threshold = held_out_threshold(sets, extra)
    model = trained([e for each in sets.values() for e in each], extra)
    options.target.write_text(json.dumps(as_data(model, round(threshold, 3)), indent=1) + "\n")
    print(f"{options.target}: {options.target.stat().st_size:,} bytes, threshold {threshold:.3f}")


if __name__ == "__main__":
    main()
