"""Instructions for functions of installed packages, and the documents of these packages."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from gorilla_jupyter.catalog.environment import index_environment
from gorilla_jupyter.catalog.store import CatalogStore
from gorilla_jupyter.record import ApiRecord
from gorilla_jupyter.train import TrainingError
from gorilla_jupyter.train.checking import Instruction
from gorilla_jupyter.train.instructions import DATA

FILES = (DATA / "packages.jsonl", DATA / "arguments.jsonl")
"""What is asked of packages; for the second see :mod:`gorilla_jupyter.train.arguments`."""

HUB = "packages"
"""The source of the documents of all packages, which are searched together."""

OTHERS = 20
"""Of the documents that nothing is asked of, one in so many is there to be told from the others."""


def read_packages() -> tuple[list[ApiRecord], list[Instruction]]:
    """Documents of the packages that something is asked of, and the instructions for them.

    :raises TrainingError: if a file cannot be read or holds something else, or if a package is
        not installed here, or in another version.
    """
    asked = [pair for path in FILES for pair in _read(path)]
    records = {
        (package, record.api_name, record.api_call): replace(record, source=HUB)
        for package, record in installed_records(sorted({package for _, package, _, _ in asked}))
    }
    instructions, missing = [], set()
    for text, *key in asked:
        if record := records.get((key[0], key[1], key[2])):
            instructions.append(Instruction(text, record))
        else:
            missing.add(f"{key[1]} of {key[0]}")
    if missing:
        raise TrainingError(
            f"{len(missing)} APIs are not installed here, or are called differently in the version "
            f"that is, among them {min(missing)}."
        )
    needed = {instruction.record.id for instruction in instructions}
    others = [record for record in records.values() if record.id not in needed][::OTHERS]
    return [record for record in records.values() if record.id in needed] + others, instructions


def installed_records(distributions: Sequence[str]) -> Iterator[tuple[str, ApiRecord]]:
    """The documents of packages that are installed here, each with its package's name."""
    with tempfile.TemporaryDirectory() as scratch:
        store = CatalogStore(Path(scratch), builtin=None, project=None)
        for _ in index_environment(distributions, store=store):
            pass
        for catalog in store.catalogs():
            distribution, _, _ = catalog.name.partition("@")
            for record in catalog.read().records:
                yield distribution, record


def _read(path: Path) -> Iterator[tuple[str, str, str, str]]:
    """Each instruction, and the package, the name and the call that it is for."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
        for line in filter(None, lines):
            pair = json.loads(line)
            if package := pair["package"]:
                yield pair["instruction"], package, pair["api_name"], pair["api_call"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{path} cannot be read: {error!r}.") from error
