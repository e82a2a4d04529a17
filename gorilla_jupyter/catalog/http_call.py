"""A call of httpx and its cell, from the parts of an HTTP request.

Built as a syntax tree, so that nothing in a document becomes code by being quoted badly.
"""

from __future__ import annotations

import ast
import builtins
import keyword
import pprint
import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field

BODILESS = frozenset({"get", "delete", "options", "head"})
"""Methods whose functions in httpx take no body."""

LINE = 88
"""How wide a line of an example may be."""

SHORTEST_REMARK = 8
"""Where less fits beside an assignment, its remark is left out."""

_NAMES_OF_THE_CELL = frozenset({"base_url", "body", "httpx", "os", "response", "result"})


@dataclass
class HttpCall:
    """What a call is put together from; the values are expressions of the cell.

    :ivar url: the pieces that the URL is joined of, constants and variables.
    :ivar body: keyword arguments of httpx that give the body.
    :ivar places: what each variable of the cell is assigned to, and a remark.
    """

    method: str
    url: list[ast.expr] = field(default_factory=list)
    params: dict[str, ast.expr] = field(default_factory=dict)
    headers: dict[str, ast.expr] = field(default_factory=dict)
    cookies: dict[str, ast.expr] = field(default_factory=dict)
    body: dict[str, ast.expr] = field(default_factory=dict)
    auth: ast.expr | None = None
    places: dict[str, tuple[object, str]] = field(default_factory=dict)
    _variables: dict[tuple[str, str], str] = field(default_factory=dict)

    def variable(self, place: str, name: str, value: object, remark: str = "") -> ast.Name:
        """A name of the cell for ``name`` of the document, assigned to ``value``.

        :param place: where it is sent: elsewhere, another thing may have that name.
        """
        if (place, name) not in self._variables:
            base = _identifier(name)
            found, number = base, 2
            while found in self.places or found in _NAMES_OF_THE_CELL:
                found, number = f"{base}_{number}", number + 1
            self._variables[place, name] = found
            self.places[found] = (value, remark)
        return ast.Name(self._variables[place, name])

    def expression(self) -> ast.Call:
        """The call."""
        function, first = self.method, [self._joined_url()]
        if self.method == "trace" or (self.method in BODILESS and self.body):
            function, first = "request", [ast.Constant(self.method.upper()), *first]
        words: dict[str, ast.expr] = {}
        if self.params:
            words["params"] = dictionary(self.params)
        if self.headers:
            words["headers"] = dictionary(self.headers)
        if self.cookies:
            words["cookies"] = dictionary(self.cookies)
        words.update(self.body)
        if self.auth is not None:
            words["auth"] = self.auth
        return ast.Call(
            ast.Attribute(ast.Name("httpx"), function),
            first,
            [ast.keyword(name, value) for name, value in words.items()],
        )

    def _joined_url(self) -> ast.expr:
        constants = [str(piece.value) for piece in self.url if isinstance(piece, ast.Constant)]
        if len(constants) == len(self.url):
            return ast.Constant("".join(constants))
        return ast.JoinedStr(
            [
                piece if isinstance(piece, ast.Constant) else ast.FormattedValue(piece, -1)
                for piece in self.url
            ]
        )

    def cell(self, result: str) -> str:
        """A cell that makes the call, its placeholders assigned above it, and shows ``result``."""
        call = self.expression()
        lines = ["import httpx", ""]
        secrets = sorted(
            str(node.slice.value)
            for node in ast.walk(call)
            if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant)
        )
        if secrets:
            lines.insert(0, "import os\n")
            lines.append(f"# From the environment: {', '.join(secrets)}")
        for name, (value, remark) in self.places.items():
            literal = pprint.pformat(value, width=LINE - len(name) - 3, sort_dicts=False)
            literal = literal.replace("\n", "\n" + " " * (len(name) + 3))
            lines.append(f"{name} = {literal}{_remark(remark, name + literal)}")
        lines += [*_layout(call), "response.raise_for_status()", result]
        return "\n".join(lines)


def environment(variable: str) -> ast.expr:
    """The value of an environment variable."""
    environ = ast.Attribute(ast.Name("os"), "environ")
    return ast.Subscript(environ, ast.Constant(variable))


def dictionary(entries: Mapping[str, ast.expr]) -> ast.Dict:
    """A dictionary with these keys."""
    return ast.Dict([ast.Constant(name) for name in entries], list(entries.values()))


def _layout(call: ast.Call) -> list[str]:
    """The statement that makes the call, over several lines where one is too long."""
    line = f"response = {ast.unparse(call)}"
    if len(line) <= LINE:
        return [line]
    parts: list[ast.AST] = [*call.args, *call.keywords]
    inner = [f"    {ast.unparse(part)}," for part in parts]
    return [f"response = {ast.unparse(call.func)}(", *inner, ")"]


def _identifier(name: str) -> str:
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    found = re.sub(r"[^0-9A-Za-z]+", "_", words).strip("_").lower() or "value"
    found = f"_{found}" if found[0].isdigit() else found
    return f"{found}_" if keyword.iskeyword(found) or hasattr(builtins, found) else found


def environment_name(text: str) -> str:
    """``text`` as an environment variable is named."""
    return _identifier(text).strip("_").upper()


def _remark(text: str, code: str) -> str:
    left = LINE - len(code) - len(" =   # ")
    if left < SHORTEST_REMARK:
        return ""
    short = textwrap.shorten(text, left, placeholder=" …")
    return f"  # {short}" if short not in ("", "…") and short.isprintable() else ""
