"""A decoder in onnxruntime, with a network that counts backwards the tokens that it has read."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from gorilla_jupyter.answer import Request
from gorilla_jupyter.engine import Gorilla
from gorilla_jupyter.model.backend import ModelError, ModelFailureError
from gorilla_jupyter.model.onnx import OnnxDecoder
from tests.model.conftest import VOICE
from tests.model.test_decoding import END, TEMPLATE, TOKENIZER, VOCABULARY


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """A folder such as onnxruntime-genai's builder writes."""
    write_counter(tmp_path)
    return tmp_path


def write_counter(folder: Path) -> None:
    past = ("past_key_values.0.key", "past_key_values.0.value")
    present = ("present.0.key", "present.0.value")
    node = helper.make_node
    zero = helper.make_tensor("zero", TensorProto.INT64, [1], [0])
    shape = helper.make_tensor("shape", TensorProto.INT64, [4], [1, 1, -1, 1])
    two = helper.make_tensor("two", TensorProto.INT64, [1], [2])
    backwards = [float(place - VOCABULARY) for place in range(VOCABULARY)]
    places = helper.make_tensor("places", TensorProto.FLOAT, [1, 1, VOCABULARY], backwards)
    nodes = [
        node("Cast", ["input_ids"], ["floats"], to=TensorProto.FLOAT),
        node("Reshape", ["floats", "shape"], ["new"]),
        node("Concat", [past[0], "new"], [present[0]], axis=2),
        node("Concat", [past[1], "new"], [present[1]], axis=2),
        node("Shape", ["present.0.key"], ["sizes"]),
        node("Gather", ["sizes", "two"], ["length"]),
        node("Cast", ["length"], ["count"], to=TensorProto.FLOAT),
        node("Add", ["places", "count"], ["distance"]),
        node("Mul", ["distance", "distance"], ["square"]),
        node("Neg", ["square"], ["logits"]),
    ]
    cache = [1, 1, "length", 1]
    graph = helper.make_graph(
        nodes,
        "counter",
        [
            helper.make_tensor_value_info("input_ids", TensorProto.INT64, [1, "new"]),
            helper.make_tensor_value_info("attention_mask", TensorProto.INT64, [1, "all"]),
            *(helper.make_tensor_value_info(name, TensorProto.FLOAT, cache) for name in past),
        ],
        [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 1, VOCABULARY]),
            *(helper.make_tensor_value_info(name, TensorProto.FLOAT, cache) for name in present),
        ],
        [zero, shape, two, places],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, folder / "model.onnx")
    settings = {
        "context_length": 4096,
        "eos_token_id": END,
        "decoder": {"filename": "model.onnx", "num_key_value_heads": 1, "head_size": 1},
    }
    (folder / "genai_config.json").write_text(json.dumps({"model": settings}))
    TOKENIZER.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<end>"}))
    (folder / "chat_template.jinja").write_text(TEMPLATE)


def count(decoder: OnnxDecoder, tokens: list[int]) -> int:
    """How many tokens the network has read, these included."""
    return VOCABULARY - int(decoder.read({"text": tokens})["text"].argmax())


def test_it_remembers_what_it_has_read_until_it_forgets(exported: Path) -> None:
    decoder = OnnxDecoder(exported)
    assert count(decoder, [5, 6, 7]) == 3
    assert count(decoder, [8]) == 4
    decoder.forget(["text"])
    assert count(decoder, [9, 9]) == 2


def test_it_remembers_each_text_by_itself(exported: Path) -> None:
    decoder = OnnxDecoder(exported)
    decoder.read({"one": [5, 6], "other": [7]})
    logits = decoder.read({"other": [8, 9], "one": [5]})
    assert {text: VOCABULARY - int(row.argmax()) for text, row in logits.items()} == {
        "one": 3,
        "other": 3,
    }


def test_what_another_thread_reads_can_be_stopped(exported: Path) -> None:
    make_endless(exported)
    decoder = OnnxDecoder(exported)
    with ThreadPoolExecutor(1) as thread:
        reading = thread.submit(decoder.read, {"text": [5, 6, 7]})
        while not wait([reading], 0.01).done:
            decoder.stop()
    with pytest.raises(ModelFailureError, match="terminate"):
        reading.result()


def make_endless(folder: Path) -> None:
    """Have the network there count to very many before it does anything."""
    network = onnx.load(folder / "model.onnx")
    info, node = helper.make_tensor_value_info, helper.make_node
    body = helper.make_graph(
        [
            node("Identity", ["more"], ["still_more"]),
            node("Identity", ["count"], ["next_count"]),
        ],
        "body",
        [
            info("number", TensorProto.INT64, []),
            info("more", TensorProto.BOOL, []),
            info("count", TensorProto.INT64, [1, None]),
        ],
        [
            info("still_more", TensorProto.BOOL, []),
            info("next_count", TensorProto.INT64, [1, None]),
        ],
    )
    graph = network.graph
    graph.initializer.append(helper.make_tensor("often", TensorProto.INT64, [], [2**62]))
    graph.initializer.append(helper.make_tensor("yes", TensorProto.BOOL, [], [True]))
    graph.node[0].input[0] = "counted"
    graph.node.insert(0, node("Loop", ["often", "yes", "input_ids"], ["counted"], body=body))
    onnx.save(network, folder / "model.onnx")


def test_it_knows_its_context_and_how_an_answer_ends(exported: Path) -> None:
    decoder = OnnxDecoder(exported)
    assert (decoder.context, decoder.end_tokens) == (4096, frozenset({END}))


def test_it_answers_by_its_name_with_documented_calls(gorilla: Gorilla, exported: Path) -> None:
    answer = gorilla.ask("German text to speech", model=f"onnx:{exported}")
    assert answer.model == f"onnx:{exported}"
    assert len(answer.candidates) == 2
    assert answer.notices == ()


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("genai_config.json", None),
        ("genai_config.json", "{}"),
        ("model.onnx", None),
        ("model.onnx", "oops"),
        ("tokenizer.json", "{}"),
        ("tokenizer_config.json", "oops"),
        ("chat_template.jinja", ""),
        ("chat_template.jinja", "{% for %}"),
    ],
)
def test_a_folder_that_lacks_something_is_refused_in_a_sentence(
    gorilla: Gorilla, exported: Path, file: str, content: str | None
) -> None:
    (exported / file).unlink() if content is None else (exported / file).write_text(content)
    with pytest.raises(ModelError, match=r"holds no exported decoder|cannot be read|cannot be ask"):
        list(gorilla.stream(Request("German text to speech", model=f"onnx:{exported}")))


def test_where_memory_does_not_suffice_the_embedded_model_answers(
    gorilla: Gorilla, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def session(*arguments: object, **options: object) -> None:
        raise RuntimeError("[ONNXRuntimeError] : 6 : CUDA failure 2: out of memory ; GPU=0")

    monkeypatch.setattr("onnxruntime.InferenceSession", session)
    answer = gorilla.ask("German text to speech", model=f"onnx:{exported}")
    assert answer.candidates[0].api_call == VOICE.api_call
    (notice,) = answer.notices
    assert notice.startswith("There is not enough memory for this model")
    assert notice.endswith("The embedded model answered instead.")


def test_what_is_not_installed_is_named(
    gorilla: Gorilla, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "llguidance", None)
    with pytest.raises(
        ModelError, match=r"needs llguidance: pip install 'gorilla-jupyter\[onnx\]'"
    ):
        gorilla.ask("German text to speech", model=f"onnx:{exported}")
