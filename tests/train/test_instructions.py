"""The instructions that are shipped with the source, and how they are divided."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest

from gorilla_jupyter.catalog.files import read_file
from gorilla_jupyter.record import ApiRecord
from gorilla_jupyter.train.checking import Instruction, faults
from gorilla_jupyter.train.instructions import (
    FURTHER,
    RUNS,
    SHORT,
    Part,
    append_instruction,
    held_out_of_all,
    part_of,
    read_asides,
    read_further,
    read_instructions,
    read_off_topic,
    shipped_records,
    with_aside,
)
from tests.candidates import a_record
from tests.catalog.test_builtin import APIBENCH, needs_apibench


@pytest.fixture(scope="module")
def records() -> list[ApiRecord]:
    return shipped_records()


@pytest.fixture(scope="module")
def instructions(records: list[ApiRecord]) -> list[Instruction]:
    return read_instructions(records)


def test_at_least_1600_apis_have_ten_instructions_each(instructions: list[Instruction]) -> None:
    counts = Counter(instruction.record.id for instruction in instructions)
    assert len(counts) >= 1600
    assert set(counts.values()) == {10}


def test_the_instructions_keep_their_rules(
    records: list[ApiRecord], instructions: list[Instruction]
) -> None:
    assert list(faults(instructions, records)) == []


def test_short_instructions_keep_the_rules_beside_the_others_but_may_name(
    records: list[ApiRecord], instructions: list[Instruction]
) -> None:
    short = read_instructions(records, SHORT)
    assert len(short) == len(SHORT.read_text().split("\n")) - 1
    assert list(faults(instructions, records, naming=short)) == []


@needs_apibench
def test_the_instructions_for_apibench_keep_them_beside_the_others(
    records: list[ApiRecord], instructions: list[Instruction]
) -> None:
    others = [
        record
        for path in sorted(APIBENCH.glob("api/*.jsonl"))
        for record in read_file(path, source=path.stem).records
    ]
    further = read_instructions(others, FURTHER)
    assert len(further) == len(FURTHER.read_text().split("\n")) - 1
    assert list(faults(instructions + further, [*records, *others])) == []


def test_what_is_said_of_a_shipped_model_holds_in_a_further_catalog(
    instructions: list[Instruction],
) -> None:
    asked = instructions[0]
    same = replace(asked.record, api_call="load()", api_name=asked.record.api_name.upper())
    assert Instruction(asked.text, same) in read_further([same], instructions)
    assert read_further([replace(same, domain="Other")], instructions) == []


def test_one_api_in_five_is_held_out(instructions: list[Instruction]) -> None:
    parts = Counter(part_of(instruction.record) for instruction in instructions)
    assert parts[Part.HELD_OUT] / len(instructions) == pytest.approx(0.2, abs=0.04)
    assert parts[Part.VALIDATION] > 0


def test_each_run_holds_out_others_but_for_one_api_in_twenty(
    instructions: list[Instruction],
) -> None:
    held_out = [
        {
            instruction.record.id
            for instruction in instructions
            if part_of(instruction.record, run) is Part.HELD_OUT
        }
        for run in range(RUNS)
    ]
    of_all = {
        instruction.record.id for instruction in instructions if held_out_of_all(instruction.record)
    }
    for one, other in combinations(held_out, 2):
        assert one & other == of_all
    assert len(of_all) / len(set.union(*held_out)) == pytest.approx(0.05 / 0.35, abs=0.03)


def test_what_validates_is_the_same_for_every_run(instructions: list[Instruction]) -> None:
    for instruction in instructions:
        validates = {part_of(instruction.record, run) is Part.VALIDATION for run in range(RUNS)}
        assert len(validates) == 1


def test_a_model_under_several_tasks_is_in_one_part() -> None:
    first = a_record("load('acme/voice')")
    assert part_of(first) is part_of(replace(first, domain="Other", api_call="other('acme/voice')"))


def test_no_off_topic_sentence_is_an_instruction(instructions: list[Instruction]) -> None:
    texts = {instruction.text.casefold() for instruction in instructions}
    off_topic = read_off_topic()
    assert len(off_topic) > 100
    assert not texts.intersection(sentence.casefold() for sentence in off_topic)


def test_an_aside_is_a_phrase_or_a_whole_sentence() -> None:
    for aside in read_asides():
        assert aside[0].isupper() == aside.endswith("."), aside


@pytest.mark.parametrize(
    ("aside", "expected"),
    [
        ("on the GPU", {"Read this aloud on the GPU!", "on the GPU: Read this aloud!"}),
        ("Use the GPU.", {"Read this aloud! Use the GPU."}),
    ],
)
def test_an_aside_leaves_the_sentence_whole(aside: str, expected: set[str]) -> None:
    random_ = random.Random(1)
    said = {with_aside("Read this aloud!", aside, random_) for _ in range(100)}
    assert said == expected


def test_a_sentence_without_an_end_is_ended_before_another() -> None:
    said = with_aside("read this aloud", "Use the GPU.", random.Random(1))
    assert said == "read this aloud. Use the GPU."


def test_a_sentence_with_separators_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = Instruction("read this\u2028and that\x85aloud", a_record("load('acme/voice')"))
    append_instruction(written, tmp_path / "pairs.jsonl")
    assert read_instructions([written.record], tmp_path / "pairs.jsonl") == [written]
