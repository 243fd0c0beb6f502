"""Writes `long_tests.txt` from what all cases of all tests took: `make timings`, undisturbed.

python tests/timings.py JUNIT_XML
"""

from __future__ import annotations

import sys
import xml.etree.ElementTree as Xml
from collections import Counter

from sampling import LONG

# Seconds of all cases of a test together, on two cores.
_LONG = 1.0
# Each of their cases says something of its own: a way round the gate, a page, a file, a notebook.
_WHOLE = ("tests/bypass/", "tests/papers/", "tests/test_galleries.py")


def main(report: str) -> None:
    """Write down which tests are long, in the order of their ids."""
    took, cases = Counter[str](), Counter[str]()
    for case in Xml.parse(report).getroot().iter("testcase"):
        name, _, _ = case.attrib["name"].partition("[")
        test = f"{case.attrib['classname'].replace('.', '/')}.py::{name}"
        took[test] += float(case.attrib["time"])
        cases[test] += 1
    long = [
        test
        for test, seconds in took.items()
        if seconds > _LONG and cases[test] > 1 and not test.startswith(_WHOLE)
    ]
    LONG.write_text("".join(f"{test}\n" for test in sorted(long)))


main(*sys.argv[1:])
