from __future__ import annotations

import re
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def demo() -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "jupyter", "gorilla", "demo", "--headless"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_demo_succeeds(demo: subprocess.CompletedProcess[str]) -> None:
    assert demo.returncode == 0, demo.stdout + demo.stderr


def test_at_least_eight_sentences_become_cells(demo: subprocess.CompletedProcess[str]) -> None:
    assert demo.stdout.count("=> documented passed") >= 8


def test_no_cell_holds_an_undocumented_call(demo: subprocess.CompletedProcess[str]) -> None:
    assert not re.search("=> documented (failed|unknown)", demo.stdout)
