"""Collecting from hubs, against a server of our own that answers as they do."""

from __future__ import annotations

import email.utils
import gzip
import hashlib
import io
import json
import socket
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gorilla_jupyter import __version__, cli
from gorilla_jupyter.answer import Progress
from gorilla_jupyter.catalog import hubs
from gorilla_jupyter.catalog.hubs import (
    HubError,
    SyncReport,
    cards,
    huggingface,
    pytorch,
    tensorflow,
    web,
)
from gorilla_jupyter.catalog.sources import Sources, load_sources
from gorilla_jupyter.catalog.store import CatalogStore
from gorilla_jupyter.record import ApiRecord
from tests.catalog.replay import Answer, Replay

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SPEECH = "/api/models?text-to-speech"

CARD = """---
license: mit
language: [en]
library_name: transformers
pipeline_tag: text-to-speech
model-index:
- name: voice
  results:
  - dataset: {name: Tongue Twisters, type: tongue-twisters}
    metrics:
    - {type: mos, value: 4.25}
---
# Voice

[![badge](https://img.example/b.svg)](https://example.org)

A calm voice that reads **whole chapters** of [novels](https://example.org) aloud. It knows English.

More about it stands elsewhere, and nobody needs it in a description.
"""


@pytest.fixture
def replay(monkeypatch: pytest.MonkeyPatch) -> Iterator[Replay]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = Replay()
    yield server
    server.close()


@pytest.fixture
def waits() -> list[float]:
    """What a sync would have waited, in seconds."""
    return []


@pytest.fixture(scope="module")
def sources() -> Sources:
    return load_sources()


Synced = Callable[..., SyncReport]


@pytest.fixture
def synced(
    replay: Replay, waits: list[float], sources: Sources, monkeypatch: pytest.MonkeyPatch
) -> Synced:
    """Sync with the server, with no shipped catalogs and without waiting."""
    for hub in (huggingface, pytorch, tensorflow):
        # Reading the recipes takes longer than the rest, and every test would do it.
        monkeypatch.setattr(hub, "load_sources", lambda: sources)

    def run(name: str = "huggingface", **options: Any) -> SyncReport:
        options.setdefault("store", CatalogStore(builtin=None))
        options.setdefault("url", replay.url)
        return hubs.sync(name, sleep=waits.append, **options)

    return run


def model(name: str = "acme/voice", **changes: Any) -> dict[str, Any]:
    """An item of the list of models, as the Hugging Face Hub writes it."""
    return {
        "_id": "621ffdc036468d709f174338",
        "id": name,
        "modelId": name,
        "sha": COMMIT,
        "private": False,
        "disabled": False,
        "gated": False,
        "library_name": "transformers",
        "pipeline_tag": "text-to-speech",
        "tags": ["transformers", "safetensors", "vits", "text-to-speech", "license:mit"],
        "config": {"architectures": ["VitsModel"], "model_type": "vits"},
    } | changes


def card_path(name: str = "acme/voice") -> str:
    return f"/{name}/resolve/{COMMIT}/README.md"


def offer(replay: Replay, *names: str) -> None:
    """Let the hub list models for speech, each with a card."""
    replay.say(SPEECH, [model(name) for name in names])
    for name in names:
        replay.say(card_path(name), CARD)


def records(name: str = "huggingface-synced") -> list[ApiRecord]:
    (catalog,) = (found for found in CatalogStore().catalogs() if found.name == name)
    return list(catalog.read().records)


def names_of(report: SyncReport) -> list[str]:
    return [record.api_name for record in records(report.catalog)]


def only_reason(report: SyncReport) -> str:
    (refusal,) = report.refusals
    return str(refusal)


# The Hugging Face Hub


def test_model_becomes_a_record(replay: Replay, synced: Synced) -> None:
    offer(replay, "acme/voice")
    synced()
    (record,) = records()
    assert record.description == (
        "A calm voice that reads whole chapters of novels aloud. It knows English. Licence: mit."
    )
    assert record.performance == {"dataset": "Tongue Twisters", "mos": 4.25}


def test_record_has_the_form_of_a_shipped_one(replay: Replay, synced: Synced) -> None:
    shipped = next(
        record
        for catalog in CatalogStore().catalogs()
        for record in catalog.read().records
        if record.api_name == "suno/bark-small"
    ).to_json()
    offer(replay, "suno/bark-small")
    synced()
    collected = records()[0].to_json()
    shipped.pop("checked")
    for own in ("description", "performance"):
        shipped.pop(own)
        collected.pop(own)
    assert collected == shipped


