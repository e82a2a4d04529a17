"""Answers, documents and search results as plain text and as HTML."""

from __future__ import annotations

import html
import json
import re

from gorilla_jupyter.answer import (
    Answer,
    Candidate,
    Check,
    CheckStatus,
    Document,
    SearchResult,
)
from gorilla_jupyter.record import ApiRecord

NOTHING_FITS = "No documented API fits this sentence, so nothing was inserted."
NOTHING_FOUND = "No document has these words."

_MARKS = {CheckStatus.PASSED: "✓", CheckStatus.FAILED: "✗", CheckStatus.UNKNOWN: "?"}
_STYLE = """<style>
div.gorilla {color: var(--jp-content-font-color1, inherit); font-size: 13px; line-height: 1.5}
div.gorilla p {margin: 4px 0}
div.gorilla summary {cursor: pointer}
div.gorilla details {margin: 4px 0; padding-left: 2px}
div.gorilla details div {margin: 2px 0 6px 18px}
div.gorilla pre {background: var(--jp-layout-color2, #f4f4f4); color: inherit; padding: 6px 8px;
  margin: 4px 0; overflow-x: auto; font-family: var(--jp-code-font-family, monospace)}
div.gorilla table {margin: 4px 0; border-collapse: collapse}
div.gorilla th, div.gorilla td {text-align: left; vertical-align: top; padding: 2px 12px 2px 0}
div.gorilla .muted {color: var(--jp-content-font-color2, #666)}
div.gorilla .passed {color: var(--jp-success-color0, #1b5e20)}
div.gorilla .failed {color: var(--jp-error-color0, #b71c1c)}
</style>"""


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
        parts.append(_details("Document", _document_body(best.record)))
        parts += [
            _details(
                f"{number}. {_name_html(other.record)} <code>{html.escape(other.api_call)}</code>",
                f"<pre>{html.escape(other.code)}</pre>{_checks_html(other)}"
                f"{_document_body(other.record)}",
            )
            for number, other in enumerate(others, start=2)
        ]
    else:
        parts.append(f"<p>{NOTHING_FITS}</p>")
        parts += [_document_html(document) for document in answer.nearest]
    return _framed("".join(parts))


def documents_text(result: SearchResult) -> str:
    lines = list(result.notices)
    if result.did_you_mean:
        lines.append(f"Did you mean: {result.did_you_mean}")
    lines += [_document_line(document) for document in result.documents]
    return "\n".join(lines) or NOTHING_FOUND


def documents_html(result: SearchResult) -> str:
    sentences = list(result.notices)
    if result.did_you_mean:
        sentences.append(f"Did you mean: {result.did_you_mean}")
    if not result.documents:
        sentences.append(NOTHING_FOUND)
    parts = [f'<p class="muted">{html.escape(sentence)}</p>' for sentence in sentences]
    parts += [_document_html(document) for document in result.documents]
    return _framed("".join(parts))


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
    if record.checked:
        lines.append(f"Checked against: {record.checked}")
    if record.example_code:
        lines += ["Example:", *(f"    {line}" for line in record.example_code.splitlines())]
    return "\n".join(lines)


def record_html(record: ApiRecord) -> str:
    """One document for a browser."""
    return _framed(_document_body(record))


def code_html(code: str) -> str:
    """Code for a browser."""
    return _framed(f"<pre>{html.escape(code)}</pre>")


def _document_body(record: ApiRecord) -> str:
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
    if record.pip_install:
        parts.append(f"<p>Requires: <code>{html.escape(record.pip_install)}</code></p>")
    if record.performance:
        figures = json.dumps(record.performance, ensure_ascii=False)
        parts.append(f'<p class="muted">Performance: {html.escape(figures)}</p>')
    if record.checked:
        parts.append(f'<p class="muted">Checked against: {html.escape(record.checked)}</p>')
    if record.example_code:
        parts.append(f"<pre>{html.escape(record.example_code)}</pre>")
    return "".join(parts)


def _headline(candidate: Candidate, inserted: Candidate | None) -> str:
    where = "inserted as a cell" if candidate is inserted else "not inserted"
    return f"{candidate.record.api_name} ({candidate.record.framework}), {where}"


def _bold_name(candidate: Candidate, inserted: Candidate | None) -> str:
    where = "inserted as a cell; read it, then run it" if candidate is inserted else "not inserted"
    return f'{_name_html(candidate.record)} <span class="muted">· {where}</span>'


def _name_html(record: ApiRecord) -> str:
    return (
        f"<b>{html.escape(record.api_name)}</b> "
        f'<span class="muted">{html.escape(record.framework)}</span>'
    )


def _check_line(check: Check) -> str:
    return f"  {_MARKS[check.status]} {check.name}: {check.sentence}"


def _checks_html(candidate: Candidate) -> str:
    return "".join(
        f'<div><span class="{check.status}">{_MARKS[check.status]} '
        f"{html.escape(check.name)}</span> "
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
    return _details(summary, _document_body(record))


def _details(summary: str, content: str) -> str:
    return f"<details><summary>{summary}</summary><div>{content}</div></details>"


def _annotation(kind: str, default: str | None) -> str:
    return (f": {kind}" if kind else "") + (f" = {default}" if default is not None else "")


def _framed(content: str) -> str:
    return f'{_STYLE}<div class="gorilla">{content}</div>'
