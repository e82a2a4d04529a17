"""``jupyter gorilla demo``: the quickstart notebook in JupyterLab, or run without a browser."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import nbformat

from gorilla_jupyter.demo.session import CellRun, JupyterServer, SessionError
from gorilla_jupyter.magics.display import MIME_TYPE
from gorilla_jupyter.magics.render import NOTHING_FITS

NOTEBOOK = Path(__file__).parent / "quickstart.ipynb"


def open_in_browser() -> int:
    """Copy the notebook into the current folder, unless it is there, and open it in JupyterLab."""
    copy = Path("gorilla-quickstart.ipynb")
    if not copy.exists():
        shutil.copyfile(NOTEBOOK, copy)
    return subprocess.run([sys.executable, "-m", "jupyterlab", str(copy)], check=False).returncode


def run_headless() -> int:
    """Run the notebook's cells in a real kernel of a real server; print what each one became.

    :returns: 0 if every sentence became a cell with a documented call, and the one that nothing
        fits became none; else 1.
    """
    cells = [cell for cell in nbformat.read(NOTEBOOK, 4).cells if cell.cell_type == "code"]
    failures = 0
    try:
        with JupyterServer() as server:
            kernel = server.start_kernel()
            for cell in cells:
                run = kernel.run(cell.source)
                if cell.source.startswith(("%gorilla ", "%%gorilla ")):
                    print(f"\n{cell.source.strip()}")
                    failures += not _report(run, "nothing-fits" in cell.metadata.get("tags", ()))
                elif run.error:
                    failures += 1
                    print(f"\n{cell.source.strip()}\n{run.error}")
    except SessionError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"\n{failures} cells failed." if failures else "\nEvery cell did what it should.")
    return 1 if failures else 0


def _report(run: CellRun, nothing_fits: bool) -> bool:
    """Print what a sentence became; whether that is a documented call, or nothing as it should."""
    answers = run.data(MIME_TYPE)
    if run.next_input is None or not answers:
        print(f"=> no cell: {run.error or NOTHING_FITS}")
        return nothing_fits and run.error is None
    print("\n".join(f"    {line}" for line in run.next_input.splitlines()))
    checks = answers[0]["candidates"][0]["checks"]
    for check in checks:
        print(f"=> {check['name']} {check['status']}: {check['sentence']}")
    documented = next(check for check in checks if check["name"] == "documented")
    return documented["status"] == "passed" and not nothing_fits
