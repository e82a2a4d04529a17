"""What can be told of models in torch where there is no torch; ``bench models`` runs real ones."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from gorilla_jupyter.engine import Gorilla
from gorilla_jupyter.model.backend import ModelError, load_backend
from gorilla_jupyter.model.transformers import TorchDecoder
from tests.model.conftest import VOICE
from tests.model.test_decoding import END, TEMPLATE, TOKENIZER


def test_without_torch_the_extra_is_named(
    gorilla: Gorilla, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ModelError, match=r"needs torch: pip install 'gorilla-jupyter\[torch\]'"):
        gorilla.ask("German text to speech", model="hf:acme/chat")


@pytest.mark.parametrize("name", ["hf:acme/chat", "hf:acme/chat+acme/adapter"])
def test_it_is_called_as_it_was_named(name: str) -> None:
    assert load_backend(name).name == name


@pytest.mark.parametrize("name", ["hf:", "onnx:", "hf"])
def test_a_name_without_a_model_is_none(name: str) -> None:
    with pytest.raises(ModelError, match="There is no model"):
        load_backend(name)


class OutOfMemoryError(RuntimeError):
    """Torch's."""


TOO_LARGE = OutOfMemoryError("CUDA out of memory. Tried to allocate 14.00 GiB.")


class LargeNetwork:
    """A network that is too large for the memory.

    :param step: when that is noticed: "move" or "run".
    :param error: what is raised then.
    """

    config = SimpleNamespace(max_position_embeddings=4096)
    generation_config = SimpleNamespace(eos_token_id=END)
    device = "cuda"

    def __init__(self, step: str, error: Exception = TOO_LARGE) -> None:
        self._step = step
        self._error = error

    def to(self, device: str) -> LargeNetwork:
        return self._unless("move")

    def eval(self) -> LargeNetwork:
        return self

    def modules(self) -> list[Any]:
        return []

    def num_parameters(self) -> int:
        return 7_000_000_000

    def forward(self, input_ids: Any, past_key_values: Any, use_cache: bool) -> None:
        """Its signature is read."""

    def __call__(self, **inputs: Any) -> None:
        self._unless("run")

    def _unless(self, step: str) -> LargeNetwork:
        if self._step == step:
            raise self._error
        return self


