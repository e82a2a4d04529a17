"""The front end in a real browser, with a real server and the installed extension."""

from __future__ import annotations

import json
import re
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from gorilla_jupyter.demo.session import JupyterServer
from gorilla_jupyter.magics.display import MIME_TYPE
from tests.end_to_end import hostile
from tests.end_to_end.lab import (
    FLAGS,
    SETTINGS,
    Lab,
    browser_path,
    code,
    markdown,
    put_setting,
)

pytestmark = pytest.mark.slow

SENTENCE = "load a TTS model"
AXE = Path(__file__).parents[2] / "labextension" / "node_modules" / "axe-core" / "axe.min.js"
PLUGIN = "gorilla-jupyter:plugin"
THEMES = "@jupyterlab/apputils-extension:themes"
TRANSLATION = "@jupyterlab/translation-extension:plugin"


@pytest.fixture(autouse=True)
def jp_asyncio_loop() -> None:
    """None of pytest-jupyter's: Playwright has one that runs from the first test to the last."""


@pytest.fixture(autouse=True)
def jp_server_cleanup() -> None:
    """No server runs in this process."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def user(built_index: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A person with settings of their own, the shipped catalogs, the hostile one, and a kernel that
    says it is for R."""
    home = tmp_path_factory.mktemp("user")
    shutil.copytree(built_index, home / "gorilla" / "index")
    hostile.write_catalog(home / "gorilla")
    kernel = home / "data" / "kernels" / "ir"
    kernel.mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": command, "display_name": "R", "language": "R"}
    (kernel / "kernel.json").write_text(json.dumps(spec))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GORILLA_HOME", str(home / "gorilla"))
        patch.setenv("JUPYTER_CONFIG_DIR", str(home / "config"))
        patch.setenv("JUPYTER_DATA_DIR", str(home / "data"))
        patch.delenv("JPY_PARENT_PID", raising=False)
        yield home


@pytest.fixture(scope="module")
def lab_server(user: Path) -> Iterator[JupyterServer]:
    with JupyterServer("--LabApp.expose_app_in_browser=True") as server:
        for plugin, values in SETTINGS.items():
            put_setting(server, plugin, values)
        # The first search brings the index up to date with the hostile catalog.
        server.http.get("gorilla/search", params={"q": "hostile"}).raise_for_status()
        yield server


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1300, "height": 860})
    context.set_default_timeout(30_000)
    expect.set_options(timeout=15_000)
    yield context.new_page()
    context.close()


@pytest.fixture
def lab(lab_server: JupyterServer, page: Page) -> Iterator[Lab]:
    """JupyterLab with the settings that a new user has."""
    put_setting(lab_server, PLUGIN, {})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield Lab(lab_server, page, errors)
    assert errors == []


@pytest.fixture(scope="module")
def answer(lab_server: JupyterServer) -> Any:
    """What the server answers to the sentence."""
    response = lab_server.http.post("gorilla/ask", json={"instruction": SENTENCE})
    found = json.loads(response.text.splitlines()[-1])
    del found["event"]
    return found


def ask(lab: Lab, sentence: str = SENTENCE) -> None:
    lab.box.fill(sentence)
    lab.box.press("Enter")
    lab.panel.get_by_role("button", name="Ask", exact=True).wait_for()


def insert_first(lab: Lab) -> str:
    """Insert the first answer to the sentence; its code."""
    ask(lab)
    shown = lab.candidates.first.locator(".jp-Gorilla-code pre").inner_text().strip()
    lab.candidates.first.get_by_role("button", name=re.compile("^Insert")).click()
    return shown


class TestStart:
    def test_asks_the_server_for_its_status_and_nothing_else(self, lab: Lab) -> None:
        requested: list[str] = []
        lab.page.on("request", lambda request: requested.append(request.url))
        with lab.page.expect_response(re.compile("/gorilla/status")):
            lab.open_notebook(code("1"))
        lab.page.wait_for_load_state("networkidle")
        assert len([url for url in requested if "/gorilla/" in url]) == 1

    def test_the_status_bar_tells_model_and_documents(self, lab: Lab) -> None:
        lab.open()
        status = lab.page.locator(".jp-Gorilla-status")
        expect(status).to_have_text(re.compile(r"embedded · [\d,]{4,} documents"))
        status.click()
        expect(lab.box).to_be_focused()


