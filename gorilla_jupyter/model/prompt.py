"""What a model is asked: the sentence, the documents that it may use, and the form to answer in."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypedDict

from gorilla_jupyter.answer import Document
from gorilla_jupyter.model.constrain import optional_arguments
from gorilla_jupyter.record import ApiRecord

DOCUMENTS = 5
"""The most documents that a model reads: further ones take time and seldom hold the answer."""

FORM = "<<<domain>>>: ..., <<<api_call>>>: ..., <<<api_provider>>>: ..., <<<explanation>>>: ..."
"""How an answer is written, but for the code, which is composed from the document."""

_TASK = (
    "Choose the one API above that does what is wanted, and write its call as it is documented. "
    "Only a placeholder, which is a bare name, may be replaced, by a value of the sentence, and "
    "only the optional arguments that are listed may be added."
)


class PromptError(ValueError):
    """A sentence that is too long for the model."""


class Message(TypedDict):
    """One turn of a conversation."""

    role: str
    content: str


@dataclass(frozen=True)
class Prompt:
    """One question to a model.

    :ivar documents: what it may choose from, best first.
    :ivar description_characters: where the description of each document is cut; None for nowhere.
    :ivar written: what the model wrote to this question before, if that was of no use.
    :ivar fault: why not, in a sentence.
    """

    sentence: str
    documents: tuple[Document, ...]
    description_characters: int | None = None
    written: str = ""
    fault: str = ""

    def messages(self, *, as_json: bool = False) -> list[Message]:
        """The question as a conversation, for models that were trained on such.

        :param as_json: ask for a JSON object instead of Gorilla's form.
        """
        form = (
            "a JSON object with the strings domain, api_call, api_provider and explanation"
            if as_json
            else f"one line of this form: {FORM}"
        )
        question = (
            f"{self._reference()}\n\nWhat is wanted: {self.sentence}\n\n{_TASK} "
            f"Answer with {form}. If none of the APIs does it, let api_call be none."
        )
        conversation = [Message(role="user", content=question)]
        if self.fault:
            conversation += [
                Message(role="assistant", content=self.written),
                Message(role="user", content=f"{self.fault} Answer again in the same form."),
            ]
        return conversation

    def _reference(self) -> str:
        texts = [
            self._document_text(number, document.record)
            for number, document in enumerate(self.documents, start=1)
        ]
        return "\n\n".join(["Use this API documentation for reference:", *texts])

    def _document_text(self, number: int, record: ApiRecord) -> str:
        assert record.call is not None
        added = ", ".join(
            f"{argument.name}: {argument.type}" if argument.type else argument.name
            for argument in optional_arguments(record, self.sentence)
        )
        fields = {
            "domain": record.domain,
            "api_provider": record.framework,
            "api_name": record.api_name,
            "functionality": record.functionality,
            "api_call": ast.unparse(record.call),
            "optional arguments": added,
            "description": record.description[: self.description_characters],
        }
        lines = [f"{name}: {' '.join(text.split())}" for name, text in fields.items() if text]
        return "\n".join([f"API {number}", *lines])


def fit(prompt: Prompt, length: Callable[[Prompt], int], room: int) -> Prompt:
    """The prompt with as many of its documents as there is room for.

    The last ones are left out whole; the description of the very first is cut only if it alone is
    too long.

    :param length: how long a prompt is, in the unit of ``room``.
    :raises PromptError: if there is no room even for the sentence and one document.
    """
    while len(prompt.documents) > 1 and length(prompt) > room:
        prompt = replace(prompt, documents=prompt.documents[:-1])
    characters = max((len(document.record.description) for document in prompt.documents), default=0)
    while characters and length(prompt) > room:
        characters //= 2
        prompt = replace(prompt, description_characters=characters)
    if length(prompt) > room:
        raise PromptError("The sentence is too long for this model: say it in a sentence or two.")
    return prompt


def readable(documents: Sequence[Document]) -> tuple[Document, ...]:
    """The documents that a model is shown: the best ones that have a call."""
    return tuple(document for document in documents if document.record.call)[:DOCUMENTS]
