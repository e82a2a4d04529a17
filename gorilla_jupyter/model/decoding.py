"""Models that write on this machine, token by token, held to what the documents allow."""

from __future__ import annotations

import json
import threading
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, wait
from dataclasses import replace
from functools import partial
from pathlib import Path
from queue import Empty
from typing import Any

from gorilla_jupyter.answer import Document, Notice, Progress, Proposal, Request
from gorilla_jupyter.model.backend import ModelError, ModelFailureError
from gorilla_jupyter.model.batch import Batch, Decoder, Writing
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
from gorilla_jupyter.progress_bar import finish

MAX_TOKENS = 256
"""How much a model may write."""

POLL_SECONDS = 0.1
"""How often a request looks up while a network is loaded, or works: it can be cancelled then."""

_SPECIAL_TOKENS = ("bos_token", "eos_token", "pad_token", "unk_token")


class LoadedModel:
    """A decoder, with how its text becomes tokens and how it is asked.

    :param tokenizer: a ``tokenizers.Tokenizer``.
    :ivar batch: the texts that it writes.
    """

    def __init__(self, decoder: Decoder, tokenizer: Any, form: Form) -> None:
        self.decoder = decoder
        self.batch = Batch(decoder)
        self.tokenizer = tokenizer
        self.form = form
        self._guide_tokenizer: Any = None

    def tokens(self, text: str) -> list[int]:
        """A text in the model's own tokens."""
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def guide(self, pattern: str, vocabulary: int) -> Guide:
        """What holds a text to a regular expression.

        :param vocabulary: how many tokens the network tells apart.
        """
        if self._guide_tokenizer is None:
            self._guide_tokenizer = guide_tokenizer(
                self.tokenizer.to_str(), vocabulary, self.decoder.end_tokens
            )
        return Guide(self._guide_tokenizer, pattern)


class LocalBackend:
    """What the models on this machine share: loading on first use, and writing.

    A model is loaded once for all who ask meanwhile, in a thread of its own: whoever no longer
    wants an answer can leave.

    :param constrained: hold what is written to the documents; without, it is only verified.
    :ivar model: what is loaded, if anything is.
    """

    def __init__(self, name: str, *, constrained: bool = True) -> None:
        self.name = name
        self.constrained = constrained
        self.model: LoadedModel | None = None
        self._lock = threading.Lock()
        self._loading: Future[LoadedModel] | None = None
        self._loading_step = Progress("", 0, 0)

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
        try:
            tokens = model.tokens(model.form.conversation(messages))
        except PromptError as error:
            raise ModelFailureError(str(error)) from error
        if len(tokens) > model.decoder.context - MAX_TOKENS:
            raise ModelFailureError(f"This is too much to read for {self.name}.")
        return (yield from self._written(model, tokens, None))

    def _loaded(self) -> Generator[Progress, None, LoadedModel]:
        if self.model is None:
            with self._lock:
                loading = self._loading or self._begin_to_load()
            while not loading.done():
                yield replace(self._loading_step, elsewhere=True)
                wait([loading], timeout=POLL_SECONDS)
            yield self._loading_step
            self.model = loading.result()
        return self.model

    def _begin_to_load(self) -> Future[LoadedModel]:
        steps = self.load()
        self._loading_step = next(steps)
        self._loading = loading = Future[LoadedModel]()

        def show(step: Progress) -> None:
            self._loading_step = step

        def load() -> None:
            try:
                loading.set_result(finish(steps, show))
            except BaseException as error:
                self._loading = None  # who asks next has it tried again
                loading.set_exception(error)

        threading.Thread(target=load, name="gorilla-loading", daemon=True).start()
        return loading

    def _written(self, model: LoadedModel, tokens: list[int], pattern: str | None) -> Steps:
        guide = None if pattern is None else partial(model.guide, pattern)
        writing = Writing(tokens, MAX_TOKENS, guide)
        model.batch.add(writing)
        try:
            step: tuple[str, int, int] | None = ("reads", 0, len(tokens))
            is_begun, waits = False, False
            while step is not None:
                verb, done, total = ("writes another answer", 0, 0) if waits else step
                yield Progress(f"{self.name} {verb}", done, total, elsewhere=True, waits=waits)
                try:
                    step = writing.steps.get(timeout=POLL_SECONDS)
                    is_begun = True
                except Empty:
                    pass
                waits = not is_begun
        finally:
            model.batch.remove(writing)
        yield Progress(f"{self.name} writes", len(writing.written), MAX_TOKENS)
        if writing.error is not None:
            raise writing.error
        return str(model.tokenizer.decode(writing.written))


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
