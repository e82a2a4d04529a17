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
from typing import TYPE_CHECKING, Any

from gorilla_jupyter.catalog.store import write_whole

if TYPE_CHECKING:
    import griffe

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
    text = json.dumps(values, indent=1, sort_keys=True) + "\n"
    write_whole(path, text.encode(), mode=0o644)


def read_installed(module: str, names: Iterable[str], distribution: str) -> Package | None:
    """Read a package of this environment: imported in a process of its own, and from its source
    where it cannot be imported here, for want of a GPU library, say.

    :param names: full names of its callables; those that it does not have are left out.
    :param distribution: what is installed to have the module.
    :returns: None where the package is not installed or cannot be read.
    """
    try:
        version = metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
    wanted = sorted(names)
    signatures, tasks = _read_imported(module, wanted)
    for name in wanted:
        if name not in signatures and (text := _read_source(name)):
            signatures[name] = text
    if not signatures:
        return None
    today = datetime.now(UTC).date().isoformat()
    return Package(distribution, version, today, signatures, tuple(tasks))


def _read_imported(module: str, names: list[str]) -> tuple[dict[str, str], list[str]]:
    program = f"import sys; sys.path.append(sys.argv[1]); import {__name__} as s; s.main()"
    try:
        process = subprocess.run(
            [sys.executable, "-P", "-c", program, str(Path(__file__).parents[2])],
            input=json.dumps([module, names]),
            capture_output=True,
            text=True,
            timeout=IMPORT_SECONDS,
            check=True,
        )
        found = json.loads(process.stdout)
    except (subprocess.SubprocessError, OSError, ValueError):
        return {}, []
    return found["signatures"], found["tasks"]


def _read_source(name: str) -> str | None:
    try:
        import griffe
    except ImportError:
        return None
    parts = name.split(".")
    loader = griffe.GriffeLoader(allow_inspection=False)
    for depth in range(1, len(parts)):
        try:
            # Each level with the same loader, so that base classes from elsewhere are known.
            target = _module(loader, parts[:depth])
            for part in parts[depth:]:
                target = _member(target, part)
            if target.is_module:  # a function may bear the name of its module
                target = _member(target, parts[-1])
            if target.is_class:
                target = _member(target, "__init__")
            if isinstance(target, griffe.Function):
                return _source_text(target)
        except (griffe.GriffeError, ImportError, KeyError, OSError):
            continue
    return None


def _module(loader: griffe.GriffeLoader, parts: list[str]) -> griffe.Object | griffe.Alias:
    import griffe

    try:
        return loader.load(".".join(parts), try_relative_path=False)
    except KeyError:
        # The loader passes over folders without __init__.py.
        top = loader.modules_collection[parts[0]]
        path = Path(str(top.filepath)).parent.joinpath(*parts[1:]).with_suffix(".py")
        return griffe.visit(
            parts[-1],
            filepath=path,
            code=path.read_text(encoding="utf-8"),
            parent=top,
            modules_collection=loader.modules_collection,
            lines_collection=loader.lines_collection,
        )


def _member(owner: griffe.Object | griffe.Alias, name: str) -> griffe.Object | griffe.Alias:
    member = owner.all_members[name]
    return member.final_target if member.is_alias else member  # type: ignore[union-attr]


def _source_text(function: griffe.Function) -> str:
    named = {"variadic positional": "VAR_POSITIONAL", "variadic keyword": "VAR_KEYWORD"}
    parameters = []
    for parameter in function.parameters:
        assert parameter.kind is not None
        kind = parameter.kind.value
        how = inspect.Parameter.POSITIONAL_OR_KEYWORD
        if kind in named:
            how = getattr(inspect.Parameter, named[kind])
        elif kind != "positional or keyword":
            how = getattr(inspect.Parameter, kind.upper().replace("-", "_").replace(" ", "_"))
        has = parameter.default is not None and kind not in named
        default: Any = inspect.Parameter.empty
        if has:
            try:
                default = ast.literal_eval(str(parameter.default))
            except (ValueError, SyntaxError):
                default = ...
        parameters.append(inspect.Parameter(parameter.name, how, default=default))
    if parameters and parameters[0].name in ("self", "cls"):
        del parameters[0]
    return _plain_text(inspect.Signature(parameters))


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


def _plain_text(signature: inspect.Signature) -> str:
    def plain(default: Any) -> Any:
        kept = default is inspect.Parameter.empty or isinstance(default, PLAIN_DEFAULTS)
        return default if kept else ...

    parameters = [
        parameter.replace(annotation=inspect.Parameter.empty, default=plain(parameter.default))
        for parameter in signature.parameters.values()
    ]
    text = str(inspect.Signature(parameters))
    return text.replace("=Ellipsis", "=...")


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
            signatures[name] = _plain_text(inspect.signature(_resolve(name)))
        except Exception as error:  # whatever importing a package may raise
            print(f"{name}: {error!r}", file=sys.stderr)
    tasks = _tasks() if module == "transformers" else []
    json.dump({"signatures": signatures, "tasks": tasks}, answers)
    answers.close()
