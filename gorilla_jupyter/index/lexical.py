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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from gorilla_jupyter.record import ApiRecord, module_name

with warnings.catch_warnings():
    # Whoosh 2.7.4 predates the warning about backslashes in plain strings.
    warnings.simplefilter("ignore", SyntaxWarning)
    from whoosh import fields, highlight, index
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

BOOSTS: Mapping[str, float] = {"title": 2.0, "description": 1.0, "call": 0.7}
"""What a word is worth in each field. Each word of a document is indexed in the best of the fields
that have it, so that no field counts twice and few have to be read."""

MANIFEST_ID = "manifest"
"""The id of the documents that say which catalogs are indexed."""

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


class _Stars(highlight.Formatter):  # type: ignore[misc]
    def format_token(self, text: str, token: Any, replace: bool = False) -> str:
        return f"**{highlight.get_text(text, token, replace)}**"


def _schema() -> Any:
    # Nothing asks for a word's place in a text, or how often it stands there. Lengths are stored
    # because Whoosh looks for their file at every single word where they are not.
    words = {
        name: fields.KEYWORD(scorable=True) for name in (*BOOSTS, "words", "framework", "domain")
    }
    return fields.Schema(
        catalog=fields.ID(stored=True),
        environment=fields.ID,
        manifest=fields.STORED,
        id=fields.ID,
        record=fields.STORED,
        package=fields.ID,
        **words,
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
                    for stored in searcher.documents(id=MANIFEST_ID)
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
        self, text: str, *, limit: int, filters: Mapping[str, str], environment: str = ""
    ) -> list[Hit]:
        """The documents that share words with ``text``, best first.

        The score is BM25F's with one document frequency for all fields, as Robertson and Zaragoza
        define it (2009, section 3.6), where neither length nor repetition counts (b = 0, k1 = 0): a
        thorough document is no worse than a short one, and twins tie in the order of their catalog.

        :param filters: field (``framework``, ``domain``, ``package``) to the words it must hold.
        :param environment: the one whose documents are considered beside those of none.
        """
        terms = _terms(text)
        wanted = _filter(filters)
        if not terms or wanted is None:
            return []
        with self._fresh_searcher() as searcher:
            reader = searcher.reader()
            frequencies = _frequencies(reader, terms)
            weights = _rarities(reader, frequencies)
            known = [term for term in terms if frequencies[term]]
            telling = sorted(known, key=weights.__getitem__, reverse=True)[:MAX_TERMS]
            scores = np.zeros(reader.doc_count_all())
            having: dict[str, Any] = {}
            for term in telling:
                found = {field: _documents(reader, field, term) for field in BOOSTS}
                for field, numbers in found.items():
                    scores[numbers] += weights[term] * BOOSTS[field]
                having[term] = np.concatenate(list(found.values()))
            for other in set(_environments(reader)) - {environment}:
                scores[_documents(reader, "environment", other)] = 0
            for field, word in wanted:
                others = np.ones(len(scores), dtype=bool)
                others[_documents(reader, field, word)] = False
                scores[others] = 0
            best = _best(scores, limit)
            matches = {term: np.isin(best, numbers) for term, numbers in having.items()}
            return [
                _hit(
                    _record(searcher.stored_fields(number)),
                    float(scores[number]),
                    {term for term in telling if matches[term][place]},
                    weights,
                )
                for place, number in enumerate(best)
            ]

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

    def record(self, record_id: str) -> ApiRecord | None:
        """The record of that id."""
        if not re.fullmatch("[0-9a-f]{16}", record_id):
            return None
        with self._fresh_searcher() as searcher:
            stored = searcher.document(id=record_id)
            return _record(stored) if stored else None

    @contextmanager
    def _fresh_searcher(self) -> Iterator[Any]:
        with self._reading():
            known = self._searcher
            state = self._state
            if known is None:
                state = self._current_state()
                self._searcher = self._index.searcher()
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

    def add(self, record: ApiRecord, environment: str = "") -> None:
        arguments = " ".join(argument.name for argument in record.api_arguments)
        # A number in a version is no word of the document.
        framework = record.framework.removesuffix(record.api_version)
        title = f"{record.api_name} {framework} {record.domain} {record.functionality}"
        description = " ".join((record.description, *record.questions))
        texts = {
            "title": f"{_split_case(f'{record.api_name} {framework}')} {title}",
            "description": description,
            "call": _split_case(f"{record.api_call} {arguments}"),
        }
        indexed: set[str] = set()
        words: dict[str, list[str]] = {}
        for field in BOOSTS:
            stems = {token.text for token in _STEMS(texts[field])}
            words[field] = sorted(stems - indexed)
            indexed |= stems
        for field, text in (
            ("words", f"{title} {description}"),
            ("framework", record.framework),
            ("domain", record.domain),
        ):
            words[field] = sorted({token.text for token in _TOKENS(text)})
        self._writer.add_document(
            catalog=record.source,
            id=record.id,
            record=json.dumps(record.to_json()),
            package=record.package.lower(),
            **({"environment": environment} if environment else {}),
            **words,
        )

    def finish(self, catalog: str, entry: Entry) -> None:
        """Note that the catalog is indexed as it is now."""
        self._writer.add_document(
            catalog=catalog,
            id=MANIFEST_ID,
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


def _documents(reader: Any, field: str, term: str) -> Any:
    """The numbers of the documents that have the term in that field."""
    if (field, term) not in reader:
        return np.empty(0, dtype=np.intp)
    return np.fromiter(reader.postings(field, term).all_ids(), dtype=np.intp)


def _best(scores: Any, limit: int) -> list[int]:
    """The documents with the highest scores, of equal ones the first."""
    found = np.flatnonzero(scores)
    order = np.argsort(-scores[found], kind="stable")[:limit]
    return [int(number) for number in found[order]]


def _frequencies(reader: Any, terms: list[str]) -> dict[str, int]:
    return {term: sum(reader.doc_frequency(field, term) for field in BOOSTS) for term in terms}


def _rarities(reader: Any, frequencies: Mapping[str, int]) -> dict[str, float]:
    # Unknown words weigh most.
    count = reader.doc_count_all()
    return {term: _rarity(frequency, count) for term, frequency in frequencies.items()}


def _rarity(frequency: int, count: int) -> float:
    """The inverse document frequency of a word that ``frequency`` of ``count`` documents have."""
    return math.log(1 + count / (1 + frequency))


def _filter(filters: Mapping[str, str]) -> list[tuple[str, str]] | None:
    """The fields and the words that they must hold; None for a filter that nothing meets."""
    wanted = []
    for field, text in filters.items():
        if field == "package":
            words = [module_name(text.strip()).lower()]
        else:
            words = [token.text for token in _TOKENS(text)]
        if not any(words):
            return None
        wanted += [(field, word) for word in words]
    return wanted


def _environments(reader: Any) -> list[str]:
    return [term.decode() for term in reader.lexicon("environment")]


def _hit(record: ApiRecord, score: float, matched: set[str], weights: Mapping[str, float]) -> Hit:
    shown = highlight.highlight(
        record.description,
        matched,
        _STEMS,
        highlight.ContextFragmenter(maxchars=HIGHLIGHT_CHARACTERS, surround=60),
        _Stars(),
        top=2,
    )
    return Hit(
        record,
        score,
        coverage=sum(weights[term] for term in matched) / sum(weights.values()),
        highlight=shown
        or textwrap.shorten(record.description, HIGHLIGHT_CHARACTERS, placeholder=" …"),
    )


def _record(stored: Any) -> ApiRecord:
    return ApiRecord.from_json(json.loads(stored["record"]), source=stored["catalog"])


def _is_known(reader: Any, word: str) -> bool:
    stem = next(iter(_STEMS(word)), None)
    return ("words", word) in reader or any(
        (field, stem.text) in reader for field in BOOSTS if stem is not None
    )
