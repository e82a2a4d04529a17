"""What a model is asked: the sentence, the documents that it may use, and the form to answer in."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypedDict

from gorilla_jupyter.answer import Document
from gorilla_jupyter.model.constrain import answer_pattern, call_pattern, optional_arguments
from gorilla_jupyter.record import ApiRecord

if TYPE_CHECKING:
    from jinja2 import Environment
    from jinja2.nodes import Node
    from jinja2.parser import Parser

DOCUMENTS = 5
"""The most documents that a model reads: further ones take time and seldom hold the answer."""

FORM = "<<<domain>>>: ..., <<<api_call>>>: ..., <<<api_provider>>>: ..., <<<explanation>>>: ..."
"""How an answer is written, but for the code, which is composed from the document."""

_TASK = (
    "Choose the one API above that does what is wanted, and write its call as it is documented. "
    "Only a placeholder, which is a bare name, may be replaced, by a value of the sentence, and "
    "only the optional arguments that are listed may be added."
)

_TASK_FROM_MEMORY = "Write the call of the one API that does what is wanted, as it is documented."


class PromptError(ValueError):
    """A model that cannot be asked, or not this."""


class Message(TypedDict):
    """One turn of a conversation."""

    role: str
    content: str


@dataclass(frozen=True)
class Prompt:
    """One question to a model.

    :ivar documents: what it may choose from, best first; without any, a model is asked for what it
        was trained on.
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
        wanted = f"What is wanted: {self.sentence}"
        if self.documents:
            question = (
                f"{self._reference()}\n\n{wanted}\n\n{_TASK} "
                f"Answer with {form}. If none of the APIs does it, let api_call be none."
            )
        else:
            question = f"{wanted}\n\n{_TASK_FROM_MEMORY} Answer with {form}."
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


class Form(Protocol):
    """How one kind of model is asked, as a text to go on with, and how it answers."""

    def text(self, prompt: Prompt) -> str:
        """The question as that kind of model was trained on it."""
        ...

    def pattern(self, prompt: Prompt) -> str:
        """A regular expression of the answers that the documents allow."""
        ...


class ChatForm:
    """A model that was trained on conversations.

    :param template: how they are written, as a Jinja template: ``chat_template`` of its tokenizer.
    :param special_tokens: the tokens that the template names, such as ``eos_token``.
    :raises jinja2.TemplateError: for what is no template.
    """

    def __init__(self, template: str, special_tokens: Mapping[str, str]) -> None:
        self._template = _template_environment().from_string(template)
        self._special_tokens = special_tokens

    def text(self, prompt: Prompt) -> str:
        """See :class:`Form`."""
        return self.conversation(prompt.messages())

    def conversation(self, messages: Sequence[Message]) -> str:
        """Any conversation, up to where the model goes on.

        :raises PromptError: if the template does not take it.
        """
        try:
            return self._template.render(
                messages=messages, add_generation_prompt=True, **self._special_tokens
            )
        except Exception as error:  # a template is a program, which fails as programs do
            raise PromptError(f"Its chat template refuses the question: {error}.") from error

    def pattern(self, prompt: Prompt) -> str:
        """See :class:`Form`."""
        return answer_pattern(_records(prompt), prompt.sentence)


def _as_json(value: object, *, ensure_ascii: bool = False, **options: Any) -> str:
    # Jinja's own escapes what HTML minds.
    return json.dumps(value, ensure_ascii=ensure_ascii, **options)


def _template_environment() -> Environment:
    """Jinja with what chat templates of the hub expect, as transformers documents it."""
    from jinja2 import TemplateError
    from jinja2.ext import Extension
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        # It marks what a model learns to say, and is shown as if it were not there.
        tags = {"generation"}  # noqa: RUF012, as jinja2 declares it

        def parse(self, parser: Parser) -> list[Node]:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    def refuse(message: str) -> NoReturn:
        raise TemplateError(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", Generation]
    )
    environment.filters["tojson"] = _as_json
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = lambda form: datetime.now().astimezone().strftime(form)
    return environment


class GorillaForm:
    """The models gorilla-7b-hf, -tf and -th, which were trained without documents: the documents
    only say what they may answer.

    :param begin: the token that begins a text.
    """

    _SYSTEM = (
        "A chat between a curious user and an artificial intelligence assistant. The assistant "
        "gives helpful, detailed, and polite answers to the user's questions."
    )

    def __init__(self, begin: str = "") -> None:
        self._begin = begin

    def text(self, prompt: Prompt) -> str:
        """See :class:`Form`."""
        question = "\n".join(filter(None, (prompt.sentence, prompt.fault)))
        return f"{self._begin}{self._SYSTEM}\nUSER: {question}\nASSISTANT:"

    def pattern(self, prompt: Prompt) -> str:
        """See :class:`Form`."""
        return " ?" + answer_pattern(_records(prompt), prompt.sentence)


class OpenFunctionsForm:
    """The model gorilla-openfunctions-v2, which reads functions as JSON and writes a bare call.

    :param begin: the token that begins a text.
    """

    _SYSTEM = (
        "You are an AI programming assistant, utilizing the Gorilla LLM model, developed by "
        "Gorilla LLM, and you only answer questions related to computer science. For politically "
        "sensitive questions, security and privacy issues, and other non-computer science "
        "questions, you will refuse to answer."
    )

    def __init__(self, begin: str = "") -> None:
        self._begin = begin

    def text(self, prompt: Prompt) -> str:
        """See :class:`Form`."""
        functions = json.dumps([_function(record, prompt) for record in _records(prompt)])
        question = "\n".join(filter(None, (prompt.sentence, prompt.fault)))
        return (
            f"{self._begin}{self._SYSTEM}\n### Instruction: <<function>>{functions}\n"
            f"<<question>>{question}\n### Response: "
        )

    def pattern(self, prompt: Prompt) -> str:
        """See :class:`Form`."""
        calls = "|".join(call_pattern(record, prompt.sentence) for record in _records(prompt))
        return f"<<function>>({calls})"


def form_of(name: str, template: str | None, special_tokens: Mapping[str, str]) -> Form:
    """The form of a model.

    :param name: what its hub or its folder calls it: the published Gorilla models have their own.
    :param template: the chat template of its tokenizer, if it has one.
    :raises PromptError: if nothing tells how the model is asked.
    """
    from jinja2 import TemplateError

    name = name.lower()
    if "gorilla-openfunctions" in name:
        return OpenFunctionsForm(special_tokens.get("bos_token", ""))
    if "gorilla-7b" in name:
        return GorillaForm(special_tokens.get("bos_token", ""))
    if not template:
        raise PromptError("Its tokenizer has no chat template, which tells how it is asked.")
    try:
        return ChatForm(template, special_tokens)
    except TemplateError as error:
        raise PromptError(f"Its chat template is broken: {error}.") from error


def _records(prompt: Prompt) -> list[ApiRecord]:
    return [document.record for document in prompt.documents]


def _function(record: ApiRecord, prompt: Prompt) -> dict[str, Any]:
    return {
        "name": record.callee,
        "api_call": record.api_call,
        "description": record.description[: prompt.description_characters] or record.functionality,
        "parameters": [
            {"name": argument.name, "type": argument.type, "description": argument.description}
            for argument in optional_arguments(record, prompt.sentence)
        ],
    }
