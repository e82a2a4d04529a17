"""How often the first answer names the right API, how often its cell runs, and how often the cell
does what was asked: sentences with data and an assertion each, in ``cells.toml``.

No sentence is left out because it fails. What is not installed or not indexed counts as failed.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import signal
import site
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gorilla_jupyter.bench.results import write_results
from gorilla_jupyter.index.search import index_folder
from gorilla_jupyter.progress_bar import ProgressBar
from gorilla_jupyter.record import module_name

if TYPE_CHECKING:
    from gorilla_jupyter.engine import Gorilla

SENTENCES = Path(__file__).with_name("cells.toml")
CELL_PROCESS = Path(__file__).with_name("cell_process.py")

FIRST = 5
"""How many candidates may hold the right API for it to count as offered."""

LIMIT = 30.0
"""Seconds that a cell may take, with its data and its assertion."""

PYTHON = "python"
"""The name that the standard library goes by."""


@dataclass(frozen=True)
class Sentence:
    """One need, and how to tell whether it was met.

    :ivar package: the distribution that meets it; ``"python"`` for the standard library.
    :ivar apis: full names of the APIs that do what is asked; each of them is right.
    :ivar check: an expression, or statements that assert, over the names that are bound after the
        cell ran; ``result`` is the value of the cell.
    :ivar solution: the cell that a person would write.
    :ivar setup: Python code that makes the data: files in the current folder, and names.
    """

    package: str
    text: str
    apis: tuple[str, ...]
    check: str
    solution: str
    setup: str = ""


@dataclass(frozen=True)
class Run:
    """What came of running a cell.

    :ivar ran: whether it came to its end without an exception.
    :ivar holds: whether the assertion about its result holds.
    :ivar problem: what went wrong, in a sentence; "" where nothing did.
    """

    ran: bool
    holds: bool
    problem: str = ""


@dataclass(frozen=True)
class Outcome:
    """What came of asking for a sentence and running the first candidate's cell.

    :ivar documented: whether one of the right APIs is in a catalog at all.
    :ivar offered: names of the APIs of the first candidates, best first.
    :ivar code: the first candidate's cell; "" where there was no candidate.
    """

    sentence: Sentence
    documented: bool
    offered: tuple[str, ...]
    code: str
    run: Run

    @property
    def is_first(self) -> bool:
        return self.offered[:1] != () and self.offered[0] in self.sentence.apis

    @property
    def is_offered(self) -> bool:
        return any(name in self.sentence.apis for name in self.offered)

    def to_json(self) -> dict[str, Any]:
        return {
            "package": self.sentence.package,
            "text": self.sentence.text,
            "apis": list(self.sentence.apis),
            "offered": list(self.offered),
            "code": self.code,
            **{name: met(self) for name, met in QUESTIONS.items()},
            "problem": self.run.problem,
        }


QUESTIONS: Mapping[str, Callable[[Outcome], bool]] = {
    "documented": lambda outcome: outcome.documented,
    "first": lambda outcome: outcome.is_first,
    f"in first {FIRST}": lambda outcome: outcome.is_offered,
    "runs": lambda outcome: outcome.run.ran,
    "holds": lambda outcome: outcome.run.holds,
}
"""What is asked of every outcome, by its name in the table."""


def load(path: Path = SENTENCES) -> tuple[Sentence, ...]:
    """The sentences of a TOML file."""
    with path.open("rb") as file:
        items = tomllib.load(file)["sentence"]
    return tuple(Sentence(**{**item, "apis": tuple(item["apis"])}) for item in items)


def run(results: Path, sentences: Sequence[Sentence], *, verbose: bool = False) -> None:
    """Measure, print the table, and write ``cells.json`` into the folder ``results``.

    :param verbose: also list what failed, and why.
    """
    from gorilla_jupyter.engine import Gorilla

    gorilla = Gorilla()
    with ProgressBar() as bar:
        for progress in chain(gorilla.refresh(), gorilla.encode()):
            bar.show(progress)
    packages = dict.fromkeys(sentence.package for sentence in sentences)
    versions = {package: installed_version(package) for package in packages}
    names = documented_names(gorilla)
    counts = {package: _documents_of(package, names) for package in packages}
    for notice in notices(versions, counts):
        print(notice, file=sys.stderr)
    outcomes = measure(gorilla, sentences)
    print(table(outcomes))
    if verbose:
        for outcome in outcomes:
            if not (outcome.is_first and outcome.run.holds):
                print(_told(outcome))
    write_results(
        results / "cells.json",
        "jupyter gorilla bench cells",
        {
            "packages": {
                package: {"version": versions[package], "documents": counts[package]}
                for package in packages
            },
            "figures": figures(outcomes),
            "sentences": [outcome.to_json() for outcome in outcomes],
        },
    )


def measure(gorilla: Gorilla, sentences: Sequence[Sentence]) -> list[Outcome]:
    """Ask for every sentence and run the first candidate's cell."""
    known = documented_names(gorilla)
    with ThreadPoolExecutor(os.cpu_count()) as workers:
        variables = workers.map(variables_for, sentences)
        answers = [
            gorilla.ask(sentence.text, candidates=FIRST, variables=bound)
            for sentence, bound in zip(sentences, variables, strict=True)
        ]
        codes = [answer.candidates[0].code if answer.candidates else "" for answer in answers]
        runs = list(workers.map(_run_offered, codes, sentences))
    return [
        Outcome(
            sentence,
            documented=not known.isdisjoint(sentence.apis),
            offered=tuple(candidate.record.api_name for candidate in answer.candidates),
            code=code,
            run=run,
        )
        for sentence, answer, code, run in zip(sentences, answers, codes, runs, strict=True)
    ]


