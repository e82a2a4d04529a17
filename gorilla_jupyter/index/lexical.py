"""The Whoosh index of the documents: BM25F over named fields. Nothing else knows Whoosh."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import shutil
import textwrap
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from gorilla_jupyter.record import ApiRecord, module_name

with warnings.catch_warnings():
    # Whoosh 2.7.4 predates the warning about backslashes in plain strings.
    warnings.simplefilter("ignore", SyntaxWarning)
    from whoosh import fields, highlight, index, query, scoring
    from whoosh.analysis import LowercaseFilter, RegexTokenizer, StemFilter, StopFilter
    from whoosh.filedb.filestore import FileStorage, RamStorage
    from whoosh.util.filelock import FileLock, try_for
    from whoosh.writing import SegmentWriter

FORMAT = 3
"""Raised with every change to the schema: an index of another format is left alone."""

LOCK_SECONDS = 60.0
"""How long to wait for another process that is writing."""

MAX_TERMS = 64
"""How many different words of a text are looked for: of more, those that tell most."""

MAX_CORRECTIONS = 5
"""For how many unknown words of a text a likelier one is looked for."""

DISK_MEGABYTES = 64
MEMORY_MEGABYTES = 1024
"""How much is sorted at once; beyond that, Whoosh writes to a disk, which may be full."""

HIGHLIGHT_CHARACTERS = 160

BOOSTS: Mapping[str, float] = {"name": 2.0, "task": 2.0, "description": 1.0, "call": 0.7}

STOP_WORDS = frozenset(
    """a about after all also am an and any are as at be because been before being between both
    but by can could did do does doing don for from get give given had has have he hello her
    here hi him his how i if in into is it its just let like ll load make me my need needs no
    not now of on one or our out over please re s she should show so some such t that the their
    them then there these they this those through to too under up us use using ve very want
    wants was we were what when where which while who whom why will with would you
    your""".split()
)
REQUEST_WORDS = frozenset(
    """api apis call code find function help library model models package pretrained program
    recommend script someone something suggest tool train trained way work works write""".split()
)
"""Words that most requests have and that tell no document from another."""

_TOKENS = RegexTokenizer(r"[^\W_]+") | LowercaseFilter() | StopFilter(STOP_WORDS, minsize=1)
_STEMS = _TOKENS | StemFilter()
_CASE_BORDER = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


State = tuple[tuple[str, int, int], ...]
"""The tables of contents of an index on disk: name, size and time of change."""


class IndexDamagedError(Exception):
    """The index on disk cannot be read; rebuilding it from the catalogs mends it.

    :ivar state: what :meth:`LexicalIndex.delete` needs to delete this index and no newer one.
    """

    def __init__(self, message: str, state: State = ()) -> None:
        super().__init__(message)
        self.state = state


class IndexBusyError(Exception):
    """Another process has been writing to the index for too long."""


@dataclass(frozen=True)
class Hit:
    """A record that matches; see :class:`gorilla_jupyter.answer.Document` for the fields."""

    record: ApiRecord
    score: float
    coverage: float
    highlight: str


@dataclass(frozen=True)
class Entry:
    """What the index says of a catalog it holds."""

    digest: str
    records: int
    notices: tuple[str, ...]


class _DocumentBm25f(scoring.BM25F):  # type: ignore[misc]
    """BM25F with one document frequency for all fields, as Robertson and Zaragoza define it
    (2009, section 3.6); Whoosh's own differs by field. Neither length nor repetition counts
    (B = 0, K1 = 0): a thorough document is no worse than a short one, and twins tie in the order
    of their catalog."""

    def __init__(self) -> None:
        super().__init__(K1=0, **{f"{field}_B": 0.0 for field in BOOSTS})

    def idf(self, searcher: Any, fieldname: str, text: str) -> float:
        frequency = max(searcher.doc_frequency(field, text) for field in BOOSTS)
        return _rarity(frequency, searcher.doc_count_all())


class _Stars(highlight.Formatter):  # type: ignore[misc]
    def format_token(self, text: str, token: Any, replace: bool = False) -> str:
        return f"**{highlight.get_text(text, token, replace)}**"


def _schema() -> Any:
    return fields.Schema(
        catalog=fields.ID(stored=True),
        manifest=fields.STORED,
        id=fields.ID,
        record=fields.STORED,
        name=fields.TEXT(_STEMS),
        task=fields.TEXT(_STEMS),
        description=fields.TEXT(_STEMS),
        call=fields.TEXT(_STEMS),
        words=fields.TEXT(_TOKENS),
        framework=fields.TEXT(_TOKENS),
        domain=fields.TEXT(_TOKENS),
        package=fields.ID,
    )


class _MemoryStorage(RamStorage):  # type: ignore[misc]
    def temp_storage(self, name: str | None = None) -> RamStorage:
        # Whoosh's own is a folder of a well-known name where everybody may write.
        return _MemoryStorage()


class LexicalIndex:
    """Documents by catalog, searchable by words.

    :param folder: where the index lies; None keeps it in memory. Whoosh unpickles what it finds
        there, so the folder must belong to the user, and is made accessible to nobody else.
    :raises IndexDamagedError: if what lies there is no readable index.
    :raises IndexBusyError: if another process keeps the lock.
    :raises OSError: if the folder cannot be made or written, or is somebody else's.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._searcher: Any = None
        self._entries: dict[str, Entry] | None = None
        self._state: State = ()
        if folder is None:
            self._index = _MemoryStorage().create().create_index(_schema())
            return
        for private in (folder, _home(folder)):
            private.mkdir(parents=True, exist_ok=True, mode=0o700)
            _make_private(private)
        self._state = _state(folder)
        storage = FileStorage(str(_home(folder)))
        with self._reading():
            if not storage.index_exists():
                with _locked(folder):
                    if not storage.index_exists():
                        storage.create_index(_schema())
            self._index = storage.open_index(schema=_schema())

    @staticmethod
    def delete(folder: Path, state: State) -> None:
        """Delete the index in ``folder``, unless it is not the one of that state any more.

        :raises IndexBusyError: if another process keeps the lock.
        """
        if not folder.exists():
            return
        with _locked(folder):
            if _state(folder) == state:
                shutil.rmtree(_home(folder), ignore_errors=True)

    def close(self) -> None:
        """Let go of the files."""
        if self._searcher is not None:
            with suppress(Exception):
                self._searcher.close()
            self._searcher = None

    def manifest(self) -> Mapping[str, Entry]:
        """The catalogs that the index holds, by name."""
        with self._fresh_searcher() as searcher:
            if self._entries is None:
                self._entries = {
                    stored["catalog"]: Entry(
                        stored["manifest"]["digest"],
                        stored["manifest"]["records"],
                        tuple(stored["manifest"]["notices"]),
                    )
                    for stored in searcher.documents()
                    if "manifest" in stored
                }
            return self._entries

    @contextmanager
    def writing(self) -> Iterator[IndexWriter]:
        """All changes of the block at once, or none of them.

        :raises IndexBusyError: if another process keeps the lock.
        :raises OSError: if the disk is full or the folder read-only; nothing has changed then.
        """
        with _locked(self.folder) if self.folder else nullcontext():
            with self._reading():
                writer = SegmentWriter(
                    self._index,
                    timeout=LOCK_SECONDS,
                    limitmb=DISK_MEGABYTES if self.folder else MEMORY_MEGABYTES,
                )
            try:
                yield IndexWriter(writer)
                with self._reading():
                    writer.commit()
            except BaseException:
                self._abandon(writer)
                raise

    def _abandon(self, writer: Any) -> None:
        # Each step may fail as the writing did, and none may keep the next from being tried.
        with suppress(Exception):
            writer.cancel()
        if not writer.is_closed:
            with suppress(Exception):
                writer.temp_storage().destroy()
            with suppress(Exception):
                writer.writelock.release()
        with suppress(Exception):
            contents = index.TOC.read(self._index.storage, self._index.indexname, schema=_schema())
            index.clean_files(
                self._index.storage,
                self._index.indexname,
                contents.generation,
                contents.segments,
            )

    def search(
        self, text: str, *, limit: int, filters: Mapping[str, str], hidden: Collection[str] = ()
    ) -> list[Hit]:
        """The documents that share words with ``text``, best first.

        :param filters: field (``framework``, ``domain``, ``package``) to the words it must hold.
        :param hidden: catalogs whose documents are left out.
        """
        terms = _terms(text)
        wanted = _filter(filters)
        if not terms or wanted == query.NullQuery:
            return []
        with self._fresh_searcher() as searcher:
            frequencies = _frequencies(searcher, terms)
            weights = _rarities(searcher, frequencies)
            known = [term for term in terms if frequencies[term]]
            telling = sorted(known, key=weights.__getitem__, reverse=True)[:MAX_TERMS]
            results = searcher.search(
                query.Or(
                    [
                        # The best field counts: a task's abbreviation in a model's name adds
                        # nothing to the same abbreviation in its task.
                        query.DisjunctionMax(
                            [
                                query.Term(field, term, boost=boost)
                                for field, boost in BOOSTS.items()
                            ]
                        )
                        for term in telling
                    ]
                ),
                limit=limit,
                filter=wanted,
                mask=query.Or([query.Term("catalog", key) for key in hidden]) if hidden else None,
                terms=True,
                optimize=False,  # skipping by quality never ends where all qualities are equal
            )
            results.formatter = _Stars()
            results.fragmenter = highlight.ContextFragmenter(
                maxchars=HIGHLIGHT_CHARACTERS, surround=60
            )
            return [_hit(result, weights) for result in results]

    def correction(self, text: str) -> str | None:
        """``text`` with each word that no document has replaced by the likeliest one that some
        have; None where there is nothing to mend."""
        mended = text
        words = dict.fromkeys(token.text for token in _TOKENS(text))
        candidates = [word for word in words if 4 <= len(word) <= 30 and word.isalpha()]
        with self._fresh_searcher() as searcher:
            reader = searcher.reader()
            corrector = reader.corrector("words")
            unknown = (word for word in candidates if not _is_known(reader, word))
            for word in islice(unknown, MAX_CORRECTIONS):
                for distance in (1, 2):
                    likely = corrector.suggest(word, limit=1, maxdist=distance, prefix=1)
                    if likely:
                        mended = re.sub(rf"\b{re.escape(word)}\b", likely[0], mended, flags=re.I)
                        break
        return mended if mended != text else None

    def record(self, record_id: str, hidden: Collection[str] = ()) -> ApiRecord | None:
        """The record of that id in a catalog that is not ``hidden``."""
        if not re.fullmatch("[0-9a-f]{16}", record_id):
            return None
        with self._fresh_searcher() as searcher:
            for stored in searcher.documents(id=record_id):
                if stored["catalog"] not in hidden:
                    return _record(stored)
            return None

    @contextmanager
    def _fresh_searcher(self) -> Iterator[Any]:
        with self._reading():
            known = self._searcher
            state = self._state
            if known is None:
                state = self._current_state()
                self._searcher = self._index.searcher(weighting=_DocumentBm25f())
            elif not known.up_to_date():
                state = self._current_state()
                self._searcher = known.refresh()
            if self._searcher is not known:
                self._state = state
                self._entries = None
            yield self._searcher

    def _current_state(self) -> State:
        return _state(self.folder) if self.folder else ()

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (IndexBusyError, MemoryError):
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno not in _ERRORS_OF_DAMAGE:
                raise
            # Damaged files are unpickled and unpacked before they are checked: anything may come.
            raise IndexDamagedError(f"The index cannot be read: {error!r}.", self._state) from error


