"""``jupyter gorilla train``: its steps and their options."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add_steps(train: argparse.ArgumentParser) -> None:
    """Give the command its steps; each sets ``run``, which returns the exit status."""
    steps = train.add_subparsers(required=True, metavar="STEP")
    results = argparse.ArgumentParser(add_help=False)
    results.add_argument("--results", type=Path, default=Path("results"), help="folder (results)")

    further = argparse.ArgumentParser(add_help=False)
    further.add_argument(
        "--further",
        type=Path,
        nargs="*",
        default=[],
        metavar="FILE",
        help="catalogs that are not shipped and show how others write: APIBench's",
    )

    checking = steps.add_parser(
        "check", parents=[further], help="hold the instructions to their rules"
    )
    checking.add_argument(
        "--questions",
        type=Path,
        nargs="*",
        default=[],
        metavar="FILE",
        help="evaluation questions that no instruction may resemble (JSONL)",
    )
    checking.set_defaults(run=_check)

    encoder = steps.add_parser(
        "encoder", parents=[results, further], help="train the encoder and export it"
    )
    encoder.add_argument("folder", type=Path, help="where the run is kept; it goes on from there")
    encoder.add_argument(
        "--base", type=Path, required=True, help="folder with all-MiniLM-L6-v2, as on its hub"
    )
    encoder.add_argument("--epochs", type=int, help="how often each instruction is learned")
    encoder.add_argument("--precision", choices=["int8", "fp32"], default="int8", help="(int8)")
    encoder.add_argument("--weights", type=Path, help="folder to export to (the package's own)")
    encoder.set_defaults(run=_encoder)

    arguments = steps.add_parser(
        "arguments",
        parents=[results],
        help="learn which argument a value of a sentence belongs to",
        description="Learn which documented argument a value of a sentence belongs to, with the "
        "encoder as it is: after each training of the encoder. The documents of packages are read "
        "from those installed here.",
    )
    arguments.set_defaults(run=_arguments)

    instructions = steps.add_parser(
        "instructions",
        help="have a model write instructions for a catalog",
        description="Have a model write instructions for a catalog: needs that its APIs answer, "
        "with no name in them. What the file holds already is not asked for again.",
    )
    instructions.add_argument("catalog", help="its name, as 'catalog list' shows it")
    instructions.add_argument(
        "--model", required=True, help="who writes: openai:BASE_URL#MODEL, hf:... or onnx:..."
    )
    instructions.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="where they are written (JSONL)"
    )
    instructions.add_argument(
        "--each", type=positive, default=10, help="how many for each API (10)"
    )
    instructions.set_defaults(run=_instructions)

    lora = steps.add_parser(
        "lora",
        parents=[results],
        help="fine-tune a model of your own to choose among documents",
        description="Train a LoRA adapter, retriever-aware, on the instructions of this project. "
        "The same command goes on where it was stopped.",
    )
    lora.add_argument("folder", type=Path, help="where the run is kept, and the adapter at the end")
    lora.add_argument(
        "--base", required=True, help="a model's folder, or its id in the hub's cache"
    )
    lora.add_argument("--examples", type=positive, help="train on so many instructions (all)")
    lora.add_argument("--epochs", type=positive, default=1, help="how often (1)")
    lora.add_argument("--tokens", type=positive, default=2048, help="the longest example (2048)")
    lora.add_argument(
        "--batch", type=positive, default=4, help="examples that a GPU holds at once (4)"
    )
    lora.set_defaults(run=_lora)


def positive(text: str) -> int:
    """The value of an option that counts something."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is too few: 1 or more")
    return number


def _check(options: argparse.Namespace) -> int:
    from gorilla_jupyter.train.run import check

    return 1 if check(options.questions, options.further) else 0


def _encoder(options: argparse.Namespace) -> int:
    from gorilla_jupyter.train.run import train_encoder

    given = {name: getattr(options, name) for name in ("epochs", "weights")}
    train_encoder(
        options.base,
        options.folder,
        further=options.further,
        precision=options.precision,
        results=options.results,
        **{name: value for name, value in given.items() if value is not None},
    )
    return 0


def _arguments(options: argparse.Namespace) -> int:
    from gorilla_jupyter.train.run import train_arguments

    train_arguments(options.results)
    return 0


def _instructions(options: argparse.Namespace) -> int:
    from gorilla_jupyter.train.run import write_instructions

    try:
        complete = write_instructions(
            options.catalog, options.model, options.out, each=options.each
        )
    except KeyboardInterrupt:
        print("Stopped. The same command goes on from there.", file=sys.stderr)
        return 130
    return 0 if complete else 1


def _lora(options: argparse.Namespace) -> int:
    from gorilla_jupyter.train.lora import Settings, train_lora

    settings = Settings(
        examples=options.examples,
        epochs=options.epochs,
        tokens=options.tokens,
        batch=options.batch,
    )
    try:
        train_lora(options.base, options.folder, settings, options.results)
    except KeyboardInterrupt:
        print("Stopped. The same command goes on from the last checkpoint.", file=sys.stderr)
        return 130
    return 0
