"""From a trained encoder to what is shipped: ``jupyter gorilla train export``."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from gorilla_jupyter.answer import Request
from gorilla_jupyter.catalog.store import CatalogStore, write_whole
from gorilla_jupyter.index.scoring import noise_of
from gorilla_jupyter.index.search import DocumentIndex
from gorilla_jupyter.index.vectors import document_key, document_text, write_vectors
from gorilla_jupyter.model.encoder import (
    CARD,
    DIMENSIONS,
    FILES,
    MODEL,
    OFF_TOPIC,
    SENTENCE_TOKENS,
    SHIPPED_VECTORS,
    TOKENIZER,
    Encoder,
)
from gorilla_jupyter.record import ApiRecord

if TYPE_CHECKING:
    from gorilla_jupyter.train.encoder import EncoderTraining

LEAST_COSINE = 0.99
"""How alike the quantised and the full vectors of a text must be, on the average."""

REFUSED = 0.015
"""The share of answerable sentences that may be told that nothing fits. To refuse fewer is to offer
more to those that nothing answers."""

COHORT = 5
"""One in so many of the sentences that are off topic is shipped, to tell the noise of documents and
the strangeness of sentences."""

MEDIAN_FIT = 0.9
"""How likely a document of median relevance is said to fit."""


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


def optimise(source: Path, target: Path) -> None:
    """The same network with the operators fused that onnxruntime fuses before it runs one: what is
    shipped is not to be fused anew at every start."""
    import onnx
    from onnxruntime import GraphOptimizationLevel, InferenceSession, SessionOptions

    options = SessionOptions()
    # Beyond these, what comes out is only for processors of this machine's kind.
    options.graph_optimization_level = GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(target)
    InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
    network = onnx.load(target)
    used = {node.domain for node in network.graph.node}
    # It names all that this onnxruntime has, in versions that an older one does not have.
    for domain in list(network.opset_import):
        if domain.domain not in used:
            network.opset_import.remove(domain)
    onnx.save(network, target)


def export(
    training: EncoderTraining,
    tokenizer: Path,
    folder: Path,
    texts: Sequence[str],
    precision: Literal["int8", "fp32"] = "int8",
) -> float:
    """Write weights, tokenizer and card to ``folder`` and return the mean cosine of the exported
    vectors of ``texts`` to the full ones.

    :raises ExportError: if that is less than :data:`LEAST_COSINE`; ``folder`` is as it was then.
    """
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        network = work / "full.onnx"
        export_onnx(training, network)
        if precision == "int8":
            quantise(network, work / "quantised.onnx")
            network = work / "quantised.onnx"
        optimise(network, work / MODEL)
        shutil.copyfile(tokenizer, work / TOKENIZER)
        np.save(work / OFF_TOPIC, np.zeros((0, DIMENSIONS), np.float16))
        write_card(work, threshold=0.0, steepness=1.0, noise=0.0)
        full = training.encode_all(texts, SENTENCE_TOKENS).cpu().numpy()
        encoder = Encoder(work)
        quantised = np.vstack([encoder.sentences([text]) for text in texts])
        cosine = float(np.mean(np.sum(full * quantised, axis=1)))
        if cosine < LEAST_COSINE:
            raise ExportError(
                f"The quantised vectors are too far from the full ones: mean cosine {cosine:.4f}, "
                f"at least {LEAST_COSINE} is asked for. {folder} is as it was."
            )
        folder.mkdir(parents=True, exist_ok=True)
        for name in (*FILES, CARD):
            shutil.move(work / name, folder / name)
    return cosine


def write_card(folder: Path, *, threshold: float, steepness: float, noise: float) -> None:
    """Write down the weights' hashes, and which relevance means that a document fits.

    :param noise: of the shipped documents; see :func:`gorilla_jupyter.index.scoring.noise_of`.
    """
    card = {
        "base": "all-MiniLM-L6-v2",
        "dimensions": DIMENSIONS,
        "threshold": round(threshold, 4),
        "steepness": round(steepness, 4),
        "noise": round(noise, 4),
        "sha256": {
            name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in FILES
        },
    }
    write_whole(folder / CARD, (json.dumps(card, indent=2) + "\n").encode(), mode=0o644)


def export_documents(records: Sequence[ApiRecord], folder: Path) -> None:
    """Write the vectors of the shipped documents."""
    encoder = Encoder(folder)
    vectors = {}
    for record in tqdm(records, desc="Encoding the shipped documents", disable=None):
        # One by one: in a batch, a quantised vector depends on the texts beside it.
        (vector,) = encoder.documents([document_text(record)])
        vectors[document_key(record)] = vector.astype(np.float16)
    write_vectors(folder / SHIPPED_VECTORS, vectors)
    (folder / SHIPPED_VECTORS).chmod(0o644)  # others than the one who trains will read it


def export_off_topic(sentences: Sequence[str], folder: Path) -> float:
    """Write the vectors of sentences that no document answers, and return the noise of the shipped
    documents."""
    encoder = Encoder(folder)
    vectors = np.vstack([encoder.sentences([text]) for text in sentences]).astype(np.float16)
    np.save(folder / OFF_TOPIC, vectors)
    documents = np.load(folder / SHIPPED_VECTORS)["vectors"].astype(np.float32)
    noise = noise_of(documents @ vectors.T.astype(np.float32))
    write_card(folder, threshold=0.0, steepness=1.0, noise=noise)
    return noise


@dataclass(frozen=True)
class Calibration:
    """What the threshold does to sentences that it was chosen on.

    :ivar refused: the share of sentences that a document answers for which nothing fits.
    :ivar off_topic_refused: the same of sentences that no document answers, and that are not
        shipped.
    """

    threshold: float
    steepness: float
    refused: float
    off_topic_refused: float


def calibrate(folder: Path, answered: Sequence[str], off_topic: Sequence[str]) -> Calibration:
    """Choose from which relevance on a document fits, and write it into the card.

    :param answered: sentences that a shipped document answers, of which :data:`REFUSED` are given
        up; a document of their median relevance is said to fit with :data:`MEDIAN_FIT`.
    """
    cohort = off_topic[::COHORT]
    noise = export_off_topic(cohort, folder)
    with tempfile.TemporaryDirectory() as scratch:
        store = CatalogStore(Path(scratch, "catalogs"), project=None)
        index = DocumentIndex(store, Path(scratch, "index"), encoder=lambda: Encoder(folder))
        right = _relevances(index, answered)
        wrong = _relevances(index, sorted({*off_topic} - {*cohort}))
    threshold = float(np.quantile(right, REFUSED))
    steepness = _logit(MEDIAN_FIT) / max(1e-3, float(np.median(right)) - threshold)
    write_card(folder, threshold=threshold, steepness=steepness, noise=noise)
    return Calibration(
        threshold,
        steepness,
        float(np.mean(right < threshold)),
        float(np.mean(wrong < threshold)),
    )


def _logit(probability: float) -> float:
    return math.log(probability / (1 - probability))


def _relevances(index: DocumentIndex, sentences: Sequence[str]) -> NDArray[np.float64]:
    # Without a threshold and at a steepness of 1, the relevance is the logit of the fit.
    best = []
    for sentence in tqdm(sentences, desc="Asking", disable=None):
        documents = index.search(Request(sentence, documents=1)).documents
        fit = documents[0].fit if documents else None
        best.append(_logit(fit) if fit else 0.0)
    return np.array(best)
