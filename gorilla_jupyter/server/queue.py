"""What waits for its turn, round robin over those who ask."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """Gives one asker's turn after another's; what one asker puts in keeps its order.

    So whoever comes waits for one thing of each other asker at most, however much those have put
    in.

    :param size: how many things may wait.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._waiting: dict[str, deque[T]] = {}  # the asker whose turn is next comes first

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def put(self, asker: str, item: T) -> T | None:
        """Put something in.

        :returns: what had to leave a full queue for it: the last thing of whoever has most in it.
        :raises asyncio.QueueFull: if nobody has more in a full queue than the asker then would.
        """
        displaced = None
        if len(self) >= self._size:
            greediest = max(self._waiting, key=lambda other: len(self._waiting[other]))
            if len(self._waiting[greediest]) <= len(self._waiting.get(asker, ())) + 1:
                raise asyncio.QueueFull
            displaced = self._waiting[greediest].pop()
        self._waiting.setdefault(asker, deque()).append(item)
        return displaced

    def remove(self, item: T) -> None:
        """Take something out; what is not in is no mistake."""
        for asker, items in self._waiting.items():
            if item in items:
                items.remove(item)
                if not items:
                    del self._waiting[asker]
                return

    def get(self) -> T:
        """Take out what is next.

        :raises asyncio.QueueEmpty: if there is nothing.
        """
        asker = next(iter(self._waiting), None)
        if asker is None:
            raise asyncio.QueueEmpty
        items = self._waiting.pop(asker)
        item = items.popleft()
        if items:
            self._waiting[asker] = items
        return item
