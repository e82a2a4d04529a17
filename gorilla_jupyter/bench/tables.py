"""The documentation's tables: this engine beside Gorilla, on the same questions."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from gorilla_jupyter.bench.apibench import (
    COLUMNS,
    Figures,
    cells,
    measure,
    read_apis,
    read_questions,
    score_files,
    scores,
    table,
)
from gorilla_jupyter.bench.functionality import Documentation
from gorilla_jupyter.bench.results import BenchmarkError, write_results
from gorilla_jupyter.model.backend import DEFAULT_MODEL

HUBS: Mapping[str, str] = {
    "huggingface": "Hugging Face",
    "tensorflowhub": "TensorFlow Hub",
    "torchhub": "PyTorch Hub",
}
"""The hubs by their name in file names."""

GORILLA: Mapping[str, str] = {
    "FT_0_shot": "Gorilla-7B, no retriever",
    "RT_bm25": "Gorilla-7B, BM25",
    "RT_gpt_index": "Gorilla-7B, GPT-Index",
    "RT_oracle": "Gorilla-7B, given the right document",
}
"""What Gorilla answered, by its name in file names."""

REFERENCE = "the reference calls themselves"
"""The most that the metric gives."""

Tables = Mapping[str, Mapping[str, Figures]]
"""Figures by hub and system."""


def run(folder: Path, results: Path, document: Path, *, model: str = DEFAULT_MODEL) -> None:
    """Measure, print the tables, write ``apibench.json`` into the folder ``results`` and redraw
    ``document``.

    :param folder: APIBench's files: ``api/HUB_api.jsonl``, ``HUB_dev.jsonl`` and
        ``gorilla_responses/HUB_MODE_dev.jsonl``. What is not there is left out.
    :raises BenchmarkError: if a file or the document cannot be used, or no hub is there.
    :raises ModelError: if there is no such model.
    """
    check_place(document, "tables")  # before minutes of measuring
    tables: dict[str, dict[str, Figures]] = {}
    for hub, name in present_hubs(folder).items():
        tables[name] = _rows(folder, hub, model)
        print(f"\n{name}\n{table(tables[name])}")
    write_results(
        results / "apibench.json",
        "jupyter gorilla bench tables --apibench FOLDER",
        {"tables": tables},
    )
    draw(document, tables)


def files_of(folder: Path, hub: str) -> tuple[Path, Path]:
    """Where a hub's APIs and the questions for them are among APIBench's files."""
    return folder / "api" / f"{hub}_api.jsonl", folder / f"{hub}_dev.jsonl"


def present_hubs(folder: Path) -> dict[str, str]:
    """Those of :data:`HUBS` whose files are there.

    :raises BenchmarkError: if none are.
    """
    present = {hub: name for hub, name in HUBS.items() if files_of(folder, hub)[0].exists()}
    if not present:
        raise BenchmarkError(f"{folder} holds no api/HUB_api.jsonl of {', '.join(HUBS)}.")
    return present


def _rows(folder: Path, hub: str, model: str) -> dict[str, Figures]:
    apis, questions = files_of(folder, hub)
    asked = read_questions(questions)
    calls = {
        number: f"<<<api_call>>>: {question['api_call']}, <<<api_provider>>>: {HUBS[hub]}"
        for number, question in asked.items()
    }
    _, figures, notices = measure(apis, questions, model=model)
    for notice in notices:
        print(f"  {notice}", file=sys.stderr)
    rows = {f"gorilla-jupyter, {model}": figures}
    for mode, name in GORILLA.items():
        responses = folder / "gorilla_responses" / f"{hub}_{mode}_dev.jsonl"
        if responses.exists():
            rows[name] = score_files(apis, questions, responses)
    rows[REFERENCE] = scores(Documentation(read_apis(apis)), asked, calls)
    return {
        name: {column: round(value, 4) for column, value in figures.items()}
        for name, figures in rows.items()
    }


def draw(document: Path, tables: Tables) -> None:
    """Put the tables into a Markdown document, in the place that it marks for them.

    :raises BenchmarkError: if the document marks none, or cannot be read or written.
    """
    drawn = "".join(
        f"\n## {name}\n\n{markdown(COLUMNS, {system: cells(row) for system, row in rows.items()})}"
        for name, rows in tables.items()
    )
    put(document, "tables", drawn)


def check_place(document: Path, name: str) -> tuple[str, int, int]:
    """The text of a document, and from where to where it leaves room for what has that name.

    :raises BenchmarkError: if it cannot be read or leaves none.
    """
    try:
        text = document.read_text(encoding="utf-8")
    except OSError as error:
        raise BenchmarkError(f"{document} cannot be read: {error.strerror}.") from error
    place = re.search(rf"(?<=<!-- {name} -->\n).*?(?=<!-- end of {name} -->)", text, re.DOTALL)
    if place is None:
        raise BenchmarkError(
            f"{document} marks no place for the {name}: write a line '<!-- {name} -->' and, below, "
            f"a line '<!-- end of {name} -->'."
        )
    return text, place.start(), place.end()


def put(document: Path, name: str, drawn: str) -> None:
    """Put Markdown into the place of that name in a document.

    :raises BenchmarkError: as :func:`check_place` does.
    """
    text, start, end = check_place(document, name)
    document.write_text(f"{text[:start]}{drawn}\n{text[end:]}", encoding="utf-8")


def markdown(columns: Iterable[str], rows: Mapping[str, Sequence[str]]) -> str:
    """A table whose rows have names."""
    columns = list(columns)
    lines = [
        ["", *columns],
        ["---", *["---:"] * len(columns)],
        *([name, *row] for name, row in rows.items()),
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
