"""ApiRecord: the one form of API documentation, and the outside forms it is read from."""

from __future__ import annotations

import ast
import hashlib
import re
import reprlib
import textwrap
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement

ABSENT = frozenset({"", "n/a", "none", "null"})
"""What people write into a field that has nothing to say."""

DISTRIBUTION_ALIASES: Mapping[str, str] = {
    "cv2": "opencv-python",
    "pil": "pillow",
    "pytorch": "torch",
    "sklearn": "scikit-learn",
}
"""Names that documents use for a requirement, and the distributions that they mean."""

MODULES: Mapping[str, str] = {
    "beautifulsoup4": "bs4",
    "opencv-python": "cv2",
    "pillow": "PIL",
    "pyyaml": "yaml",
    "scikit-image": "skimage",
    "scikit-learn": "sklearn",
}
"""Distributions whose module has another name."""

MAX_DEPTH = 100
"""How deep a record, or the syntax tree of its call or example, may be nested: those of people stay
far below."""


_BRIEFLY = reprlib.Repr()
_BRIEFLY.maxstring = 80


class RecordError(ValueError):
    """A mapping that is no API record.

    :ivar field: the field that is wrong.
    :ivar expected: what should have stood there, in words.
    """

    def __init__(self, field: str, expected: str, found: object) -> None:
        shown = "nothing" if found is None else _BRIEFLY.repr(found)
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
    :ivar released: when the API or the model came out, as YYYY or YYYY-MM, where that is known.
    :ivar first_choice: whether it is among those that people who know the field name first for what
        it does, where nothing more is said.
    :ivar checked: against which version of its package the call was checked, and when, e.g.
        ``"transformers 5.23.0, 2026-11-22"``.
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
    released: str = ""
    first_choice: bool = False
    checked: str = ""
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
        for node in self._example_imports:
            names = [alias for alias in node.names if _bound_name(alias) in used]
            if names:
                kept = (
                    ast.ImportFrom(node.module, names, 0)
                    if isinstance(node, ast.ImportFrom)
                    else ast.Import(names)
                )
                statements.append(ast.unparse(kept))
        return tuple(dict.fromkeys(statements))

    @cached_property
    def package(self) -> str:
        """The top-level module that the call belongs to, e.g. ``"transformers"``; "" if unsaid."""
        root = self.callee.partition(".")[0]
        for node in self._example_imports if root else ():
            for alias in node.names:
                if _bound_name(alias) == root:
                    module = node.module if isinstance(node, ast.ImportFrom) else alias.name
                    return (module or "").partition(".")[0]
        for text in self.python_environment_requirements:
            if requirement := pip_requirement(text):
                return module_name(requirement.name)
        return ""

    @cached_property
    def receiver(self) -> tuple[str, str]:
        """For a method of an object that the example makes, what the object is called there and its
        class: ``("dataframe", "DataFrame")`` of ``dataframe.corr()``; otherwise two "".
        """
        root, _, method = self.callee.partition(".")
        owner, _, name = self.api_name.rpartition(".")
        tree = _parse(self.example_code) if owner and name == method else None
        if tree is None:
            return "", ""
        made = {
            node.id
            for statement in tree.body
            if isinstance(statement, ast.Assign)
            for target in statement.targets
            for node in ast.walk(target)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        }
        return (root, owner.rpartition(".")[2]) if root in made else ("", "")

    @cached_property
    def pip_install(self) -> str:
        """The magic that installs what is required; "" where nothing is named that pip knows."""
        found = map(pip_requirement, self.python_environment_requirements)
        needs = " ".join(pip_argument(requirement) for requirement in found if requirement)
        return f"%pip install {needs}" if needs else ""

    @cached_property
    def _example_imports(self) -> list[ast.Import | ast.ImportFrom]:
        # Line by line: examples found in the wild often fail further down, and most begin alike.
        lines = [line.strip() for line in self.example_code.splitlines() if "import" in line]
        found = [_imports(line) for line in lines]
        if None in found and (whole := _imports(self.example_code)) is not None:
            found = [whole]
        return [node for nodes in found if nodes is not None for node in nodes]

    @classmethod
    def from_json(cls, value: object, *, source: str = "") -> ApiRecord:
        """Read an APIBench record, an APIBench instruction pair or an API Zoo contribution.

        :raises RecordError: naming the first field that is missing or of the wrong kind.
        """
        if not isinstance(value, Mapping):
            raise RecordError("record", "a JSON object", value)
        if _is_deeper(value, MAX_DEPTH):
            raise RecordError("record", f"an object nested at most {MAX_DEPTH} deep", value)
        if "api_data" in value:
            return cls.from_json(value["api_data"], source=source)
        if "user_name" in value or ("env_requirements" in value and "domain" not in value):
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
            released=_sentence(value, "released"),
            first_choice=_flag(value, "first_choice"),
            checked=_sentence(value, "checked"),
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
            first_choice=_flag(value, "first_choice"),
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
        if self.questions:
            value["questions"] = list(self.questions)
        for name in ("api_version", "released", "checked"):
            if text := getattr(self, name):
                value[name] = text
        if self.first_choice:
            value["first_choice"] = True
        return value


