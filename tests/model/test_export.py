"""An export is held against its model, and nothing is left behind where it fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from gorilla_jupyter.model.backend import ModelError
from gorilla_jupyter.model.decoding import LoadedModel
from gorilla_jupyter.model.export import compare, export
from tests.model.test_decoding import CHAT, TOKENIZER, Dice


def test_the_same_network_reads_the_same() -> None:
    comparison = compare(LoadedModel(Dice(1), TOKENIZER, CHAT), Dice(1))
    assert comparison.good
    assert comparison.agreement == 1.0
    assert comparison.perplexity == comparison.exported_perplexity > 1


def test_another_network_drifts() -> None:
    comparison = compare(LoadedModel(Dice(1), TOKENIZER, CHAT), Dice(2))
    assert not comparison.good
    assert comparison.agreement < 0.1
    assert f"{comparison.agreement:.1%}" in str(comparison)


def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="name a new folder"):
        list(export("acme/chat", tmp_path))


@pytest.mark.slow
def test_what_cannot_be_built_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    with pytest.raises(ModelError, match="cannot be exported"):
        list(export(str(tmp_path / "model"), tmp_path / "made"))
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
