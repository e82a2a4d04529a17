from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import threading
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import yaml
from jupyter_server.auth import Authorizer

from gorilla_jupyter.answer import MAX_CHARACTERS, Answer, Event, Request
from gorilla_jupyter.magics.client import Server
from gorilla_jupyter.model import ALLOWING
from gorilla_jupyter.record import ApiRecord
from gorilla_jupyter.server.extension import GorillaExtension
from tests.model.conftest import Handler, ModelServer, answers, form
from tests.server.conftest import OPENAPI, Client, Reply

SENTENCE = {"instruction": "load a TTS model", "candidates": 2}

OPERATIONS = [
    (method.upper(), path.replace("{id}", "0" * 16))
    for path, item in yaml.safe_load(OPENAPI.read_text())["paths"].items()
    for method in item
]


class DenyGorilla(Authorizer):
    """Everything is allowed but Gorilla."""

    def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
        return resource != "gorilla"


class ReadGorilla(Authorizer):
    """Gorilla may be read."""

    def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
        return resource != "gorilla" or action == "read"


async def status(client: Client) -> Any:
    return (await client("GET", "/gorilla/status")).json


class TestAccess:
    @pytest.mark.parametrize(("method", "path"), OPERATIONS)
    async def test_the_unauthenticated_are_refused(
        self, client: Client, extension: GorillaExtension, method: str, path: str
    ) -> None:
        # With a matching XSRF pair, so that it is the missing token that is refused.
        xsrf = {"Cookie": "_xsrf=abcd", "X-XSRFToken": "abcd"}
        reply = await client(method, path, headers={"Authorization": "token wrong", **xsrf})
        assert reply.status == 403
        assert "_xsrf" not in reply.json["message"]
        assert extension.supervisor.jobs() == []

    @pytest.mark.parametrize("server_config", [{"authorizer_class": DenyGorilla}])
    @pytest.mark.parametrize(("method", "path"), OPERATIONS)
    async def test_the_unauthorized_are_refused(
        self, client: Client, extension: GorillaExtension, method: str, path: str
    ) -> None:
        reply = await client(method, path)
        assert reply.status == 403
        assert "not authorized" in reply.json["message"]
        assert extension.supervisor.jobs() == []

    @pytest.mark.parametrize("server_config", [{"authorizer_class": ReadGorilla}])
    async def test_reading_and_writing_are_told_apart(self, client: Client) -> None:
        assert (await client("GET", "/gorilla/jobs")).status == 200
        assert (await client("POST", "/gorilla/jobs", body={"kind": "index"})).status == 403

    async def test_a_cookie_without_its_xsrf_token_cannot_write(self, client: Client) -> None:
        headers = {"Authorization": "", "Cookie": "_xsrf=abcd"}
        reply = await client("POST", "/gorilla/ask", body=SENTENCE, headers=headers)
        assert reply.status == 403