class TestSearch:
    def test_typing_finds_documents(self, lab: Lab) -> None:
        lab.open()
        lab.open_panel().press_sequentially("speech recognition", delay=20)
        expect(lab.results.first).to_contain_text("speech", ignore_case=True)
        expect(lab.panel.get_by_role("status")).to_have_text("20 documents")
        expect(lab.results.first.locator(".jp-Gorilla-installed")).to_have_text(
            re.compile("installed")
        )

    def test_filters_narrow_it(self, lab: Lab) -> None:
        lab.open()
        lab.open_panel().fill("speech")
        lab.panel.get_by_text("Filters").click()
        lab.panel.get_by_label("Framework").fill("TensorFlow Hub")
        expect(lab.results.first).to_contain_text("TensorFlow Hub")
        for text in lab.results.all_inner_texts():
            assert "TensorFlow Hub" in text

    def test_the_keyboard_goes_to_a_document_and_back(self, lab: Lab) -> None:
        lab.open_notebook(code("1"))
        lab.open_panel().fill("suno bark")
        lab.results.first.wait_for()
        lab.box.press("ArrowDown")
        lab.page.keyboard.press("ArrowDown")
        expect(lab.results.nth(1)).to_be_focused()
        lab.page.keyboard.press("Enter")
        document = lab.panel.get_by_role("article")
        for part in ("Arguments", "Example", "Requirements", "%pip install", "Catalog"):
            expect(document).to_contain_text(part)
        expect(document.get_by_role("button", name="Back")).to_be_focused()
        lab.page.keyboard.press("Escape")
        expect(lab.results.nth(1)).to_be_focused()
        lab.page.keyboard.press("Escape")
        expect(lab.box).to_be_focused()
        lab.page.keyboard.press("Escape")
        expect(lab.box).to_have_value("")
        lab.page.keyboard.press("Escape")
        lab.page.wait_for_function("document.activeElement.closest('.jp-Notebook') !== null")

    def test_the_server_may_go_and_come_back(self, user: Path, page: Page) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        with JupyterServer(port=port, token="the-same-again") as server:
            lab = Lab(server, page, [])
            lab.open()
            lab.open_panel().fill("speech")
            lab.results.first.wait_for()
        lab.box.fill("translation")
        alert = lab.panel.get_by_role("alert")
        expect(alert).to_contain_text("The server does not answer.")
        with JupyterServer(port=port, token="the-same-again"):
            expect(alert).to_be_empty()
            expect(lab.results.first).to_contain_text("translation")

    def test_typing_among_50000_records_blocks_no_frame(
        self, user: Path, page: Page, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        write_records(tmp_path / "catalogs", 50_000)
        monkeypatch.setenv("GORILLA_HOME", str(tmp_path))
        with JupyterServer() as server:
            server.http.timeout = 280
            server.http.get("gorilla/search", params={"q": "widgets"}).raise_for_status()
            lab = Lab(server, page, [])
            lab.open()
            lab.open_panel()
            # What the panel blocks is blocked each time; what another process blocks is not.
            assert min(longest_task(lab) for _ in range(3)) <= 50


def write_records(folder: Path, count: int) -> None:
    """A catalog of that many records."""
    folder.mkdir(parents=True)
    with (folder / "widgets.jsonl").open("w") as file:
        for number in range(count):
            record = {
                "domain": "Widgets",
                "framework": f"Maker {number % 100}",
                "functionality": f"Count the widgets of shelf {number}",
                "api_name": f"count_{number}",
                "api_call": f"widgets.count_{number}()",
                "description": "Count widgets by kind and colour.",
            }
            file.write(json.dumps(record) + "\n")


def longest_task(lab: Lab) -> float:
    """How long the page was blocked at most while somebody typed, in milliseconds."""
    lab.box.fill("")
    lab.page.evaluate(
        """() => {
            window.longest = 0;
            window.observer?.disconnect();
            window.observer = new PerformanceObserver(list => {
                for (const task of list.getEntries()) {
                    window.longest = Math.max(window.longest, task.duration);
                }
            });
            window.observer.observe({ entryTypes: ['longtask'] });
        }"""
    )
    for text in ("count the widgets", " of shelf 4", "2 by colour"):
        lab.box.press_sequentially(text, delay=40)
        expect(lab.panel.get_by_role("status")).to_have_text("20 documents")
    longest: float = lab.page.evaluate("window.longest")
    return longest


class TestHostileRecords:
    def test_render_as_text(self, lab: Lab) -> None:
        remote: list[str] = []
        lab.page.on("request", lambda r: remote.append(r.url) if "192.0.2.1" in r.url else None)
        lab.open_notebook(code("1"))
        for number, attack in enumerate(hostile.ATTACKS):
            lab.open_panel() if number == 0 else None
            lab.box.fill(f"hostile_{number}")
            result = lab.results.filter(has_text=re.compile(rf"hostile_{number}\b"))
            expect(result).to_contain_text(attack.split("\n")[0].strip())
            result.click()
            document = lab.panel.get_by_role("article")
            expect(document.locator(".jp-RenderedMarkdown")).to_have_count(3)
            assert attack.split("\n")[0] in document.inner_text()
            assert document.locator("script, img, iframe, form, input, [onload]").count() == 0
            assert document.locator("a[href^=javascript]").count() == 0
        assert lab.page.evaluate("window.pwned") is None
        assert lab.page.evaluate("getComputedStyle(document.body).display") != "none"
        assert remote == []


class TestReadingWhatIsInstalled:
    def test_is_a_line_for_the_person_to_run(self, lab: Lab) -> None:
        lab.open_notebook(code("import pandas as pd"), code(""))
        lab.page.locator(".jp-Cell").nth(1).locator(".cm-content").click()
        lab.open_panel()
        lab.panel.get_by_role("button", name="Read what is installed").click()
        line = "%load_ext gorilla_jupyter\n%gorilla_index pandas"
        expect(lab.page.locator(".jp-Cell").nth(1)).to_contain_text("%gorilla_index pandas")
        assert lab.sources() == ["import pandas as pd", line]
        assert lab.cells()[1]["execution_count"] is None


class TestAsk:
    def test_documents_come_first_then_candidates_with_their_checks(self, lab: Lab) -> None:
        lab.open()
        lab.open_panel()
        ask(lab)
        expect(lab.candidates).to_have_count(3)
        expect(lab.panel.get_by_role("status")).to_have_text("3 answers")
        checks = lab.candidates.first.get_by_role("list", name="Checks").get_by_role("listitem")
        expect(checks).to_have_count(4)
        expect(checks.first).to_have_text(re.compile("documented.*passed.*shows this call"))
        expect(lab.results.first).to_be_visible()

    def test_stops(self, lab: Lab) -> None:
        lab.open()
        lab.open_panel()
        # The connection is held back where a slow model would.
        lab.page.route("**/gorilla/ask*", lambda route: None)
        lab.box.fill(SENTENCE)
        lab.box.press("Enter")
        lab.panel.get_by_role("button", name="Stop").click()
        expect(lab.panel.get_by_role("button", name="Ask", exact=True)).to_be_enabled()
        lab.page.unroute("**/gorilla/ask*")
        ask(lab)
        expect(lab.candidates).to_have_count(3)

    def test_an_earlier_question_can_be_asked_again(self, lab: Lab) -> None:
        lab.open()
        lab.open_panel()
        ask(lab)
        ask(lab, "detect objects in a photo")
        lab.panel.get_by_text("Earlier questions").click()
        lab.panel.get_by_role("button", name=re.compile(f"^{SENTENCE}")).click()
        expect(lab.box).to_have_value(SENTENCE)
        expect(lab.candidates.first).to_contain_text("text-to-speech")

    def test_nothing_fits_is_said(self, lab: Lab) -> None:
        lab.open()
        lab.open_panel()
        ask(lab, "qwertyuiop zxcvbnm asdfghjkl")
        expect(lab.panel.get_by_role("status")).to_contain_text("No documented API fits")


class TestInsert:
    def test_as_a_new_cell_below_and_undone_in_one_step(self, lab: Lab) -> None:
        put_setting(lab.server, PLUGIN, {"place": "below"})
        lab.open_notebook(code("1"), code("2"))
        lab.open_panel()
        inserted = insert_first(lab)
        expect(lab.page.locator(".jp-Notebook .jp-Cell")).to_have_count(3)
        cell = lab.cells()[1]
        assert cell["source"] == inserted
        assert (cell["execution_count"], cell["outputs"]) == (None, [])
        assert "trusted" not in cell["metadata"]
        expect(lab.page.locator(".jp-Cell").nth(1).locator(".cm-content")).to_be_focused()
        lab.page.keyboard.press("Escape")
        lab.page.keyboard.press("z")
        expect(lab.page.locator(".jp-Notebook .jp-Cell")).to_have_count(2)
        assert lab.sources() == ["1", "2"]

    def test_at_the_cursor_and_undone_in_one_step(self, lab: Lab) -> None:
        lab.open_notebook(code("first = 1\nlast = 2"))
        lab.page.locator(".jp-Cell .cm-line").first.click()
        lab.page.keyboard.press("End")
        lab.open_panel()
        inserted = insert_first(lab)
        expect(lab.page.locator(".jp-Cell .cm-content")).to_be_focused()
        assert lab.sources() == [f"first = 1\n{inserted}\nlast = 2"]
        lab.page.keyboard.press("Control+z")
        assert lab.sources() == ["first = 1\nlast = 2"]

    def test_an_empty_cell_is_filled_and_none_is_added(self, lab: Lab) -> None:
        put_setting(lab.server, PLUGIN, {"place": "below"})
        lab.open_notebook(code(""))
        lab.open_panel()
        inserted = insert_first(lab)
        expect(lab.page.locator(".jp-Cell .cm-content")).to_be_focused()
        assert lab.sources() == [inserted]

    def test_in_place_of_the_cell_and_undone_in_one_step(self, lab: Lab) -> None:
        put_setting(lab.server, PLUGIN, {"place": "replace"})
        lab.open_notebook(markdown(SENTENCE), code("2"))
        lab.open_panel()
        inserted = insert_first(lab)
        expect(lab.page.locator(".jp-Cell").first.locator(".cm-content")).to_be_focused()
        assert [(cell["cell_type"], cell["source"]) for cell in lab.cells()] == [
            ("code", inserted),
            ("code", "2"),
        ]
        lab.page.keyboard.press("Escape")
        lab.page.keyboard.press("z")
        expect(lab.page.locator(".jp-MarkdownCell")).to_have_count(1)
        assert lab.sources() == [SENTENCE, "2"]

    def test_into_a_console(self, lab: Lab) -> None:
        lab.open()
        lab.page.evaluate(
            "void jupyterapp.commands.execute('console:create', "
            "{kernelPreference: {name: 'python3'}})"
        )
        prompt = lab.page.locator(".jp-CodeConsole-promptCell .cm-content")
        prompt.wait_for()
        lab.open_panel()
        inserted = insert_first(lab)
        expect(prompt).to_be_focused()
        expect(prompt.locator(".cm-line").first).to_have_text(inserted.splitlines()[0])

    def test_into_a_python_file(self, lab: Lab) -> None:
        body = {"type": "file", "format": "text", "content": "def main():\n    "}
        lab.server.http.put("api/contents/main.py", json=body).raise_for_status()
        lab.open("main.py")
        editor = lab.page.locator(".jp-FileEditor .cm-content")
        editor.click()
        lab.page.keyboard.press("Control+End")
        lab.open_panel()
        inserted = insert_first(lab)
        expect(editor).to_be_focused()
        text = lab.page.evaluate("jupyterapp.shell.currentWidget.content.model.sharedModel.source")
        assert text == "def main():\n    " + inserted.replace("\n", "\n    ")

    def test_with_nothing_open_a_notebook_is_offered(self, lab: Lab) -> None:
        lab.open()
        lab.open_panel()
        ask(lab)
        lab.candidates.first.get_by_role("button", name=re.compile("^Insert")).click()
        dialog = lab.page.get_by_role("dialog")
        expect(dialog).to_contain_text("No notebook, console or Python file is open.")
        dialog.get_by_role("button", name="New notebook").click()
        expect(lab.page.locator(".jp-Notebook .cm-content").first).to_contain_text("import")
        assert len(lab.cells()) == 1

    def test_a_kernel_of_another_language_is_named_first(self, lab: Lab) -> None:
        kernel = {"name": "ir", "display_name": "R", "language": "R"}
        lab.open_notebook(code("1"), kernel=kernel)
        lab.open_panel()
        ask(lab)
        lab.candidates.first.get_by_role("button", name=re.compile("^Insert")).click()
        dialog = lab.page.get_by_role("dialog")
        expect(dialog).to_contain_text("The kernel there runs R, not Python.")
        dialog.get_by_role("button", name="Cancel").click()
        expect(dialog).to_have_count(0)
        assert lab.sources() == ["1"]

    def test_a_result_can_be_dragged_into_a_notebook(self, lab: Lab) -> None:
        lab.open_notebook(code("1"))
        lab.open_panel().fill("suno bark")
        lab.results.first.wait_for()
        start, end = (
            lab.results.first.bounding_box(),
            lab.page.locator(".jp-Notebook .jp-Cell").first.bounding_box(),
        )
        assert start
        assert end
        mouse = lab.page.mouse
        mouse.move(start["x"] + 20, start["y"] + 10)
        mouse.down()
        with lab.page.expect_response(re.compile("/gorilla/records/")):
            mouse.move(start["x"] + 60, start["y"] + 30, steps=4)
        lab.page.locator(".lm-mod-drag-image").wait_for()
        mouse.move(end["x"] + 200, end["y"] + 15, steps=8)
        mouse.up()
        expect(lab.page.locator(".jp-Notebook .jp-Cell")).to_have_count(2)
        assert any("pipeline" in source for source in lab.sources())


class TestNotebook:
    @pytest.fixture
    def output(self, answer: Any) -> dict[str, Any]:
        data = {MIME_TYPE: answer, "text/html": "<p>Fallback</p>", "text/plain": "Fallback"}
        return {"output_type": "display_data", "data": data, "metadata": {}}

    def test_an_answer_inserts_replaces_and_shows_its_document(
        self, lab: Lab, answer: Any, output: dict[str, Any]
    ) -> None:
        first, second, third = (candidate["code"] for candidate in answer["candidates"])
        lab.open_notebook(code(f"%gorilla {SENTENCE}", output), code(first), code("2"))
        cards = lab.page.locator(".jp-OutputArea .jp-Gorilla-candidate")
        expect(cards).to_have_count(3)
        cards.nth(1).get_by_role("button", name=re.compile("^Replace")).click()
        expect(lab.page.locator(".jp-Cell").nth(1)).to_contain_text(second.splitlines()[0])
        cards.nth(2).get_by_role("button", name=re.compile("^Insert")).click()
        expect(lab.page.locator(".jp-Notebook .jp-Cell")).to_have_count(4)
        assert lab.sources()[1:] == [third, second, "2"]
        cards.first.get_by_role("button", name=re.compile("^Show document")).click()
        expect(lab.panel.get_by_role("article")).to_contain_text("Arguments")

    def test_html_stands_in_where_the_extension_is_missing(
        self,
        user: Path,
        page: Page,
        output: dict[str, Any],
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
    ) -> None:
        config = tmp_path / "labconfig" / "page_config.json"
        config.parent.mkdir()
        config.write_text('{"disabledExtensions": {"gorilla-jupyter": true}}')
        monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path))
        with JupyterServer() as server:
            lab = Lab(server, page, [])
            lab.open_notebook(code(f"%gorilla {SENTENCE}", output))
            expect(lab.page.locator(".jp-OutputArea")).to_have_text("Fallback")

    def test_what_was_changed_is_not_replaced(self, lab: Lab, output: dict[str, Any]) -> None:
        lab.open_notebook(code(f"%gorilla {SENTENCE}", output), code("my own"))
        card = lab.page.locator(".jp-OutputArea .jp-Gorilla-candidate").first
        card.get_by_role("button", name=re.compile("^Replace")).click()
        expect(lab.page.get_by_text("so nothing was replaced")).to_be_visible()
        assert lab.sources()[1:] == ["my own"]

    def test_what_is_no_answer_is_said_to_be_none(self, lab: Lab) -> None:
        data = {MIME_TYPE: {"candidates": [None]}, "text/plain": "x"}
        broken = {"output_type": "display_data", "data": data, "metadata": {}}
        lab.open_notebook(code("1", broken))
        expect(lab.page.get_by_text("This answer cannot be shown")).to_be_visible()
        lab.errors.clear()  # React reports what the guard has caught

    def test_a_magic_run_here_shows_its_answer_and_survives_a_reload(self, lab: Lab) -> None:
        lab.open_notebook(code("%load_ext gorilla_jupyter"), code(f"%gorilla {SENTENCE}"))
        lab.wait_for_kernel()
        lab.execute("notebook:run-all-cells")
        cards = lab.page.locator(".jp-OutputArea .jp-Gorilla-candidate")
        expect(cards).to_have_count(3, timeout=90_000)
        before = lab.sources()
        lab.page.evaluate("jupyterapp.commands.execute('docmanager:save')")
        lab.page.reload()
        expect(cards).to_have_count(3)
        assert lab.sources() == before

    @pytest.mark.parametrize("cell", [markdown(SENTENCE), code(f"# {SENTENCE}")])
    def test_a_cell_is_turned_into_code_from_the_toolbar(
        self, lab: Lab, answer: Any, cell: dict[str, Any]
    ) -> None:
        lab.open_notebook(cell)
        lab.page.locator('.jp-Toolbar [data-jp-item-name="gorilla"]').click()
        expect(lab.page.locator(".jp-Notebook .jp-Cell")).to_have_count(2)
        expect(lab.page.locator(".jp-Cell").nth(1).locator(".cm-content")).to_be_focused()
        assert lab.sources() == [cell["source"], answer["candidates"][0]["code"]]

    def test_a_cells_context_menu_has_it(self, lab: Lab) -> None:
        lab.open_notebook(code(f"# {SENTENCE}"))
        lab.page.locator(".jp-Cell").first.click(button="right")
        expect(lab.page.locator('.lm-Menu [data-command="gorilla:turn-into-code"]')).to_be_visible()

    def test_the_selected_text_is_asked(self, lab: Lab) -> None:
        lab.open_notebook(code(SENTENCE))
        lab.page.locator(".jp-Cell .cm-line").first.click()
        lab.execute("gorilla:ask-selection")
        expect(lab.box).to_have_value(SENTENCE)
        expect(lab.candidates).to_have_count(3)

    def test_a_comment_offers_its_code(self, lab: Lab, answer: Any) -> None:
        lab.open_notebook(code(""))
        lab.wait_for_kernel()
        lab.page.locator(".jp-Cell .cm-content").click()
        lab.page.keyboard.type(f"# gorilla: {SENTENCE}")
        ghost = lab.page.locator(".jp-GhostText")
        expect(ghost.first).to_be_attached()
        lab.page.keyboard.press("Alt+End")
        expected = f"# gorilla: {SENTENCE}\n{answer['candidates'][0]['code']}"
        lab.page.wait_for_function(
            "text => jupyterapp.shell.currentWidget.content.activeCell.model.sharedModel.source"
            " === text",
            arg=expected,
        )


