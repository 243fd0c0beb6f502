"""What the doctor said, as the tests of it read it."""

from __future__ import annotations

from typer.testing import CliRunner

from agno_portkey.cli import app

SECRET = "sk-proj-Ab3dEf6hIj9lMn2pQr5tUv8x"


class Page:
    """What the doctor said: its exit code, its text, and its rows by the name of the check."""

    def __init__(self, *arguments: str, **variables: str) -> None:
        # Wide enough for every sentence to stand on one line.
        variables["COLUMNS"] = "400"
        result = CliRunner().invoke(app, ["doctor", *arguments], env=variables)
        assert result.exception is None or isinstance(result.exception, SystemExit)
        self.code, self.text = result.exit_code, result.output
        self.rows: list[tuple[str, str, str]] = []
        for line in self.text.splitlines():
            cells = [cell.strip() for cell in line.split("│")[1:-1]]
            if len(cells) == 3:
                self.rows.append((cells[0], cells[1], cells[2]))

    def __getitem__(self, name: str) -> list[tuple[str, str]]:
        return [(level, told) for check, level, told in self.rows if check == name]
