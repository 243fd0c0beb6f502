"""Reports on `SecretsGuardrail`: secrets found whole, and alarms where there are none.

    python benchmarks/secrets_bench.py [--misses]

`seen` are the texts that its rules may be mended on; of those held out only totals are printed.
`found` counts secrets that are hidden from end to end, `part` those of which some is hidden,
`false` texts with something hidden that is no secret, `over` the share of other characters hidden.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from secret_texts import Text, texts

from agno_portkey.guardrails.secrets import secrets


def figures(told: list[Text], *, misses: bool = False) -> list[float]:
    """Secrets, found, part; texts, false, and the share of other characters hidden."""
    count = found = part = false = over = others = 0
    for each in told:
        hidden = {at for one in secrets(each.text) for at in range(one.start, one.end)}
        meant = {at for a, b in each.secrets for at in range(a, b)}
        for span in each.secrets:
            whole = hidden.issuperset(range(*span))
            count, found = count + 1, found + whole
            part += not whole and not hidden.isdisjoint(range(*span))
            if misses and not whole:
                print(f"missed in {each.name}: {each.text[slice(*span)][:60]!r}")
        # The login and the quotes beside a password may go with it; other places may not.
        wrong = any(
            not any(a < one.end and one.start < b for a, b in each.secrets)
            for one in secrets(each.text)
        )
        false += wrong
        over += len(hidden - meant)
        others += len(each.text) - len(meant)
        if misses and wrong:
            print(
                f"false in {each.name}: {[each.text[s.start : s.end] for s in secrets(each.text)]}"
            )
    return [count, found / count, part, len(told), false, over / others]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--misses", action="store_true", help="name what is missed, of the seen")
    options = parser.parse_args()
    told = texts()
    head = ("half", "secrets", "found", "part", "texts", "false", "over")
    print("{:10}{:>8}{:>8}{:>6}{:>7}{:>7}{:>8}".format(*head))
    for name, held_out in (("seen", False), ("held out", True)):
        half = [each for each in told if each.held_out is held_out]
        count, found, part, size, false, over = figures(half)
        print(f"{name:10}{count:8}{found:8.3f}{part:6}{size:7}{false:7}{over:8.4f}")
    if options.misses:
        figures([each for each in told if not each.held_out], misses=True)


if __name__ == "__main__":
    main()
