from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from gorilla_jupyter import cli
from gorilla_jupyter.answer import Document, Progress, Proposal, Request
from gorilla_jupyter.bench import ablation, apibench, tables
from gorilla_jupyter.bench.apibench import Response
from gorilla_jupyter.bench.modes import Mode
from gorilla_jupyter.bench.results import BenchmarkError
from gorilla_jupyter.model.encoder import WEIGHTS
from tests.model.conftest import ModelServer, form, streams

CHECKOUT = Path(__file__).parents[2]

APIS = [
    {
        "domain": domain,
        "framework": "TensorFlow Hub",
        "functionality": functionality,
        "api_name": name,
        "api_call": f"hub.load('{name}')",
        "python_environment_requirements": ["tensorflow_hub"],
        "description": functionality,
    }
    for name, domain, functionality in (
        ("birds/1", "Sound", "Recognise the songs of birds in a recording"),
        ("leaves/2", "Pictures", "Recognise the leaves of trees in a picture"),
    )
]

QUESTIONS = [
    {
        "question_id": 7,
        "instruction": "which songs of birds are in this recording",
        "domain": "Sound",
        "api_call": "hub.load('birds/1')",
    },
    {
        "question_id": 9,
        "instruction": "bake bread",
        "domain": "Pictures",
        "api_call": "hub.load('leaves/2')",
    },
]


def write(path: Path, values: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(value) + "\n" for value in values))
    return path


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def apis(tmp_path: Path) -> Path:
    return write(tmp_path / "api" / "tensorflowhub_api.jsonl", APIS)


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    return write(tmp_path / "tensorflowhub_dev.jsonl", QUESTIONS)


def command(name: str, apis: Path, questions: Path, responses: Path) -> list[str]:
    files = {"--apis": apis, "--questions": questions, "--responses": responses}
    return ["bench", name, *(str(word) for pair in files.items() for word in pair)]


def test_every_question_gets_a_response_in_the_published_format(
    apis: Path, questions: Path, tmp_path: Path
) -> None:
    out = tmp_path / "responses.jsonl"
    assert cli.main(command("apibench", apis, questions, out)) == 0
    first, second = read(out)
    assert first["question_id"] == 7
    assert first["text"].startswith(
        "<<<domain>>>: Sound, <<<api_call>>>: hub.load('birds/1'), "
        "<<<api_provider>>>: TensorFlow Hub, "
        "<<<explanation>>>: Recognise the songs of birds in a recording, <<<code>>>: "
    )
    assert second == {"question_id": 9, "text": ""}


def test_the_figures_of_an_answer_and_of_none(apis: Path, questions: Path) -> None:
    _, figures, _ = apibench.measure(apis, questions)
    times = {name: figures[name] for name in ("median ms", "p95 ms")}
    assert 0 < times["median ms"] <= times["p95 ms"]
    # Which document is nearest to what none answers is anybody's guess.
    assert figures == {
        "responses": 2,
        "functionality": 0.5,
        "hallucination": 0,
        "exact id": 0.5,
        "no answer": 0.5,
        "recall@1": figures["recall@1"],
        "recall@5": 1,
        "recall@10": 1,
        **times,
    }


def test_nothing_but_the_file_is_searched(apis: Path, gorilla_home: Path) -> None:
    write(gorilla_home / "catalogs" / "own.jsonl", [{**APIS[0], "api_call": "hub.load('own')"}])
    with apibench.engine_of(apis) as (gorilla, _):
        question = {"instruction": "which songs of birds, a TTS model, a translation"}
        (response,) = apibench.answers(gorilla, {1: question}).values()
    assert response.documents == ("hub.load('birds/1')", "hub.load('leaves/2')")
    assert not (gorilla_home / "index").exists()


def test_questions_are_asked_at_once_while_a_model_writes(apis: Path) -> None:
    class Patient:
        """A model that answers when it has been asked twice."""

        name = "patient"

        def propose(
            self, request: Request, documents: Sequence[Document]
        ) -> Iterator[Proposal | Progress]:
            yield Progress("", 0, 0, elsewhere=True)
            both.wait(20)
            yield Progress("", 0, 0)
            record = documents[0].record
            yield Proposal(record, record.api_call, "", score=1.0)

    both = Barrier(2)
    questions = {number: {"instruction": text} for number, text in enumerate(("birds", "leaves"))}
    with apibench.engine_of(apis, model="patient") as (gorilla, _):
        gorilla.use(Patient())
        responses = apibench.answers(gorilla, questions, at_once=2)
    assert "birds" in responses[0].text
    assert "leaves" in responses[1].text


