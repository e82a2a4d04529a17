from __future__ import annotations

import pytest
from IPython.core.interactiveshell import InteractiveShell

from gorilla_jupyter.magics.plain_english import is_request


@pytest.mark.parametrize(
    "text",
    [
        "load a TTS model",
        "Transcribe the recording in my folder.",
        "how do I find faces in a photo?",
        'read the file "orders of 2024.csv" and keep the first ten lines',
        "translate from English to German,\nand keep the line breaks",
        "I'd like to separate the voices in a podcast",
    ],
)
def test_a_sentence_is_a_request(text: str) -> None:
    assert is_request(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   \n",
        "x = 1",
        "print('load a TTS model')",
        "load",
        "model and data",
        "import numpy as np",
        "# load a TTS model",
        "'load a TTS model for me'",
        "%load_ext gorilla_jupyter",
        "%%time\nload a TTS model",
        "!ls in the folder",
        "x = 1\n!cat a file",
        "?print",
        "print?",
        "np.load??",
        "/usr/bin/env is a file",
        ",print a b",
    ],
)
def test_python_magics_and_shell_lines_are_left_alone(text: str) -> None:
    assert not is_request(text)


@pytest.mark.parametrize(
    "text",
    [
        "for i in range(3) print(i)",
        "for all the items in my list",
        "import a from b",
        "def f(a, b) return a",
        "print hello world",
        "result = model of the data",
        "df.groupby('a' by the mean",
        "pip install --upgrade the package",
        "if a is in the list:",
        "load_model in my folder('a')",
    ],
)
def test_mistaken_python_keeps_its_error(text: str) -> None:
    assert not is_request(text)


def test_a_sentence_in_the_kernel_becomes_the_next_cell(shell: InteractiveShell) -> None:
    shell.run_line_magic("load_ext", "gorilla_jupyter.magics.plain_english")
    shell.run_cell("load a TTS model")
    assert "text-to-speech" in str(shell.rl_next_input)


def test_python_still_runs(shell: InteractiveShell) -> None:
    shell.run_line_magic("load_ext", "gorilla_jupyter.magics.plain_english")
    shell.run_cell("answer = 6 * 7")
    assert shell.user_ns["answer"] == 42


def test_unloading_ends_the_reading_of_sentences(shell: InteractiveShell) -> None:
    shell.run_line_magic("load_ext", "gorilla_jupyter.magics.plain_english")
    shell.run_line_magic("unload_ext", "gorilla_jupyter.magics.plain_english")
    result = shell.run_cell("describe a photo for me")
    assert isinstance(result.error_before_exec, SyntaxError)
