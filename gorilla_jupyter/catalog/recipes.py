"""Recipes: how one line about a model becomes a complete record of the catalogue.

A *recipe* says, for one framework and one task, how a model is loaded and used: the call, its
arguments, what must be installed, and a short example. A *model* entry names a recipe and adds
only what is its own: a description, measured facts, the values that differ. The source files
hold both (see :mod:`gorilla_jupyter.catalog.sources`); :func:`build` puts them together into
records with APIBench's ten fields.

Run ``python -m gorilla_jupyter.catalog.recipes`` to rewrite the shipped records.
"""

from __future__ import annotations

import argparse
import ast
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from gorilla_jupyter.catalog.check import full_name
from gorilla_jupyter.catalog.signatures import Package, load_table
from gorilla_jupyter.catalog.sources import (
    SOURCES,
    Argument,
    CallError,
    DuplicateError,
    ExampleError,
    Model,
    PlaceholderError,
    Recipe,
    SourceError,
    Sources,
    UnknownArgumentGroupError,
    UnknownModelError,
    UnknownRecipeError,
    expression,
    load_sources,
)
from gorilla_jupyter.catalog.store import BUILTIN, write_whole
from gorilla_jupyter.record import ApiRecord

FIELDS = (
    "domain",
    "framework",
    "functionality",
    "api_name",
    "api_call",
    "api_arguments",
    "python_environment_requirements",
    "example_code",
    "performance",
    "description",
)
"""The fields of a record, in the order in which they are written."""

Record = dict[str, Any]
"""One record of the catalogue, ready for JSON."""


def build(sources: Sources, table: Mapping[str, Package] | None = None) -> dict[str, list[Record]]:
    """Put recipes and models together into records.

    :param sources: what the source files say.
    :param table: the packages that calls were checked against; the shipped table where absent.
    :return: records by hub, in the order of the sources, which is a fact: of two models that suit
        a question equally, and are both first choices or none, the first is offered first.
    :raises SourceError: when a model cannot become a record.
    """
    hubs: dict[str, list[Record]] = {}
    packages = load_table() if table is None else table
    owners: dict[str, Model] = {}
    unknown = dict(sources.first_choices)
    for model in sources.models:
        record = _record(model, sources)
        if released := sources.released.get(model.api_name):
            record["released"] = released
        if (choice := (record["domain"], model.api_name)) in sources.first_choices:
            record["first_choice"] = True
            unknown.pop(choice, None)
        if checked := _checked(record, packages):
            record["checked"] = checked
        call = ast.dump(ast.parse(record["api_call"]))
        if call in owners:
            other = owners[call]
            raise DuplicateError(
                model.file,
                model.subject,
                f"the call {record['api_call']} is already that of {other.subject} "
                f"in {other.file.name}",
            )
        owners[call] = model
        hubs.setdefault(model.hub, []).append(record)
    for (domain, name), file in unknown.items():
        raise UnknownModelError(
            file, "first choices", f"no model of the domain {domain!r} is called {name!r}"
        )
    return hubs


def record_for(
    recipe: str,
    model_id: str,
    description: str,
    sources: Sources,
    *,
    values: Mapping[str, str] | None = None,
    performance: Mapping[str, Any] | None = None,
) -> Record:
    """Return the record of a model that no source file lists.

    :param recipe: the name of its recipe.
    :param model_id: its name on its hub; safe inside a Python string.
    :param values: placeholders of the recipe that differ from their usual values.
    :raises SourceError: when that makes no record.
    """
    model = Model(
        key=model_id,
        file=SOURCES,
        hub="",
        recipe=recipe,
        api_name=model_id,
        description=description,
        functionality=None,
        performance=performance or {},
        requirements=(),
        arguments={},
        values=values or {},
    )
    return _record(model, sources)


def _record(model: Model, sources: Sources) -> Record:
    """Return the record of one model, checked."""
    recipe = sources.recipes.get(model.recipe)
    if recipe is None:
        problem = f"no file defines the recipe {model.recipe!r}"
        raise UnknownRecipeError(model.file, model.subject, problem)
    arguments = _arguments(recipe, model, sources)
    owner, _, name = model.api_name.rpartition("/")
    values = {**recipe.values, "model": model.api_name, "owner": owner, "name": name}
    for value in model.values:
        if value not in recipe.values:
            problem = f"the recipe {recipe.name!r} has no value named {value!r}"
            raise PlaceholderError(model.file, model.subject, problem)
    values.update(model.values)
    call = _fill(recipe.call, values, model, "call")
    values.update(call=call, variable=recipe.variable)
    example = _fill(recipe.example, values, model, "example").strip()
    _check_call(call, arguments, model)
    _check_example(example, call, model)
    requirements = dict.fromkeys((*recipe.requirements, *model.requirements))
    content = (
        recipe.domain,
        recipe.framework,
        model.functionality or recipe.functionality,
        model.api_name,
        call,
        {key: argument.as_json() for key, argument in arguments.items()},
        list(requirements),
        example,
        dict(model.performance),
        " ".join(model.description.split()),
    )
    return dict(zip(FIELDS, content, strict=True))