class TestAsk:
    async def test_streams_what_the_engine_finds(self, client: Client) -> None:
        reply = await client("POST", "/gorilla/ask", body=SENTENCE)
        names = list(dict.fromkeys(value["event"] for value in reply.values))
        assert names == ["started", "documents", "candidate", "answer"]
        (found,) = reply.named("answer")
        answer = Answer.from_json(found)
        assert len(answer.candidates) == len(reply.named("candidate")) == 2
        assert "text-to-speech" in answer.candidates[0].record.domain.lower()
        job = (await client("GET", f"/gorilla/jobs/{reply.values[0]['job']}")).json
        assert (job["kind"], job["state"], job["message"]) == ("ask", "done", "")

    async def test_each_event_is_sent_when_it_comes(
        self, client: Client, busy_index: Callable[[], AbstractContextManager[None]]
    ) -> None:
        progress = asyncio.Event()

        def listen(event: Any) -> None:
            if event["event"] == "progress":
                progress.set()

        with busy_index():
            asked = asyncio.ensure_future(
                client("POST", "/gorilla/ask", body=SENTENCE, on_event=listen)
            )
            await progress.wait()
            assert not asked.done()
        assert (await asked).named("answer")

    @pytest.mark.parametrize(
        ("body", "words"),
        [
            (b"", "not JSON"),
            (b"load a TTS model", "not JSON"),
            (b'{"instruction": "caf\xe9"}', "not UTF-8"),
            (b'{"instruction": "a", "instruction": "b"}', "same field twice"),
            (b'{"instruction": "a", "candidates": NaN}', "NaN"),
            (b'{"instruction": "a", "candidates": ' + b"9" * 5000 + b"}", "not JSON"),
            (b"[" * 100_000, "nested too deeply"),
            (b'{"instruction": ' + b"[" * 970 + b"]" * 970 + b"}", ""),
            ([], "must be a JSON object"),
            ("load a TTS model", "must be a JSON object"),
            ({}, "no 'instruction'"),
            ({"instruction": 3}, "must be a text"),
            ({"instruction": None}, "must be a text"),
            ({"instruction": ""}, "empty"),
            ({"instruction": " \n"}, "empty"),
            ({"instruction": "a" * (MAX_CHARACTERS + 1)}, "at most 50,000"),
            ({"instruction": "a\0b"}, "U+0000"),
            ({"instruction": "a\x1bb"}, "U+001B"),
            ({"instruction": "a\ud800b"}, "U+D800"),
            ({"instruction": "a", "framework": "\udfff"}, "U+DFFF"),
            ({"instruction": "a", "package": 3}, "'package'"),
            ({"instruction": "a", "candidates": 0}, "between 1 and 20"),
            ({"instruction": "a", "candidates": 21}, "between 1 and 20"),
            ({"instruction": "a", "candidates": 2.0}, "whole number"),
            ({"instruction": "a", "candidates": True}, "whole number"),
            ({"instruction": "a", "documents": None}, "whole number"),
            ({"instruction": "a", "documents": 10**400}, "between 1 and 200"),
            ({"instruction": "a", "colour": "red"}, "Unknown field 'colour'"),
        ],
    )
    async def test_a_bad_body_is_refused_with_a_sentence(
        self, client: Client, extension: GorillaExtension, body: object, words: str
    ) -> None:
        reply = await client("POST", "/gorilla/ask", body=body)
        assert reply.status == 400
        assert words in reply.json["message"]
        assert extension.supervisor.jobs() == []

    @pytest.mark.parametrize("gorilla_config", [{"max_body_bytes": 100}])
    async def test_a_body_that_is_too_large_is_refused(self, client: Client) -> None:
        reply = await client("POST", "/gorilla/ask", body={"instruction": "a" * 100})
        assert reply.status == 413
        assert "at most 100 are read" in reply.json["message"]
        reply = await client("POST", "/gorilla/jobs", body=b" " * 101)
        assert reply.status == 413

    @pytest.mark.parametrize("gorilla_config", [{"max_candidates": 2, "max_documents": 5}])
    async def test_the_administrators_limits_hold(self, client: Client) -> None:
        for name, largest in (("candidates", 2), ("documents", 5)):
            body = {"instruction": "load a TTS model", name: largest + 1}
            reply = await client("POST", "/gorilla/ask", body=body)
            assert reply.status == 400
            assert f"at most {largest} {name}" in reply.json["message"]
        reply = await client("POST", "/gorilla/ask", body={"instruction": "load a TTS model"})
        assert len(reply.named("documents")[0]["documents"]) <= 5
        assert len(reply.named("answer")[0]["candidates"]) == 2

    @pytest.mark.parametrize("gorilla_config", [{"max_candidates": 2, "max_documents": 5}])
    async def test_who_asks_for_no_number_gets_what_is_allowed(
        self,
        client: Client,
        jp_auth_header: dict[str, str],
        jp_base_url: str,
        http_server_port: Any,
    ) -> None:
        found = await client("GET", "/gorilla/search", params={"q": "load a TTS model"})
        assert len(found.json["documents"]) == 5
        token = jp_auth_header["Authorization"].removeprefix("token ")
        url = f"http://127.0.0.1:{http_server_port[-1]}{jp_base_url}"

        def ask() -> list[Event]:
            events = list(Server(url, token).stream(Request("load a TTS model")))
            with warnings.catch_warnings():
                # A kernel keeps its connection to the server for as long as it lives.
                warnings.simplefilter("ignore", ResourceWarning)
                gc.collect()
            return events

        events = await asyncio.to_thread(ask)
        assert isinstance(events[-1], Answer)
        assert len(events[-1].candidates) == 2

    @pytest.mark.parametrize("gorilla_config", [{"allowed_models": ["missing"]}])
    async def test_only_allowed_models_are_asked(self, client: Client) -> None:
        reply = await client("POST", "/gorilla/ask", body={**SENTENCE, "model": "openai:x"})
        assert reply.status == 403
        assert reply.json["message"].endswith(f"Allowed: embedded, missing. {ALLOWING}")
        reply = await client("POST", "/gorilla/ask", body={**SENTENCE, "model": "embedded"})
        assert reply.named("answer")
        reply = await client("POST", "/gorilla/ask", body={**SENTENCE, "model": "missing"})
        (error,) = reply.named("error")
        assert error["status"] == 503
        assert "no model 'missing'" in error["message"]

    async def test_a_client_that_goes_away_cancels_its_request(
        self,
        client: Client,
        jp_auth_header: dict[str, str],
        jp_base_url: str,
        http_server_port: Any,
        busy_index: Callable[[], AbstractContextManager[None]],
    ) -> None:
        with busy_index():
            reader, writer = await asyncio.open_connection("127.0.0.1", http_server_port[-1])
            body = json.dumps(SENTENCE)
            writer.write(
                f"POST {jp_base_url}gorilla/ask HTTP/1.1\r\nHost: localhost\r\n"
                f"Authorization: {jp_auth_header['Authorization']}\r\n"
                f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
            )
            await reader.readuntil(b'"progress"')
            writer.close()
            await writer.wait_closed()
            await until(
                client, "/gorilla/jobs", lambda found: found["jobs"][0]["state"] == "cancelled"
            )
        assert (await client("POST", "/gorilla/ask", body=SENTENCE)).named("answer")


