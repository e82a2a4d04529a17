from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from gorilla_jupyter.bench.apibench import score_files
from gorilla_jupyter.bench.functionality import (
    Documentation,
    Rule,
    answered_call,
    calls,
    compared_arguments,
    identity,
)

CHECKOUT = Path(__file__).parents[2]

MODES = ("FT_0_shot", "RT_bm25", "RT_gpt_index", "RT_oracle")


def documentation(*calls: str, framework: str = "Hugging Face") -> Documentation:
    """Records with these calls; each has its number as its domain."""
    return Documentation(
        [
            {"domain": str(number), "framework": framework, "api_call": call}
            for number, call in enumerate(calls)
        ]
    )


def matched(known: Documentation, text: str) -> str | None:
    """The number of the record that documents ``text``."""
    found = known.match(text)
    return found["domain"] if found else None


@pytest.mark.parametrize(
    ("frameworks", "rule"),
    [
        (["Transformers", "Transformers", "TensorFlow Hub"], Rule.EVERY_VALUE),
        (["TensorFlow Hub"], Rule.MODEL_OR_TEXT),
        (["PyTorch", "PyTorch", "PyTorchVideo"], Rule.REPOSITORY_AND_MODEL),
        ([], Rule.EVERY_VALUE),
    ],
)
def test_the_rule_is_that_of_the_framework_that_most_records_name(
    frameworks: Sequence[str], rule: Rule
) -> None:
    assert Rule.of({"framework": framework} for framework in frameworks) is rule


@pytest.mark.parametrize(
    ("response", "call"),
    [
        ("<<<api_call>>>: f('a'), <<<api_provider>>>: g(1)", "f('a')"),
        ("{'api_call': f('a'), 'api_provider': g(1)}", "f('a')"),
        ("api_call: f('a') and no more", "f('a')"),
        ("api_call: f(1), api_provider: x, api_call: g(2)", "f(1)"),
        ("<<<api_call>>>: nothing, <<<api_provider>>>: x", "nothing, <<<"),
        ("f('a') is what you want", "f('a') is what you want"),
    ],
)
def test_the_call_stands_between_its_marks(response: str, call: str) -> None:
    assert answered_call(response, Rule.EVERY_VALUE) == call


def test_on_pytorch_hub_a_response_without_a_mark_has_no_call() -> None:
    assert answered_call("torch.hub.load('a', 'b')", Rule.REPOSITORY_AND_MODEL) is None


@pytest.mark.parametrize(
    ("rule", "compared"),
    [
        (Rule.EVERY_VALUE, ["a", "b/c", "True", "['x', 'y']"]),
        (Rule.MODEL_OR_TEXT, ["a", "b/c", "trainable=True", "shape=['x', 'y']"]),
        (Rule.REPOSITORY_AND_MODEL, ["b/c"]),
    ],
)
def test_each_hub_compares_other_arguments(rule: Rule, compared: list[str]) -> None:
    (call,) = calls("f('a', model='b/c', trainable=True, shape=['x', 'y'])")
    assert compared_arguments(call, rule) == compared


def test_arguments_may_come_in_an_order_that_python_refuses() -> None:
    (call,) = calls("load(repo_or_dir='a/b', 'c', model='d')")
    assert compared_arguments(call, Rule.REPOSITORY_AND_MODEL) == ["a/b", "d"]


def test_a_string_that_names_a_model_asks_for_nothing_on_pytorch_hub() -> None:
    (call,) = calls("load('a/models', 'b')")
    assert compared_arguments(call, Rule.REPOSITORY_AND_MODEL) == [""]


@pytest.mark.parametrize(
    "text",
    [
        "f('a')",
        "model = f('a')",
        'f("a")',
        r"f(\'a\')",
        r"\"model = f('a')",
        "g(f('a'), 'other')",
        "f('a').to('cuda')",
        "f('a', device=0)",
        "f('xax')",
    ],
)
def test_a_call_matches_wherever_and_however_it_is_written(text: str) -> None:
    assert matched(documentation("f('a')"), text) == "0"


@pytest.mark.parametrize(
    "text",
    [
        "f('b')",
        "g.f('a', 'b')",
        "'model = f('a', 'b')",  # a string opens before the call
        "# f('a')",
        r"x.y() # load it\nf('a')",  # what looks like a new line is part of the comment
        "Here's how: f('a')",  # a string that never ends
        "",
    ],
)
def test_what_is_not_that_call_is_a_hallucination(text: str) -> None:
    assert matched(documentation("f('a', 'b')", "f('a')"), text) is None


