"""Searching the catalogs by words and vectors: the index follows them by itself and is rebuilt when
it must be."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import platformdirs
from numpy.typing import NDArray

from gorilla_jupyter.answer import Document, Progress, Request, SearchResult
from gorilla_jupyter.catalog.files import CatalogFileError, Reading
from gorilla_jupyter.catalog.store import Catalog, CatalogStore, Origin, environment_name
from gorilla_jupyter.index.abbreviations import spelled_out
from gorilla_jupyter.index.lexical import (
    Cosines,
    Entry,
    IndexBusyError,
    IndexDamagedError,
    IndexWriter,
    LexicalIndex,
)
from gorilla_jupyter.index.scoring import strangeness
from gorilla_jupyter.index.vectors import (
    Encoder,
    EncoderError,
    VectorCache,
    Vectors,
    document_key,
    document_text,
)
from gorilla_jupyter.record import ApiRecord

T = TypeVar("T")

RECORDS_PER_PROGRESS = 50

ATTEMPTS = 3
"""How often an index that proves damaged is built again before memory has to do."""

DOCUMENTS_AT_ONCE = 2
"""How many documents are encoded in one go: a question waits for no more."""

VECTORS_PER_SAVING = 1000

RETRY_SECONDS = 60.0
"""How long after a failure the folder is tried again."""


def index_folder() -> Path:
    """Where this user's index lives: ``$GORILLA_HOME/index`` or the platform's cache folder."""
    home = os.environ.get("GORILLA_HOME")
    root = Path(home) if home else platformdirs.user_cache_path("gorilla-jupyter")
    return root / "index"


@dataclass(frozen=True)
class _Rows:
    """The vectors of the documents as the index has them, which of them are known, and their
    cosines to sentences that no document answers, a row a document."""

    keys: list[str]
    vectors: Vectors
    known: NDArray[np.bool_]
    off_topic: Vectors

    def put(self, places: list[int], vectors: Vectors, off_topic: Vectors) -> None:
        self.vectors[places] = vectors
        self.known[places] = True
        self.off_topic[places] = vectors @ off_topic.T


class DocumentIndex:
    """The documents of ``store``, searchable.

    The catalogs are the truth and the index is a cache of them: what is missing, damaged or
    outdated is built again at the next question; the first one begins with the index of the shipped
    catalogs that was built with the package. Where the folder cannot be written, the index is kept
    in memory.

    :param encoder: loads the encoder at the first search; without one, words alone are searched.
    """

    def __init__(
        self,
        store: CatalogStore,
        folder: Path | None = None,
        *,
        encoder: Callable[[], Encoder] | None = None,
    ) -> None:
        self.store = store
        self.folder = folder or index_folder()
        self._prebuilt = store.builtin and store.builtin / "index"
        self._load_encoder = encoder
        self._loading: Future[Encoder] | None = None
        self._encoder: Encoder | None = None
        self._encoder_fault: str | None = None
        self._vectors: VectorCache | None = None
        self._rows: _Rows | None = None
        self._on_disk: LexicalIndex | None = None
        self._in_memory: LexicalIndex | None = None
        self._retry_at = 0.0
        self._fault: str | None = None
        self._used: dict[str, str] = {}
        self._order: list[str] = []
        self._clashes: tuple[str, ...] = ()
        self._project: str | None = None

    def prepare(self) -> None:
        """Begin to load the encoder, which the next search needs, beside what else is done."""
        if self._load_encoder is not None:
            load, self._load_encoder = self._load_encoder, None
            executor = ThreadPoolExecutor(1)
            self._loading = executor.submit(load)
            executor.shutdown(wait=False)

    def refresh(self, project: str | None = None) -> Iterator[Progress]:
        """Bring the index up to date with the catalogs; nothing is yielded where it is already.

        :param project: the folder beside which the project's catalogs lie; those of other projects
            are left out until another is named; None for the current folder.
        """
        self._project = project
        yield from self._refresh()

    def _refresh(self) -> Iterator[Progress]:
        if self._in_memory is None or time.monotonic() >= self._retry_at:
            try:
                yield from self._refresh_on_disk()
            except (OSError, IndexDamagedError, IndexBusyError) as error:
                self._use_memory(error)
            else:
                self._in_memory = None
        if self._in_memory is not None:
            yield from self._follow(self._in_memory)

    def search(self, request: Request) -> SearchResult:
        """The ``request.documents`` documents nearest to the instruction, best first."""
        filters = {
            name: text
            for name in ("framework", "domain", "package")
            if (text := getattr(request, name))
        }

        text = spelled_out(request.instruction)
        encoder = self._ready_encoder()
        cosines, strange = None, 0.0
        if encoder:
            (sentence,) = encoder.sentences([text])
            cosines = self._cosines(encoder, sentence)
            strange = strangeness(encoder.off_topic @ sentence)

        def find(lexical: LexicalIndex) -> SearchResult:
            hits = lexical.search(
                text,
                limit=request.documents,
                filters=filters,
                environment=request.environment or environment_name(),
                hidden=self._hidden(lexical),
                order=self._order,
                cosines=cosines,
            )
            return SearchResult(
                tuple(
                    Document(
                        hit.record,
                        hit.score,
                        hit.coverage,
                        hit.highlight,
                        encoder.fit(hit.relevance - strange, hit.noise) if encoder else None,
                    )
                    for hit in hits
                ),
                lexical.correction(request.instruction),
                self.notices(lexical),
            )

        self._project = request.project
        return self._read(find)

    def encode(self) -> Iterator[Progress]:
        """Compute the vectors that are missing, a few documents at a time, and keep them."""
        encoder = self._ready_encoder()
        if encoder is None or self._vectors is None:
            return
        complete = False
        while not complete:
            keys = self._read(LexicalIndex.keys)
            complete = yield from self._encode_missing(encoder, self._vectors, keys)
            self._save_vectors(keys)

    def _encode_missing(
        self, encoder: Encoder, known: VectorCache, keys: list[str]
    ) -> Generator[Progress, None, bool]:
        """Whether nothing is missing now: once the index has changed, the documents have other
        places."""
        missing = [place for place in known.missing(keys) if keys[place]]
        for start in range(0, len(missing), DOCUMENTS_AT_ONCE):
            yield Progress("Encoding the documentation", start, len(missing))
            places = missing[start : start + DOCUMENTS_AT_ONCE]
            records = self._read(partial(_records_at, places=places, keys=keys))
            if records is None:
                return False
            vectors = encoder.documents([document_text(record) for record in records])
            known.add([document_key(record) for record in records], vectors)
            if self._rows is not None and self._rows.keys is keys:
                self._rows.put(places, vectors, encoder.off_topic)
            if known.unsaved >= VECTORS_PER_SAVING:
                self._save_vectors(keys)
        return True

    def _save_vectors(self, keys: list[str]) -> None:
        if self._vectors is not None and self._vectors.unsaved:
            # They are a cache: where they cannot be written, they are computed again.
            with suppress(OSError):
                self._vectors.save(filter(None, keys))

    def _ready_encoder(self) -> Encoder | None:
        self.prepare()
        if self._loading is not None:
            loading, self._loading = self._loading, None
            try:
                self._encoder = loading.result()
            except EncoderError as error:
                self._encoder_fault = str(error)
            else:
                self._vectors = VectorCache(
                    self.folder / f"vectors-{self._encoder.name}.npz", self._encoder.dimensions
                )
                self._vectors.load(self._encoder.shipped)
        return self._encoder

    def _cosines(self, encoder: Encoder, sentence: NDArray[np.float32]) -> Cosines:
        def cosines(
            keys: list[str],
        ) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.float32]]:
            if self._rows is None or self._rows.keys is not keys:
                assert self._vectors is not None
                vectors, known = self._vectors.rows(keys)
                self._rows = _Rows(keys, vectors, known, vectors @ encoder.off_topic.T)
            return self._rows.vectors @ sentence, self._rows.known, self._rows.off_topic

        return cosines

    def record(self, record_id: str) -> ApiRecord | None:
        """The record of that id, or None; it may be another project's."""
        return self._read(
            lambda lexical: (
                lexical.record(record_id, self._hidden(lexical)) or lexical.record(record_id)
            )
        )

    def entries(self) -> dict[str, Entry]:
        """What is indexed and used here, by catalog."""
        return self._read(
            lambda lexical: {
                self._used[key]: entry
                for key, entry in lexical.manifest().items()
                if key in self._used
            }
        )

    def notices(self, lexical: LexicalIndex) -> tuple[str, ...]:
        """Sentences on what is wrong with the catalogs or the index."""
        faults = tuple(filter(None, (self._fault, self._encoder_fault)))
        refusals = tuple(
            notice
            for key, entry in lexical.manifest().items()
            if key in self._used
            for notice in entry.notices
        )
        return faults + refusals + self._clashes

    def _hidden(self, lexical: LexicalIndex) -> list[str]:
        # Other projects' catalogs, and those that one of this project's takes the place of.
        return [key for key in lexical.manifest() if key not in self._used]

    def _read(self, question: Callable[[LexicalIndex], T]) -> T:
        attempts = 0
        while True:
            for _ in self._refresh():
                pass
            lexical = self._in_memory or self._on_disk
            assert lexical is not None
            attempts += 1
            try:
                return question(lexical)
            except (OSError, IndexDamagedError) as error:
                if lexical is self._in_memory:
                    raise
                self._mend(error, attempts)

    def _mend(self, error: OSError | IndexDamagedError, attempts: int) -> None:
        if isinstance(error, OSError) or attempts == ATTEMPTS:
            self._use_memory(error)
            return
        try:
            self._delete(error)
        except (OSError, IndexBusyError) as obstacle:
            self._use_memory(obstacle)

    def _use_memory(self, error: Exception) -> None:
        self._close()
        self._retry_at = time.monotonic() + RETRY_SECONDS
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        self._fault = (
            f"The index in {self.folder} cannot be used ({reason}); it is kept in memory until it "
            "can."
        )
        if self._in_memory is None:
            self._in_memory = LexicalIndex(None)

    def _refresh_on_disk(self) -> Iterator[Progress]:
        for _ in range(ATTEMPTS - 1):
            try:
                yield from self._follow_on_disk()
            except IndexDamagedError as error:
                self._delete(error)
            else:
                return
        yield from self._follow_on_disk()

    def _follow_on_disk(self) -> Iterator[Progress]:
        if self._on_disk is None:
            self._on_disk = LexicalIndex(self.folder, self._prebuilt)
        try:
            yield from self._follow(self._on_disk)
            self._fault = None
        except IndexBusyError as error:
            if not self._on_disk.manifest():
                raise
            # Somebody else is at it: what is indexed so far answers until they are done.
            self._fault = str(error)

    def _follow(self, lexical: LexicalIndex) -> Iterator[Progress]:
        found = self.store.catalogs(Path(self._project) if self._project else None)
        self._used = {catalog.key: catalog.name for catalog in found if not catalog.hidden_by}
        # The nearer catalog first: a project's, the user's, what is installed, what is shipped.
        self._order = [
            catalog.key
            for origin in reversed(Origin)
            for catalog in found
            if catalog.origin is origin and catalog.key in self._used
        ]
        self._clashes = tuple(catalog.notice for catalog in found if catalog.notice)
        catalogs = _to_be_indexed(found)
        if not _outdated(lexical, catalogs):
            return
        yield Progress("Indexing the documentation", 0, 0)
        with lexical.writing() as writer:
            # Another process may have done it while this one waited for the lock.
            names = _outdated(lexical, catalogs)
            yield from _write(writer, [(name, catalogs.get(name)) for name in names])

    def _delete(self, error: IndexDamagedError) -> None:
        self._close()
        # It may be what is damaged.
        self._prebuilt = None
        LexicalIndex.delete(self.folder, error.state)

    def _close(self) -> None:
        if self._on_disk is not None:
            self._on_disk.close()
        self._on_disk = None


