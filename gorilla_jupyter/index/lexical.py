"""The Whoosh index of the documents: BM25F over named fields. Beside it, only ``words.py`` knows
Whoosh."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import textwrap
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gorilla_jupyter.index.languages import LANGUAGES, MANY
from gorilla_jupyter.index.scoring import (
    Nearness,
    Scored,
    best_documents,
    catalog_ranks,
    documents_with,
)
from gorilla_jupyter.index.vectors import document_key
from gorilla_jupyter.index.words import (
    STEMS,
    TOKENS,
    family_of,
    names_in,
    split_case,
    stem_of,
    terms_of,
    words_of,
)
from gorilla_jupyter.record import ApiRecord, module_name

with warnings.catch_warnings():
    # Whoosh 2.7.4 predates the warning about backslashes in plain strings.
    warnings.simplefilter("ignore", SyntaxWarning)
    from whoosh import fields, highlight, index
    from whoosh.codec.whoosh3 import W3Codec, W3FieldWriter
    from whoosh.columns import RefBytesColumn
    from whoosh.filedb.filestore import FileStorage, RamStorage
    from whoosh.util.filelock import FileLock, try_for
    from whoosh.writing import SegmentWriter

FORMAT = 8
"""Raised with every change to the schema: an index of another format is left alone."""

LOCK_SECONDS = 60.0
"""How long to wait for another process that is writing."""

MAX_CORRECTIONS = 5
"""For how many unknown words of a text a likelier one is looked for."""

MAX_SPELLINGS = 5
"""How many known words that are spelt nearly like an unknown one are weighed against each other."""

DISK_MEGABYTES = 64
MEMORY_MEGABYTES = 1024
"""How much is sorted at once; beyond that, Whoosh writes to a disk, which may be full."""

HIGHLIGHT_CHARACTERS = 160

BOOSTS: Mapping[str, float] = {"title": 2.0, "description": 1.0, "call": 0.7}
"""What a word is worth in each field. Each word of a document is indexed in the best of the fields
that have it, so that no field counts twice and few have to be read."""

YES = "yes"
"""What the field of a first choice holds."""

MANIFEST_ID = "manifest"
"""The id of the documents that say which catalogs are indexed."""

Cosines = Callable[[list[str]], tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.float32]]]

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
    """A record that matches; see :class:`gorilla_jupyter.answer.Document` for the fields.

    :ivar relevance: see :class:`gorilla_jupyter.index.scoring.Scored`.
    :ivar noise: see :func:`gorilla_jupyter.index.scoring.noise_of`.
    """

    record: ApiRecord
    score: float
    relevance: float
    coverage: float
    highlight: str
    noise: float


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
    # Nothing asks for a word's place in a text, how often it stands there, or how long a text is.
    words = {name: fields.KEYWORD() for name in (*BOOSTS, "name", "words")}
    return fields.Schema(
        catalog=fields.ID(stored=True),
        framework=fields.ID,
        domain=fields.ID,
        first_choice=fields.ID,
        environment=fields.ID,
        manifest=fields.STORED,
        id=fields.ID,
        key=fields.COLUMN(),
        group=fields.COLUMN(RefBytesColumn()),
        api_call=fields.COLUMN(),
        record=fields.STORED,
        package=fields.ID,
        **words,
    )


class _FieldWriter(W3FieldWriter):  # type: ignore[misc]
    def add_postings(self, schema: Any, lengths: Any, items: Any) -> None:
        # Whoosh would look up the length of the text for every word of every document.
        super().add_postings(schema, None, items)


class _Codec(W3Codec):  # type: ignore[misc]
    def field_writer(self, storage: Any, segment: Any) -> _FieldWriter:
        return _FieldWriter(self, storage, segment)


class _MemoryStorage(RamStorage):  # type: ignore[misc]
    def temp_storage(self, name: str | None = None) -> RamStorage:
        # Whoosh's own is a folder of a well-known name where everybody may write.
        return _MemoryStorage()


class LexicalIndex:
    """Documents by catalog, searchable by words.

    :param folder: where the index lies; None keeps it in memory. Whoosh unpickles what it finds
        there, so the folder must belong to the user, and is made accessible to nobody else.
    :param prebuilt: the folder of another index, of which a new one on disk begins as a copy.
    :raises IndexDamagedError: if what lies there is no readable index.
    :raises IndexBusyError: if another process keeps the lock.
    :raises OSError: if the folder cannot be made or written, or is somebody else's.
    """

    def __init__(self, folder: Path | None, prebuilt: Path | None = None) -> None:
        self.folder = folder
        self._searcher: Any = None
        self._entries: dict[str, Entry] | None = None
        self._ranked: tuple[tuple[str, ...], NDArray[np.intp]] | None = None
        self._columns: tuple[list[str], NDArray[np.intp], NDArray[np.intp]] | None = None
        self._languages: dict[str, NDArray[np.intp]] | None = None
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
                    if prebuilt is not None and not storage.index_exists():
                        _copy_index(_home(prebuilt), storage)
                        self._state = _state(folder)
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
                    # Packing 20,000 short lists costs more time than it saves space.
                    codec=_Codec(compression=0),
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
        self,
        text: str,
        *,
        limit: int,
        filters: Mapping[str, str],
        environment: str = "",
        hidden: Collection[str] = (),
        order: Sequence[str] = (),
        cosines: Cosines | None = None,
    ) -> list[Hit]:
        """The documents that share words with ``text``, or that are near to it, best first.

        :param filters: field (``framework``, ``domain``, ``package``) to the words it must hold, or
            the package it must be.
        :param environment: the one whose documents are considered beside those of none.
        :param hidden: catalogs whose documents are left out.
        :param order: the catalogs whose documents come first where scores are equal.
        :param cosines: from the documents' keys to their nearness, which of them have one, and
            their nearness to sentences that no document answers.
        """
        terms = terms_of(text)
        if not terms and cosines is None:
            return []
        with self._fresh_searcher() as searcher:
            reader = searcher.reader()
            names = [name for name in names_in(text) if ("title", name) in reader]
            terms += names
            environments = _lexicon(reader, "environment")
            found = best_documents(
                reader,
                terms,
                names,
                BOOSTS,
                limit=limit,
                required=[
                    (field, _values(reader, field, wanted)) for field, wanted in filters.items()
                ],
                excluded=[
                    *(("environment", name) for name in environments if name != environment),
                    *(("catalog", key) for key in hidden),
                ],
                first_choices=documents_with(reader, "first_choice", YES),
                ranks=self._ranks(reader, tuple(order)),
                nearness=self._nearness(reader, terms, cosines) if cosines else None,
            )
            return [_hit(_record(searcher.stored_fields(hit.number)), hit) for hit in found]

    def _ranks(self, reader: Any, order: tuple[str, ...]) -> NDArray[np.intp]:
        if self._ranked is None or self._ranked[0] != order:
            self._ranked = order, catalog_ranks(reader, order)
        return self._ranked[1]

    def _nearness(self, reader: Any, terms: Collection[str], cosines: Cosines) -> Nearness:
        keys, groups, calls = self._read_columns(reader)
        unfit = np.zeros(len(keys), dtype=bool)
        languages = self._read_languages(reader)
        for numbers in languages.values():
            unfit[numbers] = True
        for asked in languages.keys() & set(terms):
            unfit[languages[asked]] = False
        near, known, off_topic = cosines(keys)
        return Nearness(near, known, groups, calls, unfit, off_topic)

    def _read_languages(self, reader: Any) -> dict[str, NDArray[np.intp]]:
        """The documents that are made for each language, by the stem of its name."""
        if self._languages is None:
            naming = {
                stem: np.concatenate([documents_with(reader, field, stem) for field in BOOSTS])
                for stem in map(stem_of, sorted(LANGUAGES))
            }
            named = np.bincount(np.concatenate([*naming.values()]), minlength=1)
            self._languages = {
                stem: numbers[named[numbers] < MANY] for stem, numbers in naming.items()
            }
        return self._languages

    def _read_columns(self, reader: Any) -> tuple[list[str], NDArray[np.intp], NDArray[np.intp]]:
        """Every document's key and the numbers of its group and of its call, "" and -1 for what is
        no document."""
        if self._columns is None:
            keys = [""] * reader.doc_count_all()
            groups, calls = np.full((2, len(keys)), -1, dtype=np.intp)
            columns = [reader.column_reader(name) for name in ("key", "group", "api_call")]
            group_numbers: dict[bytes, int] = {}
            call_numbers: dict[bytes, int] = {}
            for number in reader.all_doc_ids():
                key, group, call = (column[number] for column in columns)
                if key:
                    keys[number] = key.decode()
                    groups[number] = group_numbers.setdefault(group, len(group_numbers))
                    calls[number] = call_numbers.setdefault(call, len(call_numbers))
            self._columns = keys, groups, calls
        return self._columns

    def keys(self) -> list[str]:
        """The key of every document, "" for what is none."""
        with self._fresh_searcher() as searcher:
            return self._read_columns(searcher.reader())[0]

    def records(self, numbers: Iterable[int]) -> list[ApiRecord]:
        """The records at these places among :meth:`keys`."""
        with self._fresh_searcher() as searcher:
            return [_record(searcher.stored_fields(number)) for number in numbers]

    def correction(self, text: str) -> str | None:
        """``text`` with each word that no document has replaced by the likeliest one that some
        have; None where there is nothing to mend."""
        mended = text
        words = dict.fromkeys(token.text for token in TOKENS(text))
        candidates = [word for word in words if 4 <= len(word) <= 30 and word.isalpha()]
        with self._fresh_searcher() as searcher:
            reader = searcher.reader()
            corrector = reader.corrector("words")
            unknown = (word for word in candidates if not _is_known(reader, word))
            for word in islice(unknown, MAX_CORRECTIONS):
                for distance in (1, 2):
                    likely = corrector.suggest(word, MAX_SPELLINGS, maxdist=distance, prefix=1)
                    if likely:
                        best = max(likely, key=partial(_frequency, reader))
                        mended = re.sub(rf"\b{re.escape(word)}\b", best, mended, flags=re.I)
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
                self._searcher = self._index.searcher()
            elif not known.up_to_date():
                state = self._current_state()
                self._searcher = known.refresh()
            if self._searcher is not known:
                self._state = state
                self._entries = None
                self._ranked = None
                self._columns = None
                self._languages = None
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
        self._words: set[str] = set()

    def remove(self, catalog: str) -> None:
        """Drop a catalog's documents and its entry."""
        self._writer.delete_by_term("catalog", catalog)

    def add(self, record: ApiRecord, catalog: str = "", environment: str = "") -> None:
        """Add a document of the catalog with that key; without one, of the record's source."""
        arguments = " ".join(argument.name for argument in record.api_arguments)
        # A number in a version is no word of the document.
        framework = record.framework.removesuffix(record.api_version)
        name = split_case(f"{record.api_name} {framework}")
        texts = {
            "title": f"{name} {record.domain} {record.functionality}",
            "description": " ".join((record.description, *record.questions)),
            "call": split_case(f"{record.api_call} {arguments}"),
        }
        tokens = {field: words_of(text) for field, text in texts.items()}
        self._words |= tokens["title"] | tokens["description"]
        # Whose it is, is no name of it.
        own_name = record.api_name.partition("/")[2] or record.api_name
        family = family_of(own_name)
        tokens["title"] |= family
        indexed: set[str] = set()
        words: dict[str, list[str]] = {}
        for field in BOOSTS:
            stems = set(map(stem_of, tokens[field]))
            words[field] = sorted(stems - indexed)
            indexed |= stems
        words["title"] += names_in(record.api_name)
        words["name"] = sorted(set(map(stem_of, words_of(split_case(own_name)) | family)))
        self._writer.add_document(
            catalog=catalog or record.source,
            id=record.id,
            key=document_key(record).encode(),
            group=f"{record.source}\0{record.domain}".encode(errors="surrogatepass"),
            api_call=sha256(record.api_call.encode(errors="surrogatepass")).digest()[:8],
            record=json.dumps({**record.to_json(), "source": record.source}),
            package=record.package.lower(),
            framework=record.framework.lower(),
            domain=record.domain.lower(),
            **({"environment": environment} if environment else {}),
            **({"first_choice": YES} if record.first_choice else {}),
            **words,
        )

    def finish(self, catalog: str, entry: Entry) -> None:
        """Note that the catalog, whose documents were added last, is indexed as it is now."""
        self._writer.add_document(
            catalog=catalog,
            id=MANIFEST_ID,
            manifest={
                "digest": entry.digest,
                "records": entry.records,
                "notices": list(entry.notices),
            },
            # Once for the catalog: for spelling, it does not matter which document has a word.
            words=sorted(self._words),
        )
        self._words = set()