def test_each_task_is_asked_for_its_most_downloaded(replay: Replay, synced: Synced) -> None:
    synced(top=3)
    queries = {asked.query["pipeline_tag"][0]: asked.query for asked in replay.asked}
    assert len(queries) == len(replay.asked) > 25
    query = queries["depth-estimation"]
    assert (query["sort"], query["direction"], query["limit"]) == (["downloads"], ["-1"], ["3"])
    assert "gated" in query["expand[]"]


def test_no_more_than_the_top_are_taken(replay: Replay, synced: Synced) -> None:
    offer(replay, "a/one", "a/two", "a/three")
    assert names_of(synced(top=2)) == ["a/one", "a/two"]


@pytest.mark.parametrize("top", [0, 101])
def test_top_out_of_bounds_is_refused(top: int, replay: Replay, synced: Synced) -> None:
    with pytest.raises(HubError, match="between 1 and 100"):
        synced(top=top)
    assert replay.asked == []


LISTED: dict[str, tuple[str, dict[str, Any], str]] = {
    "gated": ("text-to-speech", {"gated": "manual"}, "is gated"),
    "private": ("text-to-speech", {"private": True}, "not open to the public"),
    "custom code": ("text-to-speech", {"tags": ["custom_code"]}, "needs trust_remote_code"),
    "code of its own": (
        "text-to-speech",
        {"config": {"auto_map": {"AutoModel": "modeling.Voice"}}},
        "needs trust_remote_code",
    ),
    "no task": ("text-to-speech", {"pipeline_tag": None}, "names no task"),
    "another task": ("text-to-speech", {"pipeline_tag": "fill-mask"}, "names another task"),
    "no library": ("text-to-speech", {"library_name": None}, "names no library"),
    "unknown library": (
        "text-to-speech",
        {"library_name": "espnet"},
        "has no usable call: no recipe suits text-to-speech with espnet of the type vits",
    ),
    "add-on": (
        "text-to-image",
        {"library_name": "diffusers", "pipeline_tag": "text-to-image", "tags": ["lora"]},
        "has no usable call",
    ),
}


@pytest.mark.parametrize("lack", LISTED)
def test_model_that_the_list_rules_out_is_refused_unread(
    lack: str, replay: Replay, synced: Synced
) -> None:
    task, changes, reason = LISTED[lack]
    replay.say(f"/api/models?{task}", [model(**changes)])
    report = synced()
    assert reason in only_reason(report)
    assert only_reason(report).startswith("acme/voice ")
    assert set(replay.paths()) == {"/api/models"}


BOMB = (
    f"---\nlicense: mit\na: &a [{'x, ' * 20}]\n"
    + "".join(f"{b}: &{b} [{f'*{a}, ' * 20}]\n" for a, b in zip("abcdefg", "bcdefgh", strict=True))
    + "---\nIt is a very small voice that grows.\n"
)

CARDS: dict[str, tuple[Any, str]] = {
    "no licence": (CARD.replace("license: mit\n", ""), "names no licence"),
    "unknown licence": (CARD.replace("mit", "unknown"), "names no licence"),
    "other licence without a name": (CARD.replace("mit", "other"), "names no licence"),
    "no front matter": ("A voice that reads whole chapters aloud.", "names no licence"),
    "no sentence": ("---\nlicense: mit\n---\n# Voice\n\n- one\n- two\n", "without a sentence"),
    "YAML bomb": (BOMB, "its aliases stand for more than"),
    "broken YAML": ("---\nlicense: [mit\n---\nText.\n", "front matter that cannot be read"),
    "deep YAML": (
        f"---\na: {'[' * 30000}\n---\nText.\n",
        "nested more than",
    ),
    "YAML that makes objects": (
        "---\nlicense: !!python/object/apply:os.getcwd []\n---\nText.\n",
        "names no licence",
    ),
    "front matter that is a list": ("---\n- mit\n---\nText.\n", "no YAML mapping"),
    "remote code in its example": (
        CARD + "\n```python\nAutoModel.from_pretrained('x', trust_remote_code=True)\n```\n",
        "needs trust_remote_code",
    ),
    "not text": (b"---\xff\xfe", "not UTF-8"),
    "too long": (CARD + "x" * (1 << 20), "is longer than 1 MiB"),
    "compressed": (
        Answer(gzip.compress(CARD.encode()), headers={"Content-Encoding": "gzip"}),
        "comes compressed",
    ),
    "absent": (Answer(status=404), "404 Not Found"),
    "forbidden": (Answer(status=403), "403 Forbidden"),
    "elsewhere": (
        Answer(status=302, headers={"Location": "http://elsewhere.example/README.md"}),
        "redirects to another host, elsewhere.example",
    ),
    "another port": (
        Answer(status=302, headers={"Location": "http://127.0.0.1:9/README.md"}),
        "redirects to another host",
    ),
    "in a circle": (Answer(status=302, headers={"Location": card_path()}), "without end"),
}


