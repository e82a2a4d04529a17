"""BM25F from the postings of an index, without the engine's own search.

With one document frequency for all fields, as Robertson and Zaragoza define it (2009, section 3.6),
and neither length nor repetition counting (b = 0, k1 = 0): a thorough document is no worse than a
short one, and twins tie in the order of their catalog. Each word then adds the same to every
document that has it in the same field, which arrays sum in a fraction of a search engine's time.

Where there are vectors, their nearness to the sentence's counts, and the words add to it, names
most of all. Documents of one call speak for it together, as in the encoder's training: its
probability is the sum of theirs, and what a catalog documents a hundred times is what its readers
reach for. So does a document's group with its best ones: what the documents of a task have in
common tells more of a sentence than any single one of them. Within a group a first choice has an
advantage.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gorilla_jupyter.index.words import ASIDE_STEMS

MAX_TERMS = 64
"""How many different words of a text are looked for: of more, those that tell most."""

WORDS = 0.15
"""What a document that has every word of a sentence gains over one that has none, in cosines."""

KEYWORDS = 3
"""A sentence of at most so many telling words names something, such as a task: a document that has
them all is meant, as is one whose full name the sentence has. Where some say how it is to be run, a
document that has all others in its title is meant too."""

UNFIT = 0.1
"""What a document loses that is made for languages of which the sentence says nothing, in cosines:
who asks for no language in particular is served best by what is made for none."""

FIRST_CHOICE = 0.03
"""What a first choice gains among the documents of its group, in cosines."""

FIRST_NAMED = 0.05
"""What a first choice gains besides among the documents that keywords name: who says no more means
what people name first."""

NAMED = 0.05
"""What a document gains in whose name stands a name that the sentence has, in cosines: encoders
know needs better than names."""

NAME = 0.8
"""A word is a name if such a share of the documents that have it have it in their names."""

TEMPERATURE = 0.05
"""What cosines are divided by to be logits: as in the encoder's training."""

GROUP = 2.0
"""What a document's group counts beside the document."""

GROUP_SIZE = 10
"""How many documents speak for their group."""

NOISE = 0.9
"""The share of the sentences that nothing answers that are farther from all documents than the
noise."""

STRANGE = 0.5
"""What the nearness to sentences that nothing answers takes from the relevance of all documents."""

NEIGHBOURS = 5
"""How many of those sentences tell it."""

UNSEEN = (0.2, 0.4)
"""The cosine at which a document without a vector is put: without any word of a sentence, and what
it gains with every word."""


@dataclass(frozen=True)
class Nearness:
    """What vectors tell of all documents of an index.

    :ivar cosines: of each document's vector to the sentence's.
    :ivar known: which documents have a vector.
    :ivar groups: each document's group, -1 for what is none.
    :ivar calls: likewise its call.
    :ivar unfit: which documents are made for languages that the sentence does not name.
    :ivar off_topic: the cosines of each document's vector to those of sentences that no document
        answers, a row a document.
    """

    cosines: NDArray[np.float32]
    known: NDArray[np.bool_]
    groups: NDArray[np.intp]
    calls: NDArray[np.intp]
    unfit: NDArray[np.bool_]
    off_topic: NDArray[np.float32]


@dataclass(frozen=True)
class Scored:
    """A document that matches.

    :ivar number: its place in the index.
    :ivar score: by which it is ranked.
    :ivar relevance: what tells whether it fits, without what only ranks it; 0 without vectors.
    :ivar coverage: how much of what the words tell it has, 0 to 1.
    :ivar matched: the words that it has.
    :ivar noise: see :func:`noise_of`; infinite without vectors.
    """

    number: int
    score: float
    relevance: float
    coverage: float
    matched: frozenset[str]
    noise: float


