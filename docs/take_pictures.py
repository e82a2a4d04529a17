"""Redraw the documentation's pictures: JupyterLab as a person sees it, in headless Chromium.

python docs/take_pictures.py
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

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
        page = _page(browser)
        asking = _notebook("%load_ext gorilla_jupyter", "%gorilla load a TTS model")
        server.http.put("api/contents/speech.ipynb", json=asking).raise_for_status()
        page.goto(server.page("lab/tree/speech.ipynb"))
        _ask(page)
        page.screenshot(path=PICTURES / "quickstart.png")
        page.close()
        page = _page(browser)
        server.http.put("api/contents/voice.ipynb", json=_notebook("")).raise_for_status()
        page.goto(server.page("lab/workspaces/panel/tree/voice.ipynb"))
        _insert_from_panel(page)
        page.screenshot(path=PICTURES / "panel.png")
        browser.close()


def _page(browser: Browser) -> Page:
    return browser.new_page(viewport={"width": 1100, "height": 760})


def _notebook(*sources: str) -> dict[str, object]:
    cells = [
        {"cell_type": "code", "source": source, "metadata": {}, "outputs": []} for source in sources
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


def _insert_from_panel(page: Page) -> None:
    page.locator(".jp-Notebook .jp-CodeCell").wait_for()
    page.locator('.jp-SideBar [data-id="gorilla-jupyter"]').click()
    border = page.locator("#jp-main-split-panel > .lm-SplitPanel-handle").first
    border.hover()
    page.mouse.down()
    page.mouse.move(430, 400, steps=5)
    page.mouse.up()
    box = page.locator("[data-gorilla-box]")
    box.fill("load a TTS model")
    box.press("Enter")
    page.locator(".jp-Gorilla-candidate .jp-RenderedMarkdown").nth(2).wait_for()
    page.locator(".jp-Gorilla-candidate .jp-mod-accept").first.click()
    page.locator(".jp-Notebook .jp-CodeCell", has_text="pipeline").wait_for()
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
