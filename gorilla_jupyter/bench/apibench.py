"""APIBench: the product's own engine on the questions that Gorilla was measured with."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import Any

from gorilla_jupyter.answer import (
    Answer,
    Candidate,
    Event,
    Notice,
    Progress,
    Request,
    SearchResult,
)
from gorilla_jupyter.bench.functionality import Documentation
from gorilla_jupyter.bench.modes import Mode, OracleIndex, load_writer
from gorilla_jupyter.bench.results import BenchmarkError
from gorilla_jupyter.catalog.store import CatalogStore
from gorilla_jupyter.compose import CompositionError, compose
from gorilla_jupyter.engine import Gorilla
from gorilla_jupyter.index.search import DocumentIndex
from gorilla_jupyter.index.vectors import Encoder
from gorilla_jupyter.model.backend import DEFAULT_MODEL, load_encoder
from gorilla_jupyter.model.prompt import Prompt
from gorilla_jupyter.model.writing import Writer
from gorilla_jupyter.progress_bar import ProgressBar

RECALL_AT = (1, 5, 10)
"""Among how many first documents the reference call is looked for."""

Figures = Mapping[str, float]
"""Figures by their name in :data:`COLUMNS`; those that were not measured are not there."""

COLUMNS: Mapping[str, str] = {
    "responses": "d",
    "functionality": ".3f",
    "hallucination": ".3f",
    "exact id": ".3f",
    "no answer": ".3f",
    **{f"recall@{count}": ".3f" for count in RECALL_AT},
    "median ms": ".0f",
    "p95 ms": ".0f",
}
"""What is measured of each system, and how it is written."""


@dataclass(frozen=True)
class Response:
    """What the engine made of a question.

    :ivar text: the first candidate in the published format; "" where nothing was offered.
    :ivar documents: the calls of the documents found, best first.
    """

    text: str
    documents: tuple[str, ...]
    milliseconds: float


def read_apis(path: Path) -> list[dict[str, Any]]:
    """The API records of an APIBench file as they stand there.

    :raises BenchmarkError: if it cannot be read, or a record lacks what is scored.
    """
    return [value for _, value in _read_lines(path, domain=str, framework=str, api_call=str)]


def read_questions(path: Path, *, every: int = 1) -> dict[int, dict[str, Any]]:
    """Questions by their number: all, or every so many of them.

    :raises BenchmarkError: if the file cannot be read, or a question lacks something.
    """
    lines = _read_lines(path, question_id=int, instruction=str, domain=str, api_call=str)
    return dict(list(_by_number(path, lines).items())[::every])


def read_responses(path: Path, questions: Mapping[int, object]) -> dict[int, str]:
    """The texts of responses by the number of their question.

    :raises BenchmarkError: if the file cannot be read, or answers what was not asked.
    """
    responses = _by_number(path, _read_lines(path, question_id=int, text=str))
    if strangers := sorted(responses.keys() - questions.keys()):
        raise BenchmarkError(f"{path} answers question {strangers[0]}, which there is not.")
    return {number: response["text"] for number, response in responses.items()}


def _read_lines(path: Path, **fields: type) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise BenchmarkError(f"{path} cannot be read: {reason}.") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise BenchmarkError(f"{path}, line {number}: not JSON ({error}).") from error
        for name, kind in fields.items():
            if not isinstance(value, dict) or not isinstance(value.get(name), kind):
                raise BenchmarkError(f"{path}, line {number}: field '{name}' is missing or wrong.")
        yield number, value


def _by_number(
    path: Path, lines: Iterable[tuple[int, dict[str, Any]]]
) -> dict[int, dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    for line, value in lines:
        number = value["question_id"]
        if number in found:
            raise BenchmarkError(f"{path}, line {line}: question {number} is there already.")
        found[number] = value
    return found


@contextmanager
def engine_of(
    path: Path,
    *,
    model: str = DEFAULT_MODEL,
    encoder: Callable[[], Encoder] | None = load_encoder,
    right: Mapping[int, Mapping[str, Any]] | None = None,
) -> Iterator[tuple[Gorilla, list[str]]]:
    """An engine that knows the APIs of one file and nothing else, and what it cannot do with them:
    a sentence for each record that it cannot read, or can never offer.

    :param encoder: loads the encoder; without one, words alone are searched.
    :param right: questions; where there are any, the right document of each is found, and no other.
    :raises CatalogError: if there is no API record in the file.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        store = CatalogStore(Path(folder, "catalogs"), builtin=None, project=None)
        reading = store.add(path).reading
        notices = [str(refusal) for refusal in reading.refusals]
        for record in reading.records:
            try:
                compose(record, record.api_call)
            except CompositionError as error:
                notices.append(f"{path}: never offered. {error}")
        if right is None:
            index = DocumentIndex(store, Path(folder, "index"), encoder=encoder)
        else:
            index = OracleIndex(store, Path(folder, "index"), right, reading.records)
        gorilla = Gorilla(index, model=model)
        with ProgressBar() as bar:
            for progress in chain(gorilla.refresh(), gorilla.encode()):
                bar.show(progress)
        yield gorilla, notices


