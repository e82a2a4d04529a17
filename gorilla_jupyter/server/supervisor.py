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

AT_ONCE = 8
"""How many requests the worker may have: all but one of them wait for a model that is loaded or
writes."""

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


@dataclass(eq=False)
class _Turn:
    """What is known of a job while it has its turn.

    :ivar elsewhere: whether the worker only waits for a model over it.
    :ivar deaths: how many workers have died over it.
    :ivar timer: stops the job, and then the worker that does not let go of it.
    """

    job: Job
    elsewhere: bool = False
    deaths: int = 0
    timer: asyncio.TimerHandle | None = None

    def set_timer(self, seconds: float, call: Callable[..., object], *arguments: object) -> None:
        self.clear_timer()
        self.timer = asyncio.get_running_loop().call_later(seconds, call, *arguments)

    def clear_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()


class Supervisor:
    """Gives jobs to a worker, in turns for those who ask.

    A job, be it only a search, waits for the one that the worker does and for one of each other
    asker. While all that have had their turn wait for a model that is loaded or writes, on this
    machine or a server, the next one has its turn. The worker is started by the first job, replaced
    when it dies, and ended when it has been idle. What it died over is done again, each by itself,
    before anything else.

    :param options: the worker's command line.
    :param queue_size: how many jobs may wait; when there are more, whoever has most is refused.
    :param request_seconds: how long a job may take, from its turn on, and where a model has others
        to answer before it, from then on; indexing alone has no limit.
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
        self._turns: dict[str, _Turn] = {}
        self._again: dict[str, _Turn] = {}  # what workers died over, to be done first
        self._changed = asyncio.Event()
        self._worker: _Worker | None = None
        self._loop: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The worker's process; None while there is none."""
        return self._worker.process.pid if self._worker and self._worker.alive else None

    @property
    def busy(self) -> bool:
        """Whether a job has its turn."""
        return bool(self._turns or self._again)

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
        self._changed.set()
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
        stopping = RestError(503, "The server is stopping.")
        for turn in (*self._turns.values(), *self._again.values()):
            self._end(turn, JobState.CANCELLED, stopping)
        for job in self.jobs():
            job.finish(JobState.CANCELLED, stopping)

    def _stop(self, job: Job, state: JobState, error: RestError) -> None:
        if job.finished:
            return
        job.finish(state, error)
        if (turn := self._turns.get(job.id)) is not None and self._worker is not None:
            self._worker.send({"cancel": job.id})
            turn.set_timer(CANCEL_SECONDS, self._kill, self._worker)
        elif (turn := self._again.get(job.id)) is not None:
            self._end(turn, state)
        else:
            self._queue.remove(job)
            self._forget()

    async def _work(self) -> None:
        while True:
            self._changed.clear()
            if (turn := self._next()) is not None:
                self._give(turn)
                continue
            idle = self._worker is not None and not self.busy
            try:
                async with asyncio.timeout(self._idle_seconds or None if idle else None):
                    await self._changed.wait()
            except TimeoutError:
                await self._end_worker()

    def _next(self) -> _Turn | None:
        """What the worker is to do next; None while there is nothing, or it has enough to do."""
        # What a worker died over is done alone: should another die, it is clear over which.
        if any(turn.deaths or not turn.elsewhere for turn in self._turns.values()):
            return None
        if self._again:
            return self._again.pop(next(iter(self._again)))
        if not len(self._queue) or len(self._turns) == AT_ONCE:
            return None
        turn = _Turn(self._queue.get())
        turn.job.state = JobState.RUNNING
        return turn

    def _start_time(self, turn: _Turn) -> None:
        if turn.job.kind is not JobKind.INDEX and not turn.job.finished:
            sentence = f"The request took longer than {self._request_seconds:g} seconds."
            late = self._stop, turn.job, JobState.FAILED, RestError(504, sentence)
            turn.set_timer(self._request_seconds, *late)

    def _give(self, turn: _Turn) -> None:
        job = turn.job
        self._turns[job.id] = turn
        self._start_time(turn)
        try:
            if self._worker is None:
                self._worker = _Worker(self._options, self._hear)
            self._worker.send({"id": job.id, "kind": job.kind, "arguments": dict(job.arguments)})
        except Exception as error:
            self._log.exception("gorilla_jupyter: a job could not be given to the engine.")
            self._end(turn, JobState.FAILED, RestError(500, f"The engine failed: {error}."))

    def _hear(self, worker: _Worker, message: Mapping[str, Any] | None) -> None:
        if worker is not self._worker:
            return
        if message is None:
            self._bury()
            return
        turn = self._turns[message["id"]]
        self.catalogs = message.get("catalogs", self.catalogs)
        if "event" in message:
            turn.elsewhere = "elsewhere" in message
            if "waits" in message:
                self._start_time(turn)
            turn.job.add(message["event"])
            self._changed.set()
            return
        state = JobState(message["end"])
        failed = state is JobState.FAILED
        error = RestError(message["status"], message["message"]) if failed else None
        self._end(turn, state, error)

    def _bury(self) -> None:
        """Forget a worker that has died, and have another do what it was doing."""
        self._log.warning("gorilla_jupyter: the engine's process died; another takes its place.")
        self.restarts += 1
        self._worker = self.catalogs = None
        # The job that it worked for is likelier why than those that it only waited over: that one
        # is done first, and the death counts for that one alone.
        turns = sorted(self._turns.values(), key=lambda turn: turn.elsewhere)
        for turn in [turn for turn in turns if not turn.elsewhere] or turns:
            turn.deaths += 1
        sentence = f"The engine's process died {ATTEMPTS} times over this request."
        died = RestError(500, f"{sentence} The server's log may say why.")
        again = {}
        for turn in turns:
            if turn.job.finished or turn.deaths == ATTEMPTS:
                self._end(turn, JobState.FAILED, died)
            else:
                turn.elsewhere = False
                turn.clear_timer()
                again[turn.job.id] = turn
        self._again = {**again, **self._again}
        self._turns.clear()
        self._changed.set()

    def _end(self, turn: _Turn, state: JobState, error: RestError | None = None) -> None:
        """End a turn, and its job if that is not finished."""
        turn.clear_timer()
        self._turns.pop(turn.job.id, None)
        self._again.pop(turn.job.id, None)
        turn.job.finish(state, error)
        self._forget()
        self._changed.set()

    def _kill(self, worker: _Worker) -> None:
        self._log.warning("gorilla_jupyter: the engine's process did not let go of a request.")
        worker.process.kill()

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
    def __init__(
        self,
        options: Sequence[str],
        hear: Callable[[_Worker, Mapping[str, Any] | None], None],
    ) -> None:
        self.process = subprocess.Popen(
            # -P: a whoosh.py in the folder that the server was started in is none of ours.
            [sys.executable, "-P", "-m", "gorilla_jupyter.server.worker", *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._hear = hear  # a message; None when it has ended
        self._outgoing: SimpleQueue[bytes] = SimpleQueue()
        for target in (self._read, self._write):
            threading.Thread(target=target, name="gorilla-worker", daemon=True).start()

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def send(self, message: Mapping[str, Any]) -> None:
        self._outgoing.put(json.dumps(message).encode() + b"\n")

    async def kill(self) -> None:
        self.process.kill()
        await self._ended.wait()

    def _read(self) -> None:
        assert self.process.stdout is not None
        # What writes anything but JSON is no worker of ours: it is killed, as one that ends is.
        with suppress(ValueError), self.process.stdout as lines:
            for line in lines:
                if line.endswith(b"\n"):
                    self._in_loop(self._hear, self, json.loads(line))
        self.process.kill()
        self.process.wait()
        self._outgoing.put(b"")
        self._in_loop(self._hear, self, None)
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