class TestAskAModelServer:
    @pytest.fixture
    def gorilla_config(self, model_server: ModelServer) -> dict[str, Any]:
        return {"model": model_server.model}

    async def test_the_questions_of_several_notebooks_are_there_at_the_same_time(
        self, client: Client, model_server: ModelServer, indexed_home: Path
    ) -> None:
        together = threading.Barrier(3)

        def reply(handler: Handler) -> None:
            together.wait(20)
            answers(form("none"))(handler)

        model_server.replies[:] = [reply]
        replies = await asyncio.gather(
            *(
                client("POST", "/gorilla/ask", body=SENTENCE, params={"client": notebook})
                for notebook in ("first", "second", "third")
            )
        )
        for found in replies:
            (answer,) = found.named("answer")
            assert answer["model"] == model_server.model


class TestSearch:
    async def test_finds_documents(self, client: Client) -> None:
        parameters = {"q": "speech", "limit": "3", "framework": "Hugging Face", "domain": ""}
        found = (await client("GET", "/gorilla/search", params=parameters)).json
        assert len(found["documents"]) == 3
        frameworks = {document["record"]["framework"] for document in found["documents"]}
        assert all("Hugging Face" in framework for framework in frameworks)

    async def test_finds_what_lies_beside_the_notebook(
        self, client: Client, catalog: Callable[..., None], jp_root_dir: Path
    ) -> None:
        catalog(1, jp_root_dir / "shop" / "gorilla-catalogs")
        sources = {}
        for project in ("", "shop", str(jp_root_dir / "shop")):
            parameters = {"q": "count widgets", "limit": "1", "project": project}
            found = (await client("GET", "/gorilla/search", params=parameters)).json
            sources[project] = found["documents"][0]["source"]
        assert sources.pop("") != "widgets"
        assert set(sources.values()) == {"widgets"}

    @pytest.mark.parametrize(
        ("query", "words"),
        [
            ("", "empty"),
            ("q=%20", "empty"),
            ("q=a%00b", "U+0000"),
            ("q=%ED%A0%80", "not UTF-8"),
            ("q=a&q=b", "2 times"),
            ("q=a&limit=many", "whole number"),
            ("q=a&limit=-1", "whole number"),
            ("q=a&limit=0", "between 1 and 200"),
            ("q=a&limit=201", "between 1 and 200"),
            ("q=a&framework=%1b", "U+001B"),
            ("q=" + "a" * 51_000, "at most 50,000"),
        ],
    )
    async def test_a_bad_query_is_refused_with_a_sentence(
        self,
        http_server_client: Any,
        jp_auth_header: dict[str, str],
        jp_base_url: str,
        check_reply: Callable[[str, str, Reply], None],
        query: str,
        words: str,
    ) -> None:
        response = await http_server_client.fetch(
            f"{jp_base_url}gorilla/search?{query}", headers=jp_auth_header, raise_error=False
        )
        reply = Reply(response.code, response.headers, [json.loads(response.body)])
        check_reply("GET", "/gorilla/search", reply)
        assert reply.status == 400
        assert words in reply.json["message"]


