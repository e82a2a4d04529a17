"""Instructions for a catalog of one's own, written by a model as the paper did it: it sees the
document and three pairs of others, and may name nothing (arXiv:2305.15334, section 3.1)."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gorilla_jupyter.answer import Notice, Progress
from gorilla_jupyter.model.backend import Conversing
from gorilla_jupyter.model.prompt import Message
from gorilla_jupyter.record import ApiRecord
from gorilla_jupyter.train.checking import Checker, Instruction, alike
from gorilla_jupyter.train.instructions import (
    Part,
    append_instruction,
    part_of,
    read_instructions,
    shipped_records,
)

EXAMPLES = 3
"""How many pairs of our own data set a model is shown."""

ATTEMPTS = 3
"""How often a model may write a sentence that breaks a rule before it is left out."""

DESCRIPTION_CHARACTERS = 600
SENTENCE_CHARACTERS = 500

_TASK = (
    "Below are documents of APIs, each with a request that a person wrote who needed just that API "
    "and did not know that it exists. Write the request for the last document: a need in a setting "
    "of its own, in a sentence or two, in the person's own words. Never name the API, a model, an "
    "author, a library or a hub. Write the request and nothing else."
)

# What small models put before or around a sentence.
_DECORATION = re.compile(r"^(?:(?:request|instruction)\s*\d*\s*:|\d+[.)]|[-*])\s*", re.IGNORECASE)
_QUOTES = "\"'`“”*"


@dataclass
class Report:
    """What came of it.

    :ivar written: how many instructions were written now.
    :ivar refused: how many sentences broke a rule.
    :ivar left_out: how many instructions were given up for that, by the record's name.
    """

    written: int = 0
    refused: int = 0
    left_out: Counter[str] = field(default_factory=Counter)


def self_instruct(
    records: Sequence[ApiRecord], model: Conversing, path: Path, *, each: int
) -> Generator[Progress | Notice, None, Report]:
    """Have ``model`` write until ``path`` holds ``each`` instructions for every record.

    Each one is written to the file at once, and what the file holds is not asked for again. A
    sentence that breaks a rule is sent back with the reason, at most :data:`ATTEMPTS` times.

    :raises ModelError: if the model cannot be had or fails; what was written is kept.
    :raises TrainingError: if the file cannot be read or written.
    """
    shipped = shipped_records()
    examples = [
        instruction
        for instruction in read_instructions(shipped)
        if part_of(instruction.record) is Part.TRAINING
    ]
    checker = Checker([*shipped, *records])
    known: dict[str, list[str]] = {record.id: [] for record in records}
    if path.exists():
        for instruction in read_instructions(records, path):
            checker.add(instruction)
            known[instruction.record.id].append(instruction.text)
    report = Report()
    for number, record in enumerate(records):
        for place in range(len(known[record.id]), each):
            yield Progress(record.api_name, number, len(records))
            random_ = random.Random(f"{record.id} {place}")
            shown = random_.sample(examples, EXAMPLES)
            written = yield from _write(record, model, checker, shown, known[record.id], report)
            if written is None:
                report.left_out[record.api_name] += 1
                continue
            append_instruction(written, path)
            checker.add(written)
            known[record.id].append(written.text)
            report.written += 1
    yield Progress("all are asked for", len(records), len(records))
    return report


def _write(
    record: ApiRecord,
    model: Conversing,
    checker: Checker,
    examples: Sequence[Instruction],
    others: Sequence[str],
    report: Report,
) -> Generator[Progress | Notice, None, Instruction | None]:
    messages = [Message(role="user", content=_question(record, examples, others))]
    for _ in range(ATTEMPTS):
        text = yield from _notices(model.reply(messages))
        written = Instruction(_sentence(text), record)
        reason = _reason(written, checker, examples)
        if reason is None:
            return written
        report.refused += 1
        messages += [
            Message(role="assistant", content=text[:SENTENCE_CHARACTERS]),
            Message(role="user", content=f"That {reason}. Write another request instead."),
        ]
    return None


def _notices(
    steps: Generator[Progress | Notice, None, str],
) -> Generator[Progress | Notice, None, str]:
    """What the model must say; how far it is within one sentence is of no interest."""
    while True:
        try:
            step = next(steps)
        except StopIteration as finished:
            return str(finished.value)
        if isinstance(step, Notice):
            yield step


def _reason(written: Instruction, checker: Checker, examples: Sequence[Instruction]) -> str | None:
    if len(written.text.split()) < 2:
        return "is no sentence"
    if len(written.text) > SENTENCE_CHARACTERS:
        return f"has more than {SENTENCE_CHARACTERS} characters"
    if any(alike(written.text, example.text) for example in examples):
        return "says the same as an example"
    return checker.reason(written)


def _question(record: ApiRecord, examples: Sequence[Instruction], others: Sequence[str]) -> str:
    return "\n\n".join(
        [
            _TASK,
            *(f"{_document(shown.record)}\nRequest: {shown.text}" for shown in examples),
            *_unlike(others),
            f"{_document(record)}\nRequest:",
        ]
    )


def _unlike(others: Sequence[str]) -> Iterator[str]:
    if others:
        listed = "\n".join(f"- {text}" for text in others)
        yield f"There are these requests for the last document; write one unlike them:\n{listed}"


def _document(record: ApiRecord) -> str:
    fields = {
        "Domain": record.domain,
        "What it does": record.functionality,
        "API": record.api_name,
        "Call": record.api_call,
        "Description": record.description[:DESCRIPTION_CHARACTERS],
    }
    return "\n".join(f"{name}: {' '.join(text.split())}" for name, text in fields.items() if text)


def _sentence(text: str) -> str:
    """The first line that a model wrote, without what it put around it."""
    lines = (" ".join(line.split()) for line in text.splitlines())
    line = next(filter(None, lines), "")
    return _DECORATION.sub("", line.strip(_QUOTES + " ")).strip(_QUOTES + " ")
