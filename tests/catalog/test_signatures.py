from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gorilla_jupyter.catalog.signatures import (
    Package,
    load_table,
    read_installed,
    refusal,
    write_table,
)
from gorilla_jupyter.record import parse_call

VOICE = """
def load(name, *, device=None, dtype=object()): ...
class Voice:
    def __init__(self, name, /, speed=1.5): ...
    @classmethod
    def from_pretrained(cls, name, **options): ...
"""


def read(name: str) -> str | None:
    package = read_installed("voice", [name], "voice")
    return package.signatures.get(name) if package else None


@pytest.mark.parametrize(
    ("name", "signature"),
    [
        ("voice.load", "(name, *, device=None, dtype=...)"),
        ("voice.Voice", "(name, /, speed=1.5)"),
        ("voice.Voice.from_pretrained", "(name, **options)"),
    ],
)
@pytest.mark.parametrize("header", ["", "import no_such_gpu_library\n"], ids=["runs", "does not"])
def test_a_signature_is_read_from_the_package_or_from_its_source(
    install_module: Callable[..., None], name: str, signature: str, header: str
) -> None:
    install_module("voice", header + VOICE)
    assert read(name) == signature


@pytest.mark.parametrize("name", ["voice.gone", "voice.Voice.gone", "voice.deep.gone"])
def test_a_name_that_is_not_there_is_left_out(
    install_module: Callable[..., None], name: str
) -> None:
    install_module("voice", VOICE)
    assert read(name) is None


def test_a_package_that_is_not_installed_is_none() -> None:
    assert read_installed("voice", ["voice.load"], "voice") is None


def test_what_a_package_prints_when_imported_does_no_harm(
    install_module: Callable[..., None],
) -> None:
    install_module("voice", "print('hello')\n" + VOICE)
    assert read("voice.load")


def test_the_version_is_noted(install_module: Callable[..., None]) -> None:
    install_module("voice", VOICE, version="2.5")
    package = read_installed("voice", ["voice.load"], "voice")
    assert package is not None
    assert package.version == "2.5"


@pytest.mark.parametrize(
    ("signature", "call", "refused"),
    [
        ("(name, *, device=None)", "load('x', device='cpu')", False),
        ("(name, *, device=None)", "load('x', 'cpu')", True),
        ("(name, /)", "load(name='x')", True),
        ("(name, **options)", "load('x', anything=1)", False),
        ("(*names)", "load('x', 'y')", False),
        ("()", "load('x')", True),
    ],
)
def test_a_stored_signature_takes_or_refuses_a_call(
    signature: str, call: str, refused: bool
) -> None:
    tree = parse_call(call)
    assert tree is not None
    assert (refusal(signature, tree) is not None) == refused


def test_the_table_reads_back_what_was_written(tmp_path: Path) -> None:
    packages = {"voice": Package("voice", "1.0", "2026-01-02", {"voice.load": "()"}, ("speak",))}
    write_table(packages, tmp_path / "table.json")
    assert load_table(tmp_path / "table.json") == packages
