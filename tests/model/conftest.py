"""A model server that gives prepared replies, and an engine that knows three APIs."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from gorilla_jupyter.catalog.store import CatalogStore, write_records
from gorilla_jupyter.engine import Gorilla
from gorilla_jupyter.index.search import DocumentIndex
from gorilla_jupyter.record import ApiRecord, Argument

Handler = BaseHTTPRequestHandler
Reply = Callable[[Handler], None]
CERTIFICATE = Path(__file__).parents[1] / "fixtures" / "certificate.pem"


def a_voice(name: str, description: str) -> ApiRecord:
    call = f"pipeline('text-to-speech', model='{name}')"
    return ApiRecord(
        domain="Audio Text-to-Speech",
        framework="Widgets",
        functionality="Text to speech",
        api_name=name,
        api_call=call,
        api_arguments=(
            Argument("task", "str"),
            Argument("model", "str"),
            Argument("device", "int | str", "None"),
        ),
        example_code=f"from widgets import pipeline\nspeak = {call}\nspeak('hello')",
        description=description,
    )


VOICE = a_voice("acme/voice", "Speaks German fluently.")
CHOIR = a_voice("acme/choir", "Sings hymns in four voices.")
PICTURE = ApiRecord(
    domain="Computer Vision Image Classification",
    framework="Widgets",
    functionality="Image classification",
    api_name="acme/eyes",
    api_call="load_classifier(photo)",
    example_code="from widgets import load_classifier\nload_classifier(photo)",
    description="Tells animals apart.",
)


@pytest.fixture
def gorilla(tmp_path: Path) -> Gorilla:
    store = CatalogStore(tmp_path / "catalogs", builtin=None)
    store.folder.mkdir()
    write_records(store.folder / "widgets.jsonl", [VOICE, CHOIR, PICTURE])
    return Gorilla(DocumentIndex(store, tmp_path / "index"))


@dataclass
class ModelServer:
    """A server of one model on this machine.

    :ivar replies: what the next requests get; the last one stays.
    :ivar requests: the headers and the JSON bodies that came.
    """

    port: int
    scheme: str
    replies: list[Reply] = field(default_factory=list)
    requests: list[tuple[dict[str, str], Any]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/v1"

    @property
    def model(self) -> str:
        return f"openai:{self.url}#tiny"


@pytest.fixture
def tls_model_server() -> Iterator[ModelServer]:
    """The same with a certificate that nobody but its own file vouches for."""
    yield from serve("https")


def serve(scheme: str) -> Iterator[ModelServer]:
    class ModelHandler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            served.requests.append((dict(self.headers), json.loads(body)))
            replies = served.replies
            (replies.pop(0) if len(replies) > 1 else replies[0])(self)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), ModelHandler) as server:
        if scheme == "https":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(CERTIFICATE)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        server.daemon_threads = True
        served = ModelServer(server.server_port, scheme)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield served
        finally:
            server.shutdown()
            thread.join()


def sends(status: int, body: str | bytes, **headers: str) -> Reply:
    """A reply of one piece."""

    def reply(handler: Handler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body if isinstance(body, bytes) else body.encode())

    return reply


def event(text: str) -> str:
    return f"data: {json.dumps({'choices': [{'delta': {'content': text}}]})}\n\n"


def streams(text: str, *, end: str = "data: [DONE]\n\n") -> Reply:
    """A reply that comes word by word."""
    pieces = [piece + " " for piece in text.split(" ")]
    body = "".join(map(event, pieces)) + end
    return sends(200, body, Content_Type="text/event-stream; charset=utf-8")


def answers(text: str) -> Reply:
    """A reply that is not streamed."""
    body = json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]})
    return sends(200, body, Content_Type="application/json")


def form(api_call: str, explanation: str = "It speaks.") -> str:
    return (
        f"<<<domain>>>: Audio, <<<api_call>>>: {api_call}, <<<api_provider>>>: Widgets, "
        f"<<<explanation>>>: {explanation}, <<<code>>>: import os"
    )
