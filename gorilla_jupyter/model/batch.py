"""Several texts that one network writes at once: every step reads on in each of them."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from queue import SimpleQueue
from typing import TYPE_CHECKING, Protocol, TypeVar

from gorilla_jupyter.model.backend import ModelFailureError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from gorilla_jupyter.model.constrain import Guide

Key = TypeVar("Key")

CHUNK_TOKENS = 256
"""How much of a prompt is read at once: more is hardly faster, takes more memory, and keeps those
waiting that are written already."""


class Decoder(Protocol):
    """A network that tells which token comes next in a sequence, and remembers what it has read.

    :ivar context: how many tokens of a sequence it can remember.
    :ivar end_tokens: those that end an answer.
    :ivar together: in how many sequences it gains by reading at once.
    """

    context: int
    end_tokens: frozenset[int]
    together: int

    def read(self, tokens: Mapping[Key, Sequence[int]]) -> dict[Key, NDArray[np.float32]]:
        """Read on in some sequences, and score every token as the next of each.

        Each is known by its key. One that is new is read alone at first; those that were once read
        together are read together ever after. When this fails, they are to be forgotten.

        :raises ModelFailureError: if there is not enough memory.
        """
        ...

    def forget(self, sequences: Collection[object]) -> None:
        """Give back the memory that these sequences take; for one that takes none, do nothing.

        :raises ModelFailureError: if what is left of those that were read with them is lost.
        """
        ...

    def stop(self) -> None:
        """Have what another thread reads end soon, with an error."""
        ...


class Writing:
    """A text that is being written.

    :param prompt: the tokens that it follows.
    :param most: how many tokens it may have.
    :param guide: makes what holds it to the documents, of the number of tokens that the network
        tells apart; None for a text that is free.
    :ivar steps: what is done, how far it is, and of how much, as it goes on; None at the end.
    :ivar written: its tokens.
    :ivar ended: whether no more will come.
    :ivar error: why it was not written to its end.
    """

    def __init__(
        self, prompt: Sequence[int], most: int, guide: Callable[[int], Guide] | None
    ) -> None:
        self.steps: SimpleQueue[tuple[str, int, int] | None] = SimpleQueue()
        self.written: list[int] = []
        self.ended = False
        self.error: Exception | None = None
        self._prompt = prompt
        self._read = 0
        self._following: list[int] = []
        self._most = most
        self._make_guide = guide
        self._guide: Guide | None = None

    @property
    def reads(self) -> bool:
        """Whether its prompt is still being read."""
        return self._read < len(self._prompt)

    def next_tokens(self) -> Sequence[int]:
        """What is to be read next."""
        if not self.reads:
            return self._following
        self.steps.put(("reads", self._read, len(self._prompt)))
        return self._prompt[self._read : self._read + CHUNK_TOKENS]

    def go_on(self, logits: NDArray[np.float32], end_tokens: frozenset[int]) -> bool:
        """Take what comes next, and tell whether there is more to come.

        :param logits: of every token, as the next after what was read.
        """
        if self.reads:
            self._read += CHUNK_TOKENS
            if self.reads:
                return True
            if self._make_guide is not None:
                self._guide = self._make_guide(len(logits))
        self._following = _next(self._guide, logits)
        if end_tokens.intersection(self._following):
            return False
        self.written += self._following
        self.steps.put(("writes", len(self.written), self._most))
        finished = self._guide is not None and self._guide.finished
        return not finished and len(self.written) < self._most


class Batch:
    """The texts that a decoder writes, first come, first served, and as many at once as it gains
    by.

    They are written in a thread of their own, which ends when there are none.
    """

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._lock = threading.Condition()
        self._writings: list[Writing] = []
        self._being_read: list[Writing] = []
        self._runs = False

    def add(self, writing: Writing) -> None:
        """Have a text written; its ``steps`` tell how far it is."""
        with self._lock:
            self._writings.append(writing)
            if not self._runs:
                threading.Thread(target=self._run, name="gorilla-batch", daemon=True).start()
                self._runs = True

    def remove(self, writing: Writing) -> None:
        """Let go of a text, which nobody waits for any more, once the network does not read for it;
        one that has ended is gone already."""
        with self._lock:
            if writing in self._writings:
                self._writings.remove(writing)
            if self._being_read == [writing]:
                self._decoder.stop()
            self._lock.wait_for(lambda: writing not in self._being_read)

    def _run(self) -> None:
        try:
            self._write()
        except BaseException:  # a panic of a library in Rust is no Exception
            traceback.print_exc()
            with self._lock:
                lost, self._writings = self._writings, []
                self._being_read = []
                self._runs = False
                self._lock.notify_all()
            for writing in lost:
                self._end(writing, ModelFailureError("The model's thread ended."))

    def _write(self) -> None:
        begun: set[Writing] = set()
        while True:
            with self._lock:
                writings = self._writings[: self._decoder.together]
                if not writings and not begun:
                    self._runs = False
                    return
            self._forget(begun.difference(writings), begun)
            begun = set(writings)
            # A piece of one prompt, and then a step of every text: those wait for no whole prompt.
            self._read_on([writing for writing in writings if writing.reads][:1])
            self._read_on([writing for writing in writings if not writing.reads])

    def _forget(self, gone: set[Writing], begun: set[Writing]) -> None:
        try:
            self._decoder.forget(gone)
        except Exception as error:
            # What was remembered with them is lost.
            for writing in begun - gone:
                self._end(writing, error)

    def _read_on(self, writings: list[Writing]) -> None:
        tokens = {writing: writing.next_tokens() for writing in writings if not writing.ended}
        if not tokens:
            return
        with self._lock:
            self._being_read = [*tokens]
        try:
            logits = self._decoder.read(tokens)
        except Exception as error:
            # What its frames hold may be much, and the error lives as long as the text.
            traceback.clear_frames(error.__traceback__)
            logits = {}
            for writing in tokens:
                self._end(writing, error)
        with self._lock:
            self._being_read = []
            self._lock.notify_all()
        for writing, scores in logits.items():
            try:
                if not writing.go_on(scores, self._decoder.end_tokens):
                    self._end(writing)
            except Exception as error:
                self._end(writing, error)

    def _end(self, writing: Writing, error: Exception | None = None) -> None:
        writing.ended, writing.error = True, error
        with self._lock:
            if writing in self._writings:
                self._writings.remove(writing)
        writing.steps.put(None)


def _next(guide: Guide | None, logits: NDArray[np.float32]) -> list[int]:
    """The tokens that come next: several where the documents leave no choice."""
    if guide is None:
        return [int(logits.argmax())]
    tokens = guide.forced() or [guide.choose(logits)]
    guide.accept(tokens)
    return tokens
