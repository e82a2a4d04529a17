"""ApiRecord: the one form of API documentation, and the outside forms it is read from."""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

ABSENT = frozenset({"", "n/a", "none", "null"})
"""What people write into a field that has nothing to say."""


class RecordError(ValueError):
    """A mapping that is no API record.

    :ivar field: the field that is wrong.
    :ivar expected: what should have stood there, in words.
    """

    def __init__(self, field: str, expected: str, found: object) -> None:
        shown = "nothing" if found is None else repr(found)
        super().__init__(f"field '{field}': expected {expected}, found {shown[:80]}")
        self.field = field
        self.expected = expected


@dataclass(frozen=True)
class Argument:
    """One documented argument of a call.

    :ivar type: a Python annotation, "" where the document names none.
    :ivar default: Python source of the default; None for a required or undocumented one.
    """

    name: str
    type: str = ""
    default: str | None = None
    description: str = ""


@dataclass(frozen=True)
class ApiRecord:
    """The documentation of one API: APIBench's ten fields (Gorilla, arXiv:2305.15334).

    :ivar domain: the task, e.g. ``"Audio Text-to-Speech"``.
    :ivar framework: who provides the API, e.g. ``"Hugging Face Transformers"``.
    :ivar functionality: what it does, in a line.
    :ivar api_call: one Python call expression.
    :ivar python_environment_requirements: what must be installed, the package of the call first.
    :ivar example_code: a cell that uses the call.
    :ivar performance: figures, as their source gives them.
    :ivar api_version: the version that the document describes, where it says so.
    :ivar questions: sentences that this API answers, where its author gave some.
    :ivar source: the catalog that the record comes from.
    """

    domain: str
    framework: str
    functionality: str
    api_name: str
    api_call: str
    api_arguments: tuple[Argument, ...] = ()
    python_environment_requirements: tuple[str, ...] = ()
    example_code: str = ""
    performance: Mapping[str, Any] = field(default_factory=dict)
    description: str = ""
    api_version: str = ""
    questions: tuple[str, ...] = ()
    source: str = ""

    @cached_property
    def id(self) -> str:
        """A short name that stays the same as long as source, name and call do."""
        key = "\0".join((self.source, self.api_name, self.api_call))
        return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()[:16]

    @cached_property
    def call(self) -> ast.Call | None:
        """The syntax tree of :attr:`api_call`; None where it is not a Python call."""
        return parse_call(self.api_call)

    @cached_property
    def callee(self) -> str:
        """What is called, e.g. ``"torch.hub.load"``; "" where the call does not parse."""
        return ast.unparse(self.call.func) if self.call else ""

    @cached_property
    def imports(self) -> tuple[str, ...]:
        """The import statements, after the example's, that bind the names of the call."""
        if self.call is None:
            return ()
        used = {node.id for node in ast.walk(self.call) if isinstance(node, ast.Name)}
        statements = []
        for node in _import_nodes(self.example_code):
            node.names = [alias for alias in node.names if _bound_name(alias) in used]
            if node.names:
                statements.append(ast.unparse(node))
        return tuple(dict.fromkeys(statements))

    @cached_property
    def package(self) -> str:
        """The top-level module that the call belongs to, e.g. ``"transformers"``; "" if unsaid."""
        root = self.callee.partition(".")[0]
        for statement in self.imports:
            for node in _import_nodes(statement):
                for alias in node.names:
                    if _bound_name(alias) == root:
                        module = node.module if isinstance(node, ast.ImportFrom) else alias.name
                        return (module or "").partition(".")[0]
        for requirement in self.python_environment_requirements:
            return distribution_name(requirement).replace("-", "_")
        return ""

    @classmethod
    def from_json(cls, value: object, *, source: str = "") -> ApiRecord:
        """Read an APIBench record, an APIBench instruction pair or an API Zoo contribution.

        :raises RecordError: naming the first field that is missing or of the wrong kind.
        """
        if not isinstance(value, Mapping):
            raise RecordError("record", "a JSON object", value)
        if "api_data" in value:
            return cls.from_json(value["api_data"], source=source)
        if "user_name" in value:
            return cls._from_api_zoo(value, source)
        return cls(
            domain=_required_text(value, "domain"),
            framework=_required_text(value, "framework"),
            functionality=_sentence(value, "functionality"),
            api_name=_required_text(value, "api_name"),
            api_call=_required_text(value, "api_call"),
            api_arguments=_arguments(value.get("api_arguments")),
            python_environment_requirements=_requirements(value, "python_environment_requirements"),
            example_code=_code(value.get("example_code")),
            performance=_performance(value.get("performance"), "performance"),
            description=_sentence(value, "description"),
            api_version=_sentence(value, "api_version"),
            questions=_questions(value.get("questions")),
            source=source,
        )

    @classmethod
    def _from_api_zoo(cls, value: Mapping[str, Any], source: str) -> ApiRecord:
        functionality = _required_text(value, "functionality")
        meta_data = value.get("meta_data") or {}
        if not isinstance(meta_data, Mapping):
            raise RecordError("meta_data", "an object", meta_data)
        return cls(
            domain=functionality,
            framework=_required_text(value, "api_name"),
            functionality=functionality,
            api_name=_required_text(value, "api_name"),
            api_call=_required_text(value, "api_call"),
            api_arguments=_arguments(value.get("api_arguments")),
            python_environment_requirements=_requirements(value, "env_requirements"),
            example_code=_code(value.get("example_code")),
            performance=_performance(meta_data.get("performance"), "meta_data.performance"),
            description=_sentence(meta_data, "description"),
            api_version=_sentence(value, "api_version"),
            questions=_questions(value.get("questions")),
            source=source,
        )

    def to_json(self) -> dict[str, Any]:
        """The record in APIBench's form; :meth:`from_json` reads it back unchanged."""
        value: dict[str, Any] = {
            "domain": self.domain,
            "framework": self.framework,
            "functionality": self.functionality,
            "api_name": self.api_name,
            "api_call": self.api_call,
            "api_arguments": {
                argument.name: {
                    key: text
                    for key in ("type", "default", "description")
                    if (text := getattr(argument, key))
                }
                for argument in self.api_arguments
            },
            "python_environment_requirements": list(self.python_environment_requirements),
            "example_code": self.example_code,
            "performance": dict(self.performance),
            "description": self.description,
        }
        if self.api_version:
            value["api_version"] = self.api_version
        if self.questions:
            value["questions"] = list(self.questions)
        return value


