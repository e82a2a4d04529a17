"""What a model is given with APIBench's questions (as in Gorilla, arXiv:2305.15334, section 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

from gorilla_jupyter.answer import Document, Request, SearchResult
from gorilla_jupyter.bench.results import BenchmarkError
from gorilla_jupyter.catalog.store import CatalogStore
from gorilla_jupyter.index.search import DocumentIndex
from gorilla_jupyter.model.backend import load_backend
from gorilla_jupyter.model.writing import Writer
from gorilla_jupyter.record import ApiRecord


class Mode(StrEnum):
    """What a model is given beside the question."""

    RETRIEVER = "retriever"
    """The documents that the index finds, as in use."""

    ORACLE = "oracle"
    """The document of the right answer, and no other."""

    ZERO_SHOT = "zero-shot"
    """Nothing: it answers from memory, and what it writes is taken as it is."""


class OracleIndex(DocumentIndex):
    """Finds the document of the right answer, and no other.

    :param questions: with their ``instruction``, ``domain`` and ``api_call``.
    :param records: among which the right answers are.
    """

    def __init__(
        self,
        store: CatalogStore,
        folder: Path,
        questions: Mapping[int, Mapping[str, Any]],
        records: Sequence[ApiRecord],
    ) -> None:
        super().__init__(store, folder)
        by_call = {(record.domain, record.api_call): record for record in reversed(records)}
        self._right = {
            question["instruction"]: by_call.get((question["domain"], question["api_call"].strip()))
            for question in questions.values()
        }

    def search(self, request: Request) -> SearchResult:
        """See :class:`DocumentIndex`."""
        right = self._right[request.instruction]
        return SearchResult((Document(right, 1.0, 1.0, fit=1.0),) if right else ())


def load_writer(model: str, *, constrained: bool) -> Writer:
    """A model that writes.

    :param constrained: hold what it writes to the documents.
    :raises BenchmarkError: if it writes nothing.
    :raises ModelError: if there is no such model.
    """
    writer = load_backend(model, constrained=constrained)
    if not isinstance(writer, Writer):
        raise BenchmarkError(
            f"The model {model} writes nothing by itself. 'bench apibench' asks it with documents."
        )
    return writer
