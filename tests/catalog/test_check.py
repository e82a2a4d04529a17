from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from gorilla_jupyter.catalog.check import Report, check, full_name, merged
from gorilla_jupyter.catalog.signatures import Package, load_table
from gorilla_jupyter.catalog.store import CatalogStore
from gorilla_jupyter.record import ApiRecord

TABLE = {
    "voice": Package("voice", "1.0", "2026-01-02", {"voice.load": "(name, *, device=None)"}),
    "transformers": Package(
        "transformers", "5.0", "2026-01-02", {"transformers.pipeline": "(task)"}, ("speak",)
    ),
}


def a_record(
    call: str = "load('x')", imports: str = "from voice import load", **fields: Any
) -> ApiRecord:
    fields.setdefault("example_code", f"{imports}\nresult = {call}")
    fields.setdefault("python_environment_requirements", (imports.split()[1],))
    return ApiRecord("Audio", "Widgets", "Speech", "acme/voice", call, **fields)


def report(*records: ApiRecord, table: Mapping[str, Package] = TABLE) -> Report:
    return check(records, table)


def test_a_record_that_is_true_of_its_package_has_no_problem() -> None:
    assert report(a_record()).problems == ()


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        (a_record("load('x', speed=2)"), "refuses it"),
        (a_record("speak('x')", "from voice import speak"), "has no voice.speak"),
        (a_record("load(", example_code=""), "not a Python call"),
        (a_record(example_code="from voice import load\nload('other')"), "does not make the call"),
        (a_record(example_code="load('x') ="), "does not compile"),
        (a_record(python_environment_requirements=("a GPU",)), "is not a requirement"),
        (a_record("load('x')", "from unheard import load"), "nothing is known of"),
        (
            a_record("pipeline('sing')", "from transformers import pipeline"),
            "no pipeline for 'sing'",
        ),
    ],
)
def test_a_record_that_is_not_is_named(record: ApiRecord, sentence: str) -> None:
    problems = report(record).problems
    assert any(sentence in str(problem) for problem in problems)


def test_two_records_with_the_same_call_are_named() -> None:
    (problem,) = report(a_record(), a_record()).problems
    assert "has the same call" in str(problem)


def test_an_installed_package_comes_before_the_table(install_module: Callable[..., None]) -> None:
    install_module("voice", "def load(name, speed): ...", version="2.0")
    found = report(a_record("load('x', speed=2)"))
    assert not found.problems
    assert found.installed == {"voice"}


def test_what_changed_between_two_versions_is_told(install_module: Callable[..., None]) -> None:
    install_module("voice", "def load(name, speed): ...", version="2.0")
    (line,) = report(a_record()).drift
    assert (
        line == "voice 1.0 to 2.0: voice.load(name, *, device=None) is now voice.load(name, speed)."
    )


def test_the_installed_package_can_be_stored(install_module: Callable[..., None]) -> None:
    install_module("voice", "def load(name, speed): ...", version="2.0")
    stored = merged(TABLE, report(a_record()))
    assert stored["voice"].signatures == {"voice.load": "(name, speed)"}


def test_storing_what_is_stored_already_keeps_its_date(install_module: Callable[..., None]) -> None:
    install_module("voice", "def load(name, *, device=None): ...", version="1.0")
    assert merged(TABLE, report(a_record())) == TABLE


@pytest.mark.parametrize(
    ("call", "imports", "name"),
    [
        ("torch.hub.load('x')", "import torch", "torch.hub.load"),
        ("hub.load('x')", "import tensorflow_hub as hub", "tensorflow_hub.load"),
        ("Voice.load('x')", "from voice.deep import Voice", "voice.deep.Voice.load"),
        ("load('x')", "", ""),
    ],
)
def test_the_full_name_comes_from_the_imports(call: str, imports: str, name: str) -> None:
    record = a_record(call, imports or "import json", python_environment_requirements=())
    assert full_name(record) == name


def test_every_shipped_record_is_true_of_its_package() -> None:
    shipped = [catalog for catalog in CatalogStore().catalogs() if catalog.builtin]
    records = [record for catalog in shipped for record in catalog.read().records]
    assert [str(problem) for problem in check(records, load_table()).problems] == []
