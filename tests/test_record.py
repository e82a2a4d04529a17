"""ApiRecord: the outside forms it reads, and what it derives from them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from gorilla_jupyter.catalog.files import read_file
from gorilla_jupyter.record import (
    ApiRecord,
    Argument,
    RecordError,
    parse_call,
    parse_code,
    pip_argument,
    pip_requirement,
    shows_call,
)

FIXTURES = Path(__file__).parent / "fixtures"
APIBENCH = Path(
    os.environ.get("GORILLA_APIBENCH") or Path(__file__).parents[2] / "shared" / "apibench"
)
VALID: dict[str, Any] = {
    "domain": "Audio Text-to-Speech",
    "framework": "Widgets",
    "functionality": "Text to speech",
    "api_name": "acme/voice",
    "api_call": "pipeline('text-to-speech', model='acme/voice')",
}


def a_record(**fields: Any) -> ApiRecord:
    return ApiRecord.from_json({**VALID, **fields})


def test_an_instruction_pair_is_read_by_its_document() -> None:
    text = (FIXTURES / "instruction_pair.json").read_text(encoding="utf-8")
    record = ApiRecord.from_json(json.loads(text), source="seed")
    assert record.domain == "Text-To-Speech"
    assert record.framework == "PyTorch"
    assert record.functionality == "Text-To-Speech"
    assert record.api_name == "Silero Text-To-Speech Models"
    assert record.api_call == (
        "torch.hub.load(repo_or_dir='snakers4/silero-models', model='silero_tts', pretrained=True)"
    )
    assert record.api_arguments == (
        Argument("repo_or_dir", description="snakers4/silero-models"),
        Argument("model", description="silero_tts"),
        Argument("language", description="language"),
        Argument("speaker", description="speaker"),
    )
    assert record.python_environment_requirements == ("torchaudio", "omegaconf")
    assert record.example_code.startswith("import torch\nlanguage = 'en'\n")
    assert record.performance["dataset"][1] == {"language": "English", "speakers": 1}
    assert record.description.startswith("Silero Text-To-Speech models provide")
    assert record.source == "seed"
    assert record.callee == "torch.hub.load"
    assert record.package == "torch"
    assert record.imports == ("import torch",)


def test_an_api_zoo_contribution_is_read_into_the_same_form() -> None:
    (value,) = json.loads((FIXTURES / "api_zoo.json").read_text(encoding="utf-8"))
    record = ApiRecord.from_json(value)
    assert record.domain == record.functionality == "Text generation"
    assert record.framework == record.api_name == "GPT4All Python API"
    assert record.api_call.startswith("chat_completion(messages, default_prompt_header=True")
    assert record.api_version == "2.0"
    assert [argument.name for argument in record.api_arguments] == [
        "messages",
        "default_prompt_header",
        "default_prompt_footer",
        "verbose",
        "streaming",
        "generate_kwargs",
    ]
    assert record.python_environment_requirements == ("gpt4all",)
    assert record.example_code.startswith("import gpt4all\n")
    assert record.description.startswith("The GPT4All package provides Python bindings")
    assert record.performance == {}
    assert record.questions[2] == "What is the capital of France?"
    assert record.package == "gpt4all"


def test_an_api_zoo_contribution_needs_no_user_name() -> None:
    (value,) = json.loads((FIXTURES / "api_zoo.json").read_text(encoding="utf-8"))
    del value["user_name"]
    assert ApiRecord.from_json(value).framework == "GPT4All Python API"


@pytest.mark.parametrize("name", ["huggingface_api", "tensorflowhub_api", "torchhub_api"])
def test_every_record_of_apibench_loads_and_comes_back_the_same(name: str) -> None:
    path = APIBENCH / "api" / f"{name}.jsonl"
    if not path.exists():
        pytest.skip("APIBench is not here: name its folder in GORILLA_APIBENCH")
    reading = read_file(path, source=name)
    assert not reading.refusals
    assert len(reading.records) == len(path.read_text(encoding="utf-8").splitlines())
    again = [ApiRecord.from_json(found.to_json(), source=name) for found in reading.records]
    assert again == list(reading.records)


@pytest.mark.parametrize("form", ["instruction_pair", "api_zoo"])
def test_a_record_comes_back_the_same_from_its_json(form: str) -> None:
    reading = read_file(FIXTURES / f"{form}.json", source="seed")
    (record,) = reading.records
    assert ApiRecord.from_json(record.to_json(), source="seed") == record


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("api_arguments", [{"name": "a", "type": "int"}, {"name": "a"}, "b"]),
        ("api_arguments", {"a": {"type": "str", "default": ""}, "b": {"default": None}}),
        ("api_arguments", {"a": {"default": 3}, "b": {"default": False}, "c": {"shape": [1]}}),
        ("api_arguments", "a, b"),
        ("python_environment_requirements", "torch>=1,<2; None, numpy"),
        ("python_environment_requirements", "torch, None"),
        ("python_environment_requirements", {"torch": ">=1, <2", "numpy": "1"}),
        ("python_environment_requirements", ["!pip install -U 'torch>=2' numpy"]),
        ("example_code", ["", "  def f():", "", "      return 1"]),
        ("performance", "fast"),
        ("performance", ["fast"]),
        ("description", ["one", "two"]),
        ("description", "N/A"),
        ("api_version", "2.0"),
        ("questions", ["Who?", " Why? "]),
        ("first_choice", True),
        ("first_choice", None),
    ],
)
def test_odd_values_come_back_the_same_from_json(field: str, value: object) -> None:
    record = a_record(**{field: value})
    assert ApiRecord.from_json(record.to_json()) == record


@pytest.mark.parametrize("field", sorted(VALID.keys() - {"functionality"}))
@pytest.mark.parametrize("value", [None, "", "  ", 3, ["a"], {}])
def test_a_field_that_must_be_there_is_named(field: str, value: object) -> None:
    with pytest.raises(RecordError) as refusal:
        ApiRecord.from_json({**VALID, field: value})
    assert refusal.value.field == field
    assert "expected a non-empty string" in str(refusal.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("functionality", 3),
        ("api_arguments", 3),
        ("python_environment_requirements", [3]),
        ("python_environment_requirements", 3),
        ("example_code", 3),
        ("example_code", ["a", 3]),
        ("performance", 3),
        ("description", {}),
        ("questions", "Who?"),
        ("questions", [3]),
        ("first_choice", "yes"),
    ],
)
def test_a_field_of_the_wrong_type_is_named(field: str, value: object) -> None:
    with pytest.raises(RecordError) as refusal:
        ApiRecord.from_json({**VALID, field: value})
    assert refusal.value.field == field


def test_what_was_found_is_shown_in_brief() -> None:
    with pytest.raises(RecordError) as refusal:
        ApiRecord.from_json({**VALID, "questions": {"q" * 9000: 1}})
    assert len(str(refusal.value)) < 200


@pytest.mark.parametrize("value", [None, 3, "text", ["list"]])
def test_only_an_object_is_a_record(value: object) -> None:
    with pytest.raises(RecordError, match="expected a JSON object"):
        ApiRecord.from_json(value)


def test_an_example_in_lines_keeps_its_indentation() -> None:
    record = a_record(example_code=["for i in range(3):", "    print(i)", "print(", "None", ")"])
    assert record.example_code == "for i in range(3):\n    print(i)\nprint(\nNone\n)"


def test_an_example_that_is_indented_as_a_whole_is_moved_to_the_margin() -> None:
    record = a_record(example_code="\n    for i in x:\n        print(i)\n    ")
    assert record.example_code == "for i in x:\n    print(i)"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("torch, numpy", ("torch", "numpy")),
        ("torch>=1,<2, numpy", ("torch>=1,<2", "numpy")),
        ("uvicorn[standard,extra], torch", ("uvicorn[standard,extra]", "torch")),
        ("torch\nnumpy\n", ("torch", "numpy")),
        ("pip install -q torch numpy", ("torch", "numpy")),
        ("pip install torch-scatter", ("torch-scatter",)),
        ("!pip install -U 'torch>=2'", ("torch>=2",)),
        ("%pip install torch -r requirements.txt", ("torch",)),
        ("python -m pip install torch && pip install numpy", ("torch", "numpy")),
        ("pip install torch; rm -rf /", ("torch",)),
        ("None", ()),
    ],
)
def test_requirements_are_read_as_people_write_them(written: str, read: tuple[str, ...]) -> None:
    assert a_record(python_environment_requirements=written).python_environment_requirements == read


@pytest.mark.parametrize(
    ("example", "call", "imports"),
    [
        ("import torch", "torch.hub.load('a')", ("import torch",)),
        ("import torch.nn", "torch.hub.load('a')", ("import torch.nn",)),
        ("import numpy as np, torch", "torch.f(np.x)", ("import numpy as np, torch",)),
        ("from a import b as c, d", "c()", ("from a import b as c",)),
        ("if x:\n    from a import b", "b()", ("from a import b",)),
        ("from a import b\nfrom a import b", "b()", ("from a import b",)),
        ("!pip install a\nfrom a import b\nthis is not Python", "b()", ("from a import b",)),
        ("from . import b", "b()", ()),
        ("from a import *", "b()", ()),
        ("from a import b", "not Python (", ()),
        ("import x\n" + "-" * 100_000 + "1", "x.f()", ("import x",)),
        ("import x\nx.f('\\d')", "x.f('\\d')", ("import x",)),
    ],
)
def test_the_imports_of_a_call_are_those_of_its_example(
    example: str, call: str, imports: tuple[str, ...]
) -> None:
    assert a_record(example_code=example, api_call=call).imports == imports


@pytest.mark.parametrize(
    ("example", "requirements", "package"),
    [
        ("from transformers.pipelines import pipeline", ["torch"], "transformers"),
        ("import a.b.c as pipeline", [], "a"),
        ("", ["transformers", "torch"], "transformers"),
        ("", ["python>=3.8", "sentence-transformers==2"], "sentence_transformers"),
        ("", ["sklearn"], "sklearn"),
        ("", ["opencv-python"], "cv2"),
        ("", ["a GPU"], ""),
        ("", [], ""),
    ],
)
def test_the_package_of_a_call(example: str, requirements: list[str], package: str) -> None:
    record = a_record(example_code=example, python_environment_requirements=requirements)
    assert record.package == package


def test_the_id_changes_with_source_name_and_call_only() -> None:
    record = a_record()
    assert record.id == a_record(description="Other", performance={"a": 1}).id
    others = {
        ApiRecord.from_json(VALID, source="mine").id,
        a_record(api_name="acme/other").id,
        a_record(api_call="f()").id,
    }
    assert len({record.id, *others}) == 4


def test_the_id_is_the_same_in_every_process() -> None:
    assert a_record().id == "f9012b82b5920ae3"


@pytest.mark.parametrize(
    "text", ["f(1)", "  a.b.f(x=1)\n", "model = f()", "a, (b, *c) = f()", "f(\n  1,\n)"]
)
def test_a_call_or_its_assignment_is_a_call(text: str) -> None:
    assert parse_call(text) is not None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "f",
        "f(); g()",
        "f()\ng()",
        "f(",
        "f()\0",
        "import os",
        "print(f()).x",
        "x[g()] = f()",
        "g().x = f()",
        "f() + g()",
        "f(" * 100_000,
        "f(" + "+".join("1" * 5000) + ")",
        "f(" + "-" * 50_000 + "1)",
        "\ud800f()",
    ],
)
def test_nothing_else_is_a_call(text: str) -> None:
    assert parse_call(text) is None


def test_reading_code_says_nothing_about_its_style() -> None:
    assert parse_code("x = '\\d' is 3") is not None


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("x = load('a', 'b')", True),
        ("x = hub.load(name='b', path='a')", True),
        ("name = 'b'\nx = load('a', name)", True),
        ("x = load('a', 'other')", False),
        ("x = store('a', 'b')", False),
    ],
)
def test_code_shows_a_call_where_its_name_and_its_texts_are(code: str, shown: bool) -> None:
    call, tree = parse_call("load('a', 'b')"), parse_code(code)
    assert call is not None
    assert tree is not None
    assert shows_call(tree, call) is shown


@pytest.mark.parametrize(
    ("text", "argument"),
    [
        ("torch", "torch"),
        ("torch>=2,<3", '"torch<3,>=2"'),
        ("transformers[torch,vision]", '"transformers[torch,vision]"'),
        ('torch; python_version < "3"', "torch"),
        ("Transformers 4.24.0", "transformers"),
        ("cv2", "opencv-python"),
        ("pytorch>=2", '"torch>=2"'),
    ],
)
def test_a_requirement_becomes_a_word_for_pip(text: str, argument: str) -> None:
    requirement = pip_requirement(text)
    assert requirement is not None
    assert pip_argument(requirement) == argument


@pytest.mark.parametrize(
    "text",
    [
        "",
        "python>=3.9",
        "TensorFlow Hub",
        "import torch",
        "--index-url=https://example.org",
        "torch @ https://example.org/$(reboot)",
        "torch===`reboot`",
        "torch && reboot",
        "git+https://example.org/x",
    ],
)
def test_what_pip_installs_by_no_name_is_no_requirement(text: str) -> None:
    assert pip_requirement(text) is None


@pytest.mark.parametrize(
    ("requirements", "line"),
    [
        (("torch", "Pillow>=9"), '%pip install torch "Pillow>=9"'),
        (("python 3.8",), ""),
        ((), ""),
    ],
)
def test_what_is_required_becomes_a_line_to_run(requirements: tuple[str, ...], line: str) -> None:
    record = ApiRecord("d", "f", "x", "n", "n()", python_environment_requirements=requirements)
    assert record.pip_install == line
