from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from gorilla_jupyter.server import supervisor
from gorilla_jupyter.server.errors import CANCELLED, RestError
from gorilla_jupyter.server.supervisor import Job, JobKind, JobState, Supervisor
from tests.model.conftest import Handler, ModelServer, Reply, answers, form
from tests.model.test_onnx import make_endless, write_counter

OPTIONS = ("--model", "embedded")


@asynccontextmanager
async def supervising(
    *options: str,
    queue_size: int = 100,
    request_seconds: float = 60.0,
    idle_seconds: float = 60.0,
) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(
        options or OPTIONS,
        queue_size=queue_size,
        request_seconds=request_seconds,
        idle_seconds=idle_seconds,
        log=logging.getLogger("test"),
    )
    try:
        yield supervisor
    finally:
        await supervisor.close()


async def first_event(job: Job) -> Any:
    return await anext(job.events())


async def next_wait(job: Job) -> None:
    """Wait until the worker says once more that a model server works for the job."""
    async for event in job.events():
        if "writes" in event.get("message", ""):
            return


async def end_of(process: psutil.Process) -> None:
    await asyncio.to_thread(process.wait, 20)


def search(text: str = "speech") -> tuple[JobKind, dict[str, Any]]:
    return JobKind.SEARCH, {"text": text, "limit": 1}


def ask(model: str = "embedded") -> tuple[JobKind, dict[str, Any]]:
    return JobKind.ASK, {"instruction": "load a TTS model", "candidates": 2, "model": model}


class Arrivals:
    """Questions that have come to a model server and are not answered yet."""

    def __init__(self) -> None:
        self._come = threading.Semaphore(0)

    async def wait_for(self, count: int) -> None:
        """Wait for so many more."""
        for _ in range(count):
            assert await asyncio.to_thread(self._come.acquire, timeout=20)

    def answered_after(self, event: threading.Event) -> Reply:
        """A reply that says that nothing fits, once the event has happened."""

        def reply(handler: Handler) -> None:
            self._come.release()
            if event.wait(20):
                answers(form("none"))(handler)

        return reply

    def until_it_leaves(self, event: threading.Event) -> Reply:
        """No reply; the event happens when whoever asks has gone."""

        def reply(handler: Handler) -> None:
            self._come.release()
            with suppress(OSError):
                handler.connection.recv(1)
            event.set()

        return reply

    def of_three_that_leave(self) -> list[Reply]:
        """Replies to three that leave before they are answered, and to all after them."""
        answered = threading.Event()
        answered.set()
        return [*[self.until_it_leaves(threading.Event())] * 3, self.answered_after(answered)]


async def models_of(*jobs: Job) -> set[str]:
    """Who answered."""
    return {answer["model"] for answer in await asyncio.gather(*(job.result() for job in jobs))}


async def test_nothing_is_started_before_the_first_job() -> None:
    async with supervising() as supervisor:
        assert supervisor.pid is None
        await supervisor.submit(*search()).result()
        assert supervisor.pid is not None
        assert supervisor.catalogs
        assert not supervisor.busy


async def test_jobs_take_turns_on_one_worker() -> None:
    async with supervising() as supervisor:
        jobs = [supervisor.submit(*search()) for _ in range(5)]
        assert [job.state for job in jobs] == [JobState.QUEUED] * 5
        results = await asyncio.gather(*(job.result() for job in jobs))
        assert all(result == results[0] for result in results)
        assert supervisor.restarts == 0


async def test_a_full_queue_refuses(
    busy_index: Callable[[], AbstractContextManager[None]],
) -> None:
    async with supervising(queue_size=1) as supervisor:
        with busy_index():
            first = supervisor.submit(*ask())
            await first_event(first)
            second = supervisor.submit(*search())
            with pytest.raises(RestError, match="1 requests are waiting") as refusal:
                supervisor.submit(*search())
            assert refusal.value.status == 503
            supervisor.cancel(second)
            third = supervisor.submit(*search())
        assert (await third.result())["documents"]


async def test_askers_take_turns(
    busy_index: Callable[[], AbstractContextManager[None]],
) -> None:
    async with supervising() as supervisor:
        with busy_index():
            await first_event(supervisor.submit(*ask(), asker="a"))
            jobs = {
                name: supervisor.submit(*search(), asker=name[0])
                for name in ("a1", "a2", "a3", "b1", "b2", "c1")
            }
        order = []

        async def note(name: str) -> None:
            await jobs[name].result()
            order.append(name)

        await asyncio.gather(*map(note, jobs))
        assert order == ["a1", "b1", "c1", "a2", "b2", "a3"]


