"""The benchmark of models, on a model server that gives prepared replies."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gorilla_jupyter.bench import models
from gorilla_jupyter.bench.results import BenchmarkError
from gorilla_jupyter.model.prompt import Prompt
from tests.model.conftest import CHOIR, VOICE, ModelServer, form, streams
from tests.model.test_decoding import DOCUMENTS, DiceBackend


@pytest.fixture
def document(tmp_path: Path) -> Path:
    """A document with room for the figures."""
    path = tmp_path / "benchmark.md"
    path.write_text("Before.\n<!-- models -->\n<!-- end of models -->\nAfter.\n")
    return path


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Two APIs, and three questions about them."""
    apis, questions = tmp_path / "apis.jsonl", tmp_path / "few.jsonl"
    records = [record.to_json() for record in (VOICE, CHOIR)]
    apis.write_text("".join(json.dumps(record) + "\n" for record in records))
    asked = [
        {
            "question_id": number,
            "instruction": "German text to speech",
            "domain": VOICE.domain,
            "api_call": VOICE.api_call,
        }
        for number in range(3)
    ]
    questions.write_text("".join(json.dumps(question) + "\n" for question in asked))
    return apis, questions


def measure(
    files: tuple[Path, Path],
    document: Path,
    model: str,
    *,
    constrained: bool = True,
    at_once: int = 1,
) -> None:
    folder = document.parent / "results"
    models.run(
        *files, folder, document, model=model, every=2, at_once=at_once, constrained=constrained
    )


def test_figures_are_told_and_kept_beside_those_of_other_models(
    model_server: ModelServer, files: tuple[Path, Path], document: Path
) -> None:
    model_server.replies[:] = [streams(form(VOICE.api_call))]
    measure(files, document, model_server.model)
    fitting = streams(form(VOICE.api_call))
    model_server.replies[:] = [streams(form("reboot()")), fitting, streams("I help."), fitting]
    measure(files, document, model_server.model, constrained=False)
    kept = json.loads((document.parent / "results" / "models.json").read_text())["models"]
    first, second = kept["openai:tiny"]["few"], kept["openai:tiny, not constrained"]["few"]
    assert (first["responses"], first["functionality"], first["hallucination"]) == (2, 1, 0)
    assert (first["texts written"], first["undocumented"]) == (2, 0)
    counted = (second["texts written"], second["without a call"], second["undocumented"])
    assert counted == (4, 1, 1)


def test_the_document_shows_every_model(
    model_server: ModelServer, files: tuple[Path, Path], document: Path
) -> None:
    model_server.replies[:] = [streams(form(VOICE.api_call))]
    measure(files, document, model_server.model)
    measure(files, document, model_server.model, constrained=False)
    text = document.read_text()
    _, _, *rows = (line.split(" | ")[:3] for line in text.splitlines() if line.startswith("|"))
    assert rows == [
        ["| openai:tiny, on few", "2", "1"],
        ["| openai:tiny, not constrained, on few", "2", "1"],
    ]
    assert text.startswith("Before.\n")
    assert text.endswith("\nAfter.\n")


def test_of_questions_that_are_asked_at_once_no_times_are_told(
    model_server: ModelServer, files: tuple[Path, Path], document: Path
) -> None:
    model_server.replies[:] = [streams(form(VOICE.api_call))]
    measure(files, document, model_server.model, at_once=2)
    kept = json.loads((document.parent / "results" / "models.json").read_text())["models"]
    figures = kept["openai:tiny"]["few"]
    assert (figures["responses"], figures["texts written"]) == (2, 2)
    assert {figures[title] for title in models.COSTS} == {None}


def test_what_the_mask_costs_is_measured() -> None:
    watched = models.WatchedWriter(DiceBackend())
    for _ in watched.write(Prompt("speak", DOCUMENTS)):
        pass
    (speed,), (share,) = watched.speeds, watched.mask_share
    assert speed > 0
    assert share > 0


def test_what_is_gained_by_writing_at_once_is_measured() -> None:
    backend = DiceBackend()
    prompts = [Prompt(sentence, DOCUMENTS) for sentence in ("speak", "sing", "paint")]
    for _ in backend.write(prompts[0]):
        pass
    assert models.faster_together(backend, prompts) is None
    backend.decoder.together = 2
    assert models.faster_together(backend, prompts) is not None
    assert backend.decoder.most_at_once == 2


def test_no_figure_names_a_path_of_this_machine() -> None:
    assert models.public_name("hf:/home/me/base+/home/me/adapter") == "hf:base+adapter"


def test_a_model_that_does_not_write_is_refused(files: tuple[Path, Path], document: Path) -> None:
    with pytest.raises(BenchmarkError, match="writes nothing"):
        measure(files, document, "embedded")


def test_a_document_without_room_for_the_figures_is_refused_before_anything_is_asked(
    model_server: ModelServer, files: tuple[Path, Path], document: Path
) -> None:
    document.write_text("Nothing.\n")
    with pytest.raises(BenchmarkError, match="<!-- models -->"):
        measure(files, document, model_server.model)
    assert model_server.requests == []
