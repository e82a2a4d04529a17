"""What a generative model is trained on: the prompt of use, its documents, the learnt answer."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from gorilla_jupyter.answer import Document, Progress
from gorilla_jupyter.model.constrain import answer_pattern
from gorilla_jupyter.model.prompt import PromptError
from gorilla_jupyter.model.writing import documented_call, read
from gorilla_jupyter.record import ApiRecord
from gorilla_jupyter.train.checking import Instruction
from gorilla_jupyter.train.examples import (
    NO_LABEL,
    Encoded,
    Example,
    Kind,
    Mixture,
    answer,
    encode,
    make_examples,
    read_examples,
    retriever,
    write_examples,
)
from gorilla_jupyter.train.instructions import shipped_records
from tests.model.conftest import CHOIR, PICTURE, VOICE
from tests.model.test_decoding import CHAT, END, TOKENIZER

ALL = tuple(Document(record, 1.0) for record in (VOICE, CHOIR, PICTURE))
SPEAK = Instruction("German text to speech", VOICE)


def made(mixture: Mixture, count: int = 1) -> list[Example]:
    instructions = [Instruction(f"{SPEAK.text} number {number}", VOICE) for number in range(count)]
    steps = make_examples(instructions, lambda sentence: ALL, mixture, seed=1)
    return [step for step in steps if not isinstance(step, Progress)]


def tokens(text: str) -> list[int]:
    return list(TOKENIZER.encode(text, add_special_tokens=False).ids)


def encoded(example: Example, longest: int = 5000) -> Encoded:
    return encode(example, tokens, CHAT.text, end=END, longest=longest)


def shown(example: Example) -> list[ApiRecord]:
    return [document.record for document in example.documents]


def test_the_documents_are_those_that_are_found() -> None:
    (example,) = made(Mixture(without=0, wrong=0, shuffled=0))
    assert (shown(example), example.kind) == ([VOICE, CHOIR, PICTURE], Kind.RIGHT)


def test_the_right_document_can_be_missing() -> None:
    (example,) = made(Mixture(without=0, wrong=1, shuffled=0))
    assert (shown(example), example.kind) == ([CHOIR, PICTURE], Kind.WRONG)


def test_all_documents_can_be_missing() -> None:
    (example,) = made(Mixture(without=1))
    assert (shown(example), example.kind) == ([], Kind.WITHOUT)
    assert "documentation" not in example.prompt.messages()[0]["content"]


def test_documents_can_stand_in_no_order() -> None:
    names = [record.api_name for record in (VOICE, CHOIR, PICTURE)]
    orders = set()
    for example in made(Mixture(0, 0, 1), count=50):
        found = encoded(example)
        text = TOKENIZER.decode(found.input_ids[: found.labels.count(NO_LABEL)])
        orders.add(tuple(sorted(names, key=text.index)))
    assert len(orders) == 6


def test_the_kinds_are_mixed_as_they_are_set() -> None:
    kinds = Counter(example.kind for example in made(Mixture(0.2, 0.25), count=1000))
    assert kinds[Kind.WITHOUT] == pytest.approx(200, abs=50)
    assert kinds[Kind.WRONG] == pytest.approx(200, abs=50)


def test_the_same_seed_makes_the_same_examples() -> None:
    assert made(Mixture(), count=50) == made(Mixture(), count=50)


def test_an_api_without_a_call_is_left_out() -> None:
    record = ApiRecord("Domain", "Widgets", "Something", "shell", "$ widgets --speak")
    steps = make_examples([Instruction("speak", record)], lambda sentence: ALL, Mixture(), seed=1)
    assert all(isinstance(step, Progress) for step in steps)


def test_only_the_answer_is_learnt() -> None:
    found = encoded(Example(SPEAK, ALL))
    learnt = [label for label in found.labels if label != NO_LABEL]
    assert learnt == [*tokens(answer(VOICE)), END]
    assert found.input_ids[-len(learnt) :] == learnt
    assert len(found.input_ids) == len(found.labels)


def test_the_question_is_asked_as_it_is_in_use() -> None:
    example = Example(SPEAK, ALL)
    found = encoded(example)
    question = found.input_ids[: found.labels.count(NO_LABEL)]
    text = TOKENIZER.decode(question, skip_special_tokens=False)
    assert text == CHAT.text(example.prompt)
    assert "Use this API documentation for reference" in text


def test_documents_are_left_out_where_there_is_no_room() -> None:
    whole = encoded(Example(SPEAK, ALL[::-1]))
    cut = encoded(Example(SPEAK, ALL[::-1]), longest=len(whole.input_ids) - 1)
    assert len(cut.input_ids) < len(whole.input_ids)
    assert (whole.kind, cut.kind) == (Kind.RIGHT, Kind.WRONG)


def test_what_is_too_long_all_the_same_is_refused() -> None:
    with pytest.raises(PromptError):
        encoded(Example(SPEAK, ALL), longest=400)


def test_every_shipped_answer_is_one_that_its_document_allows() -> None:
    records = [record for record in shipped_records() if record.call is not None]
    for record in records[::100]:
        text = answer(record)
        assert re.fullmatch(answer_pattern([record], "a sentence"), text), text
        assert documented_call(record, read(text).api_call)


def test_examples_are_kept_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "examples.jsonl"
    examples = [Example(SPEAK, ALL, shuffled=True), Example(Instruction("a song", CHOIR), ())]
    write_examples(examples, path)
    records = {document.record.id: document.record for document in ALL}
    found = read_examples(path, records)
    assert [(example.instruction, shown(example), example.shuffled) for example in found] == [
        (SPEAK, [VOICE, CHOIR, PICTURE], True),
        (examples[1].instruction, [], False),
    ]


def test_the_index_finds_the_given_records_and_no_others(tmp_path: Path) -> None:
    voice, picture = (replace(record, source="widgets") for record in (VOICE, PICTURE))
    steps = retriever([voice, picture], tmp_path)
    while True:
        try:
            next(steps)
        except StopIteration as finished:
            found: Sequence[Document] = finished.value("German text to speech")
            break
    assert found[0].record.id == voice.id
    assert {document.record.id for document in found} <= {voice.id, picture.id}