def _run_offered(code: str, sentence: Sentence) -> Run:
    return run_cell(code, sentence) if code else Run(False, False, "Nothing was offered.")


def documented_names(gorilla: Gorilla) -> frozenset[str]:
    """The names of the APIs in the catalogs that are not shipped."""
    return frozenset(
        record.api_name
        for catalog in gorilla.index.store.catalogs()
        if not catalog.builtin
        for record in catalog.read().records
    )


def run_cell(code: str, sentence: Sentence, *, seconds: float = LIMIT) -> Run:
    """Make the sentence's data, run ``code`` and hold its result against the assertion, in a
    process and a folder of their own, without a display.

    :param seconds: after which it is ended.
    """
    ended, stages = _run(sentence.setup, code, sentence.check, seconds)
    problems = {stage: line["problem"] for stage, line in stages.items()}
    if problem := problems.get("setup", ended):
        return Run(False, False, f"Its data could not be made: {problem}")
    if problem := problems.get("code", ended):
        return Run(False, False, problem)
    problem = problems.get("check", ended)
    return Run(True, not problem, problem)


def variables_for(sentence: Sentence) -> dict[str, str]:
    """What is bound where the sentence is asked, as the magic tells it: its data."""
    _, stages = _run(sentence.setup, "", "True", LIMIT)
    return dict(stages.get("setup", {}).get("variables", {}))


