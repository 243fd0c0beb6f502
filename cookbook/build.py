"""Run the notebooks in place, so that what they show is what they print now.

    python cookbook/build.py [NAME ...]

Without names, all of them. Each runs in a folder of its own, with a kernel of this very Python.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

HERE = Path(__file__).parent
# Seconds for one cell.
LONGEST = 100
# Of whoever runs them, and not to be known to an example.
OWN = ("PORTKEY_", "OPENAI_", "AGNO_")
# But for these: where a Postgres is, and where the gateway was installed.
TOLD = ("AGNO_PORTKEY_DATABASE_URL", "AGNO_PORTKEY_CACHE_DIR")


def main(names: list[str]) -> None:
    given = {name: os.environ[name] for name in TOLD if name in os.environ}
    for path in sorted(HERE.glob("[0-9][0-9]_*.ipynb")):
        if names and not any(name in path.name for name in names):
            continue
        began = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            notebook = executed(path, folder, given)
        nbformat.write(notebook, path)
        print(f"{path.name}: {time.perf_counter() - began:.0f} s, {path.stat().st_size // 1000} kB")


def executed(path: Path, folder: str | os.PathLike[str], given: Mapping[str, str]) -> Any:
    """The notebook at `path`, run in `folder` with the variables `given`; ids stay, no times.

    What a cell raises is raised as `nbclient.exceptions.CellExecutionError`.
    """
    notebook: Any = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        # Without folders of kernels the one there is is that of this Python.
        km=AsyncKernelManager(kernel_spec_manager=KernelSpecManager(kernel_dirs=[])),
        timeout=LONGEST,
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
        coalesce_streams=True,
    )
    # A manager that is given would else be kept alive.
    client.execute(env={**_environment(), **given}, cleanup_kc=True)
    for cell in notebook.cells:
        cell.metadata = {}
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return notebook


def _environment() -> dict[str, str]:
    kept = {name: said for name, said in os.environ.items() if not name.startswith(OWN)}
    # Where the command `agno-portkey` is.
    kept["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), kept.get("PATH", "")))
    # Bars of progress in notebooks need a package that nothing here needs.
    kept["PYTHONWARNINGS"] = "ignore:IProgress not found"
    return kept


if __name__ == "__main__":
    main(sys.argv[1:])
