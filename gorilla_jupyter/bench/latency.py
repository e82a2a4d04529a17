"""What start-up and questions cost, against Jupyter's own start-up in the same run."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gorilla_jupyter.bench.results import write_results

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

REPETITIONS = 9

FIRSTS = 5
"""How many servers are asked their first question."""

SENTENCES = (
    "load a TTS model",
    "write down what is said in an interview recording",
    "tell whether customers like our new product from their comments",
    "find people and bicycles in street photos",
    "translate product descriptions from English into French",
    "give me a summary of a long newspaper article",
    "cut the background out of a portrait",
    "answer questions about a scanned invoice",
    "paint a picture from a description",
    "which action is shown in a short video clip",
    "estimate the distance of things in a single photo",
    "group similar support tickets by their meaning",
    "find names of persons and places in a text",
    "predict house prices from a table",
    "separate the speakers in a recorded conversation",
    "recognise handwritten digits",
    "a small image classifier that runs on a phone",
    "fill in the missing word of a sentence",
    "train nothing, just label texts with my own topics",
    "detect when somebody speaks in an audio stream",
)
"""What people ask, to measure how long an answer takes; the answers are not judged here."""

PACKAGES = ("numpy", "pandas", "scikit-learn", "matplotlib", "scipy", "python")
"""What is read into catalogs, as far as it is installed; numpy always is."""

PACKAGE_SENTENCES = (
    "read orders.parquet into a dataframe and keep the rows of 2024",
    "draw a histogram of the column price with 30 bins",
    "train a random forest on the measurements and print its accuracy",
    "compute the eigenvalues of a symmetric matrix",
    "find the minimum of a function of several variables near a starting point",
    "replace the missing values of a table by the mean of each column",
    "save the figure as a png file with 300 dots per inch",
    "sort a list of dictionaries by the value of one key",
    "group the rows by customer and add up the amounts",
    "split the data into a part for training and a part for testing",
    "parse a date from a string in a given format",
    "fit a straight line through two arrays of points",
    "multiply two matrices and take the transpose of the result",
    "draw ten random numbers from a normal distribution",
    "read a json file and return the value of one of its keys",
    "download a file from a url and write it to disk",
    "test whether the means of two groups of measurements differ",
    "scale each feature of the data to zero mean and unit variance",
    "join two tables on a shared column and keep all rows of the left one",
    "count how often each word occurs in a text file",
)
"""What people ask about packages, as whole sentences."""


@dataclass(frozen=True)
class Figure:
    """One measured quantity.

    :ivar limit: the most that it may be; None where it only is a yardstick.
    """

    name: str
    value: float
    unit: str
    limit: float | None = None


def run(results: Path) -> None:
    """Measure, print the table, and write ``latency.json`` into the folder ``results``."""
    write_figures(results / "latency.json", "jupyter gorilla bench latency", measure())


def write_figures(path: Path, command: str, figures: Sequence[Figure]) -> None:
    """Print the table of what ``command`` measured, and write it to ``path``."""
    print(f"{'':52}{'measured':>14}{'limit':>12}")
    for figure in figures:
        limit = "" if figure.limit is None else f"{figure.limit:g} {figure.unit}"
        print(f"{figure.name:52}{f'{figure.value:.3g} {figure.unit}':>14}{limit:>12}")
    write_results(path, command, {"figures": [asdict(figure) for figure in figures]})


def measure() -> list[Figure]:
    """The figures, medians over several repetitions that alternate with their yardstick."""
    ours, jupyter = _alternate(
        lambda: _import_seconds("gorilla_jupyter"), lambda: _import_seconds("jupyter_server")
    )
    with_extension, without = _alternate(
        lambda: _start_seconds(enabled=True), lambda: _start_seconds(enabled=False)
    )
    first = statistics.median(_first_seconds() for _ in range(FIRSTS))
    warm, memory = _warm_seconds()
    median = statistics.median(warm)
    return [
        Figure("import jupyter_server", jupyter, "s"),
        Figure("import gorilla_jupyter / jupyter_server", ours / jupyter, "", 0.25),
        Figure("start of a Jupyter server", without, "s"),
        Figure("start with the extension / without", with_extension / without, "", 1.05),
        Figure("first ask after an installation", first, "s", 5),
        Figure("first ask / import jupyter_server", first / jupyter, ""),
        Figure("warm ask, median", median * 1000, "ms", 100),
        Figure("warm ask, 95th percentile", statistics.quantiles(warm, n=20)[-1] * 1000, "ms", 300),
        Figure("warm ask, median / import jupyter_server", median / jupyter, ""),
        Figure("loading the embedded model", _median(_load_seconds) * 1000, "ms", 400),
        Figure("memory of the worker", memory / 1e6, "MB", 350),
        *_installed_packages(),
    ]


def _installed_packages() -> Iterator[Figure]:
    """Reading what is installed, and searching all of it and the shipped catalogs."""
    from gorilla_jupyter.answer import Request
    from gorilla_jupyter.catalog.environment import Environment
    from gorilla_jupyter.engine import Gorilla

    installed = Environment.of(sys.executable).distributions
    names = [name for name in PACKAGES if name in installed]
    with empty_home():
        first, memory = _run_index(names)
        second, _ = _run_index(names)
        index = Gorilla().index
        count = sum(entry.records for entry in index.entries().values())
        searches = []
        for sentence in PACKAGE_SENTENCES * 3:
            start = time.perf_counter()
            index.search(Request(sentence))
            searches.append(time.perf_counter() - start)
        slowed = _slowed_by_encoding()
        start = time.perf_counter()
        encoded = max((step.total for step in index.encode()), default=0)
        encoding = time.perf_counter() - start
    read = f"{len(names)} packages"
    among = f"search among {count:,} documents"
    yield Figure(f"catalog index, {read}", first, "s", 90)
    yield Figure("catalog index, peak memory of all processes", memory / 1e6, "MB", 600)
    yield Figure("catalog index again, nothing changed", second, "s", 3)
    yield Figure(f"{among}, median", statistics.median(searches) * 1000, "ms", 60)
    high = statistics.quantiles(searches, n=20)[-1]
    yield Figure(f"{among}, 95th percentile", high * 1000, "ms", 150)
    yield Figure("ask while documents are encoded / otherwise", slowed, "", 1.5)
    yield Figure(f"encoding {encoded:,} documents", encoding, "s")


def _slowed_by_encoding() -> float:
    """What a question takes while the worker encodes documents, against the same one before it goes
    on with that."""
    from gorilla_jupyter.demo.session import JupyterServer
    from gorilla_jupyter.server.worker import QUIET_SECONDS

    with JupyterServer() as server:
        for sentence in PACKAGE_SENTENCES:  # what they answer with is imported once, for its checks
            timed_ask(server.http, sentence)
        ratios = []
        for place, sentence in enumerate(PACKAGE_SENTENCES):
            time.sleep(QUIET_SECONDS + 1 + place / len(PACKAGE_SENTENCES))
            slow = timed_ask(server.http, sentence)
            ratios.append(slow / timed_ask(server.http, sentence))
    return statistics.median(ratios)


def _run_index(names: list[str]) -> tuple[float, int]:
    """Seconds and the most bytes of memory that ``catalog index`` takes."""
    import psutil

    start = time.perf_counter()
    command = [sys.executable, "-m", "gorilla_jupyter.cli", "catalog", "index", *names]
    memory = 0
    with psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            with suppress(psutil.Error):
                everyone = [process, *process.children(recursive=True)]
                memory = max(memory, sum(one.memory_info().rss for one in everyone))
            time.sleep(0.02)
        if process.returncode != 0:
            raise RuntimeError(f"'catalog index {' '.join(names)}' failed.")
    return time.perf_counter() - start, memory


def _alternate(one: Callable[[], float], other: Callable[[], float]) -> tuple[float, float]:
    pairs = [(one(), other()) for _ in range(REPETITIONS)]
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)


def _median(measured: Callable[[], float]) -> float:
    return statistics.median(measured() for _ in range(REPETITIONS))


def _import_seconds(module: str) -> float:
    return _seconds_of(f"import {module}")


def _load_seconds() -> float:
    return _seconds_of("from gorilla_jupyter.model.encoder import Encoder; Encoder()")


def _seconds_of(code: str) -> float:
    """What ``code`` takes in a new process, without the start of that."""
    timed = f"import time; start = time.perf_counter(); {code}; print(time.perf_counter() - start)"
    command = [sys.executable, "-c", timed]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def _start_seconds(*, enabled: bool) -> float:
    from gorilla_jupyter.demo.session import JupyterServer

    start = time.perf_counter()
    with JupyterServer(f"--ServerApp.jpserver_extensions=gorilla_jupyter={enabled}"):
        return time.perf_counter() - start


def _first_seconds() -> float:
    """Seconds of the first question after an installation."""
    from gorilla_jupyter.demo.session import JupyterServer

    with empty_home(), JupyterServer() as server:
        return timed_ask(server.http, SENTENCES[0])


def _warm_seconds() -> tuple[list[float], int]:
    """Seconds of later questions, and the bytes that the worker then holds."""
    from gorilla_jupyter.demo.session import JupyterServer

    with empty_home(), JupyterServer() as server:
        timed_ask(server.http, SENTENCES[0])
        seconds = [timed_ask(server.http, sentence) for sentence in SENTENCES * 3]
        memory = server.http.get("gorilla/status").json()["worker"]["memory_bytes"]
    return seconds, memory


def timed_ask(http: httpx.Client, sentence: str) -> float:
    """Seconds until the server has answered."""
    start = time.perf_counter()
    response = http.post("gorilla/ask", json={"instruction": sentence})
    seconds = time.perf_counter() - start
    last = json.loads(response.raise_for_status().text.splitlines()[-1])
    if last["event"] != "answer":
        raise RuntimeError(f"The server did not answer: {last}")
    return seconds


@contextmanager
def empty_home() -> Iterator[None]:
    """As right after an installation: nothing indexed, no catalog of the user's."""
    before = os.environ.get("GORILLA_HOME")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GORILLA_HOME"] = folder
        try:
            yield
        finally:
            del os.environ["GORILLA_HOME"]
            if before is not None:
                os.environ["GORILLA_HOME"] = before
