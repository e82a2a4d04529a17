"""YAML as the values that JSON has, whatever the file asks for: no tag makes or calls anything.

Built from the parser's events, because PyYAML's own loaders recurse: a file that is nested deep
enough would end the process.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

MAX_DEPTH = 200
"""How deep a file may be nested."""

TOO_DEEP = f"nested more than {MAX_DEPTH} deep"

MAX_ALIASED = 1_000_000
"""How many values the aliases of a file may stand for, all together."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,999})")
_FLOAT = re.compile(r"[-+]?(?:[0-9]*\.[0-9]+|[0-9]+\.|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?")
_NOT_PRINTABLE = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ufffd\U00010000-\U0010ffff]")


class YamlError(ValueError):
    """Text that is no YAML, or YAML that is no data.

    :ivar line: where, counted from 1.
    """

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"{reason} (line {line})")
        self.line = line


def yaml_values(text: str) -> list[tuple[int, object]]:
    """Each document of ``text``, or each item of one that is a list, with its first line.

    Words mean what YAML 1.2 says they do: ``no`` and ``2024-01-01`` are strings.

    :raises YamlError: at the first fault.
    """
    builder = _Builder()
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        if "nesting depth" in str(error.problem):  # the parser's own limit is not below ours
            raise YamlError(mark.line + 1 if mark else 1, TOO_DEEP) from error
        raise YamlError(mark.line + 1 if mark else 1, str(error.problem)) from error
    except yaml.reader.ReaderError as error:
        found = _NOT_PRINTABLE.search(text)
        line = text.count("\n", 0, found.start()) + 1 if found else 1
        raise YamlError(line, error.reason) from error
    return list(builder.found())


@dataclass
class _Open:
    """A list or mapping whose end has not come yet.

    :ivar size: how many values it holds, those behind aliases counted each time.
    """

    value: Any
    line: int
    anchor: str | None
    key: str | None = None
    size: int = 1
    merged: dict[str, Any] = field(default_factory=dict)
    item_lines: list[int] = field(default_factory=list)

    @property
    def waits_for_key(self) -> bool:
        return isinstance(self.value, dict) and self.key is None


class _Builder:
    def __init__(self) -> None:
        self._root = _Open([], 1, None)
        self._lists: dict[int, list[int]] = {}
        self._open = [self._root]
        self._anchors: dict[str, tuple[object, int]] = {}
        self._aliased = 0

    def found(self) -> Iterator[tuple[int, object]]:
        for position, line in enumerate(self._root.item_lines):
            value = self._root.value[position]
            if isinstance(value, list):
                yield from zip(self._lists[position], value, strict=True)
            else:
                yield line, value

    def take(self, event: yaml.Event) -> None:
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.DocumentStartEvent):
            self._anchors.clear()
        elif isinstance(event, yaml.CollectionStartEvent):
            self._begin({} if isinstance(event, yaml.MappingStartEvent) else [], line, event.anchor)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._end()
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event.anchor, line)
        elif isinstance(event, yaml.ScalarEvent):
            is_key = self._open[-1].waits_for_key
            plain = event.implicit[0] and not is_key
            value = _scalar(event.value) if plain else event.value
            self._put(value, 1, line, event.anchor)

    def _begin(self, value: Any, line: int, anchor: str | None) -> None:
        if len(self._open) > MAX_DEPTH:
            raise YamlError(line, TOO_DEEP)
        if self._open[-1].waits_for_key:
            raise YamlError(line, "a key that is no text")
        if anchor is not None:
            self._anchors.pop(anchor, None)
        self._open.append(_Open(value, line, anchor))

    def _end(self) -> None:
        ended = self._open.pop()
        value = ended.value
        if isinstance(value, dict):
            value = {**ended.merged, **value}
        elif self._open[-1] is self._root:
            self._lists[len(self._root.value)] = ended.item_lines
        self._put(value, ended.size, ended.line, ended.anchor)

    def _alias(self, anchor: str | None, line: int) -> None:
        if anchor is None or anchor not in self._anchors:
            raise YamlError(line, f"the alias *{anchor} stands for no finished value")
        value, size = self._anchors[anchor]
        self._aliased += size
        if self._aliased > MAX_ALIASED:
            raise YamlError(line, f"its aliases stand for more than {MAX_ALIASED:,} values")
        self._put(value, size, line, None)

    def _put(self, value: Any, size: int, line: int, anchor: str | None) -> None:
        if anchor is not None:
            self._anchors[anchor] = (value, size)
        into = self._open[-1]
        into.size += size
        if isinstance(into.value, list):
            into.value.append(value)
            into.item_lines.append(line)
        elif into.key is None:
            if not isinstance(value, str):
                raise YamlError(line, "a key that is no text")
            into.key = value
        else:
            key, into.key = into.key, None
            if key == "<<":
                for part in reversed(value if isinstance(value, list) else [value]):
                    if not isinstance(part, dict):
                        raise YamlError(line, "'<<' merges what is no mapping")
                    into.merged.update(part)
            else:
                into.value[key] = value


def _scalar(text: str) -> object:
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text
