"""Vectors of the documents: near the vectors of the sentences that they answer."""

from __future__ import annotations

import ast
import hashlib
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from gorilla_jupyter.record import ApiRecord

Vectors = NDArray[np.float32]

_ADDRESS = re.compile(r"https?://(?:www\.)?[\w.-]+/")


class EncoderError(Exception):
    """An encoder that cannot be had; the message says why and what mends it."""


class Encoder(Protocol):
    """Turns texts into vectors of length 1; see :class:`gorilla_jupyter.model.encoder.Encoder`.

    :ivar name: changes with the weights, because vectors of different weights do not compare.
    :ivar shipped: a file with the vectors of the shipped documents.
    :ivar off_topic: the vectors of sentences that no document answers, one a row.
    """

    name: str
    dimensions: int
    shipped: Path
    off_topic: Vectors

    def sentences(self, texts: Sequence[str]) -> Vectors: ...

    def documents(self, texts: Sequence[str]) -> Vectors: ...

    def fit(self, relevance: float, noise: float) -> float:
        """How likely a document of that relevance answers the sentence, 0 to 1.

        :param noise: see :func:`gorilla_jupyter.index.scoring.noise_of`.
        """
        ...


def document_text(record: ApiRecord) -> str:
    """What an encoder reads of a document: the task first, then what tells it from its twins."""
    return " | ".join(filter(None, document_parts(record)))


def document_parts(record: ApiRecord) -> tuple[str, ...]:
    """Domain, functionality, name, description, date and figures; "" for what is unsaid."""
    name = record.api_name
    for text in _texts(record):
        if text not in name:
            name = f"{name} {text}"
    figures = ", ".join(f"{key} {value}" for key, value in record.performance.items())
    return (
        record.domain,
        record.functionality,
        name,
        record.description,
        ", ".join(filter(None, (record.released, figures)))[:120],
    )


def document_key(record: ApiRecord) -> str:
    """The name of a document's vector: it changes whenever what is encoded does."""
    return hashlib.sha256(document_text(record).encode(errors="surrogatepass")).hexdigest()[:16]


def _texts(record: ApiRecord) -> Iterator[str]:
    """The names in the call, such as the address of a model."""
    for node in ast.walk(record.call) if record.call else ():
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield _ADDRESS.sub("", node.value)


class VectorCache:
    """The vectors computed so far, by :func:`document_key`.

    :param path: where they are kept; None keeps them in memory. A file that cannot be read is as
        good as none.
    """

    def __init__(self, path: Path | None, dimensions: int) -> None:
        self.path = path
        self._vectors: dict[str, NDArray[np.float16]] = {}
        self._dimensions = dimensions
        self._unsaved = 0
        if path is not None:
            self._vectors.update(self._read(path))

    def __len__(self) -> int:
        return len(self._vectors)

    @property
    def unsaved(self) -> int:
        """How many vectors only the memory has."""
        return self._unsaved

    def load(self, path: Path) -> None:
        """Take over the vectors of another file."""
        self._vectors.update(self._read(path))

    def missing(self, keys: Iterable[str]) -> list[int]:
        """The places of the keys that have no vector yet."""
        return [place for place, key in enumerate(keys) if key not in self._vectors]

    def add(self, keys: Sequence[str], vectors: Vectors) -> None:
        """Keep the vectors of these keys, one a row."""
        self._vectors.update(zip(keys, vectors.astype(np.float16), strict=True))
        self._unsaved += len(keys)

    def rows(self, keys: Sequence[str]) -> tuple[Vectors, NDArray[np.bool_]]:
        """The vectors of the keys, one a row, and which of them there are; the others are zero."""
        rows = np.zeros((len(keys), self._dimensions), dtype=np.float32)
        known = np.zeros(len(keys), dtype=bool)
        for place, key in enumerate(keys):
            vector = self._vectors.get(key)
            if vector is not None:
                rows[place] = vector
                known[place] = True
        return rows, known

    def save(self, keys: Iterable[str]) -> None:
        """Write the vectors of these keys, and those that others wrote meanwhile, whole or not at
        all.

        :raises OSError: if the folder cannot be written.
        """
        self._unsaved = 0
        if self.path is None:
            return
        wanted = set(keys)
        vectors = {**self._read(self.path), **self._vectors}
        kept = {key: vector for key, vector in vectors.items() if key in wanted}
        write_vectors(self.path, kept)

    def _read(self, path: Path) -> Mapping[str, NDArray[np.float16]]:
        try:
            with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                keys, vectors = file["keys"], file["vectors"]
        except Exception:  # numpy and zipfile raise whatever they come upon
            return {}
        if vectors.shape != (len(keys), self._dimensions) or vectors.dtype != np.float16:
            return {}
        return dict(zip(keys.tolist(), vectors, strict=True))


def write_vectors(path: Path, vectors: Mapping[str, NDArray[np.float16]]) -> None:
    """Write a file that :class:`VectorCache` reads."""
    descriptor, temporary = tempfile.mkstemp(prefix=".", suffix=".writing", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            np.savez(
                file,
                keys=np.array(list(vectors), dtype="U16"),
                vectors=np.array(list(vectors.values()), dtype=np.float16),
            )
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
