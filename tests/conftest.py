"""Every test has its own user: nothing of the machine's is read, nothing is left behind."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gorilla_jupyter.model import ALLOWED_MODELS, CA_FILE
from tests.model.conftest import ModelServer, serve

pytest_plugins = ["pytest_jupyter.jupyter_server"]


@pytest.fixture(autouse=True)
def gorilla_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that holds this test's catalogs and index."""
    home = tmp_path / "gorilla-home"
    monkeypatch.setenv("GORILLA_HOME", str(home))
    for name in ("JPY_PARENT_PID", "GORILLA_TOKEN", "JUPYTERHUB_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name in (ALLOWED_MODELS, CA_FILE):  # which a server under test sets
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return home


@pytest.fixture
def model_server() -> Iterator[ModelServer]:
    """A model server that gives prepared replies."""
    yield from serve("http")


@pytest.fixture(scope="session")
def built_index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of the shipped catalogs."""
    from gorilla_jupyter.catalog.store import CatalogStore
    from gorilla_jupyter.index.search import DocumentIndex

    folder = tmp_path_factory.mktemp("index")
    for _ in DocumentIndex(CatalogStore(folder / "no-catalogs"), folder).refresh():
        pass
    return folder


@pytest.fixture
def indexed_home(gorilla_home: Path, built_index: Path) -> Path:
    """``gorilla_home`` with the shipped catalogs indexed already."""
    shutil.copytree(built_index, gorilla_home / "index")
    return gorilla_home


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed packages, for this process and those it starts."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    path = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setattr("gorilla_jupyter.signature._known", {})
    monkeypatch.setattr("gorilla_jupyter.signature._slow", set())
    return folder


@pytest.fixture
def install_module(modules: Path) -> Callable[..., None]:
    """Installs a package of one module."""

    def install_module(name: str, code: str = "", *, version: str = "1.0") -> None:
        (modules / f"{name}.py").write_text(code)
        metadata = modules / f"{name}-{version}.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n")
        (metadata / "RECORD").write_text(f"{name}.py,,\n")

    return install_module
