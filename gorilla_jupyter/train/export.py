"""From a trained encoder to what is shipped: ``jupyter gorilla train export``."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gorilla_jupyter.index.vectors import document_key, document_text, write_vectors
from gorilla_jupyter.model.encoder import CARD, MODEL, SHIPPED_VECTORS, TOKENIZER, Encoder
from gorilla_jupyter.record import ApiRecord

if TYPE_CHECKING:
    from gorilla_jupyter.train.encoder import EncoderTraining

LEAST_COSINE = 0.99
"""How alike the quantised and the full vectors of a text must be, on the average."""

BATCH = 32


class ExportError(Exception):
    """Quantised weights that do not do what the full ones do."""


def export_onnx(training: EncoderTraining, path: Path) -> None:
    """Write the encoder in full precision: token ids and mask in, vectors of length 1 out."""
    import torch

    class Pooled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = training.model

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            states = self.model(
                input_ids=input_ids, attention_mask=attention_mask
            ).last_hidden_state
            weights = attention_mask.unsqueeze(-1).to(states.dtype)
            mean = (states * weights).sum(1) / weights.sum(1)
            return torch.nn.functional.normalize(mean, dim=-1)

    ids = torch.ones(2, 8, dtype=torch.long)
    torch.onnx.export(
        Pooled().eval().cpu(),
        (ids, ids),
        str(path),
        input_names=["input_ids", "attention_mask"],
        output_names=["vectors"],
        dynamic_axes={
            "input_ids": {0: "batch", 1: "tokens"},
            "attention_mask": {0: "batch", 1: "tokens"},
            "vectors": {0: "batch"},
        },
        opset_version=17,
        dynamo=False,
    )


def quantise(source: Path, target: Path) -> None:
    """Weights as bytes without a sign, which processors without VNNI instructions multiply without
    overflowing; activations are quantised as they come."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(source, target, weight_type=QuantType.QUInt8, per_channel=True)


def export(
    training: EncoderTraining,
    tokenizer: Path,
    folder: Path,
    texts: Sequence[str],
    *,
    threshold: float,
    steepness: float,
) -> float:
    """Write weights, tokenizer and card to ``folder`` and return the mean cosine of the quantised
    vectors of ``texts`` to the full ones.

    :raises ExportError: if that is less than :data:`LEAST_COSINE`; ``folder`` is as it was then.
    """
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        export_onnx(training, work / "full.onnx")
        quantise(work / "full.onnx", work / MODEL)
        shutil.copyfile(tokenizer, work / TOKENIZER)
        card = {
            "base": "all-MiniLM-L6-v2",
            "dimensions": int(training.model.config.hidden_size),
            "threshold": threshold,
            "steepness": steepness,
            "sha256": {
                name: hashlib.sha256((work / name).read_bytes()).hexdigest()
                for name in (MODEL, TOKENIZER)
            },
        }
        (work / CARD).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
        full = training.encode_all(texts, 64).cpu().numpy()
        quantised = Encoder(work).sentences(texts)
        cosine = float(np.mean(np.sum(full * quantised, axis=1)))
        if cosine < LEAST_COSINE:
            raise ExportError(
                f"The quantised vectors are too far from the full ones: mean cosine {cosine:.4f}, "
                f"at least {LEAST_COSINE} is asked for. {folder} is as it was."
            )
        folder.mkdir(parents=True, exist_ok=True)
        for name in (MODEL, TOKENIZER, CARD):
            shutil.move(work / name, folder / name)
    return cosine


def export_documents(records: Sequence[ApiRecord], folder: Path) -> None:
    """Write the vectors of the shipped documents."""
    encoder = Encoder(folder)
    texts = {document_key(record): document_text(record) for record in records}
    vectors = {}
    # Of like length, so that no text is padded much; one after the other gives the same vectors
    # on every machine, whatever else is in the batch.
    for key, text in texts.items():
        vectors[key] = encoder.documents([text])[0].astype(np.float16)
    write_vectors(folder / SHIPPED_VECTORS, vectors)
