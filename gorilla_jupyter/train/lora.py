"""Retriever-aware fine-tuning of a model of one's own, as a LoRA adapter.

transformers' Trainer does the training, so that ``accelerate launch`` takes it to several GPUs and
machines as it is.
"""

from __future__ import annotations

import json
import random
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gorilla_jupyter.answer import Progress
from gorilla_jupyter.bench.results import machine, write_results
from gorilla_jupyter.model.backend import ModelError
from gorilla_jupyter.model.decoding import model_form
from gorilla_jupyter.model.prompt import ChatForm, PromptError
from gorilla_jupyter.progress_bar import ProgressBar, finish
from gorilla_jupyter.record import ApiRecord
from gorilla_jupyter.train import TrainingError
from gorilla_jupyter.train.checking import Instruction
from gorilla_jupyter.train.examples import (
    NO_LABEL,
    Encoded,
    Example,
    Mixture,
    encode,
    make_examples,
    read_examples,
    retriever,
    write_examples,
)
from gorilla_jupyter.train.instructions import (
    Part,
    part_of,
    read_instructions,
    shipped_records,
)
from gorilla_jupyter.train.lora_card import LOSS_PICTURE, card, draw_losses

if TYPE_CHECKING:
    import torch

ADAPTER = "adapter"
CHECKPOINTS = "checkpoints"
EXAMPLES = "examples.jsonl"
SETTINGS = "settings.json"
RESULTS = "lora.json"

EXAMPLES_PER_STEP = 8
"""About how many examples a step learns from: what the GPUs do not hold at once, they take in
turns, and where they hold more, it is more."""


