"""The encoder that is shipped, and what becomes of weights that are not what they were."""

from __future__ import annotations

import json
import math
import shutil
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from gorilla_jupyter.index.vectors import EncoderError, VectorCache, document_key
from gorilla_jupyter.model.encoder import (
    CARD,
    FILES,
    MODEL,
    SHIPPED_VECTORS,
    WEIGHTS,
    Encoder,
)
from gorilla_jupyter.model.placing import FILE as ARGUMENTS
from gorilla_jupyter.train.instructions import shipped_records

MOST_BYTES = 45 * 2**20


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    folder = tmp_path / "weights"
    shutil.copytree(WEIGHTS, folder)
    return folder


def test_a_sentence_is_nearer_to_what_answers_it(encoder: Encoder) -> None:
    (sentence,) = encoder.sentences(["read this letter out loud"])
    spoken, seen = encoder.documents(
        ["Audio Text-to-Speech | speaks a text", "Computer Vision Object Detection | finds cars"]
    )
    assert sentence @ spoken > sentence @ seen


def test_vectors_have_length_one(encoder: Encoder) -> None:
    vectors = encoder.sentences(["speak", "a much longer sentence about something else", ""])
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)


@pytest.mark.parametrize("text", ["", "🙂", "\x00", "word " * 5000, "翻译这句话", "\ud800"])
def test_any_text_has_a_vector(encoder: Encoder, text: str) -> None:
    assert np.isfinite(encoder.sentences([text])).all()


def test_every_shipped_document_has_its_vector(encoder: Encoder) -> None:
    vectors = VectorCache(encoder.shipped, encoder.dimensions)
    assert vectors.missing([document_key(record) for record in shipped_records()]) == []


def test_the_weights_are_small() -> None:
    assert sum(path.stat().st_size for path in WEIGHTS.iterdir()) < MOST_BYTES


def test_less_is_asked_of_documents_that_are_far_from_what_is_off_topic(encoder: Encoder) -> None:
    assert encoder.fit(0.3, noise=0.1) > encoder.fit(0.3, noise=0.3)


def test_more_is_never_asked_than_of_the_shipped_documents(encoder: Encoder) -> None:
    assert encoder.fit(0.3, noise=0.9) == encoder.fit(0.3, noise=math.inf)


HASHED = [*FILES, SHIPPED_VECTORS, ARGUMENTS]


@pytest.mark.parametrize("name", [CARD, *HASHED])
def test_a_missing_file_is_told_with_what_mends_it(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(EncoderError, match=r"cannot be read.*words alone choose instead"):
        Encoder(copy)


@pytest.mark.parametrize("name", HASHED)
def test_an_altered_file_is_told_by_its_hash(copy: Path, name: str) -> None:
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(EncoderError, match="is damaged"):
        Encoder(copy)


def test_an_altered_card_is_told_by_its_hash(copy: Path) -> None:
    card = json.loads((copy / CARD).read_text())
    (copy / CARD).write_text(json.dumps({**card, "threshold": -1}))
    with pytest.raises(EncoderError, match="is damaged"):
        Encoder(copy)


def test_without_a_whole_onnxruntime_the_doctor_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    # What uninstalling one of two that share their files leaves of the other.
    monkeypatch.setitem(sys.modules, "onnxruntime", ModuleType("onnxruntime"))
    with pytest.raises(EncoderError, match="jupyter gorilla doctor"):
        Encoder()


def test_a_truncated_file_is_told_by_its_hash(copy: Path) -> None:
    content = (copy / MODEL).read_bytes()
    (copy / MODEL).write_bytes(content[: len(content) // 2])
    with pytest.raises(EncoderError, match="is damaged"):
        Encoder(copy)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"sha256": {}}', '{"sha256": 1}'])
def test_a_card_that_says_nothing_is_told(copy: Path, content: str) -> None:
    (copy / CARD).write_text(content)
    with pytest.raises(EncoderError):
        Encoder(copy)
