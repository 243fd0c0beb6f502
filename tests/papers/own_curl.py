"""What the pages ask of curl, for a machine that has none."""

from __future__ import annotations

import argparse
import sys

import httpx


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("-N", action="store_true")
    parser.add_argument("-X")
    parser.add_argument("-H", action="append", default=[])
    parser.add_argument("-d")
    parser.add_argument("-F", action="append", default=[])
    asked = parser.parse_args()
    headers = [tuple(header.split(": ", 1)) for header in asked.H]
    # A form of parts, as curl's is.
    form = {name: (None, value) for name, value in (each.split("=", 1) for each in asked.F)}
    with httpx.stream(
        asked.X or ("POST" if asked.F or asked.d else "GET"),
        asked.url,
        headers=headers,
        content=asked.d,
        files=form or None,
        trust_env=False,
        timeout=60,
    ) as answer:
        for text in answer.iter_text():
            sys.stdout.write(text)


main()
