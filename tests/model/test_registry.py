"""The hub's models, with a hub on this machine and the real client in a process of its own."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from gorilla_jupyter.model.registry import GIB, KNOWN, Machine

pytestmark = pytest.mark.slow

SHA = "a" * 40
WEIGHTS = b"weights" * 1000

Command = Callable[..., subprocess.CompletedProcess[str]]


class Hub:
    """A hub with one model, acme/tiny.

    :ivar files: what it holds.
    :ivar announced: the hash that it announces for the weights.
    """

    def __init__(self) -> None:
        self.files = {
            "config.json": b"{}",
            "model.safetensors": WEIGHTS,
            "model.bin": b"pickle",
            "code.py": b"import os",
        }
        self.announced = hashlib.sha256(WEIGHTS).hexdigest()
        self.fetched: list[str] = []

    def described(self) -> dict[str, Any]:
        siblings: list[dict[str, Any]] = []
        for name, content in self.files.items():
            sibling: dict[str, Any] = {"rfilename": name, "size": len(content), "blobId": "b" * 40}
            if name.endswith(".safetensors"):
                lfs = {"sha256": self.announced, "size": len(content), "pointerSize": 130}
                sibling["lfs"] = lfs
            siblings.append(sibling)
        return {"id": "acme/tiny", "sha": SHA, "siblings": siblings, "tags": [], "private": False}


@pytest.fixture
def hub() -> Hub:
    return Hub()


@pytest.fixture
def address(hub: Hub) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            path = self.path.partition("?")[0]
            name = path.rpartition("/")[2]
            if path == "/api/models/acme/tiny":
                body, headers = json.dumps(hub.described()).encode(), {}
            elif path.startswith(f"/acme/tiny/resolve/{SHA}/") and name in hub.files:
                body = hub.files[name]
                tag = hashlib.sha256(body).hexdigest()
                headers = {"X-Repo-Commit": SHA, "ETag": f'"{tag}"'}
                if self.command == "GET":
                    hub.fetched.append(name)
            else:
                body, headers = b"{}", {"X-Error-Code": "RepoNotFound"}
            self.send_response(404 if "X-Error-Code" in headers else 200)
            for header, value in headers.items():
                self.send_header(header, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_GET = do_HEAD  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def command(address: str, tmp_path: Path) -> Command:
    """Runs ``jupyter gorilla model``."""
    folders = {"HF_HOME": str(tmp_path / "hub"), "HF_HUB_CACHE": str(tmp_path / "hub" / "cache")}

    def command(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "gorilla_jupyter.cli", "model", *words],
            env={**os.environ, "HF_ENDPOINT": address, "HF_HUB_OFFLINE": "0", **folders},
            capture_output=True,
            text=True,
            check=False,
        )

    return command


def test_a_model_is_pulled_told_and_removed(command: Command, hub: Hub) -> None:
    pulled = command("pull", "acme/tiny")
    assert pulled.returncode == 0, pulled.stderr
    assert pulled.stdout.endswith("Use it as hf:acme/tiny.\n")
    assert sorted(hub.fetched) == ["config.json", "model.safetensors"]
    assert "use it as hf:acme/tiny" in command("list").stdout
    assert f"revision {SHA}" in command("info", "acme/tiny").stdout
    assert command("remove", "acme/tiny").returncode == 0
    gone = command("remove", "acme/tiny")
    assert (gone.returncode, gone.stdout) == (1, "")
    assert "not in the hub's cache" in gone.stderr


def test_a_file_that_is_not_what_the_hub_announced_is_removed(command: Command, hub: Hub) -> None:
    hub.announced = "0" * 64
    pulled = command("pull", "acme/tiny")
    assert pulled.returncode == 1
    assert "model.safetensors is not what the hub says" in pulled.stderr
    hub.announced = hashlib.sha256(WEIGHTS).hexdigest()
    assert command("pull", "acme/tiny").returncode == 0


def test_a_model_without_safetensors_is_not_pulled(command: Command, hub: Hub) -> None:
    del hub.files["model.safetensors"]
    pulled = command("pull", "acme/tiny")
    assert (pulled.returncode, hub.fetched) == (1, [])
    assert "no weights as safetensors" in pulled.stderr


@pytest.mark.parametrize("name", ["acme/none", "a b", "../x"])
def test_what_the_hub_does_not_have_is_told_in_a_sentence(command: Command, name: str) -> None:
    pulled = command("pull", name)
    assert pulled.returncode == 1
    assert pulled.stderr.startswith(f"{name} cannot be pulled (")


def test_an_unknown_model_has_no_info(command: Command) -> None:
    assert "is not known" in command("info", "acme/none").stderr


def test_known_models_are_listed_with_what_they_need(command: Command) -> None:
    listed = command("list").stdout.splitlines()
    assert [line.split()[0] for line in listed] == [model.id for model in KNOWN]
    assert "Apache-2.0" in listed[0]
    assert "million parameters" in command("info", KNOWN[0].id).stdout


def test_a_model_runs_where_there_is_memory_for_it() -> None:
    small, big = KNOWN[0], KNOWN[-1]
    assert Machine(8 * GIB, 0).runs(small) == "CPU"
    assert Machine(8 * GIB, 0).runs(big) == ""
    assert Machine(8 * GIB, 24 * GIB).runs(big) == "GPU"
