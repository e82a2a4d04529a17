"""What a set of instructions must be before a model learns from it."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from gorilla_jupyter.record import ApiRecord

MOST_ALIKE = 0.8
"""The Jaccard similarity of their words at which two instructions are near duplicates."""

RUN = 8
"""How many words in a row no instruction may share with an evaluation question."""

OPENING_SHARE = {1: 0.15, 3: 0.01}
"""The largest share of instructions that may begin with the same so many words."""

PROVIDERS = frozenset(
    "diffusers gymnasium huggingface keras onnx pytorch scikit sklearn speechbrain tensorflow tfhub"
    " timm torchaudio torchhub torchvision ultralytics".split()
)

FAMILIES = frozenset(
    "albert bart bert bigbird blip camembert clip convnext deberta deepseek deit detr dino"
    " distilbert efficientdet efficientnet electra elmo flan gemma gpt hubert inception kokoro"
    " llama llava longformer minilm mistral mobilenet mpnet nllb opus pegasus phi qwen resnet"
    " roberta sdxl segformer t5 tapas vgg vit wav2vec2 whisper xlnet"
    " yamnet yolo yolov5 yolov8".split()
)
"""Names of models that give an API away whichever model is meant."""


@dataclass(frozen=True)
class Instruction:
    """A sentence that a person could write, and the API that answers it."""

    text: str
    record: ApiRecord


@dataclass(frozen=True)
class Fault:
    """Why an instruction, or the whole set, may not be used."""

    instruction: Instruction | None
    reason: str


def faults(
    instructions: Sequence[Instruction],
    records: Collection[ApiRecord],
    questions: Iterable[str] = (),
    *,
    naming: Sequence[Instruction] = (),
    others: Iterable[str] = (),
) -> Iterator[Fault]:
    """Everything that is wrong with ``instructions``.

    :param records: whose prose tells which parts of a name are ordinary words.
    :param questions: evaluation questions, of which no instruction may hold a run of
        :data:`RUN` words.
    :param naming: further ones, in which names may stand.
    :param others: further sentences that are learned from, which only must not hold such a run.
    """
    ordinary = ordinary_words(records)
    runs = {run for question in questions for run in _runs(words(question))}
    for instruction in instructions:
        if name := leaked_name(instruction, ordinary):
            yield Fault(instruction, f"names {name!r}")
    instructions = [*instructions, *naming]
    for instruction in instructions:
        if shared := runs.intersection(_runs(words(instruction.text))):
            yield Fault(instruction, f"shares {' '.join(min(shared))!r} with a question")
    for text in others:
        if shared := runs.intersection(_runs(words(text))):
            yield Fault(None, f"{text!r} shares {' '.join(min(shared))!r} with a question")
    for first, second in _near_duplicates(instructions):
        yield Fault(second, f"says the same as {first.text!r}")
    for length, share in OPENING_SHARE.items():
        openings = Counter(tuple(words(instruction.text)[:length]) for instruction in instructions)
        for opening, count in openings.items():
            if count > max(5, share * len(instructions)):
                yield Fault(None, f"{count} instructions begin with {' '.join(opening)!r}")


class Checker:
    """Holds instructions to the rules one by one, as they are written.

    :param records: see :func:`faults`.
    """

    def __init__(self, records: Collection[ApiRecord]) -> None:
        self._ordinary = ordinary_words(records)
        self._known: list[tuple[str, frozenset[str]]] = []
        self._openings: Counter[tuple[str, ...]] = Counter()

    def add(self, instruction: Instruction) -> None:
        """Count this one among those that others must differ from."""
        said = words(instruction.text)
        self._known.append((instruction.text, frozenset(said)))
        self._openings.update(tuple(said[:length]) for length in OPENING_SHARE)

    def reason(self, instruction: Instruction) -> str | None:
        """Why this one may not be used beside the others, as the end of a sentence about it."""
        if name := leaked_name(instruction, self._ordinary):
            return f"names {name!r}"
        said = words(instruction.text)
        found = frozenset(said)
        for text, other in self._known:
            if _alike(found, other):
                return f"says the same as {text!r}"
        for length, share in OPENING_SHARE.items():
            opening = tuple(said[:length])
            if self._openings[opening] + 1 > max(5, share * (len(self._known) + 1)):
                return f"begins with {' '.join(opening)!r} as too many others do"
        return None


def alike(first: str, second: str) -> bool:
    """Whether the two are near duplicates."""
    return _alike(frozenset(words(first)), frozenset(words(second)))


def _alike(first: frozenset[str], second: frozenset[str]) -> bool:
    return len(first & second) >= MOST_ALIKE * len(first | second)


def words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower())


def ordinary_words(records: Collection[ApiRecord]) -> frozenset[str]:
    """The words that name nothing: those of tasks, and what prose has in small letters."""
    tasks = {
        word for record in records for word in words(f"{record.domain} {record.functionality}")
    }
    prose = {
        word
        for record in records
        for word in re.findall(r"(?<![\w-])[a-z]{3,}(?![\w-])", record.description)
    }
    return frozenset((tasks | prose) - FAMILIES - PROVIDERS)


def leaked_name(instruction: Instruction, ordinary: Collection[str]) -> str | None:
    """What gives the API away: its name, an unusual part of it, a model family or a library."""
    said = words(instruction.text)
    joined = f" {' '.join(said)} "
    name = words(instruction.record.api_name.rpartition("/")[2])
    if len(name) > 1 and f" {' '.join(name)} " in joined:
        return " ".join(name)
    parts = {part for part in words(instruction.record.api_name) if re.search(r"[a-z]{3}", part)}
    giving_away = (parts - set(ordinary)) | PROVIDERS | (FAMILIES - {"clip", "flan", "opus", "phi"})
    return next((word for word in said if word in giving_away), None)


def _runs(said: list[str]) -> set[tuple[str, ...]]:
    return {tuple(said[start : start + RUN]) for start in range(len(said) - RUN + 1)}


def _near_duplicates(
    instructions: Sequence[Instruction],
) -> Iterator[tuple[Instruction, Instruction]]:
    """Pairs with a Jaccard similarity of at least :data:`MOST_ALIKE`.

    Two such sets must share one of the rarest words of each (prefix filtering: Chaudhuri, Ganti
    and Kaushik, "A primitive operator for similarity joins in data cleaning", ICDE 2006).
    """
    sets = [frozenset(words(instruction.text)) for instruction in instructions]
    frequency = Counter(word for found in sets for word in found)
    holders: defaultdict[str, list[int]] = defaultdict(list)
    for place, found in enumerate(sets):
        rarest = sorted(found, key=lambda word: (frequency[word], word))
        prefix = rarest[: len(found) - int(MOST_ALIKE * len(found)) + 1]
        for other in sorted({place for word in prefix for place in holders[word]}):
            if _alike(found, sets[other]):
                yield instructions[other], instructions[place]
                break
        for word in prefix:
            holders[word].append(place)
