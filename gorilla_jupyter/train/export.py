"""From a trained encoder to what is shipped: ``jupyter gorilla train export``."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from gorilla_jupyter.answer import Request
from gorilla_jupyter.catalog.store import CatalogStore, write_whole
from gorilla_jupyter.index.scoring import noise_of
from gorilla_jupyter.index.search import DocumentIndex
from gorilla_jupyter.index.vectors import (
    VectorCache,
    document_key,
    document_text,
    write_vectors,
)
from gorilla_jupyter.model.encoder import (
    CARD,
    DIMENSIONS,
    DOCUMENT_TOKENS,
    FILES,
    HASHES,
    MODEL,
    OFF_TOPIC,
    SEAL,
    SENTENCE_TOKENS,
    SHIPPED_VECTORS,
    TOKENIZER,
    Encoder,
    seal_of,
)
from gorilla_jupyter.model.placing import FILE as ARGUMENTS
from gorilla_jupyter.record import ApiRecord
from gorilla_jupyter.train.checking import Instruction

if TYPE_CHECKING:
    from gorilla_jupyter.train.encoder import EncoderTraining

LEAST_COSINE = 0.99
"""How alike the exported and the full vectors of a text must be, on the average."""

MOST_DRIFT = 0.02
"""How much less often the exported weights may find the right document, or its domain, than the
full ones do."""

REFUSED = 0.015
"""The share of answerable sentences that may be told that nothing fits. To refuse fewer is to offer
more to those that nothing answers."""

COHORT = 5
"""One in so many of the sentences that are off topic is shipped, to tell the noise of documents and
the strangeness of sentences."""

MEDIAN_FIT = 0.9
"""How likely a document of median relevance is said to fit."""


class ExportError(Exception):
    """Exported weights that do not do what the full ones do."""


@dataclass(frozen=True)
class Scores:
    """How often what comes first among the shipped documents is right."""

    document: float
    domain: float


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

    :raises ExportError: if that is less than :data:`LEAST_COSINE`.
    """
    network = folder / "full.onnx"
    export_onnx(training, network)
    if precision == "int8":
        full, network = network, folder / "quantised.onnx"
        quantise(full, network)
        full.unlink()
    optimise(network, folder / MODEL)
    network.unlink()
    shutil.copyfile(tokenizer, folder / TOKENIZER)
    np.save(folder / OFF_TOPIC, np.zeros((0, DIMENSIONS), np.float16))
    write_card(folder, threshold=0.0, steepness=1.0, noise=0.0)
    expected = training.encode_all(texts, SENTENCE_TOKENS).cpu().numpy()
    cosine = float(np.mean(np.sum(expected * _sentences(Encoder(folder), texts), axis=1)))
    if cosine < LEAST_COSINE:
        raise ExportError(
            f"The exported vectors are too far from the full ones: mean cosine {cosine:.4f}, "
            f"at least {LEAST_COSINE} is asked for."
        )
    return cosine


def compare(
    training: EncoderTraining,
    folder: Path,
    records: Sequence[ApiRecord],
    instructions: Sequence[Instruction],
) -> tuple[Scores, Scores]:
    """How well the full weights and the exported ones in ``folder`` find what answers the
    instructions, by cosine alone.

    :param records: the shipped ones, of which :func:`export_documents` has written the vectors.
    :raises ExportError: if the exported ones do worse by more than :data:`MOST_DRIFT`.
    """
    encoder = Encoder(folder)
    texts = [instruction.text for instruction in instructions]
    documents = [document_text(record) for record in records]
    rows, _ = VectorCache(encoder.shipped, DIMENSIONS).rows([*map(document_key, records)])
    found = (
        training.encode_all(texts, SENTENCE_TOKENS).cpu().numpy()
        @ training.encode_all(documents, DOCUMENT_TOKENS).cpu().numpy().T,
        _sentences(encoder, texts) @ rows.T,
    )
    full, exported = (
        _scores([records[place] for place in cosines.argmax(axis=1)], instructions)
        for cosines in found
    )
    for name in ("document", "domain"):
        before, after = getattr(full, name), getattr(exported, name)
        if after < before - MOST_DRIFT:
            raise ExportError(
                f"The exported weights find the right {name} for {after:.3f} of the instructions, "
                f"the full ones for {before:.3f}."
            )
    return full, exported


def _scores(first: Sequence[ApiRecord], instructions: Sequence[Instruction]) -> Scores:
    pairs = [
        (found, instruction.record) for found, instruction in zip(first, instructions, strict=True)
    ]
    return Scores(
        round(float(np.mean([found.api_call == right.api_call for found, right in pairs])), 4),
        round(float(np.mean([found.domain == right.domain for found, right in pairs])), 4),
    )


def _sentences(encoder: Encoder, texts: Sequence[str]) -> NDArray[np.float32]:
    # One by one: in a batch, a quantised vector depends on the texts beside it.
    return np.vstack([encoder.sentences([text]) for text in texts])


def write_card(folder: Path, *, threshold: float, steepness: float, noise: float) -> None:
    """Write down which relevance means that a document fits, and the hashes of the files.

    :param noise: of the shipped documents; see :func:`gorilla_jupyter.index.scoring.noise_of`.
    """
    card = {
        "base": "all-MiniLM-L6-v2",
        "dimensions": DIMENSIONS,
        "threshold": round(threshold, 4),
        "steepness": round(steepness, 4),
        "noise": round(noise, 4),
    }
    _write_sealed(folder, card)


def seal(folder: Path) -> None:
    """Write the hashes of the files that are in the folder now into its card."""
    _write_sealed(folder, json.loads((folder / CARD).read_text(encoding="utf-8")))


def _write_sealed(folder: Path, card: Mapping[str, Any]) -> None:
    hashes = {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in (*FILES, SHIPPED_VECTORS, ARGUMENTS)
        if (folder / name).exists()
    }
    told = {**card, HASHES: hashes}
    told.pop(SEAL, None)
    sealed = {**told, SEAL: seal_of(told)}
    write_whole(folder / CARD, (json.dumps(sealed, indent=2) + "\n").encode(), mode=0o644)


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
    vectors = _sentences(Encoder(folder), sentences).astype(np.float16)
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
