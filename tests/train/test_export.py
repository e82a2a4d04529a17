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
from gorilla_jupyter.train.checking import Instruction
from gorilla_jupyter.train.export import ExportError, compare, seal
from gorilla_jupyter.train.instructions import read_instructions, shipped_records

RECORDS = shipped_records()
INSTRUCTIONS = read_instructions(RECORDS)[::800]


def training(vectors: dict[str, NDArray[np.float64]]) -> Any:
    """A training whose weights make these vectors of texts."""

    def encode_all(texts: Sequence[str], tokens: int) -> Any:
        found = np.vstack([vectors[text] for text in texts])
        return SimpleNamespace(cpu=lambda: SimpleNamespace(numpy=lambda: found))

    return SimpleNamespace(encode_all=encode_all)


def all_knowing(instructions: Sequence[Instruction]) -> Any:
    """A training in which an instruction has the vector of its document, and no other has it."""
    vectors = {document_text(record): np.zeros(len(instructions)) for record in RECORDS}
    for place, instruction in enumerate(instructions):
        vector = np.eye(len(instructions))[place]
        vectors[instruction.text] = vectors[document_text(instruction.record)] = vector
    return training(vectors)


def test_weights_that_do_worse_than_the_full_ones_are_refused() -> None:
    with pytest.raises(ExportError, match=r"the right \w+ for 0\.\d+ .* the full ones for 1\.000"):
        compare(all_knowing(INSTRUCTIONS), WEIGHTS, RECORDS, INSTRUCTIONS)


def test_weights_that_do_as_well_are_not() -> None:
    ignorant = {document_text(record): np.zeros(1) for record in RECORDS}
    ignorant |= {instruction.text: np.zeros(1) for instruction in INSTRUCTIONS}
    full, exported = compare(training(ignorant), WEIGHTS, RECORDS, INSTRUCTIONS)
    assert full.document < exported.document <= exported.domain


def test_what_is_learned_later_is_sealed_with_the_rest(tmp_path: Path) -> None:
    folder = shutil.copytree(WEIGHTS, tmp_path / "weights")
    (folder / FILE).write_text("{}")
    with pytest.raises(EncoderError, match="is damaged"):
        Encoder(folder)
    seal(folder)
    assert Encoder(folder).name == Encoder().name
