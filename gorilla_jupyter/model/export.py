"""From a model in torch to a decoder in onnxruntime, held against the one that it came from."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from gorilla_jupyter.answer import Progress
from gorilla_jupyter.model.backend import ModelError
from gorilla_jupyter.model.batch import Decoder
from gorilla_jupyter.model.decoding import LoadedModel
from gorilla_jupyter.model.onnx import OnnxBackend
from gorilla_jupyter.model.transformers import TransformersBackend
from gorilla_jupyter.progress_bar import finish

PRECISIONS = ("int8", "fp32", "int4")
"""How the weights may be stored, the usual first."""

LEAST_AGREEMENT = 0.9
"""How often both must think the same token the likeliest."""

MOST_PERPLEXITY = 1.1
"""By how much, as a factor, the export's perplexity may be the higher."""

TEXT = (
    "A pipeline wraps everything that a task needs: it loads a model with its tokenizer, turns "
    "the input into tensors, runs the network, and gives back plain values. To transcribe a "
    "recording, pass the path of a sound file; to translate, pass a sentence and name both "
    "languages. Reading a table takes one call as well: the first argument is the path, and the "
    "separator, the encoding and the columns to keep are optional. Large files are read in "
    "pieces, each of which is a table of its own. What a call returns, and which errors it "
    "raises, stands in its documentation, beside an example that shows how it is used."
)
"""What both models read: prose of the kind that documents are made of."""


@dataclass(frozen=True)
class Comparison:
    """How an export reads :data:`TEXT`, beside the model that it came from.

    :ivar agreement: how often both think the same token the likeliest, 0 to 1.
    """

    tokens: int
    perplexity: float
    exported_perplexity: float
    agreement: float

    @property
    def good(self) -> bool:
        """Whether the export may stand in for the model."""
        drift = self.exported_perplexity / self.perplexity
        return self.agreement >= LEAST_AGREEMENT and drift <= MOST_PERPLEXITY

    def __str__(self) -> str:
        return (
            f"{self.tokens} tokens: perplexity {self.perplexity:.2f} in torch, "
            f"{self.exported_perplexity:.2f} exported; the same likeliest token for "
            f"{self.agreement:.1%}."
        )


def export(
    source: str, folder: Path, *, precision: str = PRECISIONS[0]
) -> Iterator[Progress | Comparison]:
    """Export a model for the processor, compare, and only then put it into ``folder``.

    :param source: a model's folder, or its id where it is in the hub's cache.
    :raises ModelError: if there is something at ``folder``, if the model cannot be exported, or if
        the export drifts too far from it.
    """
    if folder.exists():
        raise ModelError(f"There is something at {folder} already: name a new folder.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".export-") as workshop:
        made = Path(workshop, folder.name)
        yield Progress("The decoder is built", 0, 3)
        _build(source, made, precision)
        yield Progress("The model is loaded", 1, 3)
        original = _loaded(TransformersBackend(source))
        exported = _loaded(OnnxBackend(str(made)))
        yield Progress("Both read a text", 2, 3)
        comparison = compare(original, exported.decoder)
        yield comparison
        if not comparison.good:
            raise ModelError(
                f"The export is too far from the model: {comparison} At least "
                f"{LEAST_AGREEMENT:.0%} and at most {MOST_PERPLEXITY:g} times the perplexity are "
                "wanted; try another precision."
            )
        del exported
        made.replace(folder)


def compare(original: LoadedModel, exported: Decoder) -> Comparison:
    """Have both read :data:`TEXT`, token by token."""
    tokens = list(original.tokenizer.encode(TEXT, add_special_tokens=False).ids)
    (perplexity, first), (exported_perplexity, second) = (
        _reading(decoder, tokens) for decoder in (original.decoder, exported)
    )
    same = sum(one == other for one, other in zip(first, second, strict=True))
    return Comparison(len(first), perplexity, exported_perplexity, same / len(first))


def _reading(decoder: Decoder, tokens: Sequence[int]) -> tuple[float, list[int]]:
    """The perplexity of a text, and the token that is thought the likeliest at each place."""
    import numpy as np

    text = object()
    surprise, likeliest = 0.0, []
    for token, following in pairwise(tokens):
        logits = decoder.read({text: [token]})[text].astype(np.float64)
        highest = logits.max()
        surprise += highest + float(np.log(np.exp(logits - highest).sum())) - logits[following]
        likeliest.append(int(logits.argmax()))
    decoder.forget([text])
    return math.exp(surprise / len(likeliest)), likeliest


def _build(source: str, folder: Path, precision: str) -> None:
    command = [sys.executable, "-P", "-m", "onnxruntime_genai.models.builder"]
    command += ["-i" if Path(source).is_dir() else "-m", source, "-o", str(folder)]
    command += ["-p", precision, "-e", "cpu", "-c", f"{folder}-cache"]
    # Only the last token's scores are wanted, ever.
    command += ["--extra_options", "prune_lm_head=true", "hf_remote=false"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    shutil.rmtree(f"{folder}-cache", ignore_errors=True)
    if done.returncode != 0:
        (reason,) = done.stderr.strip().splitlines()[-1:] or [f"status {done.returncode}"]
        needs = " pip install 'gorilla-jupyter[export]'." if "No module" in reason else ""
        raise ModelError(f"{source} cannot be exported: {reason:.300}.{needs}")


def _loaded(backend: TransformersBackend | OnnxBackend) -> LoadedModel:
    return finish(backend.load(), lambda progress: None)
