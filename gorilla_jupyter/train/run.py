"""The commands ``jupyter gorilla train check``, ``encoder``, ``arguments`` and ``instructions``."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from gorilla_jupyter.answer import Notice, Progress
from gorilla_jupyter.bench.results import write_results
from gorilla_jupyter.catalog.files import CatalogFileError, read_file
from gorilla_jupyter.catalog.store import CatalogError, CatalogStore
from gorilla_jupyter.model.backend import Conversing, ModelError, load_backend
from gorilla_jupyter.model.encoder import TOKENIZER, WEIGHTS
from gorilla_jupyter.progress_bar import ProgressBar, finish
from gorilla_jupyter.record import ApiRecord
from gorilla_jupyter.train.arguments import learn_arguments, read_cases
from gorilla_jupyter.train.checking import faults
from gorilla_jupyter.train.encoder import LOG, EncoderTraining, Settings
from gorilla_jupyter.train.export import calibrate, compare, export, export_documents, seal
from gorilla_jupyter.train.instructions import (
    FURTHER,
    SHORT,
    Part,
    held_out_of_all,
    part_of,
    read_asides,
    read_further,
    read_instructions,
    read_off_topic,
    shipped_records,
)
from gorilla_jupyter.train.packages import read_packages
from gorilla_jupyter.train.self_instruct import self_instruct


def check(questions: Sequence[Path], further: Sequence[Path] = ()) -> int:
    """Print what is wrong with the instructions, and return how much that is.

    :param questions: APIBench's evaluation questions, JSON lines with an ``instruction``.
    :param further: catalogs that are not shipped; without them, what was written for their APIs is
        not read.
    """
    asked = [
        json.loads(line)["instruction"]
        for path in questions
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    records = shipped_records()
    others = _read_catalogs(further)
    instructions = read_instructions(records) + read_instructions(others, FURTHER)
    short = read_instructions(records, SHORT)
    _, of_packages = read_packages()
    naming = [*short, *of_packages]
    cases, _ = read_cases()
    sentences = [*(case.sentence for case in cases), *read_off_topic(), *read_asides()]
    found = list(faults(instructions, [*records, *others], asked, naming=naming, others=sentences))
    for fault in found:
        where = fault.instruction and fault.instruction.record.api_name
        print(f"{where or 'all'}: {fault.reason}")
    instructions += naming
    apis = {instruction.record.id for instruction in instructions}
    print(f"{len(instructions)} instructions for {len(apis)} APIs, {len(found)} faults")
    return len(found)


def _read_catalogs(paths: Sequence[Path]) -> list[ApiRecord]:
    return [record for path in paths for record in read_file(path, source=path.stem).records]


def train_encoder(
    base: Path,
    folder: Path,
    *,
    further: Sequence[Path] = (),
    epochs: int = Settings.epochs,
    precision: Literal["int8", "fp32"] = "int8",
    weights: Path = WEIGHTS,
    results: Path,
) -> None:
    """Train the encoder, or go on where it was stopped, export it to ``weights`` and write
    ``training.json`` into the folder ``results``.

    :param further: catalogs that are not shipped, and for which there are instructions too.
    :param epochs: how often every instruction is learned; after none, it is the base as it was.
    :raises ExportError: if the exported weights do not do what the full ones do; ``weights`` is as
        it was then.
    """
    records = shipped_records()
    instructions = read_instructions(records)
    off_topic = read_off_topic()
    settings = Settings(epochs=epochs)
    others = _read_catalogs(further)
    packages, of_packages = read_packages()
    short = read_instructions(records, SHORT)
    of_others = read_further(others, [*instructions, *short])
    asked = [*instructions, *short, *of_others, *of_packages]
    documented = [*records, *others, *packages]
    asides = read_asides()
    trainings = [
        EncoderTraining(
            base,
            folder / f"run-{run + 1}",
            documented,
            asked,
            off_topic,
            asides,
            settings,
            run,
        )
        for run in range(settings.runs)
    ]
    for training in trainings:
        training.run()
    training, *further_trainings = trainings
    training.average(further_trainings)
    scores = [_logged_scores(finished.folder / LOG) for finished in trainings]
    validation = [pair for pair in instructions if part_of(pair.record) is Part.VALIDATION]
    texts = [pair.text for pair in validation]
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        cosine = export(training, base / TOKENIZER, work, texts, precision)
        export_documents(records, work)
        full, exported = compare(training, work, records, validation)
        calibration = calibrate(work, texts, off_topic)
        weights.mkdir(parents=True, exist_ok=True)
        for path in work.iterdir():
            shutil.move(path, weights / path.name)
    seal(weights)
    write_results(
        results / "training.json",
        "jupyter gorilla train encoder",
        {
            "settings": asdict(settings),
            "instructions": len(instructions),
            "short_instructions": len(short),
            "further_documents": len(others),
            "further_instructions": len(of_others),
            "package_documents": len(packages),
            "package_instructions": len(of_packages),
            "untrained": scores[0][0],
            "runs": [of_run[-1] for of_run in scores],
            "trained": {
                Part.VALIDATION: training.scores(Part.VALIDATION),
                Part.HELD_OUT: training.scores_of(held_out_of_all),
            },
            "exported_cosine": round(cosine, 4),
            "full_precision": asdict(full),
            "exported": asdict(exported),
            "calibration": asdict(calibration),
        },
    )


def _logged_scores(log: Path) -> list[dict[str, Any]]:
    entries = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    return [entry["scores"] for entry in entries if "scores" in entry]


def train_arguments(results: Path) -> None:
    """Learn where the values of sentences go, print how well, and write ``arguments.json`` into
    the folder ``results``.

    :raises TrainingError: if the cases cannot be read.
    :raises EncoderError: if the encoder is not there.
    """
    measured = learn_arguments()
    if missing := measured["not_installed"]:
        print(f"{len(missing)} APIs are not installed here, or are called differently.")
    for part in (Part.VALIDATION, Part.HELD_OUT):
        print(f"\n{part.value}: {measured['cases'][part.value]} sentences")
        for name, score in measured[part.value].items():
            shares = (f"{key} {score[key]:.3f}" for key in ("precision", "recall", "exact"))
            print(f"  {name:<10} {', '.join(shares)}")
    write_results(results / "arguments.json", "jupyter gorilla train arguments", measured)


def write_instructions(catalog: str, model: str, path: Path, *, each: int) -> bool:
    """Have a model write instructions for one of the catalogs, print what came of it, and return
    whether there are as many as were wanted.

    :raises CatalogError: if there is no such catalog.
    :raises ModelError: if there is no such model, or it writes nothing.
    :raises TrainingError: if the file cannot be used.
    """
    backend = load_backend(model)
    if not isinstance(backend, Conversing):
        raise ModelError(f"The model {model} writes no sentences: name one of your own.")
    try:
        reading = CatalogStore().catalog(catalog).read()
    except CatalogFileError as error:
        raise CatalogError(str(error)) from error
    told = set()
    with ProgressBar() as bar:

        def show(step: Progress | Notice) -> None:
            if isinstance(step, Progress):
                bar.show(step)
            elif step.sentence not in told:
                told.add(step.sentence)
                bar.print(step.sentence)

        report = finish(self_instruct(reading.records, backend, path, each=each), show)
    left_out = report.left_out.total()
    print(
        f"{report.written} instructions written to {path}, {left_out} left out; "
        f"{report.refused} sentences broke a rule."
    )
    for name, count in report.left_out.items():
        print(f"  {name}: {count} left out")
    return not left_out
