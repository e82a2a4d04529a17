"""The engine's process: ``python -m gorilla_jupyter.server.worker``.

It reads requests from standard input and writes events to standard output, one JSON object a line::

    {"id": ..., "kind": "ask", "arguments": {...}}      what is to be done
    {"cancel": ...}                                     stop that one

    {"id": ..., "event": {...}}                         any number of these
    {"id": ..., "event": {...}, "elsewhere": true}      or these: a model works for it, or, with
                                                        "waits", will do so after others
    {"id": ..., "end": "done", "catalogs": {...}}       or "cancelled", or "failed" and why

It works for one request at a time, and for the next ones while a model that writes, here or on
another machine, works for that one.
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
from dataclasses import dataclass, replace
from functools import partial
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


@dataclass(eq=False)
class _Request:
    """A request that has not ended.

    :ivar messages: what is still to be sent for it.
    :ivar ready: whether it waits for the engine, and no thread has it.
    """

    id: str
    messages: Generator[dict[str, Any]]
    cancelled: bool = False
    ready: bool = True


class Worker:
    """One engine and the requests for it.

    The thread that runs it does whatever the engine does. While a model is loaded or writes for a
    request, a thread of its own waits for that, and does nothing else.

    :param output: where the events go.
    """

    def __init__(self, gorilla: Gorilla, output: TextIO) -> None:
        self._gorilla = gorilla
        self._output = output
        self._sending = threading.Lock()
        self._ready: SimpleQueue[_Request | None] = SimpleQueue()
        self._unfinished: dict[str, _Request] = {}
        self._catalogs_are_known = False

    def read(self, lines: Iterable[bytes]) -> None:
        """Take requests until there are no more."""
        for line in lines:
            message = json.loads(line)
            if "cancel" in message:
                if (cancelled := self._unfinished.get(message["cancel"])) is not None:
                    cancelled.cancelled = True
            else:
                messages = self._messages(message["kind"], message["arguments"])
                request = _Request(message["id"], messages)
                self._unfinished[request.id] = request
                self._ready.put(request)
        self._ready.put(None)

    def run(self) -> None:
        """Answer the requests in the order in which they come, and encode documents when there are
        none; return when no more can come, whatever models still write."""
        encoding: Iterator[Progress] = iter(())
        quiet = QUIET_SECONDS
        while True:
            try:
                request = self._ready.get(timeout=quiet)
            except Empty:
                if self._unfinished:
                    continue
                quiet = 0.0
                if _goes_on(encoding):
                    continue
                request = self._ready.get()
            if request is None:
                return
            if not request.ready:
                continue  # it was let go of
            request.ready = False
            self._advance(request, elsewhere=False)
            encoding = self._gorilla.encode()
            quiet = QUIET_SECONDS

    def _advance(self, request: _Request, *, elsewhere: bool) -> None:
        """Go on with a request until it ends, or is to be gone on with by the other thread.

        :param elsewhere: whether this is the thread that waits for the model.
        """
        try:
            for message in request.messages:
                if request.cancelled:
                    self._let_go(request)
                    return
                self._send(request, **message)
                if ("elsewhere" in message) is not elsewhere:
                    break
                if not elsewhere:
                    for other in self._unfinished.copy().values():
                        if other.cancelled and other.ready:
                            self._let_go(other)
            else:
                self._end(request, end="done", **self._news())
                return
            if elsewhere:
                request.ready = True
                self._ready.put(request)
            else:
                waiting = partial(self._advance, request, elsewhere=True)
                threading.Thread(target=waiting, daemon=True).start()
        except Exception as error:
            request.messages.close()
            failure = rest_error(error)
            if failure.status >= 500:
                traceback.print_exc()
            self._end(request, end="failed", status=failure.status, message=failure.message)

    def _messages(self, kind: str, arguments: dict[str, Any]) -> Generator[dict[str, Any]]:
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
                judged = found if arguments.get("environment") else _judged_here(found)
                yield {"event": event_to_json(judged)}
            case "record":
                record = self._gorilla.record(arguments["id"])
                if record is None:
                    raise RestError(404, f"There is no record '{arguments['id']:.80}'.")
                yield {
                    "event": {
                        "event": "record",
                        "id": record.id,
                        "source": record.source,
                        "package": record.package,
                        "install": record.pip_install,
                        "code": self._gorilla.cell(record),
                        **record.to_json(),
                    }
                }
            case "index":
                pass
            case _:
                raise RestError(500, f"The engine knows no request of kind '{kind}'.")

    def _noting(self, events: Iterable[Event]) -> Generator[dict[str, Any]]:
        for event in events:
            message: dict[str, Any] = {"event": event_to_json(event)}
            if isinstance(event, Progress):
                self._catalogs_are_known = False
                if event.elsewhere:
                    message["elsewhere"] = True
                if event.waits:
                    message["waits"] = True
            yield message

    def _news(self) -> dict[str, Any]:
        if self._catalogs_are_known:
            return {}
        catalogs = {
            name: {"records": entry.records, "notices": list(entry.notices)}
            for name, entry in self._gorilla.entries().items()
        }
        self._catalogs_are_known = True
        return {"catalogs": catalogs}

    def _let_go(self, request: _Request) -> None:
        request.ready = False
        request.messages.close()
        self._end(request, end="cancelled")

    def _end(self, request: _Request, **content: Any) -> None:
        self._unfinished.pop(request.id, None)
        self._send(request, **content)

    def _send(self, request: _Request, **content: Any) -> None:
        line = json.dumps({"id": request.id, **content}, allow_nan=False) + "\n"
        with self._sending:
            self._output.write(line)
            self._output.flush()


def _judged_here(event: Event) -> Event:
    """The event, with what depends on the environment said of the server's own, which this is."""
    if isinstance(event, SearchResult):
        return replace(event, documents=with_installed(event.documents))
    if isinstance(event, Answer):
        return replace(verify_here(event), nearest=with_installed(event.nearest))
    return event


def _goes_on(encoding: Iterator[Progress]) -> bool:
    """Take the next step, and tell whether there was one. A fault there is no question's: who asks
    next is told of it, if it is still there."""
    try:
        return next(encoding, None) is not None
    except Exception:
        traceback.print_exc()
        return False


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