def best_documents(
    reader: Any,
    terms: Sequence[str],
    names: Sequence[str],
    boosts: Mapping[str, float],
    *,
    limit: int,
    required: Sequence[tuple[str, Sequence[str]]],
    excluded: Sequence[tuple[str, str]],
    first_choices: NDArray[np.intp],
    ranks: NDArray[np.intp],
    nearness: Nearness | None = None,
) -> list[Scored]:
    """The documents that have some of the terms, or that are near, best first; of equal ones the
    first choices, then those of lower rank.

    :param reader: Whoosh's reader of the index.
    :param names: those of the terms that are the full names of documents.
    :param boosts: what a term is worth in each field; a document has it in one of them at most.
    :param required: fields and the values of which the documents must have one.
    :param excluded: fields and words that they must not have.
    :param first_choices: the numbers of the documents that are.
    :param ranks: every document's rank, see :func:`catalog_ranks`.
    :param nearness: without it, a document that has none of the terms is not found.
    """
    count = reader.doc_count_all()
    frequencies = {
        term: sum(reader.doc_frequency(field, term) for field in boosts) for term in terms
    }
    # The inverse document frequency; unknown words weigh most.
    weights = {term: math.log(1 + count / (1 + found)) for term, found in frequencies.items()}
    known = [term for term in terms if frequencies[term]]
    telling = sorted(known, key=weights.__getitem__, reverse=True)[:MAX_TERMS]
    everything = sum(weights.values()) or 1.0
    scores = np.zeros(count)
    coverage = np.zeros(count)
    having: dict[str, Mapping[str, NDArray[np.intp]]] = {}
    for term in telling:
        found = {field: documents_with(reader, field, term) for field in boosts}
        for field, numbers in found.items():
            scores[numbers] += weights[term] * boosts[field]
            coverage[numbers] += weights[term] / everything
        having[term] = found
    relevance = np.zeros(count)
    noise = math.inf
    first = np.zeros(count, dtype=bool)
    first[first_choices] = True
    allowed = np.ones(count, dtype=bool)
    for field, values in required:
        others = np.ones(count, dtype=bool)
        for value in values:
            others[documents_with(reader, field, value)] = False
        allowed[others] = False
    for field, word in excluded:
        allowed[documents_with(reader, field, word)] = False
    if nearness is None:
        allowed &= scores > 0
    else:
        allowed &= nearness.groups >= 0
        meant = nearness.groups * count + nearness.calls
        # Documents of one call are first choices together: the nearest of them is shown.
        first = np.isin(meant, meant[first])
        words = scores / (everything * max(boosts.values()))
        gains = WORDS * words
        gains[_bearing_names(reader, having, allowed)] += NAMED
        relevance = _relevance(nearness, gains, coverage, allowed, first)
        scores = relevance.copy()
        named = np.zeros(count, dtype=bool)
        if 0 < len(terms) <= KEYWORDS:
            named |= coverage > 1 - 1e-9
        what = [term for term in terms if term not in ASIDE_STEMS]
        if 0 < len(what) <= KEYWORDS and len(what) < len(terms) and having.keys() >= set(what):
            named[reduce(np.intersect1d, (having[term]["title"] for term in what))] = True
        # What has these words fits if anything does: words have other meanings, full names none.
        relevance[named] = relevance.max()
        for name in names:
            of_name = documents_with(reader, "title", name)
            named[of_name] = True
            relevance[of_name] += 1
        scores[named] += 1
        scores[named & first] += FIRST_NAMED
        noise = noise_of(nearness.off_topic[allowed & nearness.known])
    matching = np.flatnonzero(allowed)
    best = matching[np.lexsort((ranks[matching], ~first[matching], -scores[matching]))]
    if nearness is not None:
        # One document of a call is enough, in each group that has the call.
        best = best[np.sort(np.unique(meant[best], return_index=True)[1])]
    best = best[:limit]
    matches = {
        term: np.isin(best, np.concatenate([*found.values()])) for term, found in having.items()
    }
    return [
        Scored(
            int(number),
            float(scores[number]),
            float(relevance[number]),
            float(coverage[number]),
            frozenset(term for term in telling if matches[term][place]),
            noise,
        )
        for place, number in enumerate(best)
    ]


