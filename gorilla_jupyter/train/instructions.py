"""The instructions that the embedded model learns from, and how they are divided."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path

from gorilla_jupyter.catalog.store import CatalogStore
from gorilla_jupyter.record import ApiRecord
from gorilla_jupyter.train.checking import Instruction

DATA = Path(__file__).parent / "data"
"""``instructions.jsonl`` and ``off-topic.txt``, described in ``README.md``."""


class Part(StrEnum):
    """What the instructions of a record are used for."""

    TRAINING = "training"
    VALIDATION = "validation"
    HELD_OUT = "held-out"


def part_of(record: ApiRecord) -> Part:
    """The part that a record belongs to: one in five is held out, one in twenty validates.

    It depends on the name alone, so that records of one model under several tasks stay together.
    """
    digest = hashlib.sha256(record.api_name.casefold().encode()).digest()
    place = digest[0] % 20
    if place < 4:
        return Part.HELD_OUT
    return Part.VALIDATION if place == 4 else Part.TRAINING


def shipped_records() -> list[ApiRecord]:
    """Every record of the shipped catalogs."""
    return [
        record
        for catalog in CatalogStore(project=None).catalogs()
        if catalog.builtin
        for record in catalog.read().records
    ]


def read_instructions(
    records: Iterable[ApiRecord], path: Path = DATA / "instructions.jsonl"
) -> list[Instruction]:
    """The instructions for these records, in the order of the file."""
    known = {(record.api_name, record.api_call): record for record in records}
    with path.open(encoding="utf-8") as file:
        pairs = [json.loads(line) for line in file]
    return [
        Instruction(pair["instruction"], record)
        for pair in pairs
        if (record := known.get((pair["api_name"], pair["api_call"])))
    ]


def read_off_topic(path: Path = DATA / "off-topic.txt") -> list[str]:
    """Sentences that no document answers."""
    return path.read_text(encoding="utf-8").splitlines()


def write_instructions(instructions: Sequence[Instruction], path: Path) -> None:
    """Write one pair a line, with the fields that APIBench's questions have."""
    with path.open("w", encoding="utf-8") as file:
        for line in _lines(instructions):
            file.write(line + "\n")


def _lines(instructions: Sequence[Instruction]) -> Iterator[str]:
    for instruction in instructions:
        record = instruction.record
        pair = {
            "instruction": instruction.text,
            "domain": record.domain,
            "api_call": record.api_call,
            "api_provider": record.framework,
            "api_name": record.api_name,
        }
        yield json.dumps(pair, ensure_ascii=False)
