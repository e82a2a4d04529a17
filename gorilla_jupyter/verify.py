"""The checks: is the call documented, does the cell compile, would this environment take it?"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from packaging.requirements import Requirement
from packaging.version import InvalidVersion

from gorilla_jupyter.answer import Answer, Check, CheckStatus, Document, failed, passed, unknown
from gorilla_jupyter.record import (
    ApiRecord,
    Argument,
    parse_call,
    parse_code,
    pip_argument,
    pip_requirement,
    shows_call,
)
from gorilla_jupyter.signature import check_signatures, distribution_version

NO_VARIABLES: Mapping[str, str] = MappingProxyType({})


def verify(
    record: ApiRecord, api_call: str, code: str, variables: Mapping[str, str] = NO_VARIABLES
) -> tuple[Check, ...]:
    """The checks that need no environment; those that do are left unknown.

    :param variables: the person's own, by name and class.
    """
    return (
        check_documented(record, api_call, variables),
        unknown("installed", "Not checked: the packages of your kernel were not looked at."),
        unknown("signature", "Not checked: the packages of your kernel were not looked at."),
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


def with_installed(documents: Iterable[Document]) -> tuple[Document, ...]:
    """The documents, each saying whether this process's environment has what it requires."""
    outcomes = {CheckStatus.PASSED: True, CheckStatus.FAILED: False, CheckStatus.UNKNOWN: None}
    return tuple(
        replace(document, installed=outcomes[check_installed(document.record).status])
        for document in documents
    )


def check_documented(
    record: ApiRecord, api_call: str, variables: Mapping[str, str] = NO_VARIABLES
) -> Check:
    """Whether ``api_call`` is the documented call but for arguments that its document allows.

    :param variables: the person's own, by name and class; one of the class whose method the
        document shows may stand for the object that has it there.
    """
    call = parse_call(api_call)
    if call is None or record.call is None:
        return failed("documented", "This is not a call that the document shows.")
    if not _calls_the_same(call, record, variables):
        return failed(
            "documented",
            f"The document of {record.api_name} calls {record.callee}, not "
            f"{ast.unparse(call.func)}.",
        )
    arguments = {argument.name: argument for argument in record.api_arguments}
    by_position = set(list(arguments)[: len(call.args)])
    shown = by_place(record.call)
    written = by_place(call)
    for place, value in written.items():
        if place not in shown and (place not in arguments or place in by_position):
            return failed(
                "documented", f"The document of {record.api_name} has no argument {place!r}."
            )
        if place in shown and _is_same(value, shown[place]):
            continue
        if place in shown and (
            unpacks(place, shown[place])
            or not may_change(shown[place], arguments.get(str(place)), record)
        ):
            return failed(
                "documented",
                f"The document of {record.api_name} says {ast.unparse(shown[place])}, not "
                f"{ast.unparse(value)}.",
            )
        if not _is_plain(value):
            return failed(
                "documented",
                f"{ast.unparse(value)} does more than give a value: nothing documents that.",
            )
    for place, value in shown.items():
        if place not in written and not _may_lack(value, arguments.get(str(place)), record):
            return failed(
                "documented", f"The document of {record.api_name} also gives {ast.unparse(value)}."
            )
    return passed("documented", f"The document of {record.api_name} shows this call.")


def check_syntax(api_call: str, code: str) -> Check:
    """Whether the cell compiles and makes the call."""
    call = parse_call(api_call)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(code, "<cell>", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return failed("syntax", f"The cell is not Python: {error}.")
    tree = parse_code(code)
    if call is None or tree is None or not shows_call(tree, call):
        return failed("syntax", "The cell does not make the call.")
    return passed("syntax", "The cell compiles and makes the call.")


def check_installed(record: ApiRecord) -> Check:
    """Whether this environment has what the document requires."""
    present, missing = [], []
    for requirement in map(pip_requirement, record.python_environment_requirements):
        if requirement is None or not _is_for_here(requirement):
            continue
        version = distribution_version(requirement.name)
        if version is not None and _is_within(version, requirement):
            present.append(f"{requirement.name} {version}")
        else:
            missing.append(pip_argument(requirement))
    if missing:
        return failed("installed", f"Missing here; run: %pip install {' '.join(missing)}")
    if present:
        return passed("installed", f"Installed here: {', '.join(present)}.")
    return unknown("installed", "The document does not say what it requires.")


def _calls_the_same(call: ast.Call, record: ApiRecord, variables: Mapping[str, str]) -> bool:
    """Whether it is the documented callee, or that method of one of the variables."""
    callee = ast.unparse(call.func)
    receiver, kind = record.receiver
    root, _, method = callee.partition(".")
    if receiver and variables.get(root) == kind:
        callee = f"{receiver}.{method}"
    return callee == record.callee


def _is_for_here(requirement: Requirement) -> bool:
    try:
        return requirement.marker is None or requirement.marker.evaluate()
    except ValueError:  # it compares what cannot be compared
        return False


def _is_within(version: str, requirement: Requirement) -> bool:
    try:
        return requirement.specifier.contains(version, prereleases=True)
    except InvalidVersion:
        return not requirement.specifier


def by_place(call: ast.Call) -> dict[int | str, ast.expr]:
    """The values of a call by their position or keyword; of what is unpacked by ``**``."""
    places: dict[int | str, ast.expr] = dict(enumerate(call.args))
    for word in call.keywords:
        place = word.arg or "**"
        while place in places:
            place += "*"  # a call may unpack several mappings, and each may hold anything
        places[place] = word.value
    return places


def unpacks(place: int | str, shown: ast.expr) -> bool:
    """Whether the value there is one of ``*`` or ``**``."""
    return isinstance(shown, ast.Starred) or str(place).startswith("**")


def _is_same(value: ast.expr, shown: ast.expr) -> bool:
    return ast.dump(value) == ast.dump(shown)


def may_change(shown: ast.expr, argument: Argument | None, record: ApiRecord) -> bool:
    """Whether the document lets a plain value stand where it shows ``shown``."""
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
