"""Models that write on this machine, token by token, held to what the documents allow."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from gorilla_jupyter.answer import Document, Notice, Progress, Proposal, Request
from gorilla_jupyter.model.backend import ModelError, ModelFailureError
from gorilla_jupyter.model.constrain import Guide, guide_tokenizer
from gorilla_jupyter.model.prompt import (
    ChatForm,
    Form,
    Message,
    Prompt,
    PromptError,
    fit,
    form_of,
)
from gorilla_jupyter.model.writing import Steps, propose

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_TOKENS = 256
"""How much a model may write."""

CHUNK_TOKENS = 256
"""How much is read at once: more is hardly faster, and takes more memory."""

POLL_SECONDS = 0.1
"""How often a request looks up while a network reads: it can be cancelled then."""

_SPECIAL_TOKENS = ("bos_token", "eos_token", "pad_token", "unk_token")


class Decoder(Protocol):
    """A network that tells which token comes next, and remembers those that it has read.

    :ivar context: how many tokens it can remember.
    :ivar end_tokens: those that end an answer.
    """

    context: int
    end_tokens: frozenset[int]

    def forget(self) -> None:
        """Begin anew."""
        ...

    def read(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        """Read on, and score every token as the next.

        :raises ModelFailureError: if there is not enough memory.
        """
        ...

    def stop(self) -> None:
        """Have what another thread reads end soon, with an error; then all must be forgotten."""
        ...


@dataclass
class LoadedModel:
    """A decoder, with how its text becomes tokens and how it is asked.

    :ivar tokenizer: a ``tokenizers.Tokenizer``.
    """

    decoder: Decoder
    tokenizer: Any
    form: Form
    guide_tokenizer: Any = None

    def tokens(self, text: str) -> list[int]:
        """A text in the model's own tokens."""
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)


class LocalBackend:
    """What the models on this machine share: loading on first use, and writing.

    :param constrained: hold what is written to the documents; without, it is only verified.
    :ivar model: what is loaded, if anything is.
    """

    def __init__(self, name: str, *, constrained: bool = True) -> None:
        self.name = name
        self.constrained = constrained
        self.model: LoadedModel | None = None

    def load(self) -> Generator[Progress, None, LoadedModel]:
        """Load the model, telling how far that is.

        :raises ModelError: if it cannot be loaded.
        """
        raise NotImplementedError

    def propose(
        self, request: Request, documents: Sequence[Document]
    ) -> Iterator[Proposal | Progress | Notice]:
        """See :class:`gorilla_jupyter.model.backend.Backend`."""
        yield from propose(self, request, documents)

    def write(self, prompt: Prompt) -> Steps:
        """See :class:`gorilla_jupyter.model.writing.Writer`."""
        model = yield from self._loaded()
        room = model.decoder.context - MAX_TOKENS
        form = model.form
        try:
            prompt = fit(prompt, lambda asked: len(model.tokens(form.text(asked))), room)
        except PromptError as error:
            raise ModelFailureError(str(error)) from error
        pattern = form.pattern(prompt) if self.constrained else None
        return (yield from self._written(model, model.tokens(form.text(prompt)), pattern))

    def reply(self, messages: Sequence[Message]) -> Steps:
        """See :class:`gorilla_jupyter.model.backend.Conversing`."""
        model = yield from self._loaded()
        if not isinstance(model.form, ChatForm):
            raise ModelError(f"{self.name} was trained to write calls, and nothing else.")
        tokens = model.tokens(model.form.conversation(messages))
        if len(tokens) > model.decoder.context - MAX_TOKENS:
            raise ModelFailureError(f"This is too much to read for {self.name}.")
        return (yield from self._written(model, tokens, None))

    def _loaded(self) -> Generator[Progress, None, LoadedModel]:
        if self.model is None:
            self.model = yield from self.load()
        return self.model

    def _written(self, model: LoadedModel, tokens: list[int], pattern: str | None) -> Steps:
        written: list[int] = []
        with ThreadPoolExecutor(1) as thread:
            reader = _Reader(model.decoder, thread)
            try:
                for start in range(0, len(tokens), CHUNK_TOKENS):
                    step = Progress(f"{self.name} reads", start, len(tokens))
                    logits = yield from reader.read(tokens[start : start + CHUNK_TOKENS], step)
                yield Progress(f"{self.name} writes", 0, MAX_TOKENS)
                guide = None if pattern is None else _guide(model, pattern, len(logits))
                while len(written) < MAX_TOKENS:
                    following = _next(guide, logits)
                    if model.decoder.end_tokens.intersection(following):
                        break
                    written += following
                    if guide is not None and guide.finished:
                        break
                    step = Progress(f"{self.name} writes", len(written), MAX_TOKENS)
                    logits = yield from reader.read(following, step)
            finally:
                model.decoder.forget()  # and give back the memory that the answer took
        return str(model.tokenizer.decode(written))


@dataclass
class _Reader:
    """Has a decoder read in a thread, so that a request can be cancelled meanwhile."""

    decoder: Decoder
    thread: ThreadPoolExecutor

    def read(
        self, tokens: Sequence[int], step: Progress
    ) -> Generator[Progress, None, NDArray[np.float32]]:
        yield step
        reading = self.thread.submit(self.decoder.read, tokens)
        try:
            while not wait([reading], POLL_SECONDS).done:
                yield step
        finally:
            if not reading.done():
                self.decoder.stop()
                wait([reading])
        return reading.result()


def _guide(model: LoadedModel, pattern: str, vocabulary: int) -> Guide:
    if model.guide_tokenizer is None:
        model.guide_tokenizer = guide_tokenizer(
            model.tokenizer.to_str(), vocabulary, model.decoder.end_tokens
        )
    return Guide(model.guide_tokenizer, pattern)


def _next(guide: Guide | None, logits: NDArray[np.float32]) -> list[int]:
    """The tokens that come next: several where the documents leave no choice."""
    if guide is None:
        return [int(logits.argmax())]
    tokens = guide.forced() or [guide.choose(logits)]
    guide.accept(tokens)
    return tokens


def read_tokenizer(folder: Path, name: str) -> tuple[Any, Form]:
    """The tokenizer in a model's folder, and how the model is asked.

    :raises ModelError: if the folder does not have them.
    """
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        settings = json.loads((folder / "tokenizer_config.json").read_text())
        template = settings.get("chat_template")
        if (file := folder / "chat_template.jinja").is_file():
            template = file.read_text()
    except Exception as error:  # tokenizers raises nothing narrower
        raise ModelError(f"The tokenizer of {name} cannot be read: {error}.") from error
    return tokenizer, model_form(name, template, settings)


def model_form(name: str, template: object, settings: dict[str, Any]) -> Form:
    """The form of a model whose tokenizer has these settings.

    :raises ModelError: if nothing tells how the model is asked.
    """
    special = {
        token: value["content"] if isinstance(value, dict) else value
        for token in _SPECIAL_TOKENS
        if (value := settings.get(token))
    }
    try:
        return form_of(name, template if isinstance(template, str) else None, special)
    except PromptError as error:
        raise ModelError(f"{name} cannot be asked. {error}") from error