@pytest.fixture
def install_network(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Stands in for torch and transformers, with this network as every model."""

    def install(network: LargeNetwork) -> tuple[Any, Any]:
        torch = SimpleNamespace(
            OutOfMemoryError=OutOfMemoryError,
            cuda=SimpleNamespace(is_available=lambda: False),
            backends=SimpleNamespace(mps=SimpleNamespace(is_available=lambda: False)),
            float32="float32",
            inference_mode=nullcontext,
            tensor=lambda tokens, device: tokens,
        )
        tokenizer = SimpleNamespace(
            backend_tokenizer=TOKENIZER,
            chat_template=TEMPLATE,
            special_tokens_map={"eos_token": "<end>"},
            eos_token_id=END,
        )
        transformers = SimpleNamespace(
            AutoTokenizer=SimpleNamespace(from_pretrained=lambda *_, **__: tokenizer),
            AutoModelForCausalLM=SimpleNamespace(from_pretrained=lambda *_, **__: network),
            DynamicCache=lambda config: object(),
        )
        monkeypatch.setitem(sys.modules, "torch", torch)
        monkeypatch.setitem(sys.modules, "transformers", transformers)
        return torch, transformers

    return install


@pytest.mark.parametrize("step", ["move", "run"])
def test_where_memory_does_not_suffice_the_embedded_model_answers(
    gorilla: Gorilla, install_network: Any, step: str
) -> None:
    install_network(LargeNetwork(step))
    for _ in range(2):
        answer = gorilla.ask("German text to speech", model="hf:acme/large")
        assert answer.candidates[0].api_call == VOICE.api_call
        (notice,) = answer.notices
        assert notice.startswith("There is not enough memory for this model (CUDA out of memory")
        assert notice.endswith("The embedded model answered instead.")


def test_where_a_gpu_fails_the_embedded_model_answers(
    gorilla: Gorilla, install_network: Any
) -> None:
    install_network(LargeNetwork("run", RuntimeError("CUDA error: an illegal memory access")))
    answer = gorilla.ask("German text to speech", model="hf:acme/broken")
    assert answer.candidates[0].api_call == VOICE.api_call
    (notice,) = answer.notices
    assert notice.startswith("torch failed (CUDA error: an illegal memory access).")


def test_a_folder_may_have_a_plus_in_its_name_and_a_tilde_before_it(
    gorilla: Gorilla, install_network: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path))
    (tmp_path / "c++" / "run").mkdir(parents=True)
    (tmp_path / "plain").mkdir()
    _, transformers = install_network(LargeNetwork("run"))
    monkeypatch.setitem(sys.modules, "peft", SimpleNamespace(PeftModel=None))
    asked: list[str] = []

    def load(name: str, **_: object) -> LargeNetwork:
        asked.append(name)
        return LargeNetwork("run")

    transformers.AutoModelForCausalLM.from_pretrained = load
    gorilla.ask("German text to speech", model="hf:~/c++")
    with pytest.raises(ModelError, match=r"The adapter .*c\+\+.run holds no adapter_model"):
        gorilla.ask("German text to speech", model=f"hf:~/plain+{tmp_path / 'c++'}/run")
    assert asked == [str(tmp_path / "c++"), str(tmp_path / "plain")]


@pytest.mark.parametrize(
    ("free", "installed", "quantised"),
    [
        (24, True, None),
        (16, True, {"load_in_8bit": True}),
        (8, True, {"load_in_4bit": True, "bnb_4bit_compute_dtype": "bfloat16"}),
        (8, False, None),
    ],
)
def test_a_model_that_the_gpus_have_no_room_for_is_loaded_in_fewer_bits(
    gorilla: Gorilla,
    install_network: Any,
    monkeypatch: pytest.MonkeyPatch,
    free: int,
    installed: bool,
    quantised: dict[str, Any] | None,
) -> None:
    network = LargeNetwork("run")
    torch, transformers = install_network(network)
    torch.bfloat16 = "bfloat16"
    torch.device = nullcontext
    torch.cuda = SimpleNamespace(
        is_available=lambda: True,
        is_bf16_supported=lambda: True,
        device_count=lambda: 2,
        mem_get_info=lambda gpu: (free // 2 * 2**30, free * 2**30),
        empty_cache=lambda: None,
    )
    transformers.AutoConfig = SimpleNamespace(from_pretrained=lambda *_, **__: SimpleNamespace())
    transformers.BitsAndBytesConfig = dict
    asked: dict[str, Any] = {}

    def load(name: str, **options: Any) -> LargeNetwork:
        asked.update(options)
        return network

    transformers.AutoModelForCausalLM = SimpleNamespace(
        from_config=lambda config: network, from_pretrained=load
    )
    bitsandbytes = ModuleType("bitsandbytes")
    bitsandbytes.__spec__ = ModuleSpec("bitsandbytes", None)
    monkeypatch.setitem(sys.modules, "bitsandbytes", bitsandbytes if installed else None)
    gorilla.ask("German text to speech", model="hf:acme/large")
    assert (asked["device_map"], asked["dtype"]) == ("auto", "bfloat16")
    assert asked.get("quantization_config") == quantised


@pytest.fixture
def network() -> Any:
    """A small one that thinks what comes to its mind."""
    torch = pytest.importorskip("torch")
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_attention_heads": 2}
    config = LlamaConfig(vocab_size=500, num_hidden_layers=2, initializer_range=1.0, **sizes)
    return LlamaForCausalLM(config).eval()


def test_what_is_stopped_ends_and_can_be_begun_anew(network: Any) -> None:
    decoder = TorchDecoder(network, frozenset({END}))
    stopping = network.model.layers[0].register_forward_hook(lambda *_: decoder.stop())
    with pytest.raises(InterruptedError):
        decoder.read({"text": [5, 6, 7]})
    stopping.remove()
    decoder.forget(["text"])
    assert len(decoder.read({"text": [5, 6, 7]})["text"]) == network.config.vocab_size


def test_texts_are_written_together_as_each_would_be_alone(network: Any) -> None:
    lengths = {"short": 3, "long": 60, "late": 11}
    prompts = {name: [length, *range(length)] for name, length in lengths.items()}
    alone = {
        name: write(TorchDecoder(network, frozenset({END})), [name], prompts)[name]
        for name in prompts
    }
    decoder = TorchDecoder(network, frozenset({END}))
    assert write(decoder, ["short", "long", "late"], prompts) == alone
    assert decoder.together > 1


def test_where_gaps_would_be_counted_texts_are_written_alone() -> None:
    pytest.importorskip("torch")
    from transformers import GPTNeoConfig, GPTNeoForCausalLM

    sizes = {"hidden_size": 8, "num_heads": 1, "intermediate_size": 8, "vocab_size": 20}
    config = GPTNeoConfig(num_layers=2, attention_types=[[["global", "local"], 1]], **sizes)
    assert TorchDecoder(GPTNeoForCausalLM(config).eval(), frozenset({END})).together == 1


def write(
    decoder: TorchDecoder, names: list[str], prompts: dict[str, list[int]]
) -> dict[str, list[int]]:
    """Write twelve tokens of each text, or one more. Each is begun when those before it have been
    at it for a while. After every third token another one is forced."""
    written: dict[str, list[int]] = {}
    unread: dict[str, list[int]] = {}
    steps = 0
    while unread or len(written) < len(names):
        begun = names[: steps // 4 + 1][len(written) :]
        steps += 1
        heard = {name: decoder.read({name: prompts[name]})[name] for name in begun}
        if unread:
            heard.update(decoder.read(unread))
        for name, logits in heard.items():
            text = written.setdefault(name, [])
            unread[name] = [int(logits.argmax())] + [7] * (len(text) % 4 == 2)
            text += unread[name]
            if len(text) >= 12:
                decoder.forget([name])
                del unread[name]
    return written
