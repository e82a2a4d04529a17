"""Which documented argument each value of a sentence belongs to, and which literals it asks for.

Three logistic regressions (Cox, 1958) over a few features each: how near the words around a value
are to what the document says of the argument, in the encoder's vectors and in shared words, and
which words people use for arguments that many APIs have. ``jupyter gorilla train arguments`` learns
them.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gorilla_jupyter.index.vectors import Encoder, EncoderError
from gorilla_jupyter.model.backend import load_encoder
from gorilla_jupyter.model.encoder import WEIGHTS
from gorilla_jupyter.record import ApiRecord, Argument

FILE = "arguments.json"

KINDS = ("optional", "required", "literal")
"""Of offers: a value of the sentence for an argument that may or must be given, or a literal."""

AROUND = 4
"""How many words on either side of a value tell what it is."""

DESCRIPTION_CHARACTERS = 60
WORDS_CHARACTERS = 240
"""How much of an argument's description is encoded, and how much is searched for shared words: what
it is for stands at the beginning."""

ARGUMENTS_KEPT = 5000
"""Of how many arguments the words are kept."""

TEXTS_KEPT = 5000
"""Of how many texts the vectors are kept: arguments recur, in one answer and in the next."""

STEM = 5
"""The letters by which forms of one word are told to be the same."""

MOST_VALUES = 10
"""How many values of a sentence are placed: each is compared with every argument."""

TELLING = 0.5
"""The weight from which on its words are enough to consider a literal."""

Features = dict[str, float]

_NEAREST: Features = {"near": 0.9, "nearer": 0.7, "near the sentence": 0.9}
"""What the encoder tells at best of an offer."""

_WORD = re.compile(r"[A-Za-z]+|\d+(?:\.\d+)?")
# Not what is said of another argument, as in "if mode='valid'".
_QUOTED = re.compile(r"(?<![\w'\"=])(?<!= )(?<!\bis )(['\"])([^'\"\s]{1,24})\1(?!\w)")
# Of which a word of the description is a part, and not the whole.
_MANY = re.compile(r"(?:list|tuple|set|dict)\[.*\](?: \| None)?")
_PART = re.compile(r"[,;:.](?:\s|$)|\b(?:and|with|but|then|having)\b", re.IGNORECASE)
_SPACED = re.compile(r"\S+")
_COUNT = re.compile(r"\W*(?:the )?(?:max\w* )?(?:number|how many)", re.IGNORECASE)
_TORCH = re.compile(r"\btorch\.(\w+\d+)")
_PATH_WORDS = frozenset("buf buffer file filename filepath fname fp io path source src".split())
_COMMON = frozenset(
    "a all an and are as at be but by can do each else false for from has have how i if in into is "
    "it its my no none not of on one only or other our out so such than that the their them there "
    "these this to true use used using was when where whether which will with you".split()
)
_ARTICLES = frozenset("a an the my our your its".split())
_NEGATIONS = frozenset("no not don doesn isn aren without never skip omit leave instead".split())


@dataclass
class Value:
    """A value of the sentence, and where it stands there."""

    value: str | int | float
    start: int
    end: int
    is_file: bool = False
    used: bool = False


@dataclass(frozen=True)
class Offer:
    """A value that an argument may get: one of the sentence's, or a literal of the document.

    :ivar literal: the value as it stands in a call.
    :ivar value: where the sentence has it; None for a literal of the document.
    """

    argument: Argument
    literal: str | int | float | bool
    value: Value | None = None

    @property
    def kind(self) -> str:
        if self.value is None:
            return "literal"
        return "required" if self.argument.default is None else "optional"


@dataclass(frozen=True)
class Regression:
    """Weights by the name of a feature, and the probability from which on an offer is taken."""

    weights: Mapping[str, float]
    threshold: float

    def probability(self, features: Features) -> float:
        score = sum(self.weights.get(name, 0.0) * value for name, value in features.items())
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, score))))


@dataclass
class Placing:
    """Places the values of sentences.

    :param regressions: by the kind of an offer.
    """

    encoder: Encoder
    regressions: Mapping[str, Regression]
    _vectors: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    def taken(self, record: ApiRecord, sentence: str, offers: Sequence[Offer]) -> list[Offer]:
        """The offers that the sentence means, the surest first."""
        known = self.regressions["literal"].weights
        near = [
            offer for offer in offers if offer.value is not None or _is_near(offer, sentence, known)
        ]
        if not any(
            self._rate(offer, told | _NEAREST) >= self.regressions[offer.kind].threshold
            for offer, told in zip(near, _told_by_words(record, sentence, near), strict=True)
        ):
            return []  # However near they were, none would be taken: the encoder need not tell.
        sure = []
        for offer, features in zip(near, self.features(record, sentence, near), strict=True):
            probability = self._rate(offer, features)
            if probability >= self.regressions[offer.kind].threshold:
                sure.append((probability, offer))
        return [offer for _, offer in sorted(sure, key=lambda pair: -pair[0])]

    def features(self, record: ApiRecord, sentence: str, offers: Sequence[Offer]) -> list[Features]:
        """What tells of each offer whether the sentence means it."""
        near = self._told_by_vectors(sentence, offers) if offers else []
        words = _told_by_words(record, sentence, offers)
        return [first | second for first, second in zip(words, near, strict=True)]

    def _rate(self, offer: Offer, features: Features) -> float:
        return self.regressions[offer.kind].probability(features)

    def _told_by_vectors(self, sentence: str, offers: Sequence[Offer]) -> list[Features]:
        windows = [_window(sentence, offer) for offer in offers]
        texts = [_argument_text(offer.argument) for offer in offers]
        vectors = self._vectors_of({*windows, *texts, sentence})
        # An offer's rivals are the other arguments for its value, and the other values for its
        # argument.
        arguments: defaultdict[int, set[str]] = defaultdict(set)
        values: defaultdict[str, set[tuple[int, str]]] = defaultdict(set)
        for offer, window, text in zip(offers, windows, texts, strict=True):
            arguments[id(offer.value)].add(text)
            values[offer.argument.name].add((id(offer.value), window))
        found = []
        for offer, window, text in zip(offers, windows, texts, strict=True):
            near = float(vectors[window] @ vectors[text])
            others = [
                float(vectors[window] @ vectors[other])
                for other in arguments[id(offer.value)]
                if other != text
            ]
            elsewhere = [
                float(vectors[other] @ vectors[text])
                for value, other in values[offer.argument.name]
                if value != id(offer.value)
            ]
            found.append(
                {
                    "near": near,
                    "nearer": near - max(others, default=0.2),
                    "nearer than elsewhere": min(0.0, near - max(elsewhere, default=-1.0)),
                    "near the sentence": float(vectors[sentence] @ vectors[text]),
                }
            )
        return found

    def _vectors_of(self, texts: Set[str]) -> Mapping[str, NDArray[np.float32]]:
        if len(self._vectors) > TEXTS_KEPT:
            self._vectors.clear()
        for text in texts - self._vectors.keys():
            # One by one: in a batch, a quantised vector depends on the texts beside it.
            (self._vectors[text],) = self.encoder.sentences([text])
        return self._vectors


@lru_cache(maxsize=1)
def load_placing() -> Placing | None:
    """What is part of the package; None where its weights or the encoder's are not what they were,
    which the index tells the person."""
    try:
        return Placing(load_encoder(), read_regressions(WEIGHTS / FILE))
    except (EncoderError, OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def read_regressions(path: Path) -> Mapping[str, Regression]:
    """The regressions in a file that ``jupyter gorilla train arguments`` wrote.

    :raises OSError, ValueError, KeyError, TypeError, AttributeError: if it is none.
    """
    told = json.loads(path.read_text(encoding="utf-8"))
    return {
        kind: Regression(
            {name: float(weight) for name, weight in told[kind]["weights"].items()},
            float(told[kind]["threshold"]),
        )
        for kind in KINDS
    }


@lru_cache(maxsize=ARGUMENTS_KEPT)
def documented_literals(argument: Argument) -> tuple[str | bool, ...]:
    """The literals that the document lists for an optional argument."""
    default, kind = argument.default, argument.type
    if default is None or _MANY.fullmatch(kind):
        return ()
    literals: list[str | bool] = []
    if default in ("True", "False") or re.match(r"(?:str \| )?bool\b", kind):
        literals += [True, False]
    if "{" in kind or "Literal" in kind:
        literals += [found.group(2) for found in _QUOTED.finditer(kind)]
    elif not kind or "str" in kind or "'" in kind or default.startswith("'"):
        text = f"{kind} {argument.description}"
        literals += [found.group(2) for found in _QUOTED.finditer(text)]
        literals += [found.group(1) for found in _TORCH.finditer(text)]
    return tuple(dict.fromkeys(literals))


def _is_near(offer: Offer, sentence: str, known: Mapping[str, float]) -> bool:
    """Whether the sentence shares a word with the literal or the argument."""
    said = _joined_stems(sentence)
    argument = offer.argument
    if isinstance(offer.literal, str) and _stems(offer.literal) & said:
        return True
    if _told(argument) & said:
        return True
    usual = (f"{text} for {argument.name}={offer.literal}" for text in said | _pairs(sentence))
    return any(known.get(words, 0.0) >= TELLING for words in usual)


@lru_cache(maxsize=ARGUMENTS_KEPT)
def _argument_text(argument: Argument) -> str:
    name = " ".join(_WORD.findall(argument.name.replace("_", " ")))
    return f"{name}: {argument.description[:DESCRIPTION_CHARACTERS]}"


@lru_cache(maxsize=ARGUMENTS_KEPT)
def _described(argument: Argument) -> frozenset[str]:
    return _stems(argument.description[:WORDS_CHARACTERS])


@lru_cache(maxsize=ARGUMENTS_KEPT)
def _stems(text: str) -> frozenset[str]:
    words = (word.lower() for word in _WORD.findall(text.replace("_", " ")))
    return frozenset(word[:STEM] for word in words if word not in _COMMON)


@lru_cache(maxsize=ARGUMENTS_KEPT)
def _joined_stems(text: str) -> frozenset[str]:
    """... with those of neighbours taken for one: "in place", "grid size"."""
    words = [word.lower() for word in _WORD.findall(text.replace("_", " "))]
    joined = (first + second for first, second in pairwise(words) if len(first) < STEM)
    return _stems(text) | {word[:STEM] for word in joined}


@lru_cache(maxsize=ARGUMENTS_KEPT)
def _pairs(text: str) -> frozenset[str]:
    """Neighbours, articles left out: what stands "on the GPU" is not said of any GPU."""
    words = [word[:STEM].lower() for word in _WORD.findall(text)]
    return frozenset(map(" ".join, pairwise(word for word in words if word not in _ARTICLES)))


@lru_cache(maxsize=ARGUMENTS_KEPT)
def _name_stems(argument: Argument) -> frozenset[str]:
    return _stems(re.sub(r"^(?:n_|num_|n(?=[a-z]{4}))", "", argument.name)) or _stems(argument.name)


def _told(argument: Argument) -> frozenset[str]:
    return _name_stems(argument) | _described(argument)


def _in_order(offer: Offer, record: ApiRecord, offers: Sequence[Offer]) -> Features:
    """Whether what must be given comes in the sentence in the order of the call."""
    if offer.argument.default is not None:
        return {}
    values = list({id(other.value): other.value for other in offers if other.value}.values())
    values.sort(key=lambda value: value.start)
    required = [argument for argument in record.api_arguments if argument.default is None]
    wanted = [
        argument for argument in required if any(other.argument == argument for other in offers)
    ]
    in_order = wanted.index(offer.argument) == values.index(offer.value)  # type: ignore[arg-type]
    return {
        "required, in order": float(in_order),
        "required, all there": float(len(values) == len(wanted)),
        "required, all there in order": float(in_order and len(values) == len(wanted)),
        "required, array": float("array" in offer.argument.type),
        "required, array, in order": float("array" in offer.argument.type and in_order),
    }


def _span(sentence: str, offer: Offer) -> tuple[int, int] | None:
    """Where the value stands, or the word that the sentence shares with a literal or its name."""
    if offer.value is not None:
        return offer.value.start, offer.value.end
    for wanted in (_stems(str(offer.literal)), _name_stems(offer.argument)):
        for word in _WORD.finditer(sentence):
            if word.group().lower()[:STEM] in wanted:
                return word.span()
    return None


def _window(sentence: str, offer: Offer) -> str:
    """The words around that."""
    span = _span(sentence, offer)
    if span is None:
        return sentence
    before, after = _clause(sentence, *span)
    return " ".join((*before[-AROUND:], sentence[slice(*span)], *after[:AROUND]))


def _clause(sentence: str, start: int, end: int) -> tuple[list[str], list[str]]:
    """The words before and after what stands there, up to where another thing is spoken of."""
    before = _PART.split(sentence[:start])[-1]
    after = _PART.split(sentence[end:])[0]
    return _SPACED.findall(before), _SPACED.findall(after)


def _share(wanted: Collection[str], found: Collection[str]) -> float:
    return sum(stem in found for stem in wanted) / len(wanted) if wanted else 0.0


def _told_by_words(record: ApiRecord, sentence: str, offers: Sequence[Offer]) -> list[Features]:
    rivals = Counter((id(offer.value), _argument_text(offer.argument)) for offer in offers)
    of_a_value = Counter(id(offer.value) for offer in offers)
    names = {offer.argument.name for offer in offers}
    spread = Counter(
        stem
        for argument in record.api_arguments
        if argument.name in names
        for stem in _told(argument)
    )
    shared = Counter(
        literal for literal, _ in {(offer.literal, offer.argument.name) for offer in offers}
    )
    common = _stems(f"{record.api_name} {record.functionality}")
    found = []
    for offer in offers:
        alone = {stem for stem in _told(offer.argument) if spread[stem] == 1} - common
        same = rivals[id(offer.value), _argument_text(offer.argument)]
        features = {
            "bias": 1.0,
            "rivals": math.log1p(of_a_value[id(offer.value)] - same),
            "place": 1 / (1 + record.api_arguments.index(offer.argument)),
            "tells it apart": math.log1p(len(alone & _stems(_window(sentence, offer)))),
            "tells it apart in the sentence": math.log1p(len(alone & _stems(sentence))),
        }
        if offer.value is None:
            features |= _of_literal(offer, sentence, common)
            features["also another's"] = float(
                isinstance(offer.literal, str) and shared[offer.literal] > 1
            )
        else:
            features |= _of_value(offer, sentence) | _in_order(offer, record, offers)
        found.append(features)
    return found


def _of_value(offer: Offer, sentence: str) -> Features:
    argument, value = offer.argument, offer.value
    assert value is not None
    before, after = _clause(sentence, value.start, value.end)
    around = _stems(" ".join((*before[-AROUND:], *after[:AROUND])))
    behind = _joined_stems(" ".join(before[-2:]))
    ahead = _joined_stems(" ".join(after[:2]))
    near = behind | ahead | around
    name = _name_stems(argument)
    described = _described(argument)
    default = argument.default or ""
    is_text = isinstance(value.value, str)
    counts = _COUNT.match(argument.description) is not None
    features = {
        "name before": _share(name, behind),
        "name after": _share(name, ahead),
        "name around": _share(name, near),
        "described before": math.log1p(len(behind & described)),
        "described after": math.log1p(len(ahead & described)),
        "described around": math.log1p(len(around & described)),
        "counts": float(counts),
        "counts what is after": float(counts and bool(ahead & described)),
        "text": float(is_text),
        "untyped": float(not argument.type),
        "whole for whole": float(isinstance(value.value, int) and "int" in argument.type),
        "fraction": float(isinstance(value.value, float)),
        "fraction for fraction": float(
            isinstance(value.value, float)
            and bool(re.search(r"float|\d\.\d", argument.type + default))
        ),
        "whole for fraction": float(
            isinstance(value.value, int) and bool(re.match(r"\d*\.\d", default))
        ),
        "number for number": float(not is_text and bool(re.match(r"-?\d", default))),
        "text for text": float(is_text and "str" in argument.type),
        "text for a number": float(is_text and bool(re.match(r"-?\d", default))),
        "year": float(isinstance(value.value, int) and 1900 <= value.value <= 2100),
        "listed": float(value.value in documented_literals(argument)),
        "first": float(not before),
        "last": float(not after),
    }
    features |= _neighbours(sentence, value.start, value.end)
    for stem in ("anything", *around):
        features[f"{stem} for {argument.name}"] = 1.0
    return features


def _of_literal(offer: Offer, sentence: str, common: Collection[str]) -> Features:
    argument, literal = offer.argument, offer.literal
    said = _stems(sentence)
    spoken = _joined_stems(sentence)
    telling = spoken - frozenset(common)
    name = _name_stems(argument)
    features = {
        "name": _share(name, spoken),
        "whole name": float(_share(name, spoken) == 1),
        "name tells": _share(name, telling),
        "described": math.log1p(len(telling & _described(argument))),
        "unknown default": float(argument.default == "..."),
    }
    if isinstance(literal, bool):
        way = "True" if literal else "False"
        words = [word.lower() for word in _WORD.findall(sentence)]
        told = _told(argument)
        negated = any(
            word[:STEM] in told and _NEGATIONS.intersection(words[max(0, place - 3) : place])
            for place, word in enumerate(words)
        )
        features |= {
            way: 1.0,
            f"{way}, name": features["name"],
            f"{way}, name tells": features["name tells"],
            f"{way}, described": features["described"],
            f"{way}, negated": float(negated),
            f"{way}, name and negated": features["name"] * negated,
        }
    else:
        shown = re.escape(str(literal))
        whole = re.search(rf"(?<![\w.:-]){shown}(?![\w-]|[.:]\w)", sentence, re.IGNORECASE)
        spelled = whole is not None and whole.group().lower() not in _COMMON
        words_shared = _share(_stems(str(literal)), telling)
        features |= {
            "spelled": float(spelled),
            "spelled, tells": float(spelled and bool(_stems(str(literal)) & telling)),
            "spelled, short": float(spelled and len(str(literal)) < 3),
            "spelled, listed": float(spelled and "{" in argument.type),
            "spelled, name": float(spelled) * features["name"],
            "words": words_shared,
            "words, name": words_shared * features["name"],
            "choices": math.log1p(len(documented_literals(argument))),
            "also the default": float(bool(_stems(argument.default or "") & said)),
            "listed": float("{" in argument.type),
        }
    for stem in ("anything", *said, *_pairs(sentence)):
        features[f"{stem} for {argument.name}={literal}"] = 1.0
    if span := _span(sentence, offer):
        before, after = _clause(sentence, *span)
        features["first"] = float(not before)
        features["last"] = float(not after)
        features["words before"] = math.log1p(len(before))
        features["words after"] = math.log1p(len(after))
        features["begins"] = float(span[0] == 0)
        features |= _neighbours(sentence, *span)
    return features


def _neighbours(sentence: str, start: int, end: int) -> Features:
    """The words right before and right after what stands there."""
    before = _WORD.findall(sentence[:start].lower())[-1:]
    after = _WORD.findall(sentence[end:].lower())[:1]
    return {f"{word[:STEM]} stands before": 1.0 for word in before} | {
        f"{word[:STEM]} stands after": 1.0 for word in after
    }


def offers_of(
    record: ApiRecord, values: Sequence[Value], settled: Collection[str]
) -> Iterator[Offer]:
    """Everything that may be given to the arguments that are not settled."""
    assert record.call is not None
    placeholders = {node.id for node in ast.walk(record.call) if isinstance(node, ast.Name)}
    shown = {word.arg: ast.unparse(word.value) for word in record.call.keywords}
    # Files are told by their names, and what is for them by its own.
    free = [value for value in values if not value.used and not value.is_file][:MOST_VALUES]
    for argument in record.api_arguments:
        name = argument.name
        if name in settled or (argument.default is None and name not in placeholders):
            continue
        for value in () if is_for_a_file(argument) else free:
            if _may_hold(argument, value):
                yield Offer(argument, value.value, value)
        for literal in documented_literals(argument):
            if repr(literal) != shown.get(name, argument.default):
                yield Offer(argument, literal)


def _may_hold(argument: Argument, value: Value) -> bool:
    if is_of_kind(value, argument):
        written = argument.type or (argument.default or "")[:1] not in ("'", '"')
        return bool(written) or isinstance(value.value, str)
    return (
        argument.default is None and "array" in argument.type and not isinstance(value.value, str)
    )


def is_for_a_file(argument: Argument) -> bool:
    """Whether the argument names a file or folder."""
    words = re.split(r"[_\W]+", argument.name.lower())
    return bool(_PATH_WORDS.intersection(words)) or "path" in argument.type.lower()


def is_of_kind(value: Value, argument: Argument) -> bool:
    """Whether the argument's type, or its default, takes such a value."""
    kind = argument.type.lower()
    default = argument.default or ""
    if isinstance(value.value, str):
        return not kind or bool(re.search(r"str|path|label|hashable|'", f"{kind} {default}"))
    if isinstance(value.value, float):
        return not kind or bool(re.search(r"float|number|scalar|real", f"{kind} {default}"))
    numbers = r"\bint|float|number|scalar|real"
    return not kind or bool(re.search(numbers, kind)) or bool(re.search(r"\d", default))
