"""What the examples of a docstring show of a call."""

from __future__ import annotations

import ast
import builtins
import doctest
from collections.abc import Sequence
from dataclasses import dataclass

from gorilla_jupyter.record import parse_code

MAX_EXAMPLES = 20
"""How many examples of a docstring are looked at."""

MAX_STATEMENTS = 6
MAX_CHARACTERS = 500
"""What a cell takes over of a docstring at most: more hides the call."""


@dataclass(frozen=True)
class Shown:
    """How an example comes to its call.

    :ivar statements: what gives each name of the call its value.
    :ivar free: names that they use and that nothing in them gives a value.
    """

    imports: tuple[str, ...]
    statements: tuple[str, ...]
    free: frozenset[str]


def shown_call(
    document: str,
    name: str,
    parameters: Sequence[str],
    wanted: Sequence[str],
    receiver: str,
) -> Shown | None:
    """The statements with which a docstring's example gives a value to each of ``wanted``.

    :param name: what is called, from its module on: ``DataFrame.groupby``.
    :param parameters: those that can be given by position, in order.
    :param receiver: the name of the object whose method it is; "" for no method.
    :return: None where no example makes the call with all these.
    """
    if ">>>" not in document or not (wanted or receiver):
        return None
    last = name.rpartition(".")[2]
    if f"{last}(" not in document:
        return None
    try:
        examples = doctest.DocTestParser().get_examples(document)[:MAX_EXAMPLES]
    except ValueError:  # examples that are indented inconsistently
        return None
    before: list[ast.stmt] = []
    for example in examples:
        tree = parse_code(example.source) if len(example.source) <= MAX_CHARACTERS else None
        if tree is None:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                given = _given(node, name, parameters, wanted, receiver)
                shown = _slice(before, given) if given is not None else None
                if shown is not None:
                    return shown
        before += tree.body
    return None


def _given(
    call: ast.Call, name: str, parameters: Sequence[str], wanted: Sequence[str], receiver: str
) -> dict[str, ast.expr] | None:
    *path, last = name.split(".")
    function = call.func
    given: dict[str, ast.expr] = {}
    if receiver:
        for part in (last, *reversed(path[1:])):
            if not isinstance(function, ast.Attribute) or function.attr != part:
                return None
            function = function.value
        given[receiver] = function
    elif (function.attr if isinstance(function, ast.Attribute) else ast.unparse(function)) != last:
        return None
    if any(isinstance(argument, ast.Starred) for argument in call.args):
        return None
    given |= dict(zip(parameters, call.args, strict=False))
    given |= {word.arg: word.value for word in call.keywords if word.arg}
    if not set(wanted) <= set(given):
        return None
    return {key: given[key] for key in (*([receiver] if receiver else []), *wanted)}


def _slice(before: list[ast.stmt], given: dict[str, ast.expr]) -> Shown | None:
    """The statements that lead to the values, and those that give them their names."""
    needed = {name for value in given.values() for name in _used(value)}
    kept: list[ast.stmt] = []
    imports: list[str] = []
    for statement in reversed(before):
        bound = _bound(statement)
        if isinstance(statement, ast.Assign) and _changed(statement) & needed:
            kept.append(statement)
            needed |= _used(statement)
        elif not bound & needed:
            continue
        elif isinstance(statement, ast.Import | ast.ImportFrom):
            imports.append(ast.unparse(statement))
            needed -= bound
        elif isinstance(statement, ast.Assign):
            kept.append(statement)
            needed = (needed - bound) | _used(statement.value)
        else:
            return None
    # What the example calls otherwise gets the name that the call has for it.
    known = {name for statement in kept for name in _bound(statement)}
    taken = known | needed | {name for text in imports for name in _bound(ast.parse(text).body[0])}
    renamed: dict[str, str] = {}
    for name, value in given.items():
        if isinstance(value, ast.Name) and value.id in known and name not in taken:
            renamed.setdefault(value.id, name)
    rename = _Renaming(renamed)
    statements = [ast.unparse(rename.visit(statement)) for statement in reversed(kept)]
    assigned: set[str] = set()
    for name, value in given.items():
        value = rename.visit(value)
        if isinstance(value, ast.Name) and value.id == name:
            continue
        if assigned & _used(value):
            return None  # it would be another value by now
        assigned.add(name)
        statements.append(f"{name} = {ast.unparse(value)}")
    too_long = len(statements) > MAX_STATEMENTS or len("\n".join(statements)) > MAX_CHARACTERS
    free = frozenset(name for name in needed if not hasattr(builtins, name))
    return None if too_long else Shown(tuple(reversed(imports)), tuple(statements), free)


class _Renaming(ast.NodeTransformer):
    def __init__(self, names: dict[str, str]) -> None:
        self._names = names

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name(self._names.get(node.id, node.id), node.ctx)


def _used(tree: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def _changed(statement: ast.Assign) -> set[str]:
    """The names whose objects an assignment changes: ``df`` in ``df["new"] = 1``."""
    changed = set()
    for target in statement.targets:
        root = target
        while isinstance(root, ast.Attribute | ast.Subscript):
            root = root.value
        if root is not target and isinstance(root, ast.Name):
            changed.add(root.id)
    return changed


def _bound(statement: ast.stmt) -> set[str]:
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return {alias.asname or alias.name.partition(".")[0] for alias in statement.names}
    return {
        node.id
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
