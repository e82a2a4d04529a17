"""Requests are checked where they are made; answers survive the way through JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from gorilla_jupyter.answer import (
    MAX_CHARACTERS,
    Answer,
    Candidate,
    Check,
    CheckStatus,
    Document,
    Progress,
    Request,
    RequestError,
    SearchResult,
    event_to_json,
)
from gorilla_jupyter.record import ApiRecord

RECORD = ApiRecord("Audio", "Widgets", "Speech", "voice", "load('voice')", source="mine")
DOCUMENT = Document(RECORD, 3.25, 0.5, "a **voice**")
CANDIDATE = Candidate(
    RECORD,
    RECORD.api_call,
    "Speaks.",
    0.75,
    "load('voice')",
    (
        Check("documented", CheckStatus.PASSED, "Yes."),
        Check("installed", CheckStatus.UNKNOWN, "Not looked."),
    ),
)
ANSWER = Answer(
    "speak", (CANDIDATE,), (DOCUMENT,), "embedded", {"index": 0.5}, ("A disk is full.",)
)


@pytest.mark.parametrize(
    "text", ["load a TTS model", "读取文件 📦", "tab\tand\nline\r\n", "{} %s \\"]
)
def test_any_readable_sentence_is_a_request(text: str) -> None:
    assert Request(text).instruction == text


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "The instruction is empty"),
        (" \t\n\u3000", "The instruction is empty"),
        ("a" * 100_000, "has 100,000 characters; at most 50,000 are read"),
        ("a\0b", r"U\+0000 at position 2"),
        ("\x1b[31mred", r"U\+001B at position 1"),
        ("a \x07", r"U\+0007 at position 3"),
        ("half \ud83d pair", r"U\+D83D at position 6"),
        (None, "'instruction' must be a text"),
        (b"bytes", "'instruction' must be a text"),
    ],
)
def test_an_unreadable_sentence_is_refused_with_a_sentence(text: Any, sentence: str) -> None:
    with pytest.raises(RequestError, match=sentence):
        Request(text)


def test_the_longest_text_is_read() -> None:
    assert len(Request("a" * MAX_CHARACTERS).instruction) == MAX_CHARACTERS


@pytest.mark.parametrize("name", ["candidates", "documents"])
@pytest.mark.parametrize("number", [0, -1, 201, 10**30, 1.0, "3", True, None])
def test_numbers_are_whole_and_within_bounds(name: str, number: Any) -> None:
    with pytest.raises(RequestError, match=f"'{name}' must be"):
        Request.from_json({"instruction": "speak", name: number})


@pytest.mark.parametrize("name", ["framework", "domain", "package", "model"])
@pytest.mark.parametrize("text", ["", "a\0b", 3, ["a"]])
def test_filters_are_readable_texts(name: str, text: Any) -> None:
    with pytest.raises(RequestError, match=name):
        Request.from_json({"instruction": "speak", name: text})


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (None, "must be a JSON object"),
        (["speak"], "must be a JSON object"),
        ({}, "has no 'instruction'"),
        ({"instruction": "speak", "colour": "red"}, "Unknown field 'colour'. Known are: instr"),
        ({"instruction": "speak", "variables": ["x"]}, "'variables' must hold the names of"),
        ({"instruction": "speak", "variables": {"x": 1}}, "'variables' must hold the names of"),
        ({"instruction": "speak", "variables": {"x y": "int"}}, "'variables' must hold the names"),
    ],
)
def test_a_request_of_the_wrong_shape_is_refused(value: object, sentence: str) -> None:
    with pytest.raises(RequestError, match=sentence):
        Request.from_json(value)


def test_a_request_comes_back_the_same_from_json() -> None:
    request = Request("speak", 2, 5, "PyTorch", model="embedded", variables={"x": "list"})
    assert Request.from_json(json.loads(json.dumps(request.to_json()))) == request


def test_an_answer_comes_back_the_same_from_json() -> None:
    assert Answer.from_json(json.loads(json.dumps(ANSWER.to_json()))) == ANSWER


def test_a_search_result_comes_back_the_same_from_json() -> None:
    result = SearchResult((DOCUMENT,), "voice", ("A disk is full.",))
    assert SearchResult.from_json(json.loads(json.dumps(result.to_json()))) == result


def test_a_candidate_in_json_has_the_published_fields() -> None:
    value = CANDIDATE.to_json()
    assert {
        name: value[name]
        for name in ("domain", "api_call", "api_provider", "explanation", "code", "api_name")
    } == {
        "domain": "Audio",
        "api_call": "load('voice')",
        "api_provider": "Widgets",
        "explanation": "Speaks.",
        "code": "load('voice')",
        "api_name": "voice",
    }
    assert value["checks"][0] == {"name": "documented", "status": "passed", "sentence": "Yes."}
    assert value["source"] == "mine"


def test_new_checks_take_the_place_of_those_of_their_name() -> None:
    installed = Check("installed", CheckStatus.FAILED, "Missing.")
    changed = CANDIDATE.with_checks(installed)
    assert changed.checks == (CANDIDATE.checks[0], installed)
    assert replace(changed, checks=CANDIDATE.checks) == CANDIDATE


@pytest.mark.parametrize(
    ("event", "name"),
    [
        (Progress("Indexing", 1, 2), "progress"),
        (SearchResult((DOCUMENT,)), "documents"),
        (CANDIDATE, "candidate"),
        (ANSWER, "answer"),
    ],
)
def test_every_event_says_in_json_which_it_is(event: Any, name: str) -> None:
    assert event_to_json(event)["event"] == name
