"""What the catalogue is made from: recipes and models, as written in the TOML files here.

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

    [released]
    "MODEL" = "2024-05"                         # when it came out, by api_name: YYYY or YYYY-MM

    [first_choices]
    "DOMAIN" = ["MODEL", ...]                   # by api_name: what is named first where a sentence
                                                # says no more than what the domain is for

``$model`` is the record's ``api_name``; ``$owner`` and ``$name`` are its parts before and after
the last slash. ``$call`` and ``$variable`` are known in the example only.

The order of models counts where first choices leave a tie: the more general stands first.
"""

from __future__ import annotations

import ast
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from packaging.requirements import InvalidRequirement, Requirement

SOURCES = Path(__file__).parent
"""The folder of the built-in catalogue's source files."""

_MONTH = re.compile(r"20[0-9]{2}(-(0[1-9]|1[0-2]))?")
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
    """The file is not TOML, or not text, or the folder holds no source file."""


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


class UnknownModelError(SourceError):
    """A first choice that is no model of its domain."""


class PlaceholderError(SourceError):
    """A template needs a value that nothing gives, or a model gives one that its recipe lacks."""


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

    @property
    def subject(self) -> str:
        """How errors name the model."""
        return f"model {self.key!r}"


@dataclass
class Sources:
    """Everything the source files of one folder say.

    :param argument_groups: shared arguments, by group.
    :param recipes: recipes, by name.
    :param models: models, in the order of the files.
    :param released: when models came out, as YYYY or YYYY-MM, by ``api_name``.
    :param first_choices: domain and ``api_name`` of the models that are named first, and the file
        that says so.
    """

    argument_groups: dict[str, Mapping[str, Argument]] = field(default_factory=dict)
    recipes: dict[str, Recipe] = field(default_factory=dict)
    models: list[Model] = field(default_factory=list)
    released: dict[str, str] = field(default_factory=dict)
    first_choices: dict[tuple[str, str], Path] = field(default_factory=dict)


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

    def json_mapping(self, key: str) -> dict[str, Any]:
        """Read a key as a table of values that JSON can hold."""
        value = self.mapping(key)
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            self.fail(WrongValueError, f"{key!r} holds what JSON cannot: {error}")
        return value

    def tables(self, key: str, subject: str) -> dict[str, _Table]:
        """Read a key as tables by name; each is called ``subject`` and its name in errors."""
        return {
            name: _Table(content, self.file, f"{subject} {name!r}")
            for name, content in self.mapping(key).items()
        }

    def entries(self, subject: str) -> dict[str, _Table]:
        """Read this whole table as tables by name."""
        return _Table({"entries": self._content}, self.file, self.subject).tables(
            "entries", subject
        )

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
        tables = self.tables("arguments", f"{self.subject}, argument")
        return {name: table.argument() for name, table in tables.items()}

    def argument(self) -> Argument:
        """Read this whole table as one argument description."""
        argument = Argument(
            self.text("type"), self.optional_text("default"), self.text("description")
        )
        for key, source in (("type", argument.annotation), ("default", argument.default)):
            if source is not None and expression(source) is None:
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
    files = sorted(folder.glob("*.toml"))
    if not files:
        raise UnreadableSourceError(folder, "", "there is no *.toml file in this folder")
    sources = Sources()
    for file in files:
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
            argument: description.argument()
            for argument, description in group.entries(f"{group.subject}, argument").items()
        }
    for name, month in table.text_mapping("released").items():
        if not _MONTH.fullmatch(month):
            table.fail(WrongValueError, f"{name!r} came out in YYYY or YYYY-MM, not {month!r}")
        sources.released[name] = month
    first_choices = table.mapping("first_choices")
    choices = _Table(first_choices, file, "first choices")
    for domain in first_choices:
        sources.first_choices |= {(domain, name): file for name in choices.texts(domain)}
    for name, recipe in table.tables("recipes", "recipe").items():
        if name in sources.recipes:
            recipe.fail(DuplicateError, "this recipe is already defined")
        sources.recipes[name] = _read_recipe(name, recipe)
    for recipe_name, models in table.tables("models", "models of recipe").items():
        if hub is None:
            models.fail(MissingKeyError, "a file with models must say its 'hub'")
        if not _HUB_NAME.fullmatch(hub):
            models.fail(WrongValueError, f"'hub' must be words and dashes, found {hub!r}")
        for key, entry in models.entries("model").items():
            sources.models.append(_read_model(key, hub, recipe_name, entry))
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
        performance=table.json_mapping("performance"),
        requirements=table.requirements("requirements"),
        arguments=table.arguments(),
        values=table.text_mapping("values"),
    )
    table.finish()
    return model


def expression(source: str) -> ast.expr | None:
    """Return Python source as one expression, or ``None`` when it is not one."""
    try:
        return ast.parse(source, mode="eval").body
    except (SyntaxError, ValueError):
        return None
