"""What importing the package costs, and the rules that the checkout keeps."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import gorilla_jupyter

ROOT = Path(__file__).parents[1]
HEAVY = ("numpy", "whoosh", "torch", "transformers", "onnxruntime", "pandas")


def loaded_by(statement: str, *names: str) -> list[str]:
    """Which of these modules, or of their parts, are loaded after ``statement``."""
    program = (
        f"import sys\n{statement}\n"
        f"print(*(name for name in {names!r} if name in sys.modules or "
        "any(module.startswith(name + '.') for module in sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def test_importing_the_package_imports_nothing_heavy() -> None:
    names = (*HEAVY, "IPython", "jupyter_server", "tornado", "traitlets", "gorilla_jupyter.record")
    assert loaded_by("import gorilla_jupyter", *names) == []


def test_loading_the_magics_loads_no_engine() -> None:
    statement = (
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell.instance()\n"
        "shell.extension_manager.load_extension('gorilla_jupyter')"
    )
    engine = ("engine", "index", "model", "catalog.store", "compose", "verify", "server")
    names = (*HEAVY, "jupyter_server", *(f"gorilla_jupyter.{name}" for name in engine))
    assert loaded_by(statement, *names) == []


@pytest.mark.parametrize("module", ["record", "answer", "catalog.store", "compose", "verify"])
def test_the_core_knows_neither_whoosh_nor_jupyter(module: str) -> None:
    names = (*HEAVY, "IPython", "jupyter_server", "traitlets", "ipywidgets")
    assert loaded_by(f"import gorilla_jupyter.{module}", *names) == []


def test_the_engine_knows_no_jupyter() -> None:
    names = ("IPython", "jupyter_server", "traitlets", "ipywidgets", "torch", "pandas")
    assert loaded_by("import gorilla_jupyter.engine", *names) == []


@pytest.mark.parametrize("name", ["Answer", "ApiRecord", "Gorilla", "Request"])
def test_the_public_names_are_there(name: str) -> None:
    assert name in gorilla_jupyter.__all__
    assert getattr(gorilla_jupyter, name).__name__ == name


def test_other_names_are_not() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'gorillas'"):
        gorilla_jupyter.gorillas  # noqa: B018


def run(*command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_ruff_finds_nothing() -> None:
    run("ruff", "check", ".")


def test_ruff_would_format_nothing() -> None:
    run("ruff", "format", "--check", ".")


@pytest.mark.slow
def test_mypy_finds_nothing() -> None:
    run("mypy")