def test_notebook_7_asks_and_inserts(lab_server: JupyterServer, page: Page) -> None:
    lab = Lab(lab_server, page, [])
    page.goto(lab_server.page(f"notebooks/{lab.save_notebook(code(''))}"))
    cell = page.locator(".jp-Notebook .jp-Cell").first
    cell.locator(".cm-content").click()
    page.keyboard.press("Alt+g")
    inserted = insert_first(lab)
    expect(cell.locator(".cm-content")).to_contain_text(inserted.splitlines()[-1])
    expect(cell.locator(".cm-content")).to_be_focused()


class TestSettings:
    def test_fewer_answers_and_no_completion(self, lab: Lab) -> None:
        put_setting(lab.server, PLUGIN, {"candidates": 1, "inlineCompletion": False})
        lab.open_notebook(code(""))
        lab.wait_for_kernel()
        lab.page.locator(".jp-Cell .cm-content").click()
        asked: list[str] = []
        lab.page.on("request", lambda r: asked.append(r.url) if "gorilla/ask" in r.url else None)
        lab.page.keyboard.type(f"# gorilla: {SENTENCE}")
        lab.open_panel()
        ask(lab)
        expect(lab.candidates).to_have_count(1)
        assert len(asked) == 1

    def test_a_model_that_is_not_allowed_is_refused_in_words(self, lab: Lab) -> None:
        put_setting(lab.server, PLUGIN, {"model": "gpt-none"})
        lab.open()
        lab.open_panel()
        ask(lab)
        expect(lab.panel.get_by_role("alert")).to_contain_text("'gpt-none' is not allowed here")

    def test_chinese(self, lab: Lab) -> None:
        put_setting(lab.server, TRANSLATION, {"locale": "zh_CN"})
        try:
            lab.open()
            lab.open_panel()
            expect(lab.panel.get_by_role("button", name="提问")).to_be_visible()
            lab.box.fill("speech")
            expect(lab.panel.get_by_role("status")).to_have_text("20 篇文档")
            title = lab.page.evaluate(
                "jupyterapp.serviceManager.settings.fetch('gorilla-jupyter:plugin')"
                ".then(plugin => plugin.schema.title)"
            )
            assert title == "Gorilla"
        finally:
            put_setting(lab.server, TRANSLATION, {"locale": "en"})


