from __future__ import annotations

import asyncio

import pytest

from gorilla_jupyter.server.queue import FairQueue


def filled(*things: str, size: int = 100) -> FairQueue[str]:
    """A queue of things whose first letters are those who ask."""
    queue: FairQueue[str] = FairQueue(size)
    for thing in things:
        queue.put(thing[0], thing)
    return queue


def emptied(queue: FairQueue[str]) -> list[str]:
    return [queue.get() for _ in range(len(queue))]


def test_askers_take_turns_and_each_ones_things_keep_their_order() -> None:
    queue = filled("a1", "a2", "a3", "a4", "b1", "b2", "c1")
    assert emptied(queue) == ["a1", "b1", "c1", "a2", "b2", "a3", "a4"]


def test_a_newcomer_waits_for_one_of_each_other() -> None:
    queue = filled("a1", "a2", "a3", "b1", "b2")
    assert queue.get() == "a1"
    queue.put("c", "c1")
    assert emptied(queue) == ["b1", "a2", "c1", "b2", "a3"]


def test_who_comes_back_waits_again() -> None:
    queue = filled("a1", "b1", "b2")
    assert queue.get() == "a1"
    queue.put("a", "a2")
    assert emptied(queue) == ["b1", "a2", "b2"]


def test_a_place_in_a_full_queue_is_given_up_by_whoever_has_most() -> None:
    queue = filled("a1", "b1", "b2", "b3", size=4)
    assert queue.put("c", "c1") == "b3"
    assert emptied(queue) == ["a1", "b1", "c1", "b2"]


@pytest.mark.parametrize("asker", ["a", "b", "c"])
def test_a_full_queue_refuses_whoever_would_have_most(asker: str) -> None:
    queue = filled("a1", "b1", size=2)
    with pytest.raises(asyncio.QueueFull):
        queue.put(asker, "one more")
    assert emptied(queue) == ["a1", "b1"]


def test_what_is_taken_out_has_no_turn() -> None:
    queue = filled("a1", "b1", "b2")
    for thing in ("a1", "b2", "never put in"):
        queue.remove(thing)
    assert emptied(queue) == ["b1"]


def test_an_empty_queue_has_nothing_to_give() -> None:
    queue = filled("a1")
    queue.get()
    with pytest.raises(asyncio.QueueEmpty):
        queue.get()
