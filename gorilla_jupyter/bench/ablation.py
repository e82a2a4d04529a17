"""What each part of the embedded model adds: the same questions with less and less of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gorilla_jupyter.bench.apibench import Figures, measure
from gorilla_jupyter.bench.results import BenchmarkError, write_results
from gorilla_jupyter.bench.tables import check_place, markdown, present_hubs, put
from gorilla_jupyter.index.vectors import EncoderError
from gorilla_jupyter.model.encoder import MODEL, WEIGHTS, Encoder

WORDS = "words alone"
SHIPPED = "as shipped"

SHOWN = ("functionality", "exact id", "no answer")
MEDIAN = "median ms"

Row = Mapping[str, Figures]
"""Figures by hub."""


def run(folder: Path, weights: Mapping[str, Path], results: Path, document: Path) -> None:
    """Measure words alone, other weights and the shipped ones, print the table, write
    ``ablation.json`` into the folder ``results`` and redraw ``document``.

    :param folder: APIBench's files, as :func:`gorilla_jupyter.bench.tables.run` reads them.
    :param weights: folders that ``jupyter gorilla train encoder`` wrote, by what they are.
    :raises BenchmarkError: if weights, a file or the document cannot be used.
    """
    # Before minutes of measuring.
    check_place(document, "ablation")
    folders = {**weights, SHIPPED: WEIGHTS}
    encoders = {name: _encoder(name, where) for name, where in folders.items()}
    rows = {name: _row(folder, encoder) for name, encoder in {WORDS: None, **encoders}.items()}
    megabytes = {WORDS: 0.0, **{name: _megabytes(where) for name, where in folders.items()}}
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


def _row(folder: Path, encoder: Encoder | None) -> Row:
    loader = None if encoder is None else lambda: encoder
    row = {}
    for hub, name in present_hubs(folder).items():
        apis, questions = folder / "api" / f"{hub}_api.jsonl", folder / f"{hub}_dev.jsonl"
        _, figures, _ = measure(apis, questions, encoder=loader)
        row[name] = {column: round(figures[column], 4) for column in (*SHOWN, MEDIAN)}
    return row


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
