"""One sentence in, one verified API call out, in the notebook, offline."""

from __future__ import annotations

TYPE_CHECKING = False  # importing typing for it would take longer than all the rest
if TYPE_CHECKING:
    from typing import Any

    from gorilla_jupyter.answer import Answer, Request
    from gorilla_jupyter.engine import Gorilla
    from gorilla_jupyter.record import ApiRecord

__all__ = ["Answer", "ApiRecord", "Gorilla", "Request", "__version__"]

_HOMES = {
    "Answer": "gorilla_jupyter.answer",
    "ApiRecord": "gorilla_jupyter.record",
    "Gorilla": "gorilla_jupyter.engine",
    "Request": "gorilla_jupyter.answer",
}


def __getattr__(name: str) -> Any:
    # Lazily, so that Jupyter and IPython may import the package at start-up for nothing.
    if name == "__version__":
        from importlib.metadata import version

        return version("gorilla-jupyter")
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    return [{"src": "labextension", "dest": "gorilla-jupyter"}]


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    from gorilla_jupyter.server.extension import GorillaExtension

    return [{"module": "gorilla_jupyter", "app": GorillaExtension}]


def load_ipython_extension(shell: Any) -> None:
    """Register the magics: ``%load_ext gorilla_jupyter``."""
    from gorilla_jupyter.magics import magics

    magics.load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """Take the magics away again: ``%unload_ext gorilla_jupyter``."""
    from gorilla_jupyter.magics import magics

    magics.unload(shell)
