"""Runs one cell in the process that ``cells.py`` starts for it::

    python cell_process.py JOB REPORT

JOB is a JSON object with ``setup``, ``code`` and ``check``. REPORT gets a JSON line after each of
the three, in this order: which, and what was wrong with it ("" for nothing); after the first also
which variables there are. What is missing did not come to its end.
"""

from __future__ import annotations

import ast
import json
import os
import reprlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from gorilla_jupyter.variables import variables_of


def main(job_path: str, report_path: str) -> None:
    job = json.loads(Path(job_path).read_text(encoding="utf-8"))
    # As in a notebook: the current folder, not the one of this file.
    sys.path[0] = str(Path.cwd())
    data: dict[str, Any] = {}
    cell: dict[str, Any] = {"__name__": "__main__"}
    with Path(report_path).open("w", encoding="utf-8", buffering=1) as report:
        for stage, step in (
            ("setup", lambda: make_data(job["setup"], data, cell)),
            ("code", lambda: run_cell(job["code"], cell)),
            ("check", lambda: check(job["check"], data | cell)),
        ):
            problem = attempt(step)
            told = {"variables": variables_of(cell)} if stage == "setup" else {}
            report.write(json.dumps({"stage": stage, "problem": problem, **told}) + "\n")
            if problem:
                break
    # Without waiting for the threads and the exit handlers of what the cell imported.
    os._exit(0)


def attempt(step: Callable[[], None]) -> str:
    """What went wrong in ``step``; "" for nothing."""
    try:
        step()
    except BaseException as error:  # a cell that calls sys.exit is judged like any other
        first_line = str(error).partition("\n")[0]
        return f"{type(error).__name__}: {first_line}"[:300]
    return ""


def make_data(setup: str, data: dict[str, Any], cell: dict[str, Any]) -> None:
    """Run ``setup`` in ``data`` and give the cell what it binds, but for modules: a cell has to
    import what it uses."""
    exec(setup, data)
    cell |= {
        name: value
        for name, value in data.items()
        if name != "__builtins__" and not isinstance(value, ModuleType)
    }


def run_cell(code: str, namespace: dict[str, Any]) -> None:
    """Run ``code`` and bind ``result`` to the value of its last expression, or of its last
    assignment where it does not end in an expression; to None where it has neither."""
    tree = ast.parse(code)
    namespace["result"] = None
    if tree.body and isinstance(tree.body[-1], ast.Expr):
        last = tree.body.pop()
        assert isinstance(last, ast.Expr)
        exec(compile(tree, "<cell>", "exec"), namespace)
        expression = ast.Expression(last.value)
        namespace["result"] = eval(compile(expression, "<cell>", "eval"), namespace)
        return
    exec(compile(tree, "<cell>", "exec"), namespace)
    for node in reversed(tree.body):
        if isinstance(node, ast.Assign):
            namespace["result"] = eval(ast.unparse(node.targets[0]), namespace)
            return


def check(assertion: str, namespace: dict[str, Any]) -> None:
    """:raises AssertionError: unless ``assertion``, an expression or statements, holds."""
    try:
        expression = compile(assertion.strip(), "<check>", "eval")
    except SyntaxError:
        exec(compile(assertion, "<check>", "exec"), namespace)
        return
    if not eval(expression, namespace):
        raise AssertionError(f"result is {reprlib.repr(namespace['result'])}")


if __name__ == "__main__":
    main(*sys.argv[1:])
