"""Projects share an index: each sees its own catalogs, and none disturbs another."""

from __future__ import annotations

from pathlib import Path

import pytest

from gorilla_jupyter.answer import Request
from gorilla_jupyter.catalog.store import CatalogStore, write_records
from gorilla_jupyter.index.search import DocumentIndex
from gorilla_jupyter.record import ApiRecord


def a_record(name: str) -> ApiRecord:
    return ApiRecord("Audio", "Widgets", "Speech", name, f"load({name!r})")


def save(path: Path, *names: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_records(path, map(a_record, names))


@pytest.fixture
def store(tmp_path: Path) -> CatalogStore:
    save(tmp_path / "shipped" / "hub.jsonl", "shipped")
    save(tmp_path / "catalogs" / "mine.jsonl", "mine")
    for project in ("one", "two"):
        save(tmp_path / project / "gorilla-catalogs" / "pets.jsonl", project)
    return CatalogStore(tmp_path / "catalogs", builtin=tmp_path / "shipped")


@pytest.fixture
def index(store: CatalogStore, tmp_path: Path) -> DocumentIndex:
    return DocumentIndex(store, tmp_path / "index")


def found(index: DocumentIndex) -> dict[str, str]:
    documents = index.search(Request("speech")).documents
    return {document.record.api_name: document.record.source for document in documents}


def test_a_project_is_found_where_it_is(
    index: DocumentIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = {"shipped": "hub", "mine": "mine"}
    monkeypatch.chdir(tmp_path)
    assert found(index) == shared
    for project in ("one", "two", "one"):
        monkeypatch.chdir(tmp_path / project)
        assert found(index) == {**shared, project: "pets"}


def test_a_question_may_name_the_project(index: DocumentIndex, tmp_path: Path) -> None:
    request = Request("speech", project=str(tmp_path / "two"))
    names = {document.record.api_name for document in index.search(request).documents}
    assert names == {"shipped", "mine", "two"}


def test_a_document_can_be_read_when_somebody_asked_from_another_project(
    index: DocumentIndex, tmp_path: Path
) -> None:
    found = index.search(Request("speech", project=str(tmp_path / "one"))).documents
    (record,) = (document.record for document in found if document.record.source == "pets")
    index.search(Request("speech", project=str(tmp_path / "two")))
    assert index.record(record.id) == record


def test_going_from_one_project_to_another_indexes_nothing_twice(
    index: DocumentIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for project in ("one", "two"):
        monkeypatch.chdir(tmp_path / project)
        list(index.refresh())
    for project in ("one", "two"):
        monkeypatch.chdir(tmp_path / project)
        assert list(index.refresh()) == []


def test_a_file_that_is_saved_is_found_by_the_next_question(
    index: DocumentIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path / "one")
    found(index)
    save(tmp_path / "one" / "gorilla-catalogs" / "more.json", "more")
    save(tmp_path / "catalogs" / "new.jsonl", "new")
    assert found(index).items() >= {"more": "more", "new": "new"}.items()


def test_what_is_deleted_is_found_no_more_and_leaves_the_index(
    index: DocumentIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "one" / "gorilla-catalogs" / "pets.jsonl"
    monkeypatch.chdir(tmp_path / "one")
    found(index)
    path.unlink()
    monkeypatch.chdir(tmp_path / "two")
    assert list(index.refresh())
    assert found(index) == {"shipped": "hub", "mine": "mine", "two": "pets"}


@pytest.mark.parametrize("name", ["hub", "mine"])
def test_the_projects_catalog_is_searched_instead_of_another_of_its_name(
    index: DocumentIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    save(tmp_path / "one" / "gorilla-catalogs" / f"{name}.jsonl", "nearer")
    monkeypatch.chdir(tmp_path / "one")
    assert found(index)["nearer"] == name
    assert name not in found(index).keys() - {"nearer"}
    monkeypatch.chdir(tmp_path)
    assert found(index) == {"shipped": "hub", "mine": "mine"}


def test_the_same_record_in_two_catalogs_of_a_name_is_the_nearer_one(
    index: DocumentIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nearer = ApiRecord("Audio", "Widgets", "Speech", "mine", "load('mine')", description="Nearer")
    write_records(tmp_path / "one" / "gorilla-catalogs" / "mine.jsonl", [nearer])
    monkeypatch.chdir(tmp_path / "one")
    (document,) = index.search(Request("nearer")).documents
    record = index.record(document.record.id)
    assert record is not None
    assert record.description == "Nearer"


def test_a_clash_is_told_with_the_answer_and_only_there(
    index: DocumentIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "one" / "gorilla-catalogs" / "mine.jsonl", "nearer")
    monkeypatch.chdir(tmp_path / "one")
    (notice,) = index.search(Request("speech")).notices
    assert "There are two catalogs 'mine'" in notice
    monkeypatch.chdir(tmp_path / "two")
    assert index.search(Request("speech")).notices == ()


def test_the_faults_of_a_project_are_told_only_there(
    index: DocumentIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one" / "gorilla-catalogs" / "bad.jsonl").write_text("{}")
    monkeypatch.chdir(tmp_path / "one")
    (notice,) = index.search(Request("speech")).notices
    assert "bad.jsonl, line 1" in notice
    monkeypatch.chdir(tmp_path / "two")
    assert index.search(Request("speech")).notices == ()


def test_what_is_indexed_is_told_by_name(
    index: DocumentIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for project in ("one", "two"):
        monkeypatch.chdir(tmp_path / project)
        assert index.entries().keys() == {"hub", "mine", "pets"}
