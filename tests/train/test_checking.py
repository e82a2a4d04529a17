"""The rules for instructions, one by one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gorilla_jupyter.record import ApiRecord
from gorilla_jupyter.train.checking import Instruction, faults
from tests.candidates import a_record

BARK = replace(
    a_record("pipeline('text-to-speech', model='acme/bark-german')"),
    api_name="acme/bark-german",
    functionality="Text to speech in German",
    description="A small voice for cards and kiosks.",
)


def reasons(*texts: str, record: ApiRecord = BARK, questions: tuple[str, ...] = ()) -> list[str]:
    instructions = [Instruction(text, record) for text in texts]
    return [fault.reason for fault in faults(instructions, [record], questions)]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Let bark read it", "bark"),
        ("Something by ACME for voices", "acme"),
        ("Load the PyTorch voice", "pytorch"),
        ("a Whisper for my radio show", "whisper"),
        ("Read it with the bark-german voice", "bark german"),
    ],
)
def test_a_name_gives_the_api_away(text: str, name: str) -> None:
    assert reasons(text) == [f"names {name!r}"]


def test_where_names_may_stand_the_other_rules_hold() -> None:
    free = [Instruction(text, BARK) for text in ("bark for my kiosk", "Bark, for my kiosk")]
    (fault,) = faults([], [BARK], naming=free)
    assert fault.reason == "says the same as 'bark for my kiosk'"


def test_ordinary_words_of_a_name_do_not() -> None:
    assert reasons("Read my letter in German") == []


def test_near_duplicates_are_named() -> None:
    first = "Read the letters of my late grandfather to the whole family"
    second = "read the letters of my grandfather to the whole family"
    assert reasons(first, second) == [f"says the same as {first!r}"]


def test_different_settings_are_no_duplicates() -> None:
    assert reasons("Read the menu to guests", "Read the timetable to passengers") == []


def test_a_run_of_eight_words_with_a_question_is_named() -> None:
    question = "Our team wants to turn long blog posts into audio for commuters"
    text = "My boss wants to turn long blog posts into audio for his dog"
    assert len(reasons(text, questions=(question,))) == 1
    assert reasons("We turn long blog posts into audio", questions=(question,)) == []
    (fault,) = faults([], [BARK], [question], others=["Read my letter in German", text])
    assert fault.reason.startswith(repr(text))


def test_worn_openings_are_named() -> None:
    settings = "museum farm school office harbour stadium theatre bakery".split()
    texts = [
        f"I want a voice for the {place} and its many guests number {place}" for place in settings
    ]
    assert "8 instructions begin with 'i want a'" in reasons(*texts)
