"""A model on a server: what is sent, what is made of the reply, and every way to fail."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from gorilla_jupyter.answer import Answer, Progress, Request
from gorilla_jupyter.engine import Gorilla
from gorilla_jupyter.model import ALLOWED_MODELS, CA_FILE, openai
from gorilla_jupyter.model.backend import ModelError, load_backend
from gorilla_jupyter.model.openai import key_variable
from tests.model.conftest import (
    CERTIFICATE,
    CHOIR,
    VOICE,
    Handler,
    ModelServer,
    Reply,
    answers,
    event,
    form,
    sends,
    streams,
)

SENTENCE = "German text to speech on device 'cuda'"
ON_CUDA = "pipeline('text-to-speech', model='acme/voice', device='cuda')"
UNDOCUMENTED = "pipeline('text-to-speech', model='acme/parrot')"


def ask(gorilla: Gorilla, server: ModelServer, *replies: Reply, text: str = SENTENCE) -> Answer:
    server.replies[:] = replies
    return gorilla.ask(text, model=server.model)


def calls(answer: Answer) -> list[str]:
    return [candidate.api_call for candidate in answer.candidates]


def asked_structure(server: ModelServer) -> dict[str, Any]:
    """The fields of the JSON that the only request asked for."""
    ((_, body),) = server.requests
    properties: dict[str, Any] = body["response_format"]["json_schema"]["schema"]["properties"]
    return properties


# What is made of a reply


@pytest.mark.parametrize(
    "reply",
    [
        streams(form(ON_CUDA)),
        answers(form(f"`{ON_CUDA}`")),
        answers(form(f"speak = {ON_CUDA}")),
        answers(json.dumps({"api_call": ON_CUDA, "explanation": "It speaks."})),
        answers(json.dumps({"api_call": ON_CUDA, "explanation": "It speaks and"})[:-2]),
        answers(f"Sure!\n```json\n{json.dumps({'api_call': ON_CUDA})}\n```"),
        answers(form(ON_CUDA) + ' {"device": "cuda"}'),
        answers(f"You need:\nAPI 1\ndomain: Audio\n- **api_call:** `{ON_CUDA}`.\ndescription: It"),
        answers(f"api_call: {ON_CUDA}\nIt is given {{}}, and once more:\napi_call: {ON_CUDA}"),
        streams(form(ON_CUDA), end='data: {"choices": [], "usage": {}}\n\ndata: [DONE]\n\n'),
        streams(
            form(ON_CUDA), end='data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\n\n'
        ),
    ],
    ids=[
        "stream",
        "in backquotes",
        "an assignment",
        "JSON",
        "JSON cut off",
        "JSON in prose",
        "form, JSON",
        "line of a document",
        "lines of a document",
        "with usage",
        "without [DONE]",
    ],
)
def test_the_call_that_it_writes_comes_first(
    gorilla: Gorilla, model_server: ModelServer, reply: Reply
) -> None:
    answer = ask(gorilla, model_server, reply)
    assert (calls(answer)[0], answer.model) == (ON_CUDA, model_server.model)


def test_the_embedded_models_choice_follows_as_an_alternative(
    gorilla: Gorilla, model_server: ModelServer
) -> None:
    answer = ask(gorilla, model_server, streams(form(CHOIR.api_call)))
    assert [candidate.record.api_name for candidate in answer.candidates] == [
        "acme/choir",
        "acme/voice",
    ]


def test_its_explanation_is_shown_without_control_characters(
    gorilla: Gorilla, model_server: ModelServer
) -> None:
    answer = ask(gorilla, model_server, answers(form(ON_CUDA, "It\x1b[2J speaks\ud800 \n well")))
    assert answer.candidates[0].explanation == "It [2J speaks well"


def test_a_call_comes_with_its_document_where_nothing_is_said_of_it(
    gorilla: Gorilla, model_server: ModelServer
) -> None:
    reply = answers(json.dumps({"api_call": ON_CUDA, "explanation": None}))
    answer = ask(gorilla, model_server, reply)
    assert answer.candidates[0].explanation == VOICE.description


def test_of_several_documents_none_is_its_choice(
    gorilla: Gorilla, model_server: ModelServer
) -> None:
    echoed = f"API 1\napi_call: {CHOIR.api_call}\n\nAPI 2\napi_call: {VOICE.api_call}\n"
    answer = ask(gorilla, model_server, answers(echoed))
    assert "wrote no call of the documents in 2 attempts" in answer.notices[0]


def test_its_code_is_never_inserted(gorilla: Gorilla, model_server: ModelServer) -> None:
    answer = ask(gorilla, model_server, answers(form(ON_CUDA)))
    assert "import os" not in answer.candidates[0].code


@pytest.mark.parametrize("text", [form("none"), form("None."), '{"api_call": null}'])
def test_where_it_says_that_nothing_fits_nothing_is_offered(
    gorilla: Gorilla, model_server: ModelServer, text: str
) -> None:
    answer = ask(gorilla, model_server, answers(text))
    assert (answer.candidates, len(answer.nearest)) == ((), 2)


def test_an_undocumented_call_is_asked_for_again_with_the_reason(
    gorilla: Gorilla, model_server: ModelServer
) -> None:
    replies = answers(form(UNDOCUMENTED)), answers(form(ON_CUDA))
    answer = ask(gorilla, model_server, *replies)
    assert (calls(answer)[0], answer.notices) == (ON_CUDA, ())
    (_, first), (_, second) = model_server.requests
    assert second["messages"][0] == first["messages"][0]
    assert UNDOCUMENTED in second["messages"][1]["content"]
    assert "says 'acme/voice', not 'acme/parrot'" in second["messages"][2]["content"]


def test_a_call_that_stays_undocumented_is_replaced_and_the_answer_says_so(
    gorilla: Gorilla, model_server: ModelServer
) -> None:
    text = form(f"acme/choir: {UNDOCUMENTED}")
    answer = ask(gorilla, model_server, answers(text), text="German text to speech")
    assert calls(answer)[0] == CHOIR.api_call
    assert answer.notices == (
        f"{model_server.model} wrote no call of the documents in 2 attempts; "
        "the documented call of acme/choir stands in its place.",
    )
    assert len(model_server.requests) == 2


@pytest.mark.parametrize(
    "text", ["", "I am a large language model.", "<<<api_call>>>:", "{}", "[]"]
)
def test_where_it_writes_no_call_the_embedded_model_chooses(
    gorilla: Gorilla, model_server: ModelServer, text: str
) -> None:
    answer = ask(gorilla, model_server, answers(text))
    assert calls(answer)[0] == ON_CUDA
    assert answer.notices[0].endswith("the embedded model chose instead.")


@pytest.mark.parametrize(
    "reply",
    [sends(500, ""), answers("Hello!"), answers(form(f"acme/choir: {UNDOCUMENTED}"))],
    ids=["it fails", "it writes no call", "its call is replaced"],
)
def test_where_the_embedded_model_stands_in_the_answer_is_its(
    gorilla: Gorilla, model_server: ModelServer, reply: Reply
) -> None:
    answer = ask(gorilla, model_server, reply)
    assert (answer.model, len(answer.notices)) == ("embedded", 1)


def test_a_model_that_says_that_nothing_fits_has_answered(
    gorilla: Gorilla, model_server: ModelServer
) -> None:
    assert ask(gorilla, model_server, answers(form("none"))).model == model_server.model


def test_its_progress_is_told(gorilla: Gorilla, model_server: ModelServer) -> None:
    model_server.replies[:] = [streams(form(ON_CUDA))]
    events = list(gorilla.stream(Request(SENTENCE, model=model_server.model)))
    told = [found for found in events if isinstance(found, Progress) and "tiny" in found.message]
    assert told[-1].done > told[0].done


def test_it_is_told_while_another_machine_works_and_no_longer(
    gorilla: Gorilla, model_server: ModelServer
) -> None:
    model_server.replies[:] = [streams(form(ON_CUDA))]
    events = list(gorilla.stream(Request(SENTENCE, model=model_server.model)))
    told = [found for found in events if isinstance(found, Progress)]
    first, *others, last = [found for found in told if "tiny" in found.message]
    assert all(found.elsewhere for found in (first, *others))
    assert not last.elsewhere


# What is sent


def test_the_sentence_and_the_documents_are_all_that_is_sent(
    gorilla: Gorilla, model_server: ModelServer
) -> None:
    ask(gorilla, model_server, streams(form(ON_CUDA)))
    ((headers, body),) = model_server.requests
    names = {"model", "messages", "max_tokens", "temperature", "stream", "response_format"}
    assert body.keys() == names
    (message,) = body["messages"]
    assert SENTENCE in message["content"]
    assert VOICE.description in message["content"]
    assert {name.lower() for name in headers} == {
        "host",
        "accept",
        "accept-encoding",
        "connection",
        "user-agent",
        "content-length",
        "content-type",
    }


def test_no_document_nothing_sent(gorilla: Gorilla, model_server: ModelServer) -> None:
    assert ask(gorilla, model_server, answers(""), text="brew beer").candidates == ()
    assert model_server.requests == []


def test_the_structure_that_is_asked_for_allows_documented_calls_only(
    gorilla: Gorilla, model_server: ModelServer
) -> None:
    ask(gorilla, model_server, streams(form(ON_CUDA)))
    properties = asked_structure(model_server)
    pattern = properties["api_call"]["pattern"]
    for call in (ON_CUDA, VOICE.api_call, CHOIR.api_call, "none"):
        assert re.search(pattern, call)
    for call in (UNDOCUMENTED, f"{ON_CUDA}; reboot()", f"x{ON_CUDA}", ""):
        assert not re.search(pattern, call)
    assert properties["domain"]["enum"] == ["Audio Text-to-Speech"]


def test_the_structure_that_is_asked_for_has_room_for_one_sentence_of_explanation(
    gorilla: Gorilla, model_server: ModelServer
) -> None:
    ask(gorilla, model_server, streams(form(ON_CUDA)))
    pattern = asked_structure(model_server)["explanation"]["pattern"]
    assert re.search(pattern, "It speaks German.")
    for text in ("It speaks. It speaks.", "It speaks and " * 20, "It speaks", ""):
        assert not re.search(pattern, text)


@pytest.mark.parametrize("status", [400, 422, 501])
def test_a_server_without_structured_output_is_asked_without_from_then_on(
    gorilla: Gorilla, model_server: ModelServer, status: int
) -> None:
    answer = ask(gorilla, model_server, sends(status, "{}"), streams(form(ON_CUDA)))
    assert (calls(answer)[0], answer.notices) == (ON_CUDA, ())
    gorilla.ask(SENTENCE, model=model_server.model)
    structured = ["response_format" in body for _, body in model_server.requests]
    assert structured == [True, False, False]


def test_a_server_that_refuses_one_structure_is_sent_the_next(
    gorilla: Gorilla, model_server: ModelServer
) -> None:
    written = streams(form(ON_CUDA))
    model_server.replies[:] = [written, sends(400, "{}"), written]
    for _ in range(3):
        gorilla.ask(SENTENCE, model=model_server.model)
    structured = ["response_format" in body for _, body in model_server.requests]
    assert structured == [True, True, False, True]


def test_documents_are_dropped_whole_where_there_is_no_room(
    gorilla: Gorilla, model_server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai, "PROMPT_CHARACTERS", 900)
    ask(gorilla, model_server, streams(form(ON_CUDA)))
    ((_, body),) = model_server.requests
    assert VOICE.description in body["messages"][0]["content"]
    assert CHOIR.description not in body["messages"][0]["content"]


def test_a_sentence_that_is_too_long_is_not_sent(
    gorilla: Gorilla, model_server: ModelServer
) -> None:
    answer = ask(gorilla, model_server, answers(""), text=f"{SENTENCE} {'slowly ' * 2000}")
    assert "too long for this model" in answer.notices[0]
    assert model_server.requests == []


def test_the_key_of_the_server_is_sent_to_it_and_no_other(
    gorilla: Gorilla, model_server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GORILLA_KEY_127_0_0_1", "secret")
    monkeypatch.setenv("GORILLA_KEY_LOCALHOST", "another")
    ask(gorilla, model_server, streams(form(ON_CUDA)))
    ((headers, _),) = model_server.requests
    assert headers["Authorization"] == "Bearer secret"


def test_every_host_has_a_variable_of_its_own() -> None:
    hosts = ["api.example.org", "api-example.org", "api_example.org", "münchen.de", "m.nchen.de"]
    variables = {key_variable(host) for host in hosts}
    assert len(variables) == len(hosts)
    assert "GORILLA_KEY_API_EXAMPLE_ORG" in variables
    assert all(re.fullmatch(r"[A-Z0-9_]+", variable) for variable in variables)


def test_a_line_end_behind_the_key_is_not_part_of_it(
    gorilla: Gorilla, model_server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GORILLA_KEY_127_0_0_1", "secret\n")
    ask(gorilla, model_server, streams(form(ON_CUDA)))
    ((headers, _),) = model_server.requests
    assert headers["Authorization"] == "Bearer secret"


@pytest.mark.parametrize("key", ["secret\nvalue", "secrét"])
def test_what_can_be_no_key_is_refused_and_not_repeated(
    gorilla: Gorilla, model_server: ModelServer, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("GORILLA_KEY_127_0_0_1", key)
    answer = ask(gorilla, model_server, streams(form(ON_CUDA)))
    assert "GORILLA_KEY_127_0_0_1 has characters that no key can have" in answer.notices[0]
    assert "secr" not in str(answer.to_json())


def test_on_this_machine_no_proxy_is_used_and_nothing_has_left(
    gorilla: Gorilla, model_server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert ask(gorilla, model_server, streams(form(ON_CUDA))).notices == ()


def test_an_answer_says_that_the_sentence_left_the_machine(
    gorilla: Gorilla, model_server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{model_server.port}")
    model_server.replies[:] = [streams(form(ON_CUDA))]
    answer = gorilla.ask(SENTENCE, model="openai:http://models.example/v1#tiny")
    assert calls(answer)[0] == ON_CUDA
    assert answer.notices == (
        "The sentence and 2 documents were sent to http://models.example, unencrypted "
        "(model tiny).",
    )


def test_a_certificate_that_nobody_vouches_for_is_refused(
    gorilla: Gorilla, tls_model_server: ModelServer
) -> None:
    answer = ask(gorilla, tls_model_server, streams(form(ON_CUDA)))
    assert "CERTIFICATE_VERIFY_FAILED" in answer.notices[0]
    assert tls_model_server.requests == []


def test_the_administrators_certificates_are_trusted(
    gorilla: Gorilla, tls_model_server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CA_FILE, str(CERTIFICATE))
    answer = ask(gorilla, tls_model_server, streams(form(ON_CUDA)))
    assert (calls(answer)[0], answer.notices) == (ON_CUDA, ())


@pytest.mark.parametrize("file", ["/no/such/file.pem", __file__])
def test_certificates_that_cannot_be_read_are_named(
    gorilla: Gorilla, model_server: ModelServer, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    monkeypatch.setenv(CA_FILE, file)
    answer = ask(gorilla, model_server, streams(form(ON_CUDA)))
    assert f"The certificates in {file} cannot be read" in answer.notices[0]


# Failures


def waits(released: threading.Event) -> Reply:
    return lambda handler: bool(released.wait(20)) or None  # type: ignore[return-value]


def drips(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", "text/event-stream")
    handler.end_headers()
    try:
        for _ in range(200):
            handler.wfile.write(event("x").encode())
            time.sleep(0.02)
    except OSError:
        pass  # the client has gone


def breaks(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"choices"')


EVENTS = {"Content_Type": "text/event-stream"}
STREAM_ERROR = 'data: {"error": {"message": "out of memory"}}\n\n'


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        (sends(429, '{"error": {"message": "slow down"}}'), "too many requests (429: slow down)."),
        (sends(500, "<html>"), "failed (500)."),
        (sends(503, '{"message": "loading\\u001b"}'), "failed (503: loading)."),
        (sends(401, "{}"), "refuses the key in GORILLA_KEY_127_0_0_1 (401)."),
        (sends(404, '{"detail": "Not Found"}'), "has no model tiny (404: Not Found)."),
        (sends(400, "[]"), "failed (400)."),
        (breaks, "cannot be reached"),
        (streams(form(ON_CUDA), end=""), "stopped in the middle of its answer."),
        (streams("<<<domain>>>", end=STREAM_ERROR), "failed while it wrote (out of memory)."),
        (sends(200, "data: {oops}\n\n", **EVENTS), "that is not JSON."),
        (sends(200, "data: [1]\n\n", **EVENTS), "another form than OpenAI's."),
        (sends(200, "oops"), "that is not JSON."),
        (sends(200, '{"choices": [{"message": {"content": 7}}]}'), "another form than OpenAI's."),
        (sends(200, "[" * 100_000), "that is not JSON."),
        (sends(200, "x" * (2 << 20)), "sent more than 1 MiB, which is no answer."),
        (sends(200, event("x" * 2000) * 1000, **EVENTS), "sent more than 1 MiB"),
        (sends(500, "x" * (2 << 20)), "sent more than 1 MiB"),
        (sends(200, b"\xff\xfe", **EVENTS), "stopped in the middle of its answer."),
    ],
)
def test_a_server_that_fails_is_told_in_a_sentence_and_stood_in_for(
    gorilla: Gorilla, model_server: ModelServer, reply: Reply, sentence: str
) -> None:
    answer = ask(gorilla, model_server, reply)
    assert calls(answer)[0] == ON_CUDA
    (notice,) = answer.notices
    assert notice.startswith(f"The model server http://127.0.0.1:{model_server.port} ")
    assert sentence in notice
    assert notice.endswith(" The embedded model answered instead.")


def test_a_redirect_is_never_followed(gorilla: Gorilla, model_server: ModelServer) -> None:
    elsewhere = f"http://localhost:{model_server.port}/v1/chat/completions"
    answer = ask(gorilla, model_server, sends(307, "", Location=elsewhere))
    assert "redirects are not followed (307)." in answer.notices[0]
    assert len(model_server.requests) == 1


def test_a_server_that_is_not_there_is_told(gorilla: Gorilla, model_server: ModelServer) -> None:
    answer = gorilla.ask(SENTENCE, model="openai:http://127.0.0.1:9/v1#tiny")
    assert "http://127.0.0.1:9 cannot be reached" in answer.notices[0]


@pytest.mark.parametrize(
    ("limit", "reply"), [("SILENT_SECONDS", waits), ("ANSWER_SECONDS", lambda released: drips)]
)
def test_a_server_that_hangs_or_drips_is_given_up(
    gorilla: Gorilla,
    model_server: ModelServer,
    monkeypatch: pytest.MonkeyPatch,
    limit: str,
    reply: Callable[[threading.Event], Reply],
) -> None:
    released = threading.Event()
    monkeypatch.setattr(openai, limit, 0.2)
    answer = ask(gorilla, model_server, reply(released))
    released.set()
    assert "did not answer in time" in answer.notices[0]


def test_an_answer_that_nobody_waits_for_is_let_go_at_once(
    gorilla: Gorilla, model_server: ModelServer
) -> None:
    released = threading.Event()
    model_server.replies[:] = [waits(released)]
    stream = gorilla.stream(Request(SENTENCE, model=model_server.model))
    for _ in stream:
        if model_server.requests:
            break
    begin = time.perf_counter()
    stream.close()  # type: ignore[attr-defined]
    seconds = time.perf_counter() - begin
    released.set()
    assert seconds < 0.2


# Names


@pytest.mark.parametrize(
    "name",
    [
        "openai:",
        "openai:#tiny",
        "openai:localhost:8000/v1#tiny",
        "openai:ftp://localhost/v1#tiny",
        "openai:http://localhost/v1",
        "openai:http://localhost/v1#",
        "openai:http://[::1/v1#tiny",
        "openai:" + "x" * 100_000,
    ],
)
def test_what_is_no_address_is_refused_with_an_example(name: str) -> None:
    with pytest.raises(ModelError, match="write openai:BASE_URL#MODEL"):
        load_backend(name)


@pytest.mark.parametrize("part", ["secret@models.example", "models.example?key=secret"])
def test_a_key_in_the_address_is_refused_and_not_repeated(part: str) -> None:
    with pytest.raises(ModelError, match="GORILLA_KEY_MODELS_EXAMPLE") as raised:
        load_backend(f"openai:https://{part}#tiny")
    assert "secret" not in str(raised.value)


def test_a_model_that_the_administrator_does_not_allow_is_refused(
    model_server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ALLOWED_MODELS, json.dumps(["openai:http://localhost/v1#other"]))
    with pytest.raises(ModelError, match=r"Allowed: embedded, openai:http://localhost/v1#other\."):
        load_backend(model_server.model)
    assert load_backend("embedded").name == "embedded"


@pytest.mark.parametrize("value", ["", "embedded", "{}"])
def test_a_list_of_allowed_models_that_is_none_allows_nothing(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv(ALLOWED_MODELS, value)
    with pytest.raises(ModelError, match="must hold a JSON list"):
        load_backend("embedded")
