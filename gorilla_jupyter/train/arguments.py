"""Learning which documented argument a value of a sentence belongs to.

The cases in ``data/arguments.jsonl`` say what a call must be given. Each value and literal that an
argument might get is one example, and three logistic regressions with a penalty on large weights
(ridge; le Cessie and van Houwelingen, 1992) learn to tell the right ones, by Newton's method. The
thresholds are chosen on records that the weights were not learned from.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from gorilla_jupyter.catalog.store import write_whole
from gorilla_jupyter.model.arguments import fill_arguments
from gorilla_jupyter.model.encoder import WEIGHTS, Encoder
from gorilla_jupyter.model.placing import (
    FILE,
    KINDS,
    Features,
    Offer,
    Placing,
    Regression,
    read_regressions,
)
from gorilla_jupyter.record import ApiRecord, parse_call
from gorilla_jupyter.train import TrainingError
from gorilla_jupyter.train.export import seal
from gorilla_jupyter.train.instructions import DATA, Part, part_of, shipped_records
from gorilla_jupyter.train.packages import installed_records
from gorilla_jupyter.verify import by_place

LEAST_PRECISION = 0.96
"""Of what is given, how much must be right on records that were not learned from."""

PENALTY = {"measure": 0.5, "word": 1.0, "words": 0.1}
"""How much a weight costs: of what is measured, of a word, and of two neighbouring words."""

LEAST_SEEN = 2
"""In how many right offers a word must occur to be learned as one for an argument."""

LEAST_OFFERED = 15
"""In how many offers a word, or an argument, must occur for what it says by itself."""

FOLDS = 5
STEPS = 12


@dataclass(frozen=True)
class Case:
    """A sentence, and what the call of a record must be given for it.

    :ivar arguments: Python source of the values, by argument.
    """

    sentence: str
    record: ApiRecord
    arguments: Mapping[str, str]


@dataclass(frozen=True)
class Example:
    """An offer in a sentence, and whether the sentence means it."""

    case: Case
    offer: Offer
    features: Features
    is_right: bool


@dataclass(frozen=True)
class Score:
    """How well calls are filled.

    :ivar precision: the share of right ones among the arguments that were given.
    :ivar recall: the share of the arguments to be given that were given right.
    :ivar exact: the share of calls that are just as they should be.
    """

    cases: int
    precision: float
    recall: float
    exact: float


@dataclass
class _Recorder(Placing):
    """Takes nothing, and remembers what it might have."""

    offered: list[Offer] = field(default_factory=list)
    read: str = ""

    def taken(self, record: ApiRecord, sentence: str, offers: Sequence[Offer]) -> list[Offer]:
        self.offered, self.read = list(offers), sentence
        return []


def read_cases(path: Path = DATA / "arguments.jsonl") -> tuple[list[Case], list[str]]:
    """The cases whose records are shipped or installed here, and the names of the other records.

    :raises TrainingError: if the file cannot be read, or holds something else.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
        told = [json.loads(line) for line in lines if line]
        wanted = sorted({case["package"] for case in told} - {""})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{path} cannot be read: {error!r}.") from error
    records = {
        ("", record.api_name, record.api_call): record for record in reversed(shipped_records())
    }
    for package, record in installed_records(wanted):
        records[package, record.api_name, record.api_call] = record
    cases = []
    missing: dict[str, None] = {}
    for case in told:
        known = records.get((case["package"], case["api_name"], case["api_call"]))
        if known is None:
            missing[case["api_name"]] = None
        else:
            cases.append(Case(case["instruction"], known, case["arguments"]))
    return cases, list(missing)


def learn_arguments(weights: Path = WEIGHTS) -> dict[str, Any]:
    """Learn the weights, write them beside the encoder's, and return what was measured.

    :raises TrainingError: if the cases cannot be read.
    :raises EncoderError: if there is no encoder.
    """
    cases, missing = read_cases()
    untrained = {kind: Regression({}, 1.0) for kind in KINDS}
    placing = Placing(Encoder(weights), untrained)
    parts = {part: [case for case in cases if part_of(case.record) is part] for part in Part}
    training = examples_of(parts[Part.TRAINING], placing)
    learned = _fit_each(training)
    unseen = [
        *_out_of_fold(training),
        *_rated(examples_of(parts[Part.VALIDATION], placing), learned),
    ]
    thresholds = choose_thresholds(unseen)
    told = {kind: {"threshold": thresholds[kind], "weights": dict(learned[kind])} for kind in KINDS}
    text = json.dumps(told, ensure_ascii=False, indent=1, sort_keys=True) + "\n"
    write_whole(weights / FILE, text.encode(), mode=0o644)
    seal(weights)
    placing.regressions = read_regressions(weights / FILE)
    return {
        "cases": {part.value: len(found) for part, found in parts.items()},
        "without_arguments": sum(not case.arguments for case in cases),
        "not_installed": missing,
        "features": {kind: len(learned[kind]) for kind in KINDS},
        "thresholds": thresholds,
        **{
            part.value: {
                "documented": asdict(score(parts[part], lambda case: case.record.api_call)),
                "rules": asdict(score(parts[part], lambda case: _filled(case, None))),
                "model": asdict(score(parts[part], lambda case: _filled(case, placing))),
            }
            for part in (Part.VALIDATION, Part.HELD_OUT)
        },
    }


def _filled(case: Case, placing: Placing | None) -> str:
    return fill_arguments(case.record, case.sentence, placing=lambda: placing)


