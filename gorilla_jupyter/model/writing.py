"""From what a model writes to proposals: read, held to the documents, asked for once more."""

from __future__ import annotations

import ast
import json
import re
import unicodedata
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from gorilla_jupyter.answer import (
    CheckStatus,
    Document,
    Notice,
    Progress,
    Proposal,
    Request,
)
from gorilla_jupyter.model.arguments import fill_arguments
from gorilla_jupyter.model.backend import DEFAULT_MODEL
from gorilla_jupyter.model.constrain import NOTHING
from gorilla_jupyter.model.embedded import EmbeddedBackend, choose
from gorilla_jupyter.model.prompt import Prompt, readable
from gorilla_jupyter.record import ApiRecord, parse_call
from gorilla_jupyter.verify import NO_VARIABLES, check_documented

ATTEMPTS = 2
"""How often a model may write a call that no document has."""

EXPLANATION_CHARACTERS = 500
WRITTEN_CHARACTERS = 2000
"""How much of what a model wrote is shown to it again."""

Steps = Generator[Progress | Notice, None, str]

_FIELD = re.compile(r"<<<(\w+)>>>\s*:")
_LINE = re.compile(r"^[^\w\n]*api_call[^\w\n]*:[^\w\n]*(\w.*)$", re.MULTILINE)


@runtime_checkable
class Writer(Protocol):
    """A model that writes text.

    :ivar name: as the person called it.
    """

    name: str

    def write(self, prompt: Prompt) -> Steps:
        """Write the answer to ``prompt``, telling how far it is.

        :raises ModelFailureError: if it cannot.
        """
        ...


@dataclass(frozen=True)
class Written:
    """What a model wrote: the call and why; both "" where it wrote neither."""

    api_call: str = ""
    explanation: str = ""

    @property
    def declines(self) -> bool:
        """Whether it says that no document fits."""
        return self.api_call.strip("'\". ").lower() == NOTHING


def propose(
    writer: Writer, request: Request, documents: Sequence[Document]
) -> Iterator[Proposal | Progress | Notice]:
    """What ``writer`` makes of the documents, and after it the embedded model's alternatives.

    A call that no document has is asked for once more, and then replaced by a documented one. Where
    there is no document, the writer is not asked.

    :raises ModelFailureError: if the model fails.
    """
    prompt = Prompt(request.instruction, best_first(documents, request.instruction))
    if not prompt.documents:
        return
    for _ in range(ATTEMPTS):
        text = yield from writer.write(prompt)
        written = read(text)
        if written.declines:
            return
        chosen = _documented(written, prompt.documents, request.variables)
        if chosen is not None:
            yield chosen
            break
        meant = _meant(text, prompt.documents)
        prompt = replace(
            prompt,
            written=text[:WRITTEN_CHARACTERS],
            fault=_fault(written, meant, request.variables),
        )
    else:
        instead = (
            f"the documented call of {meant.api_name} stands in its place"
            if meant
            else "the embedded model chose instead"
        )
        yield Notice(
            f"{writer.name} wrote no call of the documents in {ATTEMPTS} attempts; {instead}.",
            stand_in=DEFAULT_MODEL,
        )
        if meant:
            call = fill_arguments(meant, request.instruction, request.variables)
            chosen = Proposal(meant, call, _about(meant), score=0.5)
            yield chosen
    others = EmbeddedBackend().propose(request, documents)
    yield from (other for other in others if chosen is None or other.record != chosen.record)


def best_first(documents: Sequence[Document], sentence: str) -> tuple[Document, ...]:
    """The documents that a model is shown, in the order that the embedded model prefers."""
    fitting = choose(documents, sentence)
    order = {document.record.id: place for place, (document, _) in enumerate(fitting)}
    return readable(sorted(documents, key=lambda found: order.get(found.record.id, len(order))))


def _documented(
    written: Written, documents: Sequence[Document], variables: Mapping[str, str]
) -> Proposal | None:
    for document in documents:
        if call := documented_call(document.record, written.api_call, variables):
            explanation = written.explanation or _about(document.record)
            return Proposal(document.record, call, explanation, score=1.0)
    return None


def documented_call(
    record: ApiRecord, text: str, variables: Mapping[str, str] = NO_VARIABLES
) -> str:
    """``text`` as a call of the record, without what stands around it; "" if it is none.

    :param variables: see :func:`gorilla_jupyter.verify.check_documented`.
    """
    call = parse_call(text)
    if call is None or record.call is None:
        return ""
    if ast.dump(call) == ast.dump(record.call):
        return record.api_call
    plain = ast.unparse(call)
    passed = check_documented(record, plain, variables).status is CheckStatus.PASSED
    return plain if passed else ""


def read(text: str) -> Written:
    """Read an answer in Gorilla's form, as a JSON object, or in the lines of a document; what is
    none of these has no call."""
    readers = (_form_fields, _json_fields, _function_field, _document_field)
    fields = next((found for reader in readers if "api_call" in (found := reader(text))), {})
    explanation = "".join(
        " " if unicodedata.category(character) in ("Cc", "Cs") else character
        for character in fields.get("explanation", "")
    )
    return Written(
        fields.get("api_call", "").strip().strip("`").strip(),
        " ".join(explanation.split())[:EXPLANATION_CHARACTERS],
    )


def _json_fields(text: str) -> Mapping[str, str]:
    found = re.search(r"\{.*\}", text, re.DOTALL)
    _, brace, cut = text.partition("{")
    # What was cut off in its last field, the explanation, is an answer all the same.
    for shown in (found.group() if found else "", f'{brace}{cut}"}}'):
        try:
            value = json.loads(shown)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            fields = {name: text or "" for name, text in value.items() if _is_text(text)}
            if fields.get("api_call") == "":
                fields["api_call"] = NOTHING
            return fields
    return {}


def _is_text(content: object) -> bool:
    return content is None or isinstance(content, str)


def _form_fields(text: str) -> Mapping[str, str]:
    _, *parts = _FIELD.split(text)
    return {
        name: content.strip().removesuffix(",")
        for name, content in zip(parts[::2], parts[1::2], strict=True)
    }


def _function_field(text: str) -> Mapping[str, str]:
    """What gorilla-openfunctions-v2 writes."""
    _, marker, call = text.partition("<<function>>")
    return {"api_call": call} if marker else {}


def _document_field(text: str) -> Mapping[str, str]:
    """What small models write, which go on as the documents are written; several documents are no
    choice."""
    calls = {call.rstrip('.,"*` \r') for call in _LINE.findall(text)}
    return {"api_call": calls.pop()} if len(calls) == 1 else {}


def _fault(written: Written, meant: ApiRecord | None, variables: Mapping[str, str]) -> str:
    if not written.api_call or meant is None:
        return "That has no api_call of the documentation above."
    return check_documented(meant, written.api_call, variables).sentence


def _meant(text: str, documents: Sequence[Document]) -> ApiRecord | None:
    """The record that the text speaks of, if it does."""
    records = [found.record for found in documents]
    named = (record for record in records if record.api_name in text)
    called = (record for record in records if f"{record.callee}(" in text)
    return next(named, None) or next(called, None)


def _about(record: ApiRecord) -> str:
    return record.description or record.functionality
