"""The signature check: would the installed callable take these arguments?"""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import importlib.util
import inspect
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, Self

from gorilla_jupyter.answer import Candidate, Check, CheckStatus, failed, passed, unknown
from gorilla_jupyter.record import parse_call

IMPORT_SECONDS = 3.0
"""How long importing a package for its signature may take before the check gives up."""


def check_signatures(candidates: Iterable[Candidate]) -> list[Check]:
    """Whether the installed callables would take each call's arguments."""
    questions = [
        _Question(candidate.record.package, _imports(candidate), candidate.api_call)
        for candidate in candidates
    ]
    outcomes = {question: _answer_here(question) for question in questions}
    outcomes.update(_answer_elsewhere([asked for asked, check in outcomes.items() if not check]))
    return [
        outcomes[question] or unknown("signature", "No signature could be read.")
        for question in questions
    ]


@dataclass(frozen=True)
class _Question:
    package: str
    imports: tuple[str, ...]
    api_call: str


_known: dict[tuple[_Question, str], Check] = {}
_slow: set[str] = set()


def _imports(candidate: Candidate) -> tuple[str, ...]:
    # The cell's own imports: they are there even where the document's example has none.
    return replace(candidate.record, example_code=candidate.code).imports


def _answer_here(question: _Question) -> Check | None:
    if not question.imports:
        return unknown("signature", "The document does not say where the call comes from.")
    names = _loaded_names(question.imports)
    check = None if names is None else _bind(question.api_call, names)
    if check is not None:
        return check
    versions = _versions(question)
    if versions is None:
        return unknown("signature", f"{question.package} is not installed here.")
    if question.package in _slow:
        return unknown(
            "signature", f"Import {question.package} yourself, and its signature is checked."
        )
    return _known.get((question, versions))


def _answer_elsewhere(questions: list[_Question]) -> dict[_Question, Check | None]:
    """Ask processes that may hang or crash, one for each package."""
    packages: dict[str, list[_Question]] = {}
    for question in questions:
        packages.setdefault(question.package, []).append(question)
    outcomes: dict[_Question, Check | None] = {}
    if not sys.executable:
        return outcomes
    until = time.monotonic() + IMPORT_SECONDS
    with suppress(OSError), ExitStack() as running:
        inquiries = [
            (package, asked, running.enter_context(_Inquiry(asked)))
            for package, asked in packages.items()
        ]
        for package, asked, inquiry in inquiries:
            try:
                answers = inquiry.answers(until - time.monotonic())
            except subprocess.TimeoutExpired:
                _slow.add(package)
                outcomes.update((question, _answer_here(question)) for question in asked)
                continue
            crashed = unknown("signature", f"{package} cannot be imported here.")
            for question in asked:
                check = answers.pop(0) if answers else crashed
                outcomes[question] = _known[(question, _versions(question) or "")] = check
    return outcomes


class _Inquiry:
    """A process that imports what the questions are about and answers them in a file."""

    def __init__(self, questions: list[_Question]) -> None:
        self._questions = questions

    def __enter__(self) -> Self:
        self._files = ExitStack()
        asked = self._files.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8"))
        self._answers = self._files.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8"))
        json.dump([[question.imports, question.api_call] for question in self._questions], asked)
        asked.seek(0)
        # Nothing in the current folder is imported: -P leaves it out of the path, only the last
        # place is given to the package itself, and relative entries of PYTHONPATH are dropped.
        path = filter(os.path.isabs, os.environ.get("PYTHONPATH", "").split(os.pathsep))
        program = f"import sys; sys.path.append(sys.argv[1]); import {__name__} as v; v.main()"
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", program, str(Path(__file__).parents[1])],
            stdin=asked,
            stdout=self._answers,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
        )
        return self

    def answers(self, seconds: float) -> list[Check]:
        """The answers so far as it came; fewer than the questions where it crashed.

        :raises subprocess.TimeoutExpired:
        """
        self._process.wait(max(seconds, 0))
        self._answers.seek(0)
        lines = self._answers.read().splitlines()
        return [
            Check("signature", CheckStatus(status), text) for status, text in map(json.loads, lines)
        ]

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            # With whatever the package started.
            if sys.platform == "win32":
                self._process.kill()
            else:
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._files.close()


def _versions(question: _Question) -> str | None:
    """The versions of the installed distributions that the imports name; None where there is a
    module that belongs to none, such as a file in the current folder."""
    modules = list(_modules(question.imports))
    if not all(_is_found(module.partition(".")[0]) for module in modules):
        return None
    owners = _owners()
    versions = []
    for module in modules:
        distributions = owners.get(module.partition(".")[0])
        if not distributions or "__main__" in module.split("."):
            return None
        versions += [f"{name} {distribution_version(name)}" for name in distributions]
    return ", ".join(versions)


