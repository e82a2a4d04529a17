"""The index follows the catalogs, whatever happens to it."""

from __future__ import annotations

import gc
import os
import random
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gorilla_jupyter.answer import Progress, Request, SearchResult
from gorilla_jupyter.catalog.store import CatalogStore, write_records
from gorilla_jupyter.index.lexical import LexicalIndex
from gorilla_jupyter.index.search import DocumentIndex, index_folder
from gorilla_jupyter.record import ApiRecord

pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX limits and signals")


@pytest.fixture(autouse=True, scope="module")
def close_files() -> Iterator[None]:
    """Whoosh leaves files open where it fails to read them."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def records(name: str, count: int = 3) -> list[ApiRecord]:
    return [
        ApiRecord("Audio", "Widgets", f"{name} speech", f"{name}-{number}", f"load('{name}')")
        for number in range(count)
    ]


@pytest.fixture
def store(tmp_path: Path) -> CatalogStore:
    store = CatalogStore(tmp_path / "catalogs", builtin=None)
    store.folder.mkdir()
    for name in ("apples", "pears"):
        write_records(store.folder / f"{name}.jsonl", records(name))
    return store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "index"


@pytest.fixture
def index(store: CatalogStore, folder: Path) -> DocumentIndex:
    return DocumentIndex(store, folder)


def search(index: DocumentIndex, text: str = "apples pears plums") -> SearchResult:
    return index.search(Request(text, documents=200))


def found(index: DocumentIndex, text: str = "apples pears plums") -> list[str]:
    return sorted(document.record.api_name for document in search(index, text).documents)


def steps(index: DocumentIndex) -> list[Progress]:
    return list(index.refresh())


ALL = ["apples-0", "apples-1", "apples-2", "pears-0", "pears-1", "pears-2"]


def test_the_folder_is_the_users(gorilla_home: Path) -> None:
    assert index_folder() == gorilla_home / "index"
    assert DocumentIndex(CatalogStore()).folder == index_folder()


def test_nothing_is_built_before_the_first_use(index: DocumentIndex, folder: Path) -> None:
    assert not folder.exists()


def test_the_first_use_builds_it_with_progress(index: DocumentIndex) -> None:
    assert steps(index) == [
        Progress("Indexing the documentation", 0, 0),
        Progress("Indexing apples", 0, 6),
        Progress("Writing the index", 6, 6),
    ]
    assert found(index) == ALL


def test_progress_is_told_while_a_large_catalog_is_indexed(
    store: CatalogStore, index: DocumentIndex
) -> None:
    write_records(store.folder / "plums.jsonl", records("plums", 120))
    assert [(step.done, step.total) for step in steps(index)] == [
        (0, 0),
        (0, 126),
        (50, 126),
        (100, 126),
        (126, 126),
    ]


def test_the_second_use_builds_nothing(index: DocumentIndex) -> None:
    steps(index)
    assert steps(index) == []


def test_another_process_finds_it_built(
    index: DocumentIndex, store: CatalogStore, folder: Path
) -> None:
    steps(index)
    other = DocumentIndex(CatalogStore(store.folder, builtin=None), folder)
    assert steps(other) == []
    assert found(other) == ALL


def test_what_is_shipped_is_indexed_already(tmp_path: Path, folder: Path) -> None:
    index = DocumentIndex(CatalogStore(tmp_path / "none", project=None), folder)
    assert steps(index) == []
    assert sorted(index.entries()) == ["huggingface", "pytorch-hub", "tensorflow-hub"]
    assert search(index, "sentiment of tweets").documents


@pytest.fixture
def shipping(tmp_path: Path) -> CatalogStore:
    """A store whose shipped catalog, apples, was indexed when it was built."""
    builtin = tmp_path / "builtin"
    builtin.mkdir()
    write_records(builtin / "apples.jsonl", records("apples"))
    store = CatalogStore(tmp_path / "catalogs", builtin=builtin, project=None)
    steps(DocumentIndex(store, builtin / "index"))
    return store


def test_an_index_that_was_shipped_follows_the_catalogs(
    shipping: CatalogStore, folder: Path
) -> None:
    shipping.folder.mkdir()
    write_records(shipping.folder / "pears.jsonl", records("pears"))
    index = DocumentIndex(shipping, folder)
    assert Progress("Indexing pears", 0, 3) in steps(index)
    assert found(index) == ALL


def test_a_damaged_index_that_was_shipped_is_built_anew(
    shipping: CatalogStore, folder: Path
) -> None:
    assert shipping.builtin is not None
    for path in (shipping.builtin / "index").glob("*/*.*"):
        path.write_bytes(b"damaged")
    index = DocumentIndex(shipping, folder)
    assert found(index) == ALL[:3]
    assert search(index).notices == ()


def test_documents_come_with_their_place_in_the_catalogs(index: DocumentIndex) -> None:
    (first, *_) = search(index, "apples").documents
    assert first.record.source == "apples"
    assert index.record(first.record.id) == first.record


def test_filters_of_the_request_hold(index: DocumentIndex) -> None:
    request = Request("apples", framework="widgets", domain="AUDIO")
    assert len(index.search(request).documents) == 3
    assert index.search(Request("apples", framework="other")).documents == ()


def test_a_misspelt_word_is_mended(index: DocumentIndex) -> None:
    assert search(index, "aples").did_you_mean == "apples"


def added(store: CatalogStore) -> None:
    write_records(store.folder / "plums.jsonl", records("plums", 2))


def changed(store: CatalogStore) -> None:
    write_records(store.folder / "pears.jsonl", records("plums", 4))


def removed(store: CatalogStore) -> None:
    store.remove("pears")


@pytest.mark.parametrize(
    ("change", "total", "names"),
    [
        (added, 2, [*ALL, "plums-0", "plums-1"]),
        (changed, 4, [*ALL[:3], "plums-0", "plums-1", "plums-2", "plums-3"]),
        (removed, 0, ALL[:3]),
    ],
)
def test_only_what_has_changed_is_indexed_again(
    store: CatalogStore,
    index: DocumentIndex,
    change: Callable[[CatalogStore], None],
    total: int,
    names: list[str],
) -> None:
    steps(index)
    change(store)
    assert steps(index)[-1] == Progress("Writing the index", total, total)
    assert found(index) == names
    assert steps(index) == []


def test_a_catalog_with_faults_answers_with_the_rest_and_a_notice(
    store: CatalogStore, index: DocumentIndex
) -> None:
    path = store.folder / "pears.jsonl"
    path.write_text(path.read_text().replace("\n", "\noops\n", 1))
    result = search(index)
    assert len(result.documents) == 6
    (notice,) = result.notices
    assert notice.startswith(f"{path}, line 2: not JSON")


def test_a_catalog_that_cannot_be_read_answers_with_a_notice(
    store: CatalogStore, index: DocumentIndex
) -> None:
    path = store.folder / "pears.jsonl"
    path.write_bytes(b"\xff\xff")
    assert found(index) == ALL[:3]
    assert search(index).notices == (f"{path} is not UTF-8 text (byte 1): save it as UTF-8.",)


def test_a_catalog_that_cannot_be_opened_is_not_tried_at_every_question(
    store: CatalogStore, index: DocumentIndex
) -> None:
    (store.folder / "plums.jsonl").symlink_to(store.folder / "nowhere")
    assert "plums.jsonl cannot be read" in search(index).notices[0]
    assert steps(index) == []


def test_the_notice_goes_when_the_catalog_is_mended(
    store: CatalogStore, index: DocumentIndex
) -> None:
    (store.folder / "plums.jsonl").write_text("oops")
    assert search(index).notices
    write_records(store.folder / "plums.jsonl", records("plums", 1))
    assert search(index).notices == ()


# Damage


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def scrambled(path: Path) -> None:
    path.write_bytes(random.Random(0).randbytes(path.stat().st_size))


def deleted(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("damage", [truncated, emptied, scrambled, deleted])
@pytest.mark.parametrize("kind", ["*.toc", "*.seg"])
def test_a_damaged_index_is_built_again(
    store: CatalogStore, folder: Path, kind: str, damage: Callable[[Path], None]
) -> None:
    steps(DocumentIndex(store, folder))
    (path,) = folder.rglob(kind)
    damage(path)
    index = DocumentIndex(store, folder)
    assert found(index) == ALL
    assert search(index).notices == ()
    assert found(DocumentIndex(store, folder)) == ALL


@pytest.mark.parametrize("place", range(0, 100, 10))
def test_damage_within_the_documents_is_found_when_they_are_read(
    store: CatalogStore, folder: Path, place: int
) -> None:
    steps(DocumentIndex(store, folder))
    (path,) = folder.rglob("*.seg")
    content = bytearray(path.read_bytes())
    begin = len(content) * place // 100
    content[begin : begin + 60] = b"\xff" * 60
    path.write_bytes(content)
    result = search(DocumentIndex(store, folder))
    assert {document.record.framework for document in result.documents} <= {"Widgets"}


def test_an_index_that_is_deleted_while_it_is_used_is_built_again(
    index: DocumentIndex, folder: Path
) -> None:
    steps(index)
    shutil.rmtree(folder)
    assert found(index) == ALL
    assert list(folder.rglob("*.toc"))


def test_an_index_of_another_format_is_left_alone(index: DocumentIndex, folder: Path) -> None:
    other = folder / "format-0" / "_MAIN_1.toc"
    other.parent.mkdir(parents=True)
    other.write_text("other")
    assert found(index) == ALL
    assert other.read_text() == "other"


# Places that cannot be written


def test_a_folder_that_cannot_be_made_is_done_without(store: CatalogStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file where a folder should be")
    index = DocumentIndex(store, tmp_path / "file" / "index")
    assert found(index) == ALL
    (notice,) = search(index).notices
    assert notice == (
        f"The index in {tmp_path / 'file' / 'index'} cannot be used (Not a directory); "
        "it is kept in memory until it can."
    )


def test_an_index_in_memory_follows_the_catalogs(store: CatalogStore, folder: Path) -> None:
    folder.write_text("a file where a folder should be")
    index = DocumentIndex(store, folder)
    steps(index)
    assert steps(index) == []
    removed(store)
    assert found(index) == ALL[:3]


def test_the_folder_is_not_tried_again_at_once(store: CatalogStore, folder: Path) -> None:
    folder.write_text("a file where a folder should be")
    index = DocumentIndex(store, folder)
    steps(index)
    folder.unlink()
    assert steps(index) == []
    assert not folder.exists()


def test_the_folder_is_used_again_when_it_can_be(
    store: CatalogStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gorilla_jupyter.index.search.RETRY_SECONDS", 0)
    folder.write_text("a file where a folder should be")
    index = DocumentIndex(store, folder)
    assert search(index).notices
    folder.unlink()
    result = search(index)
    assert (len(result.documents), result.notices) == (6, ())
    assert list(folder.rglob("*.toc"))


FULL_DISK = """
import resource, sys
from pathlib import Path
from gorilla_jupyter.answer import Request
from gorilla_jupyter.catalog.store import CatalogStore
from gorilla_jupyter.index.search import DocumentIndex
limit = int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
index = DocumentIndex(CatalogStore(Path(sys.argv[1]), builtin=None), Path(sys.argv[2]))
for _ in range(2):
    result = index.search(Request("apples pears plums", documents=200))
    print(len(result.documents), *result.notices)
