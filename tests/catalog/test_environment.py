"""What is installed, as catalogs: read, kept up to date, and offered where it is installed."""

from __future__ import annotations

import ast
import json
import platform
import sys
from pathlib import Path

import pytest

from gorilla_jupyter import cli
from gorilla_jupyter.answer import Progress, Request
from gorilla_jupyter.catalog import environment
from gorilla_jupyter.catalog.environment import Outcome, State, index_environment
from gorilla_jupyter.catalog.store import CatalogError, CatalogStore, environment_name
from gorilla_jupyter.index.search import DocumentIndex
from gorilla_jupyter.record import ApiRecord, Argument, contains_call, parse_code
from tests.catalog.conftest import Install

TEA = '''
def brew(leaves, minutes=3):
    """Steep the leaves in hot water.

    The longer, the stronger.

    Parameters
    ----------
    leaves : str or bytes
        Which leaves. Black ones are usual.
    minutes : int, default 3
        How long.

    Returns
    -------
    Pot
        A full one.

    Examples
    --------
    >>> garden = "assam"
    >>> brew(garden, minutes=4)
    """


class TeaPot:
    """Keeps tea warm."""

    def __init__(self, litres):
        pass

    def pour(self, cups):
        """Pour tea into cups."""


def boil(water):
    """Boil water.

    .. deprecated:: 0.9
    """


def undocumented():
    pass
'''


def index(*names: str, **options: float) -> dict[str, Outcome]:
    steps = index_environment(names, **options)  # type: ignore[arg-type]
    return {step.distribution: step for step in steps if isinstance(step, Outcome)}


def states(*names: str) -> dict[str, State]:
    return {name: outcome.state for name, outcome in index(*names).items()}


def records(distribution: str) -> dict[str, ApiRecord]:
    for catalog in CatalogStore().catalogs():
        if catalog.name == f"{distribution}@{environment_name()}":
            reading = catalog.read()
            assert reading.refusals == ()
            return {record.api_name: record for record in reading.records}
    return {}


@pytest.fixture
def tea(install: Install) -> dict[str, ApiRecord]:
    install("tea", {"tea.py": TEA})
    assert states("tea") == {"tea": State.INDEXED}
    return records("tea")


def test_a_function_becomes_a_record(tea: dict[str, ApiRecord]) -> None:
    assert tea["tea.brew"] == ApiRecord(
        domain="Python tea",
        framework="tea 1.0",
        functionality="Steep the leaves in hot water.",
        api_name="tea.brew",
        api_call="tea.brew(leaves)",
        api_arguments=(
            Argument("leaves", "str or bytes", None, "Which leaves. Black ones are usual."),
            Argument("minutes", "int", "3", "How long."),
        ),
        python_environment_requirements=("tea",),
        example_code="import tea\n\nleaves = 'assam'\nresult = tea.brew(leaves)\nresult",
        description="Steep the leaves in hot water. The longer, the stronger.",
        api_version="1.0",
        source=f"tea@{environment_name()}",
    )


def test_a_method_is_called_on_an_object_that_the_example_makes(tea: dict[str, ApiRecord]) -> None:
    record = tea["tea.TeaPot.pour"]
    assert record.api_call == "tea_pot.pour(cups)"
    assert record.example_code.splitlines() == [
        "from tea import TeaPot",
        "",
        "litres = ...",
        "tea_pot = TeaPot(litres)",
        "cups = ...",
        "tea_pot.pour(cups)",
    ]


@pytest.mark.parametrize("name", ["tea.boil", "tea.undocumented"])
def test_what_is_deprecated_or_says_nothing_is_left_out(
    tea: dict[str, ApiRecord], name: str
) -> None:
    assert name not in tea


@pytest.mark.parametrize(
    "document",
    [
        "Args:\n    leaves (str): Which leaves.\n    minutes (int, optional): How long.\n",
        ":param leaves: Which leaves.\n:param minutes: How long.\n",
    ],
)
def test_other_styles_of_docstrings_are_read(install: Install, document: str) -> None:
    source = f'def brew(leaves, minutes=3):\n    """Steep.\n\n{document}"""\n'
    source = source.replace("Steep.", "Steep the leaves.")
    install("tea", {"tea.py": source})
    index("tea")
    described = {
        found.name: found.description for found in records("tea")["tea.brew"].api_arguments
    }
    assert described == {"leaves": "Which leaves.", "minutes": "How long."}


def test_nothing_is_imported_here(tea: dict[str, ApiRecord]) -> None:
    assert "tea" not in sys.modules


