"""People's files: what is no record is named by its place, and the rest of the file is read."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from gorilla_jupyter.catalog.files import MAX_FILE_BYTES, CatalogFileError, Reading, read_file

FIXTURES = Path(__file__).parents[1] / "fixtures"


def a_record(name: str = "voice", **fields: Any) -> dict[str, Any]:
    return {
        "domain": "Audio",
        "framework": "Widgets",
        "functionality": "Speech",
        "api_name": name,
        "api_call": f"load('{name}')",
        **fields,
    }


def a_line(name: str = "voice", **fields: Any) -> str:
    return json.dumps(a_record(name, **fields))


def read(tmp_path: Path, text: str | bytes) -> Reading:
    path = tmp_path / "mine.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_file(path, source="mine")


def names(reading: Reading) -> list[str]:
    return [record.api_name for record in reading.records]


def refused(reading: Reading) -> list[tuple[int, str | None]]:
    return [(refusal.line, refusal.field) for refusal in reading.refusals]


@pytest.mark.parametrize(
    "text",
    [
        "\n".join((a_line("a"), a_line("b"))),
        "\r\n".join((a_line("a"), "", "  ", a_line("b"), "")),
        f"[{a_line('a')}, {a_line('b')}]",
        f"\n [\n\n{a_line('a')},\n{a_line('b')}\n]\n",
        json.dumps([a_record("a"), a_record("b")], indent=4),
        "\ufeff" + "\n".join((a_line("a"), a_line("b"))),
        "\ufeff" + f"[{a_line('a')}, {a_line('b')}]",
    ],
    ids=["lines", "blank lines", "list", "list by lines", "indented list", "BOM", "BOM and list"],
)
def test_lists_and_lines_are_read(tmp_path: Path, text: str) -> None:
    reading = read(tmp_path, text)
    assert (names(reading), refused(reading)) == (["a", "b"], [])


def test_a_single_object_over_many_lines_is_read(tmp_path: Path) -> None:
    assert names(read(tmp_path, json.dumps(a_record(), indent=2))) == ["voice"]


@pytest.mark.parametrize(
    ("form", "name"),
    [("api_zoo", "GPT4All Python API"), ("instruction_pair", "Silero Text-To-Speech Models")],
)
def test_the_sample_records_are_read(form: str, name: str) -> None:
    reading = read_file(FIXTURES / f"{form}.json", source="seed")
    assert (names(reading), refused(reading)) == ([name], [])


def test_records_know_their_source(tmp_path: Path) -> None:
    assert [record.source for record in read(tmp_path, a_line()).records] == ["mine"]


DEEP = "[" * 10_000 + "]" * 10_000
HALF_DEEP = "[" * 600 + "]" * 600

FAULTS = {
    "missing field": ('{"domain": "Audio"}', "framework"),
    "wrong type": (a_line(api_name=3), "api_name"),
    "wrong type inside": (a_line(questions=[3]), "questions"),
    "no object": ("3", "record"),
    "not JSON": ('{"domain": oops}', None),
    "no closing bracket": ('{"domain": "Audio"', None),
    "huge integer": (a_line()[:-1] + ', "performance": {"n": ' + "9" * 5000 + "}}", None),
    "nested 10,000 deep": (a_line()[:-1] + f', "performance": {{"n": {DEEP}}}}}', "record"),
    "nested 600 deep": (a_line()[:-1] + f', "performance": {{"n": {HALF_DEEP}}}}}', "record"),
    "argument nested 600 deep": (
        a_line()[:-1] + ', "api_arguments": {"n": ' + '{"a": ' * 600 + "1" + "}" * 600 + "}}",
        "record",
    ),
    "example nested 600 deep": (a_line()[:-1] + f', "example_code": {HALF_DEEP}}}', "record"),
    "pairs in pairs": ('{"api_data": ' * 700 + "1" + "}" * 700, "record"),
    "half a surrogate pair": (a_line(description="\ud83d"), "description"),
    "half a pair as argument": (a_line(api_arguments={"\udfff": "1"}), "api_arguments"),
    "no number": (a_line(performance={"accuracy": float("nan")}), None),
    "megabyte description": (a_line(description="x" * (1 << 20)), "description"),
    "control character in code": (a_line(example_code="load()\x1b[2J"), "example_code"),
    "text turned around in code": (a_line(api_call="load('\u202e')"), "api_call"),
    "text turned around in an argument": (
        a_line(api_arguments={"n": {"default": "\u2066"}}),
        "api_arguments",
    ),
    "infinite number": (a_line()[:-1] + ', "performance": {"n": 1e999}}', "performance"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_line_is_named_and_the_others_are_read(tmp_path: Path, fault: str) -> None:
    text, field = FAULTS[fault]
    reading = read(tmp_path, "\n".join((a_line("a"), text, a_line("b"))))
    assert (names(reading), refused(reading)) == (["a", "b"], [(2, field)])


@pytest.mark.parametrize("fault", sorted(FAULTS.keys() - {"no closing bracket"}))
def test_a_faulty_item_is_named_and_the_others_are_read(tmp_path: Path, fault: str) -> None:
    text, field = FAULTS[fault]
    reading = read(tmp_path, f"[\n{a_line('a')},\n\n{text},\n{a_line('b')}\n]")
    assert (names(reading), refused(reading)) == (["a", "b"], [(4, field)])


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f"[{a_line('a')},\n{a_line('b')[:-9]}", 2),
        (f"[{a_line('a')},\n", 2),
        (f"[{a_line('a')}", 1),
        (f"[{a_line('a')}]\n{a_line('b')}", 1),
    ],
    ids=["within an item", "after a comma", "after an item", "closed too early"],
)
def test_a_truncated_list_is_read_to_where_it_ends(tmp_path: Path, text: str, line: int) -> None:
    reading = read(tmp_path, text)
    assert (names(reading), refused(reading)) == (["a"], [(line, None)])


@pytest.mark.parametrize("garbage", ['"a": 1}, oops', "}", ":", '"un"closed', '\\"]', "{[}"])
def test_garbage_in_a_list_never_keeps_the_reader(tmp_path: Path, garbage: str) -> None:
    reading = read(tmp_path, f"[{a_line('a')}, {garbage}, {a_line('b')}]")
    assert names(reading)[0] == "a"
    assert reading.refusals


def test_an_object_with_a_fault_is_refused_once(tmp_path: Path) -> None:
    text = json.dumps(a_record(), indent=2).replace('"framework":', '"framework"')
    (refusal,) = read(tmp_path, text).refusals
    assert refusal.line == 1
    assert "(line 3, column 15)" in refusal.reason


def test_a_refusal_names_file_line_field_and_what_was_expected(tmp_path: Path) -> None:
    (refusal,) = read(tmp_path, "\n".join((a_line(), a_line(api_call="")))).refusals
    assert str(refusal) == (
        f"{tmp_path / 'mine.json'}, line 2: field 'api_call': expected a non-empty string, found ''"
    )


def test_a_place_within_a_line_is_told_by_the_line_of_the_file(tmp_path: Path) -> None:
    (refusal,) = read(tmp_path, "\n".join((a_line(), '{"domain": oops}'))).refusals
    assert "(line 2, column 12)" in str(refusal)


@pytest.mark.parametrize("text", ["", "\n\n", "\ufeff", "[]", "[\n]"])
def test_an_empty_file_holds_nothing(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == Reading((), ())


@pytest.mark.parametrize(
    ("content", "byte"), [(b"\xff\xfe[\x00]\x00", 1), (b'{"domain": "caf\xe9"}', 16)]
)
def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path, content: bytes, byte: int) -> None:
    with pytest.raises(CatalogFileError, match=rf"is not UTF-8 text \(byte {byte}\)"):
        read(tmp_path, content)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CatalogFileError, match=r"none\.jsonl cannot be read: No such file"):
        read_file(tmp_path / "none.jsonl", source="mine")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(CatalogFileError, match="cannot be read"):
        read_file(tmp_path, source="mine")


def test_a_name_that_is_not_utf8_can_be_shown(tmp_path: Path) -> None:
    with pytest.raises(CatalogFileError) as refusal:
        read_file(tmp_path / "caf\udce9.jsonl", source="mine")
    assert "caf?.jsonl" in str(refusal.value)


@pytest.mark.parametrize("fault", ["not JSON", "missing field", "half a surrogate pair"])
def test_reading_changes_nothing_on_disk(tmp_path: Path, fault: str) -> None:
    path = tmp_path / "mine.json"
    path.write_text("\n".join((a_line(), FAULTS[fault][0])), encoding="utf-8")
    before = (path.read_bytes(), path.stat().st_mtime_ns)
    read_file(path, source="mine")
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert list(tmp_path.glob("*.json*")) == [path]


def yaml(tmp_path: Path, text: str, suffix: str = ".yaml") -> Reading:
    path = tmp_path / f"mine{suffix}"
    path.write_text(text)
    return read_file(path, source="mine")


A_RECORD_IN_YAML = """\
domain: Audio
framework: Widgets
functionality: Speech
api_name: NAME
api_call: load('voice')
"""


@pytest.mark.parametrize("suffix", [".yaml", ".yml", ".YAML"])
def test_a_record_in_yaml_is_read(tmp_path: Path, suffix: str) -> None:
    assert names(yaml(tmp_path, A_RECORD_IN_YAML, suffix)) == ["NAME"]


def test_a_list_in_yaml_is_read_and_its_faults_are_told_by_line(tmp_path: Path) -> None:
    item = "- " + A_RECORD_IN_YAML.rstrip().replace("\n", "\n  ") + "\n"
    reading = yaml(tmp_path, f"{item}- domain: Audio\n{item}")
    assert (names(reading), refused(reading)) == (["NAME", "NAME"], [(6, "framework")])


def test_several_documents_of_yaml_are_read(tmp_path: Path) -> None:
    assert names(yaml(tmp_path, f"{A_RECORD_IN_YAML}---\n{A_RECORD_IN_YAML}")) == ["NAME"] * 2


def test_words_of_yaml_are_text_where_yaml_1_2_says_so(tmp_path: Path) -> None:
    for word in ("no", "2024-01-01", "12:30", "010", "'1'", "0x1F"):
        reading = yaml(tmp_path, A_RECORD_IN_YAML.replace("NAME", word))
        assert names(reading) == [word.strip("'")]


def test_anchors_and_merges_of_yaml_are_followed(tmp_path: Path) -> None:
    text = f"""\