@pytest.mark.parametrize(
    ("api", "notice"),
    [
        ({**APIS[0], "api_name": ""}, "line 1: field 'api_name': expected a non-empty string"),
        ({**APIS[0], "api_call": "./run.sh --all"}, "'./run.sh --all' is not a Python call."),
        (
            {**APIS[0], "api_call": "load('x')", "python_environment_requirements": []},
            "does not say where 'load' is imported from.",
        ),
    ],
)
def test_an_api_that_cannot_be_offered_is_told(
    api: dict[str, Any],
    notice: str,
    questions: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    apis = write(tmp_path / "apis.jsonl", [api, APIS[1]])
    assert cli.main(command("apibench", apis, questions, tmp_path / "out.jsonl")) == 0
    assert notice in capsys.readouterr().err


@pytest.mark.parametrize(
    ("place", "shares"), [(0, (1, 1, 1)), (1, (0, 1, 1)), (5, (0, 0, 1)), (10, (0, 0, 0))]
)
def test_recall_looks_for_the_reference_call_among_the_first_documents(
    place: int, shares: tuple[int, ...]
) -> None:
    documents = tuple("right" if number == place else "wrong" for number in range(20))
    asked = {1: {"api_call": "right"}}
    figures = apibench.retrieval(asked, {1: Response("", documents, 1.0)})
    assert tuple(figures.values()) == shares


def test_the_oracle_hands_over_the_right_document_and_no_other(apis: Path, tmp_path: Path) -> None:
    asked = [{**QUESTIONS[1], "question_id": 1}, {**QUESTIONS[0], "question_id": 2}]
    questions = write(tmp_path / "questions.jsonl", asked)
    responses, figures, _ = apibench.measure(apis, questions, mode=Mode.ORACLE)
    assert [response.documents for response in responses.values()] == [
        ("hub.load('leaves/2')",),
        ("hub.load('birds/1')",),
    ]
    assert (figures["functionality"], figures["exact id"]) == (1, 1)


def test_without_a_retriever_what_the_model_writes_is_scored(
    apis: Path, questions: Path, tmp_path: Path, model_server: ModelServer
) -> None:
    written = form("hub.load('invented')")
    model_server.replies[:] = [streams(written)]
    out = tmp_path / "responses.jsonl"
    wanted = [*command("apibench", apis, questions, out), "--mode", "zero-shot", "--every", "2"]
    assert cli.main([*wanted, "--model", model_server.model]) == 0
    assert [response["text"].strip() for response in read(out)] == [written]
    ((_, body),) = model_server.requests
    assert "documentation" not in body["messages"][0]["content"]


def test_anyones_responses_are_scored(
    apis: Path, questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    responses = write(
        tmp_path / "theirs.jsonl", [{"question_id": 9, "text": "api_call: hub.load('leaves/2')"}]
    )
    assert cli.main(command("score", apis, questions, responses)) == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == "responses functionality hallucination exact id no answer".split()
    assert row.split() == ["theirs", "1", "1.000", "0.000", "1.000", "0.000"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "responses.jsonl, line 1: not JSON"),
        ("[1]", "responses.jsonl, line 1: field 'question_id' is missing or wrong."),
        ('\n{"question_id": 7, "text": 1}', "line 2: field 'text' is missing or wrong."),
        ('{"question_id": 8, "text": ""}', "answers question 8, which there is not."),
        ('{"question_id": 7, "text": ""}\n' * 2, "line 2: question 7 is there already."),
        (None, "responses.jsonl cannot be read: No such file or directory."),
        (b"\xff", "responses.jsonl cannot be read: it is not UTF-8 text."),
    ],
)
def test_a_file_that_cannot_be_scored_is_a_sentence(
    content: str | bytes | None,
    reason: str,
    apis: Path,
    questions: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    responses = tmp_path / "responses.jsonl"
    if content is not None:
        responses.write_bytes(content.encode() if isinstance(content, str) else content)
    assert cli.main(command("score", apis, questions, responses)) == 1
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [
        ("--model", "oracle", "There is no model 'oracle'"),
        ("--mode", "zero-shot", "The model embedded writes nothing by itself."),
    ],
)
def test_a_model_that_cannot_answer_is_a_sentence(
    option: str,
    value: str,
    reason: str,
    apis: Path,
    questions: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    wanted = [*command("apibench", apis, questions, tmp_path / "out.jsonl"), option, value]
    assert cli.main(wanted) == 1
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "out.jsonl").exists()


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "benchmark.md"
    path.write_text("# Before\n<!-- tables -->\nold\n<!-- end of tables -->\nAfter\n")
    return path


def tables_command(tmp_path: Path, document: Path) -> list[str]:
    places = {"--apibench": tmp_path, "--results": tmp_path / "results", "--document": document}
    return ["bench", "tables", *(str(word) for pair in places.items() for word in pair)]


