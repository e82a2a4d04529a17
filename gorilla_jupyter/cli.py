"""``jupyter gorilla``: the engine in a terminal."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gorilla_jupyter import __version__

if TYPE_CHECKING:
    from gorilla_jupyter.engine import Gorilla


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0, or 1 where it could not do its work."""
    from gorilla_jupyter.answer import RequestError
    from gorilla_jupyter.bench.results import BenchmarkError
    from gorilla_jupyter.catalog.store import CatalogError
    from gorilla_jupyter.model.backend import ModelError
    from gorilla_jupyter.train import TrainingError

    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except BrokenPipeError:
        # The reader, such as head, has seen enough; nothing more can be flushed to it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (BenchmarkError, CatalogError, ModelError, RequestError, TrainingError) as error:
        print(error, file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    from gorilla_jupyter.model.backend import DEFAULT_MODEL
    from gorilla_jupyter.train.commands import add_steps, positive

    parser = argparse.ArgumentParser(
        prog="jupyter gorilla", description="One sentence in, one verified API call out, offline."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    ask = commands.add_parser("ask", help="turn a sentence into a verified API call")
    ask.add_argument("text", nargs="+", help="what you want, in a sentence")
    ask.add_argument("--json", action="store_true", help="print the answer as JSON")
    ask.add_argument("-n", "--candidates", type=int, default=3, help="how many answers (3)")
    ask.add_argument("--model", default=DEFAULT_MODEL, help=f"who answers ({DEFAULT_MODEL})")
    ask.set_defaults(run=_ask)

    search = commands.add_parser("search", help="search the API documentation")
    search.add_argument("text", nargs="+", help="what to look for")
    search.add_argument("--json", action="store_true", help="print the documents as JSON")
    search.add_argument("-k", "--documents", type=int, default=10, help="how many (10)")
    search.set_defaults(run=_search)

    catalog = commands.add_parser("catalog", help="see and change what is known")
    actions = catalog.add_subparsers(required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="list the catalogs and count their records")
    listing.add_argument(
        "--by", choices=("framework", "domain"), help="count per framework or domain"
    )
    listing.set_defaults(run=_catalog_list)
    add = actions.add_parser("add", help="add the APIs of a JSON, JSONL or YAML file")
    add.add_argument("file", type=Path, help="API records, or an OpenAPI 3 document")
    add.add_argument("--name", help="what to call the catalog (the file's name)")
    add.set_defaults(run=_catalog_add)
    export = actions.add_parser("export", help="write a catalog for others to add")
    export.add_argument("name")
    export.add_argument("file", type=Path, nargs="?", help="a new file (NAME.jsonl)")
    export.set_defaults(run=_catalog_export)
    check = actions.add_parser("check", help="hold every shipped record against its package")
    check.add_argument(
        "--record", action="store_true", help="store the installed packages' signatures"
    )
    check.set_defaults(run=_catalog_check)
    index = actions.add_parser(
        "index", help="read what is installed", description="Read what is installed."
    )
    index.add_argument(
        "distributions",
        nargs="*",
        metavar="NAME",
        help="a distribution, or 'python' for the standard library; none brings what is there up "
        "to date",
    )
    index.add_argument(
        "--python", default="", metavar="PATH", help="the interpreter that has them (this one)"
    )
    index.set_defaults(run=_catalog_index)
    sync = actions.add_parser("sync", help="collect a hub's top models, over the network")
    sync.add_argument("hub", choices=["huggingface", "pytorch", "tensorflow"])
    sync.add_argument("--top", type=int, default=20, help="how many models of each task (20)")
    sync.add_argument("--url", help="a mirror's address, instead of the hub's")
    sync.set_defaults(run=_catalog_sync)
    remove = actions.add_parser("remove", help="remove one of your catalogs")
    remove.add_argument("name")
    remove.set_defaults(run=_catalog_remove)

    doctor = commands.add_parser(
        "doctor", help="tell what is there, what is missing, what mends it"
    )
    doctor.set_defaults(run=_doctor)

    demo = commands.add_parser("demo", help="open JupyterLab on a quickstart notebook")
    demo.add_argument(
        "--headless", action="store_true", help="run it without a browser and print each cell"
    )
    demo.set_defaults(run=_demo)

    model = commands.add_parser("model", help="manage models of your own")
    model_actions = model.add_subparsers(required=True, metavar="ACTION")
    listing = model_actions.add_parser("list", help="known models, and those in the hub's cache")
    listing.set_defaults(run=_model_list)
    pulling = model_actions.add_parser("pull", help="download a model, over the network")
    pulling.add_argument("id", help="its name on the Hugging Face hub")
    pulling.set_defaults(run=_model_pull)
    described = model_actions.add_parser("info", help="tell what is known of a model")
    described.add_argument("id")
    described.set_defaults(run=_model_info)
    removing = model_actions.add_parser("remove", help="remove a model from the hub's cache")
    removing.add_argument("id")
    removing.set_defaults(run=_model_remove)
    exporting = model_actions.add_parser("export", help="make a decoder for onnxruntime of a model")
    exporting.add_argument("source", help="a model's folder, or its id in the hub's cache")
    exporting.add_argument("folder", type=Path, help="a new folder")
    exporting.add_argument("--precision", choices=("int8", "fp32", "int4"), default="int8")
    exporting.set_defaults(run=_model_export)

    bench = commands.add_parser("bench", help="measure this machine")
    benchmarks = bench.add_subparsers(required=True, metavar="BENCHMARK")
    latency = benchmarks.add_parser("latency", help="what start-up and questions cost")
    latency.add_argument("--results", type=Path, default=Path("results"), help="folder (results)")
    latency.set_defaults(run=_bench_latency)
    load = benchmarks.add_parser("load", help="twenty notebooks that ask one server at once")
    load.add_argument("--results", type=Path, default=Path("results"), help="folder (results)")
    load.add_argument("--model", default=DEFAULT_MODEL, help=f"who answers ({DEFAULT_MODEL})")
    load.add_argument("--answers", type=int, default=50, help="answers for each notebook (50)")
    load.set_defaults(run=_bench_load)
    cells = benchmarks.add_parser(
        "cells", help="how often the first answer is right, runs, and does what was asked"
    )
    cells.add_argument("--results", type=Path, default=Path("results"), help="folder (results)")
    cells.add_argument("--verbose", action="store_true", help="also list what failed, and why")
    cells.add_argument(
        "--solutions", action="store_true", help="check the sentences themselves instead"
    )
    cells.set_defaults(run=_bench_cells)
    at_once = (
        "how many are asked before the first is answered: 8 suit a model that writes; more than 1 "
        "tell no times (1)"
    )
    apibench = benchmarks.add_parser("apibench", help="answer APIBench's questions on one API file")
    apibench.add_argument("--apis", type=Path, required=True, help="all that is searched (JSONL)")
    apibench.add_argument("--questions", type=Path, required=True, help="questions (JSONL)")
    apibench.add_argument("--responses", type=Path, required=True, help="file to write")
    apibench.add_argument("--model", default=DEFAULT_MODEL, help=f"who answers ({DEFAULT_MODEL})")
    apibench.add_argument(
        "--mode",
        choices=("retriever", "oracle", "zero-shot"),
        default="retriever",
        help="what it reads: the documents that are found, the right one, or none (retriever)",
    )
    apibench.add_argument("--every", type=positive, default=1, help="ask every so many of them (1)")
    apibench.add_argument("--at-once", type=positive, default=1, help=at_once)
    apibench.set_defaults(run=_bench_apibench)
    models = benchmarks.add_parser("models", help="what a model of your own costs, and how it does")
    models.add_argument("--apis", type=Path, required=True, help="all that is searched (JSONL)")
    models.add_argument("--questions", type=Path, required=True, help="questions (JSONL)")
    models.add_argument("--model", required=True, help="who answers, e.g. onnx:FOLDER")
    models.add_argument("--every", type=positive, default=1, help="ask every so many of them (1)")
    models.add_argument("--at-once", type=positive, default=1, help=at_once)
    models.add_argument(
        "--unconstrained", action="store_true", help="do not hold what it writes to the documents"
    )
    models.set_defaults(run=_bench_models)
    refusals = benchmarks.add_parser(
        "refusals", help="how often nothing fits, off topic and otherwise"
    )
    refusals.add_argument("--results", type=Path, default=Path("results"), help="folder (results)")
    refusals.set_defaults(run=_bench_refusals)
    typed = benchmarks.add_parser("typed", help="how often what people type finds the right task")
    typed.add_argument("--results", type=Path, default=Path("results"), help="folder (results)")
    typed.set_defaults(run=_bench_typed)
    score = benchmarks.add_parser("score", help="score anyone's answers to APIBench's questions")
    score.add_argument("--apis", type=Path, required=True, help="the API records (JSONL)")
    score.add_argument("--questions", type=Path, required=True, help="questions (JSONL)")
    score.add_argument("--responses", type=Path, required=True, help="the answers (JSONL)")
    score.set_defaults(run=_bench_score)
    tables = benchmarks.add_parser(
        "tables", help="measure all hubs beside Gorilla and redraw the documentation's tables"
    )
    tables.add_argument(
        "--apibench", type=Path, required=True, metavar="FOLDER", help="APIBench's files"
    )
    tables.add_argument("--model", default=DEFAULT_MODEL, help=f"who answers ({DEFAULT_MODEL})")
    tables.set_defaults(run=_bench_tables)

    ablation = benchmarks.add_parser("ablation", help="what each part of the embedded model adds")
    ablation.add_argument(
        "--apibench", type=Path, required=True, metavar="FOLDER", help="APIBench's files"
    )
    ablation.add_argument(
        "--weights",
        type=_named_folder,
        nargs="*",
        action="extend",
        default=[],
        metavar="NAME=FOLDER",
        help="other weights than those shipped, that 'train encoder --weights' wrote",
    )
    ablation.add_argument(
        "--first-run",
        metavar="NAME",
        help="which of these the first run of a training made: tells how they do on the APIs that "
        "it held out",
    )
    for measuring in (models, tables, ablation):
        measuring.add_argument(
            "--results", type=Path, default=Path("results"), help="folder (results)"
        )
        measuring.add_argument(
            "--document",
            type=Path,
            default=Path("docs/benchmark.md"),
            help="where the tables stand (docs/benchmark.md)",
        )
    ablation.set_defaults(run=_bench_ablation)

    add_steps(commands.add_parser("train", help="make the embedded model, or one of your own"))
    return parser


def _named_folder(text: str) -> tuple[str, Path]:
    name, _, folder = text.rpartition("=")
    if not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form NAME=FOLDER")
    return name, Path(folder)


def _ask(options: argparse.Namespace) -> int:
    from gorilla_jupyter.magics.render import answer_text
    from gorilla_jupyter.verify import verify_here

    text = " ".join(options.text)
    answer = _gorilla().ask(text, candidates=options.candidates, model=options.model)
    answer = verify_here(answer)
    print(_json(answer.to_json()) if options.json else answer_text(answer, inserted=None))
    return 0


def _search(options: argparse.Namespace) -> int:
    from gorilla_jupyter.magics.render import documents_text

    result = _gorilla().search(" ".join(options.text), limit=options.documents)
    print(_json(result.to_json()) if options.json else documents_text(result))
    return 0


def _catalog_list(options: argparse.Namespace) -> int:
    from gorilla_jupyter.catalog.files import CatalogFileError
    from gorilla_jupyter.catalog.store import CatalogStore

    counts: Counter[str] = Counter()
    for catalog in CatalogStore().catalogs():
        try:
            reading = catalog.read()
        except CatalogFileError as error:
            _print_problems([error])
            continue
        if options.by and catalog.hidden_by is None:
            counts.update(getattr(record, options.by) for record in reading.records)
        elif not options.by:
            count = len(reading.records)
            print(f"{catalog.name:24}{count:6} records  {catalog.origin:8} {catalog.path}")
            if catalog.notice:
                print(f"  {catalog.notice}")
        _print_problems(reading.refusals)
    for name, count in counts.most_common():
        print(f"{count:6}  {name}")
    return 0


def _catalog_add(options: argparse.Namespace) -> int:
    from gorilla_jupyter.catalog.store import CatalogStore

    addition = CatalogStore().add(options.file, name=options.name)
    count = len(addition.reading.records)
    if addition.unchanged:
        print(f"The catalog '{addition.name}' holds these {count} records already.")
    else:
        verb = "Replaced" if addition.replaced else "Added"
        print(f"{verb} the catalog '{addition.name}': {count} records.")
    for notice in addition.notices:
        print(notice)
    _print_problems(addition.reading.refusals)
    return 1 if addition.reading.refusals else 0


def _catalog_export(options: argparse.Namespace) -> int:
    from gorilla_jupyter.catalog.store import CatalogStore

    path = options.file or Path(f"{options.name}.jsonl")
    reading = CatalogStore().export(options.name, path)
    print(f"Wrote {len(reading.records)} records to {path}.")
    _print_problems(reading.refusals)
    return 1 if reading.refusals else 0


def _catalog_check(options: argparse.Namespace) -> int:
    from gorilla_jupyter.catalog.check import check, merged
    from gorilla_jupyter.catalog.signatures import load_table, write_table
    from gorilla_jupyter.catalog.store import CatalogStore

    catalogs = [catalog for catalog in CatalogStore().catalogs() if catalog.builtin]
    table = load_table()
    report = check((record for catalog in catalogs for record in catalog.read().records), table)
    if options.record:
        write_table(merged(table, report))
    for module, package in report.against.items():
        how = "installed" if module in report.installed else f"as of {package.date}"
        print(f"{package.distribution} {package.version} ({how})")
    for line in (*report.drift, *report.problems):
        print(line)
    print(f"{report.records} records, {len(report.problems)} problems.")
    return 1 if report.problems else 0


def _catalog_index(options: argparse.Namespace) -> int:
    from gorilla_jupyter.answer import Progress
    from gorilla_jupyter.catalog.environment import State, index_environment
    from gorilla_jupyter.progress_bar import ProgressBar

    failed = False
    try:
        with ProgressBar() as bar:
            for step in index_environment(options.distributions, executable=options.python):
                if isinstance(step, Progress):
                    bar.show(step)
                else:
                    failed = failed or step.state is State.FAILED
                    bar.print(str(step))
        _gorilla()
    except KeyboardInterrupt:
        print("Stopped. What was finished is kept; the same command does the rest.")
        return 1
    return 1 if failed else 0


def _catalog_sync(options: argparse.Namespace) -> int:
    from gorilla_jupyter.catalog.hubs import sync
    from gorilla_jupyter.progress_bar import ProgressBar

    try:
        with ProgressBar() as bar:
            report = sync(options.hub, top=options.top, url=options.url, show=bar.show)
    except KeyboardInterrupt:
        print(
            "Stopped; the catalogs are as they were. Run the same command to go on.",
            file=sys.stderr,
        )
        return 130
    _print_problems(report.refusals)
    print(report)
    return 0 if report.complete else 1


def _catalog_remove(options: argparse.Namespace) -> int:
    from gorilla_jupyter.catalog.store import CatalogStore

    CatalogStore().remove(options.name)
    print(f"Removed the catalog '{options.name}'.")
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from gorilla_jupyter.doctor import examine

    findings = examine()
    for finding in findings:
        print(finding)
    return 0 if all(finding.healthy for finding in findings) else 1


def _demo(options: argparse.Namespace) -> int:
    from gorilla_jupyter.demo import quickstart

    return quickstart.run_headless() if options.headless else quickstart.open_in_browser()


def _model_list(options: argparse.Namespace) -> int:
    from gorilla_jupyter.model import registry

    machine = registry.this_machine()
    for model in registry.KNOWN:
        where = machine.runs(model)
        needed = model.bytes_needed(gpu=where == "GPU") / registry.GIB
        print(
            f"{model.id:38}{model.parameters:6} M parameters  {model.licence:12}"
            f"{needed:5.1f} GiB  {f'runs here ({where})' if where else 'too big for here'}"
        )
    for cached in registry.cached():
        size = cached.size / registry.GIB
        print(f"{cached.id:38}{size:6.2f} GiB in the cache, use it as hf:{cached.id}")
    return 0


def _model_pull(options: argparse.Namespace) -> int:
    from gorilla_jupyter.model import registry

    try:
        for progress in registry.pull(options.id):
            print(f"{progress.done}/{progress.total} {progress.message}")
    except KeyboardInterrupt:
        print("Stopped. The same command goes on from there.", file=sys.stderr)
        return 130
    print(f"Use it as hf:{options.id}.")
    return 0


def _model_info(options: argparse.Namespace) -> int:
    from gorilla_jupyter.model import registry
    from gorilla_jupyter.model.backend import ModelError

    known = [model for model in registry.KNOWN if model.id == options.id]
    cached = [model for model in registry.cached() if model.id == options.id]
    for model in known:
        print(f"{model.parameters} million parameters, licence {model.licence}")
        for place in ("CPU", "GPU"):
            needed = model.bytes_needed(gpu=place == "GPU") / registry.GIB
            print(f"needs {needed:.1f} GiB on a {place}")
    for found in cached:
        print(f"revision {found.revision}, {found.size / registry.GIB:.2f} GiB in {found.folder}")
    if not known and not cached:
        raise ModelError(f"{options.id} is not known, and not in the hub's cache.")
    return 0


def _model_remove(options: argparse.Namespace) -> int:
    from gorilla_jupyter.model import registry

    freed = registry.remove(options.id)
    print(f"Removed {options.id}: {freed / registry.GIB:.2f} GiB are free again.")
    return 0


def _model_export(options: argparse.Namespace) -> int:
    from gorilla_jupyter.answer import Progress
    from gorilla_jupyter.model.export import export
    from gorilla_jupyter.progress_bar import ProgressBar

    with ProgressBar() as bar:
        for step in export(options.source, options.folder, precision=options.precision):
            if isinstance(step, Progress):
                bar.show(step)
            else:
                bar.print(str(step))
    print(f"Exported to {options.folder}: use it as onnx:{options.folder}.")
    return 0


def _bench_latency(options: argparse.Namespace) -> int:
    from gorilla_jupyter.bench import latency

    latency.run(options.results)
    return 0


def _bench_load(options: argparse.Namespace) -> int:
    from gorilla_jupyter.bench import load

    load.run(options.results, model=options.model, answers=options.answers)
    return 0


def _bench_cells(options: argparse.Namespace) -> int:
    from gorilla_jupyter.bench import cells

    sentences = cells.load()
    if not options.solutions:
        cells.run(options.results, sentences, verbose=options.verbose)
        return 0
    problems = list(cells.check_solutions(sentences))
    for problem in problems:
        print(problem)
    print(f"{len(sentences)} sentences, {len(problems)} problems.")
    return 1 if problems else 0


def _bench_apibench(options: argparse.Namespace) -> int:
    from gorilla_jupyter.bench import apibench
    from gorilla_jupyter.bench.modes import Mode

    responses, figures, notices = apibench.measure(
        options.apis,
        options.questions,
        model=options.model,
        mode=Mode(options.mode),
        every=options.every,
        at_once=options.at_once,
    )
    apibench.write_responses(options.responses, responses)
    _print_problems(notices)
    print(apibench.table({options.model: figures}))
    return 0


def _bench_models(options: argparse.Namespace) -> int:
    from gorilla_jupyter.bench import models

    models.run(
        options.apis,
        options.questions,
        options.results,
        options.document,
        model=options.model,
        every=options.every,
        at_once=options.at_once,
        constrained=not options.unconstrained,
    )
    return 0


def _bench_refusals(options: argparse.Namespace) -> int:
    from gorilla_jupyter.bench import refusals

    refusals.run(options.results)
    return 0


def _bench_typed(options: argparse.Namespace) -> int:
    from gorilla_jupyter.bench import typed

    typed.run(options.results)
    return 0


def _bench_score(options: argparse.Namespace) -> int:
    from gorilla_jupyter.bench import apibench

    figures = apibench.score_files(options.apis, options.questions, options.responses)
    print(apibench.table({options.responses.stem: figures}))
    return 0


def _bench_tables(options: argparse.Namespace) -> int:
    from gorilla_jupyter.bench import tables

    tables.run(options.apibench, options.results, options.document, model=options.model)
    return 0


def _bench_ablation(options: argparse.Namespace) -> int:
    from gorilla_jupyter.bench import ablation

    ablation.run(
        options.apibench,
        dict(options.weights),
        options.results,
        options.document,
        first_run=options.first_run,
    )
    return 0


def _gorilla() -> Gorilla:
    """The engine, its index brought up to date with a bar on standard error."""
    from gorilla_jupyter.engine import Gorilla
    from gorilla_jupyter.progress_bar import ProgressBar

    gorilla = Gorilla()
    with ProgressBar() as bar:
        for progress in gorilla.refresh():
            bar.show(progress)
    return gorilla


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)


def _print_problems(problems: Iterable[object]) -> None:
    for problem in problems:
        print(f"  {problem}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
