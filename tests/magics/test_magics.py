from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import ExecutionResult, InteractiveShell
from IPython.utils.capture import CapturedIO, capture_output

from gorilla_jupyter.magics.display import MIME_TYPE


def run(shell: InteractiveShell, code: str) -> tuple[CapturedIO, ExecutionResult]:
    shell.rl_next_input = None
    with capture_output() as captured:
        result = shell.run_cell(code)
    return captured, result


def answer(captured: CapturedIO) -> dict[str, Any]:
    bundle: dict[str, Any] = captured.outputs[0].data[MIME_TYPE]
    return bundle


def error_of(captured: CapturedIO) -> str:
    return str(captured.stderr) + str(captured.stdout)


def test_the_best_candidate_becomes_the_next_cell(shell: InteractiveShell) -> None:
    captured, _ = run(shell, "%gorilla load a TTS model")
    assert shell.rl_next_input == answer(captured)["candidates"][0]["code"]


def test_the_inserted_cell_compiles(shell: InteractiveShell) -> None:
    run(shell, "%gorilla load a TTS model")
    assert ast.parse(str(shell.rl_next_input)).body


@pytest.mark.parametrize("mime_type", ["text/plain", "text/html"])
def test_every_form_of_the_answer_says_what_was_inserted(
    shell: InteractiveShell, mime_type: str
) -> None:
    captured, _ = run(shell, "%gorilla load a TTS model")
    best = answer(captured)["candidates"][0]["api_name"]
    assert best in captured.outputs[0].data[mime_type]


def test_the_answer_is_json(shell: InteractiveShell) -> None:
    captured, _ = run(shell, "%gorilla load a TTS model")
    assert json.loads(json.dumps(answer(captured)))["instruction"] == "load a TTS model"


def test_the_plain_text_holds_the_whole_code(shell: InteractiveShell) -> None:
    captured, _ = run(shell, "%gorilla load a TTS model")
    text = captured.outputs[0].data["text/plain"]
    assert all(line.strip() in text for line in str(shell.rl_next_input).splitlines())


def test_the_cell_magic_takes_options_and_a_text_below(shell: InteractiveShell) -> None:
    captured, _ = run(shell, "%%gorilla --candidates 2\nload a\nTTS model")
    found = answer(captured)
    assert (found["instruction"], len(found["candidates"])) == ("load a\nTTS model", 2)


def test_an_option_in_quotes_may_have_blanks(shell: InteractiveShell) -> None:
    captured, _ = run(shell, '%gorilla --framework "Hugging Face Transformers" read text aloud')
    providers = {found["api_provider"] for found in answer(captured)["candidates"]}
    assert providers == {"Hugging Face Transformers"}


def test_what_follows_the_options_is_kept_letter_for_letter(shell: InteractiveShell) -> None:
    captured, _ = run(shell, '%gorilla -n 1 don\'t  read "this" -n 2 aloud {} {0} $HOME')
    assert answer(captured)["instruction"] == 'don\'t  read "this" -n 2 aloud {} {0} $HOME'


def test_a_name_in_braces_stands_for_the_variable(shell: InteractiveShell) -> None:
    shell.user_ns["language"] = "French"
    captured, _ = run(shell, "%gorilla translate into {language} or {unknown} or {1 + 1}")
    assert answer(captured)["instruction"] == "translate into French or {unknown} or {1 + 1}"


def test_a_dry_run_inserts_nothing(shell: InteractiveShell) -> None:
    run(shell, "%gorilla --dry-run load a TTS model")
    assert shell.rl_next_input is None


def test_where_nothing_fits_nothing_is_inserted(shell: InteractiveShell) -> None:
    captured, _ = run(shell, "%gorilla bake a chocolate cake")
    assert (shell.rl_next_input, answer(captured)["candidates"]) == (None, [])


