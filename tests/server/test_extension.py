from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from jupyter_server.serverapp import ServerApp

from gorilla_jupyter.model import ALLOWED_MODELS, CA_FILE
from gorilla_jupyter.server.extension import GorillaExtension
from tests.server.conftest import Client


def test_importing_it_imports_nothing_of_the_engine() -> None:
    code = (
        "import sys, gorilla_jupyter.server.extension\n"
        "heavy = ('whoosh', 'numpy', 'psutil', 'gorilla_jupyter.engine', 'gorilla_jupyter.index')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_a_server_starts_no_worker(extension: GorillaExtension) -> None:
    assert extension.supervisor.pid is None


def test_every_setting_has_a_help(extension: GorillaExtension) -> None:
    own = extension.class_own_traits(config=True)
    assert set(own) == {
        "allowed_models",
        "ca_file",
        "catalog_folder",
        "idle_seconds",
        "index_folder",
        "max_body_bytes",
        "max_candidates",
        "max_documents",
        "model",
        "queue_size",
        "request_seconds",
    }
    assert all(trait.help.endswith(".") for trait in own.values())


@pytest.mark.parametrize("gorilla_config", [{"model": "embedded", "allowed_models": ["b", "a"]}])
def test_the_model_is_always_allowed(extension: GorillaExtension) -> None:
    assert extension.models() == ["embedded", "b", "a"]


@pytest.mark.parametrize(
    "gorilla_config",
    [{"model": "openai:http://a/v1#b", "allowed_models": ["embedded"], "ca_file": "/certificates"}],
)
def test_its_worker_and_its_kernels_inherit_what_is_laid_down_for_models(
    extension: GorillaExtension,
) -> None:
    assert json.loads(os.environ[ALLOWED_MODELS]) == ["openai:http://a/v1#b", "embedded"]
    assert os.environ[CA_FILE] == "/certificates"


class TestFolders:
    @pytest.fixture
    def gorilla_config(self, tmp_path: Path) -> dict[str, str]:
        names = ("index_folder", "catalog_folder")
        return {name: str(tmp_path / "elsewhere" / name) for name in names}

    async def test_are_where_they_are_set(
        self, client: Client, catalog: Callable[..., None], tmp_path: Path, gorilla_home: Path
    ) -> None:
        catalog(2, tmp_path / "elsewhere" / "catalog_folder")
        await client("GET", "/gorilla/search", params={"q": "speech"})
        status = (await client("GET", "/gorilla/status")).json
        assert status["index"]["catalogs"]["widgets"]["records"] == 2
        assert (tmp_path / "elsewhere" / "index_folder").is_dir()
        assert not gorilla_home.exists()


async def test_stopping_the_server_stops_the_worker(
    client: Client, jp_serverapp: ServerApp, extension: GorillaExtension
) -> None:
    await client("GET", "/gorilla/search", params={"q": "speech"})
    assert extension.supervisor.pid is not None
    process = psutil.Process(extension.supervisor.pid)
    await jp_serverapp.cleanup_extensions()
    assert not process.is_running()
