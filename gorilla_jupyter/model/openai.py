"""A model on a server that speaks OpenAI's chat protocol: vLLM, Ollama, llama.cpp's, and others."""

from __future__ import annotations

import ipaddress
import json
import os
import re
import ssl
import unicodedata
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from queue import Empty, SimpleQueue
from typing import Any

import anyio
import httpx
from anyio.from_thread import start_blocking_portal

from gorilla_jupyter.answer import Document, Notice, Progress, Proposal, Request
from gorilla_jupyter.model import CA_FILE
from gorilla_jupyter.model.backend import ModelError, ModelFailureError
from gorilla_jupyter.model.constrain import EXPLANATION, NOTHING, call_pattern
from gorilla_jupyter.model.prompt import Message, Prompt, PromptError, fit
from gorilla_jupyter.model.writing import Steps, propose

PROMPT_CHARACTERS = 10_000
"""How long a prompt may be: a server does not tell how it counts, and 4,096 tokens hold this."""

MAX_TOKENS = 512
MAX_BYTES = 1 << 20
CONNECT_SECONDS = 5.0
SILENT_SECONDS = 60.0
ANSWER_SECONDS = 120.0

POLL_SECONDS = 0.1
"""How often a waiting request looks up: it can be cancelled then."""

_SIGNS = {"-": "__", "_": "___"}
"""What signs of a host are in the name of a variable, where they are not one underscore."""

_UNSTRUCTURED = frozenset({400, 422, 501})
"""What servers answer that know no structured output."""


