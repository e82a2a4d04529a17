"""The checks: is the call documented, does the cell compile, would this environment take it?"""

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
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, Self

from packaging.requirements import Requirement
from packaging.version import InvalidVersion

from gorilla_jupyter.answer import Answer, Candidate, Check, CheckName, CheckStatus
from gorilla_jupyter.record import (
    ApiRecord,
    Argument,
    parse_call,
    parse_code,
    pip_argument,
    pip_requirement,
    shows_call,
)

IMPORT_SECONDS = 3.0
"""How long importing a package for its signature may take before the check gives up."""


def verify(record: ApiRecord, api_call: str, code: str) -> tuple[Check, ...]:
    """The checks that need no environment; those that do are left unknown."""
    return (
        check_documented(record, api_call),
        _unknown("installed", "Not checked: the packages of your kernel were not looked at."),
        _unknown("signature", "Not checked: the packages of your kernel were not looked at."),
        check_syntax(api_call, code),
    )


def verify_here(answer: Answer) -> Answer:
    """The answer with ``installed`` and ``signature`` checked in this process's environment.

    Candidates that the installed packages would refuse go to the end. Packages that are not loaded
    yet are imported in a process of their own.
    """
    signatures = check_signatures(answer.candidates)
    candidates = [
        candidate.with_checks(check_installed(candidate.record), signature)
        for candidate, signature in zip(answer.candidates, signatures, strict=True)
    ]
    candidates.sort(key=lambda found: found.check("signature").status is CheckStatus.FAILED)
    return replace(answer, candidates=tuple(candidates))


def check_documented(record: ApiRecord, api_call: str) -> Check:
    """Whether ``api_call`` is the documented call but for arguments that its document allows."""
    call = parse_call(api_call)
    if call is None or record.call is None:
        return _failed("documented", "This is not a call that the document shows.")
    if ast.dump(call.func) != ast.dump(record.call.func):
        return _failed(
            "documented",
            f"The document of {record.api_name} calls {record.callee}, not "
            f"{ast.unparse(call.func)}.",
        )
    arguments = {argument.name: argument for argument in record.api_arguments}
    by_position = set(list(arguments)[: len(call.args)])
    shown = _by_place(record.call)
    written = _by_place(call)
    for place, value in written.items():
        if place not in shown and (place not in arguments or place in by_position):
            return _failed(
                "documented", f"The document of {record.api_name} has no argument {place!r}."
            )
        if place in shown and _is_same(value, shown[place]):
            continue
        if place in shown and (
            _unpacks(place, shown[place])
            or not _may_change(shown[place], arguments.get(str(place)), record)
        ):
            return _failed(
                "documented",
                f"The document of {record.api_name} says {ast.unparse(shown[place])}, not "
                f"{ast.unparse(value)}.",
            )
        if not _is_plain(value):
            return _failed(
                "documented",
                f"{ast.unparse(value)} does more than give a value: nothing documents that.",
            )
    for place, value in shown.items():
        if place not in written and not _may_lack(value, arguments.get(str(place)), record):
            return _failed(
                "documented", f"The document of {record.api_name} also gives {ast.unparse(value)}."
            )
    return _passed("documented", f"The document of {record.api_name} shows this call.")