def _run(
    setup: str, code: str, check: str, seconds: float
) -> tuple[str, dict[str, dict[str, Any]]]:
    """How the process ended, in a sentence, and what it reported of each stage."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        job, report = Path(folder, "job.json"), Path(folder, "report.jsonl")
        work, home = Path(folder, "work"), Path(folder, "home")
        work.mkdir()
        home.mkdir()
        job.write_text(json.dumps({"setup": setup, "code": code, "check": check}), encoding="utf-8")
        process = subprocess.Popen(
            [sys.executable, CELL_PROCESS, job, report],
            cwd=work,
            env=_environment(home),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        ended = f"The cell was ended after {seconds:g} seconds."
        try:
            ended = f"The cell ended its process with status {process.wait(seconds)}."
        except subprocess.TimeoutExpired:
            pass
        finally:
            _end(process)
        lines = report.read_text(encoding="utf-8").splitlines() if report.exists() else []
    return ended, {line["stage"]: line for line in map(json.loads, lines)}


def _environment(home: Path) -> dict[str, str]:
    """Nothing of the person's is touched, nothing is shown, and no model hub is asked."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("DISPLAY", "WAYLAND_DISPLAY")
    }
    return environment | {
        "BROWSER": "true",
        "HF_HUB_OFFLINE": "1",
        "HOME": str(home),
        "MPLBACKEND": "Agg",
        # One for all cells: matplotlib lists the fonts of the machine once, which takes seconds.
        "MPLCONFIGDIR": str(index_folder().with_name("matplotlib")),
        "PYTHONUSERBASE": site.getuserbase(),
        "USERPROFILE": str(home),
    }


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and, where the system can, those that it started."""
    if os.name == "posix":
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()


def figures(outcomes: Iterable[Outcome]) -> dict[str, dict[str, int]]:
    """How many sentences there are and how many meet each of :data:`QUESTIONS`, by package and in
    all."""
    groups: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault(outcome.sentence.package, []).append(outcome)
    groups["in all"] = [outcome for group in groups.values() for outcome in group]
    return {
        package: {
            "sentences": len(group),
            **{name: sum(map(met, group)) for name, met in QUESTIONS.items()},
        }
        for package, group in groups.items()
    }


def table(outcomes: Iterable[Outcome]) -> str:
    """:func:`figures` for a person."""
    rows = [f"{'':14}{'sentences':>11}" + "".join(f"{name:>13}" for name in QUESTIONS)]
    for package, row in figures(outcomes).items():
        total = row["sentences"]
        shares = (f"{row[name]} ({row[name] / total:4.0%})" for name in QUESTIONS)
        rows.append(f"{package:14}{total:>11}" + "".join(f"{share:>13}" for share in shares))
    return "\n".join(rows)


def installed_version(package: str) -> str | None:
    """The version that is installed here; None where it is not."""
    if package == PYTHON:
        return platform.python_version()
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def notices(versions: Mapping[str, str | None], documents: Mapping[str, int]) -> Iterator[str]:
    """A sentence for each package that is not installed here, or not indexed."""
    for package, version in versions.items():
        if version is None:
            yield f"{package} is not installed here: its cells count as failed."
    if missing := [package for package, count in documents.items() if not count]:
        yield (
            f"Not indexed: {', '.join(missing)}. Their APIs count as not found; run first: "
            f"jupyter gorilla catalog index {' '.join(missing)}"
        )


def _documents_of(package: str, names: Iterable[str]) -> int:
    modules = sys.stdlib_module_names if package == PYTHON else {module_name(package)}
    return sum(name.partition(".")[0] in modules for name in names)


def _told(outcome: Outcome) -> str:
    offered = ", ".join(outcome.offered) or "nothing"
    lines = [
        f"\n{outcome.sentence.text}",
        f"  right:   {', '.join(outcome.sentence.apis)}"
        + ("" if outcome.documented else "  (in no catalog)"),
        f"  offered: {offered}",
    ]
    if outcome.run.problem:
        lines.append(f"  {outcome.run.problem}")
    return "\n".join(lines)


def check_solutions(sentences: Sequence[Sentence]) -> Iterator[str]:
    """What is wrong with the sentences themselves: APIs that there are not, a solution that does
    not run, an assertion that it does not meet or that is met without it.

    Those of packages that are not installed are named, not checked.
    """
    missing = {
        package
        for package in {sentence.package for sentence in sentences}
        if installed_version(package) is None
    }
    for package in sorted(missing):
        yield f"{package} is not installed here: its solutions were not checked."
    checked = [sentence for sentence in sentences if sentence.package not in missing]
    with ThreadPoolExecutor(os.cpu_count()) as workers:
        for sentence, problem in zip(checked, workers.map(_fault, checked), strict=True):
            if problem:
                yield f"{sentence.text}\n  {problem}"


def _fault(sentence: Sentence) -> str:
    # A sentence may also be met by another package, which need not be here.
    apis = [api for api in sentence.apis if importlib.util.find_spec(api.partition(".")[0])]
    exist = f"import pkgutil\nfor name in {apis!r}:\n    pkgutil.resolve_name(name)\n"
    proof = run_cell(exist + sentence.solution, sentence)
    if proof.problem:
        return proof.problem
    if run_cell("None", sentence).holds:
        return "The assertion holds without a solution."
    return ""
