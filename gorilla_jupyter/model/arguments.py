"""The values that a sentence names, put where the call takes them."""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass

from gorilla_jupyter.record import ApiRecord, Argument

_QUOTED = re.compile(r"\"([^\"\n]+)\"|(?<!\w)'([^'\n]+)'(?!\w)|`([^`\n]+)`")
_FILE = re.compile(
    r"(?<![\w/.@-])(?:[\w~./\\:-]*[/\\])?[\w-]+(?:\.[\w-]+)*\.[A-Za-z][A-Za-z0-9]{0,7}\b"
)
_FILE_END = re.compile(r"\w\.[A-Za-z][A-Za-z0-9]{0,7}$|[/\\]")
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:[eE]-?\d+)?(?![\w.]*\w)")
_PATH_WORDS = frozenset("buf buffer file filename filepath fname fp io path source src".split())


@dataclass
class _Value:
    """A value of the sentence, and where it stands there."""

    value: str | int | float
    start: int
    is_file: bool = False
    used: bool = False


def fill_arguments(record: ApiRecord, sentence: str) -> str:
    """The documented call with the file names, quoted strings and numbers of the sentence in it.

    A placeholder, which is a bare name in the documented call, takes the first value of its kind.
    An argument with a documented default is only given where the sentence names it before a value,
    as in "with sep ';'". What the sentence does not say stays as documented.
    """
    if record.call is None:
        return record.api_call
    values = list(_values(sentence))
    arguments = {argument.name: argument for argument in record.api_arguments}
    call = copy.deepcopy(record.call)
    changed = False
    for name, argument in arguments.items():
        given = _named(argument, sentence, values)
        if given is not None and _give(call, name, given):
            changed = given.used = True
    for node, place in _placeholders(call):
        argument = arguments.get(node.id, Argument(node.id))
        taken = next((value for value in values if _suits(value, argument)), None)
        if taken is not None:
            taken.used = changed = True
            _set(call, place, ast.Constant(taken.value))
    return ast.unparse(call) if changed else record.api_call


def _values(sentence: str) -> Iterator[_Value]:
    rest = list(sentence)

    def blank(found: re.Match[str]) -> None:
        rest[found.start() : found.end()] = " " * (found.end() - found.start())

    values = []
    for found in _QUOTED.finditer(sentence):
        text = next(group for group in found.groups() if group is not None)
        values.append(_Value(text, found.start(), is_file=bool(_FILE_END.search(text))))
        blank(found)
    for found in _FILE.finditer("".join(rest)):
        if len(found.group()) <= len("e.g"):
            continue
        values.append(_Value(found.group(), found.start(), is_file=True))
        blank(found)
    for found in _NUMBER.finditer("".join(rest)):
        text = found.group()
        values.append(
            _Value(int(text) if re.fullmatch(r"-?\d+", text) else float(text), found.start())
        )
    yield from sorted(values, key=lambda value: value.start)


def _placeholders(call: ast.Call) -> list[tuple[ast.Name, int | str]]:
    found: list[tuple[ast.Name, int | str]] = [
        (node, place) for place, node in enumerate(call.args) if isinstance(node, ast.Name)
    ]
    found += [
        (keyword.value, keyword.arg)
        for keyword in call.keywords
        if keyword.arg is not None and isinstance(keyword.value, ast.Name)
    ]
    return found


def _set(call: ast.Call, place: int | str, value: ast.expr) -> None:
    if isinstance(place, int):
        call.args[place] = value
        return
    for keyword in call.keywords:
        if keyword.arg == place:
            keyword.value = value


def _named(argument: Argument, sentence: str, values: list[_Value]) -> _Value | None:
    """The value right behind the argument's name, for an argument that has a default."""
    if argument.default is None:
        return None
    words = re.escape(argument.name).replace("_", r"[ _]")
    for found in re.finditer(rf"\b{words}\b[ =:]*(?:of |to |is )?", sentence, re.IGNORECASE):
        for value in values:
            if value.start == found.end() and not value.used and _is_of_kind(value, argument):
                return value
    return None


def _give(call: ast.Call, name: str, given: _Value) -> bool:
    for keyword in call.keywords:
        if keyword.arg == name:
            keyword.value = ast.Constant(given.value)
            return True
    if any(keyword.arg is None for keyword in call.keywords):
        return False
    call.keywords.append(ast.keyword(name, ast.Constant(given.value)))
    return True


def _suits(value: _Value, argument: Argument) -> bool:
    if value.used:
        return False
    wants_file = bool(_PATH_WORDS.intersection(re.split(r"[_\W]+", argument.name.lower())))
    if wants_file or "path" in argument.type.lower():
        return value.is_file or (isinstance(value.value, str) and not argument.type)
    return not value.is_file and bool(argument.type) and _is_of_kind(value, argument)


def _is_of_kind(value: _Value, argument: Argument) -> bool:
    kind = f"{argument.type} {argument.default or ''}".lower()
    if isinstance(value.value, str):
        return not argument.type or bool(re.search(r"str|path|label|hashable|'", kind))
    if isinstance(value.value, float):
        return not argument.type or bool(re.search(r"float|number|scalar|real", kind))
    return not argument.type or bool(re.search(r"int|float|number|scalar|real|\d", kind))
