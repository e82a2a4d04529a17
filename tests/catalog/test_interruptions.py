"""Writers that are killed or meet each other: the old catalog is there or the new one."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from gorilla_jupyter.catalog.store import LEFTOVER_SECONDS, CatalogStore, write_records
from gorilla_jupyter.record import ApiRecord

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")

OLD, NEW = 40, 60
"""How many records the catalog held, and how many it is to hold."""


def records(count: int, name: str = "voice") -> list[ApiRecord]:
    return [
        ApiRecord("Audio", "Widgets", "Speech", f"{name}-{number}", "load()", description="x" * 500)
        for number in range(count)
    ]


@pytest.fixture
def store(tmp_path: Path) -> CatalogStore:
    store = CatalogStore(tmp_path / "catalogs", builtin=None)
    write_records(tmp_path / "voices.jsonl", records(OLD))
    store.add(tmp_path / "voices.jsonl")
    write_records(tmp_path / "voices.jsonl", records(NEW))
    return store


def held(store: CatalogStore, name: str = "voices") -> int:
    """How many records the catalog holds; every one must be whole."""
    reading = store.catalog(name).read()
    assert reading.refusals == ()
    return len(reading.records)


DYING = """
import os, signal, sys
from pathlib import Path
from gorilla_jupyter.catalog.store import CatalogStore

def die(*arguments, **options):
    os.kill(os.getpid(), signal.SIGKILL)

def dying_after(function):
    def called(*arguments, **options):
        function(*arguments, **options)
        die()
    return called

place, moment = sys.argv[1].split()
setattr(os, place, die if moment == "before" else dying_after(getattr(os, place)))
CatalogStore(Path(sys.argv[2]), builtin=None).add(Path(sys.argv[3]))
"""


@pytest.mark.parametrize(
    ("place", "left"),
    [
        ("open before", OLD),
        ("open after", OLD),
        ("fdopen before", OLD),
        ("fsync before", OLD),
        ("fsync after", OLD),
        ("replace before", OLD),
        ("replace after", NEW),
    ],
)
def test_a_writer_that_is_killed_leaves_a_whole_catalog(
    store: CatalogStore, tmp_path: Path, place: str, left: int
) -> None:
    died = subprocess.run(
        [sys.executable, "-c", DYING, place, store.folder, tmp_path / "voices.jsonl"], check=False
    )
    assert died.returncode == -9
    assert held(store) == left
    assert [catalog.name for catalog in store.catalogs()] == ["voices"]


@pytest.mark.parametrize("place", ["fsync before", "replace before"])
def test_a_first_writer_that_is_killed_leaves_no_catalog(tmp_path: Path, place: str) -> None:
    write_records(tmp_path / "voices.jsonl", records(NEW))
    store = CatalogStore(tmp_path / "catalogs", builtin=None)
    subprocess.run(
        [sys.executable, "-c", DYING, place, store.folder, tmp_path / "voices.jsonl"], check=False
    )
    assert store.catalogs() == []
    assert store.add(tmp_path / "voices.jsonl").replaced is False


def test_what_a_killed_writer_left_is_deleted_when_it_is_old(
    store: CatalogStore, tmp_path: Path
) -> None:
    leftovers = [store.folder / f".{name}.writing" for name in ("old", "new")]
    for path in leftovers:
        path.write_text("{")
    then = time.time() - 2 * LEFTOVER_SECONDS
    os.utime(leftovers[0], (then, then))
    store.add(tmp_path / "voices.jsonl")
    assert [path.exists() for path in leftovers] == [False, True]


ADDING = """
import sys
from pathlib import Path
from gorilla_jupyter.catalog.store import CatalogStore
store = CatalogStore(Path(sys.argv[1]), builtin=None)
print("ready", flush=True)
while True:
    for path in sys.argv[2:]:
        store.add(Path(path), name=Path(path).parent.name)
"""


@pytest.fixture
def adding(store: CatalogStore, tmp_path: Path) -> Iterator[list[subprocess.Popen[str]]]:
    """Two processes that add, for ever, catalogs of one name and catalogs of their own."""
    commands: list[list[str | Path]] = []
    for name in ("left", "right"):
        paths: list[Path] = []
        for catalog, count in (("voices", OLD), ("voices", NEW), (name, OLD)):
            path = tmp_path / name / str(len(paths)) / catalog / "file.jsonl"
            path.parent.mkdir(parents=True)
            write_records(path, records(count, name if catalog == name else "voice"))
            paths.append(path)
        commands.append([sys.executable, "-c", ADDING, store.folder, *paths])
    with ExitStack() as running:
        processes = [
            running.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
            for command in commands
        ]
        for process in processes:
            running.callback(process.kill)
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        yield processes


def test_two_processes_may_add_at_once(
    store: CatalogStore, adding: list[subprocess.Popen[str]]
) -> None:
    while len(names := {catalog.name for catalog in store.catalogs()}) < 3:
        assert held(store) in (OLD, NEW)
    for _ in range(40):
        assert held(store) in (OLD, NEW)
        assert held(store, "left") == held(store, "right") == OLD
    assert names == {"voices", "left", "right"}
    assert [process.poll() for process in adding] == [None, None]


@pytest.mark.slow
def test_a_kill_at_any_moment_leaves_a_whole_catalog(store: CatalogStore, tmp_path: Path) -> None:
    chance = random.Random(3)
    paths = []
    for count in (OLD, NEW):
        path = tmp_path / str(count) / "voices" / "file.jsonl"
        path.parent.mkdir(parents=True)
        write_records(path, records(count))
        paths.append(path)
    for _ in range(40):
        with subprocess.Popen(
            [sys.executable, "-c", ADDING, store.folder, *paths], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(chance.uniform(0, 0.05))
            process.kill()
        assert held(store) in (OLD, NEW)
    for line in (store.folder / "voices.jsonl").read_text().splitlines():
        json.loads(line)
