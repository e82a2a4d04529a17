from __future__ import annotations

import importlib.metadata
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gorilla_jupyter import cli
from gorilla_jupyter.bench import cells
from gorilla_jupyter.bench.cells import Outcome, Run, Sentence, run_cell
from gorilla_jupyter.catalog.store import CatalogStore
from gorilla_jupyter.engine import Gorilla
from gorilla_jupyter.index.search import DocumentIndex

ROOT = Sentence(
    package="python",
    text="square root of the number",
    apis=("math.sqrt",),
    setup="number = 16",
    check="result == 4",
    solution="import math\nmath.sqrt(number)",
)


def record(api_name: str, api_call: str, functionality: str, **fields: Any) -> dict[str, Any]:
    module = api_name.partition(".")[0]
    return {
        "domain": "Numbers",
        "framework": "Python",
        "functionality": functionality,
        "api_name": api_name,
        "api_call": api_call,
        "example_code": f"import {module}\n{api_call}",
        **fields,
    }


@pytest.fixture
def gorilla(tmp_path: Path) -> Gorilla:
    """An engine that knows three functions and nothing else."""
    records = (
        record("math.sqrt", "math.sqrt(number)", "Square root of a number"),
        record("math.isqrt", "math.isqrt(wording)", "Whole square root, rounded down"),
        record("math.factorial", "math.factorial(number)", "Factorial of a number"),
    )
    path = tmp_path / "numbers.jsonl"
    path.write_text("".join(json.dumps(value) + "\n" for value in records))
    store = CatalogStore(builtin=None)
    store.add(path)
    return Gorilla(DocumentIndex(store))


def asked(gorilla: Gorilla, **changes: Any) -> Outcome:
    (outcome,) = cells.measure(gorilla, [replace(ROOT, **changes)])
    return outcome


def test_the_right_api_is_first_runs_and_holds(gorilla: Gorilla) -> None:
    outcome = asked(gorilla)
    assert (outcome.is_first, outcome.is_offered, outcome.run) == (True, True, Run(True, True))


def test_a_wrong_api_runs_but_does_not_hold(gorilla: Gorilla) -> None:
    outcome = asked(gorilla, text="factorial of the number")
    assert (outcome.is_first, outcome.run.ran, outcome.run.holds) == (False, True, False)


def test_the_right_api_may_be_offered_behind_another(gorilla: Gorilla) -> None:
    outcome = asked(gorilla, apis=("math.isqrt",))
    assert (outcome.is_first, outcome.is_offered) == (False, True)


def test_an_api_that_no_catalog_has_is_not_documented(gorilla: Gorilla) -> None:
    assert not asked(gorilla, apis=("math.cbrt",)).documented


def test_a_cell_whose_names_are_unbound_does_not_run(gorilla: Gorilla) -> None:
    outcome = asked(gorilla, text="whole square root, rounded down")
    assert outcome.run == Run(False, False, "NameError: name 'wording' is not defined")


def test_a_sentence_without_an_answer_fails(gorilla: Gorilla) -> None:
    assert asked(gorilla, text="bake bread").run == Run(False, False, "Nothing was offered.")


def test_figures_count_the_whole_list(gorilla: Gorilla) -> None:
    sentences = [ROOT, replace(ROOT, package="numpy", text="bake bread")]
    figures = cells.figures(cells.measure(gorilla, sentences))
    assert figures["in all"] == {
        **{"sentences": 2, "documented": 2, "first": 1, "in first 5": 1, "runs": 1, "holds": 1}
    }


def test_the_table_has_a_row_for_each_package_and_one_for_all(gorilla: Gorilla) -> None:
    sentences = [ROOT, replace(ROOT, package="numpy")]
    rows = cells.table(cells.measure(gorilla, sentences)).splitlines()
    assert [row[:14].strip() for row in rows] == ["", "python", "numpy", "in all"]


@pytest.mark.parametrize(
    "code",
    [
        "number ** 0.5",
        "root = number ** 0.5",
        "root = number ** 0.5\nprint(root, end='')\nfor _ in (): pass",
        "print('noise')\nimport sys\nprint('noise', file=sys.stderr)\n4",
    ],
)
def test_the_result_is_the_last_expression_or_else_the_last_assignment(code: str) -> None:
    assert run_cell(code, ROOT) == Run(True, True)


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import sys\nsys.exit('enough')", "SystemExit: enough"),
        ("import os\nos._exit(3)", "The cell ended its process with status 3."),
        ("input()", "EOFError: EOF when reading a line"),
        ("this is no Python", "SyntaxError: invalid syntax (<unknown>, line 1)"),
    ],
)
def test_a_cell_that_does_not_come_to_its_end_did_not_run(code: str, problem: str) -> None:
    assert run_cell(code, ROOT) == Run(False, False, problem)


