"""The chooser that needs nothing."""

from __future__ import annotations

import pytest

from gorilla_jupyter.answer import Document, Proposal, Request
from gorilla_jupyter.model.backend import ModelError, load_backend
from gorilla_jupyter.record import ApiRecord


def a_document(name: str, score: float, coverage: float, call: str = "load(1)") -> Document:
    record = ApiRecord("Audio", "Widgets", "Speech", name, call, description=f"About {name}.")
    return Document(record, score, coverage)


def propose(*documents: Document) -> list[Proposal]:
    steps = load_backend("embedded").propose(Request("speak"), documents)
    return [step for step in steps if isinstance(step, Proposal)]


def names(*documents: Document) -> list[str]:
    return [proposal.record.api_name for proposal in propose(*documents)]


def test_the_document_with_most_words_and_score_comes_first() -> None:
    assert names(a_document("a", 5, 0.5), a_document("b", 4, 1), a_document("c", 1, 0.5)) == [
        "b",
        "a",
        "c",
    ]


def test_documents_that_share_few_words_are_not_chosen() -> None:
    assert names(a_document("a", 5, 0.3), a_document("b", 1, 0.6)) == ["b"]


def test_documents_without_a_call_are_not_chosen() -> None:
    assert names(a_document("a", 5, 1, call="not Python ("), a_document("b", 1, 1)) == ["b"]


def test_the_call_is_the_documents_and_its_description_explains_it() -> None:
    (proposal,) = propose(a_document("a", 5, 1))
    assert (proposal.api_call, proposal.explanation) == ("load(1)", "About a.")


@pytest.mark.parametrize("score", [0.0, 0.001, 1000.0])
def test_confidence_is_between_0_and_1(score: float) -> None:
    (proposal,) = propose(a_document("a", score, 1))
    assert 0 <= proposal.score <= 1


def test_no_documents_no_proposals() -> None:
    assert propose() == []


@pytest.mark.parametrize("name", ["gpt", "", "Embedded", "x" * 100_000])
def test_an_unknown_model_is_named_with_those_there_are(name: str) -> None:
    with pytest.raises(ModelError, match=r"^There is no model '.{0,80}\. Known: embedded, .*\.$"):
        load_backend(name)
