"""A real Jupyter server and a real kernel of it, driven without a browser."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any

import httpx
from jupyter_client.blocking.client import BlockingKernelClient

START_SECONDS = 90.0
RUN_SECONDS = 120.0


class SessionError(Exception):
    """The server or the kernel did not start or did not answer; the message says which."""


@dataclass
class CellRun:
    """What came of running a cell.

    :ivar outputs: the kernel's output messages, in order: their contents.
    :ivar next_input: the text that the kernel asked the front end to insert as a cell, if any.
    """

    outputs: list[dict[str, Any]] = field(default_factory=list)
    next_input: str | None = None

    def data(self, mime_type: str) -> list[Any]:
        """What was displayed in that form."""
        return [
            output["data"][mime_type]
            for output in self.outputs
            if mime_type in output.get("data", {})
        ]

    @property
    def error(self) -> str | None:
        """The error that ended the cell, in a line."""
        for output in self.outputs:
            if "ename" in output:
                return f"{output['ename']}: {output['evalue']}"
        return None


class JupyterServer:
    """A context manager: the server is started on a free port and stopped at the end.

    :param arguments: more arguments for the server.
    :param port: where it listens; 0 for a port that is free.
    :param token: what a client must know; a new secret where it is left out.
    :ivar process: the server's process.
    :ivar token: what a client must know.
    :ivar http: a client of its REST interface, with its token.
    """

    def __init__(self, *arguments: str, port: int = 0, token: str | None = None) -> None:
        self._arguments = arguments
        self._port = port
        self.token = token or secrets.token_urlsafe(24)
        self._resources = ExitStack()
        self._runtime: Path
        self.process: subprocess.Popen[bytes]
        self.http: httpx.Client

    def __enter__(self) -> JupyterServer:
        with ExitStack() as resources:
            temporary = resources.enter_context(TemporaryDirectory(prefix="gorilla-jupyter-"))
            folder = Path(temporary)
            self._runtime = folder / "runtime"
            self._runtime.mkdir(mode=0o700)
            self._log = folder / "server.log"
            self.process = self._start(folder)
            resources.callback(_stop, self.process)
            self.http = resources.enter_context(
                httpx.Client(
                    base_url=self._await_url(),
                    headers={"Authorization": f"token {self.token}"},
                    timeout=RUN_SECONDS,
                    trust_env=False,
                )
            )
            self._resources = resources.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._resources.close()

    def start_kernel(self, name: str = "python3") -> Kernel:
        """A new kernel of this server; it ends with the server.

        :raises SessionError: if it does not start.
        """
        response = self.http.post("api/kernels", json={"name": name})
        if response.status_code != httpx.codes.CREATED:
            raise SessionError(f"The kernel '{name}' did not start: {response.text}")
        path = self._runtime / f"kernel-{response.json()['id']}.json"
        client = BlockingKernelClient(connection_file=str(path))
        client.load_connection_file()
        client.start_channels()
        self._resources.callback(client.stop_channels)
        try:
            client.wait_for_ready(timeout=START_SECONDS)
        except RuntimeError as error:
            raise SessionError(f"The kernel '{name}' did not answer: {error}") from error
        return Kernel(client)

    def page(self, path: str) -> str:
        """The address of a page, for a browser."""
        return f"{self.http.base_url}{path}?token={self.token}"

    def _start(self, folder: Path) -> subprocess.Popen[bytes]:
        environment = dict(os.environ)
        environment |= {"JUPYTER_RUNTIME_DIR": str(self._runtime), "JUPYTER_TOKEN": self.token}
        environment.pop("JPY_PARENT_PID", None)
        with self._log.open("wb") as log:
            return subprocess.Popen(
                [
                    *(sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root"),
                    *("--ServerApp.ip=127.0.0.1", f"--ServerApp.port={self._port}"),
                    f"--ServerApp.root_dir={folder}",
                    *self._arguments,
                ],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _await_url(self) -> str:
        path = self._runtime / f"jpserver-{self.process.pid}.json"
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                url: str = json.loads(path.read_text())["url"]
                httpx.get(f"{url}api", trust_env=False).raise_for_status()
                return url
            except (OSError, ValueError, httpx.HTTPError):
                time.sleep(0.01)
        log = self._log.read_text(errors="replace")[-2000:]
        raise SessionError(f"The Jupyter server did not start:\n{log}")


class Kernel:
    """A kernel that runs cells as a notebook would."""

    def __init__(self, client: BlockingKernelClient) -> None:
        self._client = client

    def run(self, code: str) -> CellRun:
        """Run a cell.

        :raises SessionError: if it takes longer than two minutes.
        """
        run = CellRun()
        try:
            reply = self._client.execute_interactive(
                code,
                store_history=True,
                allow_stdin=False,
                timeout=RUN_SECONDS,
                output_hook=lambda message: run.outputs.append(message["content"]),
            )
        except TimeoutError as error:
            raise SessionError(f"The kernel did not finish within {RUN_SECONDS:.0f} s.") from error
        for payload in reply["content"].get("payload", []):
            if payload["source"] == "set_next_input":
                run.next_input = payload["text"]
        return run


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
