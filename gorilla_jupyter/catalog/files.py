"""Records from people's files: JSON lines, JSON and YAML, with records or an OpenAPI document."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from gorilla_jupyter.catalog import openapi
from gorilla_jupyter.record import ApiRecord, RecordError

SUFFIXES = (".jsonl", ".json", ".yaml", ".yml")
"""The names that catalog files end with."""

MAX_FILE_BYTES = 32 << 20
"""The largest file that is read."""

MAX_FIELD_CHARACTERS = 100_000
"""The longest that a field of a record may be, as JSON."""

CODE_FIELDS = frozenset(
    """framework api_name api_call api_arguments python_environment_requirements
    example_code""".split()
)
"""The fields of which cells are made."""


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
        reason = _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", self.reason)  # it quotes what it found
        return f"{_shown(self.path)}, line {self.line}: {reason}"


@dataclass(frozen=True)
class Reading:
    """What a file held: the records that could be read and the places that could not."""

    records: tuple[ApiRecord, ...]
    refusals: tuple[Refusal, ...]


class CatalogFileError(Exception):
    """A catalog file that cannot be read at all."""


def read_file(path: Path, *, source: str) -> Reading:
    """Read every record of a file: JSON or YAML, with records in any form that ApiRecord reads, or
    with an OpenAPI 3 document, whose operations become records.

    :raises CatalogFileError: if the file cannot be opened, is too large or is not UTF-8 text.
    """
    text = _text(path)
    is_yaml = path.suffix.lower() in (".yaml", ".yml")
    records: list[ApiRecord] = []
    refusals: list[Refusal] = []
    for line, value in _yaml(text) if is_yaml else _values(text):
        for part in _parts(value, text, line, source):
            if isinstance(part, ApiRecord):
                try:
                    _check_writable(part)
                except RecordError as error:
                    refusals.append(Refusal(path, line, error.field, str(error)))
                else:
                    records.append(part)
            else:
                refusals.append(Refusal(path, part.line or line, part.field, part.reason))
    return Reading(tuple(records), tuple(refusals))


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            # One byte more than is allowed tells that there is more, also where no size is known.
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise CatalogFileError(f"{_shown(path)} cannot be read: {error.strerror}.") from error
    if len(content) > MAX_FILE_BYTES:
        raise CatalogFileError(
            f"{_shown(path)} is larger than the {MAX_FILE_BYTES >> 20} MiB that a catalog file may "
            "have: split it."
        )
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise CatalogFileError(
            f"{_shown(path)} is not UTF-8 text (byte {error.start + 1}): save it as UTF-8."
        ) from error


@dataclass(frozen=True)
class _Fault:
    """What is no record; ``line`` where that is not where the value begins."""

    reason: str
    field: str | None = None
    line: int | None = None


def _parts(value: object, text: str, line: int, source: str) -> Iterator[ApiRecord | _Fault]:
    if isinstance(value, _Fault):
        yield value
    elif isinstance(value, Mapping) and openapi.is_document(value):
        lines = _lines_of_paths(text)
        for found in openapi.read_document(value, source=source):
            if isinstance(found, ApiRecord):
                yield found
            else:
                yield _Fault(found.reason, found.operation, lines.get(found.path))
    else:
        try:
            yield ApiRecord.from_json(value, source=source)
        except RecordError as error:
            yield _Fault(str(error), error.field)


@lru_cache(maxsize=1)
def _lines_of_paths(text: str) -> dict[str, int]:
    """Where the paths of an OpenAPI document stand as keys, as far as each has its own line."""
    lines: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if found := _PATH_KEY.match(line):
            lines.setdefault(found.group(1), number)
    return lines


_PATH_KEY = re.compile(r"""[ ]*["']?(/[^"'\s]*?)["']?[ ]*:""")


def _check_writable(record: ApiRecord) -> None:
    # JSON can say what no file or answer can hold: half a surrogate pair, an infinite number.
    fields = record.to_json()
    # Few records have a fault to be found field by field.
    with suppress(ValueError):
        everything = json.dumps(fields, ensure_ascii=False, allow_nan=False)
        everything.encode()
        if len(everything) <= MAX_FIELD_CHARACTERS and not _MAY_MISLEAD.search(everything):
            return
    for field, value in fields.items():
        try:
            written = json.dumps(value, ensure_ascii=False, allow_nan=False)
            written.encode()
        except UnicodeEncodeError as error:
            raise RecordError(field, "text without halves of surrogate pairs", value) from error
        except ValueError as error:
            raise RecordError(field, "finite numbers", value) from error
        if len(written) > MAX_FIELD_CHARACTERS:
            expected = f"at most {MAX_FIELD_CHARACTERS:,} characters"
            raise RecordError(field, expected, value)
        if _MAY_MISLEAD.search(written):
            _check_visible(field, value, _MISLEADING if field in CODE_FIELDS else _CONTROLS)


def _check_visible(field: str, value: object, misleading: re.Pattern[str]) -> None:
    # What turns the direction of text, or moves a terminal's cursor, lets a cell look other than
    # it is. In a description, turning directions is how some languages are written.
    if isinstance(value, str):
        if found := misleading.search(value.replace("\r\n", "\n")):
            expected = f"text without control characters (here: U+{ord(found.group()):04X})"
            raise RecordError(field, expected, value)
    elif isinstance(value, Mapping):
        for key, part in value.items():
            _check_visible(field, key, misleading)
            _check_visible(field, part, misleading)
    elif isinstance(value, list):
        for part in value:
            _check_visible(field, part, misleading)


_DIRECTIONS = r"\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_MISLEADING = re.compile(rf"[\x00-\x08\x0b-\x1f{_DIRECTIONS}]")
_MAY_MISLEAD = re.compile(rf"\\[bfru]|[{_DIRECTIONS}]")
"""Found in the JSON of every text with something misleading in it, and in little else."""


def _yaml(text: str) -> Iterator[tuple[int, object]]:
    from gorilla_jupyter.catalog.yaml_values import YamlError, yaml_values

    try:
        yield from yaml_values(text)
    except YamlError as error:
        yield error.line, _Fault(f"not YAML that can be read: {error}")


def _values(text: str) -> Iterator[tuple[int, object]]:
    """Each value in ``text`` and the line on which it begins."""
    beginning = len(text) - len(text.lstrip())
    first_line = text.count("\n", 0, beginning) + 1
    if text.startswith("[", beginning):
        yield from _array_values(text, beginning, first_line)
        return
    whole = _decode(text)
    if not isinstance(whole, _Fault):
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
                yield line, _Fault(f"not JSON: text after the end of the list, {rest[:40]!r}")
            return
        if start == len(text):
            yield line, _Fault("not JSON: the list ends without ']'")
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


def _not_json(error: ValueError | RecursionError, first_line: int = 1) -> _Fault:
    if isinstance(error, RecursionError):
        return _Fault("nested too deep to be a record", "record")
    if isinstance(error, json.JSONDecodeError):
        line = first_line + error.lineno - 1
        return _Fault(f"not JSON: {error.msg} (line {line}, column {error.colno})")
    return _Fault(f"not JSON: {error}")


def _shown(path: Path) -> str:
    # A name that is not UTF-8 has halves of surrogate pairs, which no terminal takes.
    return str(path).encode(errors="replace").decode()
