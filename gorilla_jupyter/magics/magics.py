"""The magics. Nothing of the engine is loaded before the first of them runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import (
    Magics,
    line_cell_magic,
    line_magic,
    magics_class,
    no_var_expand,
)
from IPython.core.magic_arguments import argument, magic_arguments
from traitlets import Unicode

if TYPE_CHECKING:
    from gorilla_jupyter.answer import Answer, Candidate, Request
    from gorilla_jupyter.magics.client import Client

NAMES = ("gorilla", "gorilla_search", "gorilla_doc", "gorilla_index", "gorilla_status")

_TOKEN = re.compile(r'"[^"]*"|\'[^\']*\'|\S+')
_PLACEHOLDER = re.compile(r"\{([^\W\d]\w*)\}")


@magics_class
class GorillaMagics(Magics):
    """Turns sentences into verified API calls."""

    server_url = Unicode(
        "",
        help="The Jupyter server to ask; empty for the one that started this kernel. "
        "Its token is taken from the environment variable GORILLA_TOKEN.",
    ).tag(config=True)

    _client: Client | None = None

    @no_var_expand
    @magic_arguments()
    @argument("-n", "--candidates", type=int, help="how many answers to offer (default: 3)")
    @argument("-k", "--documents", type=int, help="how many documents to read (default: 20)")
    @argument("--framework", help="consider only this framework, e.g. 'PyTorch Hub'")
    @argument("--model", help="the model to ask (default: the server's)")
    @argument("--replace", action="store_true", help="replace this cell instead of adding one")
    @argument("--dry-run", action="store_true", help="show the answer and insert nothing")
    @argument("--pick", action="store_true", help="choose among the answers before inserting")
    @argument("text", nargs="...", help="what you want, in a sentence")
    @line_cell_magic
    def gorilla(self, line: str, cell: str | None = None) -> None:
        """Turn a sentence into a cell with a verified API call.

        The best answer becomes the next cell and is never run for you; the others, their documents
        and their checks are shown below. ``{name}`` stands for the variable of that name.

        ::

            %gorilla load a TTS model

            %%gorilla --candidates 5 --framework "TensorFlow Hub"
            tell me what animal is in a photo
        """
        options, text = _parse(self.gorilla, line)
        if cell is not None:
            text = f"{text}\n{cell}".strip()
        request = self._request(text, options)
        answer = self._ask(request)
        from gorilla_jupyter.magics import display

        best = answer.candidates[0] if answer.candidates and _would_run(answer) else None
        if options.dry_run or best is None:
            display.show(answer, inserted=None)
        elif options.pick:
            display.show(answer, inserted=None)
            display.pick(answer, lambda choice: self._insert(choice, replace=options.replace))
        else:
            self._insert(best, replace=options.replace)
            display.show(answer, inserted=best)

    @no_var_expand
    @magic_arguments()
    @argument("-k", "--documents", type=int, help="how many to show (default: 10)")
    @argument("text", nargs="...", help="what to look for")
    @line_magic
    def gorilla_search(self, line: str) -> None:
        """Search the API documentation."""
        from gorilla_jupyter.magics import display

        options, text = _parse(self.gorilla_search, line)
        display.show_documents(self._search(self._filled(text), options.documents))

    @no_var_expand
    @magic_arguments()
    @argument("text", nargs="...", help="the API's name, e.g. suno/bark")
    @line_magic
    def gorilla_doc(self, line: str) -> None:
        """Show the documentation of one API."""
        from gorilla_jupyter.magics import display

        _, text = _parse(self.gorilla_doc, line)
        name = self._filled(text)
        documents = [found for found in self._search(name).documents if found.coverage]
        named = [found for found in documents if found.record.api_name.lower() == name.lower()]
        if not documents:
            raise UsageError(f"No document is named or describes {name!r}.")
        display.show_record((named or documents)[0].record)

    @no_var_expand
    @magic_arguments()
    @argument(
        "names",
        nargs="*",
        help="distributions, or 'python' for the standard library; none brings what is there up to "
        "date",
    )
    @line_magic
    def gorilla_index(self, line: str) -> None:
        """Read what is installed for this kernel, so that sentences become calls of it.

        Each distribution is read in a process of its own; nothing is imported here. Interrupt the
        kernel to stop: what was finished is kept.

        ::

            %gorilla_index pandas scikit-learn python
        """
        from gorilla_jupyter.answer import Progress
        from gorilla_jupyter.catalog.environment import index_environment
        from gorilla_jupyter.catalog.store import CatalogError
        from gorilla_jupyter.progress_bar import ProgressBar

        names = self.gorilla_index.parser.parse_args(line.split()).names
        with ProgressBar() as bar:
            try:
                for step in index_environment(names):
                    if isinstance(step, Progress):
                        bar.show(step)
                    else:
                        bar.print(str(step))
                for progress in self._connected().index():
                    bar.show(progress)
            except CatalogError as error:
                raise UsageError(str(error)) from None
            except KeyboardInterrupt:
                print("Stopped. What was finished is kept; the same line does the rest.")

    @line_magic
    def gorilla_status(self, line: str) -> None:
        """Tell which server, model and index answer in this kernel."""
        from gorilla_jupyter.magics import display

        display.show_status(self._connected())

    def _connected(self) -> Client:
        if self._client is None:
            from gorilla_jupyter.magics.client import Client

            self._client = Client(self.server_url)
        return self._client

    def _request(self, text: str, options: Any) -> Request:
        from gorilla_jupyter.answer import Request, RequestError
        from gorilla_jupyter.catalog.store import environment_name
        from gorilla_jupyter.magics.client import current_folder
        from gorilla_jupyter.variables import variables_of

        given = {
            name: value
            for name in ("candidates", "documents", "framework", "model")
            if (value := getattr(options, name)) is not None
        }
        try:
            return Request(
                self._filled(text),
                environment=environment_name(),
                project=current_folder(),
                variables=variables_of(self._bound()),
                **given,
            )
        except RequestError as error:
            raise UsageError(str(error)) from None

    def _ask(self, request: Request) -> Answer:
        from gorilla_jupyter.answer import Answer, Progress
        from gorilla_jupyter.magics.client import ServerRefusalError
        from gorilla_jupyter.model.backend import ModelError
        from gorilla_jupyter.progress_bar import ProgressBar
        from gorilla_jupyter.verify import verify_here

        answer = None
        with ProgressBar() as bar:
            try:
                for event in self._connected().stream(request):
                    if isinstance(event, Progress):
                        bar.show(event)
                    elif isinstance(event, Answer):
                        answer = event
            except (ServerRefusalError, ModelError) as error:
                raise UsageError(str(error)) from None
        assert answer is not None
        return verify_here(answer)

    def _search(self, text: str, limit: int | None = None) -> Any:
        from gorilla_jupyter.answer import RequestError
        from gorilla_jupyter.magics.client import ServerRefusalError

        try:
            return self._connected().search(text, limit)
        except (ServerRefusalError, RequestError) as error:
            raise UsageError(str(error)) from None

    def _insert(self, candidate: Candidate, *, replace: bool) -> None:
        assert self.shell is not None
        self.shell.set_next_input(candidate.code, replace=replace)

    def _bound(self) -> dict[str, Any]:
        """What the person's own code has bound."""
        assert self.shell is not None
        hidden = self.shell.user_ns_hidden
        return {
            name: value
            for name, value in self.shell.user_ns.items()
            if name not in hidden or value is not hidden[name]
        }

    def _filled(self, text: str) -> str:
        assert self.shell is not None
        names: Mapping[str, Any] = self.shell.user_ns

        def value(found: re.Match[str]) -> str:
            return str(names[found.group(1)]) if found.group(1) in names else found.group()

        return _PLACEHOLDER.sub(value, text)


