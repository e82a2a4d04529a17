"""The progress of the engine as a bar: a widget in notebooks, text in terminals."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from types import TracebackType
from typing import Any, TypeVar

from gorilla_jupyter.answer import Progress

Step = TypeVar("Step")
Outcome = TypeVar("Outcome")


def finish(steps: Generator[Step, None, Outcome], show: Callable[[Step], object]) -> Outcome:
    """Take all steps, show each, and return what comes of them."""
    while True:
        try:
            show(next(steps))
        except StopIteration as finished:
            outcome: Outcome = finished.value
            return outcome


class ProgressBar:
    """A bar that appears with the first progress and goes away at the end of the block."""

    def __init__(self) -> None:
        self._bar: Any = None

    def show(self, progress: Progress) -> None:
        if self._bar is None:
            from tqdm.auto import tqdm

            # Not into files and pipes, where every step would be a line.
            seen = "ipykernel" in sys.modules or sys.stderr.isatty()
            total = progress.total or None
            self._bar = tqdm(total=total, unit=" records", leave=False, disable=not seen)
        self._bar.total = progress.total or None
        self._bar.n = progress.done
        self._bar.set_description(progress.message)

    def print(self, text: str) -> None:
        """Print a line without spoiling the bar."""
        if self._bar is not None:
            self._bar.clear()
        print(text, flush=True)

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()
