"""The Hugging Face Hub: the most downloaded models of every task, by its JSON interface."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gorilla_jupyter.answer import Progress
from gorilla_jupyter.catalog.hubs import cards
from gorilla_jupyter.catalog.hubs.found import Found, HubRefusal, Shipped
from gorilla_jupyter.catalog.hubs.web import PageError, Params, Web, parse_json
from gorilla_jupyter.catalog.recipes import record_for
from gorilla_jupyter.catalog.sources import SourceError, Sources, load_sources
from gorilla_jupyter.record import ApiRecord, RecordError

_MODEL_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_FIELDS = "config disabled gated library_name pipeline_tag private sha tags".split()
_CARD_BYTES = 1 << 20
_GENERATES_TEXT = r"\w*(ForConditionalGeneration|MTModel)"
_WHOLE_PIPELINE = r"diffusers:\w*Pipeline"


@dataclass(frozen=True)
class Rule:
    """Which recipe makes the call for which models.

    :ivar library: the card's ``library_name``.
    :ivar kinds: the values of ``model_type`` that the recipe suits; empty for all.
    :ivar architecture: what the model's class must be called, as a regular expression.
    :ivar tag: what one of the model's tags must be, as a regular expression.
    :ivar values: placeholders of the recipe that differ from their usual values.
    """

    task: str
    library: str
    recipe: str
    kinds: tuple[str, ...] = ()
    architecture: str = ""
    tag: str = ""
    values: Mapping[str, str] = field(default_factory=dict)

    def fits(self, model: Mapping[str, Any]) -> bool:
        config = _mapping(model.get("config"))
        architectures = _texts(config.get("architectures"))
        return (
            model.get("library_name") == self.library
            and (not self.kinds or config.get("model_type") in self.kinds)
            and (not self.architecture or _any_matches(self.architecture, architectures))
            and (not self.tag or _any_matches(self.tag, _texts(model.get("tags"))))
        )


def _transformers(task: str, recipe: str = "", **more: Any) -> Rule:
    return Rule(task, "transformers", recipe or task, **more)


# The first rule that fits counts.
RULES = (
    _transformers("text-to-speech", kinds=("bark", "vits")),
    _transformers("text-to-speech", "text-to-speech-with-voice", kinds=("speecht5",)),
    _transformers("automatic-speech-recognition", "whisper-speech-recognition", kinds=("whisper",)),
    _transformers("automatic-speech-recognition", "speech-recognition"),
    _transformers("audio-classification"),
    _transformers("text-classification"),
    Rule("text-ranking", "sentence-transformers", "reranking"),
    _transformers("zero-shot-classification"),
    _transformers("token-classification"),
    Rule("token-classification", "flair", "flair-token-classification"),
    Rule("token-classification", "gliner", "gliner"),
    _transformers("question-answering"),
    _transformers("table-question-answering"),
    _transformers("summarization", architecture=_GENERATES_TEXT),
    _transformers("translation", kinds=("marian",)),
    _transformers("text2text-generation", "text-to-text", architecture=_GENERATES_TEXT),
    _transformers("fill-mask", architecture=r"\w*(ForMaskedLM|ForPreTraining)"),
    _transformers("text-generation", "conversation", tag="conversational"),
    _transformers("text-generation"),
    _transformers("feature-extraction", "text-features", kinds=("bert", "roberta", "distilbert")),
    Rule("feature-extraction", "sentence-transformers", "sentence-similarity"),
    Rule("sentence-similarity", "sentence-transformers", "sentence-similarity"),
    Rule("text-to-image", "diffusers", "text-to-image", tag=_WHOLE_PIPELINE),
    Rule("text-to-video", "diffusers", "text-to-video", tag=_WHOLE_PIPELINE),
    _transformers("image-to-text", "image-captioning", kinds=("blip", "blip-2", "git")),
    _transformers("image-text-to-text", "vision-language-chat", tag="conversational"),
    _transformers("visual-question-answering", kinds=("blip",)),
    _transformers("visual-question-answering", "visual-question-classification", kinds=("vilt",)),
    _transformers("document-question-answering", kinds=("layoutlm", "vision-encoder-decoder")),
    _transformers("image-feature-extraction", "image-features"),
    _transformers("image-classification"),
    Rule("image-classification", "timm", "timm-image-classification"),
    _transformers("object-detection"),
    _transformers("zero-shot-object-detection"),
    _transformers("image-segmentation"),
    _transformers("mask-generation"),
    _transformers("depth-estimation"),
    _transformers("image-to-image", "super-resolution", kinds=("swin2sr",)),
    Rule(
        "image-to-image",
        "diffusers",
        "instructed-image-editing",
        tag="diffusers:StableDiffusionInstructPix2PixPipeline",
    ),
    Rule(
        "unconditional-image-generation",
        "diffusers",
        "unconditional-image-generation",
        tag="diffusers:DDPMPipeline",
    ),
    _transformers("video-classification"),
    _transformers("zero-shot-image-classification"),
    Rule("zero-shot-image-classification", "open_clip", "open-clip"),
    Rule("time-series-forecasting", "chronos-forecasting", "chronos-forecast"),
)

TASKS = tuple(dict.fromkeys(rule.task for rule in RULES))


def collect(web: Web, top: int, shipped: frozenset[str]) -> Iterator[Found]:
    """Yield the ``top`` most downloaded models of each of :data:`TASKS`."""
    sources = load_sources()
    for number, task in enumerate(TASKS):
        yield Progress(f"Asking for {task}", number * top, len(TASKS) * top)
        params: Params = (
            ("pipeline_tag", task),
            ("sort", "downloads"),
            ("direction", -1),
            ("limit", top),
            *(("expand[]", name) for name in _FIELDS),
        )
        try:
            models = web.fetch("api/models", _parse_list, params=params)
        except PageError as error:
            yield HubRefusal(f"The list of {task} models", str(error), error.passing)
            continue
        for place, model in enumerate(models[:top]):
            yield Progress(f"Reading {task}", number * top + place, len(TASKS) * top)
            yield _found(web, task, model, sources, shipped)


def _parse_list(body: bytes) -> list[Any]:
    models = parse_json(body)
    if not isinstance(models, list):
        raise PageError("is not the list that it should be")
    return models


def _found(
    web: Web, task: str, model: object, sources: Sources, shipped: frozenset[str]
) -> ApiRecord | HubRefusal | Shipped:
    model = _mapping(model)
    name = model.get("id")
    if not isinstance(name, str) or not _MODEL_ID.fullmatch(name) or ".." in name:
        return HubRefusal(f"A {task} model", "has a name that no model can have")
    called = name.removeprefix("timm/") if model.get("library_name") == "timm" else name
    if called in shipped:
        return Shipped(called)
    try:
        rule = _rule(task, model)
        if rule.library == "timm" and called == name:
            called = f"hf-hub:{name}"
        front, markdown = _card(web, name, model.get("sha"))
        record = record_for(
            rule.recipe,
            called,
            _description(front, markdown),
            sources,
            values=rule.values,
            performance=_performance(front),
        )
        return ApiRecord.from_json(record)
    except PageError as error:
        return HubRefusal(name, str(error), error.passing)
    except SourceError as error:
        return HubRefusal(name, f"makes no record: {error.problem}")
    except RecordError as error:
        return HubRefusal(name, f"makes no record: {error}")


def _rule(task: str, model: Mapping[str, Any]) -> Rule:
    """:raises PageError: where the list says enough to refuse a model."""
    if model.get("private") or model.get("disabled"):
        raise PageError("is not open to the public")
    if model.get("gated"):
        raise PageError("is gated: its authors must be asked for it")
    config = _mapping(model.get("config"))
    if "custom_code" in _texts(model.get("tags")) or config.get("auto_map"):
        raise PageError("needs trust_remote_code: loading it runs code of its own")
    if not model.get("pipeline_tag"):
        raise PageError("names no task")
    if model["pipeline_tag"] != task:
        raise PageError(f"is listed under {task}, and names another task")
    library = model.get("library_name")
    if not isinstance(library, str) or not library:
        raise PageError("names no library")
    for rule in RULES:
        if rule.task == task and rule.fits(model):
            return rule
    kind = config.get("model_type")
    of_kind = f" of the type {cards.plain(kind)[:40]}" if isinstance(kind, str) and kind else ""
    raise PageError(
        f"has no usable call: no recipe suits {task} with {cards.plain(library)[:40]}{of_kind}"
    )


def _card(web: Web, name: str, commit: object) -> tuple[Mapping[str, Any], str]:
    fixed = isinstance(commit, str) and _COMMIT.fullmatch(commit) is not None
    text = web.fetch(
        f"{name}/resolve/{commit if fixed else 'main'}/README.md",
        cards.decode,
        immutable=fixed,
        limit=_CARD_BYTES,
    )
    front, markdown = cards.split(text)
    if re.search(r"trust_remote_code\s*=\s*True", markdown):
        raise PageError("needs trust_remote_code: loading it runs code of its own")
    return front, markdown


def _description(front: Mapping[str, Any], markdown: str) -> str:
    licence = _licence(front)
    text = cards.description(markdown)
    if not text:
        raise PageError("has a card without a sentence that describes it")
    return f"{text} Licence: {licence}."


def _licence(front: Mapping[str, Any]) -> str:
    named = front.get("license")
    if named == "other":
        named = front.get("license_name")
    names = [named] if isinstance(named, str) else _texts(named)
    licences = [cards.plain(name)[:60] for name in names]
    if not licences or "unknown" in licences or "" in licences:
        raise PageError("has a card that names no licence")
    return ", ".join(licences)


def _performance(front: Mapping[str, Any]) -> dict[str, Any]:
    """The first result of a card's ``model-index``: data set and metrics."""
    for index in _list(front.get("model-index")):
        for result in _list(_mapping(index).get("results")):
            metrics: dict[str, Any] = {}
            for metric in map(_mapping, _list(_mapping(result).get("metrics"))[:5]):
                kind, value = metric.get("type"), metric.get("value")
                number = isinstance(value, int | float) and not isinstance(value, bool)
                if isinstance(kind, str) and number and -1e9 < (value or 0) < 1e9:
                    metrics[cards.plain(kind)[:40]] = value
            data = _mapping(_mapping(result).get("dataset")).get("name")
            if metrics and isinstance(data, str):
                return {"dataset": cards.plain(data)[:80], **metrics}
    return {}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _texts(value: object) -> list[str]:
    return [item for item in _list(value) if isinstance(item, str)]


def _any_matches(pattern: str, texts: list[str]) -> bool:
    return any(re.fullmatch(pattern, text) for text in texts)
