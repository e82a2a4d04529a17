"""What a person's code has bound so far: what a cell may use instead of data of its own."""

from __future__ import annotations

from collections.abc import Mapping
from keyword import iskeyword
from types import ModuleType
from typing import Any

MOST = 500
"""How many variables are told, of more those that were bound last."""


def variables_of(namespace: Mapping[str, Any]) -> dict[str, str]:
    """The names of the values in ``namespace``, each with the name of its class.

    No value is looked at. Modules, classes and names that begin with an underscore are left out.
    """
    found = {
        name: type(value).__name__
        for name, value in namespace.items()
        if name.isidentifier()
        and not name.startswith("_")
        and not iskeyword(name)
        and not isinstance(value, ModuleType | type)
    }
    return dict(list(found.items())[-MOST:])
