from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

Install = Callable[..., None]


def install_into(site: Path, name: str, files: Mapping[str, str], *, version: str = "1.0") -> None:
    """Put a distribution into a folder, in the place of one of that name."""
    stem = name.replace("-", "_")
    for old in site.glob(f"{stem}-*.dist-info"):
        shutil.rmtree(old)
    information = site / f"{stem}-{version}.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n")
    for file, text in files.items():
        (site / file).parent.mkdir(parents=True, exist_ok=True)
        (site / file).write_text(text)
    (information / "RECORD").write_text("".join(f"{file},,\n" for file in files))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of this test's distributions, known to the interpreters that it starts."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return folder


@pytest.fixture
def install(site: Path) -> Install:
    """Installs a distribution: its name, its files, its version."""

    def install(name: str, files: Mapping[str, str], *, version: str = "1.0") -> None:
        install_into(site, name, files, version=version)

    return install