def answers(
    gorilla: Gorilla, questions: Mapping[int, Mapping[str, Any]], *, at_once: int = 1
) -> dict[int, Response]:
    """Ask the engine every question, and take the time that each needs.

    :param at_once: how many are asked before the first is answered: while a model writes, the
        engine goes on with another.
    :raises ModelError: if there is no such model.
    """
    return _in_turns(partial(_answer, gorilla), questions, at_once)


def _answer(gorilla: Gorilla, instruction: str) -> Iterator[Event | Response]:
    start = time.perf_counter()
    found: SearchResult | None = None
    for event in gorilla.stream(Request(instruction)):
        if isinstance(event, SearchResult):
            found = event
        yield event
    milliseconds = (time.perf_counter() - start) * 1000
    assert found is not None
    assert isinstance(event, Answer)
    yield Response(
        published_form(event.candidates[0]) if event.candidates else "",
        tuple(document.record.api_call for document in found.documents),
        milliseconds,
    )


def _remember(writer: Writer, instruction: str) -> Iterator[Progress | Notice | Response]:
    start = time.perf_counter()
    text = yield from writer.write(Prompt(instruction, ()))
    yield Response(text, (), (time.perf_counter() - start) * 1000)


def _in_turns(
    answer: Callable[[str], Iterator[object]],
    questions: Mapping[int, Mapping[str, Any]],
    at_once: int,
) -> dict[int, Response]:
    """The last thing that comes for every question. So many are begun at a time, and one of them at
    a time goes on, beside those for which a model works elsewhere."""
    turn = Lock()

    def last(question: Mapping[str, Any]) -> Response:
        turn.acquire()
        is_mine = True
        event: object = None
        try:
            for event in answer(question["instruction"]):
                is_elsewhere = isinstance(event, Progress) and event.elsewhere
                if is_elsewhere and is_mine:
                    turn.release()
                elif not is_elsewhere and not is_mine:
                    turn.acquire()
                is_mine = not is_elsewhere
        finally:
            if is_mine:
                turn.release()
        assert isinstance(event, Response)
        return event

    with ThreadPoolExecutor(at_once) as threads:
        return dict(zip(questions, threads.map(last, questions.values()), strict=True))


def published_form(candidate: Candidate) -> str:
    """A candidate as Gorilla writes its answers."""
    return (
        f"<<<domain>>>: {candidate.record.domain}, <<<api_call>>>: {candidate.api_call}, "
        f"<<<api_provider>>>: {candidate.record.framework}, "
        f"<<<explanation>>>: {candidate.explanation}, <<<code>>>: {candidate.code}"
    )


