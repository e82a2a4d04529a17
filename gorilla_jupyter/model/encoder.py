"""The encoder: sentences and documents as vectors, so that those that belong together are near."""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gorilla_jupyter.index.vectors import EncoderError

WEIGHTS = Path(__file__).parent / "weights"
"""What ``jupyter gorilla train export`` wrote; described in its ``README.md``."""

CARD = "encoder.json"
MODEL = "encoder.onnx"
TOKENIZER = "tokenizer.json"
SHIPPED_VECTORS = "documents.npz"
OFF_TOPIC = "off-topic.npy"

FILES = (MODEL, TOKENIZER, OFF_TOPIC)
"""Those that an encoder is made of."""

HASHES = "sha256"
"""What the card calls the hashes of the files beside it, by name."""

SEAL = "sealed"
"""What the card calls its own; see :func:`seal_of`."""

DIMENSIONS = 384

SENTENCE_TOKENS = 64
"""How many tokens of a sentence are read."""

DOCUMENT_TOKENS = 80
"""How many tokens of a document are read."""


class Encoder:
    """all-MiniLM-L6-v2, trained on instructions, in onnxruntime.

    :param folder: the weights, the tokenizer, the vectors of sentences that no document answers,
        and the card with their hashes, its own, and those of what lies beside them.
    :raises EncoderError: if a file is missing, or is not the one that was written.
    """

    def __init__(self, folder: Path = WEIGHTS) -> None:
        try:
            card = json.loads((folder / CARD).read_text(encoding="utf-8"))
            hashes = {str(name): str(value) for name, value in card[HASHES].items()}
            content = {name: (folder / name).read_bytes() for name in {*FILES, *hashes}}
            sealed = card.pop(SEAL) == seal_of(card)
            self.dimensions = int(card["dimensions"])
            self._threshold = float(card["threshold"])
            self._steepness = float(card["steepness"])
            self._noise = float(card["noise"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise EncoderError(_sentence(folder, f"cannot be read ({error})")) from error
        if not sealed:
            raise EncoderError(_sentence(folder / CARD, "is damaged: its hash is another"))
        with ThreadPoolExecutor(1) as executor:
            damaged = executor.submit(_damaged, content, hashes)
            # Meanwhile, as it takes as long; what goes wrong comes up again at the start.
            with suppress(Exception):
                _import_runtime()
        if names := damaged.result():
            raise EncoderError(_sentence(folder / names[0], "is damaged: its hash is another"))
        self.name = hashes[MODEL][:16]
        self.shipped = folder / SHIPPED_VECTORS
        try:
            self.off_topic = np.load(io.BytesIO(content[OFF_TOPIC])).astype(np.float32)
            self._start(content[MODEL], content[TOKENIZER])
        except (ImportError, AttributeError) as error:  # half an onnxruntime has no sessions
            raise EncoderError(
                f"onnxruntime or tokenizers is missing or broken ({error}); words alone choose "
                "instead. 'jupyter gorilla doctor' says what mends it."
            ) from error
        except Exception as error:  # onnxruntime and tokenizers raise classes of their own
            raise EncoderError(_sentence(folder, f"cannot be loaded ({error})")) from error

    def _start(self, model: bytes, tokenizer: bytes) -> None:
        import onnxruntime
        from tokenizers import Tokenizer

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        # The others are for the person, who goes on working while documents are encoded.
        options.intra_op_num_threads = 1
        # One batch of tokens after the other: what the arena would keep is more than it saves.
        options.enable_cpu_mem_arena = False
        # It was optimised when it was exported.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        # GPUs have no operators for these bytes, and one that gets the rest takes seconds to start.
        self._session = onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"]
        )
        self._tokenizer: Any = Tokenizer.from_buffer(tokenizer)
        self._tokenizer.enable_padding()

    def sentences(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The vectors of sentences, one a row, of length 1."""
        return self._encode(texts, SENTENCE_TOKENS)

    def documents(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The vectors of documents, one a row, of length 1."""
        return self._encode(texts, DOCUMENT_TOKENS)

    def fit(self, relevance: float, noise: float) -> float:
        """How likely a document of that relevance answers the sentence, 0 to 1.

        Among documents that are farther from what is off topic than the shipped ones, less is asked
        of the relevance.

        :param noise: see :func:`gorilla_jupyter.index.scoring.noise_of`.
        """
        threshold = self._threshold + min(0.0, noise - self._noise)
        return 1 / (1 + math.exp(-self._steepness * (relevance - threshold)))

    def _encode(self, texts: Sequence[str], tokens: int) -> NDArray[np.float32]:
        self._tokenizer.enable_truncation(tokens)
        # The tokenizer takes no lone surrogates, which a document may have.
        readable = [text.encode(errors="replace").decode() for text in texts]
        encodings = self._tokenizer.encode_batch(readable)
        ids = np.array([encoding.ids for encoding in encodings], dtype=np.int64)
        mask = np.array([encoding.attention_mask for encoding in encodings], dtype=np.int64)
        (vectors,) = self._session.run(None, {"input_ids": ids, "attention_mask": mask})
        return np.asarray(vectors, dtype=np.float32)


def _damaged(content: Mapping[str, bytes], hashes: Mapping[str, str]) -> list[str]:
    """The files that do not have their hash."""
    return [
        name
        for name, bytes_ in content.items()
        if hashlib.sha256(bytes_).hexdigest() != hashes.get(name)
    ]


def seal_of(card: Mapping[str, Any]) -> str:
    """The hash of what a card says, without its own."""
    return hashlib.sha256(json.dumps(card, sort_keys=True).encode()).hexdigest()


def _import_runtime() -> None:
    import onnxruntime  # noqa: F401
    import tokenizers  # noqa: F401


def _sentence(path: Path, what: str) -> str:
    return (
        f"The embedded model's {path} {what}; words alone choose instead. "
        "'pip install --force-reinstall --no-deps gorilla-jupyter' mends it."
    )