"""


@posix
@pytest.mark.parametrize("limit", [0, 100, 4096, 20_000])
def test_a_full_disk_is_done_without(store: CatalogStore, folder: Path, limit: int) -> None:
    write_records(store.folder / "plums.jsonl", records("plums", 190))
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, store.folder, folder, str(limit)],
        capture_output=True,
        text=True,
        check=True,
    )
    first, second = done.stdout.splitlines()
    assert first == second
    assert first == (
        f"196 The index in {folder} cannot be used (File too large); it is kept in memory until "
        "it can."
    )
    assert len(found(DocumentIndex(store, folder))) == 196


@posix
def test_a_full_disk_leaves_the_old_index_and_nothing_else(
    store: CatalogStore, folder: Path
) -> None:
    steps(DocumentIndex(store, folder))
    before = {path.name: path.stat().st_size for path in folder.rglob("*")}
    write_records(store.folder / "plums.jsonl", records("plums", 190))
    subprocess.run(
        [sys.executable, "-c", FULL_DISK, store.folder, folder, "4096"],
        capture_output=True,
        check=True,
    )
    assert {path.name: path.stat().st_size for path in folder.rglob("*")} == before


# Several at once


INDEXER = """
import sys
from pathlib import Path
from gorilla_jupyter.answer import Request
from gorilla_jupyter.catalog.store import CatalogStore
from gorilla_jupyter.index.search import DocumentIndex
index = DocumentIndex(CatalogStore(Path(sys.argv[1]), builtin=None), Path(sys.argv[2]))
print("ready", flush=True)
sys.stdin.readline()
for step in index.refresh():
    print(step.message, flush=True)
