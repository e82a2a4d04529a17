from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from gorilla_jupyter.model.arguments import fill_arguments
from gorilla_jupyter.model.backend import load_encoder
from gorilla_jupyter.model.placing import FILE, load_placing
from gorilla_jupyter.record import ApiRecord, Argument
from gorilla_jupyter.verify import check_documented

READ = (
    "pd.read_csv(filepath_or_buffer)",
    [
        Argument("filepath_or_buffer", "str | path object"),
        Argument("sep", "str", "','"),
        Argument("nrows", "int | None", "None"),
    ],
)
LINSPACE = (
    "np.linspace(start, stop)",
    [
        Argument("start", "float"),
        Argument("stop", "float"),
        Argument("num", "int", "50"),
    ],
)
SPEECH = (
    'pipeline("text-to-speech", model="suno/bark")',
    [
        Argument("task", "str"),
        Argument("model", "str"),
        Argument("device", "int | str", "None"),
    ],
)
RENAME = (
    "dataframe.drop(labels)",
    [Argument("labels", "str | list"), Argument("axis", "int", "0")],
)
UNTYPED = ("train(data)", [Argument("data")])
CUT = (
    "pd.cut(x, bins)",
    [
        Argument("x", "1d ndarray or Series"),
        Argument("bins", "int | sequence of scalars"),
        Argument("n_jobs", "int", "None"),
    ],
)
SAVE = ("dataframe.to_csv()", [Argument("path_or_buf", "str | path object", "None")])
MINIMIZE = (
    "linprog(c)",
    [Argument("c", "1-D array"), Argument("A_ub", "2-D array", "None")],
)


def a_record(document: tuple[str, list[Argument]]) -> ApiRecord:
    call, arguments = document
    return ApiRecord("Data", "Widgets", "Work", "suno/bark", call, tuple(arguments))


def a_method() -> ApiRecord:
    call, arguments = SAVE
    example = "import pandas as pd\n\ndataframe = pd.DataFrame([1])\ndataframe.to_csv()"
    name = "pandas.DataFrame.to_csv"
    return ApiRecord("Data", "pandas", "Save", name, call, tuple(arguments), example_code=example)


@pytest.mark.parametrize(
    ("document", "sentence", "call"),
    [
        (READ, "read orders.csv into a dataframe", "pd.read_csv('orders.csv')"),
        (READ, "read data/2024/orders.csv", "pd.read_csv('data/2024/orders.csv')"),
        (READ, 'read "my orders.csv"', "pd.read_csv('my orders.csv')"),
        (READ, "read orders.csv with sep ';'", "pd.read_csv('orders.csv', sep=';')"),
        (READ, "read orders.csv, nrows 100", "pd.read_csv('orders.csv', nrows=100)"),
        (READ, "read a table", "pd.read_csv(filepath_or_buffer)"),
        (READ, "read version 2.0 of the table", "pd.read_csv(filepath_or_buffer)"),
        (LINSPACE, "numbers from 0 to 2.5", "np.linspace(0, 2.5)"),
        (LINSPACE, "from -1 to 1 with num=200", "np.linspace(-1, 1, num=200)"),
        (LINSPACE, "from 0 to 1e-3", "np.linspace(0, 0.001)"),
        (SPEECH, "load a TTS model", 'pipeline("text-to-speech", model="suno/bark")'),
        (
            SPEECH,
            "a TTS model on device 'cuda'",
            "pipeline('text-to-speech', model='suno/bark', device='cuda')",
        ),
        (SPEECH, "model 'other/model' for speech", 'pipeline("text-to-speech", model="suno/bark")'),
        (RENAME, "drop the column 'price'", "dataframe.drop('price')"),
        (RENAME, "drop 'price', axis 1", "dataframe.drop('price', axis=1)"),
        (UNTYPED, "train on 12 rows of 'x'", "train(data)"),
        (READ, "don't read, it's e.g. nothing", "pd.read_csv(filepath_or_buffer)"),
        (CUT, "sort ages into 4 bins of equal width", "pd.cut(x, 4)"),
        (CUT, "sort ages into 1,000 bins", "pd.cut(x, 1000)"),
        (CUT, "cut into 4 bins with 2 jobs", "pd.cut(x, 4, n_jobs=2)"),
        (SAVE, "save it as report.csv", "dataframe.to_csv(path_or_buf='report.csv')"),
    ],
)
def test_the_values_of_a_sentence_are_put_where_the_call_takes_them(
    document: tuple[str, list[Argument]], sentence: str, call: str
) -> None:
    assert fill_arguments(a_record(document), sentence) == call


@pytest.mark.parametrize(
    ("document", "sentence", "variables", "call"),
    [
        (CUT, "sort ages into 4 bins", {"ages": "ndarray"}, "pd.cut(ages, 4)"),
        (CUT, "sort x into 4 bins", {"x": "list", "ages": "list"}, "pd.cut(x, 4)"),
        (CUT, "sort them into bins", {"x": "list", "ages": "list"}, "pd.cut(x, bins)"),
        (MINIMIZE, "minimise c under A_ub", {"A_ub": "ndarray"}, "linprog(c, A_ub=A_ub)"),
        (MINIMIZE, "minimise c under A_ub", {"A": "ndarray"}, "linprog(c)"),
        (READ, "read orders.csv", {"orders": "list"}, "pd.read_csv('orders.csv')"),
        (CUT, "cut it as pd does", {"pd": "list"}, "pd.cut(x, bins)"),
    ],
)
def test_the_variables_of_a_sentence_are_put_where_the_call_takes_them(
    document: tuple[str, list[Argument]], sentence: str, variables: dict[str, str], call: str
) -> None:
    assert fill_arguments(a_record(document), sentence, variables) == call


