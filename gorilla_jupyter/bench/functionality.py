"""APIBench's scores of answers: functionality, hallucination and whether the very API was named.

The rules, quirks included, are those of Gorilla's published evaluator (arXiv:2305.15334). That one
reads an answer with a parser that goes on after errors, and has to: six in ten of Gorilla's answers
with a retriever are no Python, because their quotes are escaped once too often. Python's ``ast``
gives nothing for those, so calls are found here by their brackets.
"""

from __future__ import annotations

import keyword
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Rule(StrEnum):
    """Which arguments of a documented call an answer must have: APIBench compares per hub."""

    EVERY_VALUE = "Hugging Face"
    MODEL_OR_TEXT = "TensorFlow Hub"
    REPOSITORY_AND_MODEL = "PyTorch Hub"

    @classmethod
    def of(cls, apis: Iterable[Mapping[str, str]]) -> Rule:
        """The rule for API records, by the framework that most of them name."""
        counts = Counter(api["framework"] for api in apis)
        framework = max(counts, key=counts.__getitem__, default="")
        if framework.startswith("TensorFlow Hub"):
            return cls.MODEL_OR_TEXT
        return cls.REPOSITORY_AND_MODEL if framework == "PyTorch" else cls.EVERY_VALUE


@dataclass(frozen=True)
class Call:
    """A call somewhere in a text.

    :ivar callee: what is called, e.g. ``"torch.hub.load"``.
    :ivar text: the whole call.
    :ivar arguments: the text of each.
    :ivar start: where in the text it begins.
    """

    callee: str
    text: str
    arguments: tuple[str, ...]
    start: int


@dataclass(frozen=True)
class Scores:
    """Shares of all responses.

    :ivar functionality: whose call is documented, in the domain of the reference call.
    :ivar hallucination: whose call no record documents.
    :ivar exact_id: whose call has the :func:`identity` of the reference call in it.
    """

    responses: int
    functionality: float
    hallucination: float
    exact_id: float


_TOKENS = re.compile(
    r"""(?P<string>'''.*?'''|\"\"\".*?\"\"\"|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*")
    |(?P<comment>\#[^\n]*)
    |(?P<apostrophe>(?<=[a-z])'(?=[a-z]))
    |(?P<open>[(\[{])
    |(?P<close>[)\]}])
    |(?P<comma>,)""",
    re.DOTALL | re.VERBOSE,
)
_CALLEE = re.compile(r"\.?[A-Za-z_][\w.]*\Z")
_NAMED = re.compile(r"(\w+)\s*=(?!=)\s*(.*)", re.DOTALL)
_PLAIN = re.compile(r"[\w.]+")
_QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"")
_WORD = rf"(?!(?:{'|'.join(keyword.kwlist)})\b)[\w-]+"
_WORDS = re.compile(rf"{_WORD}(?: {_WORD})+")


class _Bracket:
    def __init__(self, start: int, callee: str | None, inside: int) -> None:
        self.start = start
        self.callee = callee
        self.cuts = [inside]


def calls(text: str) -> list[Call]:
    """The calls in ``text`` that come to their end, outer before inner and later before earlier.

    What stands in a string or a comment is none, nor is what follows an apostrophe within a word:
    a parser takes the rest for a string.
    """
    found: list[Call] = []
    brackets: list[_Bracket] = []
    starts: dict[int, int] = {}  # of the calls, by where they end
    for token in _TOKENS.finditer(text):
        kind = token.lastgroup
        if kind == "apostrophe":
            break
        if kind == "open":
            callee, start = None, token.start()
            if token.group() == "(" and (name := _CALLEE.search(text, 0, start)):
                start = name.start()
                if text[start] == ".":  # a method of what another call gives
                    start = starts.get(start, token.start())
                callee = text[start : token.start()] or None
            brackets.append(_Bracket(start, callee, token.end()))
        elif kind == "comma" and brackets:
            brackets[-1].cuts.append(token.end())
        elif kind == "close" and brackets:
            bracket = brackets.pop()
            if bracket.callee is not None:
                ends = [cut - 1 for cut in bracket.cuts[1:]] + [token.start()]
                arguments = (
                    text[cut:end].strip() for cut, end in zip(bracket.cuts, ends, strict=True)
                )
                starts[token.end()] = bracket.start
                found.append(
                    Call(
                        bracket.callee,
                        text[bracket.start : token.end()],
                        tuple(filter(None, arguments)),
                        bracket.start,
                    )
                )
    return found[::-1]


