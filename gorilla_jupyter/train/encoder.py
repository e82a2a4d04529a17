"""Training the encoder on {instruction, API} pairs: ``jupyter gorilla train encoder``.

A sentence is classified by the cosines of vectors (as in dense passage retrieval, Karpukhin et al.,
arXiv:2004.04906), twice: among the documents of the step, which are encoded with it and learn too,
and among all documents of its hub, taken from a bank of vectors that is renewed at intervals (as in
ANCE, Xiong et al., arXiv:2007.00808), where the hardest pull most. Documents of one call are one
class, whose probability is the sum of theirs. To these losses is added that of the domain, likewise
a sum. A sentence that no document answers belongs to a class of its own, whose score is learned:
the scores then tell whether anything fits. Some sentences are given an aside, such as "in half
precision on the GPU", which says nothing about what answers them.

A hub is a catalog: the shipped ones, and further ones, which teach how others write.

The encoder is trained more than once from the same base, each time with another seed and without
other records, on which that run is measured. The mean of the weights is what is kept (a "soup",
Wortsman et al., arXiv:2203.05482): it costs no more to use than one of them, and has learned from
nearly all records.
"""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from gorilla_jupyter.index.abbreviations import spelled_out
from gorilla_jupyter.index.scoring import TEMPERATURE
from gorilla_jupyter.index.vectors import document_parts, document_text
from gorilla_jupyter.model.encoder import DOCUMENT_TOKENS, SENTENCE_TOKENS
from gorilla_jupyter.record import ApiRecord
from gorilla_jupyter.train import TrainingError
from gorilla_jupyter.train.checking import Instruction
from gorilla_jupyter.train.instructions import RUNS, Part, asked_as, part_of, with_aside

if TYPE_CHECKING:
    import torch
    from torch import Tensor


LOG = "log.jsonl"
"""The loss of every step and, at intervals, the scores; a JSON object a line."""

STATE = "state.pt"

BATCH = 32
"""How many texts go through the model at once."""


@dataclass(frozen=True)
class Settings:
    """What a training run is made of.

    :ivar runs: how often the encoder is trained, to take the mean.
    :ivar documents: documents of a step whose instructions are asked.
    :ivar instructions: instructions of each of them in a step.
    :ivar hard_documents: other documents of a step: those most often preferred wrongly.
    :ivar off_topic: sentences of a step that no document answers.
    :ivar aside: the share of all sentences that also say how something is to be run, which does
        not tell what answers them.
    :ivar bank_weight: what the loss among all documents counts beside that among those of the step.
    :ivar domain_weight: what the loss of the domain counts.
    :ivar temperature: what the cosines are divided by.
    :ivar renewal: steps after which the bank of vectors is renewed and the model is saved.
    """

    epochs: int = 2
    runs: int = RUNS
    documents: int = 12
    instructions: int = 7
    hard_documents: int = 6
    off_topic: int = 6
    aside: float = 0.2
    bank_weight: float = 0.5
    domain_weight: float = 1.0
    temperature: float = TEMPERATURE
    learning_rate: float = 8e-5
    warm_up: float = 0.1
    renewal: int = 192
    seed: int = 20261124