@pytest.mark.parametrize("fault", CARDS)
def test_bad_card_costs_its_model_alone(fault: str, replay: Replay, synced: Synced) -> None:
    card, reason = CARDS[fault]
    offer(replay, "acme/voice", "acme/other")
    replay.say(card_path(), card)
    report = synced()
    assert reason in only_reason(report)
    assert names_of(report) == ["acme/other"]
    assert report.complete


LISTS: dict[str, Any] = {
    "truncated JSON": json.dumps([model()])[:-20],
    "an object": {"error": "no"},
    "deep JSON": "[" * 200000,
    "too long": b" " * (5 << 20),
}


@pytest.mark.parametrize("fault", LISTS)
def test_bad_list_costs_its_task_alone(fault: str, replay: Replay, synced: Synced) -> None:
    replay.say("/api/models?fill-mask", LISTS[fault])
    offer(replay, "acme/voice")
    report = synced()
    assert only_reason(report).startswith("The list of fill-mask models is ")
    assert names_of(report) == ["acme/voice"]


@pytest.mark.parametrize(
    "name", ['a/b", trust=("', "a/../../b", "a/b/c", "/etc/passwd", "a/$call", "", 7, None]
)
def test_name_that_no_model_can_have_is_refused(name: Any, replay: Replay, synced: Synced) -> None:
    replay.say(SPEECH, [model(name=name)])
    assert "name that no model can have" in only_reason(synced())


def test_what_is_no_model_is_refused(replay: Replay, synced: Synced) -> None:
    replay.say(SPEECH, ["voice", None, 3])
    assert len(synced().refusals) == 3


def test_redirect_within_the_hub_is_followed(replay: Replay, synced: Synced) -> None:
    offer(replay, "acme/voice")
    replay.say(card_path(), Answer(status=307, headers={"Location": "/moved/README.md"}))
    replay.say("/moved/README.md", CARD)
    assert names_of(synced()) == ["acme/voice"]


def test_shipped_models_are_left_out_unread(replay: Replay, synced: Synced) -> None:
    offer(replay, "suno/bark-small", "acme/voice")
    report = synced(store=CatalogStore())
    assert (names_of(report), report.shipped) == (["acme/voice"], 1)
    assert card_path("suno/bark-small") not in replay.paths()


def test_every_rule_makes_a_record(replay: Replay, synced: Synced, sources: Sources) -> None:
    listed: dict[str, list[dict[str, Any]]] = {}
    expected = {}
    for number, rule in enumerate(huggingface.RULES):
        config = {
            "model_type": rule.kinds[0] if rule.kinds else "",
            "architectures": ["SomeForConditionalGeneration", "SomeForMaskedLM"],
        }
        name = f"acme/{number}"
        fitting = model(name, library_name=rule.library, pipeline_tag=rule.task, config=config)
        fitting["tags"] = [rule.tag.replace(r"\w*", "Some")]
        listed.setdefault(rule.task, []).append(fitting)
        replay.say(card_path(name), CARD)
        called = f"hf-hub:{name}" if rule.library == "timm" else name
        expected[called] = sources.recipes[rule.recipe].domain
    for task, models in listed.items():
        replay.say(f"/api/models?{task}", models)
    assert synced().refusals == ()
    assert {record.api_name: record.domain for record in records()} == expected


def test_timm_model_is_called_as_timm_does(replay: Replay, synced: Synced) -> None:
    timm = {"library_name": "timm", "pipeline_tag": "image-classification", "config": None}
    replay.say("/api/models?image-classification", [model("timm/tiny", **timm)])
    replay.say(card_path("timm/tiny"), CARD)
    synced()
    assert records()[0].api_call == 'timm.create_model("tiny", pretrained=True)'


# Politeness


def test_requests_say_who_asks_and_keep_their_distance(
    replay: Replay, synced: Synced, waits: list[float]
) -> None:
    synced()
    assert {asked.headers["User-Agent"].split(" ")[0] for asked in replay.asked} == {
        f"gorilla-jupyter/{__version__}"
    }
    assert waits == [0.2] * len(replay.asked)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_passing_failure_is_retried_after_longer_and_longer_pauses(
    status: int, replay: Replay, synced: Synced, waits: list[float]
) -> None:
    offer(replay, "acme/voice")
    replay.say(card_path(), Answer(status=status), Answer(status=status), CARD)
    report = synced()
    assert names_of(report) == ["acme/voice"]
    assert [wait for wait in waits if wait > 0.2] == [1.0, 2.0]


def in_seconds(seconds: float) -> str:
    return email.utils.formatdate(time.time() + seconds, usegmt=True)