class IndexWriter:
    """The changes that :meth:`LexicalIndex.writing` allows."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def remove(self, catalog: str) -> None:
        """Drop a catalog's documents and its entry."""
        self._writer.delete_by_term("catalog", catalog)

    def add(self, record: ApiRecord, catalog: str = "") -> None:
        """Add a document of the catalog with that key; without one, of the record's source."""
        arguments = " ".join(argument.name for argument in record.api_arguments)
        name = f"{record.api_name} {record.framework}"
        task = f"{record.domain} {record.functionality}"
        description = " ".join((record.description, *record.questions))
        self._writer.add_document(
            catalog=catalog or record.source,
            id=record.id,
            record=json.dumps({**record.to_json(), "source": record.source}),
            name=_split_case(name),
            task=task,
            description=description,
            call=_split_case(f"{record.api_call} {arguments}"),
            words=f"{name} {task} {description}",
            framework=record.framework,
            domain=record.domain,
            package=record.package.lower(),
        )

    def finish(self, catalog: str, entry: Entry) -> None:
        """Note that the catalog is indexed as it is now."""
        self._writer.add_document(
            catalog=catalog,
            manifest={
                "digest": entry.digest,
                "records": entry.records,
                "notices": list(entry.notices),
            },
        )


_ERRORS_OF_DAMAGE = {errno.ENOENT, errno.EINVAL, errno.EOVERFLOW}
"""What comes of files that are missing, and of places in a file that cannot be."""