def examples_of(cases: Iterable[Case], placing: Placing) -> list[Example]:
    """Every offer that the cases' sentences and records make."""
    recorder = _Recorder(placing.encoder, placing.regressions)
    examples = []
    for case in cases:
        recorder.offered = []
        fill_arguments(case.record, case.sentence, placing=lambda: recorder)
        told = placing.features(case.record, recorder.read, recorder.offered)
        for offer, features in zip(recorder.offered, told, strict=True):
            given = case.arguments.get(offer.argument.name)
            is_right = given is not None and ast.literal_eval(given) == offer.literal
            examples.append(Example(case, offer, features, is_right))
    return examples


def fit(examples: Sequence[Example]) -> Mapping[str, float]:
    """The weights by feature."""
    seen = Counter(name for example in examples if example.is_right for name in example.features)
    every = Counter(name for example in examples for name in example.features)
    names = sorted(name for name in every if _is_telling(name, seen, every))
    place = {name: number for number, name in enumerate(names)}
    rows = np.zeros((len(examples), len(names)))
    for row, example in zip(rows, examples, strict=True):
        for name, value in example.features.items():
            if name in place:
                row[place[name]] = value
    right = np.array([example.is_right for example in examples], dtype=float)
    penalty = np.array([PENALTY[_sort(name)] for name in names])
    weights = np.zeros(len(names))
    for _ in range(STEPS):
        probability = 1 / (1 + np.exp(-np.clip(rows @ weights, -30, 30)))
        slope = rows.T @ (right - probability) - penalty * weights
        curvature = (rows.T * (probability * (1 - probability))) @ rows + np.diag(penalty)
        weights += np.linalg.solve(curvature, slope)
    return {name: round(float(weight), 4) for name, weight in zip(names, weights, strict=True)}


def _is_telling(name: str, seen: Counter[str], every: Counter[str]) -> bool:
    """Whether a feature is learned: of the words for an argument only those with which it is meant
    more often than without."""
    said, has_target, target = name.partition(" for ")
    if _sort(name) == "measure" or said == "anything" or not has_target:
        return every[name] >= LEAST_OFFERED or _sort(name) == "measure"
    whatever = f"anything for {target}"
    return seen[name] >= LEAST_SEEN and seen[name] * every[whatever] > seen[whatever] * every[name]


def _sort(name: str) -> str:
    said, has_word, _ = name.partition(" for ")
    if not has_word:
        said, has_word, _ = name.partition(" stands ")
    if not has_word:
        return "measure"
    return "words" if " " in said else "word"


def _fit_each(examples: Sequence[Example]) -> dict[str, Mapping[str, float]]:
    return {
        kind: fit([example for example in examples if example.offer.kind == kind]) for kind in KINDS
    }


def _rated(
    examples: Iterable[Example], learned: Mapping[str, Mapping[str, float]]
) -> Iterator[tuple[float, Example]]:
    regressions = {kind: Regression(weights, 1.0) for kind, weights in learned.items()}
    for example in examples:
        yield regressions[example.offer.kind].probability(example.features), example


def _out_of_fold(examples: Sequence[Example]) -> Iterator[tuple[float, Example]]:
    """Each example rated by weights that were learned from other records."""
    for number in range(FOLDS):
        inside = [example for example in examples if _fold(example.case.record) == number]
        others = [example for example in examples if _fold(example.case.record) != number]
        yield from _rated(inside, _fit_each(others))


def _fold(record: ApiRecord) -> int:
    return hashlib.sha256(record.api_name.casefold().encode()).digest()[1] % FOLDS


def choose_thresholds(rated: Iterable[tuple[float, Example]]) -> dict[str, float]:
    """For each kind the least probability from which on enough of what is taken is right."""
    values: set[tuple[int, int]] = set()
    arguments: set[tuple[int, str]] = set()
    right: dict[str, list[tuple[float, bool]]] = {kind: [] for kind in KINDS}
    for probability, example in sorted(rated, key=lambda pair: -pair[0]):
        offer, case = example.offer, id(example.case)
        if (case, offer.argument.name) in arguments or (case, id(offer.value)) in values:
            continue
        arguments.add((case, offer.argument.name))
        if offer.value is not None:
            values.add((case, id(offer.value)))
        right[offer.kind].append((probability, example.is_right))
    thresholds = {}
    for kind, taken in right.items():
        thresholds[kind] = 1.0
        rights = accumulate(is_right for _, is_right in taken)
        for count, ((probability, _), found) in enumerate(zip(taken, rights, strict=True), start=1):
            if found >= LEAST_PRECISION * count:
                thresholds[kind] = round(probability, 4)
    return thresholds


def score(cases: Sequence[Case], fill: Callable[[Case], str]) -> Score:
    """How near the calls that ``fill`` writes are to what they should be."""
    given = right = wanted = exact = 0
    for case in cases:
        expected = {name: ast.literal_eval(text) for name, text in case.arguments.items()}
        found = _given(case.record, fill(case))
        given += len(found)
        wanted += len(expected)
        right += sum(name in expected and expected[name] == found[name] for name in found)
        exact += found == expected
    return Score(
        len(cases),
        round(right / given, 4) if given else 1.0,
        round(right / wanted, 4) if wanted else 1.0,
        round(exact / len(cases), 4) if cases else 1.0,
    )


def _given(record: ApiRecord, text: str) -> dict[str, object]:
    """What the call has that the documented one has not, by argument."""
    call = parse_call(text)
    assert call is not None
    assert record.call is not None
    documented = by_place(record.call)
    found: dict[str, object] = {}
    for place, value in by_place(call).items():
        before = documented.get(place)
        if before is None or ast.dump(before) != ast.dump(value):
            name = before.id if isinstance(before, ast.Name) else str(place)
            found[name] = ast.literal_eval(value)
    return found
