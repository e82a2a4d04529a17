"""What a person sees: plain text in terminals, HTML elsewhere, JSON for our own front end."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from IPython.core.getipython import get_ipython
from IPython.display import display

from gorilla_jupyter.answer import (
    Answer,
    Candidate,
    Check,
    CheckStatus,
    Document,
    Progress,
    SearchResult,
)
from gorilla_jupyter.record import ApiRecord

if TYPE_CHECKING:
    from gorilla_jupyter.magics.client import Client

MIME_TYPE = "application/vnd.gorilla.answer+json"
NOTHING_FITS = "No documented API fits this sentence, so nothing was inserted."

_MARKS = {CheckStatus.PASSED: "✓", CheckStatus.FAILED: "✗", CheckStatus.UNKNOWN: "?"}
_STYLE = """<style>
.gorilla {color: var(--jp-content-font-color1, inherit); font-size: 13px; line-height: 1.5}
.gorilla p {margin: 4px 0}
.gorilla summary {cursor: pointer}
.gorilla details {margin: 4px 0; padding-left: 2px}
.gorilla details > div {margin: 2px 0 6px 18px}
.gorilla pre {background: var(--jp-layout-color2, #f4f4f4); color: inherit; padding: 6px 8px;
  margin: 4px 0; overflow-x: auto; font-family: var(--jp-code-font-family, monospace)}
.gorilla table {margin: 4px 0; border-collapse: collapse}
.gorilla th, .gorilla td {text-align: left; vertical-align: top; padding: 2px 12px 2px 0}
.gorilla .muted {color: var(--jp-content-font-color2, #666)}
.gorilla .passed {color: var(--jp-success-color0, #1b5e20)}
.gorilla .failed {color: var(--jp-error-color0, #b71c1c)}
</style>"""


def show(answer: Answer, *, inserted: Candidate | None) -> None:
    """Display an answer.

    :param inserted: the candidate that has become a cell, if any.
    """
    display(
        {
            "text/plain": answer_text(answer, inserted),
            "text/html": answer_html(answer, inserted),
            MIME_TYPE: answer.to_json(),
        },
        raw=True,
    )


def show_documents(result: SearchResult) -> None:
    """Display what a search found."""
    _show(documents_text(result), documents_html(result))


def show_record(record: ApiRecord) -> None:
    """Display one API's documentation."""
    _show(record_text(record), f'{_STYLE}<div class="gorilla">{record_html(record)}</div>')


def show_status(client: Client) -> None:
    """Display which server, model and index answer here."""
    from gorilla_jupyter.magics.client import ServerGoneError, ServerRefusalError

    if client.server is not None:
        try:
            status = client.server.status()
        except (ServerGoneError, ServerRefusalError) as error:
            print(f"Server: {error}")
        else:
            worker, catalogs = status["worker"], (status["index"] or {}).get("catalogs", {})
            print(f"Server: {client.server.url}, gorilla-jupyter {status['version']}")
            print(f"Model: {status['model']} (allowed: {', '.join(status['allowed_models'])})")
            print(f"Worker: {worker['state']}")
            _print_catalogs({name: entry["records"] for name, entry in catalogs.items()})
            return
    print("Server: none found; this kernel answers itself.")
    print(f"Model: {client.gorilla.model}")
    _print_catalogs({name: entry.records for name, entry in client.gorilla.entries().items()})


def pick(answer: Answer, insert: Callable[[Candidate], None]) -> None:
    """Let the person choose one of the candidates and insert that."""
    if getattr(get_ipython(), "kernel", None) is None:
        _pick_in_terminal(answer, insert)
    else:
        _pick_with_widgets(answer, insert)


class ProgressBar:
    """A bar that appears with the first progress; a widget where there are widgets."""

    def __init__(self) -> None:
        self._bar: Any = None

    def show(self, progress: Progress) -> None:
        if self._bar is None:
            from tqdm.auto import tqdm

            self._bar = tqdm(total=progress.total, unit="records", leave=False)
        self._bar.set_description(progress.message)
        self._bar.total = progress.total or None
        self._bar.n = progress.done
        self._bar.refresh()

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()


def answer_text(answer: Answer, inserted: Candidate | None) -> str:
    """The answer for a terminal, with the whole code of the best candidate."""
    lines = list(answer.notices)
    if not answer.candidates:
        lines += [NOTHING_FITS, "Nearest documents:"]
        lines += [_document_line(document) for document in answer.nearest]
        return "\n".join(lines)
    best, *others = answer.candidates
    lines.append(_headline(best, inserted))
    lines += [_check_line(check) for check in best.checks]
    lines += ["", *(f"    {line}" for line in best.code.splitlines()), ""]
    if others:
        lines.append("Alternatives:")
        lines += [
            f"  {number}. {other.record.api_name} ({other.record.framework}): {other.api_call}"
            for number, other in enumerate(others, start=2)
        ]
    return "\n".join(lines).rstrip()


def answer_html(answer: Answer, inserted: Candidate | None) -> str:
    """The answer for a browser."""
    parts = [f'<p class="muted">{html.escape(notice)}</p>' for notice in answer.notices]
    if answer.candidates:
        best, *others = answer.candidates
        parts.append(f"<p>{_bold_name(best, inserted)}</p>")
        if inserted is None:
            parts.append(f"<pre>{html.escape(best.code)}</pre>")
        parts.append(_checks_html(best))
        parts.append(_details("Document", record_html(best.record)))
        parts += [
            _details(
                f"{number}. {_name_html(other.record)} <code>{html.escape(other.api_call)}</code>",
                f"<pre>{html.escape(other.code)}</pre>{_checks_html(other)}"
                f"{record_html(other.record)}",
            )
            for number, other in enumerate(others, start=2)
        ]
    else:
        parts.append(f"<p>{NOTHING_FITS}</p>")
        parts += [_document_html(document) for document in answer.nearest]
    return f'{_STYLE}<div class="gorilla">{"".join(parts)}</div>'


def documents_text(result: SearchResult) -> str:
    lines = list(result.notices)
    if result.did_you_mean:
        lines.append(f"Did you mean: {result.did_you_mean}")
    lines += [_document_line(document) for document in result.documents]
    return "\n".join(lines) or "No document has these words."


def documents_html(result: SearchResult) -> str:
    sentences = list(result.notices)
    if result.did_you_mean:
        sentences.append(f"Did you mean: {result.did_you_mean}")
    if not result.documents:
        sentences.append("No document has these words.")
    parts = [f'<p class="muted">{html.escape(sentence)}</p>' for sentence in sentences]
    parts += [_document_html(document) for document in result.documents]
    return f'{_STYLE}<div class="gorilla">{"".join(parts)}</div>'


def record_text(record: ApiRecord) -> str:
    """One document for a terminal."""
    lines = [
        f"{record.api_name} ({record.framework})",
        f"{record.domain}: {record.functionality}",
        "",
        record.api_call,
        "",
        record.description,
    ]
    if record.api_arguments:
        lines.append("Arguments:")
        lines += [
            f"  {argument.name}{_annotation(argument.type, argument.default)}  "
            f"{argument.description}".rstrip()
            for argument in record.api_arguments
        ]
    if record.python_environment_requirements:
        lines.append(f"Requires: {', '.join(record.python_environment_requirements)}")
    if record.performance:
        lines.append(f"Performance: {json.dumps(record.performance, ensure_ascii=False)}")
    if record.example_code:
        lines += ["Example:", *(f"    {line}" for line in record.example_code.splitlines())]
    return "\n".join(lines)


def record_html(record: ApiRecord) -> str:
    """One document for a browser."""
    parts = [
        f"<p>{_name_html(record)}</p>",
        f"<p>{html.escape(record.domain)}: {html.escape(record.functionality)}</p>",
        f"<pre>{html.escape(record.api_call)}</pre>",
        f"<p>{html.escape(record.description)}</p>",
    ]
    if record.api_arguments:
        rows = "".join(
            f"<tr><td><code>{html.escape(argument.name)}</code></td>"
            f"<td><code>{html.escape(_annotation(argument.type, argument.default)[2:])}</code></td>"
            f"<td>{html.escape(argument.description)}</td></tr>"
            for argument in record.api_arguments
        )
        parts.append(f"<table><tbody>{rows}</tbody></table>")
    if record.python_environment_requirements:
        needs = " ".join(record.python_environment_requirements)
        parts.append(f"<p>Requires: <code>%pip install {html.escape(needs)}</code></p>")
    if record.performance:
        figures = json.dumps(record.performance, ensure_ascii=False)
        parts.append(f'<p class="muted">Performance: {html.escape(figures)}</p>')
    if record.example_code:
        parts.append(f"<pre>{html.escape(record.example_code)}</pre>")
    return "".join(parts)


def _show(text: str, markup: str) -> None:
    display({"text/plain": text, "text/html": markup}, raw=True)


def _pick_with_widgets(answer: Answer, insert: Callable[[Candidate], None]) -> None:
    import ipywidgets

    choices = ipywidgets.RadioButtons(
        options=[(found.record.api_name, found) for found in answer.candidates],
        layout=ipywidgets.Layout(width="auto"),
    )
    code = ipywidgets.Output()
    button = ipywidgets.Button(description="Insert", button_style="primary")
    said = ipywidgets.HTML()

    def preview(_: object = None) -> None:
        markup = f'{_STYLE}<div class="gorilla"><pre>{html.escape(choices.value.code)}</pre></div>'
        code.outputs = (
            {
                "output_type": "display_data",
                "data": {"text/plain": choices.value.code, "text/html": markup},
                "metadata": {},
            },
        )

    def chosen(_: object) -> None:
        insert(choices.value)
        said.value = "It becomes the cell below the next cell that you run."

    choices.observe(preview, names="value")
    button.on_click(chosen)
    preview()
    display(ipywidgets.VBox([choices, code, ipywidgets.HBox([button, said])]))


def _pick_in_terminal(answer: Answer, insert: Callable[[Candidate], None]) -> None:
    typed = input(f"Insert which (1 to {len(answer.candidates)}, nothing for none)? ").strip()
    if typed.isdigit() and 1 <= int(typed) <= len(answer.candidates):
        insert(answer.candidates[int(typed) - 1])


def _headline(candidate: Candidate, inserted: Candidate | None) -> str:
    where = "inserted as a cell" if candidate is inserted else "not inserted"
    return f"{candidate.record.api_name} ({candidate.record.framework}), {where}"


def _bold_name(candidate: Candidate, inserted: Candidate | None) -> str:
    where = "inserted as a cell; read it, then run it" if candidate is inserted else "not inserted"
    return f'{_name_html(candidate.record)} <span class="muted">{where}</span>'


def _name_html(record: ApiRecord) -> str:
    return (
        f"<b>{html.escape(record.api_name)}</b> "
        f'<span class="muted">{html.escape(record.framework)}</span>'
    )


def _check_line(check: Check) -> str:
    return f"  {_MARKS[check.status]} {check.name}: {check.sentence}"


def _checks_html(candidate: Candidate) -> str:
    return "".join(
        f'<div><span class="{check.status}">{_MARKS[check.status]} {check.name}</span> '
        f'<span class="muted">{html.escape(check.sentence)}</span></div>'
        for check in candidate.checks
    )


def _document_line(document: Document) -> str:
    record = document.record
    return f"  {record.api_name} ({record.framework}), {record.domain}: {record.api_call}"


def _document_html(document: Document) -> str:
    record = document.record
    excerpt = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", html.escape(document.highlight))
    summary = f"{_name_html(record)} {html.escape(record.domain)}<br>{excerpt}"
    return _details(summary, record_html(record))


def _details(summary: str, content: str) -> str:
    return f"<details><summary>{summary}</summary><div>{content}</div></details>"


def _annotation(kind: str, default: str | None) -> str:
    return (f": {kind}" if kind else "") + (f" = {default}" if default is not None else "")


def _print_catalogs(records: dict[str, int]) -> None:
    if records:
        listed: Iterable[str] = (f"{name} ({count})" for name, count in sorted(records.items()))
        print(f"Documents: {sum(records.values())} in {', '.join(listed)}")
    else:
        print("Documents: indexed at the first question")
