"""Recipes and sources: what they build, and how they refuse mistakes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gorilla_jupyter.catalog import recipes, sources

GROUP = """
[arguments.loader.name]
type = "str"
description = "Which thing."
[arguments.loader.device]
type = "str | None"
default = "None"
description = "Where to run."
"""

RECIPE = """
[recipes.tell]
domain = "Tales"
framework = "Teller"
functionality = "Tell a tale"
call = 'load("$model", device="$device")'
argument_groups = ["loader"]
requirements = ["teller", "paper>=1"]
variable = "teller"
values = { device = "cpu" }
example = '''
from teller import load

$variable = $call
print($variable("$name of $owner costs $$5"))
'''
[recipes.tell.arguments.speed]
type = "int"
default = "1"
description = "How fast."
"""

MODEL = """
[models.tell."grimm/wolf"]
description = "The wolf\\n  and the seven kids."
"""

Written = Callable[..., Path]


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """Write source files, the parts given replacing the usual ones, and return their folder."""

    def write(group: str = GROUP, recipe: str = RECIPE, model: str = MODEL) -> Path:
        folder = tmp_path / "sources"
        folder.mkdir(exist_ok=True)
        (folder / "a-groups.toml").write_text(group, encoding="utf-8")
        (folder / "b-recipes.toml").write_text(recipe, encoding="utf-8")
        (folder / "c-models.toml").write_text('hub = "tales"\n' + model, encoding="utf-8")
        return folder

    return write


def built(folder: Path) -> list[dict[str, Any]]:
    return recipes.build(sources.load_sources(folder))["tales"]


def test_recipe_and_model_make_a_record(written: Written) -> None:
    assert built(written()) == [
        {
            "domain": "Tales",
            "framework": "Teller",
            "functionality": "Tell a tale",
            "api_name": "grimm/wolf",
            "api_call": 'load("grimm/wolf", device="cpu")',
            "api_arguments": {
                "name": {"type": "str", "description": "Which thing."},
                "device": {
                    "type": "str | None",
                    "default": "None",
                    "description": "Where to run.",
                },
                "speed": {"type": "int", "default": "1", "description": "How fast."},
            },
            "python_environment_requirements": ["teller", "paper>=1"],
            "example_code": "from teller import load\n\n"
            'teller = load("grimm/wolf", device="cpu")\n'
            'print(teller("wolf of grimm costs $5"))',
            "performance": {},
            "description": "The wolf and the seven kids.",
        }
    ]


def test_fields_stand_in_their_order(written: Written) -> None:
    (record,) = built(written())
    assert tuple(record) == recipes.FIELDS


def test_model_says_what_differs(written: Written) -> None:
    model = """
    [models.tell."the wolf in French"]
    api_name = "perrault/loup"
    description = "Le loup."
    functionality = "Tell a French tale"
    performance = { pages = 7, dataset = "Contes" }
    requirements = ["ink", "paper>=1"]
    values = { device = "cuda" }
    arguments.device = { type = "str", default = "'cuda'", description = "A GPU." }
    """
    (record,) = built(written(model=model))
    assert record["api_name"] == "perrault/loup"
    assert record["api_call"] == 'load("perrault/loup", device="cuda")'
    assert record["functionality"] == "Tell a French tale"
    assert record["performance"] == {"pages": 7, "dataset": "Contes"}
    assert record["python_environment_requirements"] == ["teller", "paper>=1", "ink"]
    assert record["api_arguments"]["device"]["default"] == "'cuda'"


def test_first_choices_are_those_of_their_domain(written: Written) -> None:
    model = """
    [first_choices]
    Tales = ["b"]
    [models.tell.a]
    description = "A."
    [models.tell.b]
    description = "B."
    """
    records = built(written(model=model))
    assert [record.get("first_choice") for record in records] == [None, True]


def test_records_keep_the_order_of_their_sources_by_hub(written: Written) -> None:
    folder = written(
        model='[models.tell.b]\ndescription = "B."\n[models.tell.a]\ndescription = "A."'
    )
    other = 'hub = "other-hub"\n[models.tell.c]\ndescription = "C."'
    (folder / "d.toml").write_text(other, encoding="utf-8")
    hubs = recipes.build(sources.load_sources(folder))
    names = {hub: [record["api_name"] for record in records] for hub, records in hubs.items()}
    assert names == {"tales": ["b", "a"], "other-hub": ["c"]}


MISTAKES: dict[str, tuple[dict[str, str], type[sources.SourceError], list[str]]] = {
    "not TOML": (
        {"recipe": "[recipes.tell"},
        sources.UnreadableSourceError,
        ["b-recipes.toml", "not a TOML file"],
    ),
    "unknown recipe": (
        {"model": '[models.sing."grimm/wolf"]\ndescription = "Wolf."'},
        sources.UnknownRecipeError,
        ["c-models.toml", "grimm/wolf", "'sing'"],
    ),
    "unknown argument group": (
        {"recipe": RECIPE.replace('["loader"]', '["loadr"]')},
        sources.UnknownArgumentGroupError,
        ["b-recipes.toml", "'tell'", "'loadr'"],
    ),
    "missing key of a model": (
        {"model": '[models.tell."grimm/wolf"]\nfunctionality = "Wolf"'},
        sources.MissingKeyError,
        ["c-models.toml", "grimm/wolf", "'description' is missing"],
    ),
    "missing key of a recipe": (
        {"recipe": RECIPE.replace('domain = "Tales"', "")},
        sources.MissingKeyError,
        ["b-recipes.toml", "'tell'", "'domain' is missing"],
    ),
    "missing requirements": (
        {"recipe": RECIPE.replace('["teller", "paper>=1"]', "[]")},
        sources.MissingKeyError,
        ["b-recipes.toml", "'tell'", "requirements"],
    ),
    "missing key of an argument": (
        {"group": '[arguments.loader.name]\ntype = "str"'},
        sources.MissingKeyError,
        ["a-groups.toml", "'loader'", "'name'", "'description' is missing"],
    ),
    "unknown key of a model": (
        {"model": MODEL + 'describtion = "Wolf."'},
        sources.UnknownKeyError,
        ["c-models.toml", "grimm/wolf", "'describtion'"],
    ),
    "unknown key of a recipe": (
        {"recipe": RECIPE.replace("framework =", 'frame = "x"\nframework =')},
        sources.UnknownKeyError,
        ["b-recipes.toml", "'tell'", "'frame'"],
    ),
    "unknown key of a file": (
        {"group": GROUP + "\n[receipts.tell]\na = 1"},
        sources.UnknownKeyError,
        ["a-groups.toml", "'receipts'"],
    ),
    "empty text": (
        {"model": '[models.tell."grimm/wolf"]\ndescription = " "'},
        sources.WrongValueError,
        ["c-models.toml", "grimm/wolf", "'description'"],
    ),
    "number for a text": (
        {"model": MODEL + "values = { device = 3 }"},
        sources.WrongValueError,
        ["c-models.toml", "grimm/wolf", "'values'"],
    ),
    "text for a list": (
        {"recipe": RECIPE.replace('["loader"]', '"loader"')},
        sources.WrongValueError,
        ["b-recipes.toml", "'tell'", "'argument_groups'"],
    ),
    "text for a table": (
        {"model": '[models.tell]\n"grimm/wolf" = "The wolf."'},
        sources.WrongValueError,
        ["c-models.toml", "grimm/wolf", "expected a table"],
    ),
    "date in performance": (
        {"model": MODEL + "performance = { since = 1812-12-20 }"},
        sources.WrongValueError,
        ["c-models.toml", "grimm/wolf", "'performance'"],
    ),
    "not-a-number in performance": (
        {"model": MODEL + "performance = { pages = nan }"},
        sources.WrongValueError,
        ["c-models.toml", "grimm/wolf", "'performance'"],
    ),
    "requirement that is no name": (
        {"model": MODEL + 'requirements = ["a book"]'},
        sources.WrongValueError,
        ["c-models.toml", "grimm/wolf", "'a book'"],
    ),
    "default that is not Python": (
        {"group": GROUP.replace('"None"', '"no ne"')},
        sources.WrongValueError,
        ["a-groups.toml", "'device'", "'no ne'"],
    ),
    "value that the recipe lacks": (
        {"model": MODEL + 'values = { colour = "red" }'},
        sources.PlaceholderError,
        ["c-models.toml", "grimm/wolf", "'colour'"],
    ),
    "placeholder without a value": (
        {"recipe": RECIPE.replace('values = { device = "cpu" }', "")},
        sources.PlaceholderError,
        ["c-models.toml", "grimm/wolf", "$device"],
    ),
    "stray dollar sign": (
        {"recipe": RECIPE.replace("$$5", "$5")},
        sources.PlaceholderError,
        ["c-models.toml", "grimm/wolf", "'$'"],
    ),
    "call that does not parse": (
        {"recipe": RECIPE.replace("""$device")'""", """$device"'""")},
        sources.CallError,
        ["c-models.toml", "grimm/wolf", "not one Python call"],
    ),
    "call that is an assignment": (
        {"recipe": RECIPE.replace("call = 'load", "call = 'x = load")},
        sources.CallError,
        ["c-models.toml", "grimm/wolf", "not one Python call"],
    ),
    "call that is no call": (
        {"recipe": RECIPE.replace("""'load("$model", device="$device")'""", "'load'")},
        sources.CallError,
        ["c-models.toml", "grimm/wolf", "not one Python call"],
    ),
    "undocumented keyword": (
        {"recipe": RECIPE.replace('device="$device"', 'gpu="$device"')},
        sources.CallError,
        ["c-models.toml", "grimm/wolf", "'gpu'"],
    ),
    "unpacked keywords": (
        {"recipe": RECIPE.replace('device="$device"', "**$device")},
        sources.CallError,
        ["c-models.toml", "grimm/wolf"],
    ),
    "example that does not compile": (
        {"recipe": RECIPE.replace("from teller import load", "from teller import")},
        sources.ExampleError,
        ["c-models.toml", "grimm/wolf", "does not compile"],
    ),
    "example that returns at top level": (
        {"recipe": RECIPE.replace("from teller import load", "return")},
        sources.ExampleError,
        ["c-models.toml", "grimm/wolf", "does not compile"],
    ),
    "example without the call": (
        {"recipe": RECIPE.replace("$variable = $call", '$variable = load("other")')},
        sources.ExampleError,
        ["c-models.toml", "grimm/wolf", "does not assign the call"],
    ),
    "example that does not assign the call": (
        {"recipe": RECIPE.replace("$variable = $call", "$call")},
        sources.ExampleError,
        ["c-models.toml", "grimm/wolf", "does not assign the call"],
    ),
    "first choice that is no model of its domain": (
        {"model": MODEL + '[first_choices]\nSongs = ["grimm/wolf"]'},
        sources.UnknownModelError,
        ["c-models.toml", "'Songs'", "'grimm/wolf'"],
    ),
    "same call twice": (
        {"model": MODEL + '[models.tell.again]\napi_name = "grimm/wolf"\ndescription = "Again."'},
        sources.DuplicateError,
        ["c-models.toml", "'again'", "already that of model 'grimm/wolf'"],
    ),
    "same recipe twice": (
        {"group": RECIPE},
        sources.DuplicateError,
        ["b-recipes.toml", "'tell'", "already defined"],
    ),
    "same argument group twice": (
        {"recipe": GROUP + RECIPE},
        sources.DuplicateError,
        ["b-recipes.toml", "'loader'", "already defined"],
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_refused_with_file_and_name(mistake: str, written: Written) -> None:
    parts, expected, said = MISTAKES[mistake]
    with pytest.raises(sources.SourceError) as caught:
        built(written(**parts))
    assert type(caught.value) is expected
    for words in said:
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("head", "expected"),
    [("", sources.MissingKeyError), ('hub = "../elsewhere"\n', sources.WrongValueError)],
)
def test_models_need_a_proper_hub(
    head: str, expected: type[sources.SourceError], written: Written
) -> None:
    folder = written()
    (folder / "c-models.toml").write_text(head + MODEL, encoding="utf-8")
    with pytest.raises(expected, match=r"c-models\.toml.*'hub'"):
        sources.load_sources(folder)


