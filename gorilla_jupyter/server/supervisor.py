"""The server's side of the engine's process: it is started on demand, watched, and replaced."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from queue import SimpleQueue
from typing import Any

from gorilla_jupyter.server.errors import CANCELLED, RestError
from gorilla_jupyter.server.queue import FairQueue

ATTEMPTS = 2
"""How many workers a request may see die before it is given up."""

CANCEL_SECONDS = 10.0
"""How long a worker may take to let go of a cancelled request before it is killed."""

ALIVE_SECONDS = 10.0
"""After what silence it is said again how far a job is: clients and proxies give up on silence."""

REMEMBERED = 100
"""How many finished jobs can still be asked for."""

WAITING = {"message": "Waiting for the engine", "done": 0, "total": 0}
"""How far a job is that has not said so itself."""

Event = dict[str, Any]


class JobKind(StrEnum):
    ASK = "ask"
    INDEX = "index"
    RECORD = "record"
    SEARCH = "search"


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class WorkerDiedError(Exception):
    """The worker ended without having been asked to."""


@dataclass(eq=False)
class Job:
    """A request on its way through the worker.

    :ivar progress: how far it has come, where it says so.
    :ivar error: why there is no answer.
    """

    kind: JobKind
    arguments: Mapping[str, Any]
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    state: JobState = JobState.QUEUED
    progress: dict[str, Any] | None = None
    error: RestError | None = None
    _events: asyncio.Queue[Event | None] = field(default_factory=asyncio.Queue)
    _candidates: list[Event] = field(default_factory=list)

    @property
    def finished(self) -> bool:
        return self.state not in (JobState.QUEUED, JobState.RUNNING)

    async def events(self) -> AsyncIterator[Event]:
        """The events, once, as they come; where none comes, the progress again.

        :raises RestError: if the job fails or is cancelled.
        """
        while True:
            try:
                async with asyncio.timeout(ALIVE_SECONDS):
                    event = await self._events.get()
            except TimeoutError:
                event = {"event": "progress", **(self.progress or WAITING)}
            if event is None:
                break
            yield event
        if self.error is not None:
            raise self.error

    async def result(self) -> Event:
        """The last event.

        :raises RestError: if the job fails or is cancelled.
        """
        last: Event = {}
        async for event in self.events():
            last = event
        return last

    def add(self, event: Event) -> None:
        """Pass an event on; a candidate that came from an earlier worker already is left out."""
        if self.finished or event in self._candidates:
            return
        if event["event"] == "progress":
            self.progress = {name: event[name] for name in ("message", "done", "total")}
        if event["event"] == "candidate":
            self._candidates.append(event)
        if self.kind is not JobKind.INDEX:  # whose progress is asked for, never listened to
            self._events.put_nowait(event)

    def finish(self, state: JobState, error: RestError | None = None) -> None:
        """Nothing more will come; only the first call counts."""
        if not self.finished:
            self.state = state
            self.error = error
            self._candidates.clear()
            self._events.put_nowait(None)

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "kind": self.kind,
            "state": self.state,
            "progress": self.progress,
            "message": self.error.message if self.error else "",
        }


class Supervisor:
    """Gives jobs to a worker, one at a time, in turns for those who ask.

    A job, be it only a search, waits for the one that runs and for one of each other asker. The
    worker is started by the first job, replaced when it dies, and ended when it has been idle.

    :param options: the worker's command line.
    :param queue_size: how many jobs may wait; when there are more, whoever has most is refused.
    :param request_seconds: how long a job may take, from its turn on; indexing alone has no limit.
    :param idle_seconds: how long an idle worker is kept; 0 keeps it for ever.
    """

    def __init__(
        self,
        options: Sequence[str],
        *,
        queue_size: int,
        request_seconds: float,
        idle_seconds: float,
        log: logging.Logger,
    ) -> None:
        self.restarts = 0
        self.catalogs: dict[str, Any] | None = None
        self._options = tuple(options)
        self._request_seconds = request_seconds
        self._idle_seconds = idle_seconds
        self._log = log
        self._jobs: dict[str, Job] = {}
        self._queue: FairQueue[Job] = FairQueue(queue_size)
        self._running: Job | None = None
        self._deadline: asyncio.Timeout | None = None
        self._worker: _Worker | None = None
        self._loop: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The worker's process; None while there is none."""
        return self._worker.process.pid if self._worker and self._worker.alive else None

    @property
    def busy(self) -> bool:
        """Whether a job has its turn."""
        return self._running is not None

    def jobs(self) -> list[Job]:
        """The jobs that are not finished, and the last ones that are, oldest first."""
        return list(self._jobs.values())

    def job(self, job_id: str) -> Job | None:
        """The job of that id; None for one that there never was, or that is forgotten."""
        return self._jobs.get(job_id)

    def submit(
        self, kind: JobKind, arguments: Mapping[str, Any] | None = None, *, asker: str = ""
    ) -> Job:
        """Put a job into the queue.

        :param asker: whose turn it takes: any name of a kernel, a browser tab or another client.
        :raises RestError: if the queue is full.
        """
        job = Job(kind, arguments or {})
        waiting = len(self._queue)
        full = RestError(503, f"{waiting} requests are waiting already: try again in a moment.")
        try:
            displaced = self._queue.put(asker, job)
        except asyncio.QueueFull:
            raise full from None
        if displaced is not None:
            self._stop(displaced, JobState.FAILED, full)
        self._jobs[job.id] = job
        if self._loop is None:
            self._loop = asyncio.create_task(self._work())
        return job

    def cancel(self, job: Job) -> None:
        """Stop a job; one that is finished stays as it is."""
        self._stop(job, JobState.CANCELLED, RestError(CANCELLED, "The request was cancelled."))

    async def close(self) -> None:
        """End the worker and every job."""
        if self._loop is not None:
            self._loop.cancel()
            with suppress(asyncio.CancelledError):
                await self._loop
            self._loop = None
        await self._end_worker()
        for job in self.jobs():
            job.finish(JobState.CANCELLED, RestError(503, "The server is stopping."))

    def _stop(self, job: Job, state: JobState, error: RestError) -> None:
        if job.finished:
            return
        job.finish(state, error)
        if job is not self._running:
            self._queue.remove(job)
            self._forget()
        elif self._worker is not None and self._deadline is not None:
            self._worker.send({"cancel": job.id})
            self._deadline.reschedule(asyncio.get_running_loop().time() + CANCEL_SECONDS)

    async def _work(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._idle_seconds or None if self._worker else None):
                    job = await self._queue.get()
            except TimeoutError:
                await self._end_worker()
                continue
            self._running = job
            job.state = JobState.RUNNING
            try:
                await self._do(job)
            except Exception as error:
                self._log.exception("gorilla_jupyter: a job could not be given to the engine.")
                await self._end_worker()
                job.finish(JobState.FAILED, RestError(500, f"The engine failed: {error}."))
            finally:
                self._running = None
                self._forget()

    async def _do(self, job: Job) -> None:
        late = RestError(504, f"The request took longer than {self._request_seconds:g} seconds.")
        timer = None
        if job.kind is not JobKind.INDEX:
            timer = asyncio.get_running_loop().call_later(
                self._request_seconds, self._stop, job, JobState.FAILED, late
            )
        try:
            for _ in range(ATTEMPTS):
                try:
                    await self._exchange(job)
                    return
                except WorkerDiedError:
                    await self._replace_worker("died during a request")
                except TimeoutError:
                    await self._replace_worker("did not let go of a request")
                if job.finished:
                    return
        finally:
            if timer is not None:
                timer.cancel()
        sentence = f"The engine's process died {ATTEMPTS} times over this request."
        job.finish(JobState.FAILED, RestError(500, f"{sentence} The server's log may say why."))

    async def _exchange(self, job: Job) -> None:
        if self._worker is not None and not self._worker.alive:
            await self._replace_worker("died while it was idle")
        if self._worker is None:
            self._worker = _Worker(self._options)
        self._worker.send({"id": job.id, "kind": job.kind, "arguments": dict(job.arguments)})
        try:
            async with asyncio.timeout(None) as self._deadline:
                while "event" in (message := await self._worker.receive()):
                    job.add(message["event"])
        finally:
            self._deadline = None
        self.catalogs = message.get("catalogs", self.catalogs)
        if message["end"] == "done":
            job.finish(JobState.DONE)
        elif message["end"] == "failed":
            job.finish(JobState.FAILED, RestError(message["status"], message["message"]))

    async def _replace_worker(self, reason: str) -> None:
        self._log.warning("gorilla_jupyter: the engine's process %s; it is replaced.", reason)
        self.restarts += 1
        await self._end_worker()

    async def _end_worker(self) -> None:
        if self._worker is not None:
            worker, self._worker, self.catalogs = self._worker, None, None
            await worker.kill()

    def _forget(self) -> None:
        # Searches come with every key that is pressed: nobody asks for them afterwards.
        finished = [job for job in self._jobs.values() if job.finished]
        lasting = [job for job in finished if job.kind in (JobKind.ASK, JobKind.INDEX)]
        for job in {*finished} - {*lasting[-REMEMBERED:]}:
            del self._jobs[job.id]


