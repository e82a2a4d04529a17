"""What each part of the embedded model adds: the same questions with less and less of it, and with
weights that never saw the APIs that are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gorilla_jupyter.bench.apibench import (
    Figures,
    Response,
    measure,
    read_apis,
    read_questions,
    scores,
)
from gorilla_jupyter.bench.functionality import Documentation
from gorilla_jupyter.bench.results import BenchmarkError, write_results
from gorilla_jupyter.bench.tables import check_place, files_of, markdown, present_hubs, put
from gorilla_jupyter.catalog.files import read_file
from gorilla_jupyter.index.vectors import EncoderError
from gorilla_jupyter.model.encoder import MODEL, WEIGHTS, Encoder
from gorilla_jupyter.train.instructions import Part, part_of

WORDS = "words alone"
SHIPPED = "as shipped"

UNSEEN = "questions for APIs that it never saw"

SHOWN = ("functionality", "exact id", "no answer")
MEDIAN = "median ms"

Row = Mapping[str, Figures]
"""Figures by hub."""

Responses = Mapping[int, Response]
"""By the question's number."""


def run(
    folder: Path,
    weights: Mapping[str, Path],
    results: Path,
    document: Path,
    *,
    first_run: str | None = None,
) -> None:
    """Measure words alone, other weights and the shipped ones, print the table, write
    ``ablation.json`` into the folder ``results`` and redraw ``document``.

    :param folder: APIBench's files, as :func:`gorilla_jupyter.bench.tables.run` reads them.
    :param weights: folders that ``jupyter gorilla train encoder`` wrote, by what they are.
    :param first_run: which of these were trained once, as the first run is: their figures are also
        told of the questions alone that ask for an API which that run held out.
    :raises BenchmarkError: if weights, a file or the document cannot be used.
    """
    # Before minutes of measuring.
    check_place(document, "ablation")
    if first_run is not None and first_run not in weights:
        raise BenchmarkError(f"There are no weights {first_run!r}: name some that are given.")
    folders = {**weights, SHIPPED: WEIGHTS}
    encoders = {name: _encoder(name, where) for name, where in folders.items()}
    megabytes = {WORDS: 0.0, **{name: _megabytes(where) for name, where in folders.items()}}
    rows = {}
    for name, encoder in {WORDS: None, **encoders}.items():
        rows[name], given = _row(folder, encoder)
        if name == first_run:
            unseen = _unseen(folder, rows[name], given)
            counts = ", ".join(str(figures["responses"]) for figures in unseen.values())
            rows[f"{name}, {UNSEEN} ({counts})"] = unseen
            megabytes[f"{name}, {UNSEEN} ({counts})"] = megabytes[name]
    write_results(
        results / "ablation.json",
        "jupyter gorilla bench ablation --apibench FOLDER --weights NAME=FOLDER ...",
        {"rows": rows, "megabytes": megabytes},
    )
    draw(document, rows, megabytes)


def _encoder(name: str, weights: Path) -> Encoder:
    try:
        return Encoder(weights)
    except EncoderError as error:
        raise BenchmarkError(f"The weights '{name}' cannot be used: {error}") from error


def _row(folder: Path, encoder: Encoder | None) -> tuple[Row, Mapping[str, Responses]]:
    """The figures by hub, and the responses."""
    loader = None if encoder is None else lambda: encoder
    row, given = {}, {}
    for hub, name in present_hubs(folder).items():
        responses, figures, _ = measure(*files_of(folder, hub), encoder=loader)
        row[name] = {column: round(figures[column], 4) for column in (*SHOWN, MEDIAN)}
        given[hub] = responses
    return row, given


def _unseen(folder: Path, row: Row, given: Mapping[str, Responses]) -> Row:
    """The figures of the questions alone whose reference call the first run has not learned from,
    under no name."""
    unseen = {}
    for hub, name in present_hubs(folder).items():
        apis, questions = files_of(folder, hub)
        parts: dict[str, set[Part]] = {}
        for record in read_file(apis, source=hub).records:
            parts.setdefault(record.api_call, set()).add(part_of(record))
        asked = {
            number: question
            for number, question in read_questions(questions).items()
            if parts.get(question["api_call"]) == {Part.HELD_OUT}
        }
        texts = {number: given[hub][number].text for number in asked}
        figures = scores(Documentation(read_apis(apis)), asked, texts)
        unseen[name] = {
            "responses": len(asked),
            **{column: round(figures[column], 4) for column in SHOWN},
            MEDIAN: row[name][MEDIAN],
        }
    return unseen


def _megabytes(weights: Path) -> float:
    return round((weights / MODEL).stat().st_size / 1e6, 1)


def draw(document: Path, rows: Mapping[str, Row], megabytes: Mapping[str, float]) -> None:
    """Put the table into a Markdown document, in the place that it marks for it, and print it.

    :raises BenchmarkError: if the document marks none, or cannot be read or written.
    """
    hubs = list(next(iter(rows.values())))
    columns = [f"{hub}: {name}" for hub in hubs for name in SHOWN]
    written = {
        name: [
            *(f"{row[hub][column]:.3f}" for hub in hubs for column in SHOWN),
            f"{max(row[hub][MEDIAN] for hub in hubs):.0f}",
            f"{megabytes[name]:.1f}",
        ]
        for name, row in rows.items()
    }
    drawn = markdown([*columns, MEDIAN, "MB"], written)
    print(drawn)
    put(document, "ablation", f"\n{drawn}")
