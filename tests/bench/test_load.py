"""Twenty notebooks at a real server; how long that takes is for the benchmark to tell."""

from __future__ import annotations

import pytest

from gorilla_jupyter.bench import load
from gorilla_jupyter.bench.load import GREEDY, NOTEBOOKS, Asked, Load


@pytest.fixture(scope="module")
def few_answers() -> Load:
    return load.measure(3)


@pytest.mark.slow
def test_nobody_is_refused(few_answers: Load) -> None:
    assert few_answers.errors == []
    assert {asked.notebook for asked in few_answers.asked} == set(range(NOTEBOOKS))


@pytest.mark.slow
def test_a_notebook_that_asks_ten_times_at_once_gets_no_more_turns(few_answers: Load) -> None:
    assert few_answers.served_meanwhile <= 3


def test_who_is_served_while_another_waits_is_counted() -> None:
    others = [Asked(GREEDY, 0.0, ended) for ended in (1.0, 2.0, 3.0, 9.0)]
    assert Load([*others, Asked(1, 0.5, 4.0)], [], (0, 0)).served_meanwhile == 3
