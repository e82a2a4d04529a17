"""The protocol that every model is behind, and the choice of one by name."""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from gorilla_jupyter.answer import Document, Notice, Progress, Proposal, Request
from gorilla_jupyter.index.vectors import Encoder
from gorilla_jupyter.model import ALLOWED_MODELS, ALLOWING

if TYPE_CHECKING:
    from gorilla_jupyter.model.prompt import Message

DEFAULT_MODEL = "embedded"

KNOWN = f"{DEFAULT_MODEL}, openai:BASE_URL#MODEL, hf:ID-OR-FOLDER, onnx:FOLDER"


class ModelError(Exception):
    """A model that cannot be had; the message says what can."""


class ModelFailureError(ModelError):
    """A model that failed at one request, for which the embedded one can stand in."""


class Backend(Protocol):
    """Chooses among documents and writes calls that they document."""

    name: str

    def propose(
        self, request: Request, documents: Sequence[Document]
    ) -> Iterable[Proposal | Progress | Notice]:
        """Proposals, best first; none where no document fits the request.

        Between them comes how far the model is, and what its answer must say.

        :param documents: what the index found, best first. A proposal is made from one of these.
        :raises ModelFailureError: if the model fails at this request.
        """
        ...


@runtime_checkable
class Conversing(Protocol):
    """A model that also writes what no document has: :func:`load_backend` gives those that do."""

    name: str

    def reply(self, messages: Sequence[Message]) -> Generator[Progress | Notice, None, str]:
        """The next turn of a conversation, in the model's own words.

        :raises ModelError: if the model cannot be had, or was trained for nothing but calls.
        :raises ModelFailureError: if it fails at this conversation.
        """
        ...


def load_backend(name: str = DEFAULT_MODEL, *, constrained: bool = True) -> Backend:
    """The model of that name. What it needs is loaded when it is first asked.

    :param constrained: hold what it writes to the documents, and do not only verify it.
    :raises ModelError: for a name that no model has, or that the administrator does not allow.
    """
    allowed = _allowed_models()
    if allowed is not None and name not in allowed:
        raise ModelError(
            f"The model {name!r:.80} is not allowed here. Allowed: {', '.join(allowed)}. {ALLOWING}"
        )
    kind, _, rest = name.partition(":")
    if name == DEFAULT_MODEL:
        from gorilla_jupyter.model.embedded import EmbeddedBackend

        return EmbeddedBackend()
    if kind == "openai":
        from gorilla_jupyter.model.openai import OpenAIBackend

        return OpenAIBackend(rest, constrained=constrained)
    if kind == "hf" and rest:
        from gorilla_jupyter.model.transformers import TransformersBackend

        return TransformersBackend(rest, constrained=constrained)
    if kind == "onnx" and rest:
        from gorilla_jupyter.model.onnx import OnnxBackend

        return OnnxBackend(rest, constrained=constrained)
    raise ModelError(f"There is no model {name!r:.80}. Known: {KNOWN}.")


@lru_cache(maxsize=1)
def load_encoder() -> Encoder:
    """The encoder that is part of the package, the same one for all of a process.

    :raises EncoderError: if its files are not what they were.
    """
    from gorilla_jupyter.model import encoder

    return encoder.Encoder()


def _allowed_models() -> list[str] | None:
    listed = os.environ.get(ALLOWED_MODELS)
    if listed is None:
        return None
    try:
        allowed = json.loads(listed)
    except ValueError:
        allowed = None
    if not isinstance(allowed, list):
        raise ModelError(f"The environment variable {ALLOWED_MODELS} must hold a JSON list.")
    return [DEFAULT_MODEL, *(str(name) for name in allowed if name != DEFAULT_MODEL)]
