"""The model that needs nothing: it chooses by the words that sentence and document share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gorilla_jupyter.answer import Document, Proposal, Request

FITS = 0.4
"""The least coverage of a sentence's telling words with which a document is said to fit."""


class EmbeddedBackend:
    """Documents in the order of coverage and retrieval score; the call as documented."""

    name = "embedded"

    def propose(self, request: Request, documents: Sequence[Document]) -> Iterator[Proposal]:
        if not documents:
            return
        best = max(document.score for document in documents)

        def confidence(document: Document) -> float:
            return (document.coverage + document.score / best) / 2

        for document in sorted(documents, key=confidence, reverse=True):
            record = document.record
            if document.coverage >= FITS and record.call is not None:
                yield Proposal(
                    record,
                    record.api_call,
                    explanation=record.description or record.functionality,
                    score=confidence(document),
                )