def _records_at(
    lexical: LexicalIndex, places: list[int], keys: list[str]
) -> list[ApiRecord] | None:
    """The records at these places; None where the index is not the one of ``keys`` any more."""
    return lexical.records(places) if lexical.keys() is keys else None


def _to_be_indexed(found: list[Catalog]) -> dict[str, Catalog]:
    """The catalogs by key. What a project hides is used elsewhere, so it is among them; what the
    user's own hide is used nowhere."""
    catalogs: dict[str, Catalog] = {}
    for catalog in found:
        held = catalogs.get(catalog.key)
        if catalog.origin is Origin.PROJECT and catalog.hidden_by:
            continue
        if held is None or held.origin is not catalog.origin:
            catalogs[catalog.key] = catalog
    return catalogs


def _is_of_another_project(key: str) -> bool:
    try:
        return Path(key).is_absolute() and Path(key).exists()
    except OSError:
        return True  # what cannot be reached is not gone


def _outdated(lexical: LexicalIndex, catalogs: dict[str, Catalog]) -> list[str]:
    indexed = {name: entry.digest for name, entry in lexical.manifest().items()}
    current = {name: catalog.digest for name, catalog in catalogs.items()}
    return [
        name
        for name in {**indexed, **current}
        if indexed.get(name) != current.get(name)
        and (name in current or not _is_of_another_project(name))
    ]


def _write(writer: IndexWriter, work: list[tuple[str, Catalog | None]]) -> Iterator[Progress]:
    total = sum(catalog.count_lines() for _, catalog in work if catalog is not None)
    done = 0
    for name, catalog in work:
        writer.remove(name)
        if catalog is None:
            continue
        # One catalog after the other: all of them at once would fill the memory.
        try:
            reading = catalog.read()
            notices = tuple(str(refusal) for refusal in reading.refusals)
        except CatalogFileError as error:
            reading, notices = Reading((), ()), (str(error),)
        for record in reading.records:
            if done % RECORDS_PER_PROGRESS == 0:
                yield Progress(f"Indexing {catalog.name}", done, total)
            writer.add(record, catalog.key, catalog.environment)
            done += 1
        writer.finish(catalog.key, Entry(catalog.digest, len(reading.records), notices))
    yield Progress("Writing the index", done, done)