def test_file_that_is_not_text_is_refused(written: Written) -> None:
    folder = written()
    (folder / "b-recipes.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(sources.UnreadableSourceError, match=r"b-recipes\.toml"):
        sources.load_sources(folder)


def test_folder_without_sources_is_refused(tmp_path: Path) -> None:
    with pytest.raises(sources.UnreadableSourceError, match=r"no \*\.toml file"):
        sources.load_sources(tmp_path)


def test_main_writes_the_same_bytes_each_time(
    written: Written, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, output = written(), tmp_path / "new" / "records"
    arguments = ["--sources", str(folder), "--output", str(output)]
    assert recipes.main(arguments) == 0
    first = (output / "tales.jsonl").read_bytes()
    assert recipes.main(arguments) == 0
    assert (output / "tales.jsonl").read_bytes() == first
    assert [file.name for file in output.iterdir()] == ["tales.jsonl"]
    assert first.endswith(b"}\n")
    assert b"\r" not in first
    assert "tales.jsonl: 1 records" in capsys.readouterr().out


def test_records_keep_other_scripts_readable(written: Written, tmp_path: Path) -> None:
    folder = written(model='[models.tell."狼"]\ndescription = "狼とヤギ。"')
    (file,) = recipes.write(recipes.build(sources.load_sources(folder)), tmp_path / "records")
    text = file.read_text(encoding="utf-8")
    assert "狼とヤギ。" in text
    assert json.loads(text)["api_name"] == "狼"


def test_mistake_leaves_the_written_records_alone(
    written: Written, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "records"
    recipes.main(["--sources", str(written()), "--output", str(output)])
    before = (output / "tales.jsonl").read_bytes()
    broken = written(model='[models.sing.x]\ndescription = "X."')
    with pytest.raises(SystemExit) as stopped:
        recipes.main(["--sources", str(broken), "--output", str(output)])
    assert stopped.value.code == 1
    assert "c-models.toml: model 'x': no file defines the recipe 'sing'" in capsys.readouterr().err
    assert (output / "tales.jsonl").read_bytes() == before
    assert [file.name for file in output.iterdir()] == ["tales.jsonl"]


def test_failed_write_leaves_nothing_behind(written: Written, tmp_path: Path) -> None:
    output = tmp_path / "records"
    (output / "tales.jsonl").mkdir(parents=True)  # a folder where the file should go
    with pytest.raises(OSError, match=r"tales\.jsonl"):
        recipes.write(recipes.build(sources.load_sources(written())), output)
    assert [file.name for file in output.iterdir()] == ["tales.jsonl"]
