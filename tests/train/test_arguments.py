from __future__ import annotations

import ast
import copy
import json
from pathlib import Path

import pytest

from gorilla_jupyter.answer import CheckStatus
from gorilla_jupyter.model.placing import Offer, Regression, Value
from gorilla_jupyter.record import ApiRecord, Argument
from gorilla_jupyter.train import TrainingError
from gorilla_jupyter.train.arguments import (
    Case,
    Example,
    choose_thresholds,
    fit,
    read_cases,
    score,
)
from gorilla_jupyter.train.instructions import DATA, shipped_records
from gorilla_jupyter.verify import check_documented

ROWS = Argument("nrows", "int", "None")
RECORD = ApiRecord("Data", "Widgets", "Read", "read", "read(path)", (Argument("path", "str"), ROWS))


def an_example(nearness: float, *, is_right: bool) -> Example:
    case = Case("read 5 rows", RECORD, {})
    offer = Offer(ROWS, 5, Value(5, 5, 6))
    return Example(case, offer, {"bias": 1.0, "near": nearness}, is_right)


def told() -> list[dict[str, object]]:
    lines = (DATA / "arguments.jsonl").read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines if line]


def test_what_is_nearer_is_learned_to_be_meant() -> None:
    examples = [an_example(0.9, is_right=True)] * 20 + [an_example(0.1, is_right=False)] * 20
    regression = Regression(fit(examples), 0.5)
    near, far = ({"bias": 1.0, "near": nearness} for nearness in (0.9, 0.1))
    assert regression.probability(near) > 0.8 > 0.2 > regression.probability(far)


def test_the_threshold_leaves_out_what_is_too_often_wrong() -> None:
    sure = [(0.9 + number / 1000, an_example(1, is_right=True)) for number in range(50)]
    unsure = [(0.5 + number / 1000, an_example(1, is_right=False)) for number in range(50)]
    threshold = choose_thresholds([*unsure, *sure])["optional"]
    assert sum(probability >= threshold for probability, _ in unsure) == 2


def test_nothing_is_taken_where_everything_was_wrong() -> None:
    assert choose_thresholds([(0.9, an_example(1, is_right=False))])["optional"] == 1.0


@pytest.mark.parametrize(
    ("call", "precision", "recall", "exact"),
    [
        ("read('a.csv', nrows=5)", 1.0, 1.0, 1.0),
        ("read('a.csv')", 1.0, 0.5, 0.0),
        ("read('b.csv', nrows=5)", 0.5, 0.5, 0.0),
        ("read(path)", 1.0, 0.0, 0.0),
    ],
)
def test_a_call_is_scored_by_its_arguments(
    call: str, precision: float, recall: float, exact: float
) -> None:
    case = Case("5 rows of a.csv", RECORD, {"path": "'a.csv'", "nrows": "5"})
    found = score([case], lambda _: call)
    assert (found.precision, found.recall, found.exact) == (precision, recall, exact)


@pytest.mark.parametrize("content", ["no JSON", "{}", "[1]"])
def test_a_file_without_cases_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "arguments.jsonl"
    path.write_text(content)
    with pytest.raises(TrainingError, match=r"arguments\.jsonl"):
        read_cases(path)


def test_a_case_whose_record_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "arguments.jsonl"
    case = {"instruction": "go", "package": "", "api_name": "gone", "api_call": "gone()"}
    path.write_text(json.dumps({**case, "arguments": {}}))
    assert read_cases(path) == ([], ["gone"])


def test_every_shipped_case_is_documented() -> None:
    records = {(record.api_name, record.api_call): record for record in shipped_records()}
    undocumented = []
    for case in told():
        record = records.get((str(case["api_name"]), str(case["api_call"])))
        if case["package"] or record is None or record.call is None:
            continue
        call = copy.deepcopy(record.call)
        arguments = case["arguments"]
        assert isinstance(arguments, dict)
        shown = {word.arg: word for word in call.keywords}
        for name, text in arguments.items():
            value = ast.parse(text, mode="eval").body
            if name in shown:
                shown[name].value = value
            else:
                call.keywords.append(ast.keyword(name, value))
        if check_documented(record, ast.unparse(call)).status is not CheckStatus.PASSED:
            undocumented.append(case)
    assert undocumented == []


def test_a_third_of_the_cases_give_nothing() -> None:
    cases = told()
    assert sum(not case["arguments"] for case in cases) >= len(cases) / 3
