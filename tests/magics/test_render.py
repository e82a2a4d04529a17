from __future__ import annotations

from html.parser import HTMLParser

import pytest

from gorilla_jupyter.answer import Answer, Candidate, Check, CheckStatus, Document, SearchResult
from gorilla_jupyter.magics import render
from gorilla_jupyter.record import ApiRecord

HOSTILE = '</style></pre><script>alert(1)</script><img src=x onerror=alert(1)> & "quotes" **bold**'
CHECK = Check(HOSTILE, CheckStatus.PASSED, HOSTILE)  # type: ignore[arg-type]


def hostile_record() -> ApiRecord:
    return ApiRecord.from_json(
        {
            "domain": HOSTILE,
            "framework": HOSTILE,
            "functionality": HOSTILE,
            "api_name": HOSTILE,
            "api_call": "load('x')" + HOSTILE,
            "api_arguments": {HOSTILE: {"type": HOSTILE, "default": "1", "description": HOSTILE}},
            "python_environment_requirements": [HOSTILE],
            "example_code": HOSTILE,
            "performance": {HOSTILE: HOSTILE},
            "description": HOSTILE,
        }
    )


def hostile_answer() -> Answer:
    record = hostile_record()
    candidate = Candidate(record, HOSTILE, HOSTILE, 0.5, HOSTILE, (CHECK,))
    document = Document(record, 1.0, 1.0, HOSTILE)
    return Answer(HOSTILE, (candidate, candidate), (document,), HOSTILE, {}, (HOSTILE,))


class Tags(HTMLParser):
    """Collects the names of the elements, and checks that each one is closed."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.open: list[str] = []
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes.update(name for name, _ in attrs)
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


MARKUP = {
    "answer": render.answer_html(hostile_answer(), None),
    "inserted": render.answer_html(hostile_answer(), hostile_answer().candidates[0]),
    "nothing fits": render.answer_html(
        Answer("x", (), hostile_answer().nearest, "m", {}, (HOSTILE,)), None
    ),
    "documents": render.documents_html(SearchResult(hostile_answer().nearest, HOSTILE, (HOSTILE,))),
    "record": render.record_html(hostile_record()),
    "code": render.code_html(HOSTILE),
}


@pytest.mark.parametrize("markup", MARKUP.values(), ids=MARKUP)
def test_hostile_documents_add_no_element(markup: str) -> None:
    allowed = {"style", "div", "p", "b", "span", "br", "pre", "code", "details", "summary"}
    assert Tags(markup).names <= allowed | {"table", "tbody", "tr", "td"}


@pytest.mark.parametrize("markup", MARKUP.values(), ids=MARKUP)
def test_hostile_documents_add_no_attribute(markup: str) -> None:
    assert Tags(markup).attributes <= {"class"}


@pytest.mark.parametrize("markup", MARKUP.values(), ids=MARKUP)
def test_every_element_is_closed(markup: str) -> None:
    assert Tags(markup).open == []


def test_the_alternatives_are_numbered_in_text() -> None:
    text = render.answer_text(hostile_answer(), None)
    assert "  2. " in text


def test_a_search_without_documents_says_so() -> None:
    assert render.documents_text(SearchResult(())) == render.NOTHING_FOUND