def test_replace_is_passed_to_the_front_end(
    shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[bool] = []
    monkeypatch.setattr(shell, "set_next_input", lambda text, replace=False: calls.append(replace))
    run(shell, "%gorilla --replace load a TTS model")
    assert calls == [True]


def test_picking_in_a_terminal_inserts_the_chosen_one(
    shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builtins.input", lambda prompt: "2")
    captured, _ = run(shell, "%gorilla --pick load a TTS model")
    assert shell.rl_next_input == answer(captured)["candidates"][1]["code"]


@pytest.mark.parametrize("typed", ["", "0", "4", "x"])
def test_picking_none_inserts_none(
    shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    monkeypatch.setattr("builtins.input", lambda prompt: typed)
    run(shell, "%gorilla --pick load a TTS model")
    assert shell.rl_next_input is None


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("%gorilla", "is empty"),
        ("%%gorilla\n   ", "is empty"),
        ("%%gorilla\n" + "a" * 100_000, "100,000 characters"),
        ("%gorilla load\x07 a model", "U+0007"),
        ("%gorilla -n 0 load a model", "between 1 and 20"),
        ("%gorilla -n many load a model", "invalid int value"),
        ("%gorilla --model gpt load a model", "There is no model 'gpt'"),
        ("%gorilla --no-such-option load a model", "unrecognized"),
        ("%gorilla load a model --dry-run", "Write --dry-run before the sentence"),
        ("%gorilla_search", "is empty"),
        ("%gorilla_doc", "is empty"),
        ("%gorilla_doc xyzzyqwerty", "No document is named"),
    ],
)
def test_bad_input_is_answered_with_a_sentence_and_no_traceback(
    shell: InteractiveShell, code: str, sentence: str
) -> None:
    captured, _ = run(shell, code)
    said = error_of(captured)
    assert sentence in said
    assert "Traceback" not in said


@pytest.mark.parametrize("text", ["加载一个语音合成模型", "🎵🎤🗣️", "загрузи модель речи"])
def test_other_scripts_get_an_answer(shell: InteractiveShell, text: str) -> None:
    captured, result = run(shell, f"%gorilla {text}")
    assert result.success
    assert answer(captured)["instruction"] == text


def test_search_lists_documents(shell: InteractiveShell) -> None:
    captured, _ = run(shell, "%gorilla_search -k 2 text to speech")
    assert len(captured.outputs[0].data["text/plain"].splitlines()) == 2


def test_search_mends_spelling(shell: InteractiveShell) -> None:
    captured, _ = run(shell, "%gorilla_search sentimant")
    assert "Did you mean: sentiment" in captured.outputs[0].data["text/plain"]


def test_doc_shows_the_document_of_that_name(shell: InteractiveShell) -> None:
    captured, _ = run(shell, "%gorilla_doc suno/bark")
    assert captured.outputs[0].data["text/plain"].startswith("suno/bark (")


def test_status_says_that_the_kernel_answers_itself(shell: InteractiveShell) -> None:
    captured, _ = run(shell, "%gorilla_status")
    assert "this kernel answers itself" in captured.stdout


def test_index_reads_what_is_installed_for_the_kernel(
    shell: InteractiveShell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    information = tmp_path / "site" / "tea-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Name: tea\nVersion: 1.0\n")
    (information / "RECORD").write_text("tea.py,,\n")
    (tmp_path / "site" / "tea.py").write_text('def brew(leaves):\n    "Steep zymurgy leaves."')
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    captured, _ = run(shell, "%gorilla_index tea")
    assert "tea 1.0: 1 documents." in captured.stdout
    captured, _ = run(shell, "%gorilla --dry-run steep zymurgy leaves")
    assert answer(captured)["candidates"][0]["api_call"] == "tea.brew(leaves)"


def test_index_says_what_is_not_installed(shell: InteractiveShell) -> None:
    captured, _ = run(shell, "%gorilla_index no-such-thing")
    assert "no-such-thing is not installed" in captured.stdout


def test_the_magics_explain_themselves(shell: InteractiveShell) -> None:
    captured, _ = run(shell, "%gorilla?")
    assert "--candidates" in captured.stdout


def test_the_server_can_be_configured(shell: InteractiveShell) -> None:
    run(shell, "%config GorillaMagics.server_url = 'http://127.0.0.1:9'")
    captured, _ = run(shell, "%gorilla load a TTS model")
    assert "http://127.0.0.1:9 stopped answering" in answer(captured)["notices"][0]


def test_unloading_takes_the_magics_away(shell: InteractiveShell) -> None:
    run(shell, "%unload_ext gorilla_jupyter")
    captured, _ = run(shell, "%gorilla load a TTS model")
    assert "`%gorilla` not found" in error_of(captured)


def test_loading_again_after_unloading_works(shell: InteractiveShell) -> None:
    run(shell, "%unload_ext gorilla_jupyter")
    run(shell, "%load_ext gorilla_jupyter")
    run(shell, "%gorilla load a TTS model")
    assert shell.rl_next_input


def test_a_call_that_the_installed_package_refuses_is_not_inserted(
    shell: InteractiveShell, gorilla_home: Path
) -> None:
    catalogs = gorilla_home / "catalogs"
    catalogs.mkdir(parents=True)
    record = {
        "domain": "Zymurgy",
        "framework": "Standard library",
        "functionality": "Ferment zymurgy",
        "api_name": "ferment",
        "api_call": "parse(ferment=4)",
        "python_environment_requirements": ["packaging"],
        "example_code": "from packaging.version import parse\nparse(ferment=4)",
    }
    (catalogs / "own.jsonl").write_text(json.dumps(record) + "\n")
    captured, _ = run(shell, "%gorilla ferment zymurgy")
    checks = {
        check["name"]: check["status"] for check in answer(captured)["candidates"][0]["checks"]
    }
    assert (checks["signature"], shell.rl_next_input) == ("failed", None)
