"""The protocol that every model is behind, and the choice of one by name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from gorilla_jupyter.answer import Document, Proposal, Request
from gorilla_jupyter.index.vectors import Encoder

DEFAULT_MODEL = "embedded"


class ModelError(Exception):
    """A model that cannot be had; the message says what can."""


class Backend(Protocol):
    """Chooses among documents and writes calls that they document."""

    name: str

    def propose(self, request: Request, documents: Sequence[Document]) -> Iterable[Proposal]:
        """Proposals, best first; none where no document fits the request.

        :param documents: what the index found, best first. A proposal is made from one of these.
        """
        ...


def load_backend(name: str = DEFAULT_MODEL) -> Backend:
    """The model of that name.

    :raises ModelError: for a name that no model has.
    """
    if name == DEFAULT_MODEL:
        from gorilla_jupyter.model.embedded import EmbeddedBackend

        return EmbeddedBackend()
    raise ModelError(f"There is no model {name!r:.80}. Known: {DEFAULT_MODEL}.")


def load_encoder() -> Encoder:
    """The encoder that is part of the package.

    :raises EncoderError: if its files are not what they were.
    """
    from gorilla_jupyter.model import encoder

    return encoder.Encoder()