ASKED_PAUSES: dict[str, tuple[int, Callable[[], dict[str, str]]]] = {
    "seconds": (429, lambda: {"Retry-After": "55"}),
    "a date": (503, lambda: {"Retry-After": in_seconds(55)}),
    "Hugging Face's header": (429, lambda: {"RateLimit": '"api";r=0;t=55'}),
    "GitHub's headers": (
        403,
        lambda: {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": f"{time.time() + 55:.0f}"},
    ),
}


@pytest.mark.parametrize("form", ASKED_PAUSES)
def test_pause_that_the_hub_asks_for_is_made(
    form: str, replay: Replay, synced: Synced, waits: list[float]
) -> None:
    status, headers = ASKED_PAUSES[form]
    offer(replay, "acme/voice")
    replay.say(card_path(), Answer(status=status, headers=headers()), CARD)
    assert names_of(synced()) == ["acme/voice"]
    assert 50 < max(waits) <= 56


def test_pause_is_made_before_the_hub_must_refuse(
    replay: Replay, synced: Synced, waits: list[float]
) -> None:
    offer(replay, "acme/voice")
    headers = {"RateLimit": '"api";r=0;t=40', "RateLimit-Policy": '"fixed window";"api";q=500'}
    replay.say(SPEECH, Answer([model()], headers=headers))
    seen: list[str] = []
    synced(show=lambda progress: seen.append(progress.message))
    assert 38 < max(waits) <= 40
    assert any("asks for a pause of" in message for message in seen)


def test_pause_that_is_too_long_ends_the_sync_with_the_time(
    replay: Replay, synced: Synced, waits: list[float]
) -> None:
    offer(replay, "acme/voice")
    replay.say(card_path(), Answer(status=429, headers={"Retry-After": "3600"}))
    with pytest.raises(HubError, match=r"no more requests before \d\d:\d\d\. Run the same"):
        synced()
    assert max(waits) < 1


def test_hub_that_keeps_refusing_is_left_alone(replay: Replay, synced: Synced) -> None:
    offer(replay, "acme/voice", "acme/other")
    replay.say(card_path(), Answer(status=429))
    with pytest.raises(HubError, match="keeps refusing: 429"):
        synced()
    assert replay.paths().count(card_path()) == web.ATTEMPTS
    assert card_path("acme/other") not in replay.paths()


def test_hub_that_is_down_is_soon_left_alone(replay: Replay, synced: Synced) -> None:
    for task in huggingface.TASKS:
        replay.say(f"/api/models?{task}", Answer(status=503))
    with pytest.raises(HubError, match="for 5 pages in a row"):
        synced()
    assert len(replay.asked) == web.ATTEMPTS * web.LOST_IN_A_ROW


PASSING: dict[str, Answer] = {
    "error": Answer(status=500),
    "half a body": Answer("# Voi", promised=4000),
    "silence": Answer(silent=True),
    "redirect to nowhere": Answer(status=302, headers={"Location": "http://127.0.0.1:x/"}),
}


@pytest.mark.parametrize("fault", PASSING)
def test_lasting_failure_costs_one_model_and_is_told(
    fault: str, replay: Replay, synced: Synced
) -> None:
    offer(replay, "acme/voice", "acme/other")
    replay.say(card_path(), PASSING[fault])
    report = synced(timeout=0.1)
    assert names_of(report) == ["acme/other"]
    assert only_reason(report).startswith("acme/voice cannot be had: 127.0.0.1 ")
    assert not report.complete


def test_too_many_requests_are_never_made(
    replay: Replay, synced: Synced, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "MAX_REQUESTS", 7)
    with pytest.raises(HubError, match="More than 7 requests"):
        synced()
    assert len(replay.asked) == 7


def test_offline_it_fails_at_once_with_a_sentence(synced: Synced, waits: list[float]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(HubError, match=r"127\.0\.0\.1 cannot be reached .*needs the network"):
        synced(url=f"http://127.0.0.1:{port}")
    assert sum(waits) < 1


@pytest.mark.parametrize("url", ["ftp://x", "huggingface", "http://", "http://u:p@x", "http://x:y"])
def test_address_that_is_none_is_refused(url: str, synced: Synced) -> None:
    with pytest.raises(HubError, match="is no address"):
        synced(url=url)


def test_mirror_with_a_path_stands_in(
    replay: Replay, synced: Synced, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", f"{replay.url}/mirror")
    synced(url=None)
    assert set(replay.paths()) == {"/mirror/api/models"}


# Cache, resume, and what stays on disk


def test_second_sync_asks_only_whether_lists_have_changed(replay: Replay, synced: Synced) -> None:
    offer(replay, "acme/voice")
    replay.say(SPEECH, Answer([model()], headers={"ETag": '"list-1"'}))
    first = synced()
    before = first.path.read_bytes()
    replay.asked.clear()
    synced()
    assert card_path() not in replay.paths()
    asked = {a.query["pipeline_tag"][0]: a.headers.get("If-None-Match") for a in replay.asked}
    assert asked["text-to-speech"] == '"list-1"'
    assert first.path.read_bytes() == before


def test_interrupted_sync_goes_on_where_it_was(replay: Replay, synced: Synced) -> None:
    offer(replay, "acme/one", "acme/two", "acme/three")

    def interrupt(progress: Progress) -> None:
        if card_path("acme/two") in replay.paths():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synced(show=interrupt)
    assert CatalogStore(builtin=None).catalogs() == []
    replay.asked.clear()
    assert names_of(synced()) == ["acme/one", "acme/two", "acme/three"]
    cards_asked = [path for path in replay.paths() if path.endswith("README.md")]
    assert cards_asked == [card_path("acme/three")]


def test_damaged_cache_is_asked_for_again(
    replay: Replay, synced: Synced, gorilla_home: Path
) -> None:
    offer(replay, "acme/voice")
    synced()
    for file in (gorilla_home / "hubs" / "huggingface").iterdir():
        file.write_bytes(file.read_bytes()[:-3])
    assert names_of(synced()) == ["acme/voice"]


def test_cache_forgets_what_is_no_longer_needed(
    replay: Replay, synced: Synced, gorilla_home: Path
) -> None:
    offer(replay, "acme/voice", "acme/other")
    synced()
    before = set((gorilla_home / "hubs" / "huggingface").iterdir())
    offer(replay, "acme/voice")
    synced()
    assert len(before - set((gorilla_home / "hubs" / "huggingface").iterdir())) == 1


def test_incomplete_sync_keeps_the_records_of_before(replay: Replay, synced: Synced) -> None:
    offer(replay, "acme/voice")
    synced()
    replay.say(SPEECH, Answer(status=503))
    report = synced()
    assert names_of(report) == ["acme/voice"]
    assert (report.kept, report.complete) == (1, False)
    assert "1 records of before were kept" in str(report)


def test_damaged_catalog_is_replaced(replay: Replay, synced: Synced) -> None:
    offer(replay, "acme/voice")
    synced().path.write_bytes(b"\xff\xfe")
    replay.say("/api/models?fill-mask", Answer(status=503))
    assert names_of(synced()) == ["acme/voice"]


def test_complete_sync_drops_models_that_are_gone(replay: Replay, synced: Synced) -> None:
    offer(replay, "acme/voice")
    synced()
    offer(replay, "acme/other")
    assert names_of(synced()) == ["acme/other"]


def test_failed_sync_leaves_the_catalog_as_it_was(replay: Replay, synced: Synced) -> None:
    offer(replay, "acme/voice")
    before = synced().path.read_bytes()
    replay.say(SPEECH, Answer(status=429))
    with pytest.raises(HubError):
        synced()
    folder = CatalogStore().folder
    assert [file.name for file in folder.iterdir()] == ["huggingface-synced.jsonl"]
    assert (folder / "huggingface-synced.jsonl").read_bytes() == before


def test_folder_that_cannot_be_written_is_named(
    replay: Replay, synced: Synced, tmp_path: Path
) -> None:
    offer(replay, "acme/voice")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(HubError, match=r"file.* cannot be written"):
        synced(store=CatalogStore(tmp_path / "file" / "catalogs", builtin=None))


# Cards


MARKUP = """\
# Title

<div align="center"><img src="x" onerror="alert(1)"><script>alert(2)</script></div>

[![Badge](https://img.example/x.svg)](https://example.org) ![chart](y.png)

[Paper](https://example.org/p) | [Code](https://example.org/c)

Disclaimer: the team that released this model wrote no card for it at all.

Reads <b onclick="alert(3)">long</b> &lt;script&gt;novels&lt;/script&gt;
aloud<script>alert(4)</script> with *much*\u202e `care`\x00\u200b, ![x](z.png)
in English. And [so on](javascript:alert(5)) it goes on
"""


def test_description_is_plain_text() -> None:
    assert cards.description(MARKUP) == "Reads long novels aloud with much care, in English."


def test_description_is_cut_at_a_sentence() -> None:
    text = cards.description("It reads a chapter of a novel aloud. " * 30)
    assert text.endswith("aloud.")
    assert 300 < len(text) <= cards.DESCRIPTION


def test_description_in_another_script_counts() -> None:
    japanese = "この模型は長い小説の章を静かな声で読み上げます。"
    assert cards.description(f"# 声\n\n{japanese}\n") == japanese


@pytest.mark.parametrize(
    "text",
    ["[" * 65536, "*a " * 20000, "![" * 30000, "> " * 30000, "<a " * 20000, "a|" * 30000],
    ids=["brackets", "stars", "images", "quotes", "tags", "cells"],
)
def test_hostile_markdown_is_read_in_time(text: str) -> None:
    started = time.perf_counter()
    cards.description(text)
    assert time.perf_counter() - started < 10


# PyTorch Hub

PAGE = """---
layout: hub_detail
title: Ear
summary: Hears what a bird sings
category: researchers
tags: [audio, scriptable]
github-link: https://github.com/acme/ear
featured_image_1: ear.png
---

All recordings must have exactly 16,000 values a second.

```python
import torch
model = torch.hub.load('acme/ear:v1', 'ear_small', pretrained=True, bands=-3)
model = torch.hub.load('acme/ear:v1', 'ear_large', pretrained=True)
helper = torch.hub.load('acme/ear:v1', 'ear_helper')
```

```bash
$ pip install -q librosa soundfile>=0.12  # for sound files
pip install -qr requirements.txt https://example.org/ear.whl
```

### Model Description

This network hears which of 300 birds sings in a recording.
"""


def publish(replay: Replay, **pages: Any) -> None:
    """Let GitHub list these pages of PyTorch Hub's repository and serve each as a blob."""
    entries = []
    for name, page in pages.items():
        answer = page if isinstance(page, Answer) else Answer(page)
        sha = hashlib.sha1(name.encode() + answer.content()).hexdigest()
        replay.say(f"/repos/pytorch/hub/git/blobs/{sha}", answer)
        entries.append({"name": f"{name}.md", "path": f"{name}.md", "sha": sha, "type": "file"})
    others = [
        {"name": "images", "path": "images", "sha": COMMIT, "type": "dir"},
        {"name": "README.md", "path": "README.md", "sha": COMMIT, "type": "file"},
        {"name": "../x.md", "path": "x.md", "sha": COMMIT, "type": "file"},
        {"name": "x.md", "path": "x.md", "sha": "../../secret", "type": "file"},
        "nonsense",
    ]
    replay.say("/repos/pytorch/hub/contents/", entries + others)


def test_page_becomes_records(replay: Replay, synced: Synced) -> None:
    publish(replay, acme_ear=PAGE)
    synced("pytorch")
    small, large = records("pytorch-hub-synced")
    assert large.api_call == "torch.hub.load('acme/ear:v1', 'ear_large', pretrained=True)"
    assert small.api_name == "acme/ear/ear_small"
    assert small.domain == "Audio"
    assert small.functionality == "Ear: Hears what a bird sings"
    assert small.python_environment_requirements == ("torch", "librosa", "soundfile>=0.12")
    assert small.description == (
        "This network hears which of 300 birds sings in a recording. "
        "Code and licence: github.com/acme/ear."
    )
    assert {"pretrained", "bands", "trust_repo"} <= {a.name for a in small.api_arguments}
    assert small.imports == ("import torch",)


def test_page_without_a_description_is_described_by_its_summary(
    replay: Replay, synced: Synced
) -> None:
    publish(replay, acme_ear=PAGE.replace("### Model Description", "### License"))
    synced("pytorch")
    assert records("pytorch-hub-synced")[0].description.startswith("Hears what a bird sings. Code")


def test_pages_are_asked_for_raw_and_once(replay: Replay, synced: Synced) -> None:
    publish(replay, acme_ear=PAGE)
    synced("pytorch")
    synced("pytorch")
    blobs = [asked for asked in replay.asked if "/blobs/" in asked.path]
    assert [asked.headers["Accept"] for asked in blobs] == ["application/vnd.github.raw+json"]


def with_call(call: str) -> str:
    head, _, rest = PAGE.partition("```python")
    return f"{head}```python\nimport torch\n{call}\n```\n{rest.partition('```')[2]}"


PAGES: dict[str, tuple[Any, str]] = {
    "no task": (PAGE.replace("audio, ", ""), "names no task"),
    "no summary": (PAGE.replace("summary: Hears what a bird sings\n", ""), "no summary"),
    "no call": (with_call("model = load('acme/ear')"), "has no torch.hub.load call"),
    "a variable": (
        with_call("name = 'x'\nmodel = torch.hub.load('acme/ear', name)"),
        "more than literals",
    ),
    "a call in the call": (
        with_call("model = torch.hub.load('acme/ear', 'x', device=torch.device('cpu'))"),
        "more than literals",
    ),
    "unpacking": (with_call("m = torch.hub.load('acme/ear', 'x', **{'a': 1})"), "names no repo"),
    "a folder": (
        with_call("m = torch.hub.load('a/b', 'x', source='local')"),
        "names no repository",
    ),
    "no repository": (with_call("m = torch.hub.load(model='x')"), "names no repository"),
    "trust": (with_call("m = torch.hub.load('a/b', 'x', trust_repo=True)"), "question of trust"),
    "not Python": (with_call("model = = torch.hub.load('a/b', 'x')"), "no torch.hub.load call"),
    "YAML bomb": (BOMB, "its aliases stand for more than"),
    "absent": (Answer(status=404), "404"),
    "too long": (PAGE + "x" * (1 << 20), "is longer than"),
}


@pytest.mark.parametrize("fault", PAGES)
def test_bad_page_costs_itself_alone(fault: str, replay: Replay, synced: Synced) -> None:
    page, reason = PAGES[fault]
    publish(replay, bad_page=page, acme_ear=PAGE)
    report = synced("pytorch")
    assert reason in only_reason(report)
    assert names_of(report) == ["acme/ear/ear_small", "acme/ear/ear_large"]


def test_page_that_is_no_model_is_passed_over(replay: Replay, synced: Synced) -> None:
    publish(replay, template="---\nlayout: page\n---\nHow to write pages.", acme_ear=PAGE)
    report = synced("pytorch")
    assert (report.refusals, report.records) == ((), 2)


def test_pages_of_a_category_are_taken_in_the_hubs_order(replay: Replay, synced: Synced) -> None:
    def page(name: str, order: str) -> str:
        return with_call(f"m = torch.hub.load('a/b', '{name}')").replace(
            "title: Ear", f"title: Ear{order}"
        )

    publish(replay, a=page("a", ""), b=page("b", "\norder: 10"), c=page("c", "\norder: 5"))
    assert names_of(synced("pytorch", top=2)) == ["a/b/b", "a/b/c"]


def test_shipped_entry_points_are_left_out(replay: Replay, synced: Synced) -> None:
    call = "model = torch.hub.load('pytorch/vision:v0.10.0', 'resnet18', pretrained=True)"
    publish(replay, pytorch_vision_resnet=with_call(call))
    report = synced("pytorch", store=CatalogStore())
    assert (report.records, report.shipped) == (0, 1)


def test_github_that_wants_no_more_requests_ends_the_sync(replay: Replay, synced: Synced) -> None:
    publish(replay, acme_ear=PAGE)
    reset = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": f"{time.time() + 1800:.0f}"}
    replay.say("/repos/pytorch/hub/contents/", Answer(status=403, headers=reset))
    with pytest.raises(HubError, match="wants no more requests before"):
        synced("pytorch")


def test_list_of_pages_that_is_none_is_told(replay: Replay, synced: Synced) -> None:
    replay.say("/repos/pytorch/hub/contents/", {"message": "Not Found"})
    assert "is not the list" in only_reason(synced("pytorch"))


# TensorFlow Hub

ARCHIVE = "/tensorflow/tfhub.dev/tar.gz/refs/heads/master"

DOCUMENT = """# Module acme/eye/1
A network that tells what a picture shows.

<!-- asset-path: internal -->
<!-- dataset: imagenet-ilsvrc-2012-cls -->
<!-- format: saved_model_2 -->
<!-- license: mit -->
<!-- module-type: image-classification -->

## Usage

```python
m = tf.keras.Sequential([
    hub.KerasLayer("https://tfhub.dev/acme/eye/1")
])
```

The size of the input images is fixed to
`height` x `width` = 299 x 299 pixels.
"""


def document(handle: str = "acme/eye/1", **changes: str) -> str:
    text = DOCUMENT.replace("acme/eye/1", handle)
    for old, new in changes.items():
        text = text.replace(old.replace("_", "-"), new)
    return text


def archive(*documents: str | bytes) -> bytes:
    """The repository as its host packs it."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as files:
        for number, text in enumerate(documents, 1):
            content = text if isinstance(text, bytes) else text.encode()
            file = tarfile.TarInfo(f"tfhub.dev-master/assets/docs/acme/models/{number}/1.md")
            file.size = len(content)
            files.addfile(file, io.BytesIO(content))
        link = tarfile.TarInfo("tfhub.dev-master/assets/docs/acme/models/link/1.md")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        files.addfile(link)
    return packed.getvalue()


def test_document_becomes_a_record(replay: Replay, synced: Synced) -> None:
    replay.say(ARCHIVE, archive(document()))
    synced("tensorflow")
    (record,) = records("tensorflow-hub-synced")
    assert record.api_call == 'hub.load("https://tfhub.dev/acme/eye/1")'
    assert "(299, 299)" in record.example_code
    assert record.description == "A network that tells what a picture shows. Licence: mit."


def test_newest_version_of_a_model_counts(replay: Replay, synced: Synced) -> None:
    versions = [document(f"acme/eye/{version}") for version in (2, 10, 9)]
    replay.say(ARCHIVE, archive(*versions))
    assert names_of(synced("tensorflow")) == ["acme/eye/10"]


def test_publishers_of_many_models_come_first(replay: Replay, synced: Synced) -> None:
    handles = ["aaa/one/1", "zoo/one/1", "zoo/two/1"]
    replay.say(ARCHIVE, archive(*map(document, handles)))
    assert names_of(synced("tensorflow", top=2)) == ["zoo/one/1", "zoo/two/1"]


def test_encoder_is_shown_with_its_preprocessor(replay: Replay, synced: Synced) -> None:
    text = document(**{"image-classification": "text-embedding"})
    text += "See https://tfhub.dev/acme/some_preprocess/3 for its input.\n"
    replay.say(ARCHIVE, archive(text))
    synced("tensorflow")
    assert (
        "https://tfhub.dev/acme/some_preprocess/3"
        in records("tensorflow-hub-synced")[0].example_code
    )


DOCUMENTS: dict[str, tuple[str, str]] = {
    "no task": (document(module_type="kind"), "names no task"),
    "unknown task": (
        document(**{"image-classification": "image-rnn"}),
        "no recipe suits image-rnn",
    ),
    "old format": (document(saved_model_2="x").replace("saved_model_2", "hub_module"), "format"),
    "custom licence": (document(mit="custom"), "names no licence"),
    "no size": (document(pixels="dots"), "which size"),
    "other classes": (document(imagenet="birds"), "other classes"),
    "never loaded": (document(KerasLayer="Layer"), "does not load it"),
    "no sentence": (
        document(**{"A network that tells what a picture shows.": "", "The size of": "- "}),
        "without a sentence",
    ),
}


@pytest.mark.parametrize("fault", DOCUMENTS)
def test_bad_document_costs_itself_alone(fault: str, replay: Replay, synced: Synced) -> None:
    text, reason = DOCUMENTS[fault]
    replay.say(ARCHIVE, archive(text, document("acme/other/1")))
    report = synced("tensorflow")
    assert reason in only_reason(report)
    assert names_of(report) == ["acme/other/1"]


def test_what_documents_no_model_is_passed_over(replay: Replay, synced: Synced) -> None:
    others: list[str | bytes] = [
        "# Publisher acme\nWe are.",
        "# Collection acme/eyes/1\nAll.",
        b"\xff\xfe\x00",
        "",
    ]
    replay.say(ARCHIVE, archive(*others, document()))
    report = synced("tensorflow")
    assert (report.records, report.refusals) == (1, ())


ARCHIVES: dict[str, bytes] = {
    "not an archive": b"<html>",
    "cut off": archive(*(document(f"acme/{n}/1") for n in range(50)))[:-200],
    "not tar": gzip.compress(b"x" * 5000),
}


@pytest.mark.parametrize("fault", ARCHIVES)
def test_damaged_archive_changes_nothing(fault: str, replay: Replay, synced: Synced) -> None:
    replay.say(ARCHIVE, archive(document()))
    before = synced("tensorflow").path.read_bytes()
    replay.say(ARCHIVE, ARCHIVES[fault])
    report = synced("tensorflow")
    assert "no archive that can be unpacked" in only_reason(report)
    assert report.path.read_bytes() == before


def test_archive_that_grows_too_large_is_refused(
    replay: Replay, synced: Synced, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorflow, "_UNPACKED_BYTES", 1 << 20)
    replay.say(ARCHIVE, archive(b"x" * (3 << 20)))
    assert "unpacks to more than 1 MiB" in only_reason(synced("tensorflow"))


# The command


def test_command_collects_and_tells(
    replay: Replay, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GORILLA_TENSORFLOW_HUB_URL", replay.url)
    replay.say(ARCHIVE, archive(document(), document("acme/old/1", mit="custom")))
    assert cli.main(["catalog", "sync", "tensorflow", "--top", "3"]) == 0
    output = capsys.readouterr()
    assert "'tensorflow-hub-synced': 1 records, 1 requests. 1 gave no record." in output.out
    assert "acme/old/1 names no licence that is known." in output.err


def test_command_can_be_stopped(
    replay: Replay, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(hubs, "sync", stop)
    assert cli.main(["catalog", "sync", "tensorflow", "--url", replay.url]) == 130
    assert "Run the same command to go on" in capsys.readouterr().err


def test_command_offline_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert cli.main(["catalog", "sync", "pytorch", "--url", "http://127.0.0.1:9"]) == 1
    assert "cannot be reached" in capsys.readouterr().err


def test_synced_catalog_answers_questions(replay: Replay, synced: Synced) -> None:
    from gorilla_jupyter.engine import Gorilla

    publish(replay, acme_ear=PAGE)
    synced("pytorch")
    answer = Gorilla().ask("hear which birds sing in a recording with acme ear")
    assert any("acme/ear:v1" in candidate.code for candidate in answer.candidates)