@pytest.mark.parametrize(
    ("sentence", "variables", "receiver"),
    [
        ("save the table", {"sales": "DataFrame", "total": "int"}, "sales"),
        ("save sales", {"sales": "DataFrame", "costs": "DataFrame"}, "sales"),
        ("save the table", {"sales": "DataFrame", "costs": "DataFrame"}, "dataframe"),
        ("save the total", {"total": "int"}, "dataframe"),
    ],
)
def test_a_method_is_called_on_the_one_variable_of_its_class_that_is_meant(
    sentence: str, variables: dict[str, str], receiver: str
) -> None:
    record = a_method()
    call = fill_arguments(record, sentence, variables)
    assert call == f"{receiver}.to_csv()"
    assert check_documented(record, call, variables).status == "passed"


@pytest.mark.parametrize("document", [READ, LINSPACE, SPEECH, RENAME, UNTYPED, CUT, MINIMIZE])
@pytest.mark.parametrize(
    "sentence",
    ["read orders.csv sep ';' nrows 3 num 7 axis 1 device 'x' from 1 to 2.5 'y'", "", "'"],
)
def test_what_is_filled_in_stays_documented(
    document: tuple[str, list[Argument]], sentence: str
) -> None:
    record = a_record(document)
    assert check_documented(record, fill_arguments(record, sentence)).status == "passed"


MODEL = Argument("name", "str")
DEVICE = Argument(
    "device", "int | str | None", "None", "Where to run: 'cpu', 'cuda', 'mps', or a GPU's number."
)
PRECISION = Argument(
    "dtype",
    "str | torch.dtype | None",
    "'auto'",
    "Number format of the weights, such as torch.float16 or torch.bfloat16 to halve the memory.",
)
BACKEND = Argument("backend", "str", "'torch'", "What computes: 'torch', 'onnx' or 'openvino'.")
INDEX = Argument("index", "bool", "True", "Write row names (index).")
ASCENDING = Argument("ascending", "bool", "True", "Sort ascending vs. descending.")
NROWS = Argument("nrows", "int", "None", "Number of rows of file to read.")


@pytest.mark.parametrize(
    ("argument", "sentence", "given"),
    [
        (PRECISION, "a voice in half precision", "dtype='float16'"),
        (BACKEND, "embed texts with the onnx backend", "backend='onnx'"),
        (INDEX, "save the table without the index", "index=False"),
        (ASCENDING, "sort in descending order", "ascending=False"),
        (NROWS, "read the first 100 rows", "nrows=100"),
    ],
)
def test_what_a_sentence_asks_for_in_its_own_words_is_given(
    argument: Argument, sentence: str, given: str
) -> None:
    record = ApiRecord("Data", "Widgets", "Work", "widgets", "load('model')", (MODEL, argument))
    assert given in fill_arguments(record, sentence)


def test_no_part_of_a_list_is_given_for_the_list() -> None:
    about = "Which stems to estimate, such as ['vocals']; all four when None."
    stems = Argument("targets", "list[str] | None", "None", about)
    record = ApiRecord("Audio", "Widgets", "Unmix", "widgets", "load('model')", (MODEL, stems))
    sentence = "split a song into vocals, drums, bass and other instruments"
    assert fill_arguments(record, sentence) == "load('model')"


@pytest.mark.parametrize("argument", [DEVICE, PRECISION, BACKEND, INDEX, ASCENDING, NROWS])
@pytest.mark.parametrize(
    "sentence", ["a table of 3 cities in 2024", "what became of 'Anna'", "a voice for 2 letters"]
)
def test_what_a_sentence_does_not_ask_for_stays_as_documented(
    argument: Argument, sentence: str
) -> None:
    record = ApiRecord("Data", "Widgets", "Work", "widgets", "load('model')", (MODEL, argument))
    assert fill_arguments(record, sentence) == "load('model')"


class SilentEncoder:
    """An encoder that must not be asked."""

    def sentences(self, texts: Sequence[str]) -> NDArray[np.float32]:
        raise AssertionError(texts)


def test_the_encoder_is_not_asked_where_nothing_is_to_be_placed() -> None:
    shipped = load_placing()
    assert shipped is not None
    placing = replace(shipped, encoder=SilentEncoder())  # type: ignore[arg-type]
    record = ApiRecord("Data", "Widgets", "Work", "widgets", "load('model')", (MODEL, DEVICE))
    assert fill_arguments(record, "read it aloud", placing=lambda: placing) == "load('model')"


def test_without_an_encoder_values_beside_names_are_given() -> None:
    call = fill_arguments(a_record(READ), "read orders.csv, nrows 100", placing=lambda: None)
    assert call == "pd.read_csv('orders.csv', nrows=100)"


@pytest.mark.parametrize("damaged", ["", "[]", '{"optional": {}}'])
def test_weights_that_are_damaged_place_nothing(
    damaged: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / FILE).write_text(damaged)
    monkeypatch.setattr("gorilla_jupyter.model.placing.WEIGHTS", tmp_path)
    assert load_placing.__wrapped__() is None


def test_an_encoder_is_loaded_once_for_all() -> None:
    assert load_encoder() is load_encoder()