def test_one_command_measures_and_redraws_the_document(
    apis: Path, questions: Path, tmp_path: Path, document: Path
) -> None:
    write(
        tmp_path / "gorilla_responses" / "tensorflowhub_FT_0_shot_dev.jsonl",
        [{"question_id": 7, "text": "api_call: hub.load('invented')"}],
    )
    assert cli.main(tables_command(tmp_path, document)) == 0
    results = json.loads((tmp_path / "results" / "apibench.json").read_text())
    assert results["command"] == "jupyter gorilla bench tables --apibench FOLDER"
    assert {"date", "machine", "version"} <= results.keys()
    rows: Mapping[str, Mapping[str, float]] = results["tables"]["TensorFlow Hub"]
    assert {name: row["functionality"] for name, row in rows.items()} == {
        "gorilla-jupyter, embedded": 0.5,
        "Gorilla-7B, no retriever": 0,
        "the reference calls themselves": 1,
    }
    text = document.read_text()
    assert text.startswith("# Before\n<!-- tables -->\n\n## TensorFlow Hub\n\n|  | responses |")
    assert text.endswith("|\n\n<!-- end of tables -->\nAfter\n")
    assert "\n| Gorilla-7B, no retriever | 1 | 0.000 | 1.000 | 0.000 | 0.000 | - |" in text
    assert "old" not in text


def test_the_ablation_measures_with_less_and_less(
    apis: Path, questions: Path, tmp_path: Path
) -> None:
    document = tmp_path / "benchmark.md"
    document.write_text("Before\n<!-- ablation -->\nold\n<!-- end of ablation -->\n")
    weights = shutil.copytree(WEIGHTS, tmp_path / "weights")
    options = {"--apibench": tmp_path, "--results": tmp_path, "--document": document}
    wanted = [str(word) for pair in options.items() for word in pair]
    wanted += ["--weights", f"the same={weights}", "--first-run", "the same"]
    assert cli.main(["bench", "ablation", *wanted]) == 0
    rows = json.loads((tmp_path / "ablation.json").read_text())["rows"]
    unseen = "the same, questions for APIs that it never saw (1)"
    assert list(rows) == ["words alone", "the same", unseen, "as shipped"]
    same, shipped = (
        {name: value for name, value in rows[row]["TensorFlow Hub"].items() if name != "median ms"}
        for row in ("the same", "as shipped")
    )
    assert same == shipped
    assert "old" not in document.read_text()
    assert "\n| as shipped | 0.500 |" in document.read_text()


def test_weights_that_are_none_are_refused_before_anything_is_measured(
    apis: Path, questions: Path, tmp_path: Path
) -> None:
    document = tmp_path / "benchmark.md"
    document.write_text("<!-- ablation -->\n<!-- end of ablation -->\n")
    with pytest.raises(BenchmarkError, match="The weights 'mine' cannot be used"):
        ablation.run(tmp_path, {"mine": tmp_path}, tmp_path / "results", document)
    with pytest.raises(BenchmarkError, match="There are no weights 'first'"):
        ablation.run(tmp_path, {}, tmp_path / "results", document, first_run="first")
    assert not (tmp_path / "results").exists()


def test_tables_drawn_again_stay_the_same(document: Path) -> None:
    drawn = {"Hub": {"system": {"responses": 3, "functionality": 0.5}}}
    tables.draw(document, drawn)
    once = document.read_text()
    tables.draw(document, drawn)
    assert document.read_text() == once


def test_a_document_without_a_place_for_tables_is_left_alone(
    apis: Path, questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = tmp_path / "notes.md"
    document.write_text("My notes")
    assert cli.main(tables_command(tmp_path, document)) == 1
    assert "marks no place for the tables" in capsys.readouterr().err
    assert document.read_text() == "My notes"


def test_a_folder_without_a_hub_is_refused(tmp_path: Path, document: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"holds no api/HUB_api\.jsonl of huggingface"):
        tables.run(tmp_path, tmp_path / "results", document)


def test_the_published_tables_are_those_of_the_results(tmp_path: Path) -> None:
    results = json.loads((CHECKOUT / "results" / "apibench.json").read_text())
    published = (CHECKOUT / "docs" / "benchmark.md").read_text(encoding="utf-8")
    copy = tmp_path / "benchmark.md"
    copy.write_text(published, encoding="utf-8")
    tables.draw(copy, results["tables"])
    measured = json.loads((CHECKOUT / "results" / "ablation.json").read_text())
    ablation.draw(copy, measured["rows"], measured["megabytes"])
    assert copy.read_text(encoding="utf-8") == published