async def test_who_has_most_in_a_full_queue_makes_room_for_another(
    busy_index: Callable[[], AbstractContextManager[None]],
) -> None:
    async with supervising(queue_size=2) as supervisor:
        with busy_index():
            await first_event(supervisor.submit(*ask(), asker="a"))
            first, second = (supervisor.submit(*search(), asker="a") for _ in range(2))
            other = supervisor.submit(*search(), asker="b")
            with pytest.raises(RestError, match="2 requests are waiting") as refusal:
                await second.result()
            assert refusal.value.status == 503
        assert (await first.result())["documents"]
        assert (await other.result())["documents"]


async def test_how_far_a_job_is_is_said_again_while_nothing_happens(
    busy_index: Callable[[], AbstractContextManager[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "ALIVE_SECONDS", 0.01)
    async with supervising() as supervising_:
        with busy_index():
            running = supervising_.submit(*ask())
            events = running.events()
            while (first := await anext(events))["message"] == supervisor.WAITING["message"]:
                pass
            assert await anext(events) == first
            waiting = supervising_.submit(*ask())
            assert await first_event(waiting) == {"event": "progress", **supervisor.WAITING}
        assert (await waiting.result())["candidates"]


async def test_an_idle_worker_ends_and_comes_back() -> None:
    async with supervising(idle_seconds=0.2) as supervisor:
        await supervisor.submit(*search()).result()
        assert supervisor.pid is not None
        await end_of(psutil.Process(supervisor.pid))
        assert supervisor.pid is None
        assert (await supervisor.submit(*search()).result())["documents"]
        assert supervisor.restarts == 0


async def test_a_worker_killed_while_idle_is_replaced() -> None:
    async with supervising() as supervisor:
        await supervisor.submit(*search()).result()
        assert supervisor.pid is not None
        killed = psutil.Process(supervisor.pid)
        killed.kill()
        assert (await supervisor.submit(*search()).result())["documents"]
        assert supervisor.pid != killed.pid
        assert supervisor.restarts == 1


async def test_a_worker_killed_during_a_job_loses_nothing(
    busy_index: Callable[[], AbstractContextManager[None]],
) -> None:
    async with supervising() as supervisor:
        with busy_index():
            job = supervisor.submit(*ask())
            waiting = supervisor.submit(*search())
            await first_event(job)
            assert supervisor.pid is not None
            os.kill(supervisor.pid, signal.SIGKILL)
        events = [event async for event in job.events()]
        candidates = [event["api_call"] for event in events if event["event"] == "candidate"]
        answer = events[-1]
        assert candidates == [found["api_call"] for found in answer["candidates"]]
        assert len(candidates) == 2
        assert (await waiting.result())["documents"]
        assert supervisor.restarts == 1


async def test_a_worker_killed_while_twenty_ask_loses_nothing(indexed_home: Path) -> None:
    async with supervising() as supervisor:
        jobs = [supervisor.submit(*ask(), asker=str(number)) for number in range(20)]
        await jobs[4].result()
        async for event in jobs[5].events():
            if event["event"] == "documents" and not supervisor.restarts:
                assert supervisor.pid is not None
                os.kill(supervisor.pid, signal.SIGKILL)
        answers = await asyncio.gather(*(job.result() for job in jobs[6:]))
        assert [len(answer["candidates"]) for answer in answers] == [2] * 14
        assert {job.state for job in jobs} == {JobState.DONE}
        assert supervisor.restarts == 1


async def test_a_job_that_two_workers_die_over_fails_with_a_sentence() -> None:
    async with supervising("--no-such-option") as supervisor:
        for _ in range(2):
            with pytest.raises(RestError, match="died 2 times over this request") as failure:
                await supervisor.submit(*search()).result()
            assert failure.value.status == 500
        assert supervisor.pid is None


async def test_a_job_that_takes_too_long_is_stopped(
    busy_index: Callable[[], AbstractContextManager[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "CANCEL_SECONDS", 0.1)
    async with supervising(request_seconds=3.0) as supervising_:
        with busy_index():
            job = supervising_.submit(*ask())
            await first_event(job)
            assert supervising_.pid is not None
            stuck = psutil.Process(supervising_.pid)
            with pytest.raises(RestError, match="longer than 3 seconds") as failure:
                await job.result()
            assert failure.value.status == 504
            # The worker waits for the index and hears nothing: another one takes its place.
            await end_of(stuck)
        await supervising_.submit(JobKind.INDEX).result()
        assert supervising_.restarts == 1


async def test_cancelling(
    busy_index: Callable[[], AbstractContextManager[None]],
) -> None:
    async with supervising() as supervisor:
        with busy_index():
            running = supervisor.submit(*ask())
            queued = supervisor.submit(*ask())
            other = supervisor.submit(*ask())
            await first_event(running)
            pid = supervisor.pid
            for job in (running, queued):
                supervisor.cancel(job)
                with pytest.raises(RestError, match="cancelled") as failure:
                    await job.result()
                assert failure.value.status == CANCELLED
                assert job.state is JobState.CANCELLED
        assert (await other.result())["candidates"]
        assert supervisor.pid == pid
        supervisor.cancel(other)
        assert other.state is JobState.DONE


async def test_questions_are_answered_here_while_a_model_server_works(
    indexed_home: Path, model_server: ModelServer
) -> None:
    arrivals, released = Arrivals(), threading.Event()
    model_server.replies[:] = [arrivals.answered_after(released)]
    async with supervising() as supervisor:
        elsewhere = supervisor.submit(*ask(model_server.model))
        await arrivals.wait_for(1)
        here = supervisor.submit(*ask()), supervisor.submit(*ask())
        assert await models_of(*here) == {"embedded"}
        assert elsewhere.state is JobState.RUNNING
        released.set()
        assert await models_of(elsewhere) == {model_server.model}


async def test_the_time_of_one_that_waits_for_a_model_begins_with_its_answer(
    indexed_home: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "endless"
    folder.mkdir()
    write_counter(folder)
    make_endless(folder)
    seconds = 2.0
    async with supervising(request_seconds=seconds) as supervisor:
        jobs = [supervisor.submit(*ask(f"onnx:{folder}")) for _ in range(2)]
        results = [asyncio.ensure_future(job.result()) for job in jobs]
        # Which of them is written first is not said: both wait for the model to be loaded.
        await asyncio.wait(results, return_when=asyncio.FIRST_COMPLETED)
        stopped = time.monotonic()
        for result in results:
            with pytest.raises(RestError, match="longer than 2 seconds"):
                await result
        assert time.monotonic() - stopped > seconds / 2


async def test_only_so_many_questions_are_at_model_servers(
    indexed_home: Path, model_server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "AT_ONCE", 2)
    arrivals, released = Arrivals(), threading.Event()
    model_server.replies[:] = [arrivals.answered_after(released)]
    async with supervising() as supervising_:
        jobs = [supervising_.submit(*ask(model_server.model)) for _ in range(3)]
        await arrivals.wait_for(2)
        # Told twice that it waits, the supervisor had the time to give the next one its turn.
        for _ in range(2):
            await next_wait(jobs[0])
            await next_wait(jobs[1])
        assert jobs[2].state is JobState.QUEUED
        released.set()
        assert await models_of(*jobs) == {model_server.model}


async def test_cancelling_one_that_a_model_server_works_for_leaves_the_others(
    indexed_home: Path, model_server: ModelServer
) -> None:
    arrivals, gone = Arrivals(), threading.Event()
    model_server.replies[:] = [arrivals.until_it_leaves(gone), arrivals.answered_after(gone)]
    async with supervising() as supervisor:
        cancelled = supervisor.submit(*ask(model_server.model))
        await arrivals.wait_for(1)
        others = [supervisor.submit(*ask(model_server.model)) for _ in range(2)]
        await arrivals.wait_for(2)
        supervisor.cancel(cancelled)
        # They are answered when the worker has let go of the other: it is not the supervisor alone
        # that has forgotten it.
        assert await models_of(*others) == {model_server.model}
        assert supervisor.restarts == 0


async def test_a_worker_killed_while_model_servers_work_loses_nothing(
    indexed_home: Path, model_server: ModelServer
) -> None:
    arrivals, gone = Arrivals(), threading.Event()
    model_server.replies[:] = [
        *[arrivals.until_it_leaves(gone)] * 3,
        arrivals.answered_after(gone),
    ]
    async with supervising() as supervisor:
        jobs = [supervisor.submit(*ask(model_server.model)) for _ in range(3)]
        await arrivals.wait_for(3)
        assert supervisor.pid is not None
        os.kill(supervisor.pid, signal.SIGKILL)
        assert await models_of(*jobs) == {model_server.model}
        assert len(model_server.requests) == 6
        assert supervisor.restarts == 1


async def test_of_jobs_that_a_worker_dies_over_the_one_that_kills_the_next_fails_alone(
    indexed_home: Path, model_server: ModelServer
) -> None:
    arrivals = Arrivals()
    model_server.replies[:] = arrivals.of_three_that_leave()
    async with supervising() as supervisor:
        jobs = [supervisor.submit(*ask(model_server.model)) for _ in range(2)]
        await arrivals.wait_for(2)
        for _ in range(2):
            assert supervisor.pid is not None
            os.kill(supervisor.pid, signal.SIGKILL)
            await arrivals.wait_for(1)
        deadly, other = sorted(jobs, key=lambda job: job.state is not JobState.FAILED)
        with pytest.raises(RestError, match="died 2 times over this request"):
            await deadly.result()
        assert await models_of(other) == {model_server.model}


async def test_the_time_of_one_that_is_done_again_begins_with_its_turn(
    indexed_home: Path, model_server: ModelServer
) -> None:
    arrivals = Arrivals()
    model_server.replies[:] = arrivals.of_three_that_leave()
    async with supervising(request_seconds=5.0) as supervisor:
        jobs = [supervisor.submit(*ask(model_server.model)) for _ in range(2)]
        await arrivals.wait_for(2)
        assert supervisor.pid is not None
        os.kill(supervisor.pid, signal.SIGKILL)
        results = [asyncio.ensure_future(job.result()) for job in jobs]
        await asyncio.wait(results)
        late, other = sorted(results, key=lambda result: result.exception() is None)
        assert "longer than 5 seconds" in str(late.exception())
        assert other.result()["model"] == model_server.model


async def test_jobs_that_workers_die_over_take_none_along_that_waits_elsewhere(
    indexed_home: Path,
    model_server: ModelServer,
    catalog: Callable[[int], None],
    busy_index: Callable[[], AbstractContextManager[None]],
) -> None:
    arrivals, gone = Arrivals(), threading.Event()
    model_server.replies[:] = [
        *[arrivals.until_it_leaves(gone)] * 2,
        arrivals.answered_after(gone),
    ]
    async with supervising() as supervisor:
        waiting = supervisor.submit(*ask(model_server.model))
        for number in (1, 2):
            await arrivals.wait_for(1)
            with busy_index():
                catalog(number)  # which the search must wait to index
                deadly = supervisor.submit(*search())
                for _ in range(2):
                    await first_event(deadly)
                    assert supervisor.pid is not None
                    os.kill(supervisor.pid, signal.SIGKILL)
                with pytest.raises(RestError, match="died 2 times over this request"):
                    await deadly.result()
        assert await models_of(waiting) == {model_server.model}
        assert supervisor.restarts == 4


async def test_a_worker_that_waits_for_a_model_server_is_not_idle(
    indexed_home: Path, model_server: ModelServer
) -> None:
    arrivals, released = Arrivals(), threading.Event()
    model_server.replies[:] = [arrivals.answered_after(released)]
    async with supervising(idle_seconds=0.01) as supervisor:
        job = supervisor.submit(*ask(model_server.model))
        await arrivals.wait_for(1)
        for _ in range(3):
            await next_wait(job)
        released.set()
        assert await models_of(job) == {model_server.model}


async def test_finished_asks_are_remembered_up_to_a_bound_and_searches_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(supervisor, "REMEMBERED", 3)
    async with supervising() as supervising_:
        asks = [supervising_.submit(*ask()) for _ in range(5)]
        await supervising_.submit(*search()).result()
        assert supervising_.jobs() == asks[-3:]
        assert supervising_.job(asks[0].id) is None


async def test_closing_ends_the_worker_and_its_jobs(
    busy_index: Callable[[], AbstractContextManager[None]],
) -> None:
    async with supervising() as supervisor:
        with busy_index():
            job = supervisor.submit(*ask())
            await first_event(job)
            assert supervisor.pid is not None
            process = psutil.Process(supervisor.pid)
            await supervisor.close()
        assert not process.is_running()
        with pytest.raises(RestError, match="stopping"):
            await job.result()


def test_a_candidate_is_passed_on_once() -> None:
    job = Job(JobKind.ASK, {})
    candidate = {"event": "candidate", "api_call": "f()"}
    for event in (candidate, {"event": "documents"}, candidate, {"event": "documents"}):
        job.add(event)
    job.finish(JobState.DONE)

    async def names() -> list[str]:
        return [event["event"] async for event in job.events()]

    assert asyncio.run(names()) == ["candidate", "documents", "documents"]


def test_the_worker_ends_with_its_server_even_during_a_request(
    busy_index: Callable[[], AbstractContextManager[None]],
) -> None:
    code = """
import asyncio, logging
from gorilla_jupyter.server.supervisor import JobKind, Supervisor

async def main():
    supervisor = Supervisor(
        ["--model", "embedded"],
        queue_size=1, request_seconds=60, idle_seconds=60, log=logging.getLogger(),
    )
    job = supervisor.submit(JobKind.ASK, {"instruction": "load a TTS model"})
    async for event in job.events():
        print(supervisor.pid, flush=True)

asyncio.run(main())
"""
    with (
        busy_index(),
        subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as server,
    ):
        assert server.stdout is not None
        assert int(server.stdout.readline()) != server.pid
        server.kill()
        # Both processes hold the error pipe: it ends when the last of them has.
        server.communicate(timeout=20)
