"""What can be told of models in torch where there is no torch; ``bench models`` runs real ones."""

from __future__ import annotations

import sys

import pytest

from gorilla_jupyter.engine import Gorilla
from gorilla_jupyter.model.backend import ModelError, load_backend


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