def _home(folder: Path) -> Path:
    return folder / f"format-{FORMAT}"


def _make_private(folder: Path) -> None:
    if os.name != "posix":
        return  # a user's folders are private on Windows
    status = folder.stat()
    if status.st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, "it belongs to another user", str(folder))
    if status.st_mode & 0o077:
        folder.chmod(0o700)


def _state(folder: Path) -> State:
    found = []
    for path in sorted(_home(folder).glob("*.toc")):
        with suppress(FileNotFoundError):
            status = path.stat()
            found.append((path.name, status.st_size, status.st_mtime_ns))
    return tuple(found)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    # Whoosh's own lock lies within what is deleted when the index is damaged.
    lock = FileLock(str(folder / f"format-{FORMAT}.lock"))
    if not try_for(lock.acquire, timeout=LOCK_SECONDS):
        raise IndexBusyError(f"Another process has been indexing in {folder}.")
    try:
        yield
    finally:
        lock.release()


def _terms(text: str) -> list[str]:
    stems = dict.fromkeys(token.text for token in _STEMS(_split_case(text)))
    telling = [stem for stem in stems if stem not in _REQUEST_STEMS]
    return telling or list(stems)


_REQUEST_STEMS = frozenset(token.text for token in _STEMS(" ".join(sorted(REQUEST_WORDS))))


