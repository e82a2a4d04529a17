"""The catalogs on disk: changed whole or not at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gorilla_jupyter.catalog.files import CatalogFileError, read_file
from gorilla_jupyter.catalog.store import (
    CatalogError,
    CatalogStore,
    data_folder,
    write_records,
)
from gorilla_jupyter.record import ApiRecord

FIXTURES = Path(__file__).parents[1] / "fixtures"


def a_record(name: str = "voice", **fields: Any) -> ApiRecord:
    return ApiRecord("Audio", "Widgets", "Speech", name, f"load('{name}')", **fields)


@pytest.fixture
def store(tmp_path: Path) -> CatalogStore:
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    write_records(shipped / "hub.jsonl", [a_record("shipped")])
    return CatalogStore(tmp_path / "catalogs", builtin=shipped)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "voices.jsonl"
    write_records(path, [a_record("a"), a_record("b")])
    return path


def content(store: CatalogStore) -> dict[str, list[str]]:
    return {
        catalog.name: [record.api_name for record in catalog.read().records]
        for catalog in store.catalogs()
    }


def used(store: CatalogStore) -> dict[str, list[str]]:
    return {
        catalog.name: [record.api_name for record in catalog.read().records]
        for catalog in store.catalogs()
        if catalog.hidden_by is None
    }


def save(path: Path, *names: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_records(path, map(a_record, names))


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_opening_a_store_touches_nothing(store: CatalogStore) -> None:
    assert content(store) == {"hub": ["shipped"]}
    assert not store.folder.exists()


def test_the_folder_is_the_users(gorilla_home: Path) -> None:
    assert CatalogStore().folder == data_folder() == gorilla_home / "catalogs"


@pytest.mark.parametrize("form", ["lines", "list", "object"])
def test_a_file_of_any_form_becomes_a_catalog(
    store: CatalogStore, tmp_path: Path, form: str
) -> None:
    values = [a_record("a").to_json(), a_record("b").to_json()]
    path = tmp_path / "voices.json"
    if form == "lines":
        path.write_text("".join(json.dumps(value) + "\n" for value in values))
    else:
        path.write_text(json.dumps(values if form == "list" else values[0], indent=2))
    addition = store.add(path)
    assert (addition.name, addition.replaced) == ("voices", False)
    assert content(store)["voices"] == (["a"] if form == "object" else ["a", "b"])


def test_records_are_kept_whole(store: CatalogStore, tmp_path: Path) -> None:
    record = a_record(
        description="Größe 語 \u2028 📦",
        python_environment_requirements=("torch>=1,<2",),
        performance={"wer": [1, 2.5, None]},
        questions=("Who?",),
        source="voices",
    )
    write_records(tmp_path / "voices.jsonl", [record])
    store.add(tmp_path / "voices.jsonl")
    assert store.catalogs()[1].read().records == (record,)


def test_a_catalog_of_the_same_name_is_replaced(store: CatalogStore, file: Path) -> None:
    store.add(file)
    write_records(file, [a_record("c")])
    assert store.add(file).replaced
    assert content(store)["voices"] == ["c"]


def test_a_change_changes_the_digest(store: CatalogStore, file: Path) -> None:
    store.add(file)
    before = store.catalogs()
    write_records(file, [a_record("x"), a_record("y")])
    store.add(file)
    after = store.catalogs()
    assert [old.digest == new.digest for old, new in zip(before, after, strict=True)] == [
        True,
        False,
    ]


def test_a_catalog_can_be_removed(store: CatalogStore, file: Path) -> None:
    store.add(file)
    store.remove("voices")
    assert content(store) == {"hub": ["shipped"]}


def test_a_catalog_that_is_not_there_cannot_be_removed(store: CatalogStore, file: Path) -> None:
    store.add(file)
    with pytest.raises(CatalogError, match=r"There is no catalog 'other'\. Yours: voices\."):
        store.remove("other")


def test_a_shipped_catalog_cannot_be_removed(store: CatalogStore) -> None:
    with pytest.raises(CatalogError, match="'hub' is a shipped catalog"):
        store.remove("hub")


def test_the_users_catalog_is_used_instead_of_the_shipped_one(
    store: CatalogStore, file: Path
) -> None:
    addition = store.add(file, name="hub")
    assert used(store) == {"hub": ["a", "b"]}
    (notice,) = addition.notices
    assert "There are two catalogs 'hub'" in notice
    assert f"{store.folder / 'hub.jsonl'} (yours) is used" in notice
    assert "(shipped) is not" in notice


def test_a_shipped_catalog_is_back_when_the_users_is_removed(
    store: CatalogStore, file: Path
) -> None:
    store.add(file, name="hub")
    store.remove("hub")
    assert used(store) == {"hub": ["shipped"]}


def test_the_projects_catalog_is_used_instead_of_all_others(
    store: CatalogStore, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store.add(file, name="hub")
    save(tmp_path / "gorilla-catalogs" / "hub.jsonl", "project")
    assert used(store) == {"hub": ["project"]}
    assert [catalog.origin for catalog in store.catalogs()] == ["shipped", "yours", "project"]
    assert [bool(catalog.hidden_by) for catalog in store.catalogs()] == [True, True, False]


def test_the_project_is_that_of_the_current_folder(
    store: CatalogStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for project in ("one", "two"):
        save(tmp_path / project / "gorilla-catalogs" / f"{project}.jsonl", project)
        monkeypatch.chdir(tmp_path / project)
        assert used(store) == {"hub": ["shipped"], project: [project]}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps a folder that is in use")
def test_a_folder_that_is_gone_has_no_project(
    store: CatalogStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert used(store) == {"hub": ["shipped"]}


def test_a_projects_catalog_cannot_be_removed(
    store: CatalogStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "gorilla-catalogs" / "pets.jsonl", "cat")
    with pytest.raises(CatalogError, match="'pets' is the project's: delete "):
        store.remove("pets")
    assert used(store)["pets"] == ["cat"]


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".JSONL"])
def test_a_file_that_is_saved_in_the_folder_is_a_catalog(store: CatalogStore, suffix: str) -> None:
    save(store.folder / f"pets{suffix}", "cat")
    assert used(store)["pets"] == ["cat"]


@pytest.mark.parametrize("suffix", [".yaml", ".yml"])
def test_a_document_that_is_saved_in_the_folder_is_a_catalog(
    store: CatalogStore, suffix: str
) -> None:
    store.folder.mkdir()
    (store.folder / f"pets{suffix}").write_bytes((FIXTURES / "petstore.yaml").read_bytes())
    assert used(store)["pets"][0] == "listPets"


def test_of_two_files_with_one_name_the_one_that_add_writes_is_used(
    store: CatalogStore, file: Path
) -> None:
    save(store.folder / "voices.json", "saved")
    (notice,) = store.add(file).notices
    assert used(store)["voices"] == ["a", "b"]
    assert f"{store.folder / 'voices.json'} (yours) is not." in notice


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")
def test_what_would_never_end_is_no_catalog(store: CatalogStore, file: Path) -> None:
    store.add(file)
    os.mkfifo(store.folder / "pipe.jsonl")
    (store.folder / "zero.jsonl").symlink_to("/dev/zero")
    assert list(content(store)) == ["hub", "voices"]


def test_a_catalog_that_is_too_large_is_told_from_what_it_was_unread(store: CatalogStore) -> None:
    save(store.folder / "large.jsonl", "a")
    os.truncate(store.folder / "large.jsonl", 200 << 20)
    before = store.catalog("large").digest
    os.truncate(store.folder / "large.jsonl", 201 << 20)
    assert store.catalog("large").digest != before
    with pytest.raises(CatalogFileError, match="is larger than the 32 MiB"):
        store.catalog("large").read()


def test_adding_the_same_again_changes_nothing_and_says_so(store: CatalogStore, file: Path) -> None:
    assert not store.add(file).unchanged
    path = store.folder / "voices.jsonl"
    before = (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_ino)
    assert store.add(file).unchanged
    assert (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_ino) == before


def test_an_openapi_document_becomes_a_catalog(store: CatalogStore) -> None:
    addition = store.add(FIXTURES / "petstore.yaml")
    assert used(store)["petstore"][0] == "listPets"
    assert store.catalog("petstore").read().records == addition.reading.records
    assert store.add(FIXTURES / "petstore.yaml").unchanged


def test_what_is_exported_and_added_elsewhere_is_the_same(
    store: CatalogStore, tmp_path: Path
) -> None:
    store.add(FIXTURES / "petstore.yaml")
    (tmp_path / "shared").mkdir()
    store.export("petstore", tmp_path / "shared" / "petstore.jsonl")
    elsewhere = CatalogStore(tmp_path / "elsewhere", builtin=None)
    elsewhere.add(tmp_path / "shared" / "petstore.jsonl")
    assert elsewhere.catalog("petstore").read().records == store.catalog("petstore").read().records


def test_a_shipped_catalog_can_be_exported(store: CatalogStore, tmp_path: Path) -> None:
    store.export("hub", tmp_path / "hub.jsonl")
    (record,) = read_file(tmp_path / "hub.jsonl", source="hub").records
    assert record == store.catalog("hub").read().records[0]


def test_an_export_overwrites_nothing(store: CatalogStore, file: Path) -> None:
    before = file.read_bytes()
    with pytest.raises(CatalogError, match="is there already; nothing was written"):
        store.export("hub", file)
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "path", "sentence"),
    [
        ("none", "new.jsonl", r"There is no catalog 'none'\. There are: hub\."),
        ("hub", "no-folder/new.jsonl", "cannot be written: No such file"),
    ],
)
def test_an_export_that_cannot_be_made_says_why(
    store: CatalogStore, tmp_path: Path, name: str, path: str, sentence: str
) -> None:
    before = files(tmp_path)
    with pytest.raises(CatalogError, match=sentence):
        store.export(name, tmp_path / path)
    assert files(tmp_path) == before


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
def test_an_export_can_be_read_by_others_and_a_catalog_cannot(
    store: CatalogStore, file: Path, tmp_path: Path
) -> None:
    store.add(file)
    store.export("voices", tmp_path / "shared.jsonl")
    assert (tmp_path / "shared.jsonl").stat().st_mode & 0o044
    assert not (store.folder / "voices.jsonl").stat().st_mode & 0o077


def test_bad_records_are_left_out_and_named(store: CatalogStore, file: Path) -> None:
    with file.open("a") as lines:
        lines.write("oops\n")
    before = file.read_bytes()
    addition = store.add(file)
    assert [refusal.line for refusal in addition.reading.refusals] == [3]
    assert content(store)["voices"] == ["a", "b"]
    assert file.read_bytes() == before


@pytest.mark.parametrize("text", ["", "oops", "{}", "[]", '{"domain": 3}'])
def test_a_file_without_a_record_changes_nothing(
    store: CatalogStore, file: Path, text: str
) -> None:
    store.add(file)
    file.write_text(text)
    with pytest.raises(CatalogError, match="holds no API record; nothing was added"):
        store.add(file)
    assert content(store)["voices"] == ["a", "b"]


def test_a_file_that_cannot_be_read_changes_nothing(store: CatalogStore, tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="cannot be read"):
        store.add(tmp_path / "none.jsonl")
    assert not store.folder.exists()


def test_a_catalog_is_not_added_to_itself(store: CatalogStore, file: Path) -> None:
    store.add(file)
    with pytest.raises(CatalogError, match="is the catalog 'voices' itself"):
        store.add(store.folder / "voices.jsonl")


@pytest.mark.parametrize(
    ("name", "becomes"),
    [
        ("../../etc/passwd", "etc-passwd"),
        ("..", None),
        ("/", None),
        ("C:\\Windows\\x", "C-Windows-x"),
        (".hidden", "hidden"),
        ("a b\n\0c", "a-b-c"),
        ("Größe", "Größe"),
        ("-rf", "rf"),
        ("v1.5", "v1.5"),
    ],
)
def test_names_stay_within_the_folder(
    store: CatalogStore, file: Path, tmp_path: Path, name: str, becomes: str | None
) -> None:
    before = files(tmp_path)
    if becomes is None:
        with pytest.raises(CatalogError, match="cannot name a catalog"):
            store.add(file, name=name)
    else:
        assert store.add(file, name=name).name == becomes
        assert files(store.folder) == [f"{becomes}.jsonl"]
    assert [entry for entry in files(tmp_path) if entry not in before] in ([], ["catalogs"])


def test_a_name_too_long_for_the_disk_is_refused(store: CatalogStore, file: Path) -> None:
    with pytest.raises(CatalogError, match="cannot be written"):
        store.add(file, name="n" * 300)
    assert files(store.folder) == []


def test_a_folder_that_cannot_be_made_is_named(store: CatalogStore, file: Path) -> None:
    store.folder.write_text("a file where the folder should be")
    with pytest.raises(CatalogError, match="cannot be written"):
        store.add(file)
    assert store.folder.read_text() == "a file where the folder should be"


def test_what_cannot_be_replaced_stays_and_nothing_is_left_behind(
    store: CatalogStore, file: Path
) -> None:
    (store.folder / "voices.jsonl").mkdir(parents=True)
    with pytest.raises(CatalogError, match="cannot be written"):
        store.add(file)
    assert files(store.folder) == ["voices.jsonl"]


FULL_DISK = """
import resource, sys
from pathlib import Path
from gorilla_jupyter.catalog.store import CatalogError, CatalogStore
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    CatalogStore(Path(sys.argv[1]), builtin=None).add(Path(sys.argv[2]))
except CatalogError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")
def test_a_full_disk_leaves_the_old_catalog(store: CatalogStore, file: Path) -> None:
    store.add(file)
    write_records(file, [a_record("large", description="x" * 10_000)])
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, store.folder, file],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.endswith("voices.jsonl cannot be written: File too large.\n")
    assert files(store.folder) == ["voices.jsonl"]
    assert content(store)["voices"] == ["a", "b"]