- &first
  {A_RECORD_IN_YAML.replace(chr(10), chr(10) + "  ")}
- <<: *first
  api_name: other
- *first
"""
    assert names(yaml(tmp_path, text)) == ["NAME", "other", "NAME"]


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
)
MERGE_BOMB = "a0: &a0 {x: 1}\n" + "".join(
    f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}\n" for n in range(1, 12)
)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (BOMB, "its aliases stand for more than 1,000,000 values (line 6)"),
        (MERGE_BOMB, "its aliases stand for more than 1,000,000 values"),
        ("a: &a [*a]", "the alias *a stands for no finished value (line 1)"),
        ("a: *a", "the alias *a stands for no finished value"),
        ("[" * 10_000 + "]" * 10_000, "nested more than 200 deep (line 1)"),
        ("{a: " * 500_000, "nested more than 200 deep"),
        ("".join(" " * depth + "a:\n" for depth in range(2_000)), "nested more than 200 deep"),
        ("- " * 10_000, "nested more than 200 deep"),
        ("a: b: c", "mapping values are not allowed in this context (line 1)"),
        ("a:\n  b: [1}", "(line 2)"),
        ("a: 1\nb: \x01", "control characters are not allowed (line 2)"),
        ("? [a]\n: b", "a key that is no text"),
        ("<<: 3", "'<<' merges what is no mapping"),
    ],
    ids=[
        *("bomb", "merge bomb", "cycle", "unknown alias", "deep lists", "deep mappings"),
        *("deep blocks", "deep items", "not YAML", "open list", "control character"),
        *("key that is a list", "merge of a number"),
    ],
)
def test_hostile_yaml_is_a_sentence(tmp_path: Path, text: str, reason: str) -> None:
    reading = yaml(tmp_path, text)
    assert reading.records == ()
    (refusal,) = reading.refusals
    assert "not YAML that can be read: " in refusal.reason
    assert reason in refusal.reason


def test_tags_of_yaml_make_nothing(tmp_path: Path) -> None:
    (tmp_path / "proof").touch()
    command = f"!!python/object/apply:os.unlink ['{tmp_path / 'proof'}']"
    assert refused(yaml(tmp_path, f"domain: {command}")) == [(1, "domain")]
    assert (tmp_path / "proof").exists()


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".yaml"])
def test_a_file_of_200_megabytes_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"large{suffix}"
    with path.open("wb") as file:
        file.write(b"[")
        file.truncate(200 << 20)
    tracemalloc.start()
    with pytest.raises(CatalogFileError, match="is larger than the 32 MiB"):
        read_file(path, source="mine")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 2 * MAX_FILE_BYTES


@pytest.mark.parametrize("suffix", [".json", ".yaml"])
def test_a_document_nested_10000_deep_is_a_sentence(tmp_path: Path, suffix: str) -> None:
    text = '{"openapi": "3.0.0", "paths": {"/a": {"get": {"x": ' + DEEP + "}}}}"
    path = tmp_path / f"deep{suffix}"
    path.write_text(text)
    (refusal,) = read_file(path, source="mine").refusals
    assert "deep" in refusal.reason


def test_other_writing_systems_are_no_fault(tmp_path: Path) -> None:
    text = json.dumps(a_record("שלום", example_code="say('مرحبا 👩\u200d🚀')\r\n\tdone()"))
    assert names(read(tmp_path, text)) == ["שלום"]
