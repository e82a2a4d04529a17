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
        return f"{self.path}, line {self.line}: {self.reason}"


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
        raise CatalogFileError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise CatalogFileError(
            f"{path} is not UTF-8 text (byte {error.start + 1}): save it as UTF-8."
        ) from error
    records: list[ApiRecord] = []
    refusals: list[Refusal] = []
    for line, value in _values(text):
        if isinstance(value, _NotJson):
            refusals.append(Refusal(path, line, None, value.reason))
            continue
        try:
            record = ApiRecord.from_json(value, source=source)
            json.dumps(record.to_json(), ensure_ascii=False).encode()
        except RecordError as error:
            refusals.append(Refusal(path, line, error.field, str(error)))
        except UnicodeEncodeError:
            refusals.append(Refusal(path, line, None, "holds half of a surrogate pair"))
        else:
            records.append(record)
    return Reading(tuple(records), tuple(refusals))


@dataclass(frozen=True)
class _NotJson:
    reason: str


def _values(text: str) -> Iterator[tuple[int, object]]:
    if text.lstrip().startswith("["):
        yield from _array_values(text)
    elif not isinstance(whole := _decode(text), _NotJson):
        yield 1, whole
    else:
        for line, content in enumerate(text.split("\n"), start=1):
            if content.strip():
                yield line, _decode(content)


def _array_values(text: str) -> Iterator[tuple[int, object]]:
    # Item by item, so that each record has its line and the good ones before a fault still load.
    decoder = json.JSONDecoder()
    position, line = 0, 1
    end = text.index("[") + 1
    while True:
        start = _BETWEEN.match(text, end).end()  # type: ignore[union-attr]
        line += text.count("\n", position, start)
        position = start
        if text.startswith("]", start):
            return
        try:
            value, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError) as error:
            yield line, _not_json(error)
            return
        yield line, value


_BETWEEN = re.compile(r"[\s,]*")


def _decode(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        return _not_json(error)


def _not_json(error: ValueError | RecursionError) -> _NotJson:
    if isinstance(error, RecursionError):
        return _NotJson("nested too deep to be a record")
    if isinstance(error, json.JSONDecodeError):
        return _NotJson(f"not JSON: {error.msg} (line {error.lineno}, column {error.colno})")
    return _NotJson(f"not JSON: {error}")
