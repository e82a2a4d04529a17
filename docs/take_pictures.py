"""Redraw the documentation's pictures: JupyterLab as a person sees it, in headless Chromium.

python docs/take_pictures.py
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from gorilla_jupyter.demo.session import JupyterServer

PICTURES = Path(__file__).parent / "pictures"
CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
NEWS = '{"fetchNews": "false", "checkForUpdates": false, "doNotDisturbMode": true}'


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    with JupyterServer() as server, sync_playwright() as playwright:
        server.http.put(
            "lab/api/settings/@jupyterlab/apputils-extension:notification", json={"raw": NEWS}
        ).raise_for_status()
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1100, "height": 760})
        server.http.put("api/contents/speech.ipynb", json=_notebook()).raise_for_status()
        page.goto(server.page("lab/tree/speech.ipynb"))
        _ask(page)
        page.screenshot(path=PICTURES / "quickstart.png")
        browser.close()


def _notebook() -> dict[str, object]:
    cells = [
        {"cell_type": "code", "source": source, "metadata": {}, "outputs": []}
        for source in ("%load_ext gorilla_jupyter", "%gorilla load a TTS model")
    ]
    for cell in cells:
        cell["execution_count"] = None
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    content = {
        "cells": cells,
        "metadata": {"kernelspec": kernel},
        "nbformat": 4,
        "nbformat_minor": 4,
    }
    return {"type": "notebook", "format": "json", "content": content}


def _ask(page: Page) -> None:
    for cell in range(2):
        _run(page, cell)
    page.locator(".jp-Notebook .jp-CodeCell").nth(2).wait_for()
    page.locator(".jp-SideBar.jp-mod-left .lm-mod-current").click()  # the file browser away
    page.mouse.move(600, 740)
    page.wait_for_load_state("networkidle")


def _run(page: Page, cell: int) -> None:
    # A kernel looks idle before it takes anything: what it did not take is sent again.
    prompt = page.locator(".jp-CodeCell .jp-InputPrompt").nth(cell)
    while not re.search(r"\d", prompt.inner_text()):
        page.locator(".jp-Cell .cm-content").nth(cell).click()
        page.keyboard.press("Control+Enter")
        with suppress(AssertionError):
            expect(prompt).to_contain_text(re.compile(r"\d"), timeout=5_000)


if __name__ == "__main__":
    main()
