from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gorilla_jupyter import __version__, cli

RECORD: dict[str, Any] = {
    "domain": "Zymurgy",
    "framework": "Brewers",
    "functionality": "Ferment sugar with yeast",
    "api_name": "ferment",
    "api_call": "ferment(yeast='ale')",
    "python_environment_requirements": ["brewery"],
    "example_code": "from brewery import ferment\nbeer = ferment(yeast='ale')",
}


def catalog_file(folder: Path, *records: object) -> Path:
    path = folder / "brewing.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def ask(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert cli.main(["ask", "--json", *arguments]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.fixture
def tts(indexed_home: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    return ask(capsys, "load a TTS model")


def test_a_tts_model_is_loaded_by_a_text_to_speech_call(tts: Any) -> None:
    assert tts["candidates"][0]["domain"] == "Audio Text-to-Speech"


def test_all_checks_that_need_no_environment_are_passed(tts: Any) -> None:
    checks = {check["name"]: check["status"] for check in tts["candidates"][0]["checks"]}
    assert (checks["documented"], checks["syntax"]) == ("passed", "passed")


def test_the_code_compiles(tts: Any) -> None:
    assert ast.parse(tts["candidates"][0]["code"]).body


def test_the_json_has_the_documented_form(tts: Any) -> None:
    assert {"instruction", "candidates", "nearest", "model", "timings_ms"} <= set(tts)


def test_a_candidate_has_the_documented_form(tts: Any) -> None:
    assert set(tts["candidates"][0]) >= {
        *("domain", "api_call", "api_provider", "explanation", "code", "api_name"),
        *("requirements", "checks", "score", "source"),
    }


def test_as_many_candidates_as_asked_for(
    indexed_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(ask(capsys, "load", "a", "TTS", "model", "-n", "5")["candidates"]) == 5


def test_ask_prints_the_cell(indexed_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["ask", "load a TTS model"])
    assert "from transformers import pipeline" in capsys.readouterr().out


def test_search_finds_documents(indexed_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["search", "speech", "-k", "3", "--json"])
    assert len(json.loads(capsys.readouterr().out)["documents"]) == 3


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["ask", " "], "is empty"),
        (["ask", "a" * 100_000], "100,000 characters"),
        (["ask", "load a model", "-n", "0"], "between 1 and 20"),
        (["search", "\x00"], "U+0000"),
        (["catalog", "remove", "nothing"], "There is no catalog 'nothing'"),
        (["catalog", "remove", "huggingface"], "shipped"),
        (["catalog", "add", "no-such-file.json"], "cannot be read"),
        (["catalog", "export", "nothing"], "There is no catalog 'nothing'"),
    ],
)
def test_bad_input_is_a_sentence_and_a_status(
    indexed_home: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    assert cli.main(arguments) == 1
    assert sentence in capsys.readouterr().err


def test_a_catalog_that_is_added_answers(
    tmp_path: Path, indexed_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["catalog", "add", str(catalog_file(tmp_path, RECORD))]) == 0
    capsys.readouterr()
    answer = ask(capsys, "ferment sugar with yeast")
    assert answer["candidates"][0]["source"] == "brewing"


def test_a_catalog_that_is_removed_answers_no_more(
    tmp_path: Path, indexed_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["catalog", "add", str(catalog_file(tmp_path, RECORD))])
    cli.main(["catalog", "remove", "brewing"])
    capsys.readouterr()
    assert ask(capsys, "ferment sugar with yeast")["candidates"] == []


def test_a_malformed_record_is_named_and_the_others_are_added(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = catalog_file(tmp_path, RECORD, {**RECORD, "api_call": 7})
    assert cli.main(["catalog", "add", str(path)]) == 1
    printed = capsys.readouterr()
    assert "1 records" in printed.out
    assert f"{path}, line 2: field 'api_call'" in printed.err


def test_the_catalogs_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["catalog", "add", str(catalog_file(tmp_path, RECORD))])
    capsys.readouterr()
    cli.main(["catalog", "list"])
    listed = capsys.readouterr().out.split()
    assert {"huggingface", "pytorch-hub", "tensorflow-hub", "brewing"} <= set(listed)


def test_records_are_counted_by_framework_and_domain(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = catalog_file(tmp_path, RECORD, {**RECORD, "api_name": "b", "domain": "Distilling"})
    cli.main(["catalog", "add", str(path)])
    capsys.readouterr()
    cli.main(["catalog", "list", "--by", "framework"])
    assert "     2  Brewers\n" in capsys.readouterr().out
    cli.main(["catalog", "list", "--by", "domain"])
    assert {"     1  Distilling", "     1  Zymurgy"} <= {*capsys.readouterr().out.splitlines()}


def test_adding_the_same_again_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert cli.main(["catalog", "add", str(catalog_file(tmp_path, RECORD))]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "Added the catalog 'brewing': 1 records.",
        "The catalog 'brewing' holds these 1 records already.",
    ]


def test_an_openapi_document_that_is_added_answers(
    indexed_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(__file__).parent / "fixtures" / "petstore.yaml"
    assert cli.main(["catalog", "add", str(path), "--name", "shop"]) == 0
    capsys.readouterr()
    (best, *_) = ask(capsys, "show the pets that are for sale in the shop")["candidates"]
    assert (best["source"], best["api_name"]) == ("shop", "listPets")
    assert best["api_call"].startswith("httpx.get('https://eu.pets.example/v1/pets'")


def test_what_is_exported_can_be_added_under_another_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.main(["catalog", "add", str(catalog_file(tmp_path, RECORD))])
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert cli.main(["catalog", "export", "brewing"]) == 0
    assert cli.main(["catalog", "add", "brewing.jsonl", "--name", "again"]) == 0
    assert json.loads(Path("brewing.jsonl").read_text())["api_name"] == "ferment"


def test_a_name_that_two_catalogs_have_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project" / "gorilla-catalogs"
    project.mkdir(parents=True)
    catalog_file(project, RECORD)
    monkeypatch.chdir(project.parent)
    said = (
        f"There are two catalogs 'brewing': {project / 'brewing.jsonl'} (project) is used, "
        f"{tmp_path / 'gorilla-home' / 'catalogs' / 'brewing.jsonl'} (yours) is not."
    )
    cli.main(["catalog", "add", str(catalog_file(tmp_path, RECORD))])
    assert said in capsys.readouterr().out
    cli.main(["catalog", "list"])
    assert said in capsys.readouterr().out


def test_a_catalog_that_cannot_be_read_does_not_keep_the_others_from_being_listed(
    gorilla_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (gorilla_home / "catalogs").mkdir(parents=True)
    (gorilla_home / "catalogs" / "latin.jsonl").write_bytes(b'"\xe9"')
    assert cli.main(["catalog", "list"]) == 0
    printed = capsys.readouterr()
    assert "huggingface" in printed.out
    assert "latin.jsonl is not UTF-8 text" in printed.err


def test_it_is_a_jupyter_subcommand() -> None:
    command = [sys.executable, "-m", "jupyter", "gorilla", "--version"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.strip() == __version__


def test_the_doctor_finds_this_installation_healthy(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor"]) == 0
    assert "Catalog huggingface" in capsys.readouterr().out
