"""The REST interface that ``openapi.yaml`` describes: thin handlers over the supervisor.

Every Jupyter server imports this at its start, so what only requests need is imported by them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado.iostream import StreamClosedError
from tornado.web import HTTPError, authenticated

from gorilla_jupyter.model import ALLOWING
from gorilla_jupyter.server.errors import RestError, rest_error
from gorilla_jupyter.server.supervisor import Job, JobKind, Supervisor

if TYPE_CHECKING:
    from gorilla_jupyter.answer import Request
    from gorilla_jupyter.server.extension import GorillaExtension

SEARCH_LIMIT = 10
"""How many documents a search finds that does not say."""

FILTERS = ("framework", "domain", "package", "environment", "project")


class GorillaHandler(APIHandler):
    """What the handlers share: reading requests, and failing with a sentence."""

    auth_resource = "gorilla"
    job: Job | None = None

    @property
    def extension(self) -> GorillaExtension:
        extension: GorillaExtension = self.settings["gorilla_jupyter"]
        return extension

    @property
    def supervisor(self) -> Supervisor:
        return self.extension.supervisor

    @property
    def asker(self) -> str:
        """Whose turn a job takes: the client's name for itself, or else its address.

        :raises RestError: if the name cannot be read.
        """
        return self.read_query("client") or str(self.request.remote_ip)

    def submit(self, kind: JobKind, arguments: Mapping[str, Any]) -> Job:
        """A job that ends with this request, should its client go away."""
        self.job = self.supervisor.submit(kind, arguments, asker=self.asker)
        return self.job

    def on_connection_close(self) -> None:
        super().on_connection_close()
        if self.job is not None:
            self.supervisor.cancel(self.job)

    def read_body(self) -> dict[str, Any]:
        """The body, a JSON object.

        :raises RestError: if it is anything else.
        """
        body = self.request.body
        if len(body) > (largest := self.extension.max_body_bytes):
            raise RestError(413, f"The body has {len(body):,} bytes; at most {largest:,} are read.")
        try:
            value = json.loads(
                body.decode(), object_pairs_hook=_object, parse_constant=_refuse_constant
            )
        except UnicodeDecodeError as error:
            raise RestError(400, f"The body is not UTF-8 (byte {error.start + 1}).") from error
        except RecursionError as error:
            raise RestError(400, "The body is nested too deeply.") from error
        except ValueError as error:
            raise RestError(400, f"The body is not JSON: {error}.") from error
        if not isinstance(value, dict):
            raise RestError(400, "The body must be a JSON object.")
        return value

    def read_query(self, name: str) -> str | None:
        """A parameter of the URL; None where it is absent or empty.

        :raises RestError: if it is given twice or is not UTF-8.
        """
        # Not get_argument, which turns control characters into spaces.
        values = self.request.query_arguments.get(name, [])
        if len(values) > 1:
            raise RestError(400, f"The parameter '{name}' is given {len(values)} times.")
        try:
            return values[0].decode() or None if values else None
        except UnicodeDecodeError as error:
            raise RestError(400, f"The parameter '{name}' is not UTF-8.") from error

    def read_request(self, value: Mapping[str, Any]) -> Request:
        """A request that this server allows; what it leaves out is kept within the limits.

        :raises RequestError: if it is none.
        :raises RestError: if this server does not allow it.
        """
        from gorilla_jupyter.answer import Request

        limits = self.extension.limits()
        defaults = {name: min(getattr(Request, name), limits[name]) for name in limits}
        try:
            request = Request.from_json({**defaults, **value})
        except RecursionError as error:
            raise RestError(400, "The request is nested too deeply.") from error
        for name, largest in limits.items():
            if (number := getattr(request, name)) > largest:
                raise RestError(400, f"This server allows at most {largest} {name}, not {number}.")
        models = self.extension.models()
        if request.model is not None and request.model not in models:
            named = f"The model '{request.model:.80}' is not allowed here."
            raise RestError(403, f"{named} Allowed: {', '.join(models)}. {ALLOWING}")
        if request.project is not None:
            root = self.settings["server_root_dir"]
            project = Path(root).expanduser() / request.project
            request = replace(request, project=str(project))
        return request

    def find_job(self, job_id: str) -> Job:
        """:raises RestError: if there is no such job."""
        job = self.supervisor.job(job_id)
        if job is None:
            raise RestError(404, f"There is no job '{job_id:.80}'.")
        return job

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs["exc_info"][1] if "exc_info" in kwargs else None
        if error is None or isinstance(error, HTTPError):
            super().write_error(status_code, **kwargs)
            return
        failure = rest_error(error)
        self.set_status(failure.status)
        self.finish({"message": failure.message})

    def log_exception(self, kind: Any, error: Any, traceback: Any) -> None:
        if isinstance(error, HTTPError) or rest_error(error).status == 500:
            super().log_exception(kind, error, traceback)


class AskHandler(GorillaHandler):
    """``POST /gorilla/ask``: an answer, event by event."""

    @authenticated
    @authorized
    async def post(self) -> None:
        request = self.read_request(self.read_body())
        job = self.submit(JobKind.ASK, request.to_json())
        self.set_header("Content-Type", "application/x-ndjson")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Accel-Buffering", "no")  # nginx would hold the events back
        with suppress(StreamClosedError):
            await self._send({"event": "started", "job": job.id})
            try:
                async for event in job.events():
                    await self._send(event)
            except RestError as error:
                await self._send(
                    {"event": "error", "status": error.status, "message": error.message}
                )

    async def _send(self, event: Mapping[str, Any]) -> None:
        self.write(json.dumps(event) + "\n")
        await self.flush()


class SearchHandler(GorillaHandler):
    """``GET /gorilla/search``: documents."""

    @authenticated
    @authorized
    async def get(self) -> None:
        from gorilla_jupyter.answer import check_text

        text = check_text(self.read_query("q") or "", "text to search for")
        usual = min(SEARCH_LIMIT, self.extension.limits()["documents"])
        limit = self.read_query("limit") or str(usual)
        if not re.fullmatch("[0-9]{1,9}", limit):
            raise RestError(400, f"'limit' must be a whole number, not '{limit:.80}'.")
        filters = {name: self.read_query(name) for name in FILTERS}
        request = self.read_request({"instruction": text, "documents": int(limit), **filters})
        given = {name: getattr(request, name) for name in FILTERS}
        job = self.submit(JobKind.SEARCH, {"text": text, "limit": int(limit), **given})
        found = await job.result()
        del found["event"]
        self.finish(found)


class RecordHandler(GorillaHandler):
    """``GET /gorilla/records/ID``: one document."""

    @authenticated
    @authorized
    async def get(self, record_id: str) -> None:
        record = await self.submit(JobKind.RECORD, {"id": record_id}).result()
        del record["event"]
        self.finish(record)


class StatusHandler(GorillaHandler):
    """``GET /gorilla/status``: how things stand; starts nothing and waits for nothing."""

    _track_activity = False  # a front end that watches is no person at work

    @authenticated
    @authorized
    async def get(self) -> None:
        from gorilla_jupyter import __version__

        extension, supervisor = self.extension, self.supervisor
        pid, catalogs = supervisor.pid, supervisor.catalogs
        running = "busy" if supervisor.busy else "idle"
        self.finish(
            {
                "version": __version__,
                "model": extension.model,
                "allowed_models": extension.models(),
                "limits": {**extension.limits(), "body_bytes": extension.max_body_bytes},
                "worker": {
                    "state": running if pid else "stopped",
                    "pid": pid,
                    "memory_bytes": _memory_bytes(pid) if pid else None,
                    "restarts": supervisor.restarts,
                },
                "index": {"catalogs": catalogs} if pid and catalogs is not None else None,
                "jobs": [job.to_json() for job in supervisor.jobs() if not job.finished],
            }
        )


class JobsHandler(GorillaHandler):
    """``/gorilla/jobs``: what the engine does, and did of late."""

    @authenticated
    @authorized
    async def get(self) -> None:
        self.finish({"jobs": [job.to_json() for job in self.supervisor.jobs()]})

    @authenticated
    @authorized
    async def post(self) -> None:
        body = self.read_body()
        if body != {"kind": JobKind.INDEX}:
            raise RestError(400, 'A job to be started is {"kind": "index"}, and nothing else.')
        job = self.supervisor.submit(JobKind.INDEX, asker=self.asker)
        self.set_status(202)
        self.set_header("Location", f"{self.base_url}gorilla/jobs/{job.id}")
        self.finish(job.to_json())


class JobHandler(GorillaHandler):
    """``/gorilla/jobs/ID``: one of them."""

    @authenticated
    @authorized
    async def get(self, job_id: str) -> None:
        self.finish(self.find_job(job_id).to_json())

    @authenticated
    @authorized
    async def delete(self, job_id: str) -> None:
        self.supervisor.cancel(self.find_job(job_id))
        self.set_status(204)
        self.finish()


HANDLERS: list[tuple[str, type[GorillaHandler]]] = [
    (r"/gorilla/ask", AskHandler),
    (r"/gorilla/search", SearchHandler),
    (r"/gorilla/records/([^/]+)", RecordHandler),
    (r"/gorilla/status", StatusHandler),
    (r"/gorilla/jobs", JobsHandler),
    (r"/gorilla/jobs/([^/]+)", JobHandler),
]


def _memory_bytes(pid: int) -> int | None:
    import psutil

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return None  # it has just ended


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("an object names the same field twice")
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"it holds {name}")
