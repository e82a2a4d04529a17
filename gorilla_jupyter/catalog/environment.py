"""Records of what is installed: each distribution of an interpreter's environment is a catalog.

The interpreter reads itself, in a process of its own (``introspection.py``) that may print, hang,
exit or crash. The catalogs lie in ``environments/ENVIRONMENT/DISTRIBUTION-VERSION-FORMAT.jsonl``
beside the user's own, so that their names alone say what is out of date.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from gorilla_jupyter.answer import Progress
from gorilla_jupyter.catalog.callables import Describer
from gorilla_jupyter.catalog.conventions import PYTHON
from gorilla_jupyter.catalog.store import CatalogError, CatalogStore, environment_name
from gorilla_jupyter.record import DISTRIBUTION_ALIASES, ApiRecord, distribution_name, module_name

FORMAT = 2
"""Raised when records are made in another way: what an older one made is read again."""

DESCRIBE_SECONDS = 30.0
READ_SECONDS = 120.0
"""How long reading one distribution may take, hung modules and new attempts included."""

SILENT_SECONDS = 30.0
"""How long one module may take to be imported."""

MAX_ATTEMPTS = 5
"""How often a distribution is read again without the module that hung or crashed."""

RECORDS_PER_PROGRESS = 100

INTROSPECTION = Path(__file__).with_name("introspection.py")
_PROGRAM = (
    "import runpy, sys; del sys.argv[0]; sys.path[:] = filter(None, sys.path); "
    "runpy.run_path(sys.argv[0], run_name='__main__')"
)


class State(StrEnum):
    INDEXED = "indexed"
    UNCHANGED = "unchanged"
    REMOVED = "removed"
    FAILED = "failed"


@dataclass(frozen=True)
class Outcome:
    """What became of one distribution.

    :ivar sentence: for the person who asked.
    """

    distribution: str
    state: State
    sentence: str
    records: int = 0

    def __str__(self) -> str:
        return self.sentence


@dataclass(frozen=True)
class Environment:
    """An interpreter and what is installed for it.

    :ivar prefix: ``sys.prefix``, which tells one environment from another.
    :ivar distributions: versions by normalised name; Python itself is one of them.
    """

    executable: str
    prefix: str
    distributions: dict[str, str]

    @classmethod
    def of(cls, executable: str) -> Environment:
        """The environment of an interpreter.

        :raises CatalogError: if that is no Python interpreter that works.
        """
        try:
            with tempfile.TemporaryDirectory() as folder:
                told = subprocess.run(
                    _command(executable, "describe"),
                    timeout=DESCRIBE_SECONDS,
                    capture_output=True,
                    stdin=subprocess.DEVNULL,
                    check=True,
                    env=_variables(),
                    cwd=folder,
                ).stdout
            value = json.loads(told)
            return cls(executable, value["prefix"], value["distributions"])
        except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError) as error:
            raise CatalogError(
                f"'{executable}' is no Python interpreter of version 3.9 or later that works."
            ) from error


def index_environment(
    names: Iterable[str] = (),
    *,
    executable: str = "",
    store: CatalogStore | None = None,
    seconds: float = READ_SECONDS,
    silent_seconds: float = SILENT_SECONDS,
) -> Iterator[Progress | Outcome]:
    """Make catalogs of installed distributions, and yield how it goes and what became of each.

    What is not installed any more is removed. Closing the iterator stops; what was finished stays,
    and the next run does the rest.

    :param names: distributions, what is imported of them, or ``python`` for the standard library;
        none of them brings what is there up to date.
    :param executable: the interpreter whose environment it is; "" for this one.
    :param seconds: how long reading one distribution may take.
    :param silent_seconds: how long importing one module may take.
    :raises CatalogError: if the interpreter does not work or the catalogs cannot be written.
    """
    if not (executable or sys.executable):
        raise CatalogError("This process does not know its interpreter: name it with --python.")
    store = store or CatalogStore()
    found = shutil.which(executable or sys.executable)
    # Absolute, since it is started in another folder; not resolved, which would leave its venv.
    environment = Environment.of(str(Path(found).absolute()) if found else executable)
    folder = store.environments / environment_name(environment.prefix)
    try:
        _forget_lost_environments(store)
        _introduce(folder, environment)
        present = _present(folder)
        for name in [name for name in present if name not in environment.distributions]:
            _remove(present.pop(name))
            yield Outcome(name, State.REMOVED, f"{name} is not installed any more: removed.")
        named = dict.fromkeys(_distribution(name, environment) for name in names)
        wanted = [*named] or sorted(present)
        for number, name in enumerate(wanted, start=1):
            version = environment.distributions.get(name)
            if version is None:
                sentence = f"{name} is not installed in {environment.prefix}."
                yield Outcome(name, State.FAILED, sentence)
                continue
            path = folder / f"{name}-{_plain_version(version)}-{FORMAT}.jsonl"
            if path in present.get(name, ()):
                yield Outcome(name, State.UNCHANGED, f"{name} {version}: nothing has changed.")
                continue
            label = f"Reading {name} ({number} of {len(wanted)})"
            limits = (seconds, silent_seconds)
            reading = _DistributionReading(environment, name, version, folder.name, limits)
            with closing(reading.records(label)) as records:
                yield from _write(path, records)
            if reading.count or not reading.problems:
                _remove([other for other in present.get(name, ()) if other != path])
            else:
                path.unlink(missing_ok=True)
            yield reading.outcome()
    except OSError as error:
        place = error.filename or folder
        raise CatalogError(f"{place} cannot be written: {error.strerror}.") from error


def _write(path: Path, records: Generator[ApiRecord | Progress, None, None]) -> Iterator[Progress]:
    """Write the records and yield the progress among them, which the writer has no use for."""
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix="."))
    try:
        with (temporary / path.name).open("w", encoding="utf-8", newline="\n") as file:
            for item in records:
                if isinstance(item, Progress):
                    yield item
                else:
                    file.write(json.dumps(item.to_json(), ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        (temporary / path.name).replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


class _DistributionReading:
    """One distribution being read, in as many processes as it takes.

    :ivar problems: sentences on what could not be read.
    """

    def __init__(
        self,
        environment: Environment,
        name: str,
        version: str,
        environment_name: str,
        limits: tuple[float, float],
    ) -> None:
        self._environment = environment
        self._name = name
        self._version = version
        self._source = f"{name}@{environment_name}"
        self._seconds, self._silent_seconds = limits
        self.count = 0
        self.problems: list[str] = []

    def records(self, label: str) -> Generator[ApiRecord | Progress, None, None]:
        until = time.monotonic() + self._seconds
        skipped: list[str] = []
        told: list[dict[str, Any]] = []
        for _ in range(MAX_ATTEMPTS):
            # Read again from the beginning: what one attempt told, the next tells too.
            told = []
            module = ""
            left = until - time.monotonic()
            with _Process(self._environment, self._name, skipped, left, self._silent_seconds) as p:
                for line in p.lines():
                    if "importing" in line:
                        module = line["importing"]
                        yield Progress(f"{label}: {module}", 0, 0)
                    elif "end" in line and line["left"]:
                        self.problems.append(f"{line['left']} modules were left out: too slow")
                    told.append(line)
                reason = p.end()
            if reason is None:
                break
            self.problems.append(f"{module or self._name} {reason}")
            if not module or module in skipped or until - time.monotonic() < 1:
                break
            skipped.append(module)
        describer = Describer(self._name, self._version, self._source)
        for line in told:
            if "failed" in line and self._name != PYTHON:  # which lists other platforms' modules
                self.problems.append(f"{line['failed']} cannot be imported ({line['error']})")
            elif "path" in line and (record := describer.record(line)) is not None:
                if self.count % RECORDS_PER_PROGRESS == 0:
                    yield Progress(label, self.count, 0)
                self.count += 1
                yield record

    def outcome(self) -> Outcome:
        label = f"{self._name} {self._version}"
        shown = "; ".join(self.problems[:3])
        more = f"; and {len(self.problems) - 3} more" if len(self.problems) > 3 else ""
        if not self.count and self.problems:
            return Outcome(self._name, State.FAILED, f"{label} cannot be read: {shown}{more}.")
        sentence = f"{label}: {self.count:,} documents"
        if self.problems:
            sentence += f", but {shown}{more}"
        return Outcome(self._name, State.INDEXED, f"{sentence}.", self.count)


class _Process:
    """The interpreter, reading; killed with whatever it has started when its time is over.

    :param seconds: for all of it.
    :param silent_seconds: between two lines.
    """

    def __init__(
        self,
        environment: Environment,
        name: str,
        skipped: list[str],
        seconds: float,
        silent_seconds: float,
    ) -> None:
        # Half of the time is for importing; what was reached by then is told.
        words = ("read", name, str(seconds / 2), *skipped)
        self._command = _command(environment.executable, *words)
        self._until = time.monotonic() + seconds
        self._silent_seconds = silent_seconds
        self._overdue = ""

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=_variables(),
            cwd=self._folder.name,
        )
        self._heard = time.monotonic()
        self._finished = threading.Event()
        self._watch = threading.Thread(target=self._watch_over, daemon=True)
        self._watch.start()
        return self

    def lines(self) -> Iterator[dict[str, Any]]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._heard = time.monotonic()
            try:
                yield json.loads(line)
            except ValueError:
                return  # killed in the middle of a line

    def end(self) -> str | None:
        """Why it ended, as the end of a sentence; None where all is well."""
        status = self._process.wait()
        if self._overdue or status == 0:
            return self._overdue or None
        if status < 0:
            with suppress(ValueError):
                return f"crashed ({signal.Signals(-status).name})"
        return f"ended the interpreter (status {status})"

    def __exit__(self, *_: object) -> None:
        self._finished.set()
        self._kill()
        self._process.wait()
        self._watch.join()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._folder.cleanup()

    def _watch_over(self) -> None:
        while True:
            due = min(self._until, self._heard + self._silent_seconds)
            if self._finished.wait(max(due - time.monotonic(), 0)):
                return
            if time.monotonic() >= min(self._until, self._heard + self._silent_seconds):
                self._overdue = "took too long"
                self._kill()
                return

    def _kill(self) -> None:
        with suppress(OSError):
            if sys.platform == "win32":
                self._process.kill()
            else:
                os.killpg(self._process.pid, signal.SIGKILL)


def _command(executable: str, *words: str) -> list[str]:
    # Not run by its path: the folder of this file must not be among those that are imported from.
    return [executable, "-c", _PROGRAM, str(INTROSPECTION), *words]


def _variables() -> dict[str, str]:
    path = filter(os.path.isabs, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    ours = {"MPLBACKEND": "agg", "PYTHONPATH": os.pathsep.join(path), "PYTHONUTF8": "1"}
    # Nothing that is imported may find a display to open a window on.
    return {
        name: value
        for name, value in {**os.environ, **ours}.items()
        if name not in ("DISPLAY", "WAYLAND_DISPLAY")
    }


def _distribution(name: str, environment: Environment) -> str:
    normalized = distribution_name(name) or name
    known = DISTRIBUTION_ALIASES.get(normalized, normalized)
    if known in environment.distributions:
        return known
    if name in sys.stdlib_module_names:
        return PYTHON
    with_module = (found for found in environment.distributions if module_name(found) == name)
    return next(with_module, known)


def _plain_version(version: str) -> str:
    return re.sub(r"[^\w.+!]", "_", version)


def _present(folder: Path) -> dict[str, list[Path]]:
    """The catalogs in an environment's folder, by distribution."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*.jsonl")):
        found.setdefault(path.stem.rsplit("-", 2)[0], []).append(path)
    return found


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _introduce(folder: Path, environment: Environment) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    said = {
        "prefix": environment.prefix,
        "executable": environment.executable,
        "machine": platform.node(),
    }
    path = folder / "environment.json"
    if not path.exists() or path.read_text(encoding="utf-8") != json.dumps(said):
        path.write_text(json.dumps(said), encoding="utf-8")


def _forget_lost_environments(store: CatalogStore) -> None:
    for path in store.environments.glob("*/environment.json"):
        with suppress(OSError, ValueError, KeyError, TypeError):
            said = json.loads(path.read_text(encoding="utf-8"))
            # Machines may share a home, and have their environments in the same places or not.
            if said["machine"] == platform.node() and not Path(said["prefix"]).exists():
                shutil.rmtree(path.parent, ignore_errors=True)
