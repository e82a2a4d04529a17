"""How a callable that introspection has told becomes a record: docstring, call and example."""

from __future__ import annotations

import ast
import keyword
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import docstring_parser
from docstring_parser import DocstringStyle

from gorilla_jupyter.catalog.conventions import (
    MAKERS,
    MODULE_ALIASES,
    OBJECT_NAMES,
    PARENT_IMPORTS,
    PYTHON,
    object_name,
)
from gorilla_jupyter.catalog.doctests import Shown, shown_call
from gorilla_jupyter.record import ApiRecord, Argument, parse_call

MAX_SUMMARY = 200
MAX_DESCRIPTION = 500
MAX_ARGUMENT = 160
"""Characters that are kept of each."""

_SIGNATURE_LINE = re.compile(
    r"(?:[\w.]+ = )?(?:[\w.]+\.)?(\w+) ?\((.*)\)[ :]*(?:-+> *([^\n]*))?\.?$"
)
_DEPRECATED = re.compile(r"^(\.\. deprecated::|DEPRECATED|Deprecated[ .:,])", re.MULTILINE)
_SECTION = re.compile(
    r"^(\w[\w ]*\n-{3,}|(Args|Arguments|Parameters|Returns):|:param )", re.MULTILINE
)


@dataclass(frozen=True)
class _Parameter:
    """A parameter of the callable.

    :ivar is_expected: whether its document does not call it optional, though it has a default.
    """

    name: str
    kind: str
    default: str | None
    type: str = ""
    description: str = ""
    is_expected: bool = False

    @property
    def is_required(self) -> bool:
        return self.default is None and not self.kind.startswith("VAR_")


@dataclass(frozen=True)
class _Owner:
    """A class whose methods are told."""

    statement: str
    callee: str
    parameters: tuple[_Parameter, ...]


class Describer:
    """Turns what introspection tells of one distribution into records.

    :param source: the catalog that the records are for.
    """

    def __init__(self, distribution: str, version: str, source: str) -> None:
        self._distribution = distribution
        self._version = version
        self._source = source
        self._owners: dict[str, _Owner] = {}
        self._known: set[tuple[str, str]] = set()

    def record(self, told: Mapping[str, Any]) -> ApiRecord | None:
        """The record of a callable; None for one that is deprecated, says nothing of itself, or is
        called as another one is."""
        path, module, kind = told["path"], told["module"], told["kind"]
        name = path[len(module) + 1 :]
        first, text = _without_signature(told["document"], name)
        document = _parsed(text)
        prose = _prose(document)
        parameters = tuple(_parameters(told["signature"], first, document))
        statement, callee = self._spelling(told, name)
        if kind == "class":
            self._owners[path] = _Owner(statement, callee, parameters)
        if not prose or told["deprecated"] or _is_deprecated(text):
            return None
        owner_path = ""
        if kind == "method":
            owner_path = f"{module}.{name.partition('.')[0]}"
            receiver = object_name(owner_path.rpartition(".")[2])
            callee = f"{receiver}.{name.partition('.')[2]}"
        shown = _shown_arguments(parameters)
        call = f"{callee}({', '.join(shown.values())})"
        if parse_call(call) is None or (statement, call) in self._known:
            return None
        self._known.add((statement, call))
        example = _Example(statement, call, tuple(shown), parameters, document)
        if kind == "method":
            example = self._with_receiver(example, owner_path, receiver)
        summary, description = prose[0], " ".join(prose[1:])
        return ApiRecord(
            domain=f"Python {path.rpartition('.')[0] if kind != 'function' else module}",
            framework=f"{_framework(self._distribution)} {self._version}",
            functionality=_shortened(summary, MAX_SUMMARY),
            api_name=path.removeprefix("builtins."),
            api_call=call,
            api_arguments=tuple(
                Argument(parameter.name, parameter.type, parameter.default, parameter.description)
                for parameter in parameters
                if not parameter.kind.startswith("VAR_") or parameter.name in shown
            ),
            python_environment_requirements=()
            if self._distribution == PYTHON
            else (self._distribution,),
            example_code=example.cell(kind, told["document"], name),
            description=_shortened(f"{summary} {description}".strip(), MAX_DESCRIPTION),
            api_version=self._version,
            source=self._source,
        )

    def _spelling(self, told: Mapping[str, Any], name: str) -> tuple[str, str]:
        """The import statement for a callable, and what it is called with that."""
        module = told["module"]
        if module == "builtins":
            return "", name
        prefixes = [prefix for prefix in MODULE_ALIASES if f"{module}.".startswith(f"{prefix}.")]
        for prefix in sorted(prefixes, key=len, reverse=True):
            if module == prefix or told["reachable"]:
                alias = MODULE_ALIASES[prefix]
                statement = f"import {prefix} as {alias}"
                if alias == prefix:
                    statement = f"import {prefix.partition('.')[0]}"
                return statement, f"{alias}{module[len(prefix) :]}.{name}"
        parent, _, last = module.rpartition(".")
        if parent.partition(".")[0] in PARENT_IMPORTS:
            return f"from {parent} import {last}", f"{last}.{name}"
        if told["kind"] != "function" or parent:
            return f"from {module} import {name.partition('.')[0]}", name
        return f"import {module}", f"{module}.{name}"

    def _with_receiver(self, example: _Example, owner_path: str, receiver: str) -> _Example:
        if owner_path in MAKERS:
            return example.on(receiver, MAKERS[owner_path][0], [MAKERS[owner_path][1]])
        owner = self._owners.get(owner_path)
        if owner is None:
            return example.on(receiver, example.statement, [f"{receiver} = ...  # {owner_path}"])
        required = _shown_arguments(owner.parameters)
        made = f"{receiver} = {owner.callee}({', '.join(required.values())})"
        arguments = _placeholders(owner.parameters, set(required))
        return example.on(receiver, owner.statement, [*arguments, made])