def test_the_variables_of_a_sentence_are_those_that_its_data_binds() -> None:
    sentence = replace(ROOT, setup="import math\nnumber = 16\nnames = ['a']")
    assert cells.variables_for(sentence) == {"number": "int", "names": "list"}


def test_a_cell_that_hangs_is_ended() -> None:
    run = run_cell("while True: pass", ROOT, seconds=1)
    assert run == Run(False, False, "The cell was ended after 1 seconds.")


def test_a_result_whose_check_hangs_does_not_hold() -> None:
    run = run_cell("iter(int, 1)", replace(ROOT, check="list(result)"), seconds=1)
    assert (run.ran, run.holds) == (True, False)


def test_a_cell_does_not_find_what_only_its_setup_imported() -> None:
    sentence = replace(ROOT, setup="import math\nnumber = 16", check="math.isclose(result, 4)")
    assert run_cell("math.sqrt(number)", sentence).ran is False


def test_a_cell_writes_into_a_folder_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sentence = replace(ROOT, check="open('note.txt').read() == 'x'")
    assert run_cell("open('note.txt', 'w').write('x')", sentence).holds
    assert not (tmp_path / "note.txt").exists()


def test_the_command_can_check_the_sentences_themselves(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cells, "load", lambda: (ROOT, replace(ROOT, solution="number")))
    assert cli.main(["bench", "cells", "--solutions"]) == 1
    assert "2 sentences, 1 problems." in capsys.readouterr().out


def test_what_is_not_installed_or_not_indexed_is_said() -> None:
    told = list(cells.notices({"pandas": None, "numpy": "2.0"}, {"pandas": 7, "numpy": 0}))
    assert told == [
        "pandas is not installed here: its cells count as failed.",
        "Not indexed: numpy. Their APIs count as not found; run first: "
        "jupyter gorilla catalog index numpy",
    ]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"solution": "number"}, "AssertionError: result is 16"),
        ({"check": "True"}, "The assertion holds without a solution."),
        ({"apis": ("math.squareroot",)}, "AttributeError"),
        ({"setup": "1 / 0"}, "Its data could not be made: ZeroDivisionError"),
    ],
)
def test_a_sentence_that_is_wrong_itself_is_told(changes: dict[str, Any], problem: str) -> None:
    (told,) = cells.check_solutions([replace(ROOT, **changes)])
    assert problem in told


def test_nothing_is_told_of_a_sentence_that_is_proven() -> None:
    assert list(cells.check_solutions([ROOT])) == []


def test_there_are_150_sentences_over_six_packages() -> None:
    counts = Counter(sentence.package for sentence in cells.load())
    assert counts.total() >= 150
    assert set(counts) == {"pandas", "numpy", "scikit-learn", "matplotlib", "scipy", "python"}
    assert min(counts.values()) >= 25


def test_no_sentence_is_there_twice() -> None:
    texts = [sentence.text for sentence in cells.load()]
    assert len(set(texts)) == len(texts)


def test_no_sentence_names_its_api_in_full() -> None:
    assert not [
        sentence.text
        for sentence in cells.load()
        if any(api in sentence.text for api in sentence.apis)
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    "package", ["pandas", "numpy", "scikit-learn", "matplotlib", "scipy", "python"]
)
def test_every_sentence_is_proven_by_its_solution(package: str) -> None:
    if package != "python":
        try:
            importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            pytest.skip(f"{package} is not installed")
    sentences = [sentence for sentence in cells.load() if sentence.package == package]
    assert list(cells.check_solutions(sentences)) == []


def test_the_command_writes_every_outcome(
    gorilla: Gorilla,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(cells, "load", lambda: (ROOT,))
    results = tmp_path / "results"
    assert cli.main(["bench", "cells", "--verbose", "--results", str(results)]) == 0
    assert "in all" in capsys.readouterr().out
    written = json.loads((results / "cells.json").read_text())
    assert [item["text"] for item in written["sentences"]] == [ROOT.text]
    assert written["packages"]["python"]["documents"] == 3
