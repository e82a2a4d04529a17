"""The four steps together: right candidates first, and never a call that no document has."""

from __future__ import annotations

import ast
import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from gorilla_jupyter.answer import (
    Answer,
    Candidate,
    CheckStatus,
    Document,
    Progress,
    Proposal,
    Request,
    RequestError,
    SearchResult,
)
from gorilla_jupyter.catalog.store import CatalogStore, write_records
from gorilla_jupyter.engine import Gorilla
from gorilla_jupyter.index.search import DocumentIndex
from gorilla_jupyter.model.backend import ModelError
from gorilla_jupyter.record import ApiRecord, Argument, contains_call, parse_call

VOICE = ApiRecord(
    domain="Audio Text-to-Speech",
    framework="Widgets",
    functionality="Text to speech",
    api_name="acme/voice",
    api_call="pipeline('text-to-speech', model='acme/voice', verbose=True)",
    api_arguments=(
        Argument("task"),
        Argument("model"),
        Argument("verbose"),
        Argument("device", default="None"),
    ),
    python_environment_requirements=("widgets",),
    example_code=(
        "from widgets import pipeline\n"
        "speak = pipeline('text-to-speech', model='acme/voice', verbose=True)\n"
        "speak('hello')"
    ),
    description="Speaks German fluently.",
)
CHOIR = replace(
    VOICE,
    api_name="acme/choir",
    api_call="pipeline('text-to-speech', model='acme/choir')",
    example_code="from widgets import pipeline\npipeline('text-to-speech', model='acme/choir')",
    description="Sings hymns in four voices.",
)
PICTURE = replace(
    VOICE,
    domain="Computer Vision Image Classification",
    functionality="Image classification",
    api_name="acme/eyes",
    api_call="load_classifier('acme/eyes')",
    example_code="from widgets import load_classifier\nload_classifier('acme/eyes')",
    description="Tells animals apart.",
)


@pytest.fixture
def store(tmp_path: Path) -> CatalogStore:
    store = CatalogStore(tmp_path / "catalogs", builtin=None)
    store.folder.mkdir()
    write_records(store.folder / "widgets.jsonl", [PICTURE, CHOIR, VOICE])
    return store


@pytest.fixture
def gorilla(store: CatalogStore, tmp_path: Path) -> Gorilla:
    return Gorilla(DocumentIndex(store, tmp_path / "index"))


def names(answer: Answer) -> list[str]:
    return [candidate.record.api_name for candidate in answer.candidates]


def test_nothing_is_read_before_the_first_question(gorilla_home: Path) -> None:
    Gorilla()
    assert not gorilla_home.exists()


def test_the_fitting_document_comes_first(gorilla: Gorilla) -> None:
    assert names(gorilla.ask("German text to speech"))[0] == "acme/voice"
    assert names(gorilla.ask("sing a text to speech hymn"))[0] == "acme/choir"


def test_several_candidates_are_offered_best_first(gorilla: Gorilla) -> None:
    answer = gorilla.ask("German text to speech")
    assert names(answer) == ["acme/voice", "acme/choir"]
    assert answer.candidates[0].score > answer.candidates[1].score


def test_no_more_candidates_than_asked_for(gorilla: Gorilla) -> None:
    assert names(gorilla.ask("German text to speech", candidates=1)) == ["acme/voice"]


def test_a_candidate_comes_with_its_cell_and_its_checks(gorilla: Gorilla) -> None:
    (candidate, *_) = gorilla.ask("German text to speech").candidates
    assert {check.name: check.status for check in candidate.checks} == {
        "documented": CheckStatus.PASSED,
        "installed": CheckStatus.UNKNOWN,
        "signature": CheckStatus.UNKNOWN,
        "syntax": CheckStatus.PASSED,
    }
    call = parse_call(candidate.api_call)
    assert call is not None
    assert contains_call(ast.parse(candidate.code), call)