@dataclass(frozen=True)
class _Example:
    """What a cell that shows a call is made of.

    :ivar shown: the parameters that the call gives.
    :ivar making: statements that make the object of a method.
    """

    statement: str
    call: str
    shown: tuple[str, ...]
    parameters: tuple[_Parameter, ...]
    document: docstring_parser.Docstring
    receiver: str = ""
    making: tuple[str, ...] = ()

    def on(self, receiver: str, statement: str, making: list[str]) -> _Example:
        return _Example(
            statement,
            self.call,
            self.shown,
            self.parameters,
            self.document,
            receiver,
            tuple(making),
        )

    def cell(self, kind: str, document: str, name: str) -> str:
        """Imports, values for the names of the call, the call; as the docstring's own example
        does it, where it makes this call."""
        parameters = [
            parameter.name
            for parameter in self.parameters
            if parameter.kind not in ("KEYWORD_ONLY", "VAR_KEYWORD")
        ]
        shown = shown_call(document, name, parameters, self.shown, self.receiver)
        imports = self._imports_of(shown) if shown is not None else None
        if shown is not None and imports is not None:
            statements = list(shown.statements)
        else:
            placed = {line.partition(" = ")[0] for line in self.making}
            statements = [
                *self.making,
                *_placeholders(self.parameters, set(self.shown) - placed),
            ]
            imports = [self.statement]
        cell = [*dict.fromkeys(filter(None, imports))]
        return "\n".join([*cell, *([""] if cell else []), *statements, *self._result(kind)])

    def _imports_of(self, shown: Shown) -> list[str] | None:
        """The imports of an example; None where it has names that nobody knows."""
        here = self.statement.rpartition(" ")[2].partition(".")[0]
        usual = {alias: module for module, alias in MODULE_ALIASES.items()}
        needed = sorted(shown.free - {here})
        if not usual.keys() >= set(needed):
            return None
        imports = [f"import {usual[name]} as {name}" for name in needed]
        return [*shown.imports, *imports, self.statement]

    def _result(self, kind: str) -> list[str]:
        called = self.call.partition("(")[0]
        if kind == "class":
            return [f"{object_name(called.rpartition('.')[2])} = {self.call}"]
        returned = self.document.returns
        if returned is None or (returned.type_name or "None").strip(" `.") == "None":
            return [self.call]
        kind_of_result = re.split(r"\W+", (returned.type_name or "").split(" or ")[0].strip())[-1]
        name = OBJECT_NAMES.get(kind_of_result, "result")
        if name in self.shown or name == self.receiver or kind_of_result.islower():
            name = "result"
        return [f"{name} = {self.call}", name]


