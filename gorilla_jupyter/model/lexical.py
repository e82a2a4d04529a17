"""Choosing by the words that sentence and document share, for where there is no encoder."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise

from gorilla_jupyter.answer import Document

FITS = 0.4
"""The least coverage of a sentence's telling words with which a document is said to fit."""

VOTERS = 3
"""How many documents of a domain speak for it."""


def choose_by_words(
    documents: Sequence[Document], sentence: str
) -> Iterator[tuple[Document, float]]:
    """The documents that fit, with how well, by coverage, score, domain and word order."""
    best = max((document.score for document in documents), default=0.0) or 1.0
    domains = _domain_coverage(documents)
    confidence = {
        document.record.id: 0.3 * document.coverage
        + 0.3 * document.score / best
        + 0.3 * domains[document.record.domain]
        + 0.1 * order_agreement(sentence, document.record.description)
        for document in documents
    }
    for document in sorted(
        documents, key=lambda document: confidence[document.record.id], reverse=True
    ):
        if document.coverage >= FITS:
            yield document, confidence[document.record.id]


def _domain_coverage(documents: Sequence[Document]) -> dict[str, float]:
    """Mean coverage of each domain's best documents: one stray match does not make a domain."""
    coverage: defaultdict[str, list[float]] = defaultdict(list)
    for document in documents:
        coverage[document.record.domain].append(document.coverage)
    return {
        domain: sum(sorted(found, reverse=True)[:VOTERS]) / VOTERS
        for domain, found in coverage.items()
    }


def order_agreement(sentence: str, description: str) -> float:
    """The share of neighbouring words that both have, in the same order: from English to German
    is not from German to English."""
    words = re.findall(r"\w{4,}", description.lower())
    place = {word: position for position, word in reversed(list(enumerate(words)))}
    known = [word for word in re.findall(r"\w{4,}", sentence.lower()) if word in place]
    steps = [place[first] < place[second] for first, second in pairwise(known) if first != second]
    return sum(steps) / len(steps) if steps else 0.0
