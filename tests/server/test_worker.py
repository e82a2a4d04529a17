from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gorilla_jupyter.answer import Progress
from gorilla_jupyter.engine import Gorilla
from gorilla_jupyter.record import ApiRecord
from gorilla_jupyter.server.worker import Worker
from tests.model.conftest import ModelServer, answers, form
from tests.model.test_decoding import DiceBackend, SlowDice
from tests.model.test_openai import waits


class Output(io.StringIO):
    """Keeps the messages and tells somebody of each."""

    def __init__(self, on_message: Callable[[Any], None] = lambda message: None) -> None:
        super().__init__()
        self._on_message = on_message

    def write(self, text: str) -> int:
        length = super().write(text)
        self._on_message(json.loads(text))
        return length

    @property
    def messages(self) -> list[Any]:
        return [json.loads(line) for line in self.getvalue().splitlines()]


def run(*requests: dict[str, Any], gorilla: Gorilla | None = None) -> list[Any]:
    output = Output()
    worker = Worker(gorilla or Gorilla(), output)
    worker.read(json.dumps(request).encode() for request in requests)
    worker.run()
    return output.messages


def request(kind: str, **arguments: Any) -> dict[str, Any]:
    return {"id": kind, "kind": kind, "arguments": arguments}


@pytest.fixture
def user_catalog(gorilla_home: Path) -> Callable[[str], None]:
    """Gives the user a catalog of one record, which requires this distribution."""

    def write(distribution: str) -> None:
        module = distribution.replace("-", "_")
        record = ApiRecord(
            domain="Zymurgy",
            framework="Widgets",
            functionality="Count the widgets of the brewery",
            api_name=f"{module}.count_widgets",
            api_call=f"{module}.count_widgets()",
            python_environment_requirements=(distribution,),
            description="Count widgets.",
        )
        folder = gorilla_home / "catalogs"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{distribution}.jsonl").write_text(json.dumps(record.to_json()))

    return write


def test_an_ask_yields_the_engines_events_and_an_end() -> None:
    *messages, end = run(request("ask", instruction="load a TTS model", candidates=1))
    names = [message["event"]["event"] for message in messages]
    assert list(dict.fromkeys(names)) == ["documents", "candidate", "answer"]
    assert end["end"] == "done"
    assert all(message["id"] == "ask" for message in (*messages, end))


@pytest.mark.parametrize(
    ("environment", "installed"), [(None, {True, False}), ("another", {None})], ids=str
)
def test_a_search_says_what_is_installed_in_the_servers_own_environment(
    user_catalog: Callable[[str], None], environment: str | None, installed: set[bool | None]
) -> None:
    user_catalog("pytest")
    user_catalog("no-such-distribution")
    *_, found, _ = run(request("search", text="count widgets", limit=2, environment=environment))
    assert {document["installed"] for document in found["event"]["documents"]} == installed


@pytest.mark.parametrize(
    ("environment", "status"), [(None, "passed"), ("another", "unknown")], ids=str
)
def test_an_answer_is_checked_in_the_servers_own_environment(
    user_catalog: Callable[[str], None], environment: str | None, status: str
) -> None:
    user_catalog("pytest")
    *_, answer, _ = run(
        request("ask", instruction="count the widgets", environment=environment, candidates=1)
    )
    (candidate,) = answer["event"]["candidates"]
    (check,) = (check for check in candidate["checks"] if check["name"] == "installed")
    assert check["status"] == status


def test_a_record_comes_with_its_cell(user_catalog: Callable[[str], None]) -> None:
    user_catalog("pytest")
    gorilla = Gorilla()
    *_, found, _ = run(request("search", text="count widgets", limit=1), gorilla=gorilla)
    (document,) = found["event"]["documents"]
    *_, record, _ = run(request("record", id=document["id"]), gorilla=gorilla)
    assert "import pytest" in record["event"]["code"]
    assert "pytest.count_widgets()" in record["event"]["code"]
    assert record["event"]["install"] == "%pip install pytest"


def test_the_catalogs_are_told_when_they_may_have_changed(
    catalog: Callable[[int], None],
) -> None:
    gorilla = Gorilla()
    first = run(request("index"), gorilla=gorilla)[-1]
    assert "widgets" not in first["catalogs"]
    catalog(3)
    after = run(request("index"), gorilla=gorilla)[-1]
    assert after["catalogs"]["widgets"] == {"records": 3, "notices": []}
    twice = run(request("index"), request("index"), gorilla=gorilla)
    assert "catalogs" not in twice[-1]


def test_a_search_and_the_record_that_it_found() -> None:
    gorilla = Gorilla()
    *_, search, _ = run(request("search", text="speech", limit=1), gorilla=gorilla)
    (document,) = search["event"]["documents"]
    record, _ = run(request("record", id=document["id"]), gorilla=gorilla)
    place = {name: document[name] for name in ("id", "source", "package", "install")}
    assert "pipeline(" in record["event"].pop("code")
    assert record["event"] == {"event": "record", **place, **document["record"]}