def test_the_first_matching_record_counts() -> None:
    assert matched(documentation("f('b')", "f('a')", "f('a', 'a')"), "f('aa', 'b')") == "0"
    assert matched(documentation("f('b')", "f('a')", "f('aa')"), "f('aa')") == "1"


def test_of_several_calls_the_outermost_of_the_last_is_compared() -> None:
    known = documentation("f('a')", "f('b')", "f('c')")
    assert matched(known, "f('b')\nf('c')") == "2"
    assert matched(known, "f(f('c'))") == "2"


def test_a_method_is_called_on_what_stands_before_it() -> None:
    known = documentation("A('x').b('y')", "b('y')")
    assert matched(known, "A('x').b('y')") == "0"


@pytest.mark.parametrize("call", ["f()", "model = f('a')", "run.sh --a 'b'"])
def test_a_record_without_a_compared_argument_never_matches(call: str) -> None:
    assert matched(documentation(call), call) is None


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("tokenizer('t5-base')", "0"),  # the deepest first part: the string
        ("tokenizer(name='t5-base')", "0"),
        ("tokenizer(device=0, name='t5-base')", None),
        ("tokenizer(['t5-base', 1])", "0"),
        ("tokenizer(load('t5-base'))", "0"),
        ("tokenizer.load('t5-base')", None),  # what the method belongs to
        ("tokenizer(fast, 1)", None),
        ("tokenizer(load.it('t5-base'))", None),
        ("the t5-base model", "0"),  # how a text without calls begins
        ("1. Take the t5-base model", None),
        ("'see t5-base' and so on", "0"),
        ("'see t5-base'", None),
    ],
)
def test_where_no_callee_is_that_of_a_record_its_arguments_are_looked_for_in_the_last_subtree(
    text: str, number: str | None
) -> None:
    assert matched(documentation("Model.load('t5-base')"), text) == number


def test_the_scores_are_shares_of_all_responses() -> None:
    known = documentation("f('a')", "f('b')")
    questions = {number: {"domain": "0", "api_call": "f('a')"} for number in range(1, 6)}
    scores = known.score(questions, {1: "f('a')", 2: "f('b')", 3: "f('c')", 4: "g.h('a')"})
    assert (scores.responses, scores.functionality, scores.hallucination, scores.exact_id) == (
        4,
        0.25,
        0.5,
        0.5,
    )


def test_an_empty_response_is_neither_right_nor_a_hallucination() -> None:
    scores = documentation("f('a')").score({1: {"domain": "0", "api_call": "f('a')"}}, {1: ""})
    assert (scores.functionality, scores.hallucination, scores.exact_id) == (0, 0, 0)


@pytest.mark.parametrize(
    ("call", "told_by"),
    [("f('a', model=\"b/c\")", "b/c"), ("f('a')", "a"), ("f(depth=3)", "f(depth=3)")],
)
def test_a_call_is_told_by_its_longest_string_or_all_of_it(call: str, told_by: str) -> None:
    assert identity(call) == told_by


@pytest.fixture(scope="module")
def apibench() -> Path:
    """The folder of APIBench's files."""
    folder = Path(os.environ.get("GORILLA_APIBENCH") or CHECKOUT.parent / "shared" / "apibench")
    if not folder.is_dir():
        pytest.skip(f"APIBench is not in {folder}: set GORILLA_APIBENCH to the folder that has it.")
    return folder


@pytest.fixture(scope="module")
def published(apibench: Path) -> Mapping[str, Mapping[str, Any]]:
    """What Gorilla's evaluator gives Gorilla's responses, by hub and mode."""
    found: Mapping[str, Mapping[str, Any]] = json.loads(
        (apibench / "gorilla_scores_dev.json").read_text()
    )
    return found


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("hub", ["huggingface", "tensorflowhub", "torchhub"])
def test_gorillas_responses_score_as_published(
    apibench: Path, published: Mapping[str, Mapping[str, Any]], hub: str, mode: str
) -> None:
    figures = score_files(
        apibench / "api" / f"{hub}_api.jsonl",
        apibench / f"{hub}_dev.jsonl",
        apibench / "gorilla_responses" / f"{hub}_{mode}_dev.jsonl",
    )
    expected = published[f"{hub}/{mode}"]
    assert {name: figures[name] for name in ("functionality", "hallucination", "exact id")} == {
        name: pytest.approx(expected[name.replace(" ", "_")], abs=0.005)
        for name in ("functionality", "hallucination", "exact id")
    }
    assert figures["responses"] == expected["n"]
