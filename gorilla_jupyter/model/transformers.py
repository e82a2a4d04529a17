"""A model of the Hugging Face hub or of a folder, in torch."""

from __future__ import annotations

import gc
import inspect
import threading
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gorilla_jupyter.answer import Progress
from gorilla_jupyter.model.backend import ModelError, ModelFailureError
from gorilla_jupyter.model.batch import Key
from gorilla_jupyter.model.decoding import LoadedModel, LocalBackend, model_form

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

STEPS = 3

TOGETHER = 8
"""How many texts are written at once: the weights, which take most of the time of a step to fetch,
are fetched once for all of them."""

_NO_MEMORY = (
    "not enough memory",
    "can't allocate memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "out of memory",
    "enough GPU RAM",
)
"""What torch and accelerate say, in errors of no class of their own, where memory does not
suffice."""

WEIGHTS_SHARE = 0.8
"""How much of the GPUs' free memory the weights may take: the rest is for what the model reads."""


class TransformersBackend(LocalBackend):
    """Writes with a model in torch, on the GPUs where there are any: in 16 bits, or where they have
    no room for these and bitsandbytes is installed, in 8 or 4.

    Only safetensors are read, and no code that comes with the model is run. Nothing is downloaded:
    a model of the hub must be in its cache.

    :param source: a model's id or folder, and after a ``+`` that of a LoRA adapter.
    """

    def __init__(self, source: str, *, constrained: bool = True) -> None:
        super().__init__(f"hf:{source}", constrained=constrained)
        self._base, self._adapter = _base_and_adapter(source)

    def load(self) -> Generator[Progress, None, LoadedModel]:
        """See :class:`LocalBackend`."""
        yield Progress(f"{self.name}: torch is loaded", 0, STEPS)
        try:
            import llguidance  # noqa: F401
            import torch
            from transformers import AutoTokenizer
        except ImportError as error:
            raise ModelError(
                f"{self.name} needs {error.name}: pip install 'gorilla-jupyter[torch]'."
            ) from error
        yield Progress(f"{self.name}: the tokenizer is loaded", 1, STEPS)
        with self._telling():
            tokenizer = AutoTokenizer.from_pretrained(
                self._base, trust_remote_code=False, local_files_only=True
            )
        form = model_form(self._base, tokenizer.chat_template, tokenizer.special_tokens_map)
        yield Progress(f"{self.name}: the weights are loaded", 2, STEPS)
        with self._telling():
            network = self._network(torch)
        end_tokens = _end_tokens(network, tokenizer)
        return LoadedModel(TorchDecoder(network, end_tokens), tokenizer.backend_tokenizer, form)

    def _network(self, torch: Any) -> Any:
        from transformers import AutoModelForCausalLM

        options = self._options_on_gpus(torch) if torch.cuda.is_available() else {}
        on_mps = not options and torch.backends.mps.is_available()
        network = AutoModelForCausalLM.from_pretrained(
            self._base,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            **(options or {"dtype": torch.float16 if on_mps else torch.float32}),
        )
        if self._adapter:
            network = _with_adapter(network, self._adapter)
        if not options:
            network = network.to("mps" if on_mps else "cpu")
        return network.eval()

    def _options_on_gpus(self, torch: Any) -> dict[str, Any]:
        from transformers import AutoConfig, AutoModelForCausalLM, BitsAndBytesConfig

        dtype = torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
        options = {"dtype": dtype, "device_map": "auto"}
        config = AutoConfig.from_pretrained(
            self._base, trust_remote_code=False, local_files_only=True
        )
        if hasattr(config, "quantization_config") or find_spec("bitsandbytes") is None:
            return options
        with torch.device("meta"):
            weights = AutoModelForCausalLM.from_config(config).num_parameters()
        gpus = range(torch.cuda.device_count())
        room = WEIGHTS_SHARE * sum(torch.cuda.mem_get_info(gpu)[0] for gpu in gpus)
        if 2 * weights > room:
            kind = (
                {"load_in_8bit": True}
                if weights <= room
                else {"load_in_4bit": True, "bnb_4bit_compute_dtype": dtype}
            )
            options["quantization_config"] = BitsAndBytesConfig(**kind)
        return options

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            with failing_for_memory():
                yield
        except ModelError:
            raise
        except Exception as error:  # a broken file or setting makes transformers raise anything
            reason = " ".join(str(error).split())
            raise ModelError(
                f"{self.name} cannot be loaded ({reason:.300}). A model of the hub must be pulled "
                f"first: jupyter gorilla model pull {self._base}. Weights must be safetensors."
            ) from error


