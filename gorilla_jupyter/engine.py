"""Gorilla: retrieve, choose, verify, compose, in that order, and nothing else."""

from __future__ import annotations

import ast
import time
from collections.abc import Iterator, Sequence
from typing import Any

from gorilla_jupyter.answer import (
    Answer,
    Candidate,
    CheckStatus,
    Document,
    Event,
    Notice,
    Progress,
    Proposal,
    Request,
    SearchResult,
)
from gorilla_jupyter.catalog.store import CatalogStore
from gorilla_jupyter.compose import CompositionError, compose
from gorilla_jupyter.index.lexical import Entry
from gorilla_jupyter.index.search import DocumentIndex
from gorilla_jupyter.model.backend import (
    DEFAULT_MODEL,
    Backend,
    ModelFailureError,
    load_backend,
    load_encoder,
)
from gorilla_jupyter.record import ApiRecord, parse_call
from gorilla_jupyter.verify import verify

NEAREST = 5
"""How many documents an answer names beside its candidates."""


class Gorilla:
    """Turns sentences into verified API calls.

    Nothing is read or loaded before the first question.

    :param model: the model that requests use which name none.
    """

    def __init__(self, index: DocumentIndex | None = None, *, model: str = DEFAULT_MODEL) -> None:
        self.index = index or DocumentIndex(CatalogStore(), encoder=load_encoder)
        self.model = model
        self._backends: dict[str, Backend] = {}

    def ask(self, instruction: str, **options: Any) -> Answer:
        """Answer a sentence.

        :param options: the other fields of :class:`gorilla_jupyter.answer.Request`.
        :raises RequestError: if the sentence or an option cannot be read.
        :raises ModelError: if there is no such model.
        """
        *_, answer = self.stream(Request(instruction, **options))
        assert isinstance(answer, Answer)
        return answer

    def stream(self, request: Request) -> Iterator[Event]:
        """Answer a request step by step: progress, the documents, each candidate, the answer."""
        watch = _Watch()
        backend = self._backend(request.model or self.model)
        self.index.prepare()
        yield from self.index.refresh(request.project)
        watch.lap("index")
        found = self.index.search(request)
        watch.lap("retrieve")
        yield found
        candidates: list[Candidate] = []
        records = [document.record for document in found.documents]
        calls: set[str] = set()
        notices = list(found.notices)
        answering = backend.name
        for step in _steps(backend, request, found.documents):
            if isinstance(step, Progress):
                yield step
                continue
            if isinstance(step, Notice):
                notices.append(step.sentence)
                answering = step.stand_in or answering
                continue
            candidate = _candidate(step, request) if step.record in records else None
            if candidate is not None and (call := _plain_form(candidate)) not in calls:
                calls.add(call)
                candidates.append(candidate)
                yield candidate
            if len(candidates) == request.candidates:
                break
        watch.lap("choose")
        if not candidates and found.did_you_mean:
            notices.append(f"Did you mean: {found.did_you_mean}")
        yield Answer(
            instruction=request.instruction,
            candidates=tuple(candidates),
            nearest=found.documents[:NEAREST],
            model=answering,
            timings_ms=watch.laps,
            notices=tuple(dict.fromkeys(notices)),
        )

    def search(self, text: str, *, limit: int = 10, **filters: str | None) -> SearchResult:
        """The documents nearest to ``text``.

        :param filters: the other fields of :class:`gorilla_jupyter.answer.Request` that matter to a
            search: ``framework``, ``domain``, ``package``, ``environment``, ``project``.
        :raises RequestError: if the text cannot be read.
        """
        return self.index.search(Request(text, documents=limit, **filters))  # type: ignore[arg-type]

    def record(self, record_id: str) -> ApiRecord | None:
        """The record of that id, or None."""
        return self.index.record(record_id)

    def cell(self, record: ApiRecord) -> str:
        """The cell of the documented call; "" where none can be made of it."""
        try:
            return compose(record, record.api_call)
        except CompositionError:
            return ""

    def entries(self) -> dict[str, Entry]:
        """What is indexed, by catalog."""
        return self.index.entries()

    def refresh(self, project: str | None = None) -> Iterator[Progress]:
        """Bring the index up to date; every question does so by itself."""
        return self.index.refresh(project)

    def encode(self) -> Iterator[Progress]:
        """Compute what is missing for searching by meaning: for when nobody is asking."""
        return self.index.encode()

    def use(self, backend: Backend) -> None:
        """Have this model answer the requests for its name."""
        self._backends[backend.name] = backend

    def _backend(self, name: str) -> Backend:
        if name not in self._backends:
            self._backends[name] = load_backend(name)
        return self._backends[name]


def _steps(
    backend: Backend, request: Request, documents: Sequence[Document]
) -> Iterator[Proposal | Progress | Notice]:
    """What the model proposes; where it fails, why, and what the embedded model proposes."""
    try:
        yield from backend.propose(request, documents)
    except ModelFailureError as error:
        yield Notice(f"{error} The embedded model answered instead.", stand_in=DEFAULT_MODEL)
        yield from load_backend().propose(request, documents)


def _candidate(proposal: Proposal, request: Request) -> Candidate | None:
    """The verified candidate; None for one that is not documented or does not compile."""
    record = proposal.record
    try:
        code = compose(record, proposal.api_call, request.variables)
    except CompositionError:
        return None
    candidate = Candidate(
        record,
        proposal.api_call,
        proposal.explanation,
        proposal.score,
        code,
        verify(record, proposal.api_call, code, request.variables),
    )
    offered = all(
        candidate.check(name).status is CheckStatus.PASSED for name in ("documented", "syntax")
    )
    return candidate if offered else None


def _plain_form(candidate: Candidate) -> str:
    call = parse_call(candidate.api_call)
    return ast.dump(call) if call else candidate.api_call


class _Watch:
    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, step: str) -> None:
        now = time.perf_counter()
        self.laps[step] = round((now - self._last) * 1000, 2)
        self._last = now
