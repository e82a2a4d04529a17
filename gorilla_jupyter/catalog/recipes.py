"""Recipes: how one line about a model becomes a complete record of the catalogue.

A *recipe* says, for one framework and one task, how a model is loaded and used: the call, its
arguments, what must be installed, and a short example. A *model* entry names a recipe and adds
only what is its own: a description, measured facts, the values that differ. :func:`build` puts
the two together into records with APIBench's ten fields.

Source files are TOML. Every file may hold any of these tables::

    hub = "huggingface"                         # where the models of this file live

    [arguments.GROUP.NAME]                      # an argument that several calls share
    type = "str"
    default = "None"                            # Python source; absent: the argument is required
    description = "..."

    [recipes.RECIPE]
    domain = "Audio Text-to-Speech"
    framework = "Hugging Face Transformers"
    functionality = "Text-to-speech (TTS): ..."
    call = 'pipeline("text-to-speech", model="$model")'
    argument_groups = ["pipeline"]              # GROUPs above, in order
    requirements = ["transformers", "torch"]    # the first is the package the call belongs to
    variable = "synthesiser"                    # what the example calls the loaded object
    example = '''...$variable = $call...'''
    values = { sentence = "Good morning." }     # further placeholders and their usual values
    [recipes.RECIPE.arguments.NAME]             # arguments of this recipe alone

    [models.RECIPE."MODEL"]
    description = "..."
    # optional: api_name (where MODEL is not it), functionality, performance, values,
    # arguments, requirements (added to the recipe's)

``$model`` is the record's ``api_name``; ``$owner`` and ``$name`` are its parts before and after
the last slash. ``$call`` and ``$variable`` are known in the example only.

Run ``python -m gorilla_jupyter.catalog.recipes`` to rewrite the shipped records.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import re
import tempfile
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Any, NoReturn

from packaging.requirements import InvalidRequirement, Requirement

SOURCES = Path(__file__).parent / "sources"
BUILTIN = Path(__file__).parent / "builtin"

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

_HUB_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


class SourceError(ValueError):
    """A source file says something that cannot become a record.

    :param file: the source file.
    :param subject: the recipe, argument group or model at fault; empty for the whole file.
    :param problem: what is wrong with it and what was expected.
    """

    def __init__(self, file: Path, subject: str, problem: str) -> None:
        self.file = file
        self.subject = subject
        self.problem = problem
        super().__init__(": ".join(part for part in (file.name, subject, problem) if part))


class UnreadableSourceError(SourceError):
    """The file is not TOML, or not text."""


class MissingKeyError(SourceError):
    """A key that is needed is absent."""


class UnknownKeyError(SourceError):
    """A key that nothing reads, most likely misspelt."""


class WrongValueError(SourceError):
    """A key holds a value of another type or shape than it must."""


class UnknownRecipeError(SourceError):
    """A model names a recipe that no file defines."""


class UnknownArgumentGroupError(SourceError):
    """A recipe names an argument group that no file defines."""


class PlaceholderError(SourceError):
    """A template uses a ``$placeholder`` that has no value, or a value that no template uses."""


class CallError(SourceError):
    """The call is not one Python call expression, or uses an undocumented keyword."""


class ExampleError(SourceError):
    """The example does not compile, or does not assign the record's call."""


class DuplicateError(SourceError):
    """Two sources define the same recipe, argument group or call."""


@dataclass(frozen=True)
class Argument:
    """One argument of a call.

    :param annotation: its type, as a Python annotation.
    :param default: its default value as Python source; ``None`` when it must be given.
    :param description: what it means, for the person who may change it.
    """

    annotation: str
    default: str | None
    description: str

    def as_json(self) -> dict[str, str]:
        """Return the argument as a record holds it."""
        shown = {"type": self.annotation}
        if self.default is not None:
            shown["default"] = self.default
        shown["description"] = self.description
        return shown


