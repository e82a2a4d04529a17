"""A polite client: one request at a time, paced, cached, and as patient as the hub asks."""

from __future__ import annotations

import email.utils
import hashlib
import json
import os
import re
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import httpx

from gorilla_jupyter import __version__
from gorilla_jupyter.catalog.store import CatalogError

Parsed = TypeVar("Parsed")
Params = tuple[tuple[str, str | int], ...]

ATTEMPTS = 4
"""How often one page is asked for before it is given up."""

LOST_IN_A_ROW = 5
"""After so many pages given up one after the other, the hub is taken to be down."""

MAX_REDIRECTS = 5
MAX_REQUESTS = 5000
"""The most requests of one sync, whatever a hub's lists say."""

MAX_WAIT = 330.0
"""Seconds: the longest pause that is waited for. Hugging Face counts in windows of 300."""

BODY_SECONDS = 300.0
"""The longest that one body may take, however steadily it drips."""

MEBIBYTE = 1 << 20


class HubError(CatalogError):
    """A sync that cannot go on; what was fetched stays in the cache."""


class PageError(Exception):
    """One page that cannot be used; the message continues a sentence about it.

    :ivar passing: whether asking again later may help.
    """

    def __init__(self, reason: str, *, passing: bool = False) -> None:
        super().__init__(reason)
        self.passing = passing


@dataclass(frozen=True)
class _Response:
    status: int
    headers: httpx.Headers
    body: bytes
    redirect: httpx.Request | None