class TestRecords:
    async def test_a_found_document_can_be_read(self, client: Client) -> None:
        search = (await client("GET", "/gorilla/search", params={"q": "speech"})).json
        document = search["documents"][0]
        record = (await client("GET", f"/gorilla/records/{document['id']}")).json
        place = {name: document[name] for name in ("id", "source", "package", "install")}
        assert record == {**place, "code": record["code"], **document["record"]}
        assert ApiRecord.from_json(record, source=record["source"]).id == document["id"]

    @pytest.mark.parametrize("name", ["0" * 16, "100%", "\0", "ö"])
    async def test_an_unknown_one_is_a_sentence(self, client: Client, name: str) -> None:
        reply = await client("GET", f"/gorilla/records/{name}")
        assert reply.status == 404
        assert reply.json["message"] == f"There is no record '{name}'."


class TestStatus:
    async def test_starts_nothing(self, client: Client, extension: GorillaExtension) -> None:
        found = await status(client)
        assert found["model"] == "embedded"
        assert found["allowed_models"] == ["embedded"]
        assert found["limits"] == {"candidates": 20, "documents": 200, "body_bytes": 1 << 20}
        stopped = {"state": "stopped", "pid": None, "memory_bytes": None, "restarts": 0}
        assert found["worker"] == stopped
        assert found["index"] is None
        assert extension.supervisor.pid is None

    async def test_tells_of_the_worker_and_the_index(
        self, client: Client, catalog: Callable[[int], None]
    ) -> None:
        catalog(3)
        await client("POST", "/gorilla/ask", body=SENTENCE)
        found = await status(client)
        assert found["worker"]["state"] == "idle"
        assert 0 < found["worker"]["memory_bytes"] < 350 * 10**6
        assert found["index"]["catalogs"]["widgets"] == {"records": 3, "notices": []}
        assert found["jobs"] == []

    async def test_is_answered_while_the_worker_is_busy(
        self, client: Client, busy_index: Callable[[], AbstractContextManager[None]]
    ) -> None:
        with busy_index():
            job = (await client("POST", "/gorilla/jobs", body={"kind": "index"})).json
            found = await until(client, "/gorilla/status", is_busy)
            assert [running["id"] for running in found["jobs"]] == [job["id"]]


class TestJobs:
    async def test_indexing_in_the_background(
        self,
        client: Client,
        catalog: Callable[[int], None],
        busy_index: Callable[[], AbstractContextManager[None]],
    ) -> None:
        catalog(100)
        with busy_index():
            reply = await client("POST", "/gorilla/jobs", body={"kind": "index"})
            assert reply.status == 202
            assert reply.headers["Location"].endswith(f"/gorilla/jobs/{reply.json['id']}")
            path = f"/gorilla/jobs/{reply.json['id']}"
            job = await until(client, path, lambda job: job["progress"])
            assert job["state"] == "running"
            assert job["progress"]["message"] == "Indexing the documentation"
        # It takes its turn after the job.
        await client("GET", "/gorilla/search", params={"q": "widgets"})
        job = (await client("GET", path)).json
        assert job["state"] == "done"
        assert job["progress"]["done"] == job["progress"]["total"] >= 100
        assert (await client("GET", "/gorilla/jobs")).json == {"jobs": [job]}
        assert (await client("DELETE", path)).status == 204
        assert (await client("GET", path)).json == job

    async def test_an_ask_is_a_job_that_can_be_cancelled(
        self, client: Client, busy_index: Callable[[], AbstractContextManager[None]]
    ) -> None:
        started: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def listen(event: Any) -> None:
            if event["event"] == "started":
                started.set_result(event["job"])

        with busy_index():
            asked = asyncio.ensure_future(
                client("POST", "/gorilla/ask", body=SENTENCE, on_event=listen)
            )
            path = f"/gorilla/jobs/{await started}"
            assert (await client("DELETE", path)).status == 204
            reply = await asked
        (error,) = reply.named("error")
        assert (error["status"], error["message"]) == (499, "The request was cancelled.")
        assert (await client("GET", path)).json["state"] == "cancelled"

    @pytest.mark.parametrize("body", [{}, {"kind": "dance"}, {"kind": "index", "now": True}, []])
    async def test_other_jobs_are_refused(self, client: Client, body: object) -> None:
        assert (await client("POST", "/gorilla/jobs", body=body)).status == 400

    @pytest.mark.parametrize("method", ["GET", "DELETE"])
    async def test_an_unknown_one_is_a_sentence(self, client: Client, method: str) -> None:
        reply = await client(method, "/gorilla/jobs/none")
        assert reply.status == 404
        assert reply.json["message"] == "There is no job 'none'."

    @pytest.mark.parametrize("gorilla_config", [{"queue_size": 1}])
    async def test_a_full_queue_refuses(
        self, client: Client, busy_index: Callable[[], AbstractContextManager[None]]
    ) -> None:
        with busy_index():
            await client("POST", "/gorilla/jobs", body={"kind": "index"})
            await until(client, "/gorilla/status", is_busy)
            assert (await client("POST", "/gorilla/jobs", body={"kind": "index"})).status == 202
            for method, path, body in (
                ("POST", "/gorilla/jobs", {"kind": "index"}),
                ("POST", "/gorilla/ask", SENTENCE),
                ("GET", "/gorilla/search", None),
            ):
                reply = await client(method, path, body=body, params={"q": "speech"})
                assert reply.status == 503
                assert "try again" in reply.json["message"]

    @pytest.mark.parametrize("gorilla_config", [{"queue_size": 2}])
    async def test_a_full_queue_has_room_for_another_client(
        self, client: Client, busy_index: Callable[[], AbstractContextManager[None]]
    ) -> None:
        async def start(name: str) -> Any:
            body = {"kind": "index"}
            return (await client("POST", "/gorilla/jobs", body=body, params={"client": name})).json

        with busy_index():
            await start("a")
            await until(client, "/gorilla/status", is_busy)
            jobs = [await start(name) for name in ("a", "a", "b")]
            states = [(await client("GET", f"/gorilla/jobs/{job['id']}")).json for job in jobs]
        assert [job["state"] for job in states] == ["queued", "failed", "queued"]
        assert "try again" in states[1]["message"]