def test_an_answer_tells_model_times_and_nearest_documents(gorilla: Gorilla) -> None:
    answer = gorilla.ask("German text to speech")
    assert answer.model == "embedded"
    assert answer.timings_ms.keys() == {"index", "retrieve", "choose"}
    assert min(answer.timings_ms.values()) >= 0
    assert [document.record.api_name for document in answer.nearest] == [
        "acme/voice",
        "acme/choir",
    ]


def test_where_nothing_fits_the_nearest_documents_are_all(gorilla: Gorilla) -> None:
    answer = gorilla.ask("german beer brewing yeast barley")
    assert answer.candidates == ()
    assert [document.record.api_name for document in answer.nearest] == ["acme/voice"]


def test_a_misspelt_question_gets_a_hint(gorilla: Gorilla) -> None:
    answer = gorilla.ask("germann yeast barley hops")
    assert answer.candidates == ()
    assert answer.notices == ("Did you mean: german yeast barley hops",)


def test_filters_are_obeyed(gorilla: Gorilla) -> None:
    assert names(gorilla.ask("image classification of speech", domain="vision")) == ["acme/eyes"]


def test_the_same_call_is_offered_once(gorilla: Gorilla, store: CatalogStore) -> None:
    write_records(store.folder / "copy.jsonl", [VOICE, CHOIR])
    assert sorted(names(gorilla.ask("text to speech"))) == ["acme/choir", "acme/voice"]


def test_a_call_that_nothing_imports_is_not_offered(gorilla: Gorilla, store: CatalogStore) -> None:
    orphan = replace(VOICE, example_code="", python_environment_requirements=())
    write_records(store.folder / "widgets.jsonl", [orphan])
    answer = gorilla.ask("German text to speech")
    assert (answer.candidates, len(answer.nearest)) == ((), 1)


def test_a_stream_tells_each_step(gorilla: Gorilla) -> None:
    kinds = [type(event) for event in gorilla.stream(Request("German text to speech"))]
    assert kinds == [Progress, Progress, Progress, SearchResult, Candidate, Candidate, Answer]


def test_a_stream_that_is_closed_early_spoils_nothing(gorilla: Gorilla) -> None:
    stream = gorilla.stream(Request("German text to speech"))
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert names(gorilla.ask("German text to speech"))[0] == "acme/voice"


def test_a_broken_catalog_is_told_in_the_answer(gorilla: Gorilla, store: CatalogStore) -> None:
    with (store.folder / "widgets.jsonl").open("a") as file:
        file.write("oops\n")
    answer = gorilla.ask("German text to speech")
    assert names(answer)[0] == "acme/voice"
    assert "widgets.jsonl, line 4: not JSON" in answer.notices[0]


def test_search_record_and_entries(gorilla: Gorilla) -> None:
    (first, *_) = gorilla.search("German text to speech", limit=1, package="widgets").documents
    assert gorilla.record(first.record.id) == first.record
    assert [(name, entry.records) for name, entry in gorilla.entries().items()] == [("widgets", 3)]


# Bad input


@pytest.mark.parametrize(
    "text", ["", " \n ", "a" * 100_000, "a\0b", "\x1b[0m", "half \ud800 pair", "\udfff"]
)
def test_an_unreadable_text_is_refused(gorilla: Gorilla, text: str) -> None:
    with pytest.raises(RequestError, match=r"\.$|sentence"):
        gorilla.ask(text)


@pytest.mark.parametrize(
    "text",
    [
        "加载语音模型",
        "загрузи модель",
        "نموذج صوتي",
        "📦🎤👩‍👩‍👧",
        "?!…—",
        "\u200b",
        "{} {name} %s $(reboot) `ls` <b>",
        "* OR AND NOT framework:x [a TO b] (",
        "a" * 50_000,
        "\U0010ffff\ufffe",
    ],
)
def test_any_other_text_gets_an_answer(gorilla: Gorilla, text: str) -> None:
    assert gorilla.ask(text).candidates == ()


