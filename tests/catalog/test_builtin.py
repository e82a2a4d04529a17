"""The built-in catalogue as it ships: every record, and the sources it comes from."""

import ast
import builtins
import json
import os
import re
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from gorilla_jupyter.catalog import recipes, sources
from gorilla_jupyter.catalog.store import BUILTIN

APIBENCH = Path(
    os.environ.get("GORILLA_APIBENCH") or Path(__file__).parents[2].parent / "shared" / "apibench"
)
"""The folder of APIBench's development half, where there is one."""

needs_apibench = pytest.mark.skipif(
    not (APIBENCH / "api").is_dir(), reason="APIBench is not beside this checkout"
)

APIBENCH_FILES = {
    "huggingface": "huggingface_api.jsonl",
    "pytorch-hub": "torchhub_api.jsonl",
    "tensorflow-hub": "tensorflowhub_api.jsonl",
}

SAME_DOMAIN = {
    "Audio Classification": "Audio Audio Classification",
    "Multimodal Document Question Answer": "Multimodal Document Question Answering",
    "Multimodal Zero-Shot Image Classification": ("Computer Vision Zero-Shot Image Classification"),
    "Text-to-Speech": "Text-To-Speech",
}
"""APIBench's other spellings of a domain, and the one that this catalogue uses."""

DISTRIBUTIONS = {
    "PIL": "pillow",
    "av": "av",
    "chronos": "chronos-forecasting",
    "cv2": "opencv-python",
    "fairchem": "fairchem-core",
    "huggingface_hub": "huggingface-hub",
    "huggingface_sb3": "huggingface-sb3",
    "open_clip": "open-clip-torch",
    "pyannote": "pyannote.audio",
    "sentence_transformers": "sentence-transformers",
    "sklearn": "scikit-learn",
    "stable_baselines3": "stable-baselines3",
    "tensorflow_hub": "tensorflow-hub",
    "tensorflow_text": "tensorflow-text",
}
"""Modules that examples import, and the distributions of another name that hold them."""

Record = dict[str, Any]


