"""Reports on `PromptInjectionGuardrail`: the public test splits, beside Agno's own guardrail.

    python benchmarks/injection.py /path/to/data

Prints recall and false alarms of both on the same texts, other harmless texts, attacks hidden in
harmless ones, and the CPU time of one text.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from agno.exceptions import InputCheckError
from agno.guardrails import PromptInjectionGuardrail as Keywords
from agno.run.agent import RunInput
from train_injection import hidden, read

from agno_portkey.guardrails import Passage
from agno_portkey.guardrails.injection import PromptInjectionGuardrail


def ours(texts: list[str]) -> list[bool]:
    guard = PromptInjectionGuardrail()
    return [guard.inspect(Passage(text)) is not None for text in texts]


def keywords(texts: list[str]) -> list[bool]:
    guard, found = Keywords(), []
    for text in texts:
        try:
            guard.check(RunInput(input_content=text))
            found.append(False)
        except InputCheckError:
            found.append(True)
    return found


def share(found: list[bool]) -> float:
    return sum(found) / len(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    data = parser.parse_args().data
    sets = read(data / "injection", "test")
    sets["both"] = [each for several in sets.values() for each in several]
    rng = random.Random(3)
    head = ("set", "attacks", "recall", "Agno", "harmless", "false", "Agno")
    print("{:28}{:>8}{:>8}{:>8}{:>10}{:>8}{:>8}".format(*head))
    for name, several in sets.items():
        attacks = [text for text, label in several if label]
        harmless = [text for text, label in several if not label]
        figures = [share(each(part)) for part in (attacks, harmless) for each in (ours, keywords)]
        recall, recall_agno, false, false_agno = figures
        print(
            f"{name:28}{len(attacks):8}{recall:8.3f}{recall_agno:8.3f}"
            f"{len(harmless):10}{false:8.4f}{false_agno:8.4f}"
        )
    inside = hidden(attacks, harmless, rng, 500)
    recall, recall_agno = share(ours(inside)), share(keywords(inside))
    print(f"{'hidden in harmless texts':28}{500:8}{recall:8.3f}{recall_agno:8.3f}")
    texts = [text[:200] for text in inside]
    began = time.process_time()
    ours(texts)
    spent = 1000 * (time.process_time() - began) / sum(map(len, texts)) * 200
    print(f"CPU for 200 characters: {spent:.3f} ms")


if __name__ == "__main__":
    main()
