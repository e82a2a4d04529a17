"""Abbreviations are read as what they stand for, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import pytest

from gorilla_jupyter.engine import Gorilla
from gorilla_jupyter.index.abbreviations import spelled_out


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("VAD for a podcast", "VAD (voice activity detection) for a podcast"),
        ("need a vad.", "need a vad (voice activity detection)."),
        ("compare LLMs", "compare LLMs (large language model)"),
        ("SR of an old picture", "SR (super resolution) of an old picture"),
        ("POS tags, please", "POS tags (part of speech tagging), please"),
    ],
)
def test_what_it_stands_for_is_added(text: str, expected: str) -> None:
    assert spelled_out(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "plot sr over time",
        "resample to SR=16000",
        "pass **nli to the function",
        "a screenshot with mss",
        "how many kws are left",
        "load facebook/s2t-small-mustc",
        "nli.csv",
        "automatic speech recognition (ASR)",
        "evade the question",
    ],
)
def test_other_words_stay_as_they_are(text: str) -> None:
    assert spelled_out(text) == text


@pytest.mark.parametrize(
    ("sentence", "domain"),
    [
        ("VAD for a podcast", "Audio Voice Activity Detection"),
        ("sts between two headlines", "Natural Language Processing Sentence Similarity"),
        ("KWS, few words, on a phone", "Audio Audio Classification"),
    ],
)
def test_a_task_is_found_by_its_abbreviation(
    indexed_home: Path, sentence: str, domain: str
) -> None:
    (best, *_) = Gorilla().search(sentence).documents
    assert best.record.domain == domain
