"""What is told of a person's variables."""

from __future__ import annotations

import math
from typing import Any

import pytest

from gorilla_jupyter.variables import MOST, variables_of


def test_values_are_told_by_name_and_class() -> None:
    bound = {"rows": [1], "table": {"a": 1}, "function": lambda: None}
    assert variables_of(bound) == {"rows": "list", "table": "dict", "function": "function"}


@pytest.mark.parametrize(
    ("name", "value"), [("math", math), ("Any", str), ("_", 1), ("__", 1), ("not a name", 1)]
)
def test_what_is_no_value_of_the_persons_is_left_out(name: str, value: Any) -> None:
    assert variables_of({name: value}) == {}


def test_of_very_many_those_bound_last_are_told() -> None:
    told = variables_of({f"number{place}": place for place in range(MOST + 1)})
    assert ("number0" in told, f"number{MOST}" in told) == (False, True)
