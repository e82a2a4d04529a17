from __future__ import annotations

from pathlib import Path

import pytest

from gorilla_jupyter.doctor import Finding, examine


def finding(subject: str) -> Finding:
    return next(found for found in examine() if found.subject == subject)


def test_a_broken_catalog_line_is_named(gorilla_home: Path) -> None:
    catalogs = gorilla_home / "catalogs"
    catalogs.mkdir(parents=True)
    (catalogs / "own.jsonl").write_text("{\n")
    found = finding("Catalog own")
    assert (found.healthy, "own.jsonl, line 1" in found.sentence) == (False, True)


def test_a_folder_that_cannot_be_written_comes_with_what_mends_it(
    gorilla_home: Path,
) -> None:
    gorilla_home.write_text("a file where the folder should be")
    assert "GORILLA_HOME" in finding("Index folder").mend


def test_a_missing_server_extension_comes_with_what_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gorilla_jupyter.doctor.jupyter_config_path", lambda: [str(tmp_path)])
    assert finding("Server extension").mend.startswith("pip install")


def test_two_packages_that_overwrite_each_other_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "importlib.metadata.packages_distributions",
        lambda: {"onnxruntime": ["onnxruntime", "onnxruntime-gpu"]},
    )
    assert "pip uninstall" in finding("onnxruntime").mend


def test_where_the_gpu_is_not_reached_the_missing_libraries_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "importlib.metadata.packages_distributions", lambda: {"onnxruntime": ["onnxruntime-gpu"]}
    )
    monkeypatch.setattr("importlib.metadata.version", lambda name: "1.31.1")
    found = finding("onnxruntime")
    assert (found.healthy, found.mend) == (False, "pip install 'onnxruntime-gpu[cuda,cudnn]'")
