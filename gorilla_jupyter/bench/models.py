"""What each model costs and how well it answers, on the same questions and documents."""

from __future__ import annotations

import json
import statistics
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil

from gorilla_jupyter.answer import Document, Notice, Progress, Proposal, Request
from gorilla_jupyter.bench import apibench
from gorilla_jupyter.bench.functionality import Documentation
from gorilla_jupyter.bench.modes import load_writer
from gorilla_jupyter.bench.results import today, write_results
from gorilla_jupyter.bench.tables import check_place, markdown, put
from gorilla_jupyter.model.backend import ModelFailureError
from gorilla_jupyter.model.decoding import LocalBackend
from gorilla_jupyter.model.prompt import Prompt
from gorilla_jupyter.model.writing import Steps, Writer, documented_call, propose, read

FILE = "models.json"

COSTS = (
    "load s",
    "first token s",
    "tokens a second",
    "longest step s",
    "mask share",
    "faster together",
    "memory MiB",
)
"""What an answer costs; told of models that were asked one question after the other."""

Measured = Mapping[str, Mapping[str, Mapping[str, float | str | None]]]
"""Figures by model and questions, and the day when they were measured."""


@dataclass
class WatchedWriter:
    """A model, and what it does: how long it takes, and what it writes.

    :ivar loading: seconds from the first request until the model began to read it.
    :ivar first_token: seconds until it began to write, of each text.
    :ivar speeds: tokens a second while it wrote; for a server, whose tokens nobody sees, none.
    :ivar longest_step: seconds of the longest step once it was loaded: so long a cancel may wait.
    :ivar mask_share: how much of the time of each text its mask took, 0 to 1.
    :ivar without_call: how many of the texts held nothing to read a call from.
    :ivar undocumented: how many held a call that none of the documents has.
    :ivar prompts: what it was asked.
    """

    writer: Writer
    loading: float = 0.0
    first_token: list[float] = field(default_factory=list)
    speeds: list[float] = field(default_factory=list)
    longest_step: float = 0.0
    mask_share: list[float] = field(default_factory=list)
    without_call: int = 0
    undocumented: int = 0
    prompts: list[Prompt] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.name = self.writer.name

    def propose(
        self, request: Request, documents: Sequence[Document]
    ) -> Iterator[Proposal | Progress | Notice]:
        """See :class:`gorilla_jupyter.model.backend.Backend`."""
        yield from propose(self, request, documents)

    def write(self, prompt: Prompt) -> Steps:
        """See :class:`gorilla_jupyter.model.writing.Writer`."""
        self.prompts.append(prompt)
        steps = self.writer.write(prompt)
        began = time.perf_counter()
        writing: list[tuple[float, int]] = []
        last: float | None = None
        while True:
            try:
                step = next(steps)
            except StopIteration as finished:
                text: str = finished.value
                break
            now = time.perf_counter()
            message, done = (step.message, step.done) if isinstance(step, Progress) else ("", 0)
            reads, writes = message.endswith(" reads"), message.endswith(" writes") and done > 0
            if last is not None:
                self.longest_step = max(self.longest_step, now - last)
            elif reads:
                self.loading = self.loading or now - began
                began = now
            if writes:
                writing.append((now, done))
            yield step
            # What comes of the first step to write may be prepared then, once for all answers.
            last = time.perf_counter() if reads or writes else None
        if writing:
            self.first_token.append(writing[0][0] - began)
        if len(writing) > 1 and not self.name.startswith("openai:"):
            (start, few), *_, (end, many) = writing
            self.speeds.append((many - few) / (end - start))
            if isinstance(self.writer, LocalBackend) and self.writer.constrained:
                self.mask_share.append(_mask_seconds(self.writer, prompt, text) / (end - start))
        written = read(text)
        if not written.api_call:
            self.without_call += 1
        elif not written.declines and not any(
            documented_call(document.record, written.api_call) for document in prompt.documents
        ):
            self.undocumented += 1
        return text

    def costs(self) -> dict[str, float | None]:
        """What it took, as :data:`COSTS` names it."""
        memory = psutil.Process().memory_info().rss / 2**20  # before several texts at once
        figures = (
            self.loading,
            _median(self.first_token),
            _median(self.speeds),
            self.longest_step,
            _median(self.mask_share),
            faster_together(self.writer, self.prompts),
            memory,
        )
        return dict(zip(COSTS, figures, strict=True))


