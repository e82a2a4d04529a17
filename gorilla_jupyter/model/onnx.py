"""A decoder that was exported by onnxruntime-genai's builder, in plain onnxruntime."""

from __future__ import annotations

import json
from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gorilla_jupyter.answer import Progress
from gorilla_jupyter.model.backend import ModelError, ModelFailureError
from gorilla_jupyter.model.batch import Key
from gorilla_jupyter.model.decoding import LoadedModel, LocalBackend, read_tokenizer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CUDA = "CUDAExecutionProvider"

PROVIDERS = (CUDA, "CPUExecutionProvider")
"""Where a decoder runs: the first of these that there is."""

_NO_MEMORY = ("out of memory", "Failed to allocate memory", "bad_alloc", "bad allocation")
"""What onnxruntime says, in an error of no class of its own, where memory does not suffice."""


def providers() -> list[str]:
    """The providers to run with, and where there is CUDA's, its libraries found and loaded."""
    import onnxruntime

    available = [name for name in PROVIDERS if name in onnxruntime.get_available_providers()]
    if CUDA in available:
        # What it cannot load it tells at length, and goes on without: the doctor says so instead.
        onnxruntime.set_default_logger_severity(4)
        with redirect_stdout(None):
            onnxruntime.preload_dlls()
    return available


class OnnxBackend(LocalBackend):
    """Writes with an exported decoder.

    :param folder: what ``onnxruntime_genai.models.builder`` wrote.
    """

    def __init__(self, folder: str, *, constrained: bool = True) -> None:
        super().__init__(f"onnx:{folder}", constrained=constrained)
        self._folder = Path(folder).expanduser()

    def load(self) -> Generator[Progress, None, LoadedModel]:
        """See :class:`LocalBackend`."""
        yield Progress(f"{self.name} is loaded", 0, 2)
        try:
            import llguidance  # noqa: F401
            import onnxruntime  # noqa: F401
            import tokenizers  # noqa: F401
        except ImportError as error:
            raise ModelError(
                f"{self.name} needs {error.name}: pip install 'gorilla-jupyter[onnx]'."
            ) from error
        tokenizer, form = read_tokenizer(self._folder, self.name)
        yield Progress(f"{self.name} is loaded", 1, 2)
        return LoadedModel(OnnxDecoder(self._folder), tokenizer, form)


class OnnxDecoder:
    """See :class:`gorilla_jupyter.model.batch.Decoder`.

    :raises ModelError: if the folder holds no such decoder.
    :raises ModelFailureError: if there is not enough memory for it.
    """

    together = 1  # what the builder exports knows no gaps between the tokens of a sequence

    def __init__(self, folder: Path) -> None:
        from onnxruntime import InferenceSession, RunOptions, SessionOptions

        options = SessionOptions()
        options.log_severity_level = 3
        # Threads that spin while they wait would take the cores from Jupyter, and from each other.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            settings = json.loads((folder / "genai_config.json").read_text())["model"]
            file = folder / settings["decoder"]["filename"]
            self._session = InferenceSession(str(file), options, providers=providers())
            end = settings["eos_token_id"]
            self.end_tokens = frozenset(end if isinstance(end, list) else [end])
            self.context = int(settings["context_length"])
            decoder = settings["decoder"]
            self._shape = (1, decoder["num_key_value_heads"], 0, decoder["head_size"])
        except Exception as error:  # onnxruntime's are not derived from one of their own
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            if any(words in str(error) for words in _NO_MEMORY):
                raise ModelFailureError(
                    f"There is not enough memory for this model ({reason:.120})."
                ) from error
            raise ModelError(f"{folder} holds no exported decoder ({reason}).") from error
        self._inputs = {entry.name: entry for entry in self._session.get_inputs()}
        self._outputs = [entry.name for entry in self._session.get_outputs()]
        self._caches: dict[object, dict[str, Any]] = {}
        self._options = RunOptions()

    def forget(self, sequences: Collection[object]) -> None:
        """See :class:`gorilla_jupyter.model.batch.Decoder`."""
        for sequence in sequences:
            self._caches.pop(sequence, None)

    def read(self, tokens: Mapping[Key, Sequence[int]]) -> dict[Key, NDArray[np.float32]]:
        """See :class:`gorilla_jupyter.model.batch.Decoder`."""
        from onnxruntime import RunOptions

        self._options = RunOptions()
        return {sequence: self._read(sequence, following) for sequence, following in tokens.items()}

    def _read(self, sequence: object, tokens: Sequence[int]) -> NDArray[np.float32]:
        import numpy as np

        cache = self._caches.get(sequence) or self._empty_cache()
        known = next(iter(cache.values())).shape[2]
        length = known + len(tokens)
        inputs = {
            "input_ids": np.array([tokens], np.int64),
            "attention_mask": np.ones((1, length), np.int64),
            "position_ids": np.arange(known, length, dtype=np.int64)[None],
        }
        asked = {name: value for name, value in inputs.items() if name in self._inputs}
        try:
            values = self._session.run(self._outputs, {**asked, **cache}, run_options=self._options)
        except Exception as error:
            reason = str(error).splitlines()[0]
            raise ModelFailureError(f"onnxruntime failed: {reason:.200}.") from error
        found = dict(zip(self._outputs, values, strict=True))
        self._caches[sequence] = {
            name: found[name.replace("past_key_values.", "present.")] for name in cache
        }
        logits: NDArray[np.float32] = found["logits"][0, -1].astype(np.float32)
        return logits

    def _empty_cache(self) -> dict[str, Any]:
        import numpy as np

        return {
            name: np.zeros(
                self._shape, np.float16 if entry.type == "tensor(float16)" else np.float32
            )
            for name, entry in self._inputs.items()
            if name.startswith("past_key_values.")
        }

    def stop(self) -> None:
        """See :class:`gorilla_jupyter.model.batch.Decoder`."""
        self._options.terminate = True
