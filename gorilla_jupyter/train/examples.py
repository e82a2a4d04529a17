"""What a generative model is trained on: a sentence with the documents that the index finds for it,
asked as it is asked in use, and the right answer (retriever-aware training, arXiv:2305.15334)."""

from __future__ import annotations

import ast
import json
import random
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import chain
from pathlib import Path

from gorilla_jupyter.answer import Document, Progress, Request
from gorilla_jupyter.catalog.store import CatalogStore, write_records, write_whole
from gorilla_jupyter.index.search import DocumentIndex
from gorilla_jupyter.model.backend import load_encoder
from gorilla_jupyter.model.prompt import Prompt, fit
from gorilla_jupyter.model.writing import best_first
from gorilla_jupyter.record import ApiRecord
from gorilla_jupyter.train.checking import Instruction

NO_LABEL = -100
"""The label of a token that is not learnt: what torch's cross entropy ignores."""

EXPLANATION_CHARACTERS = 160

Retrieve = Callable[[str], Sequence[Document]]
"""Finds the documents for a sentence, best first."""


@dataclass(frozen=True)
class Mixture:
    """How often the documents are other than the index finds them, each from 0 to 1.

    The index was trained with these very sentences and nearly always finds their document first;
    of the sentences of people it does not.

    :ivar without: there are none.
    :ivar wrong: the right one is not among them.
    :ivar shuffled: they stand in no order.
    """

    without: float = 0.1
    wrong: float = 0.1
    shuffled: float = 0.5


class Kind(StrEnum):
    """What the documents of an example are."""

    RIGHT = "with the right document"
    WRONG = "with wrong documents only"
    WITHOUT = "without documents"


@dataclass(frozen=True)
class Example:
    """One question, and the API that answers it whether or not its document is shown.

    :ivar documents: best first.
    :ivar shuffled: they are shown in another order.
    """

    instruction: Instruction
    documents: tuple[Document, ...]
    shuffled: bool = False

    @property
    def prompt(self) -> Prompt:
        """The question as models are asked it in use."""
        return Prompt(self.instruction.text, self.documents)

    @property
    def kind(self) -> Kind:
        if not self.documents:
            return Kind.WITHOUT
        shown = {document.record.id for document in self.documents}
        return Kind.RIGHT if self.instruction.record.id in shown else Kind.WRONG


def make_examples(
    instructions: Sequence[Instruction], retrieve: Retrieve, mixture: Mixture, *, seed: int
) -> Iterator[Example | Progress]:
    """An example for each instruction whose record has a call."""
    for number, instruction in enumerate(instructions):
        yield Progress("documents are found", number, len(instructions))
        if instruction.record.call is not None:
            # All are drawn whichever are needed: one share changed changes nothing else.
            random_ = random.Random(f"{seed} {instruction.text}")
            without, wrong, shuffled = (random_.random() for _ in range(3))
            documents: Sequence[Document] = ()
            if without >= mixture.without:
                documents = retrieve(instruction.text)
            if wrong < mixture.wrong:
                right = instruction.record.id
                documents = [found for found in documents if found.record.id != right]
            yield Example(instruction, tuple(documents), shuffled < mixture.shuffled)


def retriever(records: Iterable[ApiRecord], folder: Path) -> Generator[Progress, None, Retrieve]:
    """An index of these records alone, that finds documents as they are found in use.

    :param folder: an empty one, which the index is kept in.
    """
    store = CatalogStore(folder / "catalogs", builtin=None, project=None)
    store.folder.mkdir()
    by_source: dict[str, list[ApiRecord]] = {}
    for record in records:
        by_source.setdefault(record.source, []).append(record)
    for source, found in by_source.items():  # which the id of a record depends on
        write_records(store.folder / f"{source}.jsonl", found)
    index = DocumentIndex(store, folder / "index", encoder=load_encoder)
    index.prepare()
    yield from chain(index.refresh(), index.encode())

    def retrieve(sentence: str) -> Sequence[Document]:
        request = Request(sentence)
        documents = index.search(request).documents
        return best_first(documents, sentence)

    return retrieve


def answer(record: ApiRecord) -> str:
    """The right answer in Gorilla's form, as :func:`model.constrain.answer_pattern` allows it."""
    assert record.call is not None
    return (
        f"<<<domain>>>: {' '.join(record.domain.split())}, "
        f"<<<api_call>>>: {ast.unparse(record.call)}, "
        f"<<<api_provider>>>: {' '.join(record.framework.split())}, "
        f"<<<explanation>>>: {_explanation(record)}"
    )


def _explanation(record: ApiRecord) -> str:
    """A sentence about the record that has no full stop but its last."""
    first = re.split(r"\.(?:\s|$)", record.description, maxsplit=1)[0]
    for text in (first, record.functionality, record.domain):
        plain = " ".join(text.split())
        if plain and not re.search(r"[.<>\x00-\x1f\x7f-\x9f]", plain):
            if len(plain) > EXPLANATION_CHARACTERS:
                plain = plain[:EXPLANATION_CHARACTERS].rpartition(" ")[0] or plain[:80]
            return f"{plain}."
    return "It does what is wanted."


@dataclass(frozen=True)
class Encoded:
    """An example in a model's tokens.

    :ivar input_ids: the question, the answer and the token that ends it.
    :ivar labels: the same, but :data:`NO_LABEL` for the question: only the answer is learnt.
    :ivar kind: what is left of the documents.
    """

    input_ids: list[int]
    labels: list[int]
    kind: Kind


def encode(
    example: Example,
    tokens: Callable[[str], list[int]],
    text: Callable[[Prompt], str],
    *,
    end: int,
    longest: int,
) -> Encoded:
    """The example in at most ``longest`` tokens, with as many documents as there is room for.

    :param tokens: turns a text into tokens.
    :param text: writes a question as the model is asked.
    :param end: the token that ends an answer.
    :raises PromptError: if there is no room for the question.
    """
    learnt = [*tokens(answer(example.instruction.record)), end]
    room = longest - len(learnt)
    prompt = fit(example.prompt, lambda asked: len(tokens(text(asked))), room)
    if example.shuffled:  # only now, so that it is the last ones that there is no room for
        random_ = random.Random(example.instruction.text)
        order = random_.sample(prompt.documents, len(prompt.documents))
        prompt = replace(prompt, documents=tuple(order))
    question = tokens(text(prompt))
    return Encoded(
        question + learnt,
        [NO_LABEL] * len(question) + learnt,
        replace(example, documents=prompt.documents).kind,
    )


def write_examples(examples: Iterable[Example], path: Path) -> None:
    """Keep examples, whole or not at all."""
    lines = [
        json.dumps(
            {
                "instruction": example.instruction.text,
                "record": example.instruction.record.id,
                "documents": [document.record.id for document in example.documents],
                "shuffled": example.shuffled,
            },
            ensure_ascii=False,
        )
        for example in examples
    ]
    write_whole(path, "".join(line + "\n" for line in lines).encode(), mode=0o600)


def read_examples(path: Path, records: Mapping[str, ApiRecord]) -> list[Example]:
    """The examples that :func:`write_examples` kept.

    :param records: by their id.
    """
    found = []
    with path.open(encoding="utf-8") as file:
        values = [json.loads(line) for line in file]
    for value in values:
        instruction = Instruction(value["instruction"], records[value["record"]])
        documents = tuple(Document(records[name], 0.0) for name in value["documents"])
        found.append(Example(instruction, documents, value["shuffled"]))
    return found
