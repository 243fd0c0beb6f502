"""`python -m agno_portkey` does what the command `agno-portkey` does."""

from __future__ import annotations

from agno_portkey.cli import main

__all__: list[str] = []

if __name__ == "__main__":
    main()