@pytest.mark.parametrize(
    "theme", ["JupyterLab Light", "JupyterLab Dark", "JupyterLab Dark High Contrast"]
)
def test_axe_finds_nothing_serious(lab: Lab, answer: Any, theme: str) -> None:
    put_setting(lab.server, THEMES, {"theme": theme})
    data = {MIME_TYPE: answer, "text/plain": "x"}
    output = {"output_type": "display_data", "data": data, "metadata": {}}
    lab.open_notebook(code(f"%gorilla {SENTENCE}", output))
    lab.page.evaluate(AXE.read_text())
    lab.page.locator(".jp-OutputArea .jp-Gorilla-candidate").first.wait_for()
    lab.open_panel().fill("suno bark")
    lab.results.first.wait_for()
    lab.panel.get_by_text("Filters").click()
    found = violations(lab, "search")
    lab.results.first.click()
    lab.panel.get_by_role("article").locator(".jp-RenderedMarkdown").first.wait_for()
    found += violations(lab, "document")
    lab.page.keyboard.press("Escape")
    ask(lab)
    lab.panel.get_by_text("Earlier questions").click()
    found += violations(lab, "answers")
    assert found == []


def violations(lab: Lab, state: str) -> list[str]:
    """What axe finds in the panel, an output and the status bar, of the two worst levels."""
    result = lab.page.evaluate(
        "axe.run({include: [['.jp-Gorilla'], ['.jp-Gorilla-answer'], ['.jp-Gorilla-status']]})"
    )
    return [
        f"{state}: {found['id']}: {node['html'][:200]} {node['failureSummary']}"
        for found in result["violations"]
        if found["impact"] in ("serious", "critical")
        for node in found["nodes"]
    ]
