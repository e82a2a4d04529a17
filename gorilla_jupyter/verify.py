"""The checks: is the call documented, does the cell compile, would this environment take it?"""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import inspect
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement

from gorilla_jupyter.answer import Answer, Candidate, Check, CheckName, CheckStatus
from gorilla_jupyter.record import ApiRecord, Argument, distribution_name, parse_call

IMPORT_SECONDS = 3.0
"""How long importing a package for its signature may take before the check gives up."""

DISTRIBUTION_ALIASES: Mapping[str, str] = {
    "cv2": "opencv-python",
    "pil": "pillow",
    "pytorch": "torch",
    "sklearn": "scikit-learn",
}
"""Names that documents use for a requirement, and the distributions that they mean."""


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
    documented = {argument.name: argument for argument in record.api_arguments}
    shown = _by_place(record.call)
    written = _by_place(call)
    for place, value in written.items():
        if place not in shown and place not in documented:
            return _failed(
                "documented", f"The document of {record.api_name} has no argument {place!r}."
            )
        if place in shown and not _may_be(value, shown[place], documented.get(str(place)), record):
            return _failed(
                "documented",
                f"The document of {record.api_name} says {ast.unparse(shown[place])}, not "
                f"{ast.unparse(value)}.",
            )
    for place, value in shown.items():
        if place not in written and _is_identity(value, documented.get(str(place)), record):
            return _failed(
                "documented", f"The document of {record.api_name} also gives {ast.unparse(value)}."
            )
    return _passed("documented", f"The document of {record.api_name} shows this call.")


def check_syntax(api_call: str, code: str) -> Check:
    """Whether the cell compiles and makes the call."""
    call = parse_call(api_call)
    try:
        tree = ast.parse(code)
        compile(tree, "<cell>", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return _failed("syntax", f"The cell is not Python: {error}.")
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    if call is None or _last_name(call) not in map(_last_name, calls):
        return _failed("syntax", "The cell does not make the call.")
    return _passed("syntax", "The cell compiles and makes the call.")


def check_installed(record: ApiRecord) -> Check:
    """Whether this environment has what the document requires."""
    present, missing = [], []
    for text in record.python_environment_requirements:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            requirement = Requirement(distribution_name(text) or "python")
        name = DISTRIBUTION_ALIASES.get(distribution_name(requirement.name), requirement.name)
        if name.lower() == "python":
            continue
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
            continue
        if requirement.specifier.contains(version, prereleases=True):
            present.append(f"{name} {version}")
        else:
            missing.append(f"'{name}{requirement.specifier}'")
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
    outcomes = {question: _answer_loaded(question) for question in questions}
    open_questions = [question for question in questions if outcomes[question] is None]
    outcomes.update(_answer_elsewhere(open_questions))
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


def _answer_loaded(question: _Question) -> Check | None:
    if not question.imports:
        return _unknown("signature", "The document does not say where the call comes from.")
    if not _is_installed(question.package):
        return _unknown("signature", f"{question.package} is not installed here.")
    key = (question, _version(question.package))
    if key in _known:
        return _known[key]
    if question.package in _slow:
        return _unknown(
            "signature", f"Import {question.package} yourself, and its signature is checked."
        )
    names = _loaded_names(question.imports)
    return None if names is None else _bind(question.api_call, names)


def _answer_elsewhere(questions: list[_Question]) -> dict[_Question, Check | None]:
    if not questions:
        return {}
    asked = json.dumps([[question.imports, question.api_call] for question in questions])
    try:
        process = subprocess.run(
            [sys.executable, "-m", "gorilla_jupyter.verify"],
            input=asked,
            capture_output=True,
            text=True,
            timeout=IMPORT_SECONDS,
            check=True,
        )
        answers = json.loads(process.stdout)
    except subprocess.TimeoutExpired:
        _slow.update(question.package for question in questions)
        return {question: _answer_loaded(question) for question in questions}
    except (subprocess.CalledProcessError, OSError, ValueError):
        return {}
    outcomes: dict[_Question, Check | None] = {}
    for question, (status, sentence) in zip(questions, answers, strict=True):
        check = Check("signature", CheckStatus(status), sentence)
        outcomes[question] = _known[(question, _version(question.package))] = check
    return outcomes


def _is_installed(package: str) -> bool:
    try:
        return package in sys.modules or importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):
        return False