class Web:
    """Fetches pages below ``base_url``, and from no other host.

    :param base_url: an http or https address, perhaps with a path.
    :param cache: the folder that keeps answers between syncs; made when there is none.
    :param interval: seconds between two requests.
    :param timeout: seconds that the hub may be silent.
    :param sleep: waits for so many seconds.
    :param tell: is given a sentence when a longer pause begins.
    :raises HubError: where ``base_url`` is no such address.
    """

    def __init__(
        self,
        base_url: str,
        cache: Path,
        *,
        interval: float = 0.2,
        timeout: float = 20.0,
        sleep: Callable[[float], None] = time.sleep,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        try:
            url = httpx.URL(base_url)
        except httpx.InvalidURL as error:
            raise HubError(f"'{base_url}' is no address: {error}.") from error
        if url.scheme not in {"http", "https"} or not url.host or url.userinfo:
            raise HubError(f"'{base_url}' is no address: it must be like https://hub.example.")
        self.host = url.host
        self.requests = 0
        self._cache = _Cache(cache)
        self._client = httpx.Client(
            base_url=url,
            timeout=httpx.Timeout(timeout, connect=min(timeout, 10.0)),
            # Compressed bodies are not asked for: a small one may hide a huge one.
            headers={
                "User-Agent": f"gorilla-jupyter/{__version__} (jupyter gorilla catalog sync)",
                "Accept-Encoding": "identity",
            },
        )
        self._interval = interval
        self._sleep = sleep
        self._tell = tell
        self._not_before = 0.0
        self._lost = 0

    def __enter__(self) -> Web:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._client.close()

    def fetch(
        self,
        path: str,
        parse: Callable[[bytes], Parsed],
        *,
        params: Params = (),
        accept: str = "*/*",
        immutable: bool = False,
        limit: int = 4 * MEBIBYTE,
    ) -> Parsed:
        """Return what ``parse`` makes of a page; an answer that it takes is kept in the cache.

        :param parse: raises PageError for a body that is not what it should be.
        :param immutable: whether the page can never change: a cached one is not asked for again.
        :param limit: the longest body, in bytes.
        :raises PageError: when the page is not to be had.
        :raises HubError: when no page is: no connection, or the hub wants to be left alone.
        """
        request = self._client.build_request("GET", path, params=params, headers={"Accept": accept})
        url = str(request.url)
        cached = self._cache.read(url)
        kept: tuple[Parsed] | None = None
        if cached is not None:
            with suppress(PageError):
                kept = (parse(cached.body),)
        if kept is not None and immutable:
            return kept[0]
        if kept is not None and cached is not None and cached.etag:
            request.headers["If-None-Match"] = cached.etag
        response = self._answer(request, limit)
        if response.status == 304 and kept is not None:
            return kept[0]
        if response.status != 200:
            raise PageError(f"cannot be had: {self.host} answers {_status(response.status)}")
        parsed = parse(response.body)
        self._cache.write(url, response.headers.get("ETag", ""), response.body)
        return parsed

    def forget_unused(self) -> None:
        """Delete from the cache what this client did not need."""
        self._cache.forget_unused()

    def _answer(self, request: httpx.Request, limit: int) -> _Response:
        """The first answer that is not a passing failure."""
        failure = ""
        for attempt in range(ATTEMPTS):
            delay = 2.0**attempt
            try:
                response = self._follow(request, limit)
            except httpx.TimeoutException:
                failure = "does not answer in time"
            except httpx.TransportError as error:
                failure = f"answers wrongly ({error})"
            else:
                asked = _asked_pause(response)
                if response.status not in {429, 500, 502, 503, 504} and not (
                    response.status == 403 and asked is not None
                ):
                    self._lost = 0
                    return response
                failure = f"answers {_status(response.status)}"
                if response.status in {403, 429} and attempt == ATTEMPTS - 1:
                    raise HubError(
                        f"{self.host} keeps refusing: {_status(response.status)}. "
                        "Run the same command later: it goes on where it was."
                    )
                delay = max(delay, asked or 0.0)
            if attempt < ATTEMPTS - 1:
                self._pause(delay)
        self._lost += 1
        if self._lost >= LOST_IN_A_ROW:
            raise HubError(
                f"{self.host} {failure}, for {self._lost} pages in a row. "
                "Run the same command later: it goes on where it was."
            )
        raise PageError(f"cannot be had: {self.host} {failure}", passing=True)

    def _follow(self, request: httpx.Request, limit: int) -> _Response:
        """The answer to a request, after redirects within its host."""
        for _ in range(MAX_REDIRECTS + 1):
            response = self._send(request, limit)
            if response.redirect is None:
                return response
            if _origin(response.redirect.url) != _origin(request.url):
                host = response.redirect.url.host
                raise PageError(f"redirects to another host, {host}, which is not followed")
            request = response.redirect
        raise PageError("redirects without end")

    def _send(self, request: httpx.Request, limit: int) -> _Response:
        if self.requests >= MAX_REQUESTS:
            raise HubError(f"More than {MAX_REQUESTS} requests are too many: lower --top.")
        self._pause(max(self._interval, self._not_before - time.monotonic()))
        self._not_before = 0.0
        self.requests += 1
        try:
            response = self._client.send(request, stream=True)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise HubError(
                f"{self.host} cannot be reached ({error}): this command needs the network. "
                "Nothing was changed; all else works offline."
            ) from error
        try:
            body = self._body(response, limit)
        finally:
            response.close()
        if (pause := _pause_until_reset(response.headers)) is not None:
            self._not_before = time.monotonic() + pause
        return _Response(response.status_code, response.headers, body, response.next_request)

    def _body(self, response: httpx.Response, limit: int) -> bytes:
        if response.status_code != 200:
            return b""
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise PageError("comes compressed, which was not asked for")
        deadline = time.monotonic() + BODY_SECONDS
        body = bytearray()
        for chunk in response.iter_raw():
            body += chunk
            if len(body) > limit:
                raise PageError(f"is longer than {limit / MEBIBYTE:g} MiB")
            if time.monotonic() > deadline:
                raise PageError("comes too slowly", passing=True)
        return bytes(body)

    def _pause(self, seconds: float) -> None:
        if seconds > MAX_WAIT:
            until = time.strftime("%H:%M", time.localtime(time.time() + seconds))
            raise HubError(
                f"{self.host} wants no more requests before {until}. "
                "Run the same command then: it goes on where it was."
            )
        if seconds >= 2:
            self._tell(f"{self.host} asks for a pause of {seconds:.0f} s")
        if seconds > 0:
            self._sleep(seconds)


def parse_json(body: bytes) -> Any:
    """:raises PageError: where ``body`` is not JSON."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise PageError("is not the JSON that it should be") from error


def _status(status: int) -> str:
    phrase = httpx.codes.get_reason_phrase(status)
    return f"{status} {phrase}".strip()


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _asked_pause(response: _Response) -> float | None:
    """The seconds that an answer asks to wait; None where it asks for nothing."""
    value = response.headers.get("Retry-After", "").strip()
    if re.fullmatch(r"\d{1,9}", value):
        return float(value)
    with suppress(ValueError):
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    return _pause_until_reset(response.headers)


def _pause_until_reset(headers: Mapping[str, str]) -> float | None:
    """The seconds until more requests are allowed; None while some are left.

    Hugging Face says ``RateLimit: "api";r=0;t=55``, GitHub ``X-RateLimit-Remaining: 0`` and
    ``X-RateLimit-Reset``, in seconds since 1970.
    """
    found = re.search(r";\s*r=0\s*;\s*t=(\d{1,9})\b", headers.get("RateLimit", ""))
    if found:
        return float(found.group(1))
    reset = headers.get("X-RateLimit-Reset", "")
    if headers.get("X-RateLimit-Remaining") == "0" and re.fullmatch(r"\d{1,12}", reset):
        return max(0.0, float(reset) - time.time())
    return None


@dataclass(frozen=True)
class _Cached:
    etag: str
    body: bytes


class _Cache:
    """Answers on disk: in each file a line of JSON with address and ETag, then the body."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._used: set[str] = set()

    def read(self, url: str) -> _Cached | None:
        path = self._path(url)
        self._used.add(path.name)
        try:
            head, _, body = path.read_bytes().partition(b"\n")
            facts = json.loads(head)
            if facts["url"] != url or facts["length"] != len(body):
                return None
            return _Cached(str(facts["etag"]), body)
        except (OSError, ValueError, KeyError, TypeError):
            # Absent or damaged: it is asked for again.
            return None

    def write(self, url: str, etag: str, body: bytes) -> None:
        head = json.dumps({"url": url, "etag": etag, "length": len(body)}).encode()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            descriptor, temporary = tempfile.mkstemp(dir=self._folder, prefix=".")
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(head + b"\n" + body)
                Path(temporary).replace(self._path(url))
            except BaseException:
                Path(temporary).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise HubError(f"{self._folder} cannot be written: {error.strerror}.") from error

    def forget_unused(self) -> None:
        for path in self._folder.glob("*"):
            if path.name not in self._used:
                path.unlink(missing_ok=True)

    def _path(self, url: str) -> Path:
        return self._folder / hashlib.sha256(url.encode()).hexdigest()