class _Worker:
    # Threads and not asyncio's subprocesses: Jupyter's event loop on Windows has none, and lines
    # may have any length. They are daemons, so that none can keep the server from ending.
    def __init__(self, options: Sequence[str]) -> None:
        self.process = subprocess.Popen(
            # -P: a whoosh.py in the folder that the server was started in is none of ours.
            [sys.executable, "-P", "-m", "gorilla_jupyter.server.worker", *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._incoming: asyncio.Queue[bytes] = asyncio.Queue()
        self._outgoing: SimpleQueue[bytes] = SimpleQueue()
        for target in (self._read, self._write):
            threading.Thread(target=target, name="gorilla-worker", daemon=True).start()

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def send(self, message: Mapping[str, Any]) -> None:
        self._outgoing.put(json.dumps(message).encode() + b"\n")

    async def receive(self) -> dict[str, Any]:
        line = await self._incoming.get()
        if not line:
            raise WorkerDiedError
        message: dict[str, Any] = json.loads(line)
        return message

    async def kill(self) -> None:
        self.process.kill()
        await self._ended.wait()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                if line.endswith(b"\n"):
                    self._in_loop(self._incoming.put_nowait, line)
        self.process.kill()
        self.process.wait()
        self._outgoing.put(b"")
        self._in_loop(self._incoming.put_nowait, b"")
        self._in_loop(self._ended.set)

    def _write(self) -> None:
        assert self.process.stdin is not None
        with suppress(OSError), self.process.stdin as stdin:
            for line in iter(self._outgoing.get, b""):
                stdin.write(line)
                stdin.flush()

    def _in_loop(self, call: Callable[..., object], *arguments: object) -> None:
        with suppress(RuntimeError):  # the event loop is closed: the server has ended
            self._loop.call_soon_threadsafe(call, *arguments)