@dataclass(frozen=True)
class Recipe:
    """How the models of one framework and one task are loaded and used.

    :param name: the recipe's key.
    :param file: the source file that defines it.
    :param domain: the task, in APIBench's vocabulary.
    :param framework: the library or hub, as a person would filter by it.
    :param functionality: one line of what such a model does, in the words people use for it.
    :param call: template of the call.
    :param variable: name that the example gives to the loaded object.
    :param example: template of the example.
    :param requirements: distributions to install; the first one provides the call.
    :param argument_groups: names of the shared argument groups, in order.
    :param arguments: arguments of this recipe alone.
    :param values: further placeholders and their usual values.
    """

    name: str
    file: Path
    domain: str
    framework: str
    functionality: str
    call: str
    variable: str
    example: str
    requirements: tuple[str, ...]
    argument_groups: tuple[str, ...]
    arguments: Mapping[str, Argument]
    values: Mapping[str, str]


@dataclass(frozen=True)
class Model:
    """What one model adds to its recipe.

    :param key: the model's key in its source file.
    :param file: that source file.
    :param hub: where the model lives, which is also the name of the file it is written to.
    :param recipe: key of its recipe.
    :param api_name: model id or hub handle.
    :param description: one to three sentences about this very model.
    :param functionality: the recipe's line refined; ``None`` to keep it.
    :param performance: facts about the model.
    :param requirements: distributions needed besides the recipe's.
    :param arguments: arguments added to the recipe's, or replacing them.
    :param values: values that differ from the recipe's.
    """

    key: str
    file: Path
    hub: str
    recipe: str
    api_name: str
    description: str
    functionality: str | None
    performance: Mapping[str, Any]
    requirements: tuple[str, ...]
    arguments: Mapping[str, Argument]
    values: Mapping[str, str]


@dataclass
class Sources:
    """Everything the source files of one folder say.

    :param argument_groups: shared arguments, by group.
    :param recipes: recipes, by name.
    :param models: models, in the order of the files.
    """

    argument_groups: dict[str, Mapping[str, Argument]] = field(default_factory=dict)
    recipes: dict[str, Recipe] = field(default_factory=dict)
    models: list[Model] = field(default_factory=list)