@dataclass(frozen=True)
class Settings:
    """How an adapter is trained.

    :ivar examples: how many instructions are trained on, drawn at random; None for all.
    :ivar epochs: how often.
    :ivar tokens: the longest example; documents are left out where there is no room for them.
    :ivar batch: how many examples a GPU takes at once.
    :ivar rank: of the two matrices that are added to every linear layer.
    :ivar alpha: what they count, divided by the rank.
    :ivar warm_up: the share of the steps in which the learning rate rises.
    :ivar validation: on how many instructions of the validation part the loss is also measured, at
        most a tenth of those that are trained on.
    """

    examples: int | None = None
    epochs: int = 1
    tokens: int = 2048
    batch: int = 4
    rank: int = 16
    alpha: int = 32
    dropout: float = 0.05
    learning_rate: float = 2e-4
    warm_up: float = 0.05
    validation: int = 100
    mixture: Mixture = field(default_factory=Mixture)
    seed: int = 1

    @property
    def validated(self) -> int:
        """How many that is."""
        if self.examples is None:
            return self.validation
        return min(self.validation, max(1, self.examples // 10))


def train_lora(base: str, folder: Path, settings: Settings, results: Path) -> None:
    """Train an adapter for ``base``, or go on where it was stopped; write it with its card into
    ``folder/adapter``, and the figures into the folder ``results``.

    :param base: a model's folder, or its id in the hub's cache.
    :raises TrainingError: if something is not installed, the base cannot be had or is not asked in
        conversations, ``folder`` holds a run with other settings, or no example is short enough.
    """
    try:
        import accelerate  # noqa: F401
        import matplotlib  # noqa: F401
        import peft
        import transformers
    except ImportError as error:
        raise TrainingError(
            f"This needs {error.name}: pip install 'gorilla-jupyter[train]'."
        ) from error
    (folder / CHECKPOINTS).mkdir(parents=True, exist_ok=True)
    source = _folder(base)
    tokenizer, network = _load(source)
    name = source.resolve().name if Path(base).is_dir() else base
    arguments = _arguments(folder, settings)
    with arguments.main_process_first(local=False):
        keep_settings(folder / SETTINGS, {"base": name, **asdict(settings)})
        training, validation = examples_of_run(folder / EXAMPLES, settings)
    learnt = _encoded(training, base, tokenizer, settings)
    watched = _encoded(validation, base, tokenizer, settings)
    if not learnt or not watched:
        raise TrainingError(f"No example is as short as {settings.tokens} tokens: allow more.")
    network.config.use_cache = False
    network = peft.get_peft_model(
        network,
        peft.LoraConfig(
            r=settings.rank,
            lora_alpha=settings.alpha,
            lora_dropout=settings.dropout,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        ),
    )
    checkpoint = last_checkpoint(folder / CHECKPOINTS)
    arguments.eval_on_start = checkpoint is None
    trainer = transformers.Trainer(
        model=network,
        args=arguments,
        data_collator=_Padding(tokenizer.pad_token_id or tokenizer.eos_token_id or 0),
        train_dataset=learnt,
        eval_dataset=watched,
    )
    trained = trainer.train(resume_from_checkpoint=checkpoint)
    adapter = folder / ADAPTER
    trainer.save_model(str(adapter))  # by all processes: each may hold only a part
    if not trainer.is_world_process_zero():
        return
    (adapter / "training_args.bin").unlink(missing_ok=True)  # a pickle that nobody should load
    _name_base(adapter / "adapter_config.json", name)
    figures: dict[str, Any] = {
        "base": name,
        "device": _device_name(arguments.device),
        "processes": arguments.world_size,
        "settings": asdict(settings),
        "instructions in the training part": len(_instructions(Part.TRAINING, shipped_records())),
        "examples": dict(Counter(str(example.kind) for example in learnt)),
        "left out as too long": len(training) - len(learnt),
        "tokens": sum(len(example.input_ids) for example in learnt),
        "trained weights": sum(
            weight.numel() for weight in network.parameters() if weight.requires_grad
        ),
        "steps": trainer.state.global_step,
        "seconds": round(trained.metrics["train_runtime"]),
        "gone on after step": _step_of(checkpoint),
        "loss": _losses(trainer.state.log_history, "loss"),
        "validation loss": _losses(trainer.state.log_history, "eval_loss"),
    }
    draw_losses(adapter / LOSS_PICTURE, figures["loss"], figures["validation loss"])
    (adapter / "README.md").write_text(card(figures, source, machine()), encoding="utf-8")
    write_results(results / RESULTS, "jupyter gorilla train lora", figures)
    print(f"The adapter is in {adapter}: use it as hf:{base}+{adapter}.")


def keep_settings(path: Path, settings: Mapping[str, Any]) -> None:
    if not path.exists():
        path.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
        return
    kept = json.loads(path.read_text(encoding="utf-8"))
    for name, value in settings.items():
        if kept.get(name) != value:
            raise TrainingError(
                f"{path.parent} holds a run with {name} {kept.get(name)}, not {value}: go on with "
                "its settings, or name another folder."
            )


def _folder(base: str) -> Path:
    """Where a base model lies. From there it is loaded, so that no library asks the hub for it."""
    if Path(base).is_dir():
        return Path(base)
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(base, local_files_only=True))
    except Exception as error:  # for a name that is none it raises something else
        raise TrainingError(
            f"There is no folder {base}, and no such model in the hub's cache: "
            f"jupyter gorilla model pull {base}."
        ) from error


def _name_base(path: Path, name: str) -> None:
    """Call the base by its name in the adapter's settings, and not by where it lies here."""
    settings = json.loads(path.read_text(encoding="utf-8"))
    settings["base_model_name_or_path"] = name
    path.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def _load(base: Path) -> tuple[Any, Any]:
    """The tokenizer and the network of a base model."""
    import torch
    import transformers

    # In half precision only where that is also computed in.
    dtype = torch.bfloat16 if _in_bfloat16() else torch.float32
    options = {"trust_remote_code": False, "local_files_only": True}
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(base, **options)
        network = transformers.AutoModelForCausalLM.from_pretrained(
            base, dtype=dtype, use_safetensors=True, **options
        )
    except Exception as error:  # a broken file or setting makes transformers raise anything
        reason = " ".join(str(error).split())
        raise TrainingError(f"The base {base} cannot be loaded ({reason:.300}).") from error
    return tokenizer, network


def _in_bfloat16() -> bool:
    import torch

    return torch.cuda.is_available() and torch.cuda.is_bf16_supported()


def _arguments(folder: Path, settings: Settings) -> Any:
    """How transformers trains. Numbers of steps below 1 are shares of all steps."""
    import torch
    from transformers import TrainingArguments

    arguments = TrainingArguments(
        output_dir=str(folder / CHECKPOINTS),
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch,
        per_device_eval_batch_size=settings.batch,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=settings.warm_up,
        bf16=_in_bfloat16(),
        # Said outright: several processes on a CPU would else not know of each other.
        use_cpu=not (torch.cuda.is_available() or torch.backends.mps.is_available()),
        logging_steps=0.02,
        logging_first_step=True,
        eval_strategy="steps",
        eval_steps=0.2,
        save_steps=0.1,
        save_total_limit=2,
        prediction_loss_only=True,
        remove_unused_columns=False,
        ddp_find_unused_parameters=False,
        ddp_timeout=2 * 60 * 60,  # in which the first process makes the examples
        report_to="none",
        seed=settings.seed,
    )
    at_once = settings.batch * arguments.world_size
    arguments.gradient_accumulation_steps = max(1, EXAMPLES_PER_STEP // at_once)
    return arguments


def last_checkpoint(folder: Path) -> str | None:
    """The last one that was written to its end, which is the state of the Trainer."""
    whole = [path.parent for path in folder.glob("checkpoint-*/trainer_state.json")]
    steps = {int(path.name.rpartition("-")[2]): str(path) for path in whole}
    return steps[max(steps)] if steps else None


def examples_of_run(path: Path, settings: Settings) -> tuple[list[Example], list[Example]]:
    """The examples to train and to validate on, made once and kept in a file."""
    records = shipped_records()
    if not path.exists():
        made = [
            *_made(Part.TRAINING, records, settings.examples, settings),
            *_made(Part.VALIDATION, records, settings.validated, settings),
        ]
        write_examples(made, path)
    found = read_examples(path, {record.id: record for record in records})
    by_part: dict[Part, list[Example]] = {part: [] for part in Part}
    for example in found:
        by_part[part_of(example.instruction.record)].append(example)
    return by_part[Part.TRAINING], by_part[Part.VALIDATION]


def _made(
    part: Part, records: Sequence[ApiRecord], count: int | None, settings: Settings
) -> list[Example]:
    """Examples of one part. The documents shown are of the training part or of this one, so that
    nothing of a part is seen before its turn."""
    instructions = _instructions(part, records)
    if count is not None and count < len(instructions):
        instructions = random.Random(settings.seed).sample(instructions, count)
    shown = [record for record in records if part_of(record) in (Part.TRAINING, part)]
    examples = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, ProgressBar() as bar:
        retrieve = finish(retriever(shown, Path(folder)), bar.show)
        for step in make_examples(instructions, retrieve, settings.mixture, seed=settings.seed):
            if isinstance(step, Progress):
                bar.show(step)
            else:
                examples.append(step)
    return examples


def _instructions(part: Part, records: Sequence[ApiRecord]) -> list[Instruction]:
    return [
        instruction
        for instruction in read_instructions(records)
        if part_of(instruction.record) is part
    ]


def _encoded(
    examples: Iterable[Example], base: str, tokenizer: Any, settings: Settings
) -> list[Encoded]:
    """The examples in the model's tokens, without those that are too long.

    :raises TrainingError: if the model is not asked in conversations.
    """
    try:
        form = model_form(base, tokenizer.chat_template, tokenizer.special_tokens_map)
    except ModelError as error:
        raise TrainingError(str(error)) from error
    if not isinstance(form, ChatForm) or tokenizer.eos_token_id is None:
        raise TrainingError(f"{base} was trained to be asked in another way than a conversation.")

    def tokens(text: str) -> list[int]:
        encoding = tokenizer.backend_tokenizer.encode(text, add_special_tokens=False)
        return list(encoding.ids)

    encoded = []
    for example in examples:
        with suppress(PromptError):
            encoded.append(
                encode(
                    example,
                    tokens,
                    form.text,
                    end=tokenizer.eos_token_id,
                    longest=settings.tokens,
                )
            )
    return encoded


class _Padding:
    """Puts examples of different lengths into one batch."""

    def __init__(self, token: int) -> None:
        self._token = token

    def __call__(self, examples: Sequence[Encoded]) -> dict[str, torch.Tensor]:
        import torch

        longest = max(len(example.input_ids) for example in examples)

        def padded(rows: Iterable[list[int]], value: int) -> torch.Tensor:
            return torch.tensor([row + [value] * (longest - len(row)) for row in rows])

        return {
            "input_ids": padded((example.input_ids for example in examples), self._token),
            "labels": padded((example.labels for example in examples), NO_LABEL),
            "attention_mask": padded(([1] * len(example.input_ids) for example in examples), 0),
        }


def _device_name(device: torch.device) -> str:
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _losses(log: Iterable[Mapping[str, float]], name: str) -> dict[int, float]:
    """What was logged under that name, by step."""
    return {int(entry["step"]): round(entry[name], 4) for entry in log if name in entry}


def _step_of(checkpoint: str | None) -> int:
    return int(checkpoint.rpartition("-")[2]) if checkpoint else 0
