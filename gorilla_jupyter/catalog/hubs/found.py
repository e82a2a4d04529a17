"""What a collector finds on a hub."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from gorilla_jupyter.answer import Progress
from gorilla_jupyter.catalog.hubs.web import Web
from gorilla_jupyter.record import ApiRecord


@dataclass(frozen=True)
class HubRefusal:
    """A model, or a page of a hub, that gives no record.

    :ivar subject: the model's or page's name.
    :ivar reason: the rest of a sentence that begins with it.
    :ivar passing: whether the hub failed rather than the page: the next sync may have it.
    """

    subject: str
    reason: str
    passing: bool = False

    def __str__(self) -> str:
        return f"{self.subject} {self.reason}."


@dataclass(frozen=True)
class Shipped:
    """A model that is in a shipped catalog already."""

    name: str


Found = Progress | ApiRecord | HubRefusal | Shipped
"""What a collector yields, as it goes."""

Collector = Callable[[Web, int, frozenset[str]], Iterator[Found]]
"""Takes a client for the hub, the most models of a task, and the names that are shipped."""
