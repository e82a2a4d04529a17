"""JupyterLab in a real browser, as the tests of the front end use it."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from playwright.sync_api import Locator, Page

from gorilla_jupyter.demo.session import JupyterServer

BROWSERS = ("chromium", "chromium-browser", "google-chrome")

FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)

SETTINGS: dict[str, dict[str, Any]] = {
    "@jupyterlab/apputils-extension:notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
    },
}

PYTHON = {"name": "python3", "display_name": "Python 3", "language": "python"}


def browser_path() -> str:
    """Where Chromium or a browser made of it is installed."""
    found = filter(None, map(shutil.which, BROWSERS))
    path = next(found, None)
    assert path, f"None of {', '.join(BROWSERS)} is installed: try apt-get install chromium."
    return path


def code(source: str, *outputs: dict[str, Any]) -> dict[str, Any]:
    """A code cell."""
    cell = {"cell_type": "code", "source": source, "outputs": list(outputs)}
    return {**cell, "metadata": {}, "execution_count": None}


def markdown(source: str) -> dict[str, Any]:
    """A Markdown cell."""
    return {"cell_type": "markdown", "source": source, "metadata": {}}


def notebook(*cells: dict[str, Any], kernel: dict[str, str] | None = None) -> dict[str, Any]:
    """A notebook's content."""
    metadata = {"kernelspec": kernel or PYTHON}
    return {"cells": list(cells), "metadata": metadata, "nbformat": 4, "nbformat_minor": 4}


def put_setting(server: JupyterServer, plugin: str, values: dict[str, Any]) -> None:
    """Set what a person would set in the settings editor."""
    server.http.put(
        f"lab/api/settings/{plugin}", json={"raw": json.dumps(values)}
    ).raise_for_status()


@dataclass
class Lab:
    """One page with JupyterLab.

    :ivar errors: the exceptions that no script of the page caught.
    """

    server: JupyterServer
    page: Page
    errors: list[str]

    def open(self, path: str = "") -> None:
        """Open JupyterLab in a workspace of its own, with this file."""
        workspace = f"lab/workspaces/{uuid4().hex}"
        self.page.goto(self.server.page(f"{workspace}/tree/{path}" if path else workspace))
        self.page.locator("#jp-main-dock-panel").wait_for()

    def open_notebook(self, *cells: dict[str, Any], kernel: dict[str, str] | None = None) -> str:
        """Open a new notebook; the name of its file."""
        name = self.save_notebook(*cells, kernel=kernel)
        self.open(name)
        self.page.locator(".jp-Notebook .jp-Cell").first.wait_for()
        return name

    def save_notebook(self, *cells: dict[str, Any], kernel: dict[str, str] | None = None) -> str:
        """Make a notebook; the name of its file."""
        name = f"{uuid4().hex}.ipynb"
        content = notebook(*cells, kernel=kernel)
        body = {"type": "notebook", "format": "json", "content": content}
        self.server.http.put(f"api/contents/{name}", json=body).raise_for_status()
        return name

    def open_panel(self) -> Locator:
        """Open the panel; its box."""
        self.page.locator('.jp-SideBar [data-id="gorilla-jupyter"]').click()
        self.box.wait_for()
        return self.box

    @property
    def panel(self) -> Locator:
        return self.page.locator(".jp-Gorilla")

    @property
    def box(self) -> Locator:
        return self.page.locator("[data-gorilla-box]")

    @property
    def results(self) -> Locator:
        return self.panel.locator(".jp-Gorilla-results button")

    @property
    def candidates(self) -> Locator:
        return self.panel.locator(".jp-Gorilla-candidate")

    def cells(self) -> list[dict[str, Any]]:
        """The cells of the notebook that is open, as its shared model has them."""
        found: list[dict[str, Any]] = self.page.evaluate(
            "jupyterapp.shell.currentWidget.content.model.sharedModel.toJSON().cells"
        )
        return found

    def sources(self) -> list[str]:
        return [cell["source"] for cell in self.cells()]

    def wait_for_kernel(self) -> None:
        """Wait until the kernel of the notebook that is open answers."""
        self.page.evaluate(
            """async () => {
                const context = jupyterapp.shell.currentWidget.sessionContext;
                await context.ready;
                await context.session.kernel.info;
            }"""
        )

    def execute(self, command: str) -> None:
        """Execute a command without waiting for its end."""
        self.page.evaluate("command => void jupyterapp.commands.execute(command)", command)
