"""What the described interpreter tells of itself."""

from __future__ import annotations

import ast
import json
import platform
import subprocess
import sys
from typing import Any

import pytest

from gorilla_jupyter.catalog.environment import INTROSPECTION
from tests.catalog.conftest import Install

FUNCTION = 'def {0}(size, colour="red"):\n    """Brew a {0} of tea."""\n'


def lines(*words: str) -> list[dict[str, Any]]:
    command = [sys.executable, str(INTROSPECTION), *words]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [json.loads(line) for line in printed.splitlines()]


def read(name: str, *skipped: str) -> dict[str, dict[str, Any]]:
    return {line["path"]: line for line in lines("read", name, "60", *skipped) if "path" in line}


def test_it_is_python_3_9() -> None:
    assert ast.parse(INTROSPECTION.read_text(), feature_version=(3, 9)).body


def test_it_needs_the_standard_library_only() -> None:
    tree = ast.parse(INTROSPECTION.read_text())
    imported = {
        (node.module or "") if isinstance(node, ast.ImportFrom) else alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert {name.partition(".")[0] for name in imported} <= sys.stdlib_module_names


def test_an_environment_is_described(install: Install) -> None:
    install("Tea_Pot", {"tea_pot.py": ""}, version="2.5")
    (described,) = lines("describe")
    assert described["prefix"] == sys.prefix
    assert described["distributions"]["tea-pot"] == "2.5"
    assert described["distributions"]["python"] == platform.python_version()


def test_a_callable_is_told_by_its_shortest_public_path(install: Install) -> None:
    install(
        "tea",
        {
            "tea/__init__.py": "from tea.deep.pots import pot",
            "tea/deep/__init__.py": "from tea.deep.pots import pot",
            "tea/deep/pots.py": FUNCTION.format("pot"),
        },
    )
    assert list(read("tea")) == ["tea.pot"]


def test_what_a_module_lists_is_what_it_offers(install: Install) -> None:
    source = "__all__ = ['pot']\n" + FUNCTION.format("pot") + FUNCTION.format("cup")
    install("tea", {"tea.py": source})
    assert list(read("tea")) == ["tea.pot"]


def test_a_package_offers_what_its_private_compiled_module_has() -> None:
    assert "sqlite3.connect" in read("python")


def test_what_a_module_has_from_elsewhere_is_not_told(install: Install) -> None:
    install("tea", {"tea.py": "from json import dumps\n" + FUNCTION.format("pot")})
    assert list(read("tea")) == ["tea.pot"]


@pytest.mark.parametrize("name", ["_pots", "tests", "test", "_vendor", "externals", "conftest"])
def test_modules_that_are_not_public_are_not_told(install: Install, name: str) -> None:
    files = {"tea/__init__.py": "", f"tea/{name}.py": FUNCTION.format("pot")}
    install("tea", files)
    assert read("tea") == {}


def test_modules_can_be_skipped(install: Install) -> None:
    files = {"tea/__init__.py": FUNCTION.format("cup"), "tea/pots.py": FUNCTION.format("pot")}
    install("tea", files)
    assert list(read("tea", "tea.pots")) == ["tea.cup"]


def test_the_signature_is_told(install: Install) -> None:
    install("tea", {"tea.py": FUNCTION.format("pot")})
    assert read("tea")["tea.pot"]["signature"] == [
        ["size", "POSITIONAL_OR_KEYWORD", None, ""],
        ["colour", "POSITIONAL_OR_KEYWORD", "'red'", ""],
    ]


def test_a_signature_that_cannot_be_computed_is_left_out(install: Install) -> None:
    source = FUNCTION.format("pot") + "pot.__signature__ = 7\n"
    install("tea", {"tea.py": source})
    assert read("tea")["tea.pot"]["signature"] is None


def test_methods_are_told_where_they_are_first_public(install: Install) -> None:
    source = """
class Vessel:
    "Holds tea."
    def fill(self, litres):
        "Fill it."
class Pot(Vessel):
    "Pours tea."
    def pour(self):
        "Pour it."
    @classmethod
    def of(cls, clay):
        "Make one of clay."
"""
    install("tea", {"tea.py": source})
    told = read("tea")
    assert {path: line["kind"] for path, line in told.items()} == {
        "tea.Pot": "class",
        "tea.Pot.of": "classmethod",
        "tea.Pot.pour": "method",
        "tea.Vessel": "class",
        "tea.Vessel.fill": "method",
    }
    assert told["tea.Vessel.fill"]["signature"] == [["litres", "POSITIONAL_OR_KEYWORD", None, ""]]


def test_a_namespace_package_is_not_searched_for_others(install: Install) -> None:
    install("tea-pot", {"tea/pot/__init__.py": FUNCTION.format("pot")})
    install("tea-cup", {"tea/cup/__init__.py": FUNCTION.format("cup")})
    assert list(read("tea-pot")) == ["tea.pot.pot"]


def test_what_is_printed_does_not_get_among_the_lines(install: Install) -> None:
    source = "import os\nprint('{')\nos.write(1, b'[')\n" + FUNCTION.format("pot")
    install("tea", {"tea.py": source})
    assert list(read("tea")) == ["tea.pot"]


@pytest.mark.parametrize("fault", ["raise SystemExit(3)", "1 / 0", "import no_such_module"])
def test_a_module_that_cannot_be_imported_costs_itself(install: Install, fault: str) -> None:
    files = {"tea/__init__.py": FUNCTION.format("cup"), "tea/broken.py": fault}
    install("tea", files)
    told = lines("read", "tea", "60")
    assert [line["failed"] for line in told if "failed" in line] == ["tea.broken"]
    assert [line["path"] for line in told if "path" in line] == ["tea.cup"]


def test_without_time_the_rest_is_counted(install: Install) -> None:
    install("tea", {"tea.py": FUNCTION.format("pot")})
    assert lines("read", "tea", "-1") == [{"end": 0, "left": 1}]
