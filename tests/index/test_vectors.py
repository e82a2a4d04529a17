"""The vectors of documents: what is encoded, what is kept, and what they do to a search."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gorilla_jupyter.answer import Request
from gorilla_jupyter.catalog.store import CatalogStore, write_records
from gorilla_jupyter.index.search import DocumentIndex
from gorilla_jupyter.index.vectors import (
    EncoderError,
    VectorCache,
    Vectors,
    document_key,
    document_text,
)
from gorilla_jupyter.record import ApiRecord
from tests.candidates import a_record

VOICE = replace(a_record("load('acme/voice')"), description="Reads novels.")
CHOIR = replace(a_record("load('acme/choir')"), api_name="acme/choir", description="Sings hymns.")
EYES = replace(
    a_record("load('acme/eyes')"),
    domain="Pictures",
    functionality="Sight",
    api_name="acme/eyes",
    description="Tells cats from dogs.",
)

MEANINGS = (
    {"audio", "speech", "reads", "novels", "pronounce", "book"},
    {"sings", "hymns", "choir", "chant"},
    {"pictures", "sight", "cats", "dogs", "photo"},
)


class MeaningEncoder:
    """Counts words by meaning, so that sentences find documents with other words."""

    name = "meaning"
    dimensions = len(MEANINGS)

    def __init__(self, folder: Path) -> None:
        self.shipped = folder / "none.npz"
        self.off_topic = self.sentences(["a photo"])
        self.encoded: list[str] = []

    def sentences(self, texts: Sequence[str]) -> Vectors:
        counts = np.array(
            [
                [
                    sum(word in meaning for word in re.findall(r"\w+", text.lower()))
                    for meaning in MEANINGS
                ]
                for text in texts
            ],
            dtype=np.float32,
        )
        vectors: Vectors = counts / np.maximum(1e-6, np.linalg.norm(counts, axis=1, keepdims=True))
        return vectors

    def documents(self, texts: Sequence[str]) -> Vectors:
        self.encoded += texts
        return self.sentences(texts)

    def fit(self, relevance: float, noise: float) -> float:
        return 1 / (1 + math.exp(-20 * (relevance - 0.5)))


@pytest.fixture
def store(tmp_path: Path) -> CatalogStore:
    folder = tmp_path / "catalogs"
    folder.mkdir()
    write_records(folder / "mine.jsonl", [EYES, CHOIR, VOICE])
    return CatalogStore(folder, builtin=None, project=None)


@pytest.fixture
def encoder(tmp_path: Path) -> MeaningEncoder:
    return MeaningEncoder(tmp_path)


@pytest.fixture
def index(store: CatalogStore, encoder: MeaningEncoder, tmp_path: Path) -> DocumentIndex:
    index = DocumentIndex(store, tmp_path / "index", encoder=lambda: encoder)
    encode(index)
    return index


def encode(index: DocumentIndex) -> int:
    return len(list(index.encode()))


def names(index: DocumentIndex, text: str, **options: str) -> list[str]:
    found = index.search(Request(text, **options))  # type: ignore[arg-type]
    return [document.record.api_name for document in found.documents]


def test_a_document_is_found_by_its_meaning(index: DocumentIndex) -> None:
    assert names(index, "pronounce my book")[0] == "acme/voice"


def test_filters_hold_for_what_is_found_by_meaning(index: DocumentIndex) -> None:
    assert names(index, "pronounce my book", domain="pictures") == ["acme/eyes"]


def test_a_document_says_how_likely_it_fits(index: DocumentIndex) -> None:
    (best, *_) = index.search(Request("a photo of cats")).documents
    (poor, *_) = index.search(Request("mend the roof")).documents
    assert best.fit is not None
    assert poor.fit is not None
    assert poor.fit < 0.5 < best.fit


def test_a_sentence_like_those_that_nothing_answers_is_answered_less_surely(
    index: DocumentIndex,
) -> None:
    (far, *_) = index.search(Request("chant hymns with whatever else there is")).documents
    (near, *_) = index.search(Request("pictures of cats with whatever else there is")).documents
    assert near.score >= far.score
    assert far.fit is not None
    assert near.fit is not None
    assert near.fit < far.fit


def test_what_is_named_is_meant_however_it_is_to_be_run(index: DocumentIndex) -> None:
    (best, *_) = index.search(Request("sight, on cuda in half precision")).documents
    assert best.record.api_name == "acme/eyes"
    assert best.fit is not None
    assert best.fit > 0.5


@pytest.mark.parametrize("text", ["tells", "eyes in half"])
def test_what_has_a_word_in_another_sense_comes_first_and_does_not_fit(
    index: DocumentIndex, text: str
) -> None:
    (best, *_) = index.search(Request(text)).documents
    assert best.record.api_name == "acme/eyes"
    assert best.fit is not None
    assert best.fit < 0.5


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("tell cats from dogs and foxes", "acme/eyes"),
        ("tell Korean cats from dogs and foxes", "acme/korean-eyes"),
    ],
)
def test_what_is_made_for_a_language_is_for_those_who_name_it(
    index: DocumentIndex, store: CatalogStore, text: str, name: str
) -> None:
    made_for_korean = "Tells Korean cats from dogs."
    korean = replace(EYES, api_name="acme/korean-eyes", description=made_for_korean)
    write_records(store.folder / "mine.jsonl", [korean, EYES, CHOIR, VOICE])
    encode(index)
    assert names(index, text)[0] == name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a photo of foxes, wolves and bears", "acme/eyes"),
        ("zebra on a photo of foxes, wolves and bears", "owner/zebra7-photo"),
        ("zebra7 on a photo of foxes, wolves and bears", "owner/zebra7-photo"),
        ("the owner's photo of foxes, wolves and bears", "acme/eyes"),
    ],
)
def test_a_name_outweighs_what_else_is_said(
    index: DocumentIndex, store: CatalogStore, text: str, name: str
) -> None:
    eyes = replace(EYES, description="Tells foxes, wolves and bears in any photo.")
    # A little farther from the sentences than the other, and with fewer of their words.
    zebra = replace(
        EYES,
        api_name="owner/zebra7-photo",
        api_call="zebra()",
        description="For cats, dogs, pictures and speech.",
    )
    write_records(store.folder / "mine.jsonl", [eyes, zebra])
    encode(index)
    assert names(index, text)[0] == name


@pytest.mark.parametrize("text", ["cats and dogs", "cats, dogs, foxes, wolves"])
@pytest.mark.parametrize("encoded", [True, False])
def test_of_those_that_suit_alike_a_first_choice_comes_first(
    index: DocumentIndex, store: CatalogStore, tmp_path: Path, text: str, encoded: bool
) -> None:
    wanted = replace(EYES, api_name="acme/wanted", api_call="wanted()", first_choice=True)
    write_records(store.folder / "mine.jsonl", [EYES, wanted])
    if encoded:
        encode(index)
    else:
        index = DocumentIndex(store, tmp_path / "words")
    assert names(index, text) == ["acme/wanted", "acme/eyes"]


@pytest.mark.parametrize("text", ["a photo of foxes, wolves and bears", "sight of pictures"])
def test_of_documents_of_one_call_the_nearest_is_shown(
    index: DocumentIndex, store: CatalogStore, text: str
) -> None:
    far = replace(EYES, api_name="acme/far", description="For speech too.", first_choice=True)
    write_records(store.folder / "mine.jsonl", [far, EYES])
    encode(index)
    assert names(index, text) == ["acme/eyes"]


def test_documents_of_one_call_speak_for_it_together(
    index: DocumentIndex, store: CatalogStore
) -> None:
    rare = replace(EYES, api_name="acme/rare", api_call="rare()")
    often = [replace(EYES, api_name=f"acme/eyes-{number}") for number in range(3)]
    write_records(store.folder / "mine.jsonl", [rare, *often])
    encode(index)
    assert names(index, "a photo of cats") == ["acme/eyes-0", "acme/rare"]


def test_the_noise_is_that_of_the_documents_that_are_considered(
    store: CatalogStore, tmp_path: Path
) -> None:
    noises = []

    class Listening(MeaningEncoder):
        def fit(self, relevance: float, noise: float) -> float:
            noises.append(noise)
            return super().fit(relevance, noise)

    index = DocumentIndex(store, tmp_path / "new", encoder=lambda: Listening(tmp_path))
    encode(index)
    for domain in ("pictures", "audio"):
        noises.clear()
        names(index, "a photo of cats", domain=domain)
        assert (noises[0] > 0.5) == (domain == "pictures")


def test_words_alone_find_what_has_no_vector_yet(
    store: CatalogStore, encoder: MeaningEncoder, tmp_path: Path
) -> None:
    index = DocumentIndex(store, tmp_path / "new", encoder=lambda: encoder)
    assert names(index, "sings hymns")[0] == "acme/choir"
    assert encoder.encoded == []


def test_each_document_is_encoded_once(
    index: DocumentIndex, encoder: MeaningEncoder, store: CatalogStore
) -> None:
    before = sorted(encoder.encoded)
    assert before == sorted(map(document_text, (VOICE, CHOIR, EYES)))
    write_records(store.folder / "mine.jsonl", [EYES, VOICE, replace(CHOIR, description="Hums.")])
    encode(index)
    assert len(encoder.encoded) == len(before) + 1


def test_vectors_outlive_the_process(
    index: DocumentIndex, store: CatalogStore, encoder: MeaningEncoder
) -> None:
    again = DocumentIndex(store, index.folder, encoder=lambda: encoder)
    assert names(again, "pronounce my book")[0] == "acme/voice"
    assert encode(again) == 0


def test_a_damaged_file_of_vectors_is_computed_again(
    index: DocumentIndex, store: CatalogStore, encoder: MeaningEncoder
) -> None:
    (path,) = index.folder.glob("vectors-*.npz")
    path.write_bytes(path.read_bytes()[:100])
    again = DocumentIndex(store, index.folder, encoder=lambda: encoder)
    assert encode(again) > 0
    assert names(again, "pronounce my book")[0] == "acme/voice"


def test_encoding_stops_at_any_moment_and_goes_on(
    store: CatalogStore, encoder: MeaningEncoder, tmp_path: Path
) -> None:
    index = DocumentIndex(store, tmp_path / "new", encoder=lambda: encoder)
    next(index.encode())
    encode(index)
    assert sorted(encoder.encoded) == sorted(map(document_text, (VOICE, CHOIR, EYES)))


def test_encoding_goes_on_with_catalogs_that_change_meanwhile(
    store: CatalogStore, encoder: MeaningEncoder, tmp_path: Path
) -> None:
    def catalog(name: str, count: int) -> list[str]:
        found = [
            replace(CHOIR, api_name=f"acme/{name}-{number}", description=f"{name} {number} hymns")
            for number in range(count)
        ]
        write_records(store.folder / f"{name}.jsonl", found)
        return [document_text(record) for record in found]

    index = DocumentIndex(store, tmp_path / "new", encoder=lambda: encoder)
    for name, count in (("much", 30), ("one", 6), ("two", 6), ("three", 6)):
        catalog(name, count)
        list(index.refresh())
    encoding = index.encode()
    next(encoding)
    catalog("one", 2)  # the documents behind it move up
    last = catalog("last", 4)
    list(encoding)
    assert set(last) <= set(encoder.encoded)
    assert index.search(Request("hymns")).notices == ()


def test_an_encoder_that_cannot_be_had_is_a_notice(store: CatalogStore, tmp_path: Path) -> None:
    def load() -> MeaningEncoder:
        raise EncoderError("The weights are gone.")

    index = DocumentIndex(store, tmp_path / "index", encoder=load)
    found = index.search(Request("sings hymns"))
    assert found.notices == ("The weights are gone.",)
    assert found.documents[0].record.api_name == "acme/choir"
    assert found.documents[0].fit is None


@pytest.mark.parametrize(
    "changed",
    [
        replace(VOICE, description="Reads poems."),
        replace(VOICE, domain="Music"),
        replace(VOICE, api_call="load('acme/other')"),
        replace(VOICE, released="2024-05"),
        replace(VOICE, performance={"size": "2 MB"}),
    ],
)
def test_the_key_changes_with_what_is_encoded(changed: ApiRecord) -> None:
    assert document_key(changed) != document_key(VOICE)


def test_an_address_in_the_call_is_read_without_its_host() -> None:
    record = a_record("hub.load('https://example.org/acme/voice-large/3')")
    assert "acme/voice-large/3" in document_text(record)
    assert "example.org" not in document_text(record)


def test_saving_keeps_what_another_process_wrote(tmp_path: Path) -> None:
    path = tmp_path / "vectors.npz"
    first, second = VectorCache(path, 2), VectorCache(path, 2)
    first.add(["a"], np.array([[1, 0]], dtype=np.float32))
    second.add(["b"], np.array([[0, 1]], dtype=np.float32))
    first.save(["a", "b"])
    second.save(["a", "b"])
    rows, known = VectorCache(path, 2).rows(["b", "a", "c"])
    assert rows.tolist() == [[0, 1], [1, 0], [0, 0]]
    assert known.tolist() == [True, True, False]


def test_saving_forgets_what_is_not_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "vectors.npz"
    cache = VectorCache(path, 1)
    cache.add(["old", "new"], np.ones((2, 1), dtype=np.float32))
    cache.save(["new"])
    assert VectorCache(path, 1).missing(["old", "new"]) == [0]


def test_vectors_of_another_length_are_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "vectors.npz"
    cache = VectorCache(path, 2)
    cache.add(["a"], np.ones((1, 2), dtype=np.float32))
    cache.save(["a"])
    assert VectorCache(path, 3).missing(["a"]) == [0]
