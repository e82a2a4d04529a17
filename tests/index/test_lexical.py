"""The Whoosh index: what is found by which words, and who may read the folder."""

from __future__ import annotations

import gc
import os
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gorilla_jupyter.index.lexical import (
    Entry,
    IndexBusyError,
    IndexDamagedError,
    LexicalIndex,
)
from gorilla_jupyter.record import ApiRecord, Argument

pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture(autouse=True, scope="module")
def close_files() -> Iterator[None]:
    """Whoosh leaves files open where it fails to read them."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


VOICE = ApiRecord(
    domain="Audio Text-to-Speech",
    framework="Hugging Face Transformers",
    functionality="Pronounces sentences",
    api_name="acme/FastVoice2",
    api_call="pipeline('text-to-speech', model='acme/FastVoice2')",
    api_arguments=(Argument("device_map"),),
    python_environment_requirements=("transformers",),
    example_code="from transformers import pipeline",
    description="Speaks German fluently and whispers when it is asked to.",
    questions=("Can you read this novel aloud?",),
    source="mine",
)
PICTURE = ApiRecord(
    domain="Computer Vision Image Classification",
    framework="PyTorch",
    functionality="Classifies photographs",
    api_name="ResNet",
    api_call="torch.hub.load('pytorch/vision', 'resnet18')",
    example_code="import torch",
    description="Tells a thousand kinds of things apart.",
    source="mine",
)
TABLE = ApiRecord(
    domain="Tabular Data",
    framework="Widgets",
    functionality="Sorts rows",
    api_name="sorter",
    api_call="sort('rows')",
    python_environment_requirements=("scikit-learn",),
    source="mine",
)


def fill(index: LexicalIndex, *records: ApiRecord) -> LexicalIndex:
    with index.writing() as writer:
        for record in records:
            writer.add(record)
        writer.finish("mine", Entry("digest", len(records), ("a notice",)))
    return index


@pytest.fixture
def index() -> LexicalIndex:
    return fill(LexicalIndex(None), VOICE, PICTURE, TABLE)


def found(index: LexicalIndex, text: str, **filters: str) -> list[str]:
    return [hit.record.api_name for hit in index.search(text, limit=10, filters=filters)]


@pytest.mark.parametrize(
    "text",
    [
        "acme/FastVoice2",
        "fast",
        "transformers",
        "text to speech",
        "pronouncing",
        "whispers",
        "novel",
        "device map",
        "PIPELINE",
    ],
)
def test_a_document_is_found_by_the_words_of_each_field(index: LexicalIndex, text: str) -> None:
    assert found(index, text) == ["acme/FastVoice2"]


@pytest.mark.parametrize("text", ["zzz", "the of and", "!?", "📦", "加载语音模型", "_"])
def test_nothing_is_found_by_words_that_no_document_has(index: LexicalIndex, text: str) -> None:
    assert found(index, text) == []


@pytest.mark.parametrize(
    "filters",
    [
        {"framework": "Hugging Face Transformers"},
        {"framework": "hugging"},
        {"framework": "FACE hugging"},
        {"domain": "Text-to-Speech"},
        {"domain": "audio"},
        {"package": "Transformers"},
        {"framework": "hugging", "domain": "audio", "package": "transformers"},
    ],
)
def test_filters_hold_words_that_a_document_must_have(
    index: LexicalIndex, filters: dict[str, str]
) -> None:
    assert found(index, "sentences photographs rows", **filters) == ["acme/FastVoice2"]


@pytest.mark.parametrize(
    "filters",
    [
        {"framework": "Hugging Torch"},
        {"framework": "trans"},
        {"domain": "speech", "framework": "PyTorch"},
        {"package": "torch transformers"},
        {"package": "!"},
        {"framework": "the"},
    ],
)
def test_filters_that_no_document_meets_leave_none(
    index: LexicalIndex, filters: dict[str, str]
) -> None:
    assert found(index, "sentences photographs rows", **filters) == []


@pytest.mark.parametrize("package", ["sklearn", "scikit-learn", " Scikit_Learn "])
def test_a_package_is_known_by_its_module_and_its_distribution(
    index: LexicalIndex, package: str
) -> None:
    assert found(index, "sentences photographs rows", package=package) == ["sorter"]


def test_the_document_with_more_of_the_words_comes_first(index: LexicalIndex) -> None:
    assert found(index, "speaks things apart by kinds")[0] == "ResNet"


def test_coverage_is_the_share_of_the_telling_words(index: LexicalIndex) -> None:
    whole, part = (
        index.search(text, limit=1, filters={})[0].coverage
        for text in ("please find me a whispers model", "whispers qwertz")
    )
    assert whole == pytest.approx(1)
    assert 0.2 < part < 0.8


def test_a_filter_does_not_count_as_coverage(index: LexicalIndex) -> None:
    (hit,) = index.search("whispers qwertz", limit=1, filters={"domain": "audio"})
    assert hit.coverage < 0.8


def test_what_matched_is_highlighted(index: LexicalIndex) -> None:
    (hit,) = index.search("speaking german", limit=1, filters={})
    assert hit.highlight.startswith("**Speaks** **German** fluently")


def test_a_description_that_does_not_match_is_shown_from_its_beginning() -> None:
    index = fill(LexicalIndex(None), replace(VOICE, description="word " * 200))
    (hit,) = index.search("pronounces", limit=1, filters={})
    assert hit.highlight.startswith("word word")
    assert hit.highlight.endswith(" …")
    assert len(hit.highlight) <= 160


@pytest.mark.parametrize(
    ("text", "mended"),
    [
        ("read a novle", "read a novel"),
        ("Wisper in germann!", "whispers in german!"),
        ("pronounce a novel", None),
        ("zzzzzz", None),
        ("tts", None),
        ("a" * 40_000, None),
    ],
)
def test_misspelt_words_are_mended(index: LexicalIndex, text: str, mended: str | None) -> None:
    assert index.correction(text) == mended


def test_a_long_text_is_searched_by_its_telling_words(index: LexicalIndex) -> None:
    text = " ".join(f"word{number}" for number in range(5000)) + " whispers"
    begin = time.perf_counter()
    names = found(index, text)
    correction = index.correction(text)
    assert time.perf_counter() - begin < 2
    assert (names, correction) == (["acme/FastVoice2"], None)


def test_a_record_is_had_by_its_id(index: LexicalIndex) -> None:
    assert index.record(VOICE.id) == VOICE


@pytest.mark.parametrize("name", ["", "0" * 16, "\ud800", "a\0b", "x" * 100_000, "*"])
def test_there_is_no_record_of_another_id(index: LexicalIndex, name: str) -> None:
    assert index.record(name) is None


def test_the_manifest_says_what_is_indexed(index: LexicalIndex) -> None:
    assert index.manifest() == {"mine": Entry("digest", 3, ("a notice",))}


def test_a_removed_catalog_leaves_no_document(index: LexicalIndex) -> None:
    with index.writing() as writer:
        writer.remove("mine")
    assert (found(index, "whispers"), index.manifest()) == ([], {})


def test_a_failure_while_writing_changes_nothing(tmp_path: Path) -> None:
    index = fill(LexicalIndex(tmp_path), VOICE)
    with suppress(KeyError), index.writing() as writer:
        writer.remove("mine")
        writer.add(PICTURE)
        raise KeyError
    assert found(index, "whispers photographs") == ["acme/FastVoice2"]
    fill(index, PICTURE)
    assert sorted(found(index, "whispers photographs")) == ["ResNet", "acme/FastVoice2"]


def test_a_failure_while_writing_leaves_no_files_behind(tmp_path: Path) -> None:
    index = fill(LexicalIndex(tmp_path), VOICE)
    before = contents(tmp_path)
    with suppress(KeyError), index.writing() as writer:
        writer.add(PICTURE)
        raise KeyError
    assert contents(tmp_path) == before


def test_an_index_in_memory_writes_to_no_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    assert found(fill(LexicalIndex(None), VOICE), "whispers") == ["acme/FastVoice2"]


def test_a_reader_sees_what_another_has_written(tmp_path: Path) -> None:
    reader, writer = LexicalIndex(tmp_path), LexicalIndex(tmp_path)
    assert reader.manifest() == {}
    fill(writer, VOICE)
    assert found(reader, "whispers") == ["acme/FastVoice2"]
    assert list(reader.manifest()) == ["mine"]


def test_only_one_writes_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gorilla_jupyter.index.lexical.LOCK_SECONDS", 0)
    first, second = LexicalIndex(tmp_path), LexicalIndex(tmp_path)
    with (
        first.writing(),
        pytest.raises(IndexBusyError, match="Another process has been indexing"),
        second.writing(),
    ):
        pass


def test_a_damaged_index_is_deleted(tmp_path: Path) -> None:
    fill(LexicalIndex(tmp_path), VOICE)
    toc(tmp_path).write_bytes(b"damaged")
    with pytest.raises(IndexDamagedError) as damage:
        LexicalIndex(tmp_path)
    LexicalIndex.delete(tmp_path, damage.value.state)
    assert LexicalIndex(tmp_path).manifest() == {}


def test_an_index_that_somebody_else_has_mended_is_not_deleted(tmp_path: Path) -> None:
    fill(LexicalIndex(tmp_path), VOICE)
    whole = toc(tmp_path).read_bytes()
    toc(tmp_path).write_bytes(b"damaged")
    with pytest.raises(IndexDamagedError) as damage:
        LexicalIndex(tmp_path)
    toc(tmp_path).write_bytes(whole)
    LexicalIndex.delete(tmp_path, damage.value.state)
    assert list(LexicalIndex(tmp_path).manifest()) == ["mine"]


def contents(folder: Path) -> Mapping[str, int]:
    return {str(path): path.stat().st_size for path in folder.rglob("*")}


def toc(folder: Path) -> Path:
    (path,) = folder.rglob("*.toc")
    return path


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")


@posix
@pytest.mark.usefixtures("open_umask")
def test_the_folder_is_private_whatever_the_umask(tmp_path: Path) -> None:
    fill(LexicalIndex(tmp_path / "index"), VOICE)
    folders = [path for path in (tmp_path / "index").rglob("*") if path.is_dir()]
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "index", *folders)}
    assert modes == {0o700}


@posix
def test_a_folder_that_was_open_is_made_private(tmp_path: Path) -> None:
    fill(LexicalIndex(tmp_path / "index"), VOICE)
    folders = [tmp_path / "index", toc(tmp_path).parent]
    for folder in folders:
        folder.chmod(0o777)
    LexicalIndex(tmp_path / "index")
    assert {folder.stat().st_mode & 0o777 for folder in folders} == {0o700}


@posix
@pytest.mark.parametrize("which", [".", "format"])
def test_the_folder_of_another_user_is_refused(
    tmp_path: Path, which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(LexicalIndex(tmp_path), VOICE)
    foreign = tmp_path if which == "." else toc(tmp_path).parent
    stat = Path.stat

    def foreign_stat(path: Path, **options: Any) -> os.stat_result:
        status = stat(path, **options)
        if path != foreign:
            return status
        return os.stat_result((*status[:4], status.st_uid + 1, *status[5:]))

    monkeypatch.setattr(Path, "stat", foreign_stat)
    with pytest.raises(PermissionError, match="belongs to another user"):
        LexicalIndex(tmp_path)
