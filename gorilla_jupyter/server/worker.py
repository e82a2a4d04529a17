"""The engine's process: ``python -m gorilla_jupyter.server.worker``.

It reads requests from standard input and writes events to standard output, one JSON object a line,
and does one request after the other::

    {"id": ..., "kind": "ask", "arguments": {...}}      what is to be done
    {"cancel": ...}                                     stop that one

    {"id": ..., "event": {...}}                         any number of these
    {"id": ..., "end": "done", "catalogs": {...}}       or "cancelled", or "failed" and why

It may be killed at any moment, and ends by itself when its standard input does.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, BinaryIO, TextIO

from gorilla_jupyter.answer import (
    Answer,
    Event,
    Progress,
    Request,
    SearchResult,
    event_to_json,
)
from gorilla_jupyter.catalog.store import CatalogStore
from gorilla_jupyter.engine import Gorilla
from gorilla_jupyter.index.search import DocumentIndex
from gorilla_jupyter.model.backend import load_encoder
from gorilla_jupyter.server.errors import RestError, rest_error
from gorilla_jupyter.verify import verify_here, with_installed

QUIET_SECONDS = 2.0
"""How long nobody must have asked before documents are encoded: who types needs the processor."""


class Worker:
    """One engine and the requests for it.

    :param output: where the events go.
    """

    def __init__(self, gorilla: Gorilla, output: TextIO) -> None:
        self._gorilla = gorilla
        self._output = output
        self._requests: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
        self._cancelled: str | None = None
        self._catalogs_are_known = False

    def read(self, lines: Iterable[bytes]) -> None:
        """Take requests until there are no more."""
        for line in lines:
            message = json.loads(line)
            if "cancel" in message:
                self._cancelled = message["cancel"]
            else:
                self._requests.put(message)
        self._requests.put(None)

    def run(self) -> None:
        """Answer the requests in the order in which they come, and encode documents meanwhile."""
        encoding: Iterator[Progress] = iter(())
        quiet = QUIET_SECONDS
        while True:
            try:
                request = self._requests.get(timeout=quiet)
            except Empty:
                quiet = 0.0
                if next(encoding, None) is not None:
                    continue
                request = self._requests.get()
            if request is None:
                return
            self._answer(request)
            encoding = self._gorilla.encode()
            quiet = QUIET_SECONDS

    def _answer(self, request: dict[str, Any]) -> None:
        job = request["id"]
        try:
            with closing(self._events(request["kind"], request["arguments"])) as events:
                for event in events:
                    if self._cancelled == job:
                        self._send(job, end="cancelled")
                        return
                    self._send(job, event=event)
            self._send(job, end="done", **self._news())
        except Exception as error:
            failure = rest_error(error)
            if failure.status >= 500:
                traceback.print_exc()
            self._send(job, end="failed", status=failure.status, message=failure.message)

    def _events(self, kind: str, arguments: dict[str, Any]) -> Generator[dict[str, Any]]:
        if kind == "ask":
            request = Request.from_json(arguments)
            events: Iterable[Event] = self._gorilla.stream(request)
            if request.environment is None:
                events = map(_judged_here, events)
            yield from self._noting(events)
            return
        # First the index is brought up to date, here where its progress is seen and can be stopped.
        yield from self._noting(self._gorilla.refresh(arguments.get("project")))
        match kind:
            case "search":
                text, limit = arguments.pop("text"), arguments.pop("limit")
                found = self._gorilla.search(text, limit=limit, **arguments)
                yield event_to_json(found if arguments.get("environment") else _judged_here(found))
            case "record":
                record = self._gorilla.record(arguments["id"])
                if record is None:
                    raise RestError(404, f"There is no record '{arguments['id']:.80}'.")
                yield {
                    "event": "record",
                    "id": record.id,
                    "source": record.source,
                    "package": record.package,
                    "install": record.pip_install,
                    "code": self._gorilla.cell(record),
                    **record.to_json(),
                }
            case "index":
                pass
            case _:
                raise RestError(500, f"The engine knows no request of kind '{kind}'.")

    def _noting(self, events: Iterable[Event]) -> Generator[dict[str, Any]]:
        for event in events:
            if isinstance(event, Progress):
                self._catalogs_are_known = False
            yield event_to_json(event)

    def _news(self) -> dict[str, Any]:
        if self._catalogs_are_known:
            return {}
        catalogs = {
            name: {"records": entry.records, "notices": list(entry.notices)}
            for name, entry in self._gorilla.entries().items()
        }
        self._catalogs_are_known = True
        return {"catalogs": catalogs}

    def _send(self, job: str, **content: Any) -> None:
        self._output.write(json.dumps({"id": job, **content}, allow_nan=False) + "\n")
        self._output.flush()


def _judged_here(event: Event) -> Event:
    """The event, with what depends on the environment said of the server's own, which this is."""
    if isinstance(event, SearchResult):
        return replace(event, documents=with_installed(event.documents))
    if isinstance(event, Answer):
        return replace(verify_here(event), nearest=with_installed(event.nearest))
    return event


def main() -> None:
    """Run the process."""
    parser = argparse.ArgumentParser(description="The engine's process; the server starts it.")
    parser.add_argument("--model", required=True)
    parser.add_argument("--index-folder", type=Path)
    parser.add_argument("--catalog-folder", type=Path)
    options = parser.parse_args()
    # Ctrl-C in the server's terminal is a question to the server, not to this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    output = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
    os.dup2(2, 1)  # what a library prints must not get among the events
    index = DocumentIndex(
        CatalogStore(options.catalog_folder), options.index_folder, encoder=load_encoder
    )
    worker = Worker(Gorilla(index, model=options.model), output)
    threading.Thread(target=_read, args=(worker, sys.stdin.buffer), daemon=True).start()
    worker.run()


def _read(worker: Worker, lines: BinaryIO) -> None:
    worker.read(lines)
    # The server is gone, and nobody waits for what the main thread may still be doing.
    os._exit(0)


if __name__ == "__main__":
    main()
