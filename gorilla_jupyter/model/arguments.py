"""The values that a sentence names, put where the call takes them."""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType

from gorilla_jupyter.answer import CheckStatus
from gorilla_jupyter.model.placing import (
    Placing,
    Value,
    is_for_a_file,
    is_of_kind,
    load_placing,
    offers_of,
)
from gorilla_jupyter.record import ApiRecord, Argument
from gorilla_jupyter.verify import check_documented

VALUES = 50
"""How many values of a sentence are looked at: who pastes a table means none of its numbers."""

NUMBER_CHARACTERS = 30
BEFORE_CHARACTERS = 100
"""How long a number may be, and how far before a value its argument may be named."""

_QUOTED = re.compile(r"\"([^\"\n]+)\"|(?<!\w)'([^'\n]+)'(?!\w)|`([^`\n]+)`")
_FILE = re.compile(
    r"(?<![\w/.@-])(?:[\w~./\\:-]{0,250}[/\\])?[\w-]+(?:\.[\w-]+)*\.[A-Za-z][A-Za-z0-9]{0,7}\b"
)
_FILE_END = re.compile(r"\w\.[A-Za-z][A-Za-z0-9]{0,7}$|/|[\w:.]\\\w")
_NUMBER = re.compile(r"(?<![\w.])-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE]-?\d+)?(?![\w.]*\w)")


def fill_arguments(
    record: ApiRecord,
    sentence: str,
    variables: Mapping[str, str] = MappingProxyType({}),
    *,
    placing: Callable[[], Placing | None] = load_placing,
) -> str:
    """The documented call with the values of the sentence, and the person's own variables, in it.

    A placeholder, which is a bare name in the documented call, is the variable of that name if
    there is one; otherwise it takes the first file name, quoted string or number of its kind, or
    else the first variable that the sentence names. An argument with a documented default is only
    given where the sentence names it beside a value, as in "with sep ';'" or "4 bins", where the
    model takes the sentence to mean it, where it alone is for a file, or where a variable of its
    name is named. The object of a method is the variable of its class: the one that the sentence
    names, or the only one. What the sentence does not say stays as documented.

    :param variables: names and the names of their classes.
    :param placing: loads the model that places values, where there may be one to place.
    """
    if record.call is None:
        return record.api_call
    values = list(_values(sentence))
    arguments = {argument.name: argument for argument in record.api_arguments}
    call = copy.deepcopy(record.call)
    named = [name for name in variables if re.search(rf"(?<!\w){name}(?!\w)", sentence)]
    receiver = _receiver(record, variables, named)
    if receiver and isinstance(call.func, ast.Attribute):
        call.func.value = ast.Name(receiver)
    placeholders = _placeholders(call)
    shown = {node.id for node, _ in placeholders}
    # What the cell imports under that name is not the person's any more.
    bound = {receiver, *shown, record.callee.partition(".")[0]}
    spare = [name for name in named if name not in bound and len(name) > 1]
    settled = {node.id for node, _ in placeholders if node.id in variables}
    for name, argument in arguments.items():
        given = _named(argument, sentence, values)
        if given is not None and _give(call, name, ast.Constant(given.value)):
            given.used = True
            settled.add(name)
        elif name in named and name not in shown and _give(call, name, ast.Name(name)):
            settled.add(name)
            spare = [other for other in spare if other != name]
    _place(record, call, sentence, values, settled, placing, variables)
    for node, place in _placeholders(call):
        if node.id in variables:
            continue
        argument = arguments.get(node.id, Argument(node.id))
        taken = next((value for value in values if _suits(value, argument)), None)
        if taken is not None:
            taken.used = True
            _set(call, place, ast.Constant(taken.value))
        elif spare:
            _set(call, place, ast.Name(spare.pop(0)))
    for value in values:
        if value.is_file and not value.used:
            path = next((found for found in arguments.values() if _takes_a_file(found)), None)
            value.used = path is not None and _add(call, path.name, ast.Constant(value.value))
    unchanged = ast.dump(call) == ast.dump(record.call)
    return record.api_call if unchanged else ast.unparse(call)


