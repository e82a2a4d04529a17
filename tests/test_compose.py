"""The cell that a call becomes."""

from __future__ import annotations

import ast
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gorilla_jupyter.compose import CompositionError, compose
from gorilla_jupyter.record import ApiRecord, Argument

CALL = "pipeline('speech', model='acme/voice')"


def a_record(api_call: str = CALL, **fields: Any) -> ApiRecord:
    return ApiRecord("Audio", "Widgets", "Speech", "acme/voice", api_call, **fields)


def body(code: str) -> str:
    lines = code.splitlines()
    return "\n".join(line for line in lines if not line.startswith("# ")).strip()


def test_the_example_is_the_cell_where_it_makes_the_call() -> None:
    example = f"from widgets import pipeline\n\nspeak = {CALL}\nspeak('hello')"
    assert body(compose(a_record(example_code=example), CALL)) == example


def test_the_example_may_write_the_call_in_another_style() -> None:
    example = "from widgets import pipeline\nx = pipeline(\n  'speech',\n  model=\"acme/voice\")"
    assert body(compose(a_record(example_code=example), CALL)) == example


def test_the_example_is_adapted_to_a_changed_argument() -> None:
    example = f"from widgets import pipeline\nspeak = {CALL}; speak('hello')"
    changed = "pipeline('speech', model='acme/voice', device=0)"
    assert body(compose(a_record(example_code=example), changed)) == (
        f"from widgets import pipeline\nspeak = {changed}; speak('hello')"
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("größe = '語📦'; x = ", "; y = 'é'"),
        ("x = [\n    1,\n    ", ",\n]"),
        ("if True:\n\tx = ", ""),
        ("x = f'", "'"),
        ("x = f'{", "!r:>10}'"),
    ],
)
def test_the_call_is_adapted_wherever_it_stands(before: str, after: str) -> None:
    documented, changed = "load(1, a=2)", "load(1, a=3)"
    example = f"from widgets import load\n{before}{documented}{after}"
    code = compose(a_record(documented, example_code=example), changed)
    calls = [ast.unparse(node) for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    assert calls == [changed]


def test_line_ends_of_other_systems_do_not_move_the_call() -> None:
    example = "from widgets import load\r\n'é'\rx = load(1)\r\ny = 2"
    code = compose(a_record("load(1)", example_code=example), "load(2)")
    assert "x = load(2)\r\ny = 2" in code


@pytest.mark.parametrize("example", ["", "from widgets import pipeline\nthis is not Python ("])
def test_without_an_example_the_cell_is_bare(example: str) -> None:
    record = a_record(example_code=example, python_environment_requirements=("widgets",))
    assert body(compose(record, CALL)).splitlines()[-2:] == [f"result = {CALL}", "result"]


def test_an_example_of_another_model_is_not_used() -> None:
    example = "from widgets import pipeline\npipeline('speech', model='acme/other')"
    assert "other" not in compose(a_record(example_code=example), CALL)


def test_an_example_that_names_the_model_elsewhere_is_used() -> None:
    example = (
        "from widgets import pipeline\n"
        "name = 'acme/voice'\n"
        "task = 'speech'\n"
        "speak = pipeline(task, model=name)"
    )
    assert body(compose(a_record(example_code=example), CALL)) == example


METHOD = ApiRecord(
    "Data",
    "pandas",
    "Correlate",
    "pandas.DataFrame.corr",
    "dataframe.corr(method='pearson')",
    example_code="from pandas import DataFrame\n\ndataframe = DataFrame()\ndataframe.corr()",
)
"""Its example makes another call than the documented one."""


def test_a_variable_is_not_imported() -> None:
    code = compose(METHOD, "sales.corr(method='pearson')", {"sales"})
    assert body(code) == "result = sales.corr(method='pearson')\nresult"


def test_an_object_that_nothing_makes_is_no_import() -> None:
    with pytest.raises(CompositionError, match="does not make this call"):
        compose(METHOD, METHOD.api_call)


def test_a_method_of_an_object_is_used_as_the_example_shows() -> None:
    fixture = Path(__file__).parent / "fixtures" / "api_zoo.json"
    (value,) = json.loads(fixture.read_text(encoding="utf-8"))
    record = ApiRecord.from_json(value)
    assert body(compose(record, record.api_call)) == record.example_code


@pytest.mark.parametrize(
    ("call", "requirements", "example", "line"),
    [
        ("np.load('a')", (), "", "import numpy as np"),
        ("tf.load('a')", (), "", "import tensorflow as tf"),
        ("torch.hub.load('a')", ("torch",), "", "import torch"),
        ("load('a')", ("widgets>=1",), "", "from widgets import load  # assumed"),
        ("load('a')", ("scikit-learn",), "", "from sklearn import load  # assumed"),
        ("load('a')", (), "!ls\nfrom widgets import load", "from widgets import load"),
    ],
)
def test_a_bare_cell_imports_what_the_call_needs(
    call: str, requirements: tuple[str, ...], example: str, line: str
) -> None:
    record = a_record(call, python_environment_requirements=requirements, example_code=example)
    assert body(compose(record, call)).startswith(line)


@pytest.mark.parametrize("requirements", [(), ("a GPU",), ("python>=3",)])
def test_a_call_that_nothing_imports_is_refused(requirements: tuple[str, ...]) -> None:
    record = a_record("load('a')", python_environment_requirements=requirements)
    with pytest.raises(CompositionError, match="does not say where 'load' is imported from"):
        compose(record, record.api_call)


@pytest.mark.parametrize("call", ["", "not Python (", "f(); g()", "f\0()"])
def test_what_is_no_call_is_refused(call: str) -> None:
    with pytest.raises(CompositionError, match="is not a Python call"):
        compose(a_record(), call)


def test_the_header_names_the_api_and_what_it_needs() -> None:
    record = a_record(
        python_environment_requirements=("python>=3", "widgets", "torch>=2,<3", "cv2"),
        example_code=f"from widgets import pipeline\n{CALL}",
    )
    assert compose(record, CALL).splitlines()[:2] == [
        "# acme/voice (Widgets)",
        '# %pip install -q widgets "torch<3,>=2" opencv-python',
    ]


BREAKS = ["\n", "\r", "\r\n", "\x0b", "\x0c", "\x85", "\u2028", "\u2029"]


@pytest.mark.parametrize("end", BREAKS)
@pytest.mark.parametrize("field", ["api_name", "framework"])
def test_no_name_breaks_out_of_its_comment(end: str, field: str) -> None:
    example = f"from widgets import pipeline\n{CALL}"
    name = f"x{end}import os"
    record = replace(a_record(example_code=example), **{field: name})  # type: ignore[arg-type]
    assert ast.unparse(ast.parse(compose(record, CALL))) == example


@pytest.mark.parametrize(
    "requirement",
    [
        *(f"widgets{end}import os" for end in BREAKS),
        "widgets; reboot",
        "widgets && reboot",
        "widgets===`reboot`",
        "$(reboot)",
        "--index-url=https://example.org",
        "reboot @ https://example.org/$(reboot)",
    ],
)
def test_no_requirement_becomes_another_command(requirement: str) -> None:
    record = a_record(
        python_environment_requirements=(requirement,),
        example_code=f"from widgets import pipeline\n{CALL}",
    )
    code = compose(record, CALL)
    assert body(code) == record.example_code
    assert "reboot" not in code
    assert "index-url" not in code


def test_what_only_the_replaced_values_needed_goes_with_them() -> None:
    record = ApiRecord(
        "Data",
        "pandas",
        "Read a table",
        "pandas.read_csv",
        "pd.read_csv(path)",
        (Argument("path", "str"),),
        example_code=(
            "import io\nimport pandas as pd\n\npath = io.StringIO('a,b')\n"
            "table = pd.read_csv(path)\ntable"
        ),
    )
    cell = compose(record, "pd.read_csv('orders.csv')")
    expected = "import pandas as pd\n\ntable = pd.read_csv('orders.csv')\ntable"
    assert cell.partition("\n")[2] == expected


def test_a_statement_that_shares_its_line_stays() -> None:
    record = ApiRecord(
        "Data",
        "pandas",
        "Read a table",
        "pandas.read_csv",
        "pd.read_csv(path, nrows=rows)",
        (Argument("path", "str"), Argument("rows", "int")),
        example_code=(
            "import pandas as pd\n\npath = 'a.csv'; rows = 3\ntable = pd.read_csv(path, nrows=rows)"
        ),
    )
    assert "rows = 3" in compose(record, "pd.read_csv('orders.csv', nrows=rows)")


OWN = """import pandas as pd

rows = [[1, 2]]
dataframe = pd.DataFrame(rows)
result = dataframe.corr()
result"""


def test_the_persons_own_variable_takes_the_place_of_the_documents_data() -> None:
    record = a_record("dataframe.corr()", example_code=OWN)
    assert body(compose(record, "sales.corr()", {"sales": "DataFrame"})) == (
        "result = sales.corr()\nresult"
    )


def test_the_persons_own_variable_is_not_bound_anew() -> None:
    example = "import numpy as np\n\na, b = (np.ones(2), 3)\nc = 1\nresult = np.dot(a, b)"
    record = a_record("np.dot(a, b)", example_code=example)
    code = compose(record, "np.dot(a, b)", {"a": "ndarray", "b": "ndarray", "c": "int"})
    assert body(code) == "import numpy as np\n\nc = 1\nresult = np.dot(a, b)"


def test_data_for_other_names_too_stays() -> None:
    example = "import numpy as np\n\na, b = (np.ones(2), 3)\nresult = np.dot(a, b)"
    record = a_record("np.dot(a, b)", example_code=example)
    assert body(compose(record, "np.dot(a, b)", {"a": "ndarray"})) == example


def test_data_that_nothing_else_needs_goes_with_the_persons() -> None:
    example = "from m import load\nfrom m import area\n\nX, y = load()\nresult = area(y)"
    record = a_record("area(y)", example_code=example)
    code = body(compose(record, "area(y)", {"y": "list"}))
    assert code == "from m import area\n\nresult = area(y)"
