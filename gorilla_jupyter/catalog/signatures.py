"""Signatures of the callables that records call: of installed packages, and a table of the others.

The table, ``signatures.json``, holds what was read from real packages, with their versions and the
date. ``jupyter gorilla catalog check --record`` reads the installed ones into it.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

TABLE = Path(__file__).parent / "signatures.json"

IMPORT_SECONDS = 300.0
"""How long a package may take to be imported before it counts as not installed."""

PLAIN_DEFAULTS = (type(None), bool, int, float, str)


@dataclass(frozen=True)
class Package:
    """What is known of a top-level module.

    :ivar signatures: by the callable's full name, without annotations; a default that is no plain
        constant is written ``...``.
    :ivar tasks: the names of its pipelines' tasks; empty for packages that have none.
    :ivar date: when the package was read, as YYYY-MM-DD.
    """

    distribution: str
    version: str
    date: str
    signatures: Mapping[str, str]
    tasks: tuple[str, ...] = field(default=())


def load_table(path: Path = TABLE) -> dict[str, Package]:
    """The stored packages, by module."""
    return {
        module: Package(**{**values, "tasks": tuple(values["tasks"])})
        for module, values in json.loads(path.read_text(encoding="utf-8")).items()
    }


def write_table(packages: Mapping[str, Package], path: Path = TABLE) -> None:
    """Write the stored packages, whole or not at all."""
    values = {module: asdict(packages[module]) for module in sorted(packages)}
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(values, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    temporary.replace(path)


def read_installed(module: str, names: Iterable[str]) -> Package | None:
    """Read a package of this environment, in a process of its own.

    :param names: full names of its callables; those that it does not have are left out.
    :returns: None where the package is not installed or cannot be imported.
    """
    distributions = metadata.packages_distributions().get(module)
    if not distributions:
        return None
    program = f"import sys; sys.path.append(sys.argv[1]); import {__name__} as s; s.main()"
    try:
        process = subprocess.run(
            [sys.executable, "-P", "-c", program, str(Path(__file__).parents[2])],
            input=json.dumps([module, sorted(names)]),
            capture_output=True,
            text=True,
            timeout=IMPORT_SECONDS,
            check=True,
        )
        found = json.loads(process.stdout)
    except (subprocess.SubprocessError, OSError, ValueError):
        return None
    if not found["signatures"]:
        return None
    distribution = distributions[0]
    return Package(
        distribution,
        metadata.version(distribution),
        datetime.now(UTC).date().isoformat(),
        found["signatures"],
        tuple(found["tasks"]),
    )


def refusal(signature: str, call: ast.Call) -> str | None:
    """Why a callable of that signature would refuse the call's arguments; None if it takes them."""
    named = {keyword.arg: None for keyword in call.keywords if keyword.arg is not None}
    try:
        _parsed(signature).bind_partial(*call.args, **named)
    except TypeError as error:
        return str(error)
    return None


def _parsed(text: str) -> inspect.Signature:
    function = ast.parse(f"def callable{text}: ...").body[0]
    assert isinstance(function, ast.FunctionDef)
    arguments = function.args
    kind = inspect.Parameter
    positional = [
        *((argument, kind.POSITIONAL_ONLY) for argument in arguments.posonlyargs),
        *((argument, kind.POSITIONAL_OR_KEYWORD) for argument in arguments.args),
    ]
    required = len(positional) - len(arguments.defaults)
    parameters = [
        kind(argument.arg, how, default=kind.empty if place < required else ...)
        for place, (argument, how) in enumerate(positional)
    ]
    if arguments.vararg:
        parameters.append(kind(arguments.vararg.arg, kind.VAR_POSITIONAL))
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        has = kind.empty if default is None else ...
        parameters.append(kind(argument.arg, kind.KEYWORD_ONLY, default=has))
    if arguments.kwarg:
        parameters.append(kind(arguments.kwarg.arg, kind.VAR_KEYWORD))
    return inspect.Signature(parameters)


def _text(target: Any) -> str:
    signature = inspect.signature(target)
    parameters = [
        parameter.replace(
            annotation=inspect.Parameter.empty,
            default=parameter.default
            if parameter.default is inspect.Parameter.empty
            or isinstance(parameter.default, PLAIN_DEFAULTS)
            else ...,
        )
        for parameter in signature.parameters.values()
    ]
    plain = signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty)
    return str(plain).replace("=Ellipsis", "=...")


def _resolve(name: str) -> Any:
    parts = name.split(".")
    target: Any = importlib.import_module(parts[0])
    for place, part in enumerate(parts[1:], start=1):
        try:
            target = getattr(target, part)
        except AttributeError:
            target = importlib.import_module(".".join(parts[: place + 1]))
    return target


def _tasks() -> list[str]:
    pipelines = importlib.import_module("transformers.pipelines")
    return sorted({*pipelines.SUPPORTED_TASKS, *pipelines.TASK_ALIASES})


def main() -> None:
    """Print the signatures asked for on standard input, in a process that imports the package."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a package prints while it is imported must not get among the answers
    module, names = json.load(sys.stdin)
    signatures = {}
    for name in names:
        try:
            signatures[name] = _text(_resolve(name))
        except (ImportError, AttributeError, ValueError, TypeError) as error:
            print(f"{name}: {error!r}", file=sys.stderr)
    tasks = _tasks() if module == "transformers" else []
    json.dump({"signatures": signatures, "tasks": tasks}, answers)
    answers.close()