def test_a_second_run_does_nothing(tea: dict[str, ApiRecord]) -> None:
    assert states("tea") == {"tea": State.UNCHANGED}


def test_without_names_all_that_is_there_is_brought_up_to_date(
    tea: dict[str, ApiRecord], install: Install
) -> None:
    install("coffee", {"coffee.py": TEA})
    index("coffee")
    install("tea", {"tea.py": TEA}, version="1.1")
    assert states() == {"coffee": State.UNCHANGED, "tea": State.INDEXED}
    assert records("tea")["tea.brew"].api_version == "1.1"


def test_what_an_older_version_of_ours_made_is_read_again(
    tea: dict[str, ApiRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "FORMAT", environment.FORMAT + 1)
    assert states() == {"tea": State.INDEXED}
    assert states() == {"tea": State.UNCHANGED}


def test_what_is_uninstalled_is_removed(tea: dict[str, ApiRecord], site: Path) -> None:
    (site / "tea-1.0.dist-info" / "METADATA").unlink()
    (site / "tea-1.0.dist-info" / "RECORD").unlink()
    (site / "tea-1.0.dist-info").rmdir()
    assert states() == {"tea": State.REMOVED}
    assert records("tea") == {}


def test_the_catalogs_of_another_machines_environment_are_kept() -> None:
    elsewhere = CatalogStore().environments / "elsewhere-12345678"
    elsewhere.mkdir(parents=True)
    said = {"prefix": "/no/such/venv", "machine": f"not-{platform.node()}"}
    (elsewhere / "environment.json").write_text(json.dumps(said))
    index()
    assert elsewhere.exists()


def test_the_catalogs_of_an_environment_that_is_gone_are_forgotten(
    tea: dict[str, ApiRecord], tmp_path: Path
) -> None:
    gone = CatalogStore().environments / "gone-12345678"
    gone.mkdir()
    said = {"prefix": (tmp_path / "gone").as_posix(), "machine": platform.node()}
    (gone / "environment.json").write_text(json.dumps(said))
    (gone / "tea-1.0-1.jsonl").write_text("")
    index()
    assert not gone.exists()


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("import no_such_module", "No module named 'no_such_module'"),
        ("import os; os._exit(7)", "ended the interpreter (status 7)"),
        ("import threading; threading.Event().wait()", "took too long"),
        pytest.param(
            "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
            "crashed (SIGSEGV)",
            marks=pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals"),
        ),
    ],
)
def test_a_package_that_fails_costs_itself(install: Install, fault: str, sentence: str) -> None:
    install("broken", {"broken.py": fault})
    install("tea", {"tea.py": TEA})
    outcomes = index("broken", "tea", silent_seconds=2)
    assert outcomes["broken"].state is State.FAILED
    assert sentence in outcomes["broken"].sentence
    assert outcomes["tea"].state is State.INDEXED


@pytest.mark.parametrize(
    "fault", ["import os; os._exit(7)", "import threading as t; t.Event().wait()"]
)
def test_a_module_that_fails_costs_itself(install: Install, fault: str) -> None:
    install("tea", {"tea/__init__.py": TEA, "tea/broken.py": fault})
    outcome = index("tea", silent_seconds=2)["tea"]
    assert outcome.state is State.INDEXED
    assert "tea.broken" in outcome.sentence
    assert "tea.brew" in records("tea")


def test_what_a_package_prints_is_not_read(install: Install) -> None:
    install("tea", {"tea.py": 'print(\'{"path": "no"}\')\n' + TEA})
    assert states("tea") == {"tea": State.INDEXED}


def test_a_distribution_that_is_not_installed_is_named() -> None:
    outcome = index("no-such-thing")["no-such-thing"]
    assert outcome.state is State.FAILED
    assert "no-such-thing is not installed in" in outcome.sentence


def test_a_distribution_goes_by_what_is_imported_of_it_too(install: Install) -> None:
    install("scikit-learn", {"sklearn.py": TEA})
    assert states("sklearn") == {"scikit-learn": State.INDEXED}


def test_a_path_that_is_no_interpreter_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="is no Python interpreter"):
        list(index_environment(["tea"], executable=str(tmp_path / "python")))


def test_what_was_finished_before_a_stop_stays(install: Install) -> None:
    install("coffee", {"coffee.py": TEA})
    install("tea", {"tea.py": TEA})
    steps = index_environment(["coffee", "tea"])
    for step in steps:
        if isinstance(step, Progress) and "Reading tea" in step.message:
            break
    steps.close()  # type: ignore[attr-defined]
    assert states("coffee", "tea") == {"coffee": State.UNCHANGED, "tea": State.INDEXED}


