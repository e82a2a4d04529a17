"""What is exported is held against what was trained, and sealed."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gorilla_jupyter.index.vectors import EncoderError, document_text
from gorilla_jupyter.model.encoder import WEIGHTS, Encoder
from gorilla_jupyter.model.placing import FILE
from gorilla_jupyter.record import ApiRecord
from gorilla_jupyter.train.checking import Instruction
from gorilla_jupyter.train.export import ExportError, compare, seal
from gorilla_jupyter.train.instructions import read_instructions, shipped_records


@pytest.fixture(scope="module")
def records() -> list[ApiRecord]:
    return shipped_records()


@pytest.fixture(scope="module")
def instructions(records: list[ApiRecord]) -> list[Instruction]:
    return read_instructions(records)[::800]


def training(vectors: dict[str, NDArray[np.float64]]) -> Any:
    """A training whose weights make these vectors of texts."""

    def encode_all(texts: Sequence[str], tokens: int) -> Any:
        found = np.vstack([vectors[text] for text in texts])
        return SimpleNamespace(cpu=lambda: SimpleNamespace(numpy=lambda: found))

    return SimpleNamespace(encode_all=encode_all)


def all_knowing(records: Sequence[ApiRecord], instructions: Sequence[Instruction]) -> Any:
    """A training in which an instruction has the vector of its document, and no other has it."""
    vectors = {document_text(record): np.zeros(len(instructions)) for record in records}
    for place, instruction in enumerate(instructions):
        vector = np.eye(len(instructions))[place]
        vectors[instruction.text] = vectors[document_text(instruction.record)] = vector
    return training(vectors)


def test_weights_that_do_worse_than_the_full_ones_are_refused(
    records: list[ApiRecord], instructions: list[Instruction]
) -> None:
    full = all_knowing(records, instructions)
    with pytest.raises(ExportError, match=r"the right \w+ for 0\.\d+ .* the full ones for 1\.000"):
        compare(full, WEIGHTS, records, instructions)


def test_weights_that_do_as_well_are_not(
    records: list[ApiRecord], instructions: list[Instruction]
) -> None:
    ignorant = {document_text(record): np.zeros(1) for record in records}
    ignorant |= {instruction.text: np.zeros(1) for instruction in instructions}
    full, exported = compare(training(ignorant), WEIGHTS, records, instructions)
    assert full.document < exported.document <= exported.domain


def test_what_is_learned_later_is_sealed_with_the_rest(tmp_path: Path) -> None:
    folder = shutil.copytree(WEIGHTS, tmp_path / "weights")
    (folder / FILE).write_text("{}")
    with pytest.raises(EncoderError, match="is damaged"):
        Encoder(folder)
    seal(folder)
    assert Encoder(folder).name == Encoder().name