def _framework(distribution: str) -> str:
    return "Python standard library" if distribution == PYTHON else distribution


def _without_signature(document: str, name: str) -> tuple[str | None, str]:
    """The arguments that the first line of a compiled callable's docstring tells, and the rest."""
    first, _, rest = document.partition("\n")
    while rest.strip() and first.count("(") > first.count(")") and len(first) < MAX_DESCRIPTION:
        line, _, rest = rest.partition("\n")
        first = f"{first} {line.strip()}"
    found = _SIGNATURE_LINE.match(first)
    if found is None or found.group(1) not in (name.rpartition(".")[2], "__init__"):
        return None, document
    text = rest.lstrip("\n")
    while (more := _SIGNATURE_LINE.match(text.partition("\n")[0])) and more[1] == found[1]:
        text = text.partition("\n")[2].lstrip("\n")  # another form of the same call
    result = (found.group(3) or "").strip()
    # What a builtin returns is often all that is said of it.
    return found.group(2), f"{result}\n\n{text}" if " " in result and text[:1] in " >" else text


def _parsed(text: str) -> docstring_parser.Docstring:
    if re.search(r"^-{3,}$", text, re.MULTILINE):
        style = DocstringStyle.NUMPYDOC
    elif re.search(r"^:(param|type|returns?|rtype|raises)\b", text, re.MULTILINE):
        style = DocstringStyle.REST
    else:
        style = DocstringStyle.GOOGLE
    try:
        return docstring_parser.parse(text, style)
    except (docstring_parser.ParseError, ValueError, IndexError):
        plain = docstring_parser.Docstring(style)
        plain.short_description, _, plain.long_description = text.partition("\n\n")
        return plain


def _is_deprecated(text: str) -> bool:
    section = _SECTION.search(text)
    return _DEPRECATED.search(text[: section.start()] if section else text) is not None


def _prose(document: docstring_parser.Docstring) -> list[str]:
    """The paragraphs that tell what it does, the summary first, without markup."""
    text = "\n".join(
        part
        for part in (
            document.short_description,
            "" if document.blank_after_short_description else None,
            document.long_description,
        )
        if part is not None
    )
    paragraphs: list[str] = []
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        if re.match(r"\s*(\.\. |>>>|\||\+-|=====)|\s+\S|.*\n-{3,}", paragraph):
            if not paragraphs and not paragraph.startswith(" "):
                return []
            continue
        plain = _plain(paragraph)
        if re.search(r"\w+ \w+", plain) and not plain.endswith("::"):
            paragraphs.append(plain)
        elif not paragraphs:
            return []
    return paragraphs


def _plain(text: str) -> str:
    text = re.sub(r":[\w:]+:`~?(?:[^`<]*\.)?([^`<.]+)(?:\s*<[^`]*>)?`", r"\1", text)
    text = re.sub(r"`+([^`]*)`+_?", r"\1", text)
    return " ".join(re.sub(r"(?<!\w)\*{1,2}(\w[^*\n]*)\*{1,2}", r"\1", text).split())


def _shortened(text: str, length: int) -> str:
    if len(text) <= length:
        return text
    cut = text[:length]
    end = max(cut.rfind(". "), cut.rfind("; "))
    return cut[: end + 1] if end > length // 3 else cut.rpartition(" ")[0] + " …"


