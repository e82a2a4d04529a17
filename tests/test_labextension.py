"""The front end's own tests and rules; ``end_to_end/test_panel.py`` has it in a browser."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
from collections.abc import Iterator
from importlib.metadata import entry_points
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from jupyter_core.paths import jupyter_path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "labextension"
LOCALES = ROOT / "gorilla_jupyter" / "locale"

_STRING = r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)\""""
_TRANSLATED = re.compile(rf"trans\s*\.\s*(?:__|_n)\(\s*(?:{_STRING})", re.DOTALL)


def npm(*arguments: str) -> str:
    """Run npm, or a command of one of its packages, in the front end's folder."""
    done = subprocess.run(
        ["npm", *arguments], cwd=SOURCE, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def installed(*parts: str) -> Path:
    """A file of the extension as JupyterLab finds it."""
    folders = (Path(folder) / "labextensions" / "gorilla-jupyter" for folder in jupyter_path())
    return next(folder for folder in folders if folder.is_dir()).joinpath(*parts)


def labels() -> set[str]:
    """All that a person may read: what the source translates, and the settings."""
    sources = [path.read_text() for path in sorted((SOURCE / "src").rglob("*.ts*"))]
    found = chain.from_iterable(map(_TRANSLATED.finditer, sources))
    return {match.group(1) or match.group(2) for match in found} | set(
        schema_texts(json.loads((SOURCE / "schema" / "plugin.json").read_text()))
    )


def schema_texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (value[name] for name in ("title", "description") if name in value)
        yield from chain.from_iterable(map(schema_texts, value.values()))
    if isinstance(value, list):
        yield from chain.from_iterable(map(schema_texts, value))


@pytest.mark.slow
def test_its_own_tests_pass() -> None:
    npm("test")


@pytest.mark.slow
def test_its_types_are_those_of_the_rest_interface(tmp_path: Path) -> None:
    generated = tmp_path / "openapi.ts"
    openapi = ROOT / "gorilla_jupyter" / "server" / "openapi.yaml"
    npm("exec", "--", "openapi-typescript", str(openapi), "--output", str(generated))
    assert generated.read_text() == (SOURCE / "src" / "openapi.ts").read_text(), (
        "run: npm --prefix labextension run generate"
    )


@pytest.mark.parametrize("path", sorted(LOCALES.glob("*/LC_MESSAGES/*.json")), ids=str)
def test_every_label_is_translated_and_nothing_else(path: Path) -> None:
    translated = json.loads(path.read_text())
    assert set(translated) - {""} == labels()
    assert all(all(texts) for label, texts in translated.items() if label)


def test_jupyterlab_finds_the_translations() -> None:
    (found,) = entry_points(group="jupyterlab.locale", name="gorilla_jupyter")
    assert Path(found.load().__file__).with_name("locale").is_dir()


def test_what_is_loaded_at_start_is_small() -> None:
    """The entry and whatever is not loaded on demand, as a server compresses it."""
    static = installed("static")
    label = "Search the API documentation, or ask with Enter"
    (panel,) = (path for path in static.glob("*.js") if label in path.read_text())
    at_start = set(static.glob("*.js")) - {panel}
    assert sum(len(gzip.compress(path.read_bytes())) for path in at_start) <= 40 * 1024


def test_the_shortcuts_are_none_of_jupyterlabs() -> None:
    def shortcuts(path: Path) -> set[str]:
        schema = json.loads(path.read_text())
        return {
            " ".join(keys)
            for shortcut in schema.get("jupyter.lab.shortcuts", [])
            for name, keys in shortcut.items()
            if name.lower().endswith("keys")
        }

    folders = (Path(path) / "lab" / "schemas" for path in jupyter_path())
    folder = next(path for path in folders if path.is_dir())
    theirs = set(chain.from_iterable(map(shortcuts, folder.rglob("*.json"))))
    ours = shortcuts(SOURCE / "schema" / "plugin.json")
    assert theirs
    assert not ours & theirs
