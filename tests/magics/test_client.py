"""The client against real servers, and against what is not quite one."""

from __future__ import annotations

import json
import os
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from gorilla_jupyter.answer import Answer, Progress, Request, event_to_json
from gorilla_jupyter.magics.client import (
    Client,
    Server,
    ServerGoneError,
    ServerRefusalError,
    find_server,
)

REQUEST = Request("load a TTS model")
PROGRESS = json.dumps(event_to_json(Progress("Indexing", 1, 2)))


@contextmanager
def replying(status: int, body: str, tokens: list[str | None] | None = None) -> Iterator[str]:
    """A server that gives one reply to everything, and its address.

    :param tokens: takes what each request was authorised with.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if tokens is not None:
                tokens.append(self.headers["Authorization"])
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        do_POST = do_GET  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def answer_of(client: Client) -> Answer:
    *_, answer = client.stream(REQUEST)
    assert isinstance(answer, Answer)
    return answer


def free_address() -> str:
    with socketserver.TCPServer(("127.0.0.1", 0), socketserver.BaseRequestHandler) as server:
        return f"http://127.0.0.1:{server.server_address[1]}/"


def runtime_file(folder: Path, pid: int, url: str) -> None:
    folder.mkdir(exist_ok=True)
    info = {"pid": pid, "url": url, "token": "secret"}
    (folder / f"jpserver-{pid}.json").write_text(json.dumps(info))


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "runtime"
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(folder))
    return folder


def test_the_server_that_started_the_kernel_is_found_by_its_pid(
    runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime_file(runtime, 1, "http://127.0.0.1:1/")
    runtime_file(runtime, os.getpid(), "http://127.0.0.1:2/")
    monkeypatch.setenv("JPY_PARENT_PID", str(os.getpid()))
    server = find_server()
    assert server is not None
    assert server.url == "http://127.0.0.1:2"


def test_a_half_written_server_file_is_passed_over(
    runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime_file(runtime, os.getpid(), "http://127.0.0.1:2/")
    (runtime / "jpserver-0.json").write_text('{"pid": ')
    monkeypatch.setenv("JPY_PARENT_PID", str(os.getpid()))
    assert find_server() is not None


def test_the_hubs_token_is_for_its_own_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "hub-secret")
    tokens: list[str | None] = []
    with replying(500, "", tokens) as url:
        server = find_server(url)
        assert server is not None
        with pytest.raises(ServerRefusalError):
            server.status()
    assert tokens == [None]


def test_without_a_parent_there_is_no_server(runtime: Path) -> None:
    runtime_file(runtime, os.getpid(), "http://127.0.0.1:2/")
    assert find_server() is None


def test_without_a_server_this_process_answers(indexed_home: Path) -> None:
    assert answer_of(Client()).candidates


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, "{}"),
        (200, ""),
        (200, PROGRESS + "\n"),
        (200, PROGRESS + "\n" + '{"event": "answer", "instr'),
        (200, '{"no": "event"}\n'),
        (200, "[1, 2]\n"),
        (200, '{"event": "answer", "candidates": 7}\n'),
    ],
    ids=["no extension", "empty", "stops", "half a line", "no event", "a list", "wrong shape"],
)
def test_a_broken_server_is_replaced_by_this_process(
    indexed_home: Path, status: int, body: str
) -> None:
    with replying(status, body) as url:
        answer = answer_of(Client(url))
    assert answer.candidates
    assert answer.notices[0].endswith("This kernel answered itself.")


def test_a_server_that_is_not_there_is_replaced_by_this_process(indexed_home: Path) -> None:
    assert answer_of(Client(free_address())).candidates


@pytest.mark.parametrize(
    ("status", "body", "sentence"),
    [
        (403, '{"message": "The model is not allowed here."}', "The model is not allowed here."),
        (503, '{"message": "100 requests are waiting."}', "100 requests are waiting."),
        (500, "<html>broken</html>", "500 Internal Server Error"),
        (200, '{"event": "error", "status": 504, "message": "Too long."}\n', "Too long."),
    ],
)
def test_a_refusal_is_passed_on_and_not_gone_around(status: int, body: str, sentence: str) -> None:
    with replying(status, body) as url, pytest.raises(ServerRefusalError, match=sentence):
        answer_of(Client(url))


def test_searching_falls_back_to_this_process(indexed_home: Path) -> None:
    assert Client(free_address()).search("speech", 3).documents


@pytest.mark.parametrize("body", ["", "[]", "nonsense"])
def test_a_status_that_is_none_means_that_the_server_is_gone(body: str) -> None:
    with replying(200, body) as url, pytest.raises(ServerGoneError):
        Server(url, "").status()


def test_redirects_are_not_followed(indexed_home: Path) -> None:
    with replying(302, "") as url, pytest.raises(ServerRefusalError, match="302"):
        answer_of(Client(url))


def test_a_kernel_that_answers_itself_asks_no_other_model_than_the_embedded(
    indexed_home: Path,
) -> None:
    request = Request("load a TTS model", model="openai:http://127.0.0.1:9/v1#tiny")
    *_, answer = Client(free_address()).stream(request)
    assert isinstance(answer, Answer)
    assert answer.model == "embedded"