def _checked(record: Record, packages: Mapping[str, Package]) -> str:
    """What the call was checked against; "" where nothing is stored of its package."""
    parsed = ApiRecord.from_json(record)
    package = packages.get(parsed.package)
    if package is None or full_name(parsed) not in package.signatures:
        return ""
    return f"{package.distribution} {package.version}, {package.date}"


def _arguments(recipe: Recipe, model: Model, sources: Sources) -> dict[str, Argument]:
    """Return every argument of a model's call: its groups', its recipe's and its own."""
    arguments: dict[str, Argument] = {}
    for group in recipe.argument_groups:
        if group not in sources.argument_groups:
            raise UnknownArgumentGroupError(
                recipe.file,
                f"recipe {recipe.name!r}",
                f"no file defines the argument group {group!r}",
            )
        arguments.update(sources.argument_groups[group])
    arguments.update(recipe.arguments)
    arguments.update(model.arguments)
    return arguments


def _fill(template: str, values: Mapping[str, str], model: Model, what: str) -> str:
    """Return a template with its placeholders replaced."""
    try:
        return Template(template).substitute(values)
    except KeyError as error:
        problem = f"the {what} of recipe {model.recipe!r} needs a value for ${error.args[0]}"
        raise PlaceholderError(model.file, model.subject, problem) from error
    except ValueError as error:
        problem = f"the {what} of recipe {model.recipe!r} has a '$' that starts no placeholder"
        raise PlaceholderError(model.file, model.subject, problem) from error


def _check_call(call: str, arguments: Mapping[str, Argument], model: Model) -> None:
    """Refuse a call that is not one call expression or uses undocumented keywords."""
    tree = expression(call)
    if not isinstance(tree, ast.Call):
        raise CallError(model.file, model.subject, f"not one Python call expression: {call}")
    for keyword in tree.keywords:
        if keyword.arg is None or keyword.arg not in arguments:
            problem = f"no argument describes the keyword {keyword.arg!r} of {call}"
            raise CallError(model.file, model.subject, problem)


def _check_example(example: str, call: str, model: Model) -> None:
    """Refuse an example that does not compile or does not assign the call to a name."""
    try:
        tree = ast.parse(example)
        compile(tree, "<example>", "exec")
    except (SyntaxError, ValueError) as error:
        problem = f"the example does not compile: {error}"
        raise ExampleError(model.file, model.subject, problem) from error
    wanted = ast.dump(ast.parse(call, mode="eval").body)
    assigned = (node.value for node in tree.body if isinstance(node, ast.Assign))
    if not any(ast.dump(value) == wanted for value in assigned):
        problem = f"the example does not assign the call {call}"
        raise ExampleError(model.file, model.subject, problem)


def render(records: Iterable[Record]) -> str:
    """Return records as JSON Lines."""
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def write(hubs: Mapping[str, Iterable[Record]], folder: Path = BUILTIN) -> list[Path]:
    """Write each hub's records to ``HUB.jsonl``, whole or not at all.

    :param hubs: records by hub.
    :param folder: where the files go; made when absent.
    :return: the files written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = {folder / f"{hub}.jsonl": hubs[hub] for hub in sorted(hubs)}
    for file, records in files.items():
        write_whole(file, render(records).encode(), mode=0o644)
    return list(files)


def main(arguments: Sequence[str] | None = None) -> int:
    """Rewrite the shipped records from their sources and say how many there are."""
    parser = argparse.ArgumentParser(
        prog="python -m gorilla_jupyter.catalog.recipes",
        description="Rebuild the built-in catalogue.",
    )
    parser.add_argument("--sources", type=Path, default=SOURCES, help="folder of the source files")
    parser.add_argument("--output", type=Path, default=BUILTIN, help="folder of the records")
    options = parser.parse_args(arguments)
    try:
        hubs = build(load_sources(options.sources))
    except SourceError as error:
        parser.exit(1, f"{error}\n")
    for file in write(hubs, options.output):
        print(f"{file}: {len(hubs[file.stem])} records")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