def noise_of(off_topic: NDArray[np.float32]) -> float:
    """How near documents come to a sentence that none of them answers: the more there are, and the
    more they tell, the nearer (as in the test normalisation of Auckenthaler, Carey and
    Lloyd-Thomas, "Score normalization for text-independent speaker verification systems", 2000).

    :param off_topic: cosines to such sentences, a row a document; without any, nothing is known,
        and the noise is infinite.
    """
    return float(np.quantile(off_topic.max(axis=0), NOISE)) if off_topic.size else math.inf


def strangeness(off_topic: NDArray[np.float32]) -> float:
    """How much less relevant documents are to a sentence than they seem, for its neighbours are
    sentences that none of them answers (a classification by the k nearest).

    :param off_topic: the sentence's cosines to such sentences.
    """
    return STRANGE * float(np.sort(off_topic)[-NEIGHBOURS:].mean()) if off_topic.size else 0.0


def _bearing_names(
    reader: Any,
    having: Mapping[str, Mapping[str, NDArray[np.intp]]],
    allowed: NDArray[np.bool_],
) -> NDArray[np.intp]:
    """The numbers of the documents in whose names stands one of the terms that are names."""
    bearing = [np.empty(0, dtype=np.intp)]
    for term, found in having.items():
        in_names = documents_with(reader, "name", term)
        anywhere = np.concatenate([*found.values()])
        if allowed[in_names].sum() >= NAME * allowed[anywhere].sum():
            bearing.append(in_names)
    return np.unique(np.concatenate(bearing))


def _relevance(
    nearness: Nearness,
    gains: NDArray[np.float64],
    coverage: NDArray[np.float64],
    allowed: NDArray[np.bool_],
    first: NDArray[np.bool_],
) -> NDArray[np.float64]:
    least, gain = UNSEEN
    own = np.where(nearness.known, nearness.cosines, least + gain * coverage) + gains
    own -= UNFIT * nearness.unfit
    numbers = np.flatnonzero(allowed)
    ordered = numbers[np.argsort(-own[numbers], kind="stable")]
    groups = nearness.groups[ordered]
    # The place of each document among those of its group, best first.
    by_group = np.argsort(groups, kind="stable")
    starts = np.searchsorted(groups[by_group], groups[by_group])
    places = np.empty(len(ordered), dtype=np.intp)
    places[by_group] = np.arange(len(ordered)) - starts
    speaking = places < GROUP_SIZE
    odds = np.exp(own[ordered] / TEMPERATURE)
    of_groups = np.bincount(groups[speaking], odds[speaking])
    of_calls = np.bincount(nearness.calls[ordered], odds)
    relevance = np.zeros(len(own))
    relevance[numbers] = (
        TEMPERATURE * np.log(of_calls[nearness.calls[numbers]])
        + GROUP * TEMPERATURE * np.log(of_groups[nearness.groups[numbers]])
    ) / (1 + GROUP)
    relevance[first] += FIRST_CHOICE / (1 + GROUP)
    # Of the documents of one call the nearest comes first.
    return relevance + 1e-6 * own


def catalog_ranks(reader: Any, catalogs: Sequence[str]) -> NDArray[np.intp]:
    """The rank of every document: by catalog, in that order, then by its place in the catalog,
    whichever was indexed first."""
    ranks = np.full(reader.doc_count_all(), np.iinfo(np.intp).max)
    ranked = 0
    for catalog in catalogs:
        numbers = documents_with(reader, "catalog", catalog)
        ranks[numbers] = np.arange(ranked, ranked + len(numbers))
        ranked += len(numbers)
    return ranks


def documents_with(reader: Any, field: str, term: str) -> NDArray[np.intp]:
    """The numbers of the documents that have a term in a field, in their order."""
    if (field, term) not in reader:
        return np.empty(0, dtype=np.intp)
    return np.fromiter(reader.postings(field, term).all_ids(), dtype=np.intp)
