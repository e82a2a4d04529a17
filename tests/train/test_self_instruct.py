"""``jupyter gorilla train instructions``: a model writes, and what breaks a rule is not kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gorilla_jupyter import cli
from gorilla_jupyter.catalog.store import data_folder, write_records
from gorilla_jupyter.train.checking import Instruction
from gorilla_jupyter.train.instructions import read_instructions
from gorilla_jupyter.train.self_instruct import ATTEMPTS
from tests.model.conftest import CHOIR, PICTURE, VOICE, ModelServer, Reply, answers, sends

RECORDS = (VOICE, CHOIR, PICTURE)
CARD = "Read my birthday card to grandma in German"
HYMN = "Four of us sing on Sunday and nobody knows the tune"
ANIMALS = "The game camera took ten thousand pictures: which have deer in them?"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = data_folder()
    folder.mkdir(parents=True)
    write_records(folder / "widgets.jsonl", RECORDS)
    write_records(folder / "voices.jsonl", [VOICE])
    return tmp_path / "pairs.jsonl"


def write(
    server: ModelServer, out: Path, *replies: Reply, catalog: str = "voices", each: int = 1
) -> int:
    server.replies[:] = replies
    options = ["--model", server.model, "--out", str(out), "--each", str(each)]
    return cli.main(["train", "instructions", catalog, *options])


def pairs(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def asked(server: ModelServer, request: int = 0) -> str:
    _, body = server.requests[request]
    return str(body["messages"][0]["content"])


def test_each_api_gets_its_instruction(out: Path, model_server: ModelServer) -> None:
    replies = map(answers, (CARD, HYMN, ANIMALS))
    assert write(model_server, out, *replies, catalog="widgets") == 0
    assert read_instructions(RECORDS, out) == [
        Instruction(text, record)
        for text, record in zip((CARD, HYMN, ANIMALS), RECORDS, strict=True)
    ]


def test_the_model_sees_the_document_and_three_pairs(out: Path, model_server: ModelServer) -> None:
    write(model_server, out, answers(CARD))
    text = asked(model_server)
    assert VOICE.description in text
    assert text.count("Request: ") == 3
    assert "Never name the API" in text


def test_what_breaks_a_rule_is_sent_back_with_the_reason(
    out: Path, model_server: ModelServer
) -> None:
    replies = (answers("Let Whisper read it"), answers("so " * 300), answers(CARD))
    assert write(model_server, out, *replies) == 0
    told = [body["messages"][-1]["content"] for _, body in model_server.requests[1:]]
    assert told[0].startswith("That names 'whisper'.")
    assert told[1].startswith("That has more than 500 characters.")
    assert [pair["instruction"] for pair in pairs(out)] == [CARD]


def test_near_duplicates_are_asked_for_again(out: Path, model_server: ModelServer) -> None:
    replies = map(answers, (CARD, f"{CARD}!", HYMN))
    assert write(model_server, out, *replies, each=2) == 0
    assert [pair["instruction"] for pair in pairs(out)] == [CARD, HYMN]


def test_an_example_that_is_repeated_is_asked_for_again(
    out: Path, model_server: ModelServer
) -> None:
    write(model_server, out, answers("x"))
    example = asked(model_server).split("Request: ")[1].splitlines()[0]
    model_server.requests.clear()
    assert write(model_server, out, answers(example), answers(CARD)) == 0
    assert [pair["instruction"] for pair in pairs(out)] == [CARD]


def test_what_fails_too_often_is_left_out_and_counted(
    out: Path, model_server: ModelServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert write(model_server, out, answers("Use acme")) == 1
    assert len(model_server.requests) == ATTEMPTS
    printed = capsys.readouterr().out
    assert f"1 left out; {ATTEMPTS} sentences broke a rule." in printed
    assert f"{VOICE.api_name}: 1 left out" in printed
    assert not out.exists()


def test_what_is_written_is_not_asked_for_again(out: Path, model_server: ModelServer) -> None:
    write(model_server, out, answers(CARD))
    assert write(model_server, out, answers(HYMN), each=2) == 0
    assert len(model_server.requests) == 2
    assert CARD in asked(model_server, 1)
    assert [pair["instruction"] for pair in pairs(out)] == [CARD, HYMN]


def test_a_server_that_fails_ends_it_and_keeps_what_is_written(
    out: Path, model_server: ModelServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert write(model_server, out, answers(CARD), sends(500, "{}"), each=2) == 1
    assert "failed (500)" in capsys.readouterr().err
    assert len(pairs(out)) == 1


def test_what_stands_around_a_sentence_is_dropped(out: Path, model_server: ModelServer) -> None:
    texts = (f'"{CARD}"', f"Request: {HYMN}", f"\n\n1. {ANIMALS}\n\nIt names nothing.")
    write(model_server, out, *map(answers, texts), catalog="widgets")
    assert {pair["instruction"] for pair in pairs(out)} == {CARD, HYMN, ANIMALS}


def test_it_is_said_once_that_documentation_left_the_machine(
    out: Path,
    model_server: ModelServer,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{model_server.port}")
    model_server.replies[:] = map(answers, (CARD, HYMN, ANIMALS))
    model = ["--model", "openai:http://models.example/v1#tiny", "--each", "1"]
    assert cli.main(["train", "instructions", "widgets", *model, "--out", str(out)]) == 0
    assert capsys.readouterr().out.count("sent to http://models.example") == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nothing", "--model", "openai:http://127.0.0.1:9/v1#x"], "There is no catalog"),
        (["voices", "--model", "embedded"], "writes no sentences"),
    ],
)
def test_what_cannot_be_done_is_a_sentence(
    out: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    assert cli.main(["train", "instructions", *arguments, "--out", str(out)]) == 1
    assert sentence in capsys.readouterr().err


def test_a_file_of_something_else_is_left_as_it_is(
    out: Path, model_server: ModelServer, capsys: pytest.CaptureFixture[str]
) -> None:
    out.write_text("dear diary\n")
    assert write(model_server, out, answers(CARD)) == 1
    assert f"{out}, line 1: no pair" in capsys.readouterr().err
    assert out.read_text() == "dear diary\n"