result = index.search(Request("apples pears plums", documents=200))
print([(found.record.id, round(found.score, 6)) for found in result.documents], result.notices)
"""


@pytest.fixture
def indexer(store: CatalogStore, folder: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Starts processes that index when they are told to."""
    started = []

    def start() -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", INDEXER, store.folder, folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("state", ["missing", "damaged", "outdated"])
def test_two_processes_may_index_at_once(
    store: CatalogStore,
    folder: Path,
    indexer: Callable[[], subprocess.Popen[str]],
    state: str,
) -> None:
    write_records(store.folder / "plums.jsonl", records("plums", 180))
    if state != "missing":
        steps(DocumentIndex(store, folder))
    if state == "damaged":
        scrambled(next(folder.rglob("*.toc")))
    if state == "outdated":
        write_records(store.folder / "plums.jsonl", records("plums", 190))
    processes = [indexer(), indexer()]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    outputs = [process.communicate() for process in processes]
    assert [
        (process.returncode, error) for process, (_, error) in zip(processes, outputs, strict=True)
    ] == [(0, "")] * 2
    results = {output.splitlines()[-1] for output, _ in outputs}
    assert len(results) == 1
    assert results.pop().endswith("] ()")
    assert steps(DocumentIndex(store, folder)) == []


@posix
@pytest.mark.parametrize("message", ["Indexing plums", "Writing the index"])
def test_an_indexer_that_is_killed_does_no_harm(
    store: CatalogStore,
    folder: Path,
    indexer: Callable[[], subprocess.Popen[str]],
    message: str,
) -> None:
    steps(DocumentIndex(store, folder))
    write_records(store.folder / "plums.jsonl", records("plums", 190))
    process = indexer()
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    while process.stdout.readline().strip() != message:
        pass
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    index = DocumentIndex(store, folder)
    assert len(found(index)) == 196
    assert search(index).notices == ()