def compared_arguments(call: Call, rule: Rule) -> list[str]:
    """What of a documented call an answer must have, without quotes."""
    compared = []
    for argument in call.arguments:
        named = _NAMED.match(argument)
        value = named.group(2) if named else argument
        if rule is Rule.EVERY_VALUE:
            compared.append(value)
        elif rule is Rule.MODEL_OR_TEXT:
            compared.append(value if named and named.group(1) == "model" else argument)
        elif "repo_or_dir" in argument or "model" in argument:
            compared.append(value if named else "")  # a string's third part is its closing quote
    return [value.strip("'\"") for value in compared]


def answered_call(response: str, rule: Rule) -> str | None:
    """The part of a response that is read as its call; None where there is none to read."""
    _, marker, rest = response.partition("api_call")
    if not response.strip() or (not marker and rule is Rule.REPOSITORY_AND_MODEL):
        return None
    if not marker:
        return response
    field = rest.partition("api_provider")[0]
    end = field.rfind(")") + 1 or len(field)
    return field[max(field.find(":"), 0) + 2 : end]


class Documentation:
    """API records, to find the one that an answer's call is documented by."""

    def __init__(self, apis: Sequence[Mapping[str, str]]) -> None:
        self.apis = apis
        self.rule = Rule.of(apis)
        self._documented = list(self._read())

    def _read(self) -> Iterator[tuple[Mapping[str, str], str, list[str]]]:
        for api in self.apis:
            for call in calls(api["api_call"]):
                if call.start == 0:
                    # A call without a compared argument is never met.
                    if compared := compared_arguments(call, self.rule):
                        yield api, call.callee, compared
                    break

    def match(self, text: str) -> Mapping[str, str] | None:
        """The first record whose call ``text`` makes, with all of its compared arguments."""
        found = calls(text)
        by_callee = {call.callee: call.text for call in reversed(found)}
        otherwise = _last_subtree(text, found)
        for api, callee, compared in self._documented:
            made = by_callee.get(callee, otherwise)
            if all(value in made for value in compared):
                return api
        return None

    def score(
        self, questions: Mapping[int, Mapping[str, str]], responses: Mapping[int, str]
    ) -> Scores:
        """The scores of the responses to ``questions``, both by the question's number.

        An empty response is neither right nor a hallucination.
        """
        right = hallucinated = exact = 0
        for number, response in responses.items():
            text = answered_call(response, self.rule)
            if text is None:
                continue
            api = self.match(text)
            hallucinated += api is None
            right += api is not None and api["domain"] == questions[number]["domain"]
            exact += identity(questions[number]["api_call"]) in text
        count = len(responses) or 1
        return Scores(len(responses), right / count, hallucinated / count, exact / count)


def identity(call: str) -> str:
    """What tells a call from others: its longest quoted string, or all of it where it has none."""
    return max((one or other for one, other in _QUOTED.findall(call)), key=len, default=call)


def _last_subtree(text: str, found: Sequence[Call]) -> str:
    """What the evaluator lists last of an answer, and compares with every record whose callee the
    answer has not: the deepest first part of the first call, or how a text without calls begins."""
    if not found:
        string = _TOKENS.match(text, len(text) - len(text.lstrip("\\")))
        if string and string.lastgroup == "string" and string.end() < len(text):
            return string.group()
        words = _WORDS.match(text)
        return words.group() if words else ""
    call = min(found, key=lambda call: call.start)
    while "." not in call.callee:
        first = next((one for one in call.arguments if not _PLAIN.fullmatch(one)), None)
        if first is None:
            return call.text[len(call.callee) :]
        named = _NAMED.match(first)
        if named and _PLAIN.fullmatch(named.group(2)):
            return first
        value = named.group(2) if named else first
        inner = next((call for call in calls(value) if call.text == value), None)
        if inner is None:
            return value
        call = inner
    return call.callee
