"""Searching the catalogs: the index follows them by itself and is rebuilt when it must be."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import platformdirs

from gorilla_jupyter.answer import Document, Progress, Request, SearchResult
from gorilla_jupyter.catalog.files import CatalogFileError
from gorilla_jupyter.catalog.store import Catalog, CatalogStore
from gorilla_jupyter.index.lexical import (
    Entry,
    IndexBusyError,
    IndexDamagedError,
    IndexWriter,
    LexicalIndex,
)
from gorilla_jupyter.record import ApiRecord

T = TypeVar("T")

RECORDS_PER_PROGRESS = 50


def index_folder() -> Path:
    """Where this user's index lives: ``$GORILLA_HOME/index`` or the platform's cache folder."""
    home = os.environ.get("GORILLA_HOME")
    root = Path(home) if home else platformdirs.user_cache_path("gorilla-jupyter")
    return root / "index"


class DocumentIndex:
    """The documents of ``store``, searchable.

    The catalogs are the truth and the index is a cache of them: what is missing, damaged or
    outdated is built again at the next question. Where the folder cannot be written, the index is
    kept in memory.
    """

    def __init__(self, store: CatalogStore, folder: Path | None = None) -> None:
        self.store = store
        self.folder = folder or index_folder()
        self._lexical: LexicalIndex | None = None
        self._fault: str | None = None

    def refresh(self) -> Iterator[Progress]:
        """Bring the index up to date with the catalogs; nothing is yielded where it is already."""
        try:
            yield from self._refresh()
        except IndexDamagedError:
            self._rebuild()
            yield from self._refresh()
        except IndexBusyError as error:
            # Somebody else is at it: what is indexed so far answers until they are done.
            self._fault = str(error)
        except OSError as error:
            self._fault = (
                f"The index in {self.folder} cannot be written ({error.strerror}); it is kept in "
                "memory until it can."
            )
            self._lexical = LexicalIndex(None)
            yield from self._refresh()

    def search(self, request: Request) -> SearchResult:
        """The ``request.documents`` documents nearest to the instruction, best first."""
        filters = {
            name: text
            for name in ("framework", "domain", "package")
            if (text := getattr(request, name))
        }

        def find(lexical: LexicalIndex) -> SearchResult:
            hits = lexical.search(request.instruction, limit=request.documents, filters=filters)
            return SearchResult(
                tuple(Document(hit.record, hit.score, hit.coverage, hit.highlight) for hit in hits),
                lexical.correction(request.instruction),
                self.notices(lexical),
            )

        return self._read(find)

    def record(self, record_id: str) -> ApiRecord | None:
        """The record of that id, or None."""
        return self._read(lambda lexical: lexical.record(record_id))

    def entries(self) -> dict[str, Entry]:
        """What is indexed, by catalog."""
        return self._read(lambda lexical: lexical.manifest())

    def notices(self, lexical: LexicalIndex) -> tuple[str, ...]:
        """Sentences on what is wrong with the catalogs or the index."""
        faults = (self._fault,) if self._fault else ()
        return faults + tuple(
            notice for entry in lexical.manifest().values() for notice in entry.notices
        )

    def _read(self, question: Callable[[LexicalIndex], T]) -> T:
        for _ in self.refresh():
            pass
        assert self._lexical is not None
        try:
            return question(self._lexical)
        except IndexDamagedError:
            self._rebuild()
            for _ in self.refresh():
                pass
            return question(self._lexical)

    def _rebuild(self) -> None:
        LexicalIndex.delete(self.folder)
        self._lexical = None

    def _refresh(self) -> Iterator[Progress]:
        if self._lexical is None:
            self._lexical = LexicalIndex(self.folder)
        catalogs = {catalog.name: catalog for catalog in self.store.catalogs()}
        if not _outdated(self._lexical, catalogs):
            return
        yield Progress("Indexing the documentation", 0, 0)
        with self._lexical.writing() as writer:
            # Another process may have done it while this one waited for the lock.
            names = _outdated(self._lexical, catalogs)
            yield from _write(writer, [(name, catalogs.get(name)) for name in names])
        self._fault = None


def _outdated(lexical: LexicalIndex, catalogs: dict[str, Catalog]) -> list[str]:
    indexed = {name: entry.digest for name, entry in lexical.manifest().items()}
    current = {name: catalog.digest for name, catalog in catalogs.items()}
    return [name for name in {**indexed, **current} if indexed.get(name) != current.get(name)]


def _write(writer: IndexWriter, work: list[tuple[str, Catalog | None]]) -> Iterator[Progress]:
    readings = []
    for name, catalog in work:
        writer.remove(name)
        if catalog is not None:
            try:
                reading = catalog.read()
                notices = tuple(str(refusal) for refusal in reading.refusals)
                readings.append((catalog, reading.records, notices))
            except CatalogFileError as error:
                readings.append((catalog, (), (str(error),)))
    total = sum(len(records) for _, records, _ in readings)
    done = 0
    for catalog, records, notices in readings:
        for record in records:
            if done % RECORDS_PER_PROGRESS == 0:
                yield Progress(f"Indexing {catalog.name}", done, total)
            writer.add(record)
            done += 1
        writer.finish(catalog.name, Entry(catalog.digest, len(records), notices))
    yield Progress("Writing the index", done, total)
