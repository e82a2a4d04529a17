"""``jupyter gorilla train lora``: its parts, its settings, and a whole run where torch is."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from gorilla_jupyter import cli
from gorilla_jupyter.catalog.store import CatalogStore, write_records
from gorilla_jupyter.engine import Gorilla
from gorilla_jupyter.index.search import DocumentIndex
from gorilla_jupyter.train import TrainingError
from gorilla_jupyter.train.instructions import Part, part_of, shipped_records
from gorilla_jupyter.train.lora import Settings, examples_of_run, keep_settings, last_checkpoint
from gorilla_jupyter.train.lora_card import card, licence_of
from tests.model.conftest import CHOIR, VOICE
from tests.model.test_decoding import TEMPLATE, TOKENIZER

FIGURES: dict[str, Any] = {
    "base": "tiny",
    "device": "cpu",
    "processes": 1,
    "settings": {"tokens": 512},
    "instructions in the training part": 12000,
    "examples": {"with the right document": 150, "without documents": 50},
    "left out as too long": 3,
    "tokens": 90000,
    "trained weights": 4884480,
    "steps": 12,
    "seconds": 600,
    "gone on after step": 0,
    "loss": {1: 3.25, 12: 1.5},
    "validation loss": {0: 3.5, 12: 1.75},
}


@pytest.mark.slow
def test_nothing_of_another_part_is_asked_for_or_shown_in_training(tmp_path: Path) -> None:
    training, validation = examples_of_run(tmp_path / "examples.jsonl", Settings(examples=30))
    seen = {document.record.id for example in training for document in example.documents}
    asked = {example.instruction.record.id for example in training}
    parts = {record.id: part_of(record) for record in shipped_records()}
    assert {parts[name] for name in seen | asked} == {Part.TRAINING}
    assert {part_of(example.instruction.record) for example in validation} == {Part.VALIDATION}
    assert (len(training), len(validation)) == (30, 3)


def test_a_folder_goes_on_with_its_own_settings_only(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    keep_settings(path, {"base": "tiny", "tokens": 512})
    keep_settings(path, {"base": "tiny", "tokens": 512})
    with pytest.raises(TrainingError, match="a run with tokens 512, not 1024"):
        keep_settings(path, {"base": "tiny", "tokens": 1024})


def test_the_card_says_what_it_was_trained_on_and_how_it_went() -> None:
    text = card(FIGURES, Path("/models/tiny"), "Linux, 2 cores")
    assert text.startswith("---\nbase_model: tiny\n")
    assert "200 of the 12000 instructions" in text
    assert "3.250 (step 1) → 1.500 (step 12)" in text
    assert "/models" not in text


def test_the_card_of_a_short_run_says_so() -> None:
    assert "**This was a short run**" in card(FIGURES, Path("tiny"), "Linux")
    whole = {**FIGURES, "device": "GPU", "examples": {"with the right document": 12000}}
    assert "short run" not in card(whole, Path("tiny"), "Linux")


def test_the_licence_is_that_of_the_bases_card(tmp_path: Path) -> None:
    assert "does not tell" in licence_of(tmp_path, "tiny")
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n# Tiny\n")
    assert licence_of(tmp_path, "tiny") == "mit"


def test_without_its_libraries_the_extra_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "accelerate", None)
    assert cli.main(["train", "lora", str(tmp_path / "run"), "--base", "x"]) == 1
    assert "pip install 'gorilla-jupyter[train]'" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("option", ["--examples", "--epochs", "--tokens", "--batch"])
def test_a_count_is_at_least_one(capsys: pytest.CaptureFixture[str], option: str) -> None:
    with pytest.raises(SystemExit):
        cli.main(["train", "lora", "run", "--base", "x", option, "0"])
    assert "0 is too few" in capsys.readouterr().err


def test_a_run_goes_on_from_the_last_checkpoint_that_is_whole(tmp_path: Path) -> None:
    assert last_checkpoint(tmp_path) is None
    for step in (9, 10, 11):
        (tmp_path / f"checkpoint-{step}").mkdir()
    for step in (9, 10):
        (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text("{}")
    assert last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-10")


@pytest.fixture
def gorilla(tmp_path: Path) -> Gorilla:
    """An engine that knows two voices."""
    store = CatalogStore(tmp_path / "catalogs", builtin=None)
    store.folder.mkdir()
    write_records(store.folder / "widgets.jsonl", [VOICE, CHOIR])
    return Gorilla(DocumentIndex(store, tmp_path / "index"))


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A network of few weights, which knows nothing."""
    pytest.importorskip("torch")
    pytest.importorskip("peft")
    pytest.importorskip("accelerate")
    pytest.importorskip("matplotlib")
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path / "base"
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=TOKENIZER, eos_token="<end>")
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    size = dict.fromkeys(("hidden_size", "intermediate_size"), 32)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=8192,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        **size,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_an_adapter_is_trained_gone_on_with_and_answers(
    tmp_path: Path, base: Path, gorilla: Gorilla, capsys: pytest.CaptureFixture[str]
) -> None:
    run, results = tmp_path / "run", tmp_path / "results"
    command = ["train", "lora", str(run), "--base", str(base), "--results", str(results)]
    command += ["--examples", "16", "--tokens", "4000", "--batch", "2"]
    assert cli.main(command) == 0
    figures = json.loads((results / "lora.json").read_text())
    losses = list(figures["validation loss"].values())
    assert losses[-1] < losses[0]
    files = {path.name for path in (run / "adapter").iterdir()}
    wanted = {"README.md", "loss.svg", "adapter_config.json", "adapter_model.safetensors"}
    assert files == wanted
    assert str(tmp_path) not in (run / "adapter" / "adapter_config.json").read_text()

    assert cli.main(command) == 0
    assert json.loads((results / "lora.json").read_text())["gone on after step"] == figures["steps"]

    answer = gorilla.ask("German text to speech", model=f"hf:{base}+{run / 'adapter'}")
    assert answer.notices == ()
