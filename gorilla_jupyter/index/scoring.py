"""BM25F from the postings of an index, without the engine's own search.

With one document frequency for all fields, as Robertson and Zaragoza define it (2009, section 3.6),
and neither length nor repetition counting (b = 0, k1 = 0): a thorough document is no worse than a
short one, and twins tie in the order of their catalog. Each word then adds the same to every
document that has it in the same field, which arrays sum in a fraction of a search engine's time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_TERMS = 64
"""How many different words of a text are looked for: of more, those that tell most."""


@dataclass(frozen=True)
class Scored:
    """A document that matches.

    :ivar number: its place in the index.
    :ivar coverage: how much of what the words tell it has, 0 to 1.
    :ivar matched: the words that it has.
    """

    number: int
    score: float
    coverage: float
    matched: frozenset[str]


def best_documents(
    reader: Any,
    terms: Sequence[str],
    boosts: Mapping[str, float],
    *,
    limit: int,
    required: Sequence[tuple[str, str]],
    excluded: Sequence[tuple[str, str]],
    ranks: NDArray[np.intp],
) -> list[Scored]:
    """The documents that have some of the terms, best first, of equal ones that of lower rank.

    :param reader: Whoosh's reader of the index.
    :param boosts: what a term is worth in each field; a document has it in one of them at most.
    :param required: fields and words that the documents must have.
    :param excluded: fields and words that they must not have.
    :param ranks: every document's rank, see :func:`catalog_ranks`.
    """
    count = reader.doc_count_all()
    frequencies = {
        term: sum(reader.doc_frequency(field, term) for field in boosts) for term in terms
    }
    # The inverse document frequency; unknown words weigh most.
    weights = {term: math.log(1 + count / (1 + found)) for term, found in frequencies.items()}
    known = [term for term in terms if frequencies[term]]
    telling = sorted(known, key=weights.__getitem__, reverse=True)[:MAX_TERMS]
    scores = np.zeros(count)
    having: dict[str, NDArray[np.intp]] = {}
    for term in telling:
        found = {field: _documents(reader, field, term) for field in boosts}
        for field, numbers in found.items():
            scores[numbers] += weights[term] * boosts[field]
        having[term] = np.concatenate(list(found.values()))
    for field, word in required:
        others = np.ones(count, dtype=bool)
        others[_documents(reader, field, word)] = False
        scores[others] = 0
    for field, word in excluded:
        scores[_documents(reader, field, word)] = 0
    matching = np.flatnonzero(scores)
    best = matching[np.lexsort((ranks[matching], -scores[matching]))[:limit]]
    matches = {term: np.isin(best, numbers) for term, numbers in having.items()}
    scored = []
    for place, number in enumerate(best):
        matched = frozenset(term for term in telling if matches[term][place])
        coverage = sum(weights[term] for term in matched) / sum(weights.values())
        scored.append(Scored(int(number), float(scores[number]), coverage, matched))
    return scored


def catalog_ranks(reader: Any, catalogs: Sequence[str]) -> NDArray[np.intp]:
    """The rank of every document: by catalog, in that order, then by its place in the catalog,
    whichever was indexed first."""
    ranks = np.full(reader.doc_count_all(), np.iinfo(np.intp).max)
    ranked = 0
    for catalog in catalogs:
        numbers = _documents(reader, "catalog", catalog)
        ranks[numbers] = np.arange(ranked, ranked + len(numbers))
        ranked += len(numbers)
    return ranks


def _documents(reader: Any, field: str, term: str) -> NDArray[np.intp]:
    if (field, term) not in reader:
        return np.empty(0, dtype=np.intp)
    return np.fromiter(reader.postings(field, term).all_ids(), dtype=np.intp)
