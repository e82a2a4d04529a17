"""A real Jupyter server with the extension, and a client that holds it to ``openapi.yaml``."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest
import yaml
from jsonschema import Draft202012Validator
from jupyter_server.serverapp import ServerApp
from referencing import Registry
from referencing.jsonschema import DRAFT202012
from traitlets.config import Config

import gorilla_jupyter.server
from gorilla_jupyter.index.lexical import LexicalIndex
from gorilla_jupyter.index.search import index_folder
from gorilla_jupyter.record import ApiRecord
from gorilla_jupyter.server.extension import GorillaExtension

OPENAPI = Path(gorilla_jupyter.server.__file__).with_name("openapi.yaml")


@dataclass(frozen=True)
class Reply:
    """An HTTP response: its JSON objects, of which there are several in a stream."""

    status: int
    headers: Any
    values: list[Any]

    @property
    def json(self) -> Any:
        (value,) = self.values
        return value

    def named(self, event: str) -> list[Any]:
        return [value for value in self.values if value["event"] == event]


class Client(Protocol):
    def __call__(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        on_event: Callable[[Any], None] | None = None,
        **options: Any,
    ) -> Awaitable[Reply]: ...


@pytest.fixture(scope="session")
def openapi() -> Any:
    """What the REST interface says of itself."""
    return yaml.safe_load(OPENAPI.read_text())


@pytest.fixture(scope="session")
def check_reply(openapi: Any) -> Callable[[str, str, Reply], None]:
    """Fails unless ``openapi.yaml`` allows this reply to this method and path."""
    resource = DRAFT202012.create_resource(openapi)
    registry: Any = Registry().with_resource("openapi.yaml", resource)

    def resolved(value: Any) -> Any:
        if "$ref" not in value:
            return value
        part = openapi
        for name in value["$ref"].removeprefix("#/").split("/"):
            part = part[name]
        return part

    def check(method: str, path: str, reply: Reply) -> None:
        (operation,) = (
            item[method.lower()]
            for template, item in openapi["paths"].items()
            if re.fullmatch(re.sub(r"{\w+}", "[^/]+", template), path)
        )
        assert str(reply.status) in operation["responses"], reply
        response = resolved(operation["responses"][str(reply.status)])
        content = response.get("content", {})
        if not content:
            assert reply.values == []
            return
        ((kind, media),) = content.items()
        assert reply.headers["Content-Type"].partition(";")[0] == kind
        schema = {"$ref": "openapi.yaml" + media["schema"]["$ref"]}
        for value in reply.values:
            Draft202012Validator(schema, registry=registry).validate(value)

    return check


@pytest.fixture
def gorilla_config() -> dict[str, Any]:
    """The extension's traits; parametrize it."""
    return {}


@pytest.fixture
def server_config() -> dict[str, Any]:
    """The server's traits; parametrize it."""
    return {}


@pytest.fixture
def jp_server_config(gorilla_config: dict[str, Any], server_config: dict[str, Any]) -> Config:
    return Config(
        {
            "ServerApp": {"jpserver_extensions": {"gorilla_jupyter": True}, **server_config},
            "GorillaExtension": gorilla_config,
        }
    )


@pytest.fixture
def extension(jp_serverapp: ServerApp) -> GorillaExtension:
    app = jp_serverapp.extension_manager.extension_points["gorilla_jupyter"].app
    assert isinstance(app, GorillaExtension)
    return app


@pytest.fixture
def client(jp_fetch: Any, check_reply: Callable[[str, str, Reply], None]) -> Client:
    """Asks the server; every reply is checked against ``openapi.yaml``.

    Its ``body`` is sent as it is if it is bytes, else as JSON.
    """

    async def ask(
        method: str,
        path: str,
        *,
        body: object = None,
        on_event: Callable[[Any], None] | None = None,
        **options: Any,
    ) -> Reply:
        received = bytearray()
        heard = 0

        def listen(chunk: bytes) -> None:
            nonlocal heard
            received.extend(chunk)
            *lines, _ = bytes(received).split(b"\n")
            for line in lines[heard:]:
                heard += 1
                if on_event is not None:
                    on_event(json.loads(line))

        if body is not None:
            options["body"] = body if isinstance(body, bytes) else json.dumps(body)
        elif method == "POST":
            options["body"] = b""
        response = await jp_fetch(
            *path.removeprefix("/").split("/"),
            method=method,
            raise_error=False,
            streaming_callback=listen,
            request_timeout=60,
            **options,
        )
        assert response.code != 599, response.error
        values = [json.loads(line) for line in bytes(received).splitlines()]
        reply = Reply(response.code, response.headers, values)
        check_reply(method, path, reply)
        return reply

    return ask


@pytest.fixture
def catalog(gorilla_home: Path) -> Callable[..., None]:
    """Gives the user a catalog of so many records."""

    def write(count: int, folder: Path = gorilla_home / "catalogs") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        records = (
            ApiRecord(
                domain="Tabular",
                framework="Widgets",
                functionality="Count widgets",
                api_name=f"count_{number}",
                api_call=f"widgets.count_{number}(kind='all')",
                description=f"Counts the widgets of shelf {number} by kind and colour.",
            )
            for number in range(count)
        )
        lines = (json.dumps(record.to_json()) + "\n" for record in records)
        (folder / "widgets.jsonl").write_text("".join(lines))

    return write


@pytest.fixture
def busy_index(gorilla_home: Path) -> Callable[[], AbstractContextManager[None]]:
    """A time in which somebody else writes the index: a worker that must, waits."""

    @contextmanager
    def writing() -> Iterator[None]:
        with LexicalIndex(index_folder()).writing():
            yield

    return writing