class EncoderTraining:
    """One training run, that goes on where it was stopped.

    :param base: a folder with ``config.json``, ``model.safetensors`` and ``tokenizer.json``.
    :param folder: where the model, its log and what is needed to go on are kept.
    :param records: of all hubs; those of one source are a hub.
    :param run: which of the runs this is: each has its own seed, and holds out its own records.
    :ivar made_of: a hash of all that it learns from, and how; a run is continued on nothing else.
    """

    def __init__(
        self,
        base: Path,
        folder: Path,
        records: Sequence[ApiRecord],
        instructions: Sequence[Instruction],
        off_topic: Sequence[str],
        asides: Sequence[str],
        settings: Settings,
        run: int,
    ) -> None:
        import torch
        from tokenizers import Tokenizer
        from transformers import BertModel

        told = [run, asdict(settings), off_topic, asides]
        settings = replace(settings, seed=settings.seed + run)
        self.folder = folder
        self.settings = settings
        self.number = run
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.model = BertModel.from_pretrained(base, add_pooling_layer=False)
        torch.nn.Module.to(self.model, self.device)
        # Half of the weights, which few sentences would change at the price of all the others.
        self.model.embeddings.word_embeddings.weight.requires_grad = False
        self.nothing = torch.nn.Parameter(torch.tensor(0.4, device=self.device))
        self.off_topic = list(off_topic)
        self.asides = list(asides)
        self.hubs = _hubs(records, instructions, run)
        steps = sum(len(hub.training_steps(settings, 0)) for hub in self.hubs)
        learned = [*told, [hub.told() for hub in self.hubs]]
        self.made_of = hashlib.sha256(json.dumps(learned).encode()).hexdigest()
        self.total_steps = steps * settings.epochs
        groups = [
            {
                "params": [weight for weight in self.model.parameters() if weight.requires_grad],
                "weight_decay": 0.01,
            },
            {"params": [self.nothing], "lr": 1e-2, "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, self._rate)
        self.step = 0

    def run(self) -> None:
        """Train to the end, from the last saved state if there is one."""
        import torch

        self.folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(self.settings.seed)
        if self._load_state() and self.step == self.total_steps:
            return
        with tqdm(total=self.total_steps, initial=self.step, unit="step") as bar:
            for number, (hub, chosen) in enumerate(self._steps()):
                if number < self.step:
                    continue
                if number % self.settings.renewal == 0:
                    self._renew()
                loss = self._learn(hub, chosen)
                self.step += 1
                bar.update()
                bar.set_postfix(loss=f"{loss:.3f}")
                self._log(step=self.step, loss=round(loss, 4), hub=hub.name)
        self._renew()

    def _steps(self) -> Iterator[tuple[_Hub, list[tuple[int, list[str]]]]]:
        for epoch in range(self.settings.epochs):
            steps = [
                (hub, step)
                for hub in self.hubs
                for step in hub.training_steps(self.settings, epoch)
            ]
            random.Random(self.settings.seed + epoch).shuffle(steps)
            yield from steps

    def _rate(self, step: int) -> float:
        warm_up = max(1, int(self.settings.warm_up * self.total_steps))
        if step < warm_up:
            return (step + 1) / warm_up
        return max(0.0, (self.total_steps - step) / (self.total_steps - warm_up))

    def encode(self, texts: Sequence[str], tokens: int) -> Tensor:
        """The vectors of ``texts``, of length 1: the mean of their tokens' last states."""
        import torch

        self.tokenizer.enable_truncation(tokens)
        ids = [encoding.ids for encoding in self.tokenizer.encode_batch(list(texts))]
        # Texts of like length together: padding costs as much as words do.
        order = sorted(range(len(ids)), key=lambda place: len(ids[place]))
        vectors = [
            self._encode([ids[place] for place in order[start : start + BATCH]])
            for start in range(0, len(order), BATCH)
        ]
        back = torch.tensor(sorted(range(len(order)), key=order.__getitem__), device=self.device)
        return torch.cat(vectors)[back]

    def _encode(self, ids: list[list[int]]) -> Tensor:
        import torch

        longest = max(map(len, ids))
        padded = torch.tensor([row + [0] * (longest - len(row)) for row in ids])
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in ids])
        padded, mask = padded.to(self.device), mask.to(self.device)
        states = self.model(input_ids=padded, attention_mask=mask).last_hidden_state
        weights = mask.unsqueeze(-1).to(states.dtype)
        mean = (states * weights).sum(1) / weights.sum(1)
        return torch.nn.functional.normalize(mean, dim=-1)

    def encode_all(self, texts: Sequence[str], tokens: int) -> Tensor:
        """Likewise for many texts, without gradients."""
        import torch

        self.model.train(False)
        with torch.inference_mode():
            vectors = self.encode(texts, tokens)
        return vectors.clone()

    def average(self, others: Sequence[EncoderTraining]) -> None:
        """Take the mean of the weights of this and other finished trainings."""
        import torch

        models = [training.model.state_dict() for training in (self, *others)]
        for name, weights in self.model.state_dict().items():
            if weights.is_floating_point():
                weights.copy_(torch.stack([model[name] for model in models]).mean(0))
        self._encode_documents()

    def scores(self, part: Part) -> dict[str, dict[str, float]]:
        """How the model does on the instructions of a part of its run."""
        return self.scores_of(lambda record: part_of(record, self.number) is part)

    def scores_of(self, chosen: Callable[[ApiRecord], bool]) -> dict[str, dict[str, float]]:
        """How often the right document and the right domain come first among all of a hub, as
        they were last encoded, by hub.

        :param chosen: whether the instructions for a record are asked.
        """
        scores = {}
        for hub in self.hubs:
            asked = hub.instructions(chosen)
            if not asked or hub.bank is None:
                continue
            vectors = self.encode_all([text for text, _ in asked], SENTENCE_TOKENS)
            found = (vectors @ hub.bank.T).argmax(dim=1)
            right = [place for _, place in asked]
            scores[hub.name] = {
                "questions": len(asked),
                "document": _share(hub.call_of[found] == hub.call_of[right]),
                "domain": _share(hub.domain_of[found] == hub.domain_of[right]),
            }
        return scores

    def _learn(self, hub: _Hub, chosen: list[tuple[int, list[str]]]) -> float:
        import torch

        settings = self.settings
        self.model.train()
        random_ = random.Random(settings.seed + self.step)
        places = [place for place, _ in chosen]
        hard = [place for place in hub.hard(places, random_) if place not in set(places)]
        fresh = places + hard[: settings.hard_documents]
        documents = self.encode(
            [_varied(hub.records[place], random_) for place in fresh], DOCUMENT_TOKENS
        )
        sentences = [text for _, texts in chosen for text in texts]
        targets = [place for place, texts in chosen for _ in texts]
        nonsense = random_.sample(self.off_topic, min(settings.off_topic, len(self.off_topic)))
        asked = [
            with_aside(sentence, random_.choice(self.asides), random_)
            if random_.random() < settings.aside
            else sentence
            for sentence in sentences + nonsense
        ]
        vectors = self.encode(asked, SENTENCE_TOKENS)
        among_step = vectors[: len(sentences)] @ documents.T / settings.temperature
        # All as the bank has them: a document of this step among older ones is told by its age.
        assert hub.bank is not None
        cosines = vectors @ hub.bank.T
        nothing = self.nothing.expand(len(vectors), 1)
        among_all = torch.cat([cosines, nothing], dim=1) / settings.temperature
        # Documents that are held out are no negatives either: they are not to be seen.
        seen = torch.cat([hub.seen, torch.ones(1, dtype=torch.bool, device=self.device)])
        among_all = among_all.masked_fill(~seen, -1e4)
        answered, nothing_fits = among_all.log_softmax(dim=1).split([len(sentences), len(nonsense)])
        in_step = among_step.log_softmax(dim=1)
        call = hub.call_of[targets][:, None]
        domain = hub.domain_of[targets][:, None]
        of_call = _probability(in_step, hub.call_of[fresh] == call).mean()
        of_class = torch.cat([_probability(answered, hub.call_of == call), nothing_fits[:, -1]])
        of_domain = _probability(answered, hub.domain_of == domain)
        of_domain_in_step = _probability(in_step, hub.domain_of[fresh] == domain)
        total = -(
            of_call
            + settings.bank_weight * of_class.mean()
            + settings.domain_weight * (of_domain + of_domain_in_step).mean()
        )
        self.optimizer.zero_grad()
        torch.autograd.backward(total)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.schedule.step()
        hub.note_mistakes(among_all[: len(sentences), :-1].detach(), targets)
        return float(total.item())

    def _renew(self) -> None:
        self._encode_documents()
        parts = [Part.VALIDATION]
        if self.step == self.total_steps:
            parts.append(Part.HELD_OUT)
        scores = {part.value: self.scores(part) for part in parts}
        self._log(step=self.step, scores=scores, nothing=self.nothing.item())
        self._save_state()

    def _encode_documents(self) -> None:
        for hub in self.hubs:
            texts = [document_text(record) for record in hub.records]
            hub.bank = self.encode_all(texts, DOCUMENT_TOKENS)
            hub.place(self.device)

    def _log(self, **content: Any) -> None:
        with (self.folder / LOG).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"time": round(time.time()), **content}) + "\n")

    def _save_state(self) -> None:
        import torch

        temporary = self.folder / f"{STATE}.writing"
        state = {
            "made_of": self.made_of,
            "step": self.step,
            "model": self.model.state_dict(),
            "nothing": self.nothing.detach(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "random": torch.get_rng_state(),
            "random_on_gpus": torch.cuda.get_rng_state_all(),
            "rivals": [hub.rivals for hub in self.hubs],
        }
        torch.save(state, temporary)
        temporary.replace(self.folder / STATE)

    def _load_state(self) -> bool:
        """Whether there was one.

        :raises TrainingError: if it is another training's.
        """
        import torch

        path = self.folder / STATE
        if not path.exists():
            return False
        state = torch.load(path, map_location=self.device, weights_only=True)
        if state.get("made_of") != self.made_of:
            raise TrainingError(
                f"{path} was trained on other data or with other settings. Name another folder, or "
                "remove this one."
            )
        self.step = state["step"]
        self.model.load_state_dict(state["model"])
        self.nothing.data = state["nothing"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        torch.set_rng_state(state["random"].cpu())
        on_gpus = state["random_on_gpus"][: torch.cuda.device_count()]
        torch.cuda.set_rng_state_all([of_gpu.cpu() for of_gpu in on_gpus])
        for hub, rivals in zip(self.hubs, state["rivals"], strict=True):
            hub.bank = None
            hub.rivals = rivals
        return True


def _probability(logarithms: Tensor, classes: Tensor) -> Tensor:
    """The logarithm of the sum of those of the first probabilities that are marked, per row."""
    chosen = logarithms[:, : classes.shape[1]]
    return chosen.masked_fill(~classes, -1e4).logsumexp(dim=1)


def _share(right: Tensor) -> float:
    return round(right.double().mean().item(), 4)


class _Hub:
    """The documents of one catalog, and the instructions, as they are divided for a run."""

    def __init__(self, name: str, records: Sequence[ApiRecord], run: int) -> None:
        import torch

        self.name = name
        self.records = records
        self.trained_on = [part_of(record, run) is Part.TRAINING for record in records]
        domains = {domain: number for number, domain in enumerate({r.domain for r in records})}
        calls = {call: number for number, call in enumerate({r.api_call for r in records})}
        self.domain_of = torch.tensor([domains[record.domain] for record in records])
        self.call_of = torch.tensor([calls[record.api_call] for record in records])
        self.seen = torch.tensor(self.trained_on)
        self.bank: torch.Tensor | None = None
        self._asked: dict[int, list[str]] = {}
        self.rivals: dict[int, list[int]] = {}

    def told(self) -> list[object]:
        """What is learned from, for telling one training from another."""
        return [
            self.name,
            self.trained_on,
            [document_text(record) for record in self.records],
            sorted(self._asked.items()),
        ]

    def ask(self, place: int, text: str) -> None:
        self._asked.setdefault(place, []).append(spelled_out(text))  # as in use

    def place(self, device: torch.device) -> None:
        self.domain_of = self.domain_of.to(device)
        self.call_of = self.call_of.to(device)
        self.seen = self.seen.to(device)

    def instructions(self, chosen: Callable[[ApiRecord], bool]) -> list[tuple[str, int]]:
        return [
            (text, place)
            for place, texts in self._asked.items()
            if chosen(self.records[place])
            for text in texts
        ]

    def training_steps(self, settings: Settings, epoch: int) -> list[list[tuple[int, list[str]]]]:
        """Every instruction of the training part once, in steps of different documents."""
        random_ = random.Random(f"{settings.seed} {self.name} {epoch}")
        rounds: dict[int, list[tuple[int, list[str]]]] = {}
        for place, texts in self._asked.items():
            if not self.trained_on[place]:
                continue
            shuffled = random_.sample(texts, len(texts))
            for turn, start in enumerate(range(0, len(texts), settings.instructions)):
                group = shuffled[start : start + settings.instructions]
                rounds.setdefault(turn, []).append((place, group))
        steps = []
        for turn in sorted(rounds):
            random_.shuffle(rounds[turn])
            steps += [
                rounds[turn][start : start + settings.documents]
                for start in range(0, len(rounds[turn]), settings.documents)
            ]
        return steps

    def hard(self, places: Sequence[int], random_: random.Random) -> list[int]:
        """The documents last preferred to these, in random order."""
        rivals = {rival for place in places for rival in self.rivals.get(place, ())}
        return random_.sample(sorted(rivals), len(rivals))

    def note_mistakes(self, logits: Tensor, targets: Sequence[int]) -> None:
        for place, best in zip(targets, logits.topk(4, dim=1).indices.tolist(), strict=True):
            self.rivals[place] = [rival for rival in best if rival != place]


def _hubs(
    records: Sequence[ApiRecord], instructions: Sequence[Instruction], run: int
) -> list[_Hub]:
    by_source: dict[str, list[ApiRecord]] = {}
    for record in records:
        by_source.setdefault(record.source, []).append(record)
    hubs = []
    for name, found in by_source.items():
        hub = _Hub(name, found, run)
        places = {asked_as(record): place for place, record in enumerate(found)}
        for instruction in instructions:
            if instruction.record.source == name:
                hub.ask(places[asked_as(instruction.record)], instruction.text)
        hubs.append(hub)
    return hubs


def _varied(record: ApiRecord, random_: random.Random) -> str:
    """The document with a part left out now and then: catalogs differ in what they tell."""
    chances = (0.1, 0.15, 0.2, 0.25, 0.4)
    kept = [
        part
        for part, chance in zip(document_parts(record), chances, strict=True)
        if part and random_.random() >= chance
    ]
    return " | ".join(kept) if len(kept) > 1 else document_text(record)