def _place(
    record: ApiRecord,
    call: ast.Call,
    sentence: str,
    values: Sequence[Value],
    settled: set[str],
    placing: Callable[[], Placing | None],
    variables: Mapping[str, str],
) -> None:
    """Give what the model takes the sentence to mean, as far as it stays documented."""
    offers = list(offers_of(record, values, settled))
    model = placing() if offers else None
    plain = _without_texts(sentence, values)
    for offer in model.taken(record, plain, offers) if model else ():
        name, value = offer.argument.name, offer.value
        if name in settled or (value is not None and value.used):
            continue
        given = copy.deepcopy(call)
        if (
            _give(given, name, ast.Constant(offer.literal))
            and check_documented(record, ast.unparse(given), variables).status is CheckStatus.PASSED
        ):
            _give(call, name, ast.Constant(offer.literal))
            settled.add(name)
            if value is not None:
                value.used = True


def _without_texts(sentence: str, values: Sequence[Value]) -> str:
    """The sentence with blanks where it gives a text, whose words are not the sentence's."""
    for value in values:
        if isinstance(value.value, str):
            blank = " " * (value.end - value.start)
            sentence = sentence[: value.start] + blank + sentence[value.end :]
    return sentence


def _receiver(record: ApiRecord, variables: Mapping[str, str], named: Sequence[str]) -> str:
    """The variable whose method is called; "" where none, or none of several, is meant."""
    name, kind = record.receiver
    if not name:
        return ""
    own = [variable for variable, found in variables.items() if found == kind]
    meant = [variable for variable in own if variable in named] or own
    return meant[0] if len(meant) == 1 else ""


def _values(sentence: str) -> Iterator[Value]:
    rest = list(sentence)

    def blank(found: re.Match[str]) -> None:
        rest[found.start() : found.end()] = " " * (found.end() - found.start())

    values = []
    for found in _QUOTED.finditer(sentence):
        text = next(group for group in found.groups() if group is not None)
        values.append(Value(text, found.start(), found.end(), is_file=bool(_FILE_END.search(text))))
        blank(found)
    for found in _FILE.finditer("".join(rest)):
        if len(found.group()) <= len("e.g"):
            continue
        values.append(Value(found.group(), found.start(), found.end(), is_file=True))
        blank(found)
    for found in _NUMBER.finditer("".join(rest)):
        text = found.group().replace(",", "")
        if len(text) > NUMBER_CHARACTERS:
            continue
        number = int(text) if re.fullmatch(r"-?\d+", text) else float(text)
        values.append(Value(number, found.start(), found.end()))
    yield from sorted(values, key=lambda value: value.start)[:VALUES]


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


def _named(argument: Argument, sentence: str, values: list[Value]) -> Value | None:
    """The value right behind the argument's name, or right before what it counts."""
    words = re.escape(argument.name).replace("_", r"[ _]")
    behind = rf"\b{words}\b[ =:]*(?:of |to |is )?"
    counted = re.escape(argument.name.removeprefix("n_").removeprefix("num_")).replace("_", "[ _]")
    for value in values:
        if value.used or not is_of_kind(value, argument):
            continue
        before = sentence[max(0, value.start - BEFORE_CHARACTERS) : value.start]
        after = sentence[value.end :]
        if argument.default is not None and re.search(rf"{behind}$", before, re.IGNORECASE):
            return value
        if isinstance(value.value, int) and re.match(rf" {counted}\b", after, re.IGNORECASE):
            return value
    return None


def _give(call: ast.Call, name: str, value: ast.expr) -> bool:
    """Set the argument, wherever the call has it, or add it."""
    for node, place in _placeholders(call):
        if node.id == name:
            _set(call, place, value)
            return True
    for keyword in call.keywords:
        if keyword.arg == name:
            keyword.value = value
            return True
    return _add(call, name, value)


def _add(call: ast.Call, name: str, value: ast.expr) -> bool:
    if any(keyword.arg in (None, name) for keyword in call.keywords):
        return False
    call.keywords.append(ast.keyword(name, value))
    return True


def _takes_a_file(argument: Argument) -> bool:
    """Whether a file may be named that the document does without."""
    is_for_a_folder = re.search("dir|folder", argument.name) is not None
    return argument.default == "None" and is_for_a_file(argument) and not is_for_a_folder


def _suits(value: Value, argument: Argument) -> bool:
    if value.used:
        return False
    if is_for_a_file(argument):
        return value.is_file
    # Where the data goes, a number of the sentence is hardly meant.
    if not argument.type or re.search("array|series", argument.type, re.IGNORECASE):
        return False
    return not value.is_file and is_of_kind(value, argument)
