"""Plain English as a cell: a request that is no Python is read as ``%%gorilla``."""

from __future__ import annotations

import ast
import keyword
import re
from typing import Any

from gorilla_jupyter.magics import magics

GLUE = frozenset(
    """a all an and any at by each every for from how i in into is it me my of on or our please some
    that the their them these this to want what which with""".split()
)
"""Small words that sentences have and code has not."""

_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")  # noqa: RUF001
_CODE = re.compile(r"[=(\[{}\])<>;\\|`@#$&*+]|\w\.\w+\(|:\s*$", re.MULTILINE)
_QUOTED = re.compile(r'"[^"\n]*"')


def load_ipython_extension(shell: Any) -> None:
    """Register the magics and the reading of requests: what the Gorilla kernel does."""
    magics.load(shell)
    shell.input_transformers_cleanup.append(to_magic)


def unload_ipython_extension(shell: Any) -> None:
    """Undo :func:`load_ipython_extension`."""
    shell.input_transformers_cleanup.remove(to_magic)
    magics.unload(shell)


def to_magic(lines: list[str]) -> list[str]:
    """The same cell, as ``%%gorilla`` if it is a request (an IPython input transformer)."""
    return ["%%gorilla\n", *lines] if is_request("".join(lines)) else lines


def is_request(text: str) -> bool:
    """Whether ``text`` reads as a request in English and as nothing else.

    Anything that parses as Python, and every cell with a magic, a shell line or a ``?`` for help,
    is no request; neither is what looks like mistaken Python, whose error the person should see.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines or any(line.lstrip()[0] in "%!?,;/" for line in lines):
        return False
    try:
        ast.parse(text)
    except (SyntaxError, ValueError):
        pass
    else:
        return False
    prose = _QUOTED.sub(" ", text)
    words = [word.lower() for word in _WORD.findall(prose)]
    if len(words) < 3 or _CODE.search(prose) or re.search(r"\s--?\w", prose):
        return False
    if keyword.iskeyword(text.split()[0]) or not GLUE.intersection(words):
        return False
    return len(words) >= 0.6 * len(prose.split())
