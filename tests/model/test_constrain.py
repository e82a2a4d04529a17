"""What a model's writing is held to allows documented calls, and nothing else."""

from __future__ import annotations

import ast
import re

import pytest

from gorilla_jupyter.catalog.store import CatalogStore
from gorilla_jupyter.model.constrain import OPTIONAL_ARGUMENTS, call_pattern, optional_arguments
from gorilla_jupyter.record import ApiRecord, Argument
from gorilla_jupyter.verify import check_documented

VALUES = (
    *("0", "-3", "007", "1.5", "1.", "True", "None", "'x'", "'it''s'", "'a\\'b'", '"x"', "x"),
    *("reboot()", "[]", "[1, 'a']", "[reboot()]", "{}", "f'{reboot()}'", "1)(2", "'a', 'b'"),
)


def a_record(api_call: str, *arguments: Argument, name: str = "acme/voice") -> ApiRecord:
    return ApiRecord("Audio", "Widgets", "Speech", name, api_call, arguments)


def allows(record: ApiRecord, call: str, sentence: str = "speak") -> bool:
    return re.fullmatch(call_pattern(record, sentence), call) is not None


SPEECH = a_record(
    "pipeline('text-to-speech', model='acme/voice')",
    Argument("task", "str"),
    Argument("model", "str"),
    Argument("device", "int | str", "None"),
    Argument("speed", "float", "1.0"),
    Argument("mode", "Literal['fast', \"good\"]", "'fast'"),
    Argument("voices", "list[str]", "None"),
    Argument("callback", "Callable", "print"),
    Argument("extra"),
)
READ = a_record("pd.read_csv(path)", Argument("path", "str"), Argument("sep", "str", "','"))
BARE = a_record("random.random()", Argument("a", "int"), Argument("b", "int"), Argument("c", "int"))
UNPACKED = a_record(
    "f(*parts, x, **options)", Argument("parts"), Argument("x"), Argument("y", "int", "1")
)


@pytest.mark.parametrize(
    ("record", "call"),
    [
        (SPEECH, "pipeline('text-to-speech', model='acme/voice')"),
        (SPEECH, "pipeline('text-to-speech', model='acme/voice', device=-1)"),
        (SPEECH, "pipeline('text-to-speech', model='acme/voice', device='cuda', speed=1.5)"),
        (SPEECH, "pipeline('text-to-speech', model='acme/voice', device=None)"),
        (SPEECH, "pipeline('text-to-speech', model='acme/voice', mode='good')"),
        (SPEECH, "pipeline('text-to-speech', model='acme/voice', voices=['a', 'b'])"),
        (SPEECH, "pipeline('text-to-speech', model='acme/voice', extra=True)"),
        (READ, "pd.read_csv(path)"),
        (READ, "pd.read_csv('orders 2024.csv', sep=';')"),
        (BARE, "random.random()"),
        (BARE, "random.random(b=1)"),
        (BARE, "random.random(a=1, c=2)"),
        (UNPACKED, "f(*parts, x, **options)"),
        (UNPACKED, "f(*parts, 2, **options, y=3)"),
    ],
)
def test_documented_calls_are_allowed(record: ApiRecord, call: str) -> None:
    assert allows(record, call)
    assert check_documented(record, call).status == "passed"


@pytest.mark.parametrize(
    ("record", "call"),
    [
        (SPEECH, "pipeline('text-to-speech', model='acme/other')"),
        (SPEECH, "pipeline('text-to-speech')"),
        (SPEECH, "pipeline('text-to-speech', model='acme/voice', volume=1)"),
        (SPEECH, "pipeline('text-to-speech', model='acme/voice', task='x')"),
        (SPEECH, "pipeline('text-to-speech', model='acme/voice', device=1, device=2)"),
        (SPEECH, "pipeline('text-to-speech', model='acme/voice', device=1.5)"),
        (SPEECH, "pipeline('text-to-speech', model='acme/voice', mode='bad')"),
        (SPEECH, "pipeline('text-to-speech', model='acme/voice', callback=None)"),
        (SPEECH, "pipeline('text-to-speech', model='acme/voice').run()"),
        (SPEECH, "pipelines('text-to-speech', model='acme/voice')"),
        (READ, "pd_read_csv(path)"),
        (READ, "pd.read_csv('a\nb')"),
        (READ, "pd.read_csv('a\\')"),
        (BARE, "random.random(c=2, a=1)"),
        (BARE, "random.random(, a=1)"),
        (UNPACKED, "f(*parts, x)"),
    ],
)
def test_other_calls_are_not_allowed(record: ApiRecord, call: str) -> None:
    assert not allows(record, call)


def test_a_record_without_a_call_allows_none() -> None:
    assert call_pattern(a_record("not Python ("), "speak") == ""


def test_of_many_arguments_those_of_the_sentence_are_offered_in_their_order() -> None:
    arguments = [Argument(f"argument_{number}", "int") for number in range(40)]
    arguments.insert(20, Argument("separator", "str"))
    arguments.insert(30, Argument("skip", "int", description="Rows to leave out at the top."))
    record = a_record("read(path)", Argument("path", "str"), *arguments)
    sentence = "leave out the first rows, and take the separator ';'"
    names = [argument.name for argument in optional_arguments(record, sentence)]
    assert len(names) == OPTIONAL_ARGUMENTS
    assert names[-2:] == ["separator", "skip"]


def test_what_is_allowed_of_any_shipped_record_is_documented() -> None:
    records = [record for catalog in CatalogStore().catalogs() for record in catalog.read().records]
    added = 0
    for record in records[::20]:
        assert record.call is not None
        documented = ast.unparse(record.call)
        pattern = re.compile(call_pattern(record, "run it on my graphics card"))
        assert pattern.fullmatch(documented)
        for argument in record.api_arguments:
            for value in VALUES:
                call = f"{documented[:-1]}, {argument.name}={value})"
                if pattern.fullmatch(call):
                    added += 1
                    assert check_documented(record, call).status == "passed", call
    assert added > len(records) / 20
