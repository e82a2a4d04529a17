"""A real server process, a real kernel, a sentence in, a cell out."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import papermill
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from gorilla_jupyter.demo.session import CellRun, JupyterServer, Kernel
from gorilla_jupyter.magics.display import MIME_TYPE

pytestmark = pytest.mark.slow

SENTENCE = "%gorilla load a TTS model"


def status(server: JupyterServer) -> Any:
    return server.http.get("gorilla/status").raise_for_status().json()


def answer(run: CellRun) -> Any:
    return run.data(MIME_TYPE)[0]


def save_catalog(catalogs: Path, records: int = 3_000) -> None:
    """A catalog that, with many records, takes the engine a while to index."""
    catalogs.mkdir(parents=True)
    record = {
        "domain": "Zymurgy",
        "framework": "Brewers",
        "functionality": "Ferment sugar with yeast",
        "description": " ".join(f"word{number}" for number in range(60)),
    }
    with (catalogs / "brewing.jsonl").open("w") as file:
        for number in range(records):
            name = f"ferment_{number}"
            record |= {"api_name": name, "api_call": f"{name}()"}
            record["example_code"] = f"from brewery import {name}\nbeer = {name}()"
            file.write(json.dumps(record) + "\n")


def test_a_sentence_becomes_the_next_cell(kernel: Kernel) -> None:
    run = kernel.run(SENTENCE)
    assert run.next_input == answer(run)["candidates"][0]["code"]


def test_the_servers_worker_answers_and_not_the_kernel(
    server: JupyterServer, kernel: Kernel
) -> None:
    kernel.run(SENTENCE)
    assert status(server)["worker"]["state"] == "idle"


def test_a_catalog_beside_the_notebook_is_known(
    server: JupyterServer, kernel: Kernel, tmp_path: Path
) -> None:
    save_catalog(tmp_path / "gorilla-catalogs", records=1)
    kernel.run(f"%cd {tmp_path}")
    assert "ferment_0()" in (kernel.run("%gorilla ferment sugar with yeast").next_input or "")


def test_kernels_share_one_worker(server: JupyterServer, kernel: Kernel) -> None:
    kernel.run(SENTENCE)
    first = status(server)["worker"]["pid"]
    other = server.start_kernel()
    other.run("%load_ext gorilla_jupyter")
    other.run(SENTENCE)
    assert status(server)["worker"]["pid"] == first


def test_the_kernel_checks_what_is_installed_there(kernel: Kernel) -> None:
    checks = {
        check["name"]: check["sentence"]
        for check in answer(kernel.run(SENTENCE))["candidates"][0]["checks"]
    }
    assert "your kernel were not looked at" not in checks["installed"]


def test_progress_is_shown_while_the_index_is_built(gorilla_home: Path) -> None:
    save_catalog(gorilla_home / "catalogs")
    with JupyterServer() as server:
        kernel = server.start_kernel()
        kernel.run("%load_ext gorilla_jupyter")
        run = kernel.run(SENTENCE)
    assert run.data("application/vnd.jupyter.widget-view+json")
    assert run.next_input


def test_a_worker_killed_between_two_questions_is_replaced(
    server: JupyterServer, kernel: Kernel
) -> None:
    kernel.run(SENTENCE)
    os.kill(status(server)["worker"]["pid"], signal.SIGKILL)
    assert kernel.run(SENTENCE).next_input
    assert server.process.poll() is None


def test_a_worker_killed_in_mid_question_loses_nothing(gorilla_home: Path) -> None:
    save_catalog(gorilla_home / "catalogs")
    with JupyterServer() as server:
        body = {"instruction": "ferment sugar with yeast"}
        killed = False
        with server.http.stream("POST", "gorilla/ask", json=body) as response:
            for line in response.iter_lines():
                event = json.loads(line)
                if event["event"] == "progress" and event["done"] and not killed:
                    os.kill(status(server)["worker"]["pid"], signal.SIGKILL)
                    killed = True
        assert killed
        assert event["event"] == "answer"
        assert event["candidates"]
        assert event["notices"] == []


def test_a_server_that_ends_in_mid_answer_leaves_the_kernel_to_answer(
    gorilla_home: Path,
) -> None:
    save_catalog(gorilla_home / "catalogs")
    with JupyterServer() as server:
        kernel = server.start_kernel()
        kernel.run("%load_ext gorilla_jupyter")
        # The kernel ends its own server once the answer has begun.
        kernel.run(
            "from gorilla_jupyter.magics import client\n"
            "import os, signal\n"
            "stream = client.Server.stream\n"
            "def cut(self, request):\n"
            "    for event in stream(self, request):\n"
            f"        os.kill({server.process.pid}, signal.SIGSTOP)\n"
            "        yield event\n"
            "client.READ_SECONDS = 1\n"
            "client.Server.stream = cut\n"
        )
        try:
            run = kernel.run("%gorilla ferment sugar with yeast")
        finally:
            os.kill(server.process.pid, signal.SIGCONT)
    assert run.next_input
    assert "This kernel answered itself." in answer(run)["notices"][0]


def test_the_gorilla_kernel_takes_plain_english(server: JupyterServer) -> None:
    run = server.start_kernel("gorilla").run("load a TTS model")
    assert "text-to-speech" in str(run.next_input)


def test_the_gorilla_kernel_runs_python(server: JupyterServer) -> None:
    run = server.start_kernel("gorilla").run("6 * 7")
    assert run.data("text/plain") == ["42"]


def test_picking_shows_a_chooser(kernel: Kernel) -> None:
    run = kernel.run("%gorilla --pick load a TTS model")
    assert run.next_input is None
    assert run.data("text/plain")[-1].startswith("VBox")


def test_without_a_server_a_notebook_keeps_the_answer(indexed_home: Path) -> None:
    cells = [new_code_cell("%load_ext gorilla_jupyter"), new_code_cell(SENTENCE)]
    notebook = new_notebook(cells=cells)
    nbclient.NotebookClient(notebook, kernel_name="python3", timeout=120).execute()
    assert "text-to-speech" in notebook.cells[1].outputs[-1]["data"]["text/plain"]


def test_papermill_keeps_the_answer(indexed_home: Path, tmp_path: Path) -> None:
    source, target = tmp_path / "in.ipynb", tmp_path / "out.ipynb"
    cells = [new_code_cell("%load_ext gorilla_jupyter"), new_code_cell(SENTENCE)]
    metadata = {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python"}}
    nbformat.write(new_notebook(cells=cells, metadata=metadata), source)
    papermill.execute_notebook(source, target, progress_bar=False)
    outputs = nbformat.read(target, 4).cells[1].outputs
    assert "text-to-speech" in outputs[-1]["data"]["text/plain"]
