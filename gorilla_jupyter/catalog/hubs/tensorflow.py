"""TensorFlow Hub: the documents of tfhub.dev's public repository, as one archive.

The hub has moved to Kaggle, whose list of models is documented for people with an account only.
The documents that it moved with are public, and their handles still load. There are thousands,
and only their text tells the task: one archive costs the host one request instead of thousands.
Nothing in them tells how popular a model is. The publishers with the most models come first.
"""

from __future__ import annotations

import gzip
import io
import re
import tarfile
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from gorilla_jupyter.answer import Progress
from gorilla_jupyter.catalog.hubs import cards
from gorilla_jupyter.catalog.hubs.found import Found, HubRefusal, Shipped
from gorilla_jupyter.catalog.hubs.web import MEBIBYTE, PageError, Web
from gorilla_jupyter.catalog.recipes import record_for
from gorilla_jupyter.catalog.sources import SourceError, Sources, load_sources
from gorilla_jupyter.record import ApiRecord

_ARCHIVE = "tensorflow/tfhub.dev/tar.gz/refs/heads/master"
_ARCHIVE_BYTES = 64 * MEBIBYTE
_UNPACKED_BYTES = 512 * MEBIBYTE
_PAGE_BYTES = 1 << 19
_PAGE = re.compile(r"[^/]+/assets/docs/[\w./-]{1,250}/\d{1,6}\.md", re.ASCII)
_TITLE = re.compile(r"\s*# Module ((?:[A-Za-z0-9][\w.-]*/){2,8}(\d{1,6}))\s*\n", re.ASCII)
_FACT = re.compile(r"<!--\s*([a-z-]{1,40}):\s*([^<>\n]{1,200}?)\s*-->")
_HANDLE = r"https://tfhub\.dev/([\w./-]+/\d+)"
_PREPROCESSOR = re.compile(_HANDLE.replace("+/", "+preprocess/"), re.ASCII)
_SIZE = re.compile(r"`height`\s+x\s+`width`\s+=\s+(\d{2,4})\s+x\s+\1\s+pixels")

RECIPES = {
    "text-embedding": "tf-text-embedding",
    "text-preprocessing": "tf-text-preprocessing",
    "image-classification": "tf-image-classification",
    "image-feature-vector": "tf-image-features",
    "image-object-detection": "tf-object-detection",
}


@dataclass(frozen=True)
class _Page:
    handle: str
    version: int
    text: str
    facts: dict[str, str]

    @property
    def publisher(self) -> str:
        return self.handle.partition("/")[0]

    @property
    def task(self) -> str:
        return self.facts.get("task") or self.facts.get("module-type", "")


def collect(web: Web, top: int, shipped: frozenset[str]) -> Iterator[Found]:
    """Yield ``top`` models of each task, each in its newest version."""
    yield Progress("Fetching the documents", 0, 0)
    sources = load_sources()
    try:
        pages = web.fetch(_ARCHIVE, _newest, limit=_ARCHIVE_BYTES)
    except PageError as error:
        yield HubRefusal("The archive of TensorFlow Hub's documents", str(error), error.passing)
        return
    published = Counter(page.publisher for page in pages)
    pages.sort(key=lambda page: (-published[page.publisher], page.handle))
    taken: Counter[str] = Counter()
    for number, page in enumerate(pages):
        if taken[page.task] >= top:
            continue
        taken[page.task] += 1
        yield Progress("Reading documents", number, len(pages))
        if page.handle in shipped:
            yield Shipped(page.handle)
            continue
        try:
            yield _record(page, sources)
        except PageError as error:
            yield HubRefusal(page.handle, str(error))
        except SourceError as error:
            yield HubRefusal(page.handle, f"makes no record: {error.problem}")


def _newest(archive: bytes) -> list[_Page]:
    """The documents of models in an archive, of each model the newest."""
    pages: dict[str, _Page] = {}
    try:
        with tarfile.open(fileobj=_Unpacked(fileobj=io.BytesIO(archive)), mode="r|") as files:
            for file in files:
                if not file.isreg() or not _PAGE.fullmatch(file.name) or file.size > _PAGE_BYTES:
                    continue
                content = files.extractfile(file)
                page = _parse(content.read() if content else b"")
                if page is None:
                    continue
                model = page.handle.rpartition("/")[0]
                if model not in pages or page.version > pages[model].version:
                    pages[model] = page
    except (tarfile.TarError, EOFError, OSError, zlib.error, ValueError) as error:
        raise PageError("is no archive that can be unpacked") from error
    return list(pages.values())


class _Unpacked(gzip.GzipFile):
    """What a gzip file holds, up to a limit, read forwards."""

    def read(self, size: int | None = -1) -> bytes:
        content = super().read(size)
        if self.tell() > _UNPACKED_BYTES:
            raise PageError(f"unpacks to more than {_UNPACKED_BYTES // MEBIBYTE} MiB")
        return content


def _parse(content: bytes) -> _Page | None:
    """A model's document; None for one of a publisher, a collection or another format."""
    text = content.decode("utf-8", errors="replace")[: cards.READ]
    title = _TITLE.match(text)
    if title is None or ".." in title.group(1):
        return None
    return _Page(title.group(1), int(title.group(2)), text, dict(_FACT.findall(text)))


def _record(page: _Page, sources: Sources) -> ApiRecord:
    """:raises PageError: for a model that gives no record, saying why."""
    if not page.task:
        raise PageError("names no task")
    if page.facts.get("format") != "saved_model_2":
        raise PageError("is in the format of TensorFlow 1, whose models cannot be called")
    if page.facts.get("license", "").lower() in {"custom", "unknown"}:
        raise PageError("names no licence that is known")
    recipe = RECIPES.get(page.task)
    if recipe is None:
        raise PageError(f"has no usable call: no recipe suits {cards.plain(page.task)[:60]}")
    loaded = re.findall(rf"hub\.(?:load|KerasLayer)\(\s*[\"']{_HANDLE}[\"']", page.text)
    if page.handle not in loaded:
        raise PageError("has no usable call: its document does not load it")
    values = {}
    if recipe in {"tf-image-classification", "tf-image-features"}:
        size = _SIZE.search(page.text)
        if size is None:
            raise PageError("does not say which size of pictures it takes")
        if recipe == "tf-image-classification" and "imagenet" not in page.facts.get("dataset", ""):
            raise PageError("has no usable call: it knows other classes than those of ImageNet")
        values["size"] = size.group(1)
    elif recipe == "tf-object-detection" and "/lite" in page.handle:
        raise PageError("has no usable call: it is made for devices and takes one size only")
    elif recipe == "tf-object-detection" and "coco" not in page.facts.get("dataset", ""):
        raise PageError("has no usable call: it knows other classes than those of COCO")
    elif recipe == "tf-text-embedding" and (preprocessor := _PREPROCESSOR.search(page.text)):
        recipe, values["preprocessor"] = "tf-bert-embedding", preprocessor.group(1)
    record = record_for(recipe, page.handle, _description(page), sources, values=values)
    return ApiRecord.from_json(record)


def _description(page: _Page) -> str:
    text = cards.description(page.text)
    if not text:
        raise PageError("has a document without a sentence that describes it")
    # The repository says that what names no licence is under this one.
    return f"{text} Licence: {cards.plain(page.facts.get('license', 'Apache-2.0'))[:60]}."