class _Table:
    """A TOML table that is read key by key and complains about what is left over."""

    def __init__(self, content: object, file: Path, subject: str) -> None:
        if not isinstance(content, dict):
            raise WrongValueError(file, subject, "expected a table")
        self._content: dict[str, Any] = content
        self._unread = set(content)
        self.file = file
        self.subject = subject

    def fail(self, error: type[SourceError], problem: str) -> NoReturn:
        raise error(self.file, self.subject, problem)

    def _take(self, key: str) -> Any:
        self._unread.discard(key)
        return self._content.get(key)

    def optional_text(self, key: str) -> str | None:
        value = self._take(key)
        if value is None:
            return None
        if not isinstance(value, str) or not value.strip():
            self.fail(WrongValueError, f"{key!r} must be a text that is not empty")
        return value

    def text(self, key: str) -> str:
        value = self.optional_text(key)
        if value is None:
            self.fail(MissingKeyError, f"{key!r} is missing")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        value = self._take(key)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self.fail(WrongValueError, f"{key!r} must be a list of texts")
        return tuple(value)

    def text_mapping(self, key: str) -> dict[str, str]:
        value = self.mapping(key)
        if not all(isinstance(item, str) for item in value.values()):
            self.fail(WrongValueError, f"{key!r} must be a table of texts")
        return value

    def mapping(self, key: str) -> dict[str, Any]:
        value = self._take(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.fail(WrongValueError, f"{key!r} must be a table")
        return value

    def tables(self, key: str, subject: str) -> dict[str, _Table]:
        return {
            name: _Table(content, self.file, f"{subject} {name!r}")
            for name, content in self.mapping(key).items()
        }

    def requirements(self, key: str) -> tuple[str, ...]:
        names = self.texts(key)
        for name in names:
            try:
                Requirement(name)
            except InvalidRequirement as error:
                self.fail(WrongValueError, f"{name!r} in {key!r} is not a requirement: {error}")
        return names

    def arguments(self) -> dict[str, Argument]:
        """Read the key ``arguments`` as argument descriptions."""
        return {name: table.argument() for name, table in self.tables("arguments", "argument").items()}

    def argument(self) -> Argument:
        """Read this whole table as one argument description."""
        argument = Argument(
            self.text("type"), self.optional_text("default"), self.text("description")
        )
        for key, source in (("type", argument.annotation), ("default", argument.default)):
            if source is not None and _expression(source) is None:
                self.fail(WrongValueError, f"{key!r} must be Python source, found {source!r}")
        self.finish()
        return argument

    def finish(self) -> None:
        """Complain about the first key that nothing has read."""
        if self._unread:
            self.fail(UnknownKeyError, f"nothing reads the key {min(self._unread)!r}")


def load_sources(folder: Path = SOURCES) -> Sources:
    """Read every source file of a folder.

    :param folder: folder of ``*.toml`` files.
    :return: what they say, not yet put together.
    :raises SourceError: when a file cannot be read as a source.
    """
    sources = Sources()
    for file in sorted(folder.glob("*.toml")):
        _read_source(file, sources)
    return sources


def _read_source(file: Path, sources: Sources) -> None:
    """Add what one file says to ``sources``."""
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UnreadableSourceError(file, "", f"not a TOML file: {error}") from error
    table = _Table(content, file, "")
    hub = table.optional_text("hub")
    for name, group in table.tables("arguments", "argument group").items():
        if name in sources.argument_groups:
            group.fail(DuplicateError, "this argument group is already defined")
        sources.argument_groups[name] = {
            argument: _Table(description, file, f"{group.subject}, argument {argument!r}").argument()
            for argument, description in table.mapping("arguments")[name].items()
        }
    for name, recipe in table.tables("recipes", "recipe").items():
        if name in sources.recipes:
            recipe.fail(DuplicateError, "this recipe is already defined")
        sources.recipes[name] = _read_recipe(name, recipe)
    for recipe_name, models in table.tables("models", "models of recipe").items():
        if hub is None:
            models.fail(MissingKeyError, "a file with models must say its 'hub'")
        if not _HUB_NAME.fullmatch(hub):
            models.fail(WrongValueError, f"'hub' must be lower-case words and dashes, found {hub!r}")
        for key, entry in table.mapping("models")[recipe_name].items():
            sources.models.append(_read_model(key, hub, recipe_name, _Table(entry, file, key)))
    table.finish()


def _read_recipe(name: str, table: _Table) -> Recipe:
    recipe = Recipe(
        name=name,
        file=table.file,
        domain=table.text("domain"),
        framework=table.text("framework"),
        functionality=table.text("functionality"),
        call=table.text("call"),
        variable=table.text("variable"),
        example=table.text("example"),
        requirements=table.requirements("requirements"),
        argument_groups=table.texts("argument_groups"),
        arguments=table.arguments(),
        values=table.text_mapping("values"),
    )
    if not recipe.requirements:
        table.fail(MissingKeyError, "'requirements' must name at least one distribution")
    table.finish()
    return recipe


def _read_model(key: str, hub: str, recipe: str, table: _Table) -> Model:
    model = Model(
        key=key,
        file=table.file,
        hub=hub,
        recipe=recipe,
        api_name=table.optional_text("api_name") or key,
        description=table.text("description"),
        functionality=table.optional_text("functionality"),
        performance=table.mapping("performance"),
        requirements=table.requirements("requirements"),
        arguments=table.arguments(),
        values=table.text_mapping("values"),
    )
    table.finish()
    return model


def build(sources: Sources) -> dict[str, list[Record]]:
    """Put recipes and models together into records.

    :param sources: what the source files say.
    :return: records by hub, each list sorted by domain, name and call.
    :raises SourceError: when a model cannot become a record.
    """
    hubs: dict[str, list[Record]] = {}
    owners: dict[str, Model] = {}
    for model in sources.models:
        record = _record(model, sources)
        call = ast.dump(ast.parse(record["api_call"]))
        if call in owners:
            other = owners[call]
            raise DuplicateError(
                model.file,
                model.key,
                f"the call {record['api_call']} is already that of {other.key!r} in {other.file.name}",
            )
        owners[call] = model
        hubs.setdefault(model.hub, []).append(record)
    for records in hubs.values():
        records.sort(key=lambda record: (record["domain"], record["api_name"], record["api_call"]))
    return hubs


def _record(model: Model, sources: Sources) -> Record:
    """Return the record of one model, checked."""
    recipe = sources.recipes.get(model.recipe)
    if recipe is None:
        raise UnknownRecipeError(model.file, model.key, f"no file defines the recipe {model.recipe!r}")
    arguments = _arguments(recipe, model, sources)
    owner, _, name = model.api_name.rpartition("/")
    values = {**recipe.values, "model": model.api_name, "owner": owner, "name": name}
    for value in model.values:
        if value not in recipe.values:
            raise PlaceholderError(
                model.file, model.key, f"the recipe {recipe.name!r} has no value named {value!r}"
            )
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


def _arguments(recipe: Recipe, model: Model, sources: Sources) -> dict[str, Argument]:
    """Return every argument of a model's call: its groups', its recipe's and its own."""
    arguments: dict[str, Argument] = {}
    for group in recipe.argument_groups:
        if group not in sources.argument_groups:
            raise UnknownArgumentGroupError(
                recipe.file, f"recipe {recipe.name!r}", f"no file defines the argument group {group!r}"
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
        raise PlaceholderError(model.file, model.key, problem) from error
    except ValueError as error:
        problem = f"the {what} of recipe {model.recipe!r} has a '$' that starts no placeholder"
        raise PlaceholderError(model.file, model.key, problem) from error


def _expression(source: str) -> ast.expr | None:
    """Return Python source as one expression, or ``None`` when it is not one."""
    try:
        return ast.parse(source, mode="eval").body
    except (SyntaxError, ValueError):
        return None


def _check_call(call: str, arguments: Mapping[str, Argument], model: Model) -> None:
    """Refuse a call that is not one call expression or uses undocumented keywords."""
    expression = _expression(call)
    if not isinstance(expression, ast.Call):
        raise CallError(model.file, model.key, f"not one Python call expression: {call}")
    for keyword in expression.keywords:
        if keyword.arg is None or keyword.arg not in arguments:
            raise CallError(
                model.file, model.key, f"no argument describes the keyword {keyword.arg!r} of {call}"
            )


def _check_example(example: str, call: str, model: Model) -> None:
    """Refuse an example that does not compile or does not assign the call to a name."""
    try:
        tree = ast.parse(example)
        compile(tree, "<example>", "exec")
    except (SyntaxError, ValueError) as error:
        raise ExampleError(model.file, model.key, f"the example does not compile: {error}") from error
    wanted = ast.dump(ast.parse(call, mode="eval").body)
    assigned = (node.value for node in tree.body if isinstance(node, ast.Assign))
    if not any(ast.dump(value) == wanted for value in assigned):
        raise ExampleError(model.file, model.key, f"the example does not assign the call {call}")


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
    return [_write_whole(folder / f"{hub}.jsonl", render(hubs[hub])) for hub in sorted(hubs)]


def _write_whole(file: Path, text: str) -> Path:
    """Replace a file's content in one step, so that no reader ever sees half of it."""
    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, file)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return file


def main(arguments: Sequence[str] | None = None) -> int:
    """Rewrite the shipped records from their sources and say how many there are."""
    parser = argparse.ArgumentParser(
        prog="python -m gorilla_jupyter.catalog.recipes", description="Rebuild the built-in catalogue."
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
