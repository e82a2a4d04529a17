"""The instructions that the embedded model learns from, and how they are divided."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path

from gorilla_jupyter.catalog.store import CatalogStore
from gorilla_jupyter.record import ApiRecord
from gorilla_jupyter.train import TrainingError
from gorilla_jupyter.train.checking import Instruction

DATA = Path(__file__).parent / "data"
"""What is learned from, described in its ``README.md``."""

INSTRUCTIONS = DATA / "instructions.jsonl"
"""Instructions for the APIs that are shipped."""

FURTHER = DATA / "further.jsonl"
"""Instructions for the APIs that APIBench documents."""

SHORT = DATA / "short.jsonl"
"""What people type: a model family's name, an everyday need in a few words, an abbreviation."""

_HELD_OUT = (0, 5)
"""The first of the three twentieths that each run alone holds out."""

RUNS = len(_HELD_OUT)
"""How often the encoder is trained, to take the mean."""


class Part(StrEnum):
    """What the instructions of a record are used for."""

    TRAINING = "training"
    VALIDATION = "validation"
    HELD_OUT = "held-out"


def part_of(record: ApiRecord, run: int = 0) -> Part:
    """The part that a record belongs to: one in five is held out, one in twenty validates.

    Each run holds out others, so that the mean of the runs has learned from most records; see
    :func:`held_out_of_all`. It depends on the name alone, so that records of one model under
    several tasks stay together.
    """
    digest = hashlib.sha256(record.api_name.casefold().encode()).digest()
    # In twentieths: one validates, one is held out of every run, and three more of each.
    place = digest[0] % 20
    if place == 4:
        return Part.VALIDATION
    first = _HELD_OUT[run]
    return Part.HELD_OUT if place in (3, *range(first, first + 3)) else Part.TRAINING


def held_out_of_all(record: ApiRecord) -> bool:
    """Whether no run has learned from a record: of one in twenty."""
    return all(part_of(record, run) is Part.HELD_OUT for run in range(RUNS))


def shipped_records() -> list[ApiRecord]:
    """Every record of the shipped catalogs."""
    return [
        record
        for catalog in CatalogStore(project=None).catalogs()
        if catalog.builtin
        for record in catalog.read().records
    ]


def asked_as(record: ApiRecord) -> tuple[str, str, str]:
    """What tells records of a catalog apart, and instructions by: name, call and domain."""
    return record.api_name, record.api_call, record.domain


def read_instructions(records: Iterable[ApiRecord], path: Path = INSTRUCTIONS) -> list[Instruction]:
    """The instructions for these records, in the order of the file.

    :raises TrainingError: if the file cannot be read, or holds something else.
    """
    known = {asked_as(record): record for record in records}
    try:
        # Not splitlines, which also parts a sentence where it has a separator of another kind.
        with path.open(encoding="utf-8") as file:
            lines = list(file)
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingError(f"{path} cannot be read: {error}.") from error
    instructions = []
    for number, line in enumerate(lines, start=1):
        try:
            pair = json.loads(line)
            text = pair["instruction"]
            key = (pair["api_name"], pair["api_call"], pair["domain"])
        except (ValueError, KeyError, TypeError) as error:
            raise TrainingError(
                f"{path}, line {number}: no pair of an instruction and an API. Remove the line, "
                "or name another file."
            ) from error
        if record := known.get(key):
            instructions.append(Instruction(text, record))
    return instructions


def read_further(
    records: Sequence[ApiRecord], instructions: Iterable[Instruction]
) -> list[Instruction]:
    """The instructions for the records of further catalogs: their own, and those for a shipped
    record that they have under the same name and domain.

    :param instructions: for the shipped records.
    :raises TrainingError: if the file cannot be read, or holds something else.
    """
    same = {(record.api_name.casefold(), record.domain): record for record in records}
    return read_instructions(records, FURTHER) + [
        Instruction(instruction.text, record)
        for instruction in instructions
        if (record := same.get((instruction.record.api_name.casefold(), instruction.record.domain)))
    ]


def read_off_topic(path: Path = DATA / "off-topic.txt") -> list[str]:
    """Sentences that no document answers."""
    return path.read_text(encoding="utf-8").splitlines()


def read_asides() -> list[str]:
    """Phrases, and sentences, that say how something is to be run and not what it is to do."""
    return (DATA / "asides.txt").read_text(encoding="utf-8").splitlines()


def with_aside(sentence: str, aside: str, random_: random.Random) -> str:
    """The sentence with an aside: a phrase becomes part of it, a sentence follows it."""
    if aside.endswith("."):
        end = "" if sentence.endswith((".", "!", "?")) else "."
        return f"{sentence}{end} {aside}"
    if random_.random() < 0.25:
        return f"{aside}: {sentence}"
    plain = sentence.rstrip(".!?")
    return f"{plain} {aside}{sentence[len(plain) :]}"


def append_instruction(instruction: Instruction, path: Path) -> None:
    """Write one more pair, a line with the fields that APIBench's questions have, to the end of a
    file that need not be there yet.

    :raises TrainingError: if it cannot be written.
    """
    record = instruction.record
    pair = {
        "instruction": instruction.text,
        "domain": record.domain,
        "api_call": record.api_call,
        "api_provider": record.framework,
        "api_name": record.api_name,
    }
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(pair, ensure_ascii=False) + "\n")
    except OSError as error:
        raise TrainingError(f"{path} cannot be written: {error.strerror}.") from error
