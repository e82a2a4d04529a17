"""What is asked of functions of installed packages."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from gorilla_jupyter.bench.cells import SENTENCES
from gorilla_jupyter.train import TrainingError, packages
from gorilla_jupyter.train.checking import alike
from gorilla_jupyter.train.packages import FILES, HUB, read_packages

TEA = '''
def brew(leaves):
    """Steep the leaves in hot water."""


def pour(pot):
    """Fill the cups from the pot."""
'''


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes the instruction for a function of the package tea the only one."""

    def asked(function: str) -> None:
        path = tmp_path / "packages.jsonl"
        pair = {"instruction": "a pot of green tea, please", "package": "tea"}
        pair |= {"api_name": f"tea.{function}", "api_call": f"tea.{function}(leaves)"}
        path.write_text(json.dumps(pair) + "\n")
        monkeypatch.setattr(packages, "FILES", (path,))

    return asked


def test_instructions_come_with_their_documents_and_others(
    install_module: Callable[..., None], asked: Callable[[str], None]
) -> None:
    install_module("tea", TEA)
    asked("brew")
    records, (instruction,) = read_packages()
    assert instruction.text == "a pot of green tea, please"
    assert instruction.record.description == "Steep the leaves in hot water."
    assert {record.api_name for record in records} == {"tea.brew", "tea.pour"}
    assert {record.source for record in records} == {HUB}


def test_a_function_that_is_not_there_is_named(
    install_module: Callable[..., None], asked: Callable[[str], None]
) -> None:
    install_module("tea", TEA)
    asked("boil")
    with pytest.raises(TrainingError, match=r"1 APIs are not installed here.*tea\.boil of tea"):
        read_packages()


def test_what_is_no_instruction_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "packages.jsonl"
    path.write_text("[]\n")
    monkeypatch.setattr(packages, "FILES", (path,))
    with pytest.raises(TrainingError, match=r"packages\.jsonl cannot be read"):
        read_packages()


def shipped() -> list[dict[str, str]]:
    return [json.loads(line) for line in FILES[0].read_text().split("\n") if line]


def test_the_shipped_ones_are_of_packages_that_bench_cells_asks_for_too() -> None:
    counts = Counter(pair["package"] for pair in shipped())
    assert counts.keys() == {"matplotlib", "numpy", "pandas", "python", "scikit-learn", "scipy"}
    assert min(counts.values()) > 400


def test_nothing_is_learned_that_bench_cells_asks() -> None:
    measured = [sentence["text"] for sentence in tomllib.loads(SENTENCES.read_text())["sentence"]]
    assert not [
        (pair["instruction"], text)
        for pair in shipped()
        for text in measured
        if alike(pair["instruction"], text)
    ]