def parse_call(text: str) -> ast.Call | None:
    """The call in ``text``, an expression or an assignment; None where there is none."""
    tree = parse_code(text.strip())
    if tree is None or len(tree.body) != 1:
        return None
    statement = tree.body[0]
    if not isinstance(statement, ast.Expr | ast.Assign) or not isinstance(
        statement.value, ast.Call
    ):
        return None
    if isinstance(statement, ast.Assign) and not all(map(_is_plain_target, statement.targets)):
        return None
    return statement.value


def parse_code(text: str) -> ast.Module | None:
    """The syntax tree of ``text``; None for what is not Python or is nested absurdly deep."""
    tree = _parse(text)
    level: list[ast.AST] = [] if tree is None else [tree]
    for _ in range(MAX_DEPTH):
        level = [child for node in level for child in ast.iter_child_nodes(node)]
        if not level:
            return tree
    return None


def calls_of(tree: ast.AST, name: str) -> Iterator[ast.Call]:
    """The calls in ``tree`` of a function or method of that name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and last_name(node) == name:
            yield node


def contains_call(tree: ast.AST, call: ast.Call) -> bool:
    """Whether ``tree`` makes this very call."""
    wanted = ast.dump(call)
    return any(ast.dump(found) == wanted for found in calls_of(tree, last_name(call)))


def shows_call(tree: ast.AST, call: ast.Call) -> bool:
    """Whether ``tree`` makes this call, be it in another form: ``model.chat(messages)`` for
    ``chat(messages, verbose=True)``. Whatever text the call holds, such as the name of a model,
    must be there too."""
    if contains_call(tree, call):
        return True
    named = any(True for _ in calls_of(tree, last_name(call)))
    return named and _texts(call) <= _texts(tree)


def last_name(call: ast.Call) -> str:
    """The last part of what is called: ``"load"`` of ``torch.hub.load(...)``."""
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""


def distribution_name(requirement: str) -> str:
    """The normalised PyPI name in a requirement such as ``"Torch_Audio>=2"``."""
    found = re.match(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?", requirement)
    return re.sub(r"[-_.]+", "-", found.group()).lower() if found else ""


def module_name(distribution: str) -> str:
    """What is imported of a distribution, as far as that can be told from its name."""
    name = re.sub(r"[-_.]+", "-", distribution).lower()
    return MODULES.get(name, name.replace("-", "_"))


def pip_requirement(text: str) -> Requirement | None:
    """A requirement as documents write it, as pip understands it; None where it names nothing that
    pip would install by name."""
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        named = re.fullmatch(r"\s*([A-Za-z0-9][\w.-]*)\s+v?\d[\w.+]*\s*", text, re.ASCII)
        if named is None:
            return None
        requirement = Requirement(distribution_name(named.group(1)))
    alias = DISTRIBUTION_ALIASES.get(distribution_name(requirement.name))
    requirement.name = alias or requirement.name
    by_text = any(specifier.operator == "===" for specifier in requirement.specifier)
    if requirement.url or by_text or requirement.name.lower() == "python":
        return None
    return requirement


def pip_argument(requirement: Requirement) -> str:
    """``requirement`` as a word of a pip command line, in any shell."""
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    text = f"{requirement.name}{extras}{requirement.specifier}"
    return text if text == requirement.name else f'"{text}"'


def _is_plain_target(target: ast.expr) -> bool:
    if isinstance(target, ast.Tuple | ast.List):
        return all(map(_is_plain_target, target.elts))
    if isinstance(target, ast.Starred):
        return _is_plain_target(target.value)
    return isinstance(target, ast.Name)


def _texts(tree: ast.AST) -> set[str]:
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def _parse(text: str) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            # Python's remarks on a document's style would go to a person who did not write it.
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


@lru_cache(maxsize=1000)
def _imports(code: str) -> tuple[ast.Import | ast.ImportFrom, ...] | None:
    """The absolute imports in ``code``; None where it does not parse."""
    tree = _parse(code)
    if tree is None:
        return None
    return tuple(
        node
        for node in _statements(tree)
        if isinstance(node, ast.Import) or (isinstance(node, ast.ImportFrom) and not node.level)
    )


def _statements(block: ast.AST) -> Iterator[ast.stmt]:
    """The statements of ``block`` and of the blocks in it, which Python keeps from nesting deep."""
    for name in ("body", "orelse", "handlers", "finalbody", "cases"):
        for node in getattr(block, name, ()):
            if isinstance(node, ast.stmt):
                yield node
            yield from _statements(node)


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
    return textwrap.dedent("\n".join(_lines(value)).strip("\r\n")).strip()


def _lines(value: object) -> Iterator[str]:
    if value is None or isinstance(value, str):
        yield value or ""
    elif isinstance(value, Mapping | list):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from _lines(part)
    else:
        raise RecordError("example_code", "a string or a list of lines", value)


def _arguments(value: object) -> tuple[Argument, ...]:
    if _is_absent(value):
        return ()
    if isinstance(value, str):
        found = [Argument(name.strip()) for name in value.split(",") if name.strip()]
    elif isinstance(value, Mapping):
        found = [_argument(str(name), content) for name, content in value.items()]
    elif isinstance(value, list):
        found = [
            _argument(str(item["name"]), {k: v for k, v in item.items() if k != "name"})
            if isinstance(item, Mapping) and "name" in item
            else Argument(_plain_text(item))
            for item in value
        ]
    else:
        raise RecordError("api_arguments", "an object, a list or a string", value)
    named = {argument.name: argument for argument in reversed(found)}
    return tuple(reversed(named.values()))


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
        default=default or None if isinstance(default, str) or default is None else repr(default),
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
    if isinstance(found, Mapping):
        found = [
            key if not re.match(r"[<>=!~]", str(wanted)) else f"{key}{wanted}"
            for key, wanted in found.items()
        ]
    if isinstance(found, str):
        found = [found]
    if isinstance(found, list) and all(isinstance(item, str) for item in found):
        return tuple(part for item in found for part in _split_requirements(item))
    raise RecordError(name, "a list of requirements", found)


_PIP_COMMAND = re.compile(r"\s*[!%]?\s*(?:python3?\s+-m\s+)?pip3?\s+install\s+([^;&|\n]*)")
_PIP_OPTION = re.compile(
    r"(?<!\S)(?:(?:-[rcife]|--(?:requirement|constraint|index-url|extra-index-url|find-links))"
    r"\s+\S+|-\S+)"
)
_BETWEEN_REQUIREMENTS = re.compile(r"\n|,(?!\s*[<>=!~])(?![^\[\]]*\])")


def _split_requirements(text: str) -> tuple[str, ...]:
    commands = _PIP_COMMAND.findall(text)
    if commands and _PIP_COMMAND.match(text):
        words = [_PIP_OPTION.sub(" ", command) for command in commands]
        parts = [part.strip("\"'") for part in " ".join(words).split()]
    else:
        parts = [text]
    split = (piece.strip() for part in parts for piece in _BETWEEN_REQUIREMENTS.split(part))
    return tuple(piece for piece in split if not _is_absent(piece))


def _performance(value: object, name: str) -> Mapping[str, Any]:
    if _is_absent(value):
        return {}
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, list | str):
        return {"results": value}
    raise RecordError(name, "an object", value)


def _is_deeper(value: object, depth: int) -> bool:
    level = [value]
    for _ in range(depth):
        level = [
            part
            for item in level
            if isinstance(item, Mapping | list)
            for part in (item.values() if isinstance(item, Mapping) else item)
        ]
        if not level:
            return False
    return True


def _flag(value: Mapping[str, Any], name: str) -> bool:
    found = value.get(name)
    if found is None or isinstance(found, bool):
        return bool(found)
    raise RecordError(name, "true or false", found)


def _questions(value: object) -> tuple[str, ...]:
    if _is_absent(value):
        return ()
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise RecordError("questions", "a list of strings", value)
