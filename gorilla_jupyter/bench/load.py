"""Twenty notebooks that ask one server at once, and how Jupyter itself answers meanwhile."""

from __future__ import annotations

import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, cycle, islice, takewhile
from multiprocessing import get_context
from pathlib import Path

from gorilla_jupyter.answer import Request
from gorilla_jupyter.bench.latency import (
    SENTENCES,
    Figure,
    empty_home,
    timed_ask,
    write_figures,
)
from gorilla_jupyter.bench.models import public_name
from gorilla_jupyter.demo.session import JupyterServer
from gorilla_jupyter.magics.client import Server, ServerGoneError, ServerRefusalError
from gorilla_jupyter.model.backend import DEFAULT_MODEL

NOTEBOOKS = 20
"""How many ask: all but one have one request at the server at a time."""

GREEDY = 0
"""The one that has more."""

GREEDY_REQUESTS = 10
"""How many that one always has at the server."""

ANSWERS = 50
"""How many answers each of the others waits for."""

POLL_SECONDS = 0.02
"""How long lies between two of Jupyter's own requests."""


@dataclass(frozen=True)
class Asked:
    """One request.

    :ivar notebook: the number of the one that asked.
    :ivar began: when it was sent, and
    :ivar ended: when its answer was complete, both in seconds of one clock.
    :ivar error: why there was none.
    """

    notebook: int
    began: float
    ended: float
    error: str = ""


@dataclass(frozen=True)
class Load:
    """What was seen.

    :ivar asked: every request.
    :ivar status_seconds: what each of Jupyter's own requests took meanwhile.
    :ivar memory: bytes that the worker held before, and after.
    """

    asked: Sequence[Asked]
    status_seconds: Sequence[float]
    memory: tuple[int, int]

    @property
    def errors(self) -> list[str]:
        """Why requests failed."""
        return [asked.error for asked in self.asked if asked.error]

    @property
    def served_meanwhile(self) -> int:
        """The most answers that one notebook got while another waited for one.

        Taking turns makes it three at most: one that is on its way already when the request is, one
        that is being written, and one that is next. The greedy notebook waits for itself and is
        left out of those that wait.
        """
        return max(
            max(Counter(self._notebooks_served_during(waiting)).values(), default=0)
            for waiting in self.asked
            if waiting.notebook != GREEDY
        )

    def _notebooks_served_during(self, waiting: Asked) -> Iterator[int]:
        for other in self.asked:
            if other.notebook != waiting.notebook and waiting.began < other.ended < waiting.ended:
                yield other.notebook


def run(results: Path, *, model: str = DEFAULT_MODEL, answers: int = ANSWERS) -> None:
    """Measure, print the table, and write ``load.json``, or for another model than the embedded one
    ``load-model.json``, into the folder ``results``.

    :param answers: how many each notebook but the greedy one waits for.
    """
    load = measure(answers, model)
    waits = [asked.ended - asked.began for asked in load.asked if asked.notebook != GREEDY]
    seconds = max(asked.ended for asked in load.asked) - min(asked.began for asked in load.asked)
    before, after = load.memory
    status = statistics.quantiles(load.status_seconds, n=100)
    figures = [
        Figure("notebooks that ask at once", NOTEBOOKS, ""),
        Figure(f"answers, {GREEDY_REQUESTS} at a time for one notebook", len(load.asked), ""),
        Figure("answers a second", len(load.asked) / seconds, "1/s"),
        Figure("errors", len(load.errors), "", 0),
        Figure("wait for an answer, median", statistics.median(waits), "s"),
        Figure("wait for an answer, longest", max(waits), "s"),
        Figure("answers of one notebook while another waits, most", load.served_meanwhile, "", 3),
        Figure("memory of the worker, before", before / 1e6, "MB"),
        Figure("memory of the worker, growth", (after - before) / 1e6, "MB", 10),
        Figure("Jupyter's /api/status, median", status[49] * 1000, "ms"),
        Figure("Jupyter's /api/status, 99th percentile", status[98] * 1000, "ms", 100),
    ]
    is_default = model == DEFAULT_MODEL
    named = "" if is_default else f" --model {public_name(model)}"
    counted = "" if answers == ANSWERS else f" --answers {answers}"
    path = results / ("load.json" if is_default else "load-model.json")
    write_figures(path, f"jupyter gorilla bench load{named}{counted}", figures)


def measure(answers: int, model: str = DEFAULT_MODEL) -> Load:
    """Have a new server asked until every notebook but the greedy one has so many answers."""
    with empty_home(), JupyterServer(f"--GorillaExtension.model={model}") as server:
        for sentence in SENTENCES:
            timed_ask(server.http, sentence)
        before = _memory_bytes(server)
        # In a process of their own, so that the notebooks do not hold up who measures.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as processes:
            url = str(server.http.base_url)
            asking = processes.submit(_ask_at_once, url, server.token, answers)
            status_seconds = []
            while not asking.done():
                start = time.perf_counter()
                server.http.get("api/status").raise_for_status()
                status_seconds.append(time.perf_counter() - start)
                time.sleep(POLL_SECONDS)
        return Load(asking.result(), status_seconds, (before, _memory_bytes(server)))


def _memory_bytes(server: JupyterServer) -> int:
    return int(server.http.get("gorilla/status").json()["worker"]["memory_bytes"])


def _ask_at_once(url: str, token: str, answers: int) -> list[Asked]:
    finished = threading.Event()
    greedy = Server(url, token)

    def ask_some(notebook: int) -> list[Asked]:
        server = Server(url, token)
        sentences = islice(cycle(SENTENCES), notebook, notebook + answers)
        return [_ask(notebook, server, sentence) for sentence in sentences]

    def ask_on(first: int) -> list[Asked]:
        sentences = islice(cycle(SENTENCES), first, None)
        unfinished = takewhile(lambda _: not finished.is_set(), sentences)
        return [_ask(GREEDY, greedy, sentence) for sentence in unfinished]

    with ThreadPoolExecutor(NOTEBOOKS + GREEDY_REQUESTS) as threads:
        unending = threads.map(ask_on, range(GREEDY_REQUESTS))
        try:
            asked = list(chain.from_iterable(threads.map(ask_some, range(1, NOTEBOOKS))))
        finally:
            finished.set()
        return [*asked, *chain.from_iterable(unending)]


def _ask(notebook: int, server: Server, sentence: str) -> Asked:
    began = time.monotonic()
    error = ""
    try:
        for _ in server.stream(Request(sentence)):
            pass
    except (ServerGoneError, ServerRefusalError) as failure:
        error = str(failure)
    return Asked(notebook, began, time.monotonic(), error)