def parse_call(text: str) -> ast.Call | None:
    """The call in ``text``, an expression or an assignment; None where there is none."""
    try:
        statements = ast.parse(text.strip()).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    if len(statements) != 1 or not isinstance(statements[0], ast.Expr | ast.Assign):
        return None
    value = statements[0].value
    return value if isinstance(value, ast.Call) else None


def distribution_name(requirement: str) -> str:
    """The normalised PyPI name in a requirement such as ``"Torch_Audio>=2"``."""
    found = re.match(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?", requirement)
    return re.sub(r"[-_.]+", "-", found.group()).lower() if found else ""


def _import_nodes(code: str) -> list[ast.Import | ast.ImportFrom]:
    try:
        nodes: list[ast.AST] = list(ast.walk(ast.parse(code)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        # Examples found in the wild often fail further down; their import lines still count.
        nodes = []
        for line in code.splitlines():
            try:
                nodes.extend(ast.parse(line.strip()).body)
            except (SyntaxError, ValueError):
                continue
    return [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]


def _bound_name(alias: ast.alias) -> str:
    return alias.asname or alias.name.partition(".")[0]


def _is_absent(value: object) -> bool:
    return value is None or (isinstance(value, str) and value.strip().lower() in ABSENT)


def _required_text(value: Mapping[str, Any], name: str) -> str:
    text = value.get(name)
    if not isinstance(text, str) or not text.strip():
        raise RecordError(name, "a non-empty string", text)
    return text.strip()


def _sentence(value: Mapping[str, Any], name: str) -> str:
    text = value.get(name)
    if _is_absent(text):
        return ""
    if isinstance(text, list) and all(isinstance(part, str) for part in text):
        return ", ".join(text)
    if not isinstance(text, str):
        raise RecordError(name, "a string", text)
    return text.strip()


def _code(value: object) -> str:
    if _is_absent(value):
        return ""
    if isinstance(value, str):
        return value.strip()
    parts = value.values() if isinstance(value, Mapping) else value
    if not isinstance(parts, Iterable):
        raise RecordError("example_code", "a string or a list of lines", value)
    return "\n".join(_code(part) for part in parts).strip()


def _arguments(value: object) -> tuple[Argument, ...]:
    if _is_absent(value):
        return ()
    if isinstance(value, str):
        return tuple(Argument(name.strip()) for name in value.split(",") if name.strip())
    if isinstance(value, Mapping):
        return tuple(_argument(str(name), content) for name, content in value.items())
    if isinstance(value, list):
        return tuple(
            _argument(str(item["name"]), {k: v for k, v in item.items() if k != "name"})
            if isinstance(item, Mapping) and "name" in item
            else Argument(_plain_text(item))
            for item in value
        )
    raise RecordError("api_arguments", "an object, a list or a string", value)


def _argument(name: str, content: object) -> Argument:
    if not isinstance(content, Mapping):
        return Argument(name, description="" if content is None else _plain_text(content))
    known = {"type", "default", "description"}
    if not known.issuperset(content):
        return Argument(name, description=_plain_text(content))
    default = content.get("default")
    return Argument(
        name,
        type=str(content.get("type") or ""),
        default=default if isinstance(default, str) or default is None else repr(default),
        description=str(content.get("description") or ""),
    )


def _plain_text(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_plain_text(item)}" for key, item in value.items())
    return str(value)


def _requirements(value: Mapping[str, Any], name: str) -> tuple[str, ...]:
    found = value.get(name)
    if _is_absent(found):
        return ()
    if isinstance(found, str):
        return _split_requirements(found)
    if isinstance(found, list) and all(isinstance(item, str) for item in found):
        return tuple(part for item in found for part in _split_requirements(item))
    if isinstance(found, Mapping):
        return tuple(
            key if not re.match(r"[<>=!~]", str(wanted)) else f"{key}{wanted}"
            for key, wanted in found.items()
        )
    raise RecordError(name, "a list of requirements", found)


def _split_requirements(text: str) -> tuple[str, ...]:
    if _is_absent(text):
        return ()
    command = re.match(r"\s*(?:[!%]\s*)?pip3?\s+install\s+(.*)", text, re.DOTALL)
    if command:
        words = command.group(1).split()
        return tuple(word for word in words if not word.startswith("-"))
    return tuple(part.strip() for part in re.split(r"[,\n]", text) if part.strip())


def _performance(value: object, name: str) -> Mapping[str, Any]:
    if _is_absent(value):
        return {}
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, list | str):
        return {"results": value}
    raise RecordError(name, "an object", value)


def _questions(value: object) -> tuple[str, ...]:
    if _is_absent(value):
        return ()
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise RecordError("questions", "a list of strings", value)