_ERRORS_OF_DAMAGE = {errno.ENOENT, errno.EINVAL, errno.EOVERFLOW}
"""What comes of files that are missing, and of places in a file that cannot be."""


def _home(folder: Path) -> Path:
    return folder / f"format-{FORMAT}"


def _copy_index(folder: Path, storage: Any) -> None:
    """Copy what there is, the table of contents, which makes it an index, last."""
    for path in (*folder.glob("*.seg"), *folder.glob("*.toc")):
        try:
            content = path.read_bytes()
        except OSError:
            return  # without it the catalogs are indexed
        temporary = f"{path.name}.copying"
        with storage.create_file(temporary) as file:
            file.write(content)
        storage.rename_file(temporary, path.name)


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


def _values(reader: Any, field: str, wanted: str) -> list[str]:
    """The values of ``field`` that a filter allows."""
    if field == "package":
        return [module_name(wanted.strip()).lower()]
    words = words_of(wanted)
    return [value for value in _lexicon(reader, field) if words and words <= words_of(value)]


def _lexicon(reader: Any, field: str) -> list[str]:
    return [term.decode() for term in reader.lexicon(field)]


def _hit(record: ApiRecord, scored: Scored) -> Hit:
    shown = highlight.highlight(
        record.description,
        scored.matched,
        STEMS,
        highlight.ContextFragmenter(maxchars=HIGHLIGHT_CHARACTERS, surround=60),
        _Stars(),
        top=2,
    )
    beginning = textwrap.shorten(record.description, HIGHLIGHT_CHARACTERS, placeholder=" …")
    return Hit(
        record,
        scored.score,
        scored.relevance,
        scored.coverage,
        shown or beginning,
        scored.noise,
    )


def _record(stored: Any) -> ApiRecord:
    value = json.loads(stored["record"])
    return ApiRecord.from_json(value, source=value["source"])


def _is_known(reader: Any, word: str) -> bool:
    return ("words", word) in reader or _frequency(reader, word) > 0


def _frequency(reader: Any, word: str) -> int:
    """In how many documents the word stands, in whatever form."""
    stem = next((token.text for token in STEMS(word)), None)
    return sum(reader.doc_frequency(field, stem) for field in BOOSTS) if stem else 0
