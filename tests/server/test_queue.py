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


async def emptied(queue: FairQueue[str]) -> list[str]:
    return [await queue.get() for _ in range(len(queue))]


async def test_askers_take_turns_and_each_ones_things_keep_their_order() -> None:
    queue = filled("a1", "a2", "a3", "a4", "b1", "b2", "c1")
    assert await emptied(queue) == ["a1", "b1", "c1", "a2", "b2", "a3", "a4"]


async def test_a_newcomer_waits_for_one_of_each_other() -> None:
    queue = filled("a1", "a2", "a3", "b1", "b2")
    assert await queue.get() == "a1"
    queue.put("c", "c1")
    assert await emptied(queue) == ["b1", "a2", "c1", "b2", "a3"]


async def test_who_comes_back_waits_again() -> None:
    queue = filled("a1", "b1", "b2")
    assert await queue.get() == "a1"
    queue.put("a", "a2")
    assert await emptied(queue) == ["b1", "a2", "b2"]


async def test_a_place_in_a_full_queue_is_given_up_by_whoever_has_most() -> None:
    queue = filled("a1", "b1", "b2", "b3", size=4)
    assert queue.put("c", "c1") == "b3"
    assert await emptied(queue) == ["a1", "b1", "c1", "b2"]


@pytest.mark.parametrize("asker", ["a", "b", "c"])
async def test_a_full_queue_refuses_whoever_would_have_most(asker: str) -> None:
    queue = filled("a1", "b1", size=2)
    with pytest.raises(asyncio.QueueFull):
        queue.put(asker, "one more")
    assert await emptied(queue) == ["a1", "b1"]


async def test_what_is_taken_out_has_no_turn() -> None:
    queue = filled("a1", "b1", "b2")
    for thing in ("a1", "b2", "never put in"):
        queue.remove(thing)
    assert await emptied(queue) == ["b1"]


async def test_an_empty_queue_is_waited_for() -> None:
    queue = filled()
    getting = asyncio.ensure_future(queue.get())
    await asyncio.sleep(0)
    assert not getting.done()
    queue.put("a", "a1")
    assert await getting == "a1"