def test_a_long_text_gets_an_answer_soon(gorilla: Gorilla) -> None:
    gorilla.ask("German")
    text = " ".join(f"word{number}" for number in range(5000))
    begin = time.perf_counter()
    gorilla.ask(text)
    assert time.perf_counter() - begin < 2


def test_an_unknown_model_is_refused(gorilla: Gorilla) -> None:
    with pytest.raises(ModelError, match="There is no model 'gpt'"):
        gorilla.ask("German text to speech", model="gpt")


# Never invent


class Inventor:
    """A model that proposes this call for every document."""

    name = "inventor"

    def __init__(self, api_call: str, record: ApiRecord | None = None) -> None:
        self.api_call = api_call
        self.record = record

    def propose(self, request: Request, documents: Sequence[Document]) -> Iterable[Proposal]:
        for document in documents:
            yield Proposal(self.record or document.record, self.api_call, "Trust me.", 1.0)


def offered(gorilla: Gorilla, monkeypatch: pytest.MonkeyPatch, backend: Inventor) -> list[str]:
    monkeypatch.setattr("gorilla_jupyter.engine.load_backend", lambda name: backend)
    answer = gorilla.ask("German text to speech", candidates=5)
    return [candidate.api_call for candidate in answer.candidates]


@pytest.mark.parametrize(
    "call",
    [
        "pipeline('text-to-speech', model='acme/voice', verbose=True)",
        'pipeline( "text-to-speech", verbose=True, model="acme/voice" )',
        "pipeline('text-to-speech', model='acme/voice', verbose=True, device='cuda')",
        "pipeline('text-to-speech', model='acme/voice', verbose=True, device=-1)",
        "speak = pipeline('text-to-speech', model='acme/voice', verbose=True)",
    ],
)
def test_a_documented_call_is_offered(
    gorilla: Gorilla, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    assert offered(gorilla, monkeypatch, Inventor(call)) == [call]


@pytest.mark.parametrize(
    "call",
    [
        "pipeline('text-to-speech', model='acme/other', verbose=True)",
        "pipeline('text-to-speech', model='acme/voice ', verbose=True)",
        "pipeline('text-to-speech', model=b'acme/voice', verbose=True)",
        "pipeline('text-to-speech', model=model, verbose=True)",
        "pipeline('text-to-speech', model=('acme/voice',), verbose=True)",
        "pipeline('text-to-speech', model=f'acme/{x}', verbose=True)",
        "pipeline('speech', model='acme/voice', verbose=True)",
        "pipeline('text-to-speech', model='acme/voice', verbose=False)",
        "pipeline('text-to-speech', model='acme/voice')",
        "pipeline('text-to-speech')",
        "pipeline()",
        "pipeline('text-to-speech', 'acme/voice', verbose=True)",
        "pipeline('text-to-speech', model='acme/voice', verbose=True, extra=1)",
        "pipeline('text-to-speech', model='acme/voice', verbose=True, task='x')",
        "pipeline('text-to-speech', model='acme/voice', verbose=True, **{'revision': 'x'})",
        "pipeline('text-to-speech', *['x'], model='acme/voice', verbose=True)",
        "pipeline('text-to-speech', model='acme/voice', verbose=True, device=reboot())",
        "pipeline('text-to-speech', model='acme/voice', verbose=True, device=[reboot()])",
        "pipeline('text-to-speech', model='acme/voice', verbose=True, device=lambda: 1)",
        "pipeline('text-to-speech', model='acme/voice', verbose=True, device=f'{reboot()}')",
        "pipeline('text-to-speech', model='acme/voice', verbose=True, device=(x := 1))",
        "pipeline('text-to-speech', model='acme/voice', verbose=True, device=x[reboot()])",
        "Pipeline('text-to-speech', model='acme/voice', verbose=True)",
        "widgets.pipeline('text-to-speech', model='acme/voice', verbose=True)",
        "pipeline('text-to-speech', model='acme/voice', verbose=True)('x')",
        "pipeline('text-to-speech', model='acme/voice', verbose=True).run()",
        "[pipeline('text-to-speech', model='acme/voice', verbose=True)]",
        "reboot(pipeline('text-to-speech', model='acme/voice', verbose=True))",
        "pipeline('text-to-speech', model='acme/voice', verbose=True); reboot()",
        "pipeline('text-to-speech', model='acme/voice', verbose=True)\nreboot()",
        "import os\npipeline('text-to-speech', model='acme/voice', verbose=True)",
        "x[reboot()] = pipeline('text-to-speech', model='acme/voice', verbose=True)",
        "reboot().x = pipeline('text-to-speech', model='acme/voice', verbose=True)",
        "!pip install acme",
        "os.system('reboot')",
        "pipeline",
        "",
        "pipeline(",
        "pipeline('text-to-speech', model='acme/voice', verbose=True)\0",
        "pipeline(" + "-" * 100_000 + "1)",
        "\ud800",
    ],
)
def test_an_undocumented_call_is_never_offered(
    gorilla: Gorilla, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    assert offered(gorilla, monkeypatch, Inventor(call)) == []


def test_a_document_that_was_not_found_is_never_offered(
    gorilla: Gorilla, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_up = replace(VOICE, api_call="reboot()", example_code="from os import reboot\nreboot()")
    assert offered(gorilla, monkeypatch, Inventor("reboot()", made_up)) == []


# The shipped catalogs


@pytest.fixture
def shipped(indexed_home: Path) -> Gorilla:
    return Gorilla()


@pytest.mark.parametrize(
    ("sentence", "domain"),
    [
        ("load a TTS model", "Text-to-Speech"),
        ("transcribe a recording of a meeting", "Speech Recognition"),
        ("detect objects in a photo", "Object Detection"),
        ("summarize a long article", "Summarization"),
    ],
)
def test_a_shipped_document_answers(shipped: Gorilla, sentence: str, domain: str) -> None:
    (first, *_) = shipped.ask(sentence).candidates
    assert domain.lower() in first.record.domain.lower()
    assert first.check("documented").status is CheckStatus.PASSED
    assert first.check("syntax").status is CheckStatus.PASSED
    compile(first.code, "<cell>", "exec")


def test_every_shipped_call_is_offered_by_the_name_of_its_model(shipped: Gorilla) -> None:
    records = [record for catalog in CatalogStore().catalogs() for record in catalog.read().records]
    for record in records[::15]:
        answer = shipped.ask(f"{record.api_name} {record.functionality}", candidates=10)
        assert record.api_call in [candidate.api_call for candidate in answer.candidates]


@pytest.mark.slow
def test_a_warm_question_is_answered_at_once(tmp_path: Path) -> None:
    shipped = [record for catalog in CatalogStore().catalogs() for record in catalog.read().records]
    copies = -(-1700 // len(shipped))
    store = CatalogStore(tmp_path / "catalogs", builtin=None)
    store.folder.mkdir()
    write_records(
        store.folder / "all.jsonl",
        [
            replace(record, api_name=f"{record.api_name} {n}")
            for n in range(copies)
            for record in shipped
        ],
    )
    gorilla = Gorilla(DocumentIndex(store, tmp_path / "index"))
    sentences = [
        "load a TTS model",
        "transcribe the German recordings of my customers into text",
        "detect objects in a photo of a street and draw boxes around them",
        "a modle for transalting english to frensh",
        "read orders.parquet and keep 2024",
    ]
    gorilla.ask(sentences[0])
    assert statistics.median([seconds(gorilla, text) for text in sentences * 3]) < 0.1


def seconds(gorilla: Gorilla, text: str) -> float:
    begin = time.perf_counter()
    gorilla.ask(text)
    return time.perf_counter() - begin
