"""What goes into the engine and what comes out: Request, Document, Candidate, Answer, events."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any, Literal

from gorilla_jupyter.record import ApiRecord

MAX_CHARACTERS = 50_000
"""The longest text that is read; longer ones are refused, not cut."""

CheckName = Literal["documented", "installed", "signature", "syntax"]


class RequestError(ValueError):
    """A request that cannot be answered as it stands; the message says what to change."""


class CheckStatus(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Check:
    """The outcome of one check of a candidate, with a sentence for the person."""

    name: CheckName
    status: CheckStatus
    sentence: str


def passed(name: CheckName, sentence: str) -> Check:
    return Check(name, CheckStatus.PASSED, sentence)


def failed(name: CheckName, sentence: str) -> Check:
    return Check(name, CheckStatus.FAILED, sentence)


def unknown(name: CheckName, sentence: str) -> Check:
    return Check(name, CheckStatus.UNKNOWN, sentence)


@dataclass(frozen=True)
class Request:
    """One question.

    :ivar instruction: what the person wants, in their own words.
    :ivar candidates: how many different answers to offer.
    :ivar documents: how many documents to read before choosing.
    :ivar framework: consider only documents whose framework has these words.
    :ivar domain: likewise for the domain.
    :ivar package: consider only calls of this Python package.
    :ivar environment: the environment whose installed packages are considered, as
        :func:`gorilla_jupyter.catalog.store.environment_name` calls it; None for the engine's own.
    :ivar project: the folder of the notebook, beside which a project's catalogs may lie; None for
        the engine's current folder.
    :ivar model: the model to ask; None for the configured one.
    :ivar variables: what is bound where the cell will run, as
        :func:`gorilla_jupyter.variables.variables_of` tells it: names and the names of classes.
    """

    instruction: str
    candidates: int = 3
    documents: int = 20
    framework: str | None = None
    domain: str | None = None
    package: str | None = None
    environment: str | None = None
    project: str | None = None
    model: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_text(self.instruction)
        for name, largest in (("candidates", 20), ("documents", 200)):
            number = getattr(self, name)
            if not isinstance(number, int) or isinstance(number, bool):
                raise RequestError(f"'{name}' must be a whole number, not {number!r}.")
            if not 1 <= number <= largest:
                raise RequestError(f"'{name}' must be between 1 and {largest}, not {number}.")
        for name in ("framework", "domain", "package", "environment", "project", "model"):
            text = getattr(self, name)
            if text is not None:
                check_text(text, name)
        _check_variables(self.variables)

    @classmethod
    def from_json(cls, value: object) -> Request:
        """Read a request from JSON.

        :raises RequestError: saying which field is wrong.
        """
        if not isinstance(value, Mapping):
            raise RequestError("The request must be a JSON object with an 'instruction'.")
        known = cls.__dataclass_fields__
        for name in value:
            if name not in known:
                raise RequestError(f"Unknown field '{name}'. Known are: {', '.join(known)}.")
        if "instruction" not in value:
            raise RequestError("The request has no 'instruction'.")
        return cls(**value)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def _check_variables(value: object) -> None:
    if not isinstance(value, Mapping) or not all(
        isinstance(name, str) and name.isidentifier() and isinstance(kind, str)
        for name, kind in value.items()
    ):
        raise RequestError("'variables' must hold the names of classes by those of variables.")


@dataclass(frozen=True)
class Document:
    """A record that was found.

    :ivar score: the retriever's score, higher is better; comparable within one search only.
    :ivar coverage: how much of the sentence's meaning-bearing words the document has, 0 to 1.
    :ivar highlight: a part of the description; matched words stand between ``**``.
    :ivar fit: how likely the document answers the sentence, 0 to 1; None where only words tell.
    :ivar installed: whether the environment has what the document requires; None where that is not
        known.
    """

    record: ApiRecord
    score: float
    coverage: float = 0.0
    highlight: str = ""
    fit: float | None = None
    installed: bool | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.record.id,
            "source": self.record.source,
            "package": self.record.package,
            "score": round(self.score, 4),
            "coverage": round(self.coverage, 4),
            "highlight": self.highlight,
            "fit": None if self.fit is None else round(self.fit, 4),
            "installed": self.installed,
            "install": self.record.pip_install,
            "record": self.record.to_json(),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Document:
        return cls(
            record=ApiRecord.from_json(value["record"], source=value["source"]),
            score=value["score"],
            coverage=value["coverage"],
            highlight=value["highlight"],
            fit=value["fit"],
            installed=value["installed"],
        )


@dataclass(frozen=True)
class Proposal:
    """What a model makes of a document: a call, why, and how sure it is (0 to 1)."""

    record: ApiRecord
    api_call: str
    explanation: str
    score: float


@dataclass(frozen=True)
class Notice:
    """Something that a model's answer must say: that the sentence left the machine, for one.

    :ivar stand_in: the model that answers from here on, where it is another than the one asked.
    """

    sentence: str
    stand_in: str = ""


@dataclass(frozen=True)
class Candidate:
    """A verified proposal: the call, the cell it becomes, and the checks it went through."""

    record: ApiRecord
    api_call: str
    explanation: str
    score: float
    code: str
    checks: tuple[Check, ...]

    def check(self, name: CheckName) -> Check:
        return next(check for check in self.checks if check.name == name)

    def with_checks(self, *checks: Check) -> Candidate:
        """The same candidate with these checks in the place of those of the same name."""
        new = {check.name: check for check in checks}
        return replace(self, checks=tuple(new.get(check.name, check) for check in self.checks))

    def to_json(self) -> dict[str, Any]:
        return {
            "domain": self.record.domain,
            "api_call": self.api_call,
            "api_provider": self.record.framework,
            "explanation": self.explanation,
            "code": self.code,
            "api_name": self.record.api_name,
            "requirements": list(self.record.python_environment_requirements),
            "install": self.record.pip_install,
            "checks": [asdict(check) for check in self.checks],
            "score": round(self.score, 4),
            "source": self.record.source,
            "record": self.record.to_json(),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Candidate:
        return cls(
            record=ApiRecord.from_json(value["record"], source=value["source"]),
            api_call=value["api_call"],
            explanation=value["explanation"],
            score=value["score"],
            code=value["code"],
            checks=tuple(
                Check(check["name"], CheckStatus(check["status"]), check["sentence"])
                for check in value["checks"]
            ),
        )


@dataclass(frozen=True)
class Answer:
    """What came of a request.

    :ivar candidates: best first; none where no document fits.
    :ivar nearest: the documents that came nearest, for a person to look at.
    :ivar model: the model that answered: not the one that was asked where another stood in for it.
    :ivar timings_ms: milliseconds per step.
    :ivar notices: sentences about what did not go as it should (a broken catalog, a full disk).
    """

    instruction: str
    candidates: tuple[Candidate, ...]
    nearest: tuple[Document, ...]
    model: str
    timings_ms: Mapping[str, float]
    notices: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "instruction": self.instruction,
            "candidates": [candidate.to_json() for candidate in self.candidates],
            "nearest": [document.to_json() for document in self.nearest],
            "model": self.model,
            "timings_ms": dict(self.timings_ms),
            "notices": list(self.notices),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Answer:
        return cls(
            instruction=value["instruction"],
            candidates=tuple(Candidate.from_json(item) for item in value["candidates"]),
            nearest=tuple(Document.from_json(item) for item in value["nearest"]),
            model=value["model"],
            timings_ms=value["timings_ms"],
            notices=tuple(value["notices"]),
        )


@dataclass(frozen=True)
class SearchResult:
    """Documents for a search; ``did_you_mean`` is the query with misspelt words mended."""

    documents: tuple[Document, ...]
    did_you_mean: str | None = None
    notices: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "documents": [document.to_json() for document in self.documents],
            "did_you_mean": self.did_you_mean,
            "notices": list(self.notices),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> SearchResult:
        return cls(
            documents=tuple(Document.from_json(item) for item in value["documents"]),
            did_you_mean=value["did_you_mean"],
            notices=tuple(value["notices"]),
        )


@dataclass(frozen=True)
class Progress:
    """How far a long step has come.

    :ivar elsewhere: whether another machine works, or another thread: until the next event, the
        engine has its hands free.
    :ivar waits: whether nothing is done for the request yet, because others come before it.
    """

    message: str
    done: int
    total: int
    elsewhere: bool = False
    waits: bool = False

    def to_json(self) -> dict[str, Any]:
        return {"message": self.message, "done": self.done, "total": self.total}


Event = Progress | SearchResult | Candidate | Answer
"""What a stream yields: progress, the documents found, each candidate, at last the answer."""

EVENT_NAMES: Mapping[type, str] = {
    Progress: "progress",
    SearchResult: "documents",
    Candidate: "candidate",
    Answer: "answer",
}


def event_to_json(event: Event) -> dict[str, Any]:
    return {"event": EVENT_NAMES[type(event)], **event.to_json()}


def check_text(text: object, name: str = "instruction") -> str:
    """``text`` itself, if it can be read.

    :raises RequestError: for anything but a string, and for empty, over-long or broken ones.
    """
    if not isinstance(text, str):
        raise RequestError(f"'{name}' must be a text, not {text!r:.80}.")
    if not text.strip():
        raise RequestError(f"The {name} is empty: write what you want in a sentence.")
    if len(text) > MAX_CHARACTERS:
        raise RequestError(
            f"The {name} has {len(text):,} characters; at most {MAX_CHARACTERS:,} are read. "
            "Say it in a sentence or two."
        )
    for position, character in enumerate(text):
        if unicodedata.category(character) in ("Cc", "Cs") and character not in "\t\n\r":
            raise RequestError(
                f"The {name} holds a character that cannot be read, U+{ord(character):04X} "
                f"at position {position + 1}: remove it."
            )
    return text
