"""Several texts at once: each is as it would be alone, and none waits for a whole other one."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from gorilla_jupyter.model.backend import ModelFailureError
from gorilla_jupyter.model.batch import CHUNK_TOKENS, Batch, Key, Writing

END = 0
LONG = [5] * (3 * CHUNK_TOKENS)


class Counter:
    """A network after which a sequence goes on with how many tokens of it were read, and ends when
    these are ten times as many as its first token says.

    :ivar reads: how many tokens of which sequence were read at once.
    :ivar known: what it remembers.
    :ivar bad: the token that it cannot read.
    """

    context = 10_000
    end_tokens = frozenset({END})
    bad = 99

    def __init__(self, together: int) -> None:
        self.together = together
        self.reads: list[dict[object, int]] = []
        self.known: dict[object, list[int]] = {}
        self.empty = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()

    def read(self, tokens: Mapping[Key, Sequence[int]]) -> dict[Key, NDArray[np.float32]]:
        assert self.go_on.wait(20)
        self.reads.append({sequence: len(following) for sequence, following in tokens.items()})
        for sequence, following in tokens.items():
            self.known.setdefault(sequence, []).extend(following)
        if any(self.bad in following for following in tokens.values()):
            raise ValueError("bad")
        return {sequence: self._next(self.known[sequence]) for sequence in tokens}

    def _next(self, read: list[int]) -> NDArray[np.float32]:
        logits = np.zeros(10_000, np.float32)
        logits[END if len(read) >= 10 * read[0] else len(read)] = 1
        return logits

    def forget(self, sequences: Collection[object]) -> None:
        for sequence in sequences:
            self.known.pop(sequence, None)
            if not self.known:
                self.empty.set()

    def stop(self) -> None:
        """It reads at once."""


def begin(batch: Batch, *prompts: list[int], most: int = 10_000) -> list[Writing]:
    writings = [Writing(prompt, most, None) for prompt in prompts]
    for writing in writings:
        batch.add(writing)
    return writings


def finish(writing: Writing) -> list[int]:
    while writing.steps.get(timeout=20) is not None:
        pass
    return writing.written


@pytest.mark.parametrize("together", [1, 2, 8])
def test_each_is_written_as_it_would_be_alone(together: int) -> None:
    texts = begin(Batch(Counter(together)), [1], [2, 0, 0], [3])
    assert [finish(text) for text in texts] == [[*range(1, 10)], [*range(3, 20)], [*range(1, 30)]]


@pytest.mark.parametrize("together", [1, 2, 8])
def test_so_many_are_read_at_once_as_the_network_gains_by(together: int) -> None:
    decoder = Counter(together)
    decoder.go_on.clear()
    texts = begin(Batch(decoder), [2], [2], [2])
    decoder.go_on.set()
    for text in texts:
        finish(text)
    assert max(map(len, decoder.reads)) == min(together, 3)


def test_what_is_being_written_waits_for_no_whole_prompt() -> None:
    decoder = Counter(2)
    decoder.go_on.clear()
    text, late = begin(Batch(decoder), [100], LONG, most=500)
    decoder.go_on.set()
    finish(late)
    lengths = [read[late] for read in decoder.reads if late in read][:3]
    assert lengths == [CHUNK_TOKENS] * 3
    between = [text in read for read in decoder.reads]
    first = next(place for place, read in enumerate(decoder.reads) if late in read)
    assert between[first : first + 6] == [False, True, False, True, False, True]


def test_what_fails_at_its_prompt_fails_alone() -> None:
    decoder = Counter(8)
    decoder.go_on.clear()
    text, bad, other = begin(Batch(decoder), [2], [3, Counter.bad], [2])
    decoder.go_on.set()
    finish(bad)
    assert str(bad.error) == "bad"
    assert len(finish(text)) == len(finish(other)) == 19
    assert (text.error, other.error) == (None, None)


def test_one_that_nobody_waits_for_is_forgotten_and_the_others_go_on() -> None:
    decoder = Counter(8)
    decoder.go_on.clear()
    batch = Batch(decoder)
    text, left = begin(batch, [2], [500])
    decoder.go_on.set()
    while left.steps.get(timeout=20) != ("writes", 1, 10_000):
        pass
    batch.remove(left)
    assert len(finish(text)) == 19
    assert decoder.empty.wait(20)


def test_a_thread_that_dies_takes_no_later_text_along() -> None:
    class Panicking(Counter):
        def read(self, tokens: Mapping[Key, Sequence[int]]) -> dict[Key, NDArray[np.float32]]:
            if any(self.bad in following for following in tokens.values()):
                raise KeyboardInterrupt
            return super().read(tokens)

    batch = Batch(Panicking(1))
    (lost,) = begin(batch, [1, Counter.bad])
    finish(lost)
    assert isinstance(lost.error, ModelFailureError)
    (text,) = begin(batch, [1])
    assert len(finish(text)) == 9


def test_when_all_have_ended_others_can_be_written() -> None:
    decoder = Counter(8)
    batch = Batch(decoder)
    for _ in range(2):
        (text,) = begin(batch, [1])
        finish(text)
        assert decoder.empty.wait(20)
        decoder.empty.clear()


@pytest.mark.parametrize("most", [1, 7])
def test_one_is_not_longer_than_it_may_be(most: int) -> None:
    decoder = Counter(8)
    (text,) = begin(Batch(decoder), [100], most=most)
    assert len(finish(text)) == most
    assert decoder.empty.wait(20)
    assert len(text.written) == len(decoder.reads) == most


def test_what_cannot_be_kept_when_another_ends_ends_with_the_reason() -> None:
    class Forgetful(Counter):
        def forget(self, sequences: Collection[object]) -> None:
            super().forget(sequences)
            if sequences and self.known:
                raise MemoryError("full")

    decoder = Forgetful(8)
    decoder.go_on.clear()
    short, long = begin(Batch(decoder), [1], [500])
    decoder.go_on.set()
    finish(short)
    finish(long)
    assert short.error is None
    assert isinstance(long.error, MemoryError)
    assert decoder.empty.wait(20)