class TestWorkerKilled:
    async def test_between_requests(self, client: Client) -> None:
        first = await client("POST", "/gorilla/ask", body=SENTENCE)
        killed = (await status(client))["worker"]["pid"]
        os.kill(killed, signal.SIGKILL)
        second = await client("POST", "/gorilla/ask", body=SENTENCE)
        assert without_timings(second) == without_timings(first)
        worker = (await status(client))["worker"]
        assert worker["pid"] != killed
        assert worker["restarts"] == 1

    async def test_while_it_writes_the_index(
        self, client: Client, extension: GorillaExtension, catalog: Callable[[int], None]
    ) -> None:
        catalog(2000)
        killed: list[int] = []

        def kill(event: Any) -> None:
            if event["event"] == "progress" and event["done"] > 1000 and not killed:
                assert extension.supervisor.pid is not None
                killed.append(extension.supervisor.pid)
                os.kill(killed[0], signal.SIGKILL)

        reply = await client("POST", "/gorilla/ask", body=SENTENCE, on_event=kill)
        assert killed
        assert len(reply.named("candidate")) == len(reply.named("answer")[0]["candidates"]) == 2
        found = await status(client)
        assert found["worker"]["restarts"] == 1
        assert found["index"]["catalogs"]["widgets"] == {"records": 2000, "notices": []}
        search = (await client("GET", "/gorilla/search", params={"q": "widgets shelf 1999"})).json
        assert search["documents"][0]["record"]["api_name"] == "count_1999"


async def test_jupyter_answers_while_indexing(
    client: Client, jp_fetch: Any, catalog: Callable[[int], None]
) -> None:
    catalog(2000)
    first, last = asyncio.Event(), asyncio.Event()

    def listen(event: Any) -> None:
        if event["event"] == "progress":
            first.set()
        if event["event"] == "documents":
            last.set()

    asked = asyncio.ensure_future(client("POST", "/gorilla/ask", body=SENTENCE, on_event=listen))
    await first.wait()
    for _ in range(5):
        await jp_fetch("api", "status")
        assert not last.is_set()
    assert (await asked).named("answer")


async def until(client: Client, path: str, reached: Callable[[Any], object]) -> Any:
    """What ``path`` says when it has ``reached`` that."""
    async with asyncio.timeout(30):
        while not reached(found := (await client("GET", path)).json):
            pass
        return found


def is_busy(status: Any) -> bool:
    return bool(status["worker"]["state"] == "busy")


def without_timings(reply: Reply) -> Any:
    (answer,) = reply.named("answer")
    return {**answer, "timings_ms": None}