def _mask_seconds(backend: LocalBackend, prompt: Prompt, text: str) -> float:
    """What it costs to hold a text to the documents, if none of its tokens comes by itself."""
    model = backend.model
    assert model is not None
    began = time.perf_counter()
    logits = np.zeros(model.tokenizer.get_vocab_size(), np.float32)
    guide = model.guide(model.form.pattern(prompt), len(logits))
    for token in model.tokens(text):
        guide.forced()
        guide.choose(logits)
        guide.accept([token])
    return time.perf_counter() - began


def faster_together(writer: Writer, prompts: Sequence[Prompt]) -> float | None:
    """How many times faster as many texts as a loaded model writes at once are written so than one
    after the other; None for a model that does not write them at once or fails, and for a server.
    """
    if not isinstance(writer, LocalBackend) or writer.model is None:
        return None
    few = prompts[: writer.model.decoder.together]
    if len(few) < 2:
        return None
    try:
        return sum(_seconds(writer, [prompt]) for prompt in few) / _seconds(writer, few)
    except ModelFailureError:
        return None


def _seconds(writer: Writer, prompts: Sequence[Prompt]) -> float:
    began = time.perf_counter()
    with ThreadPoolExecutor(len(prompts)) as threads:
        list(threads.map(lambda prompt: deque(writer.write(prompt), maxlen=0), prompts))
    return time.perf_counter() - began


def run(
    apis: Path,
    questions: Path,
    results: Path,
    document: Path,
    *,
    model: str,
    every: int,
    at_once: int,
    constrained: bool,
) -> None:
    """Ask one model every so many of the questions, print the figures, add them to ``models.json``
    in the folder ``results``, and redraw ``document``.

    :param at_once: as :func:`apibench.answers` takes it; of more than one, no times are told.
    :raises BenchmarkError: if a file or the document cannot be used, or the model does not write.
    :raises CatalogError: if there is no API record in ``apis``.
    :raises ModelError: if there is no such model.
    """
    check_place(document, "models")  # before minutes of measuring
    watched = WatchedWriter(load_writer(model, constrained=constrained))
    documentation = Documentation(apibench.read_apis(apis))
    asked = apibench.read_questions(questions, every=every)
    with apibench.engine_of(apis, model=model) as (gorilla, _):
        gorilla.use(watched)
        answers = apibench.answers(gorilla, asked, at_once=at_once)
    texts = {number: answer.text for number, answer in answers.items()}
    figures = {
        **apibench.scores(documentation, asked, texts),
        "texts written": len(watched.first_token),
        "without a call": watched.without_call,
        "undocumented": watched.undocumented,
        **(watched.costs() if at_once == 1 else dict.fromkeys(COSTS)),
    }
    name = f"{public_name(model)}{'' if constrained else ', not constrained'}"
    print(f"{name}, on {questions.stem}:")
    for title, figure in figures.items():
        print(f"  {title:18}{'-' if figure is None else f'{figure:10.3f}'}")
    path = results / FILE
    models = json.loads(path.read_text())["models"] if path.is_file() else {}
    models.setdefault(name, {})[questions.stem] = {
        **{title: None if value is None else round(value, 3) for title, value in figures.items()},
        "measured": today(),
    }
    write_results(path, "jupyter gorilla bench models", {"models": models})
    draw(document, models)


def draw(document: Path, models: Measured) -> None:
    """Put the figures of all models into a Markdown document, in the place that it marks for them.

    :raises BenchmarkError: if the document marks none, or cannot be read or written.
    """
    rows = {
        f"{name}, on {questions}": figures
        for name, asked in models.items()
        for questions, figures in asked.items()
    }
    titles = list(dict.fromkeys(title for figures in rows.values() for title in figures))
    cells = {
        name: [_cell(figures.get(title)) for title in titles] for name, figures in rows.items()
    }
    put(document, "models", f"\n{markdown(titles, cells)}")


def _cell(figure: float | str | None) -> str:
    if figure is None:
        return "-"
    return figure if isinstance(figure, str) else f"{figure:g}"


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None


def public_name(model: str) -> str:
    """The model's name without where it lies on this machine."""
    kind, _, rest = model.partition(":")
    rest = rest.rpartition("#")[2] if kind == "openai" else rest
    return f"{kind}:{'+'.join(Path(part).name for part in rest.split('+'))}"