@dataclass(eq=False)
class _Group:
    """Sequences that are read together, each a row of the tensors.

    :ivar cache: what the network remembers of them.
    :ivar mask: 1 where a row has a token and 0 where it has a gap, because others had more to read;
        shaped rows, tokens.
    """

    sequences: list[object]
    cache: Any
    mask: NDArray[np.int64]


class TorchDecoder:
    """See :class:`gorilla_jupyter.model.batch.Decoder`."""

    def __init__(self, network: Any, end_tokens: frozenset[int]) -> None:
        self.end_tokens = end_tokens
        self.context = int(getattr(network.config, "max_position_embeddings", 2048))
        self._network = network
        names = inspect.signature(network.forward).parameters
        # Which it is depends on the version of transformers.
        self._cache_name = "cache" if "cache" in names else "past_key_values"
        self._options = {"logits_to_keep": 1} if "logits_to_keep" in names else {}
        # Only where a token's place can be told is a gap none.
        alike = (
            "position_ids" in names and self._remembers_all() and not _minds_others(network.config)
        )
        self.together = TOGETHER if alike else 1
        self._groups: list[_Group] = []
        self._stopped = threading.Event()
        for layers in network.modules():
            if type(layers).__name__ == "ModuleList":  # of which networks are made
                for layer in layers:
                    layer.register_forward_pre_hook(self._go_on)

    def read(self, tokens: Mapping[Key, Sequence[int]]) -> dict[Key, NDArray[np.float32]]:
        """See :class:`gorilla_jupyter.model.batch.Decoder`."""
        import torch

        self._stopped.clear()
        following: dict[object, Sequence[int]] = dict(tokens.items())
        with failing_the_request(), torch.inference_mode():
            group = self._taken(tokens)
            logits = self._read(group, [following[sequence] for sequence in group.sequences])
            # Kept only when it is read: what fails does not remember what it did.
            self._groups.append(group)
        return {sequence: logits[group.sequences.index(sequence)] for sequence in tokens}

    def forget(self, sequences: Collection[object]) -> None:
        """See :class:`gorilla_jupyter.model.batch.Decoder`."""
        groups, self._groups = self._groups, []
        for group in groups:
            rows = [row for row, kept in enumerate(group.sequences) if kept not in sequences]
            if rows and len(rows) < len(group.sequences):
                with failing_the_request():
                    self._reduce(group, rows)
            if rows:
                self._groups.append(group)

    def stop(self) -> None:
        """See :class:`gorilla_jupyter.model.batch.Decoder`."""
        self._stopped.set()

    def _taken(self, sequences: Iterable[object]) -> _Group:
        """All of these as one group, which is no longer kept."""
        import numpy as np

        groups, self._groups = self._groups, []
        found: list[_Group] = []
        for group in groups:
            is_asked = any(sequence in group.sequences for sequence in sequences)
            (found if is_asked else self._groups).append(group)
        match found:
            case []:
                return _Group(list(sequences), self._new_cache(), np.ones((1, 0), np.int64))
            case [group]:
                return group
            case _:
                return self._joined(found)

    def _read(self, group: _Group, tokens: list[Sequence[int]]) -> NDArray[np.float32]:
        import numpy as np
        import torch

        longest = max(map(len, tokens))
        gaps = [longest - len(row) for row in tokens]
        read = np.array([[0] * gap + [1] * (longest - gap) for gap in gaps])
        mask = np.concatenate([group.mask, read], axis=1)
        rows = [[0] * gap + list(row) for gap, row in zip(gaps, tokens, strict=True)]
        inputs = {"input_ids": torch.tensor(rows, device=self._network.device)}
        if len(tokens) > 1:
            places = (mask.cumsum(axis=1) - 1).clip(min=0)[:, -longest:]
            for name, values in (("attention_mask", mask), ("position_ids", places)):
                inputs[name] = torch.from_numpy(values).to(self._network.device)
        found = self._network(
            **inputs, use_cache=True, **{self._cache_name: group.cache}, **self._options
        )
        group.mask = mask
        logits: NDArray[np.float32] = found.logits[:, -1].float().cpu().numpy()
        return logits

    def _joined(self, groups: Sequence[_Group]) -> _Group:
        """One group of several, which are used up: what has been read less has a gap before it."""
        import numpy as np
        import torch

        longest = max(group.mask.shape[1] for group in groups)
        gaps = [longest - group.mask.shape[1] for group in groups]
        cache = self._new_cache()
        for number, layers in enumerate(
            zip(*(group.cache.layers for group in groups), strict=True)
        ):
            keys, values = (
                torch.cat(
                    [
                        torch.nn.functional.pad(getattr(layer, name), (0, 0, gap, 0))
                        for layer, gap in zip(layers, gaps, strict=True)
                    ]
                )
                for name in ("keys", "values")
            )
            cache.update(keys, values, number)
            for layer in layers:  # or there would be twice as much in the end
                layer.keys = layer.values = None
        masks = [
            np.pad(group.mask, ((0, 0), (gap, 0))) for group, gap in zip(groups, gaps, strict=True)
        ]
        sequences = [sequence for group in groups for sequence in group.sequences]
        return _Group(sequences, cache, np.concatenate(masks))

    def _reduce(self, group: _Group, rows: list[int]) -> None:
        """Leave these rows of a group, without what are gaps in all of them."""
        import numpy as np

        mask = group.mask[rows]
        columns = np.flatnonzero(mask.any(axis=0))
        for layer in group.cache.layers:
            layer.keys = layer.keys[rows][:, :, columns]
            layer.values = layer.values[rows][:, :, columns]
        group.sequences = [group.sequences[row] for row in rows]
        group.mask = mask[:, columns]

    def _new_cache(self) -> Any:
        from transformers import DynamicCache

        return DynamicCache(config=self._network.config)

    def _remembers_all(self) -> bool:
        """Whether every layer remembers every token, and not the last ones or something else."""
        from transformers.cache_utils import DynamicLayer

        return all(type(layer) is DynamicLayer for layer in self._new_cache().layers)

    def _go_on(self, *_: Any) -> None:
        if self._stopped.is_set():
            raise InterruptedError


