"""Collectors: the top models of every task, from three hubs. Only these use the network.

Nothing here runs unless a person asks for it with ``jupyter gorilla catalog sync``.
"""

from __future__ import annotations

import ast
import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from gorilla_jupyter.answer import Progress
from gorilla_jupyter.catalog.files import CatalogFileError, read_file
from gorilla_jupyter.catalog.hubs import huggingface, pytorch, tensorflow
from gorilla_jupyter.catalog.hubs.found import Collector, HubRefusal, Shipped
from gorilla_jupyter.catalog.hubs.web import HubError, Web
from gorilla_jupyter.catalog.store import CatalogStore, write_records
from gorilla_jupyter.record import ApiRecord

__all__ = ["HUBS", "MAX_TOP", "Hub", "HubError", "HubRefusal", "SyncReport", "sync"]

MAX_TOP = 100
"""The most models of one task."""


@dataclass(frozen=True)
class Hub:
    """A hub and how it is read.

    :ivar catalog: the name of the catalog that a sync writes.
    :ivar variable: the environment variable that names a mirror.
    :ivar url: the address that is used without one.
    """

    catalog: str
    variable: str
    url: str
    collect: Collector

    def address(self) -> str:
        return os.environ.get(self.variable) or self.url


HUBS: Mapping[str, Hub] = {
    "huggingface": Hub(
        "huggingface-synced", "HF_ENDPOINT", "https://huggingface.co", huggingface.collect
    ),
    "pytorch": Hub(
        "pytorch-hub-synced",
        "GORILLA_PYTORCH_HUB_URL",
        "https://api.github.com",
        pytorch.collect,
    ),
    "tensorflow": Hub(
        "tensorflow-hub-synced",
        "GORILLA_TENSORFLOW_HUB_URL",
        "https://codeload.github.com",
        tensorflow.collect,
    ),
}


@dataclass(frozen=True)
class SyncReport:
    """What :func:`sync` did.

    :ivar records: how many records the catalog holds now.
    :ivar kept: how many of them are from an earlier sync, as not everything could be fetched.
    :ivar shipped: how many models were left out because a shipped catalog has them.
    """

    catalog: str
    path: Path
    records: int
    kept: int
    shipped: int
    requests: int
    refusals: tuple[HubRefusal, ...]

    @property
    def complete(self) -> bool:
        """Whether everything could be fetched."""
        return not any(refusal.passing for refusal in self.refusals)

    def __str__(self) -> str:
        text = f"'{self.catalog}': {self.records} records, {self.requests} requests."
        if self.shipped:
            text += f" {self.shipped} more models are in the shipped catalogs already."
        if self.refusals:
            text += f" {len(self.refusals)} gave no record."
        if not self.complete:
            text += f" Not everything could be fetched: {self.kept} records of before were kept."
        return text


def cache_folder() -> Path:
    """Where answers are kept: ``$GORILLA_HOME/hubs`` or the platform's cache folder."""
    home = os.environ.get("GORILLA_HOME")
    root = Path(home) if home else platformdirs.user_cache_path("gorilla-jupyter")
    return root / "hubs"


def sync(
    name: str,
    *,
    top: int = 20,
    url: str | None = None,
    store: CatalogStore | None = None,
    show: Callable[[Progress], None] = lambda _: None,
    timeout: float = 20.0,
    sleep: Callable[[float], None] = time.sleep,
) -> SyncReport:
    """Collect the top models of every task of a hub into a catalog, whole or not at all.

    Interrupted, it changes no catalog, and the next call goes on from what is in the cache.

    :param name: one of :data:`HUBS`.
    :param top: the most models of one task.
    :param url: a mirror's address; default: the hub's.
    :param timeout: seconds that the hub may be silent.
    :param sleep: waits for so many seconds, between requests.
    :raises HubError: where it cannot go on; the message says what to do.
    """
    if not 1 <= top <= MAX_TOP:
        raise HubError(f"--top must be between 1 and {MAX_TOP}, not {top}.")
    hub = HUBS[name]
    store = store or CatalogStore()
    shipped = {
        _key(record): record.api_name
        for catalog in store.catalogs()
        if catalog.builtin
        for record in catalog.read().records
    }
    names = frozenset(shipped.values())
    records: dict[str, ApiRecord] = {}
    refusals: list[HubRefusal] = []
    left_out: set[str] = set()
    latest = Progress("", 0, 0)

    def tell(message: str) -> None:
        show(Progress(message, latest.done, latest.total))

    address = url or hub.address()
    with Web(address, cache_folder() / name, timeout=timeout, sleep=sleep, tell=tell) as web:
        for found in hub.collect(web, top, names):
            match found:
                case Progress():
                    latest = found
                    show(found)
                case HubRefusal():
                    refusals.append(found)
                case Shipped():
                    left_out.add(found.name)
                case ApiRecord() if _key(found) in shipped:
                    left_out.add(found.api_name)
                case ApiRecord():
                    records.setdefault(_key(found), found)
        complete = not any(refusal.passing for refusal in refusals)
        if complete:
            web.forget_unused()
    path = store.folder / f"{hub.catalog}.jsonl"
    kept = 0
    if not complete and path.exists():
        # A catalog that cannot be read has nothing to keep.
        with suppress(CatalogFileError):
            for record in read_file(path, source=hub.catalog).records:
                kept += _key(record) not in records
                records.setdefault(_key(record), record)
    if records:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_records(path, records.values())
        except OSError as error:
            raise HubError(f"{path} cannot be written: {error.strerror}.") from error
    return SyncReport(
        hub.catalog, path, len(records), kept, len(left_out), web.requests, tuple(refusals)
    )


def _key(record: ApiRecord) -> str:
    return ast.dump(record.call) if record.call else json.dumps(record.api_call)
