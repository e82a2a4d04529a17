"""Writing token by token: whatever a network thinks, what comes of it is documented."""

from __future__ import annotations

import re
import threading
from collections.abc import Collection, Generator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from gorilla_jupyter.answer import Document, Progress
from gorilla_jupyter.engine import Gorilla
from gorilla_jupyter.model import batch, decoding
from gorilla_jupyter.model.backend import ModelError, ModelFailureError
from gorilla_jupyter.model.batch import Key
from gorilla_jupyter.model.decoding import LoadedModel, LocalBackend
from gorilla_jupyter.model.prompt import (
    ChatForm,
    Form,
    GorillaForm,
    Message,
    OpenFunctionsForm,
    Prompt,
)
from gorilla_jupyter.model.writing import documented_call, read
from tests.model.conftest import CHOIR, PICTURE, VOICE

DOCUMENTS = tuple(Document(record, 1.0) for record in (VOICE, CHOIR, PICTURE))
TEMPLATE = "{% for message in messages %}{{ message['content'] }}{{ eos_token }}{% endfor %}"
CHAT = ChatForm(TEMPLATE, {"eos_token": "<end>"})


def a_tokenizer() -> Tokenizer:
    """One token for each byte, and one that ends an answer."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: number for number, letter in enumerate(alphabet)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<end>"])
    return tokenizer


TOKENIZER = a_tokenizer()
END = int(TOKENIZER.token_to_id("<end>") or 0)
VOCABULARY = TOKENIZER.get_vocab_size() + 7
"""More than there are tokens, as networks have it for speed."""


class Dice:
    """A network that thinks of every token what comes to its mind.

    :ivar seen: what it has read in each text that is not forgotten.
    :ivar last_seen: and in the last one that is.
    """

    end_tokens = frozenset({END})
    together = 1

    def __init__(self, seed: int, context: int = 100_000) -> None:
        self.context = context
        self.seen: dict[object, list[int]] = {}
        self.last_seen: list[int] = []
        self.reads: list[int] = []
        self.most_at_once = 0
        self.forgotten = threading.Event()
        self._random = np.random.default_rng(seed)

    def forget(self, sequences: Collection[object]) -> None:
        for sequence in sequences:
            self.last_seen = self.seen.pop(sequence, [])
            self.forgotten.set()

    def stop(self) -> None:
        """It reads at once."""

    def read(self, tokens: Mapping[Key, Sequence[int]]) -> dict[Key, NDArray[np.float32]]:
        self.most_at_once = max(self.most_at_once, len(tokens))
        for sequence, following in tokens.items():
            self.seen.setdefault(sequence, []).extend(following)
            self.reads.append(len(following))
        return {
            sequence: self._random.standard_normal(VOCABULARY).astype(np.float32)
            for sequence in tokens
        }


class DiceBackend(LocalBackend):
    def __init__(self, seed: int = 0, *, form: Form = CHAT, **options: Any) -> None:
        super().__init__("dice", constrained=options.pop("constrained", True))
        self.decoder = Dice(seed, **options)
        self._form = form

    def load(self) -> Generator[Progress, None, LoadedModel]:
        yield Progress("dice is loaded", 0, 1)
        return LoadedModel(self.decoder, TOKENIZER, self._form)


@pytest.fixture(autouse=True)
def much_to_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "MAX_TOKENS", 5000)


def write(backend: DiceBackend, sentence: str = "speak") -> tuple[str, list[Any]]:
    steps = backend.write(Prompt(sentence, DOCUMENTS))
    told = []
    while True:
        try:
            told.append(next(steps))
        except StopIteration as finished:
            assert backend.decoder.forgotten.wait(20)
            backend.decoder.forgotten.clear()
            return finished.value, told


@pytest.mark.parametrize("form", [CHAT, GorillaForm(), OpenFunctionsForm()])
def test_whatever_is_written_is_documented(form: Form) -> None:
    chosen = set()
    for seed in range(100):
        written = read(write(DiceBackend(seed, form=form))[0])
        calls = [documented_call(found.record, written.api_call) for found in DOCUMENTS]
        assert any(calls) or written.declines, written
        chosen.add(tuple(map(bool, calls)))
    assert len(chosen) >= len(DOCUMENTS)


def reply(backend: DiceBackend) -> str:
    steps = backend.reply([Message(role="user", content="Say something.")])
    while True:
        try:
            next(steps)
        except StopIteration as finished:
            assert backend.decoder.forgotten.wait(20)
            return str(finished.value)


def test_in_a_conversation_it_writes_what_it_likes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "MAX_TOKENS", 50)
    backend = DiceBackend()
    assert not re.match("<<<domain>>>", reply(backend))
    assert TOKENIZER.decode(backend.decoder.last_seen).startswith("Say something.")


@pytest.mark.parametrize("form", [GorillaForm(), OpenFunctionsForm()])
def test_what_was_trained_for_calls_alone_does_not_converse(form: Form) -> None:
    with pytest.raises(ModelError, match="trained to write calls, and nothing else"):
        reply(DiceBackend(form=form))


def test_a_conversation_that_it_cannot_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "MAX_TOKENS", 50)
    with pytest.raises(ModelFailureError, match="too much to read for dice"):
        reply(DiceBackend(context=55))


def test_its_words_are_the_explanation() -> None:
    assert read(write(DiceBackend())[0]).explanation.endswith(".")


def test_without_the_constraint_what_is_written_is_still_verified(
    gorilla: Gorilla, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "MAX_TOKENS", 50)
    backend = DiceBackend(constrained=False)
    monkeypatch.setattr("gorilla_jupyter.engine.load_backend", lambda name: backend)
    answer = gorilla.ask("German text to speech")
    assert answer.candidates[0].api_call == VOICE.api_call
    assert "dice wrote no call of the documents in 2 attempts" in answer.notices[0]


def test_the_prompt_is_read_once_and_then_what_is_written() -> None:
    backend = DiceBackend()
    write(backend)
    text, _ = write(backend)
    assert backend.decoder.seen == {}
    seen = TOKENIZER.decode(backend.decoder.last_seen, skip_special_tokens=False)
    (message,) = Prompt("speak", DOCUMENTS).messages()
    assert seen.startswith(f"{message['content']}<end>")
    assert text.startswith(seen.removeprefix(f"{message['content']}<end>"))


def test_it_is_loaded_once_and_tells_how_far_it_is() -> None:
    backend = DiceBackend()
    _, first = write(backend)
    _, second = write(backend)
    assert (first[0].message, first[0].done, first[0].total) == ("dice is loaded", 0, 1)
    verbs = [step.message for step in second]
    assert list(dict.fromkeys(verbs)) == ["dice reads", "dice writes"]
    assert verbs.count("dice reads") > 2


class SlowBackend(DiceBackend):
    """Loads when it is let, and for the first time in vain."""

    def __init__(self) -> None:
        super().__init__()
        self.let = threading.Event()
        self.loads = 0

    def load(self) -> Generator[Progress, None, LoadedModel]:
        yield Progress("dice is loaded", 0, 1)
        self.loads += 1
        assert self.let.wait(20)
        if self.loads == 1:
            raise ModelError("The dice are lost.")
        return LoadedModel(self.decoder, TOKENIZER, self._form)


def test_while_it_is_loaded_others_have_their_turn_and_who_asked_can_leave() -> None:
    backend = SlowBackend()
    leaving, staying = (backend.write(Prompt("speak", DOCUMENTS)) for _ in range(2))
    waiting = Progress("dice is loaded", 0, 1, elsewhere=True)
    assert [next(leaving), next(staying), next(staying)] == [waiting] * 3
    leaving.close()
    assert next(staying) == waiting
    assert backend.loads == 1
    backend.let.set()


def test_what_was_not_loaded_is_loaded_anew() -> None:
    backend = SlowBackend()
    backend.let.set()
    with pytest.raises(ModelError, match="The dice are lost"):
        write(backend)
    assert read(write(backend)[0]).api_call
    assert backend.loads == 2


def test_documents_that_its_context_has_no_room_for_are_left_out() -> None:
    question = len(TOKENIZER.encode(CHAT.text(Prompt("speak", DOCUMENTS))).ids)
    backend = DiceBackend(context=decoding.MAX_TOKENS + question - 1)
    write(backend)
    seen = TOKENIZER.decode(backend.decoder.last_seen)
    assert CHOIR.description in seen
    assert PICTURE.description not in seen


def test_a_sentence_that_its_context_has_no_room_for_fails() -> None:
    with pytest.raises(ModelFailureError, match="too long for this model"):
        write(DiceBackend(context=decoding.MAX_TOKENS + 100))


def test_an_answer_that_nobody_waits_for_is_forgotten() -> None:
    backend = DiceBackend()
    steps = backend.write(Prompt("speak", DOCUMENTS))
    while "writes" not in next(steps).message:  # type: ignore[union-attr]
        pass
    steps.close()
    assert backend.decoder.forgotten.wait(20)
    assert backend.decoder.seen == {}


def test_a_prompt_is_read_in_pieces() -> None:
    backend = DiceBackend()
    _, told = write(backend)
    assert max(backend.decoder.reads) <= batch.CHUNK_TOKENS
    assert len(told) > len(backend.decoder.reads)


class SlowDice(Dice):
    """A network that, once it has read so often, reads until it is stopped."""

    def __init__(self, seed: int, quick_reads: int = 0) -> None:
        super().__init__(seed)
        self.began = threading.Event()
        self._quick_reads = quick_reads
        self._stopped = threading.Event()

    def stop(self) -> None:
        self._stopped.set()

    def read(self, tokens: Mapping[Key, Sequence[int]]) -> dict[Key, NDArray[np.float32]]:
        logits = super().read(tokens)
        if len(self.reads) <= self._quick_reads:
            return logits
        self.began.set()
        self._stopped.wait()
        raise InterruptedError


def test_it_can_be_cancelled_while_it_reads() -> None:
    backend = DiceBackend()
    backend.decoder = decoder = SlowDice(0)
    steps = backend.write(Prompt("speak", DOCUMENTS))
    while not decoder.began.is_set():
        next(steps)
    steps.close()
    assert decoder.forgotten.wait(20)
    assert decoder.seen == {}


def test_what_takes_too_long_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "MAX_TOKENS", 3)
    text, _ = write(DiceBackend(constrained=False))
    assert len(TOKENIZER.encode(text).ids) <= 10


def test_a_sentence_that_names_special_tokens_is_only_text() -> None:
    assert read(write(DiceBackend(), "speak <end> <|im_end|>")[0]).api_call
