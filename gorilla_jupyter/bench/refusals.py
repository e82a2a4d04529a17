"""How often the engine says that nothing fits: to sentences that no API answers, where it should,
and to real ones, where it should not.

The first are in ``off-topic.txt`` and, of a few words, many of which documents have in another
sense, in ``off-topic-short.txt``; none of them is in the training data. The others are the
instructions of the shipped APIs that training never sees, those of a few words by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from gorilla_jupyter.bench.results import write_results
from gorilla_jupyter.engine import Gorilla
from gorilla_jupyter.train.instructions import (
    INSTRUCTIONS,
    SHORT,
    held_out_of_all,
    read_instructions,
    read_off_topic,
    shipped_records,
)

OFF_TOPIC = Path(__file__).with_name("off-topic.txt")
OFF_TOPIC_SHORT = Path(__file__).with_name("off-topic-short.txt")


def run(results: Path) -> None:
    """Measure, print the table, and write ``refusals.json`` into the folder ``results``."""
    gorilla = Gorilla()
    figures = {
        "off topic": _refused(gorilla, read_off_topic(OFF_TOPIC)),
        "off topic, short": _refused(gorilla, read_off_topic(OFF_TOPIC_SHORT)),
        "real": _refused(gorilla, _real_sentences(INSTRUCTIONS)),
        "real, short": _refused(gorilla, _real_sentences(SHORT)),
    }
    print(f"{'':16}{'sentences':>12}{'refused':>12}")
    for name, (count, refused) in figures.items():
        print(f"{name:16}{count:>12}{f'{refused / count:.1%}':>12}")
    write_results(
        results / "refusals.json",
        "jupyter gorilla bench refusals",
        {
            name: {"sentences": count, "refused": refused}
            for name, (count, refused) in figures.items()
        },
    )


def _real_sentences(path: Path) -> list[str]:
    """Instructions that a shipped API answers and that no model has learned from."""
    return [
        instruction.text
        for instruction in read_instructions(shipped_records(), path)
        if held_out_of_all(instruction.record)
    ]


def _refused(gorilla: Gorilla, sentences: Sequence[str]) -> tuple[int, int]:
    """How many sentences there are, and for how many nothing is offered."""
    asked = tqdm(sentences, desc="Asking", disable=None)
    refused = sum(not gorilla.ask(sentence, candidates=1).candidates for sentence in asked)
    return len(sentences), refused
