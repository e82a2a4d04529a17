"""What people type: how often the first answer is of the right task, is of the model family that is
named, and how often there is none.

The sentences in ``typed.jsonl`` were written to measure; no model learns from them, and nothing is
chosen by them. Their ``kind`` is ``named`` where they name a model's family, ``ordinary`` where a
word that is also such a name means what it means in English, ``abbreviated`` where they say the
task by its abbreviation, and ``plain`` where they say no more than the task: their names are then
all that a colleague who knows the field would nod at.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from gorilla_jupyter.bench.results import write_results
from gorilla_jupyter.engine import Gorilla
from gorilla_jupyter.record import ApiRecord

SENTENCES = Path(__file__).with_name("typed.jsonl")


@dataclass(frozen=True)
class Sentence:
    """One need.

    :ivar domains: those of the catalogs that are right.
    :ivar names: of which the name or the call of a right answer has one; none for any answer.
    """

    kind: str
    sentence: str
    domains: list[str]
    names: list[str]

    def is_answered_by(self, record: ApiRecord) -> bool:
        """Whether the record is of a right task, and is what is named."""
        said = f"{record.api_name} {record.api_call}".lower()
        is_named = not self.names or any(name in said for name in self.names)
        return record.domain in self.domains and is_named


def read_sentences() -> list[Sentence]:
    """All sentences, in the order of the file."""
    return [Sentence(**json.loads(line)) for line in SENTENCES.read_text("utf-8").splitlines()]


def run(results: Path) -> None:
    """Measure, print the table, and write ``typed.json`` into the folder ``results``."""
    gorilla = Gorilla()
    figures: dict[str, dict[str, int]] = {}
    for asked in tqdm(read_sentences(), desc="Asking", disable=None):
        counts = figures.setdefault(
            asked.kind, {"sentences": 0, "right task": 0, "right": 0, "refused": 0}
        )
        counts["sentences"] += 1
        candidates = gorilla.ask(asked.sentence, candidates=1).candidates
        if not candidates:
            counts["refused"] += 1
            continue
        record = candidates[0].record
        counts["right task"] += record.domain in asked.domains
        counts["right"] += asked.is_answered_by(record)
    print(f"{'':12}" + "".join(f"{title:>12}" for title in next(iter(figures.values()))))
    for kind, counts in figures.items():
        total, *others = counts.values()
        shares = "".join(f"{f'{count / total:.1%}':>12}" for count in others)
        print(f"{kind:12}{total:>12}{shares}")
    write_results(results / "typed.json", "jupyter gorilla bench typed", figures)
