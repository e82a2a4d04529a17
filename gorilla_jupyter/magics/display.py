"""What a person sees: plain text in terminals, HTML elsewhere, JSON for our own front end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from IPython.core.getipython import get_ipython
from IPython.display import display

from gorilla_jupyter.answer import Answer, Candidate, SearchResult
from gorilla_jupyter.magics import render
from gorilla_jupyter.record import ApiRecord

if TYPE_CHECKING:
    from gorilla_jupyter.magics.client import Client

MIME_TYPE = "application/vnd.gorilla.answer+json"


def show(answer: Answer, *, inserted: Candidate | None) -> None:
    """Display an answer.

    :param inserted: the candidate that has become a cell, if any.
    """
    display(
        {
            "text/plain": render.answer_text(answer, inserted),
            "text/html": render.answer_html(answer, inserted),
            MIME_TYPE: answer.to_json(),
        },
        raw=True,
    )


def show_documents(result: SearchResult) -> None:
    """Display what a search found."""
    _show(render.documents_text(result), render.documents_html(result))


def show_record(record: ApiRecord) -> None:
    """Display one API's documentation."""
    _show(render.record_text(record), render.record_html(record))


def show_status(client: Client) -> None:
    """Display which server, model and index answer here."""
    from gorilla_jupyter.magics.client import ServerGoneError, ServerRefusalError

    if client.server is not None:
        try:
            status = client.server.status()
        except (ServerGoneError, ServerRefusalError) as error:
            print(f"Server: {error}")
        else:
            print(f"Server: {client.server.url}, gorilla-jupyter {status.version}")
            print(f"Model: {status.model} (allowed: {', '.join(status.allowed_models)})")
            print(f"Worker: {status.worker}")
            _print_records(status.records)
            return
    print("Server: none found; this kernel answers itself.")
    print(f"Model: {client.gorilla.model}")
    _print_records({name: entry.records for name, entry in client.gorilla.entries().items()})


def pick(answer: Answer, insert: Callable[[Candidate], None]) -> None:
    """Let the person choose one of the candidates and insert that."""
    if getattr(get_ipython(), "kernel", None) is None:
        _pick_in_terminal(answer, insert)
    else:
        _pick_with_widgets(answer, insert)


def _show(text: str, markup: str) -> None:
    display({"text/plain": text, "text/html": markup}, raw=True)


def _pick_with_widgets(answer: Answer, insert: Callable[[Candidate], None]) -> None:
    import ipywidgets

    choices = ipywidgets.RadioButtons(
        options=[
            (f"{number}. {found.record.api_name}", found)
            for number, found in enumerate(answer.candidates, start=1)
        ],
        layout=ipywidgets.Layout(width="auto"),
    )
    code = ipywidgets.Output()
    button = ipywidgets.Button(description="Insert", button_style="primary")
    said = ipywidgets.HTML()

    def preview(_: object = None) -> None:
        data = {
            "text/plain": choices.value.code,
            "text/html": render.code_html(choices.value.code),
        }
        code.outputs = ({"output_type": "display_data", "data": data, "metadata": {}},)

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


def _print_records(records: Mapping[str, int]) -> None:
    if records:
        listed: Iterable[str] = (f"{name} ({count})" for name, count in sorted(records.items()))
        print(f"Documents: {sum(records.values())} in {', '.join(listed)}")
    else:
        print("Documents: indexed at the first question")