@pytest.mark.parametrize(
    ("bad", "status", "words"),
    [
        (request("record", id="nothing"), 404, "no record 'nothing'"),
        (request("ask", instruction="load", model="none"), 503, "no model 'none'"),
        (request("ask", instruction=" "), 400, "empty"),
        (request("dance"), 500, "dance"),
    ],
)
def test_a_request_that_fails_leaves_the_next_one_alone(
    bad: dict[str, Any], status: int, words: str
) -> None:
    messages = run(bad, {**request("index"), "id": "next"})
    (end,) = (message for message in messages if message["id"] == bad["id"] and "end" in message)
    assert (end["end"], end["status"]) == ("failed", status)
    assert words in end["message"]
    assert messages[-1]["id"] == "next"
    assert messages[-1]["end"] == "done"


def test_cancelling_stops_that_request_and_no_other(catalog: Callable[[int], None]) -> None:
    catalog(300)

    def cancel_indexing(message: Any) -> None:
        if message.get("event", {}).get("done"):
            worker.read([b'{"cancel": "index"}'])

    output = Output(cancel_indexing)
    worker = Worker(Gorilla(), output)
    worker.read([json.dumps(request("index")).encode()])
    worker.run()
    assert output.messages[-1] == {"id": "index", "end": "cancelled"}
    assert run(request("search", text="widgets", limit=1))[-2]["event"]["documents"]


@pytest.mark.parametrize(("verb", "reads"), [("reads", 2), ("writes", 50)])
def test_cancelling_stops_a_model_while_it_works(indexed_home: Path, verb: str, reads: int) -> None:
    def note(message: Any) -> None:
        if decoder.began.is_set() and message.get("event", {}).get("message") == f"dice {verb}":
            noted.set()
        if "end" in message:
            ended.set()

    def lines() -> Iterator[bytes]:
        yield json.dumps(request("ask", instruction="load a TTS model")).encode()
        noted.wait(20)
        yield b'{"cancel": "ask"}'
        ended.wait(20)

    noted, ended = threading.Event(), threading.Event()
    backend = DiceBackend()
    backend.decoder = decoder = SlowDice(0, reads)
    gorilla = Gorilla(model="dice")
    gorilla.use(backend)
    output = Output(note)
    worker = Worker(gorilla, output)
    threading.Thread(target=worker.read, args=(lines(),)).start()
    worker.run()
    assert output.messages[-1] == {"id": "ask", "end": "cancelled"}
    assert decoder.forgotten.wait(20)
    assert decoder.seen == {}


def test_others_are_answered_while_a_model_works(indexed_home: Path) -> None:
    def note(message: Any) -> None:
        if message.get("end") == "done":
            answered.set()
        if message.get("end") == "cancelled":
            ended.set()

    def lines() -> Iterator[bytes]:
        yield json.dumps(request("ask", instruction="load a TTS model")).encode()
        decoder.began.wait(20)
        search = request("search", text="speech", limit=1)
        yield json.dumps({**search, "id": "other"}).encode()
        answered.wait(20)
        yield b'{"cancel": "ask"}'
        ended.wait(20)

    answered, ended = threading.Event(), threading.Event()
    backend = DiceBackend()
    backend.decoder = decoder = SlowDice(0)
    gorilla = Gorilla(model="dice")
    gorilla.use(backend)
    worker = Worker(gorilla, Output(note))
    threading.Thread(target=worker.read, args=(lines(),)).start()
    worker.run()
    assert answered.is_set()


@pytest.mark.parametrize("has_written", [False, True])
def test_cancelling_what_was_sent_to_a_model_server_waits_for_no_other_request(
    indexed_home: Path, model_server: ModelServer, has_written: bool
) -> None:
    class Busy:
        """A model that does not end before the other request has."""

        name = "busy"

        def propose(self, *_: object) -> Iterator[Progress]:
            assert not has_written or written.wait(20)
            worker.read([b'{"cancel": "other"}'])
            while not let_go.wait(0.01):
                yield Progress("busy", 0, 0)

    def note(message: Any) -> None:
        if message == {"id": "other", "end": "cancelled"}:
            let_go.set()
        elif "tiny writes" in str(message) and "elsewhere" not in message:
            written.set()

    let_go, written = threading.Event(), threading.Event()
    model_server.replies[:] = [answers(form("none")) if has_written else waits(let_go)]
    gorilla = Gorilla()
    gorilla.use(Busy())
    output = Output(note)
    worker = Worker(gorilla, output)
    asked = {"instruction": "load a TTS model"}
    requests = (
        {**request("ask", **asked, model=model_server.model), "id": "other"},
        request("ask", **asked, model="busy"),
    )
    worker.read(json.dumps(one).encode() for one in requests)
    worker.run()
    ends = [(message["id"], message["end"]) for message in output.messages if "end" in message]
    assert ends == [("other", "cancelled"), ("ask", "done")]


def test_what_a_library_prints_is_no_event() -> None:
    code = (
        "import sys, gorilla_jupyter.server.worker as worker\n"
        "from gorilla_jupyter.engine import Gorilla\n"
        "refresh = Gorilla.refresh\n"
        "Gorilla.refresh = lambda self: print('noise') or refresh(self)\n"
        "sys.argv[1:] = ['--model', 'embedded']\n"
        "worker.main()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(request("index")) + "\n")
        process.stdin.flush()
        while "end" not in (message := json.loads(process.stdout.readline())):
            assert message["event"]["event"] == "progress"
        process.stdin.close()
        assert process.wait(timeout=20) == 0