def test_a_stop_leaves_no_half_catalog(install: Install) -> None:
    install("tea", {"tea.py": TEA})
    steps = index_environment(["tea"])
    next(step for step in steps if isinstance(step, Progress))
    steps.close()  # type: ignore[attr-defined]
    folder = CatalogStore().environments / environment_name()
    assert [path.name for path in folder.iterdir()] == ["environment.json"]


def test_documents_are_offered_in_their_environment_only(
    tea: dict[str, ApiRecord], tmp_path: Path
) -> None:
    documents = DocumentIndex(CatalogStore(builtin=None), tmp_path / "index")
    found = documents.search(Request("steep the leaves")).documents
    assert [document.record.api_name for document in found] == ["tea.brew"]
    elsewhere = Request("steep the leaves", environment="another")
    assert documents.search(elsewhere).documents == ()


def test_the_command_says_what_it_has_read(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("tea", {"tea.py": TEA})
    assert cli.main(["catalog", "index", "tea"]) == 0
    assert "tea 1.0: 3 documents." in capsys.readouterr().out
    assert cli.main(["catalog", "index", "tea", "no-such-thing"]) == 1


def test_a_sentence_becomes_a_call_of_what_is_installed(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("tea", {"tea.py": TEA})
    cli.main(["catalog", "index", "tea"])
    cli.main(["ask", "steep the leaves in hot water"])
    assert "tea.brew(leaves)" in capsys.readouterr().out


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ApiRecord]:
    """NumPy and the standard library, read once."""
    store = CatalogStore(tmp_path_factory.mktemp("catalogs"), builtin=None)
    for _ in index_environment(["numpy", "python"], store=store):
        pass
    return {
        record.api_name: record for catalog in store.catalogs() for record in catalog.read().records
    }


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("numpy.add", "np.add(x1, x2)"),
        ("numpy.linspace", "np.linspace(start, stop)"),
        ("numpy.concatenate", "np.concatenate(arrays)"),
        ("numpy.linalg.solve", "np.linalg.solve(a, b)"),
        ("numpy.random.default_rng", "np.random.default_rng()"),
        ("numpy.random.Generator.normal", "generator.normal()"),
        ("json.dumps", "json.dumps(obj)"),
        ("os.path.join", "os.path.join(a)"),
        ("collections.Counter", "Counter()"),
        ("datetime.datetime.now", "datetime.now()"),
        ("str.upper", "text.upper()"),
        ("sorted", "sorted(iterable)"),
        ("time.sleep", "time.sleep(seconds)"),
        ("zip", "zip(iterables)"),
    ],
)
def test_well_known_callables_are_called_as_people_call_them(
    known: dict[str, ApiRecord], name: str, call: str
) -> None:
    if name != "numpy.concatenate":  # older versions call its argument otherwise
        assert known[name].api_call == call
    assert known[name].api_call.partition("(")[0] == call.partition("(")[0]


def test_the_standard_library_needs_nothing(known: dict[str, ApiRecord]) -> None:
    record = known["json.dumps"]
    assert record.framework == f"Python standard library {platform.python_version()}"
    assert record.python_environment_requirements == ()


@pytest.mark.parametrize(
    "part", ["numpy.distutils", "idlelib", "turtledemo", "test.", "numpy.core", "encodings."]
)
def test_what_is_no_part_of_the_public_api_is_left_out(
    known: dict[str, ApiRecord], part: str
) -> None:
    assert not [name for name in known if name.startswith(part)]


def test_every_example_makes_its_call(known: dict[str, ApiRecord]) -> None:
    for record in known.values():
        tree = parse_code(record.example_code)
        assert record.call is not None, record.api_name
        assert tree is not None, record.example_code
        assert contains_call(tree, record.call), record.example_code


def test_an_example_of_the_docstring_runs(known: dict[str, ApiRecord]) -> None:
    names: dict[str, object] = {}
    exec(compile(ast.parse(known["numpy.linspace"].example_code), "<cell>", "exec"), names)
    assert getattr(names["result"], "shape", None) == (50,)


def test_what_is_kept_beside_the_catalogs_is_no_catalog(tea: dict[str, ApiRecord]) -> None:
    result = DocumentIndex(CatalogStore()).search(Request("steep leaves in hot water"))
    assert result.notices == ()
