"""``jupyter gorilla catalog check``: is every record true of the packages that it is about?"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from gorilla_jupyter.catalog.signatures import Package, read_installed, refusal
from gorilla_jupyter.record import (
    ApiRecord,
    contains_call,
    distribution_name,
    parse_code,
    pip_requirement,
)


@dataclass(frozen=True)
class Problem:
    """What is wrong with a record."""

    record: ApiRecord
    sentence: str

    def __str__(self) -> str:
        return f"{self.record.source}, {self.record.api_name}: {self.sentence}"


@dataclass(frozen=True)
class Report:
    """The outcome of a check.

    :ivar against: the packages that the records were held against, by module.
    :ivar installed: the modules among them that are installed here; the others are stored.
    :ivar drift: what differs between the stored and the installed version of a package.
    """

    records: int
    problems: tuple[Problem, ...]
    against: Mapping[str, Package]
    installed: frozenset[str]
    drift: tuple[str, ...] = field(default=())


def check(records: Iterable[ApiRecord], table: Mapping[str, Package]) -> Report:
    """Hold every record against the installed packages, and against ``table`` for the others."""
    records = list(records)
    wanted: defaultdict[str, set[str]] = defaultdict(set)
    distributions: dict[str, str] = {}
    for record in records:
        if name := full_name(record):
            wanted[record.package].add(name)
            requirement = next(iter(record.python_environment_requirements), record.package)
            distributions.setdefault(record.package, distribution_name(requirement))
    against: dict[str, Package] = {}
    installed: set[str] = set()
    drift: list[str] = []
    for module, names in sorted(wanted.items()):
        package = read_installed(module, names, distributions[module])
        if package is not None:
            installed.add(module)
            if module in table:
                drift += _drift(table[module], package, names)
        elif module in table:
            package = table[module]
        if package is not None:
            against[module] = package
    calls: dict[str, ApiRecord] = {}
    problems = []
    for record in records:
        problems += [Problem(record, sentence) for sentence in _faults(record, against)]
        twin = calls.setdefault(ast.dump(record.call) if record.call else record.id, record)
        if twin is not record:
            problems.append(Problem(record, f"{twin.api_name} has the same call."))
    return Report(len(records), tuple(problems), against, frozenset(installed), tuple(drift))


def full_name(record: ApiRecord) -> str:
    """The callable with its module, e.g. ``"transformers.AutoModel.from_pretrained"``; "" where
    the record does not say."""
    root, _, rest = record.callee.partition(".")
    for statement in record.imports:
        node = ast.parse(statement).body[0]
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        for alias in node.names:
            if (alias.asname or alias.name.partition(".")[0]) != root:
                continue
            if isinstance(node, ast.ImportFrom):
                origin = f"{node.module}.{alias.name}"
            else:
                origin = alias.name if alias.asname else root
            return f"{origin}.{rest}" if rest else origin
    return ""


def merged(table: Mapping[str, Package], report: Report) -> dict[str, Package]:
    """The table with the installed packages of the report in it."""
    packages = dict(table)
    for module in report.installed:
        new = report.against[module]
        old = packages.get(module)
        same = old and replace(new, date=old.date) == old
        packages[module] = old if old and same else new
    return packages


def _faults(record: ApiRecord, against: Mapping[str, Package]) -> list[str]:
    call = record.call
    if call is None:
        return ["its call is not a Python call."]
    faults = []
    tree = parse_code(record.example_code)
    if tree is None:
        faults.append("its example does not compile.")
    elif not contains_call(tree, call):
        faults.append("its example does not make the call.")
    faults += [
        f"{text!r} is not a requirement."
        for text in record.python_environment_requirements
        if pip_requirement(text) is None
    ]
    package = against.get(record.package)
    name = full_name(record)
    if package is None:
        return [*faults, f"nothing is known of the package '{record.package}'."]
    if name not in package.signatures:
        at = f"{package.distribution} {package.version}"
        return [*faults, f"{at} has no {name or record.callee}."]
    if reason := refusal(package.signatures[name], call):
        faults.append(f"{name} of {package.distribution} {package.version} refuses it: {reason}.")
    if name == "transformers.pipeline" and call.args and isinstance(call.args[0], ast.Constant):
        task = call.args[0].value
        if task not in package.tasks:
            faults.append(f"transformers {package.version} has no pipeline for {task!r}.")
    return faults


def _drift(stored: Package, installed: Package, names: Iterable[str]) -> list[str]:
    if stored.version == installed.version:
        return []
    where = f"{stored.distribution} {stored.version} to {installed.version}"
    lines = []
    for name in sorted(names):
        before, now = stored.signatures.get(name), installed.signatures.get(name)
        if before is not None and now is None:
            lines.append(f"{where}: {name} is gone.")
        elif before is not None and now != before:
            lines.append(f"{where}: {name}{before} is now {name}{now}.")
    gone = sorted({*stored.tasks} - {*installed.tasks})
    new = sorted({*installed.tasks} - {*stored.tasks})
    lines += [f"{where}: the pipeline task {task!r} is gone." for task in gone]
    lines += [f"{where}: the pipeline task {task!r} is new." for task in new]
    return lines