def _modules(imports: Iterable[str]) -> Iterator[str]:
    for node in _import_nodes(imports):
        if isinstance(node, ast.ImportFrom):
            yield node.module or ""
        else:
            yield from (alias.name for alias in node.names)


def _import_nodes(imports: Iterable[str]) -> Iterator[ast.Import | ast.ImportFrom]:
    for statement in imports:
        for node in ast.parse(statement).body:
            assert isinstance(node, ast.Import | ast.ImportFrom)
            yield node


def _is_found(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


_owners_of: dict[tuple[tuple[str, int], ...], Mapping[str, list[str]]] = {}


def _owners() -> Mapping[str, list[str]]:
    """The installed distributions of each top-level module; read again after an installation."""
    state = tuple((entry, _changed(entry)) for entry in sys.path if entry)
    if state not in _owners_of:
        _owners_of.clear()
        _owners_of[state] = importlib.metadata.packages_distributions()
    return _owners_of[state]


def _changed(folder: str) -> int:
    try:
        return Path(folder).stat().st_mtime_ns
    except OSError:
        return 0


def _loaded_names(imports: Iterable[str]) -> dict[str, Any] | None:
    # Without triggering any import: lazy packages load more of themselves at attribute access.
    names: dict[str, Any] = {}
    for node in _import_nodes(imports):
        for alias in node.names:
            if isinstance(node, ast.ImportFrom):
                content = getattr(sys.modules.get(node.module or ""), "__dict__", {})
                if alias.name not in content:
                    return None
                names[alias.asname or alias.name] = content[alias.name]
            else:
                if sys.modules.get(alias.name) is None:
                    return None
                root = alias.name.partition(".")[0]
                names[alias.asname or root] = sys.modules[alias.name if alias.asname else root]
    return names


def _bind(api_call: str, names: Mapping[str, Any], *, lazy: bool = False) -> Check | None:
    """Whether the call's arguments suit its signature.

    :param lazy: look up attributes that a module makes when they are asked for, which may import
        more of it; otherwise None is returned for these.
    """
    call = parse_call(api_call)
    if call is None:
        return unknown("signature", "This is not a Python call.")
    callee = ast.unparse(call.func)
    missing = failed("signature", f"The installed package has no {callee}.")
    silent = unknown("signature", f"{callee} does not tell its signature.")
    root, *attributes = callee.split(".")
    if root not in names:
        return missing
    target = names[root]
    for attribute in attributes:
        if not lazy and isinstance(target, ModuleType) and attribute not in vars(target):
            return None
        try:
            target = getattr(target, attribute)
        except AttributeError:
            return missing
        except Exception:
            return silent
    try:
        signature = inspect.signature(target)
    except Exception:
        # Not only built-in callables: packages compute signatures, and fail in their own ways.
        return silent
    if any(isinstance(node, ast.Starred) for node in call.args):
        return unknown("signature", "The call passes arguments that only running it can tell.")
    named = {keyword.arg: None for keyword in call.keywords if keyword.arg is not None}
    try:
        signature.bind_partial(*call.args, **named)
    except TypeError as error:
        return failed("signature", f"The installed {callee} would refuse it: {error}.")
    return passed("signature", f"The installed {callee} takes these arguments.")


def distribution_version(name: str) -> str | None:
    """The installed version of a distribution; None where it is not installed."""
    try:
        return importlib.metadata.version(name) or None
    except (importlib.metadata.PackageNotFoundError, KeyError, ValueError):
        return None


def main() -> None:
    """Answer the signature questions on standard input, in a process that may be thrown away."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a package prints while it is imported must not get among the answers
    for imports, api_call in json.loads(sys.stdin.buffer.read()):
        try:
            check = _bind(api_call, _imported_names(imports), lazy=True)
            assert check is not None
        except BaseException as error:  # packages exit, and tests skip, with other exceptions
            check = unknown("signature", f"The package could not be imported: {error!r:.200}.")
        answers.write(json.dumps([check.status.value, check.sentence]) + "\n")
        answers.flush()
    # Without waiting for the threads that a package may have started.
    os._exit(0)


def _imported_names(imports: Iterable[str]) -> dict[str, Any]:
    names: dict[str, Any] = {}
    for node in _import_nodes(imports):
        for alias in node.names:
            if isinstance(node, ast.ImportFrom):
                module = importlib.import_module(node.module or "")
                try:
                    value = getattr(module, alias.name)
                except AttributeError:
                    value = importlib.import_module(f"{node.module}.{alias.name}")
                names[alias.asname or alias.name] = value
            else:
                module = importlib.import_module(alias.name)
                root = alias.name.partition(".")[0]
                names[alias.asname or root] = module if alias.asname else sys.modules[root]
    return names