class OpenAIBackend:
    """Asks a model server.

    Nothing but the sentence and the documents leaves the machine, or the conversation that it is
    given. The key comes from the environment variable that :func:`key_variable` names, certificates
    from :data:`gorilla_jupyter.model.CA_FILE`.

    :param address: ``BASE_URL#MODEL``, such as ``http://localhost:8000/v1#my-model``.
    :param constrained: ask for structured output, as long as the server knows that.
    :raises ModelError: if that is no such address.
    """

    def __init__(self, address: str, *, constrained: bool = True) -> None:
        self.name = f"openai:{address}"
        base, _, self._model = address.partition("#")
        try:
            url = httpx.URL(base)
        except httpx.InvalidURL:
            url = httpx.URL("")
        if url.scheme not in ("http", "https") or not url.host or not self._model:
            raise ModelError(
                f"{self.name!r:.120} is no model: write openai:BASE_URL#MODEL, such as "
                "openai:http://localhost:8000/v1#my-model."
            )
        if url.userinfo or url.query:
            raise ModelError(
                f"The address of {url.host} must hold no key: put it into the environment variable "
                f"{key_variable(url.host)}."
            )
        self._url = url
        self._origin = f"{url.scheme}://{url.netloc.decode()}"
        self._is_here = _is_loopback(url.host)
        self._structured = constrained
        self._has_structured = False

    def propose(
        self, request: Request, documents: Sequence[Document]
    ) -> Iterator[Proposal | Progress | Notice]:
        """See :class:`gorilla_jupyter.model.backend.Backend`."""
        yield from propose(self, request, documents)

    def write(self, prompt: Prompt) -> Steps:
        """See :class:`gorilla_jupyter.model.writing.Writer`."""
        try:
            prompt = fit(prompt, _characters, PROMPT_CHARACTERS)
        except PromptError as error:
            raise ModelFailureError(str(error)) from error
        yield from self._told(f"The sentence and {len(prompt.documents)} documents were")
        if self._structured:
            try:
                text = yield from self._ask(self._body(prompt, structured=True))
            except _RefusedError as error:
                if error.status not in _UNSTRUCTURED:
                    raise
            else:
                self._has_structured = True
                return text
        text = yield from self._ask(self._body(prompt, structured=False))
        # A server that has done it before has only refused this structure.
        self._structured = self._structured and self._has_structured
        return text

    def reply(self, messages: Sequence[Message]) -> Steps:
        """See :class:`gorilla_jupyter.model.backend.Conversing`."""
        yield from self._told("The documentation was")
        return (yield from self._ask(self._conversation(messages)))

    def _told(self, what: str) -> Iterator[Notice]:
        """That something left this machine, if it did."""
        if not self._is_here:
            how = "" if self._url.scheme == "https" else ", unencrypted"
            yield Notice(f"{what} sent to {self._origin}{how} (model {self._model}).")

    def _conversation(self, messages: Sequence[Message]) -> dict[str, Any]:
        return {
            "model": self._model,
            "messages": messages,
            "max_tokens": MAX_TOKENS,
            "temperature": 0,
            "stream": True,
        }

    def _body(self, prompt: Prompt, *, structured: bool) -> dict[str, Any]:
        body = self._conversation(prompt.messages(as_json=structured))
        if structured:
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "answer", "strict": True, "schema": _schema(prompt)},
            }
        return body

    def _ask(self, body: Mapping[str, Any]) -> Steps:
        pieces: SimpleQueue[str] = SimpleQueue()
        written = ""
        with start_blocking_portal() as portal:
            exchange = portal.start_task_soon(self._exchange, body, pieces)
            exchange.add_done_callback(lambda _: pieces.put(""))
            try:
                while not (exchange.done() and pieces.empty()):
                    yield Progress(f"{self._model} writes", len(written), 0, elsewhere=True)
                    with suppress(Empty):
                        written += pieces.get(timeout=POLL_SECONDS)
                yield Progress(f"{self._model} writes", len(written), 0)
                exchange.result()
            finally:
                exchange.cancel()
        return written

    async def _exchange(self, body: Mapping[str, Any], pieces: SimpleQueue[str]) -> None:
        try:
            with anyio.fail_after(ANSWER_SECONDS):
                async with (
                    self._client() as client,
                    client.stream("POST", "chat/completions", json=body) as response,
                ):
                    if response.status_code != httpx.codes.OK:
                        raise self._refusal(response.status_code, await _message(response))
                    async for piece in _pieces(response):
                        pieces.put(piece)
        except _BadReplyError as error:
            raise ModelFailureError(f"The model server {self._origin} {error}.") from error
        except (TimeoutError, httpx.TimeoutException) as error:
            raise ModelFailureError(
                f"The model server {self._origin} did not answer in time."
            ) from error
        except (httpx.HTTPError, OSError) as error:
            raise ModelFailureError(
                f"The model server {self._origin} cannot be reached ({_plain(str(error))})."
            ) from error

    def _client(self) -> httpx.AsyncClient:
        variable = key_variable(self._url.host)
        key = os.environ.get(variable, "").strip()
        if not (key.isascii() and key.isprintable()):
            # What h11 says of it has the key in it.
            raise ModelFailureError(f"{variable} has characters that no key can have.")
        return httpx.AsyncClient(
            base_url=self._url,
            headers={
                "Accept-Encoding": "identity",
                **({"Authorization": f"Bearer {key}"} if key else {}),
            },
            timeout=httpx.Timeout(SILENT_SECONDS, connect=CONNECT_SECONDS),
            verify=_certificates(),
            # A proxy of the environment has no business with what stays on this machine.
            trust_env=not self._is_here,
        )

    def _refusal(self, status: int, message: str) -> _RefusedError:
        match status:
            case 401 | 403:
                what = f"refuses the key in {key_variable(self._url.host)}"
            case 404:
                what = f"has no model {self._model}"
            case 429:
                what = "has too many requests"
            case _ if 300 <= status < 400:
                what = "redirects elsewhere, and redirects are not followed"
            case _:
                what = "failed"
        said = f": {message}" if message else ""
        return _RefusedError(status, f"The model server {self._origin} {what} ({status}{said}).")


class _RefusedError(ModelFailureError):
    """A reply with another status than 200."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class _BadReplyError(Exception):
    """A reply that cannot be read; the message continues a sentence about the server."""


def key_variable(host: str) -> str:
    """The environment variable that holds the key for a server: ``GORILLA_KEY_API_EXAMPLE_ORG``
    for ``api.example.org``, with two underscores for a hyphen and three for an underscore. Every
    host has its own, so that none is sent another's key."""
    name = httpx.URL(scheme="http", host=host).raw_host.decode().upper()
    return "GORILLA_KEY_" + re.sub(r"[^A-Z0-9]", lambda sign: _SIGNS.get(sign[0], "_"), name)