def check_syntax(api_call: str, code: str) -> Check:
    """Whether the cell compiles and makes the call."""
    call = parse_call(api_call)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(code, "<cell>", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return _failed("syntax", f"The cell is not Python: {error}.")
    tree = parse_code(code)
    if call is None or tree is None or not shows_call(tree, call):
        return _failed("syntax", "The cell does not make the call.")
    return _passed("syntax", "The cell compiles and makes the call.")


def check_installed(record: ApiRecord) -> Check:
    """Whether this environment has what the document requires."""
    present, missing = [], []
    for requirement in map(pip_requirement, record.python_environment_requirements):
        if requirement is None or (requirement.marker and not requirement.marker.evaluate()):
            continue
        version = _distribution_version(requirement.name)
        if version is not None and _is_within(version, requirement):
            present.append(f"{requirement.name} {version}")
        else:
            missing.append(pip_argument(requirement))
    if missing:
        return _failed("installed", f"Missing here; run: %pip install {' '.join(missing)}")
    if present:
        return _passed("installed", f"Installed here: {', '.join(present)}.")
    return _unknown("installed", "The document does not say what it requires.")


def check_signatures(candidates: Iterable[Candidate]) -> list[Check]:
    """Whether the installed callables would take each call's arguments."""
    questions = [
        _Question(candidate.record.package, _imports(candidate), candidate.api_call)
        for candidate in candidates
    ]
    outcomes = {question: _answer_here(question) for question in questions}
    outcomes.update(_answer_elsewhere([asked for asked, check in outcomes.items() if not check]))
    return [
        outcomes[question] or _unknown("signature", "No signature could be read.")
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
        return _unknown("signature", "The document does not say where the call comes from.")
    names = _loaded_names(question.imports)
    check = None if names is None else _bind(question.api_call, names)
    if check is not None:
        return check
    versions = _versions(question)
    if versions is None:
        return _unknown("signature", f"{question.package} is not installed here.")
    if question.package in _slow:
        return _unknown(
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
            crashed = _unknown("signature", f"{package} cannot be imported here.")
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
        versions += [f"{name} {_distribution_version(name)}" for name in distributions]
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


def _distribution_version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name) or None
    except (importlib.metadata.PackageNotFoundError, KeyError, ValueError):
        return None


def _is_within(version: str, requirement: Requirement) -> bool:
    try:
        return requirement.specifier.contains(version, prereleases=True)
    except InvalidVersion:
        return not requirement.specifier


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
        return _unknown("signature", "This is not a Python call.")
    callee = ast.unparse(call.func)
    missing = _failed("signature", f"The installed package has no {callee}.")
    silent = _unknown("signature", f"{callee} does not tell its signature.")
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
        return _unknown("signature", "The call passes arguments that only running it can tell.")
    named = {keyword.arg: None for keyword in call.keywords if keyword.arg is not None}
    try:
        signature.bind_partial(*call.args, **named)
    except TypeError as error:
        return _failed("signature", f"The installed {callee} would refuse it: {error}.")
    return _passed("signature", f"The installed {callee} takes these arguments.")


def _by_place(call: ast.Call) -> dict[int | str, ast.expr]:
    places: dict[int | str, ast.expr] = dict(enumerate(call.args))
    for word in call.keywords:
        place = word.arg or "**"
        while place in places:
            place += "*"  # a call may unpack several mappings, and each may hold anything
        places[place] = word.value
    return places


def _unpacks(place: int | str, shown: ast.expr) -> bool:
    return isinstance(shown, ast.Starred) or str(place).startswith("**")


def _is_same(value: ast.expr, shown: ast.expr) -> bool:
    return ast.dump(value) == ast.dump(shown)


def _may_change(shown: ast.expr, argument: Argument | None, record: ApiRecord) -> bool:
    # A bare name stands for something of the reader's. Everything else says which API it is, unless
    # the document gives its argument a default of its own.
    if _names_the_api(shown, record):
        return False
    return isinstance(shown, ast.Name) or (argument is not None and argument.default is not None)


def _may_lack(shown: ast.expr, argument: Argument | None, record: ApiRecord) -> bool:
    return (
        not _names_the_api(shown, record) and argument is not None and argument.default is not None
    )


def _names_the_api(shown: ast.expr, record: ApiRecord) -> bool:
    return any(
        isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node.value != ""
        and node.value in record.api_name
        for node in ast.walk(shown)
    )


_PLAIN = (
    ast.Constant,
    ast.Name,
    ast.Attribute,
    ast.List,
    ast.Tuple,
    ast.Set,
    ast.Dict,
    ast.UnaryOp,
    ast.unaryop,
    ast.expr_context,
)


def _is_plain(value: ast.expr) -> bool:
    """Whether ``value`` is a literal or a name: nothing that runs code to come about."""
    return all(isinstance(node, _PLAIN) for node in ast.walk(value))


def _passed(name: CheckName, sentence: str) -> Check:
    return Check(name, CheckStatus.PASSED, sentence)


def _failed(name: CheckName, sentence: str) -> Check:
    return Check(name, CheckStatus.FAILED, sentence)


def _unknown(name: CheckName, sentence: str) -> Check:
    return Check(name, CheckStatus.UNKNOWN, sentence)


def main() -> None:
    """Answer the signature questions on standard input, in a process that may be thrown away."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a package prints while it is imported must not get among the answers
    for imports, api_call in json.loads(sys.stdin.buffer.read()):
        try:
            check = _bind(api_call, _imported_names(imports), lazy=True)
            assert check is not None
        except BaseException as error:  # packages exit, and tests skip, with other exceptions
            check = _unknown("signature", f"The package could not be imported: {error!r:.200}.")
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
