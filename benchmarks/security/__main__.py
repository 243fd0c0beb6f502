"""The matrix of roles and routes, rotation under load, and the sweep for planted secrets.

    python benchmarks/security [matrix|rotation|sweep ...]

Exits with 1 where one of them shows what is not to be.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PARTS = ("matrix", "rotation", "sweep")


def main() -> int:
    """Run what is named, or all, each in a process of its own."""
    asked = sys.argv[1:] or [*PARTS]
    if unknown := set(asked) - {*PARTS}:
        print(f"{', '.join(sorted(unknown))}: one of {', '.join(PARTS)} is due", file=sys.stderr)
        return 2
    here = Path(__file__).parent
    codes = [
        subprocess.run([sys.executable, here / f"{part}.py"], check=False).returncode
        for part in asked
    ]
    return 1 if any(codes) else 0


if __name__ == "__main__":
    sys.exit(main())