def _parameters(
    signature: list[list[Any]] | None, first: str | None, document: docstring_parser.Docstring
) -> Iterator[_Parameter]:
    """The parameters of the signature, with what the docstring says of each; those that only the
    docstring has stand where the signature takes any."""
    told: dict[str, docstring_parser.DocstringParam] = {}
    for parameter in document.params:
        if parameter.args[0] == "attribute":  # the parser takes both for the same
            continue
        for name in (name.strip().lstrip("*") for name in parameter.arg_name.split(",")):
            if name.isidentifier() and not keyword.iskeyword(name):
                told.setdefault(name, parameter)
    listed = _listed(first) if signature is None and first is not None else signature
    if listed is None:
        listed = [[name, "POSITIONAL_OR_KEYWORD", None, ""] for name in told]
        listed = [_optional(entry, told) for entry in listed]
    names = {entry[0] for entry in listed}
    place: str
    value: str | None
    for name, kind, default, annotation in listed:
        if name in told or not kind.startswith("VAR_"):
            yield _described(name, kind, default, annotation, told.get(name))
        else:
            extra = [more for more in told if more not in names]
            place, value = "KEYWORD_ONLY", "..."
            if kind == "VAR_POSITIONAL":
                extra = [more for more in extra if not _is_optional(told[more])]
                place, value = "POSITIONAL_OR_KEYWORD", None
            names |= set(extra)
            for more in extra:
                yield _described(more, place, value, "", told[more])
            if not extra:
                yield _described(name, kind, default, annotation, None)


def _optional(entry: list[Any], told: Mapping[str, docstring_parser.DocstringParam]) -> list[Any]:
    parameter = told[entry[0]]
    if not _is_optional(parameter):
        return entry
    return [entry[0], entry[1], _literal(parameter.default) or "...", ""]


def _is_optional(parameter: docstring_parser.DocstringParam) -> bool:
    # Not the parser's default, which it may take from any sentence with that word.
    return bool(parameter.is_optional) or "default" in (parameter.type_name or "")


def _literal(text: str | None) -> str | None:
    try:
        ast.literal_eval(text or "")
    except (ValueError, SyntaxError):
        return None
    return text


def _listed(arguments: str) -> list[list[Any]] | None:
    """The parameters in ``iterable[, start=0]``, as compiled callables tell them."""
    entries: list[list[Any]] = []
    depth = 0
    kind = "POSITIONAL_OR_KEYWORD"
    for piece in re.findall(r"[\[\]()]|[^\[\]()]+", arguments):
        if piece in "[]()":
            depth += {"[": 1, "]": -1}.get(piece, 0)
            continue
        for text in piece.split(","):
            name, _, default = (part.strip() for part in text.partition("="))
            if name == "*":
                kind = "KEYWORD_ONLY"
            name = name.partition(":")[0].strip()
            if name.startswith("*") and name.strip("*").isidentifier():
                starred = "VAR_KEYWORD" if name.startswith("**") else "VAR_POSITIONAL"
                entries.append([name.strip("*"), starred, None, ""])
            elif name.isidentifier() and not keyword.iskeyword(name):
                value = (_literal(default) or "...") if default or depth else None
                entries.append([name, kind, value, ""])
            elif name not in ("", "*", "/", "...") and not depth:
                return None
    return entries


def _described(
    name: str,
    kind: str,
    default: str | None,
    annotation: str,
    told: docstring_parser.DocstringParam | None,
) -> _Parameter:
    said = _plain((told.type_name if told else None) or "")
    said = re.sub(r",?\s*(optional\b|default\b|\(default).*", "", said)
    description = _plain((told.description if told else None) or "")
    expected = bool(said) and told is not None and not _is_optional(told)
    return _Parameter(
        name,
        kind,
        default,
        _shortened(said or annotation, MAX_ARGUMENT),
        _shortened(description, MAX_ARGUMENT),
        expected and default == "None" and kind.startswith("POSITIONAL"),
    )


def _shown_arguments(parameters: tuple[_Parameter, ...]) -> dict[str, str]:
    """The arguments that a call must give, by parameter."""
    shown = {
        parameter.name: f"{parameter.name}={parameter.name}"
        if parameter.kind == "KEYWORD_ONLY"
        else parameter.name
        for parameter in parameters
        if parameter.is_required
    }
    if shown or not parameters:
        return shown
    first = parameters[0]
    opaque = [parameter.kind for parameter in parameters] == ["VAR_POSITIONAL", "VAR_KEYWORD"]
    # An argument may have a default only because there are other ways to say the same.
    if first.is_expected or (first.kind == "VAR_POSITIONAL" and not opaque):
        return {first.name: first.name}
    return shown


def _placeholders(parameters: tuple[_Parameter, ...], names: set[str]) -> Iterator[str]:
    for parameter in parameters:
        if parameter.name in names:
            said = f"  # {parameter.type}" if parameter.type else ""
            yield f"{parameter.name} = ...{said}"
