"""The cell that a call becomes: what it needs, the imports, the call, how to use its result."""

from __future__ import annotations

import ast
from collections.abc import Collection

from gorilla_jupyter.record import (
    ApiRecord,
    calls_of,
    contains_call,
    last_name,
    parse_call,
    parse_code,
    pip_argument,
    pip_requirement,
    shows_call,
)

WELL_KNOWN_IMPORTS = {
    "hub": "import tensorflow_hub as hub",
    "np": "import numpy as np",
    "pd": "import pandas as pd",
    "plt": "import matplotlib.pyplot as plt",
    "tf": "import tensorflow as tf",
}
"""Import lines for names that documents use without importing them."""


class CompositionError(ValueError):
    """A call that no runnable cell can be made of; the message says what the document lacks."""


def compose(record: ApiRecord, api_call: str, variables: Collection[str] = ()) -> str:
    """The cell for ``api_call``, after the document's own example where it has one.

    :param variables: the person's own, which the cell uses and does not bind anew.
    :raises CompositionError: if the call does not parse, or nothing says what to import for it.
    """
    call = parse_call(api_call)
    if call is None:
        raise CompositionError(f"{api_call!r:.120} is not a Python call.")
    body = _adapted_example(record, call) or _bare_cell(record, call, variables)
    if own := set(variables) & _names_read(call):
        body = _without_data_for(own, body)
    return "\n".join((*_header(record), body))


def _header(record: ApiRecord) -> list[str]:
    lines = [f"# {record.api_name} ({record.framework})"]
    requirements = map(pip_requirement, record.python_environment_requirements)
    if needs := [pip_argument(requirement) for requirement in requirements if requirement]:
        lines.append(f"# %pip install -q {' '.join(needs)}")
    return [" ".join(line.split()) for line in lines]


def _adapted_example(record: ApiRecord, call: ast.Call) -> str | None:
    tree = parse_code(record.example_code)
    if tree is None or record.call is None:
        return None
    if contains_call(tree, call):
        return record.example_code
    documented = ast.dump(record.call)
    for node in calls_of(tree, last_name(record.call)):
        if ast.dump(node) == documented:
            adapted = _replaced(record.example_code, node, ast.unparse(call))
            # Within an f-string, Python up to 3.11 does not tell where a call stands.
            return _without_idle_statements(adapted, tree) if _makes(adapted, call) else None
    if ast.dump(call) == documented and shows_call(tree, call):
        # A document may show the call's full form in one place and its everyday use in the other.
        return record.example_code
    return None


def _without_data_for(own: set[str], code: str) -> str:
    """The cell without the statements that give those names the document's data and no other name
    that is read, and without what only they needed."""
    tree = parse_code(code)
    if tree is None:
        return code
    for statement in reversed(tree.body):
        if isinstance(statement, ast.Assign) and not _shares_a_line(statement, tree):
            bound = _names_bound(statement)
            rest = _without(code, statement)
            if bound & own and not (bound - own) & _names_read(ast.parse(rest)):
                code = rest
    return _without_idle_statements(code, tree)


def _without_idle_statements(code: str, before: ast.Module) -> str:
    """The cell without the imports and assignments whose names only the replaced values used."""
    needed = _names_read(before)
    while tree := parse_code(code):
        read = _names_read(tree)
        idle = next(
            (
                node
                for node in tree.body
                if _is_idle(node, needed, read) and not _shares_a_line(node, tree)
            ),
            None,
        )
        if idle is None:
            break
        code = _without(code, idle)
    return code


def _without(code: str, statement: ast.stmt) -> str:
    assert statement.end_lineno is not None
    # Lines of bytes end where Python ends them; those of a text end at other characters too.
    lines = code.encode().splitlines(keepends=True)
    return b"".join(lines[: statement.lineno - 1] + lines[statement.end_lineno :]).decode().lstrip()


def _shares_a_line(node: ast.stmt, tree: ast.Module) -> bool:
    lines = range(node.lineno, (node.end_lineno or node.lineno) + 1)
    return any(
        other is not node and (other.lineno in lines or other.end_lineno in lines)
        for other in tree.body
    )


def _is_idle(node: ast.stmt, needed: set[str], read: set[str]) -> bool:
    if isinstance(node, ast.Assign):
        names = _names_bound(node)
    elif isinstance(node, ast.Import | ast.ImportFrom):
        names = {alias.asname or alias.name.partition(".")[0] for alias in node.names}
    else:
        return False
    return bool(names) and names <= needed - read


def _names_bound(statement: ast.Assign) -> set[str]:
    """The names that get a value; none where something else gets one too."""
    targets = [
        target
        for whole in statement.targets
        for target in (whole.elts if isinstance(whole, ast.Tuple) else [whole])
    ]
    names = {target.id for target in targets if isinstance(target, ast.Name)}
    return names if len(names) == len(targets) else set()


def _names_read(tree: ast.AST) -> set[str]:
    return {
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }


def _makes(code: str, call: ast.Call) -> bool:
    tree = parse_code(code)
    return tree is not None and contains_call(tree, call)


def _replaced(code: str, node: ast.expr, text: str) -> str:
    lines = code.encode().splitlines(keepends=True)
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    start = sum(map(len, lines[: node.lineno - 1])) + node.col_offset
    end = sum(map(len, lines[: node.end_lineno - 1])) + node.end_col_offset
    whole = b"".join(lines)
    return (whole[:start] + text.encode() + whole[end:]).decode()


def _bare_cell(record: ApiRecord, call: ast.Call, variables: Collection[str]) -> str:
    root = ast.unparse(call.func).partition(".")[0]
    imports = list(record.imports)
    if root not in variables and not any(root in _bound(line) for line in imports):
        imports.append(_import_for(root, record))
    return "\n".join((*imports, "", f"result = {ast.unparse(call)}", "result"))


def _bound(statement: str) -> set[str]:
    node = ast.parse(statement).body[0]
    assert isinstance(node, ast.Import | ast.ImportFrom)
    return {alias.asname or alias.name.partition(".")[0] for alias in node.names}


def _import_for(root: str, record: ApiRecord) -> str:
    if root == record.receiver[0]:
        raise CompositionError(f"The example of {record.api_name} does not make this call.")
    if root in WELL_KNOWN_IMPORTS:
        return WELL_KNOWN_IMPORTS[root]
    if root == record.package:
        return f"import {root}"
    if record.package.isidentifier():
        return f"from {record.package} import {root}  # assumed: the document does not say"
    raise CompositionError(
        f"The document of {record.api_name} does not say where '{root}' is imported from."
    )