def test_a_writer_that_fails_in_the_middle_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "voices.jsonl"
    path.parent.mkdir()
    write_records(path, [a_record("a")])
    with pytest.raises(UnicodeEncodeError):
        write_records(path, [a_record("b"), a_record("c", description="\ud800")])
    assert files(path.parent) == ["voices.jsonl"]
    assert '"a"' in path.read_text()


def test_files_that_begin_with_a_dot_are_no_catalogs(store: CatalogStore, file: Path) -> None:
    store.add(file)
    (store.folder / "._voices.jsonl").write_bytes(b"\0\5\x16\7")
    assert list(content(store)) == ["hub", "voices"]


def test_a_file_that_cannot_be_opened_is_a_catalog_that_says_so(
    store: CatalogStore, file: Path
) -> None:
    store.add(file)
    (store.folder / "gone.jsonl").symlink_to(store.folder / "nowhere")
    assert [catalog.name for catalog in store.catalogs()] == ["hub", "gone", "voices"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_a_file_whose_name_is_not_utf8_is_a_catalog(store: CatalogStore, file: Path) -> None:
    store.add(file)
    (store.folder / "caf\udce9.jsonl").write_bytes(file.read_bytes())
    assert list(content(store)) == ["hub", "caf?", "voices"]


def test_the_shipped_catalogs_are_whole() -> None:
    readings = {catalog.name: catalog.read() for catalog in CatalogStore().catalogs()}
    assert {name: reading.refusals for name, reading in readings.items() if reading.refusals} == {}
    assert sum(len(reading.records) for reading in readings.values()) >= 250