@cache
def catalogue() -> dict[str, list[Record]]:
    """The shipped records by hub, read from their files."""
    return {
        file.stem: [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        for file in sorted(BUILTIN.glob("*.jsonl"))
    }


def records() -> list[Record]:
    return [record for hub in catalogue().values() for record in hub]


def apibench(hub: str) -> list[Record]:
    text = (APIBENCH / "api" / APIBENCH_FILES[hub]).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def call_of(record: Record) -> ast.Call:
    tree = ast.parse(record["api_call"], mode="eval").body
    assert isinstance(tree, ast.Call), record["api_call"]
    return tree


def names_of(requirements: list[str]) -> list[str]:
    return [Requirement(text).name for text in requirements]


def imported_modules(code: str) -> set[str]:
    """The top-level modules outside the standard library that ``code`` imports."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            modules.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None
            modules.add(node.module.partition(".")[0])
    return modules - sys.stdlib_module_names


def test_sources_build_the_shipped_files_byte_for_byte(tmp_path: Path) -> None:
    recipes.write(recipes.build(sources.load_sources()), tmp_path)
    rebuilt = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    shipped = {file.name: file.read_bytes() for file in BUILTIN.glob("*.jsonl")}
    assert rebuilt == shipped


def test_catalogue_is_large_enough() -> None:
    counts = {hub: len(found) for hub, found in catalogue().items()}
    assert set(counts) == {"huggingface", "pytorch-hub", "tensorflow-hub"}
    assert sum(counts.values()) >= 250
    assert counts["huggingface"] >= 170
    assert counts["pytorch-hub"] >= 60
    assert counts["tensorflow-hub"] >= 60


def test_records_have_apibench_fields_in_order() -> None:
    assert {tuple(record)[: len(recipes.FIELDS)] for record in records()} == {recipes.FIELDS}


def test_records_say_against_what_they_were_checked() -> None:
    assert [record["api_name"] for record in records() if not record.get("checked")] == []


def test_texts_are_single_tidy_lines() -> None:
    fields = ("domain", "framework", "functionality", "api_name", "api_call", "description")
    untidy = [
        (record["api_name"], field)
        for record in records()
        for field in fields
        if not record[field] or record[field] != " ".join(record[field].split())
    ]
    assert untidy == []


def test_no_two_records_have_the_same_call() -> None:
    calls = Counter(ast.dump(call_of(record)) for record in records())
    assert [call for call, count in calls.items() if count > 1] == []


def test_no_two_records_have_the_same_description() -> None:
    descriptions = Counter(record["description"] for record in records())
    assert [text for text, count in descriptions.items() if count > 1] == []


def test_keywords_of_calls_are_documented() -> None:
    undocumented = [
        (record["api_call"], keyword.arg)
        for record in records()
        for keyword in call_of(record).keywords
        if keyword.arg not in record["api_arguments"]
    ]
    assert undocumented == []


def test_arguments_are_described_in_python() -> None:
    for record in records():
        assert record["api_arguments"], record["api_name"]
        for name, argument in record["api_arguments"].items():
            assert name.isidentifier()
            assert set(argument) <= {"type", "default", "description"}
            ast.parse(argument["type"], mode="eval")
            ast.parse(argument.get("default", "None"), mode="eval")
            assert argument["description"].endswith(".")


def test_examples_compile_and_assign_the_call() -> None:
    for record in records():
        tree = ast.parse(record["example_code"])
        compile(tree, record["api_name"], "exec")
        wanted = ast.dump(call_of(record))
        assigned = [ast.dump(node.value) for node in tree.body if isinstance(node, ast.Assign)]
        assert wanted in assigned, record["api_name"]


def test_examples_are_short_and_show_something() -> None:
    for record in records():
        lines = [line for line in record["example_code"].splitlines() if line.strip()]
        assert 4 <= len(lines) <= 14, record["api_name"]
        assert re.search(r"print|save|write|imwrite", "\n".join(lines[-2:])), record["api_name"]


def test_examples_run_no_code_of_the_model_repository() -> None:
    assert [r["api_name"] for r in records() if "trust_remote_code" in json.dumps(r)] == []


def test_examples_use_only_names_that_they_define() -> None:
    """Every name that an example reads is imported, assigned or built in."""
    undefined = []
    for record in records():
        tree = ast.parse(record["example_code"])
        known = set(dir(builtins))
        read: set[str] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.alias):
                known.add((node.asname or node.name).partition(".")[0])
            elif isinstance(node, ast.arg):
                known.add(node.arg)
            elif isinstance(node, ast.Name):
                (read if isinstance(node.ctx, ast.Load) else known).add(node.id)
        undefined += [(record["api_name"], name) for name in sorted(read - known)]
    assert undefined == []


def test_requirements_cover_the_imports() -> None:
    missing = []
    for record in records():
        needed = {
            DISTRIBUTIONS.get(module, module) for module in imported_modules(record["example_code"])
        }
        lacking = needed - set(names_of(record["python_environment_requirements"]))
        missing += [(record["api_name"], name) for name in sorted(lacking)]
    assert missing == []


def test_requirements_are_named_once_and_the_first_holds_the_call() -> None:
    for record in records():
        names = names_of(record["python_environment_requirements"])
        assert len(names) == len(set(names)), record["api_name"]
        root = ast.unparse(call_of(record).func).partition(".")[0]
        first = names[0].replace("-", "_").partition(".")[0]
        bound = {
            alias.asname or alias.name.partition(".")[0]: (
                node.module if isinstance(node, ast.ImportFrom) else alias.name
            )
            for node in ast.walk(ast.parse(record["example_code"]))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
        module = str(bound[root]).partition(".")[0]
        assert DISTRIBUTIONS.get(module, module).replace("-", "_").partition(".")[0] == first


@needs_apibench
@pytest.mark.parametrize("hub", APIBENCH_FILES)
def test_every_domain_of_apibench_is_covered(hub: str) -> None:
    domains = {record["domain"] for record in catalogue()[hub]}
    wanted = {SAME_DOMAIN.get(record["domain"], record["domain"]) for record in apibench(hub)}
    assert wanted - domains == set()
    assert domains.isdisjoint(SAME_DOMAIN)


@needs_apibench
def test_descriptions_share_no_eight_words_with_apibench() -> None:
    def runs(text: str) -> set[tuple[str, ...]]:
        words = re.findall(r"\w+", text.lower())
        return {tuple(words[start : start + 8]) for start in range(len(words) - 7)}

    theirs: set[tuple[str, ...]] = set()
    for hub in APIBENCH_FILES:
        for record in apibench(hub):
            theirs |= runs(str(record.get("description", "")))
    assert len(theirs) > 10_000
    copied = [
        (record["api_name"], " ".join(run))
        for record in records()
        for run in sorted(runs(record["description"]) & theirs)
    ]
    assert copied == []