def _split_case(text: str) -> str:
    split = _CASE_BORDER.sub(" ", text)
    return text if split == text else f"{text} {split}"


def _frequencies(searcher: Any, terms: list[str]) -> dict[str, int]:
    reader = searcher.reader()
    return {term: max(reader.doc_frequency(field, term) for field in BOOSTS) for term in terms}


def _rarities(searcher: Any, frequencies: Mapping[str, int]) -> dict[str, float]:
    # Unknown words weigh most.
    count = searcher.doc_count_all()
    return {term: _rarity(frequency, count) for term, frequency in frequencies.items()}


def _rarity(frequency: int, count: int) -> float:
    """The inverse document frequency of a word that ``frequency`` of ``count`` documents have."""
    return math.log(1 + count / (1 + frequency))


def _filter(filters: Mapping[str, str]) -> Any:
    wanted = []
    for field, text in filters.items():
        if field == "package":
            words = [module_name(text.strip()).lower()]
        else:
            words = [token.text for token in _TOKENS(text)]
        if not any(words):
            return query.NullQuery
        wanted += [query.Term(field, word) for word in words]
    return query.And(wanted) if wanted else None


def _hit(result: Any, weights: Mapping[str, float]) -> Hit:
    record = _record(result)
    matched = {term.decode() for _, term in result.matched_terms()}
    return Hit(
        record,
        score=result.score,
        coverage=sum(weights[term] for term in matched) / sum(weights.values()),
        highlight=result.highlights("description", text=record.description, top=2)
        or textwrap.shorten(record.description, HIGHLIGHT_CHARACTERS, placeholder=" …"),
    )


def _record(stored: Any) -> ApiRecord:
    value = json.loads(stored["record"])
    return ApiRecord.from_json(value, source=value["source"])


def _is_known(reader: Any, word: str) -> bool:
    stem = next(iter(_STEMS(word)), None)
    return ("words", word) in reader or any(
        (field, stem.text) in reader for field in BOOSTS if stem is not None
    )
