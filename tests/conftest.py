"""Every test has its own user: nothing of the machine's is read, nothing is left behind."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytest_jupyter.jupyter_server"]


@pytest.fixture(autouse=True)
def gorilla_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that holds this test's catalogs and index."""
    home = tmp_path / "gorilla-home"
    monkeypatch.setenv("GORILLA_HOME", str(home))
    for name in ("JPY_PARENT_PID", "GORILLA_TOKEN", "JUPYTERHUB_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return home