def test_while_somebody_else_indexes_what_there_is_answers(
    store: CatalogStore, folder: Path, index: DocumentIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps(index)
    monkeypatch.setattr("gorilla_jupyter.index.lexical.LOCK_SECONDS", 0)
    added(store)
    with LexicalIndex(folder).writing():
        result = search(index)
        assert len(result.documents) == 6
        assert result.notices == (f"Another process has been indexing in {folder}.",)
    assert len(found(index)) == 8
    assert search(index).notices == ()


def test_while_somebody_else_builds_the_first_index_memory_answers(
    store: CatalogStore, folder: Path, index: DocumentIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gorilla_jupyter.index.lexical.LOCK_SECONDS", 0)
    with LexicalIndex(folder).writing():
        result = search(index)
    assert len(result.documents) == 6
    assert "Another process has been indexing" in result.notices[0]


@pytest.mark.parametrize("after", range(1, 6))
def test_indexing_that_is_given_up_changes_nothing(
    store: CatalogStore, index: DocumentIndex, folder: Path, after: int
) -> None:
    steps(index)
    write_records(store.folder / "plums.jsonl", records("plums", 120))
    refreshing = index.refresh()
    for _ in range(after):
        next(refreshing)
    refreshing.close()  # type: ignore[attr-defined]
    assert set(LexicalIndex(folder).manifest()) == {"apples", "pears"}
    assert len(found(index)) == 126
    assert steps(index) == []


def test_twins_come_in_the_order_of_their_catalogs_whichever_was_indexed_last(
    tmp_path: Path,
) -> None:
    def twins(catalog: str, description: str) -> list[ApiRecord]:
        names = [f"{catalog}_{number}" for number in range(3)]
        return [
            ApiRecord("Twins", "Twins", "twin", name, f"{name}()", description=description)
            for name in names
        ]

    def order() -> list[str]:
        return [found.record.api_name for found in documents.search(Request("twin")).documents]

    store = CatalogStore(tmp_path / "catalogs", builtin=None)
    store.folder.mkdir()
    write_records(store.folder / "first.jsonl", twins("first", "old"))
    write_records(store.folder / "second.jsonl", twins("second", "old"))
    documents = DocumentIndex(store, tmp_path / "index")
    before = order()
    write_records(store.folder / "first.jsonl", twins("first", "new"))
    assert order() == before == sorted(before)
