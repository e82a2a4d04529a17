"""Records from people's files: JSONL, JSON arrays and single JSON objects."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gorilla_jupyter.record import ApiRecord, RecordError


@dataclass(frozen=True)
class Refusal:
    """A place in a file that is no record.

    :ivar line: counted from 1, where the record begins.
    :ivar field: the field that is wrong; None where the text itself is not JSON.
    """

    path: Path
    line: int
    field: str | None
    reason: str

    def __str__(self) -> str:
        return f"{_shown(self.path)}, line {self.line}: {self.reason}"


@dataclass(frozen=True)
class Reading:
    """What a file held: the records that could be read and the places that could not."""

    records: tuple[ApiRecord, ...]
    refusals: tuple[Refusal, ...]


class CatalogFileError(Exception):
    """A catalog file that cannot be read at all."""


def read_file(path: Path, *, source: str) -> Reading:
    """Read every record of a ``.json`` or ``.jsonl`` file, in any form that ApiRecord reads.

    :raises CatalogFileError: if the file cannot be opened or is not UTF-8 text.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise CatalogFileError(f"{_shown(path)} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise CatalogFileError(
            f"{_shown(path)} is not UTF-8 text (byte {error.start + 1}): save it as UTF-8."
        ) from error
    records: list[ApiRecord] = []
    refusals: list[Refusal] = []
    for line, value in _values(text):
        if isinstance(value, _NotJson):
            refusals.append(Refusal(path, line, value.field, value.reason))
            continue
        try:
            record = ApiRecord.from_json(value, source=source)
            _check_writable(record)
        except RecordError as error:
            refusals.append(Refusal(path, line, error.field, str(error)))
        else:
            records.append(record)
    return Reading(tuple(records), tuple(refusals))


def _check_writable(record: ApiRecord) -> None:
    # JSON can say what no file or answer can hold: half a surrogate pair, an infinite number.
    for field, value in record.to_json().items():
        try:
            json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
        except UnicodeEncodeError as error:
            raise RecordError(field, "text without halves of surrogate pairs", value) from error
        except ValueError as error:
            raise RecordError(field, "finite numbers", value) from error


@dataclass(frozen=True)
class _NotJson:
    reason: str
    field: str | None = None


def _values(text: str) -> Iterator[tuple[int, object]]:
    """Each value in ``text`` and the line on which it begins."""
    beginning = len(text) - len(text.lstrip())
    first_line = text.count("\n", 0, beginning) + 1
    if text.startswith("[", beginning):
        yield from _array_values(text, beginning, first_line)
        return
    whole = _decode(text)
    if not isinstance(whole, _NotJson):
        yield first_line, whole
        return
    lines = [
        (number, _decode(content, number))
        for number, content in enumerate(text.split("\n"), start=1)
        if content.strip()
    ]
    if any(isinstance(value, dict) for _, value in lines):
        yield from lines
    elif lines:
        # One object over many lines, with a fault somewhere.
        yield first_line, whole


def _array_values(text: str, position: int, line: int) -> Iterator[tuple[int, object]]:
    # Item by item, so that each record has its line and a fault spoils one of them only.
    end = position + 1
    while True:
        start = _BETWEEN.match(text, end).end()  # type: ignore[union-attr]
        line += text.count("\n", position, start)
        position = start
        if text.startswith("]", start):
            rest = text[start + 1 :].strip()
            if rest:
                yield line, _NotJson(f"not JSON: text after the end of the list, {rest[:40]!r}")
            return
        if start == len(text):
            yield line, _NotJson("not JSON: the list ends without ']'")
            return
        try:
            value, end = _DECODER.raw_decode(text, start)
        except (ValueError, RecursionError) as error:
            yield line, _not_json(error)
            end = _end_of_item(text, start)
            if end == len(text):
                return
        else:
            yield line, value


_BETWEEN = re.compile(r"[\s,]*")
_LANDMARKS = re.compile(r'"(?:[^"\\\n]|\\.)*"?|[\[\]{},]')


def _end_of_item(text: str, start: int) -> int:
    """Where the item of a list that begins at ``start`` ends, going by brackets and commas."""
    depth = 0
    for found in _LANDMARKS.finditer(text, start):
        mark = found.group()
        if depth == 0 and mark in ",]":
            return found.start()
        if mark in "[{":
            depth += 1
        elif mark in "]}":
            depth = max(depth - 1, 0)
    return len(text)


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON number")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)


def _decode(text: str, first_line: int = 1) -> object:
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        return _not_json(error, first_line)


def _not_json(error: ValueError | RecursionError, first_line: int = 1) -> _NotJson:
    if isinstance(error, RecursionError):
        return _NotJson("nested too deep to be a record", "record")
    if isinstance(error, json.JSONDecodeError):
        line = first_line + error.lineno - 1
        return _NotJson(f"not JSON: {error.msg} (line {line}, column {error.colno})")
    return _NotJson(f"not JSON: {error}")


def _shown(path: Path) -> str:
    # A name that is not UTF-8 has halves of surrogate pairs, which no terminal takes.
    return str(path).encode(errors="replace").decode()
