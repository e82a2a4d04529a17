"""The sentences that `bench typed` asks."""

from __future__ import annotations

from gorilla_jupyter.bench.typed import read_sentences
from gorilla_jupyter.train.instructions import SHORT, read_instructions, shipped_records


def test_every_sentence_has_a_right_answer() -> None:
    records = shipped_records()
    unanswerable = [
        asked.sentence
        for asked in read_sentences()
        if not any(asked.is_answered_by(record) for record in records)
    ]
    assert unanswerable == []


def test_no_sentence_is_learned_from() -> None:
    learned = {pair.text.casefold() for pair in read_instructions(shipped_records(), SHORT)}
    assert not learned.intersection(asked.sentence.casefold() for asked in read_sentences())
