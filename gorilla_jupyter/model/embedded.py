"""The model that is part of the package: a trained encoder says which documents fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gorilla_jupyter.answer import Document, Proposal, Request
from gorilla_jupyter.model.arguments import fill_arguments
from gorilla_jupyter.model.lexical import choose_by_words, order_agreement

LEAST_FIT = 0.5
"""How likely a document must answer the sentence to be offered."""

ORDER = 0.02
"""What the same order of words counts beside the relevance of a document: vectors hardly tell from
English to German from German to English. Chosen on the validation instructions."""


class EmbeddedBackend:
    """Offers the documents that fit, best first, with what the sentence names filled in."""

    name = "embedded"

    def propose(self, request: Request, documents: Sequence[Document]) -> Iterator[Proposal]:
        for document, score in choose(documents, request.instruction):
            record = document.record
            if record.call is not None:
                yield Proposal(
                    record,
                    fill_arguments(record, request.instruction, request.variables),
                    explanation=record.description or record.functionality,
                    score=score,
                )


def choose(documents: Sequence[Document], sentence: str) -> Iterator[tuple[Document, float]]:
    """The documents that fit, best first, and how well each does, from 0 to 1."""
    by_words = [document for document in documents if document.fit is None]
    fitting = [
        (document, document.fit)
        for document in documents
        if document.fit is not None and document.fit >= LEAST_FIT
    ]

    def preference(found: tuple[Document, float]) -> float:
        document, _ = found
        return document.score + ORDER * order_agreement(sentence, document.record.description)

    yield from sorted(fitting, key=preference, reverse=True)
    yield from choose_by_words(by_words, sentence)