def measure(
    apis: Path,
    questions: Path,
    *,
    model: str = DEFAULT_MODEL,
    encoder: Callable[[], Encoder] | None = load_encoder,
    mode: Mode = Mode.RETRIEVER,
    every: int = 1,
    at_once: int = 1,
) -> tuple[dict[int, Response], Figures, list[str]]:
    """Answer every question, or every so many of them, from the APIs of one file.

    :param encoder: as :func:`engine_of` takes it.
    :param at_once: as :func:`answers` takes it.
    :returns: the responses by the question's number, their figures, and a sentence for each API
        that the engine cannot offer.
    :raises BenchmarkError: if a file cannot be used.
    :raises CatalogError: if there is no API record in ``apis``.
    :raises ModelError: if there is no such model.
    """
    documentation = Documentation(read_apis(apis))
    asked = read_questions(questions, every=every)
    if mode is Mode.ZERO_SHOT:
        writer, notices = load_writer(model, constrained=False), list[str]()
        responses = _in_turns(partial(_remember, writer), asked, at_once)
    else:
        right = asked if mode is Mode.ORACLE else None
        with engine_of(apis, model=model, encoder=encoder, right=right) as (gorilla, notices):
            responses = answers(gorilla, asked, at_once=at_once)
    texts = {number: response.text for number, response in responses.items()}
    figures = {
        **scores(documentation, asked, texts),
        **(retrieval(asked, responses) if mode is Mode.RETRIEVER else {}),
        **(_times([found.milliseconds for found in responses.values()]) if at_once == 1 else {}),
    }
    return responses, figures, notices


def score_files(apis: Path, questions: Path, responses: Path) -> Figures:
    """The figures of anyone's responses.

    :raises BenchmarkError: if a file cannot be used.
    """
    asked = read_questions(questions)
    return scores(Documentation(read_apis(apis)), asked, read_responses(responses, asked))


def scores(
    documentation: Documentation,
    questions: Mapping[int, Mapping[str, Any]],
    responses: Mapping[int, str],
) -> Figures:
    """What :meth:`Documentation.score` tells, and how often there is no answer at all."""
    found = documentation.score(questions, responses)
    return {
        "responses": found.responses,
        "functionality": found.functionality,
        "hallucination": found.hallucination,
        "exact id": found.exact_id,
        "no answer": sum(not text.strip() for text in responses.values()) / (len(responses) or 1),
    }


def retrieval(
    questions: Mapping[int, Mapping[str, Any]], responses: Mapping[int, Response]
) -> Figures:
    """How often a record with the reference call is among the first documents."""
    return {
        f"recall@{count}": sum(
            questions[number]["api_call"].strip() in response.documents[:count]
            for number, response in responses.items()
        )
        / (len(responses) or 1)
        for count in RECALL_AT
    }


def _times(milliseconds: Sequence[float]) -> Figures:
    if not milliseconds:
        return {}
    high = sorted(milliseconds)[int(0.95 * len(milliseconds))]
    return {"median ms": statistics.median(milliseconds), "p95 ms": high}


def cells(figures: Figures) -> list[str]:
    """The figures as they are written, one for each of :data:`COLUMNS`."""
    return [f"{figures[name]:{form}}" if name in figures else "-" for name, form in COLUMNS.items()]


def table(rows: Mapping[str, Figures]) -> str:
    """Figures of systems for a person, a line each; what none of them has is left out."""
    written = {"": list(COLUMNS), **{name: cells(figures) for name, figures in rows.items()}}
    shown = [
        (place, len(column) + 2)
        for place, column in enumerate(COLUMNS)
        if any(column in figures for figures in rows.values())
    ]
    width = max(map(len, written)) + 1
    return "\n".join(
        f"{name:{width}}" + "".join(f"{line[place]:>{space}}" for place, space in shown)
        for name, line in written.items()
    )


def write_responses(path: Path, responses: Mapping[int, Response]) -> None:
    """Write a JSON line for each response.

    :raises BenchmarkError: if the file cannot be written.
    """
    lines = (
        json.dumps({"question_id": number, "text": response.text}, ensure_ascii=False) + "\n"
        for number, response in responses.items()
    )
    try:
        path.write_text("".join(lines), encoding="utf-8")
    except OSError as error:
        raise BenchmarkError(f"{path} cannot be written: {error.strerror}.") from error
