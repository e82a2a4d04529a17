"""A hub of our own on this machine, which answers as the real ones do, faults included."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Answer:
    """What the hub says.

    :ivar body: bytes or text as they are, anything else as JSON.
    :ivar promised: the Content-Length to claim, where it is not the body's.
    :ivar silent: say nothing until the hub is closed.
    """

    body: Any = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    promised: int | None = None
    silent: bool = False

    def content(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        text = self.body if isinstance(self.body, str) else json.dumps(self.body)
        return text.encode()


@dataclass(frozen=True)
class Asked:
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]


class Replay:
    """Serves ``answers``: by path, or by path and task as in ``/api/models?text-to-speech``.

    Where there are several answers for one key, each is given once and the last one for ever. A
    list of models that is not there is empty; any other page is 404.
    """

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer]] = {}
        self.asked: list[Asked] = []
        self._closed = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def say(self, key: str, *bodies: Any) -> None:
        """Answer ``key`` with these bodies or :class:`Answer` objects, one after the other."""
        self.answers[key] = [body if isinstance(body, Answer) else Answer(body) for body in bodies]

    def paths(self) -> list[str]:
        return [asked.path for asked in self.asked]

    def close(self) -> None:
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _next(self, asked: Asked) -> Answer:
        key = asked.path
        if task := asked.query.get("pipeline_tag"):
            key += f"?{task[0]}"
        answers = self.answers.get(key)
        if answers is None:
            return Answer([]) if asked.path == "/api/models" else Answer(status=404)
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        replay = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                address = urlsplit(self.path)
                asked = Asked(address.path, parse_qs(address.query), dict(self.headers))
                replay.asked.append(asked)
                answer = replay._next(asked)
                self.close_connection = answer.silent or answer.promised is not None
                if answer.silent:
                    replay._closed.wait()
                    return
                etag = answer.headers.get("ETag")
                unchanged = etag is not None and asked.headers.get("If-None-Match") == etag
                content = b"" if unchanged else answer.content()
                self.send_response(304 if unchanged else answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                if not unchanged:
                    length = len(content) if answer.promised is None else answer.promised
                    self.send_header("Content-Length", str(length))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        return Handler