def load(shell: InteractiveShell) -> None:
    """Register the magics with ``shell``, and their settings with ``%config``."""
    magics = GorillaMagics(shell)
    shell.register_magics(magics)
    shell.configurables.append(magics)  # type: ignore[arg-type]


def unload(shell: InteractiveShell) -> None:
    """Undo :func:`load`."""
    for kind in ("line", "cell"):
        for name in NAMES:
            shell.magics_manager.magics[kind].pop(name, None)
    shell.magics_manager.registry.pop(GorillaMagics.__name__, None)
    shell.configurables[:] = [
        configurable
        for configurable in shell.configurables
        if not isinstance(configurable, GorillaMagics)
    ]


def _parse(magic: Any, line: str) -> tuple[Any, str]:
    """The options at the beginning of ``line``, and all that follows them, letter for letter."""
    tokens = list(_TOKEN.finditer(line))
    words = [re.sub(r'^(["\'])(.*)\1$', r"\2", token.group()) for token in tokens]
    options = magic.parser.parse_args(words)
    count = len(options.text)
    if count and words[-1].startswith("--") and words[-1] in magic.parser.format_help():
        raise UsageError(f"Write {words[-1]} before the sentence.")
    return options, line[tokens[-count].start() :].strip() if count else ""


def _would_run(answer: Answer) -> bool:
    from gorilla_jupyter.answer import CheckStatus

    return answer.candidates[0].check("signature").status is not CheckStatus.FAILED
