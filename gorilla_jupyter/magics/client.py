"""How a kernel reaches its Jupyter server, and what answers where there is none."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
from jupyter_core.paths import jupyter_runtime_dir

from gorilla_jupyter.answer import Answer, Candidate, Event, Progress, Request, SearchResult
from gorilla_jupyter.catalog.store import environment_name

if TYPE_CHECKING:
    from gorilla_jupyter.engine import Gorilla

T = TypeVar("T")

CONNECT_SECONDS = 3.0
READ_SECONDS = 120.0

_BROKEN = (httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError)
"""What comes of a connection that breaks, or of a reply that is not ours."""


class ServerRefusalError(Exception):
    """The server answered that it will not do this; the message is its sentence."""


class ServerGoneError(Exception):
    """The server cannot be reached, stopped in mid-answer, or does not have the extension."""


@dataclass(frozen=True)
class ServerStatus:
    """What a server says of itself.

    :ivar records: how many records each indexed catalog has; empty before the first question.
    """

    version: str
    model: str
    allowed_models: tuple[str, ...]
    worker: str
    records: Mapping[str, int]

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ServerStatus:
        index = value["index"]
        return cls(
            version=value["version"],
            model=value["model"],
            allowed_models=tuple(value["allowed_models"]),
            worker=value["worker"]["state"],
            records={name: entry["records"] for name, entry in index["catalogs"].items()}
            if index
            else {},
        )


class Server:
    """The gorilla extension of a Jupyter server.

    :param url: the server's base URL.
    :param token: its token; "" where none is needed.
    """

    def __init__(self, url: str, token: str) -> None:
        self.url = url.rstrip("/")
        headers = {"Authorization": f"token {token}"} if token else {}
        self._http = httpx.Client(
            base_url=f"{self.url}/gorilla/",
            headers=headers,
            params={"client": uuid.uuid4().hex},  # kernels take turns
            timeout=httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
            trust_env=False,
        )

    def stream(self, request: Request) -> Iterator[Event]:
        """:raises ServerRefusalError: :raises ServerGoneError:"""
        # What was not asked for is the server's to choose, within its limits.
        body = {
            name: value
            for name, value in request.to_json().items()
            if value != getattr(Request, name, None)
        }
        finished = False
        try:
            with self._http.stream("POST", "ask", json=body) as response:
                if response.status_code != httpx.codes.OK:
                    response.read()
                    _raise_for(response)
                for line in response.iter_lines():
                    event = _event(json.loads(line))
                    if event is not None:
                        yield event
                        finished = isinstance(event, Answer)
        except _BROKEN as error:
            raise ServerGoneError(f"{self.url} stopped answering ({error}).") from error
        if not finished:
            raise ServerGoneError(f"{self.url} stopped answering in the middle.")

    def search(self, text: str, limit: int | None) -> SearchResult:
        """:raises ServerRefusalError: :raises ServerGoneError:"""
        query: dict[str, Any] = {"q": text, "environment": environment_name()}
        if limit is not None:
            query["limit"] = limit
        if project := current_folder():
            query["project"] = project
        return self._get("search", query, SearchResult.from_json)

    def start_indexing(self) -> None:
        """Have the index follow the catalogs, without waiting for it.

        :raises ServerRefusalError: :raises ServerGoneError:
        """
        try:
            response = self._http.post("jobs", json={"kind": "index"})
        except httpx.HTTPError as error:
            raise ServerGoneError(f"{self.url} does not answer ({error}).") from error
        if not response.is_success:
            _raise_for(response)

    def status(self) -> ServerStatus:
        """:raises ServerRefusalError: :raises ServerGoneError:"""
        return self._get("status", {}, ServerStatus.from_json)

    def _get(self, path: str, query: Mapping[str, Any], read: Callable[[Any], T]) -> T:
        try:
            response = self._http.get(path, params=dict(query))
            if response.status_code != httpx.codes.OK:
                _raise_for(response)
            return read(response.json())
        except _BROKEN as error:
            raise ServerGoneError(f"{self.url} does not answer ({error}).") from error


class Client:
    """Asks the kernel's server, or the engine in this very process where there is no server.

    :param url: the server to use; "" for the one that started this kernel.
    """

    def __init__(self, url: str = "") -> None:
        self.server = find_server(url)
        self._gorilla: Gorilla | None = None

    @property
    def gorilla(self) -> Gorilla:
        """The engine in this process."""
        if self._gorilla is None:
            from gorilla_jupyter.engine import Gorilla

            self._gorilla = Gorilla()
        return self._gorilla

    def stream(self, request: Request) -> Iterator[Event]:
        """The events of the answer; a server that fails is replaced by the local engine.

        Then the embedded model answers, whatever was asked for: another one would be loaded by
        every kernel for itself, or asked without the server's key.

        :raises ServerRefusalError: if the server has a reason not to answer.
        """
        if self.server is None:
            yield from self.gorilla.stream(request)
            return
        try:
            yield from self.server.stream(request)
        except ServerGoneError as error:
            notice = f"{error} This kernel answered itself."
            for event in self.gorilla.stream(replace(request, model=None)):
                if isinstance(event, Answer):
                    event = replace(event, notices=(notice, *event.notices))
                yield event

    def index(self) -> Iterator[Progress]:
        """Have the index follow the catalogs: the server's in the background, or the local one
        step by step."""
        if self.server is not None:
            try:
                self.server.start_indexing()
                return
            except (ServerGoneError, ServerRefusalError):
                pass  # the next question indexes them
        else:
            yield from self.gorilla.refresh()

    def search(self, text: str, limit: int | None = None) -> SearchResult:
        """
        :param limit: how many documents; None for as many as is usual.
        :raises ServerRefusalError: if the server has a reason not to answer.
        """
        if self.server is not None:
            try:
                return self.server.search(text, limit)
            except ServerGoneError:
                pass
        if limit is None:
            return self.gorilla.search(text)
        return self.gorilla.search(text, limit=limit)


def current_folder() -> str | None:
    """The folder of the notebook, where kernels run; None where it is gone, or no text names it."""
    try:
        folder = str(Path.cwd())
        folder.encode()
    except (FileNotFoundError, UnicodeEncodeError):
        return None
    return folder


def find_server(url: str = "") -> Server | None:
    """The server at ``url``, or the one that started this kernel; None where there is neither."""
    token = os.environ.get("GORILLA_TOKEN", "")
    if url:
        return Server(url, token)
    # Of no use, and no business, to other servers than the one that the Hub started.
    token = token or os.environ.get("JUPYTERHUB_API_TOKEN", "")
    parent = os.environ.get("JPY_PARENT_PID")
    if parent is None:
        return None
    for path in Path(jupyter_runtime_dir()).glob("jpserver-*.json"):
        try:
            info = json.loads(path.read_text())
            if str(info["pid"]) == parent:
                return Server(info["url"], info["token"] or token)
        except (OSError, ValueError, KeyError):
            # Another server's file, half written or just gone.
            continue
    return None


def _event(value: dict[str, Any]) -> Event | None:
    match value["event"]:
        case "progress":
            return Progress(value["message"], value["done"], value["total"])
        case "documents":
            return SearchResult.from_json(value)
        case "candidate":
            return Candidate.from_json(value)
        case "answer":
            return Answer.from_json(value)
        case "error":
            raise ServerRefusalError(value["message"])
    return None


def _raise_for(response: httpx.Response) -> None:
    try:
        message = response.json()["message"]
    except (ValueError, KeyError, TypeError):
        message = f"{response.status_code} {response.reason_phrase}"
    if response.status_code == httpx.codes.NOT_FOUND or not isinstance(message, str):
        url = response.url.copy_with(query=None)
        raise ServerGoneError(f"{url} has no gorilla extension.")
    raise ServerRefusalError(message)