@contextmanager
def failing_the_request() -> Iterator[None]:
    """Has what fails in torch, such as a driver, fail the request, and not the process.

    :raises ModelFailureError: then.
    """
    try:
        with failing_for_memory():
            yield
    except RuntimeError as error:
        raise ModelFailureError(f"torch failed ({' '.join(str(error).split()):.120}).") from error


@contextmanager
def failing_for_memory() -> Iterator[None]:
    """Tells memory that does not suffice from other faults, and gives back what was taken of it.

    :raises ModelFailureError: then.
    """
    import torch

    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        said = str(error)
    except (RuntimeError, ValueError) as error:
        said = str(error)
        if not any(phrase in said for phrase in _NO_MEMORY):
            raise
    else:
        return
    # The error is gone here, and with it what its frames held.
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    raise ModelFailureError(f"There is not enough memory for this model ({said:.120}).")


def _minds_others(config: Any) -> bool:
    """Whether a text is read otherwise beside others: a network that counts the gaps between its
    tokens, or that looks at the longest of all texts."""
    places = str(getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None))
    return config.model_type == "gpt_neo" or "dynamic" in places or "longrope" in places


def _base_and_adapter(source: str) -> tuple[str, str]:
    """What stands before and after the plus: names of folders may hold others."""
    parts = source.split("+")
    pairs = [("+".join(parts[:end]), "+".join(parts[end:])) for end in range(1, len(parts) + 1)]
    folders = (pair for pair in reversed(pairs) if Path(_expanded(pair[0])).is_dir())
    base, adapter = next(folders, pairs[0])
    return _expanded(base), _expanded(adapter)


def _expanded(name: str) -> str:
    if name.startswith("~"):
        with suppress(RuntimeError):  # of a person whom nobody knows
            return str(Path(name).expanduser())
    return name


def _with_adapter(network: Any, adapter: str) -> Any:
    try:
        from peft import PeftModel
    except ImportError as error:
        raise ModelError("An adapter needs peft: pip install 'gorilla-jupyter[torch]'.") from error
    folder = adapter
    if not Path(adapter).is_dir():
        from huggingface_hub import snapshot_download

        folder = snapshot_download(adapter, local_files_only=True)
    if not (Path(folder) / "adapter_model.safetensors").is_file():
        raise ModelError(f"The adapter {adapter} holds no adapter_model.safetensors.")
    return PeftModel.from_pretrained(network, folder).merge_and_unload()


def _end_tokens(network: Any, tokenizer: Any) -> frozenset[int]:
    end = network.generation_config.eos_token_id
    listed = end if isinstance(end, list) else [end]
    return frozenset(token for token in (*listed, tokenizer.eos_token_id) if isinstance(token, int))