def _schema(prompt: Prompt) -> dict[str, Any]:
    records = [document.record for document in prompt.documents]
    calls = [call_pattern(record, prompt.sentence) for record in records]
    return {
        "type": "object",
        "properties": {
            "domain": {"type": "string", "enum": _distinct(record.domain for record in records)},
            "api_call": {"type": "string", "pattern": f"^({'|'.join([*calls, NOTHING])})$"},
            "api_provider": {
                "type": "string",
                "enum": _distinct(record.framework for record in records),
            },
            "explanation": {"type": "string", "pattern": f"^{EXPLANATION}$"},
        },
        "required": ["domain", "api_call", "api_provider", "explanation"],
        "additionalProperties": False,
    }


def _distinct(texts: Iterator[str]) -> list[str]:
    return list(dict.fromkeys(texts))


def _characters(prompt: Prompt) -> int:
    return sum(len(message["content"]) for message in prompt.messages())


async def _message(response: httpx.Response) -> str:
    """Why a server refuses, in its own words; "" where it does not say."""
    lines = [line async for line in _lines(response)]
    try:
        return _reason(json.loads(b"\n".join(lines)))
    except (ValueError, RecursionError):
        return ""


def _reason(value: Any) -> str:
    for name in ("error", "message", "detail"):
        if isinstance(value, dict):
            value = value.get(name, value)
    return _plain(value) if isinstance(value, str) else ""


async def _pieces(response: httpx.Response) -> AsyncIterator[str]:
    """The text of a reply as it comes: a stream of events, or one JSON object."""
    if "text/event-stream" not in response.headers.get("Content-Type", ""):
        body = b"".join([line async for line in _lines(response)])
        yield _text(_json(body), "message")
        return
    finished = False  # some servers say so, and send no [DONE]
    async for line in _lines(response):
        name, _, data = line.partition(b":")
        if name != b"data":
            continue
        if data.strip() == b"[DONE]":
            return
        value = _json(data)
        if isinstance(value, dict) and "error" in value:
            raise _BadReplyError(f"failed while it wrote ({_reason(value)})")
        if isinstance(value, dict) and value.get("choices") == []:
            continue  # how many tokens it was, which some servers tell at the end
        yield _text(value, "delta")
        finished = finished or value["choices"][0].get("finish_reason") is not None
    if not finished:
        raise _BadReplyError("stopped in the middle of its answer")


async def _lines(response: httpx.Response) -> AsyncIterator[bytes]:
    # Not aiter_lines, which would keep a line of any length.
    received = 0
    rest = b""
    async for chunk in response.aiter_raw():
        received += len(chunk)
        if received > MAX_BYTES:
            raise _BadReplyError(f"sent more than {MAX_BYTES >> 20} MiB, which is no answer")
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.strip()
    if rest:
        yield rest.strip()


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _BadReplyError("sent an answer that is not JSON") from error


def _text(value: Any, name: str) -> str:
    try:
        text = value["choices"][0][name].get("content") or ""
    except (TypeError, KeyError, IndexError, AttributeError) as error:
        raise _BadReplyError("sent an answer of another form than OpenAI's") from error
    if not isinstance(text, str):
        raise _BadReplyError("sent an answer of another form than OpenAI's")
    return text


def _plain(text: str) -> str:
    """What a server said, fit to stand in a sentence."""
    shown = "".join(
        " " if unicodedata.category(letter) in ("Cc", "Cs") else letter for letter in text
    )
    return " ".join(shown.split())[:200]


@cache
def _usual_certificates() -> ssl.SSLContext:
    # Read once: it takes 30 ms, and as many threads as read them at the same time keep the memory.
    return httpx.create_ssl_context()


def _certificates() -> ssl.SSLContext:
    path = os.environ.get(CA_FILE)
    if not path:
        return _usual_certificates()
    try:
        return ssl.create_default_context(cafile=path)
    except OSError as error:  # ssl.SSLError is one
        raise ModelFailureError(f"The certificates in {path} cannot be read: {error}.") from error


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
