"""What goes with an adapter: its model card, and how its loss fell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from gorilla_jupyter.model.registry import KNOWN

LOSS_PICTURE = "loss.svg"

UNKNOWN_LICENCE = "a licence that its folder does not tell"


def draw_losses(path: Path, training: Mapping[int, float], validation: Mapping[int, float]) -> None:
    """Draw both losses by step into an SVG or PNG file."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(list(training), list(training.values()), label="training")
    axes.plot(list(validation), list(validation.values()), marker="o", label="validation")
    axes.set_xlabel("step")
    axes.set_ylabel("cross entropy of the answer's tokens")
    axes.set_ylim(bottom=0)
    axes.legend()
    figure.savefig(path)


def licence_of(base: Path, name: str) -> str:
    """The licence that a model's own card states, or that is known of it."""
    try:
        text = (base / "README.md").read_text(encoding="utf-8")
        _, front, _ = text.split("---\n", 2)
        licence = yaml.safe_load(front)["license"]
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
        known = (model.licence for model in KNOWN if model.id == name)
        return next(known, UNKNOWN_LICENCE)
    return str(licence)


def card(figures: Mapping[str, Any], base: Path, machine: str) -> str:
    """The adapter's ``README.md``.

    :param figures: what :func:`gorilla_jupyter.train.lora.train_lora` measured.
    :param base: the base's folder, which may tell its licence.
    """
    return "\n".join(_lines(figures, base, machine)) + "\n"


def _lines(figures: Mapping[str, Any], base: Path, machine: str) -> Iterator[str]:
    examples: Mapping[str, int] = figures["examples"]
    seen, part = sum(examples.values()), figures["instructions in the training part"]
    settings: Mapping[str, Any] = figures["settings"]
    name = figures["base"]
    front = {
        "base_model": name,
        "library_name": "peft",
        "language": "en",
        "tags": ["lora", "gorilla", "retriever-aware", "api"],
    }
    yield f"---\n{yaml.safe_dump(front, sort_keys=False)}---"
    yield f"# {name} for API calls: a LoRA adapter of gorilla-jupyter"
    yield ""
    yield f"![How the loss fell]({LOSS_PICTURE})"
    yield ""
    if seen < part or figures["device"] == "cpu":
        yield (
            f"**This was a short run**: {seen} of {part} instructions, on {figures['device']}. It "
            "shows that the way works, and not what such an adapter can do."
        )
        yield ""
    yield "| | |\n|---|---|"
    rows = {
        "Base": name,
        "Licence": f"Data: Apache-2.0. Base: {licence_of(base, name)}, which holds for the "
        "adapter too.",
        "Data": f"{seen} of the {part} instructions in the training part of gorilla-jupyter's own "
        "data set; held-out and validation records were not trained on, nor shown",
        "Examples": ", ".join(f"{count} {kind}" for kind, count in examples.items())
        + f"; {figures['left out as too long']} more were too long",
        "Method": "LoRA on every linear layer, the loss on the answer alone. Documents come from "
        "the product's own index and stand in the prompt as in use; the answer is the right "
        "call also where its document is missing (Gorilla, arXiv:2305.15334)",
        "Settings": ", ".join(f"{key} {value}" for key, value in settings.items()),
        "Trained weights": f"{figures['trained weights']:,}",
        "Steps, tokens": f"{figures['steps']}, {figures['tokens']:,} in an epoch",
        "Loss": _from_to(figures["loss"]),
        "Validation loss": _from_to(figures["validation loss"]),
        "Machine": f"{machine}; {figures['processes']} process(es) on {figures['device']}; "
        f"{figures['seconds']} s since step {figures['gone on after step']}",
    }
    for title, text in rows.items():
        yield f"| {title} | {text} |"
    yield ""
    yield "Use it with `--model hf:BASE+THIS_FOLDER`; `jupyter gorilla bench models` measures it."


def _from_to(losses: Mapping[int, float]) -> str:
    return " → ".join(
        f"{losses[step]:.3f} (step {step})" for step in dict.fromkeys((min(losses), max(losses)))
    )