def _version(package: str) -> str:
    for name in importlib.metadata.packages_distributions().get(package, ()):
        return importlib.metadata.version(name)
    return ""


def _loaded_names(imports: Iterable[str]) -> dict[str, Any] | None:
    # Without triggering any import: lazy packages load more of themselves at attribute access.
    names: dict[str, Any] = {}
    for statement in imports:
        node = ast.parse(statement).body[0]
        assert isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names:
            if isinstance(node, ast.ImportFrom):
                module = sys.modules.get(node.module or "")
                if module is None or alias.name not in vars(module):
                    return None
                names[alias.asname or alias.name] = vars(module)[alias.name]
            else:
                if alias.name not in sys.modules:
                    return None
                root = alias.name.partition(".")[0]
                names[alias.asname or root] = sys.modules[alias.name if alias.asname else root]
    return names


def _bind(api_call: str, names: Mapping[str, Any]) -> Check:
    call = parse_call(api_call)
    assert call is not None
    callee = ast.unparse(call.func)
    try:
        root, *attributes = callee.split(".")
        target = names[root]
        for attribute in attributes:
            target = getattr(target, attribute)
    except (KeyError, AttributeError):
        return _failed("signature", f"The installed package has no {callee}.")
    try:
        signature = inspect.signature(target)
    except (TypeError, ValueError):
        return _unknown("signature", f"{callee} does not tell its signature.")
    if any(isinstance(node, ast.Starred) for node in call.args):
        return _unknown("signature", "The call passes arguments that only running it can tell.")
    named = {keyword.arg: None for keyword in call.keywords if keyword.arg is not None}
    try:
        signature.bind_partial(*call.args, **named)
    except TypeError as error:
        return _failed("signature", f"The installed {callee} would refuse it: {error}.")
    return _passed("signature", f"The installed {callee} takes these arguments.")


def _by_place(call: ast.Call) -> dict[int | str, ast.expr]:
    return {
        **dict(enumerate(call.args)),
        **{word.arg or "**": word.value for word in call.keywords},
    }


def _may_be(value: ast.expr, shown: ast.expr, argument: Argument | None, record: ApiRecord) -> bool:
    if ast.dump(value) == ast.dump(shown):
        return True
    return not _is_identity(shown, argument, record)


def _is_identity(shown: ast.expr, argument: Argument | None, record: ApiRecord) -> bool:
    # A literal says which API it is, unless the document gives its argument a default of its own.
    if not isinstance(shown, ast.Constant):
        return False
    names_the_api = isinstance(shown.value, str) and shown.value in record.api_name
    return names_the_api or argument is None or argument.default is None


def _last_name(call: ast.Call) -> str:
    return ast.unparse(call.func).rpartition(".")[2]


def _passed(name: CheckName, sentence: str) -> Check:
    return Check(name, CheckStatus.PASSED, sentence)


def _failed(name: CheckName, sentence: str) -> Check:
    return Check(name, CheckStatus.FAILED, sentence)


def _unknown(name: CheckName, sentence: str) -> Check:
    return Check(name, CheckStatus.UNKNOWN, sentence)


def main() -> None:
    """Answer the signature questions on standard input, in a process that may be thrown away."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a package prints while it is imported must not get among the answers
    outcomes = []
    for imports, api_call in json.load(sys.stdin):
        names: dict[str, Any] = {}
        try:
            for statement in imports:
                exec(compile(statement, "<import>", "exec"), names)
            check = _bind(api_call, names)
        except (Exception, SystemExit) as error:
            check = _unknown("signature", f"The package could not be imported: {error!r:.200}.")
        outcomes.append((check.status.value, check.sentence))
    answers.write(json.dumps(outcomes))
    answers.close()


if __name__ == "__main__":
    main()
