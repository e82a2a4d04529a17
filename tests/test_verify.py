"""The checks, against documents and against what is installed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gorilla_jupyter import verify
from gorilla_jupyter.answer import Answer, Check, CheckStatus
from gorilla_jupyter.record import ApiRecord, Argument
from tests.candidates import a_candidate, a_record

PASSED, FAILED, UNKNOWN = CheckStatus.PASSED, CheckStatus.FAILED, CheckStatus.UNKNOWN


# documented

DOCUMENTED = a_record(
    "load(messages, 'acme/voice', mode='fast', size=3, shape=[1, 2], path='acme', **options)",
    api_arguments=(
        Argument("messages"),
        Argument("name"),
        Argument("size", default="3"),
        Argument("shape", default="[1, 2]"),
        Argument("path", default="'acme'"),
        Argument("device", default="None"),
    ),
)


def changed(old: str, new: str) -> str:
    assert old in DOCUMENTED.api_call
    return DOCUMENTED.api_call.replace(old, new)


@pytest.mark.parametrize(
    "call",
    [
        DOCUMENTED.api_call,
        f"model = {DOCUMENTED.api_call}",
        changed("messages", "my_messages"),
        changed("messages", "[{'role': 'user', 'content': 'hi'}]"),
        changed("size=3", "size=-4.5"),
        changed("size=3, ", ""),
        changed("[1, 2]", "(4, None)"),
        changed("size=3", "device='cuda', size=3"),
        changed("size=3", "size=torch.float16"),
    ],
)
def test_what_the_document_allows_is_documented(call: str) -> None:
    assert verify.check_documented(DOCUMENTED, call).status is PASSED


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (changed("'acme/voice'", "'acme/other'"), "says 'acme/voice', not 'acme/other'"),
        (changed("mode='fast'", "mode='slow'"), "says 'fast', not 'slow'"),
        (changed("mode='fast', ", ""), "also gives 'fast'"),
        (changed("path='acme'", "path='evil'"), "says 'acme', not 'evil'"),
        (changed("path='acme', ", ""), "also gives 'acme'"),
        (changed("size=3", "colour=3"), "has no argument 'colour'"),
        (changed("size=3", "size=open('x')"), "does more than give a value"),
        (changed("messages", "reboot()"), "does more than give a value"),
        (changed("**options", "**{'a': 1}"), "says options, not"),
        (changed("**options", "**options, **more"), "has no argument"),
        (changed("**options", "**more, **options"), "says options, not more"),
        (changed("load(", "store("), "calls load, not store"),
        ("load", "not a call that the document shows"),
        ("load()", "also gives messages"),
    ],
)
def test_what_the_document_does_not_allow_is_told(call: str, sentence: str) -> None:
    check = verify.check_documented(DOCUMENTED, call)
    assert check.status is FAILED
    assert sentence in check.sentence


@pytest.mark.parametrize(
    ("call", "status"),
    [
        ("sales.corr()", PASSED),
        ("dataframe.corr()", PASSED),
        ("sales.sum()", FAILED),
        ("numbers.corr()", FAILED),
        ("np.corr()", FAILED),
        ("corr()", FAILED),
        ("my.sales.corr()", FAILED),
    ],
)
def test_the_method_may_be_called_of_the_readers_own_object_of_that_class(
    call: str, status: CheckStatus
) -> None:
    example = "from pandas import DataFrame\n\ndataframe = DataFrame()\ndataframe.corr()"
    record = ApiRecord(
        "Data",
        "pandas",
        "Correlate",
        "pandas.DataFrame.corr",
        "dataframe.corr()",
        example_code=example,
    )
    variables = {"sales": "DataFrame", "numbers": "Series"}
    assert verify.check_documented(record, call, variables).status is status


def test_nothing_is_documented_by_a_document_without_a_call() -> None:
    assert verify.check_documented(a_record("not Python ("), "not Python (").status is FAILED


# syntax


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("load('acme/voice')", PASSED),
        ("x = hub.load(name='acme/voice')", PASSED),
        ("x = '\\d'\nload('acme/voice') is 3", PASSED),
        ("load('acme/other')", FAILED),
        ("store('acme/voice')", FAILED),
        ("load", FAILED),
        ("# load('acme/voice')", FAILED),
        ("load('acme/voice'", FAILED),
        ("load('acme/voice')\nreturn 1", FAILED),
        ("load('acme/voice')\0", FAILED),
        ("load('acme/voice')\n" + "(" * 100_000, FAILED),
        ("load('acme/voice')\nx = " + "-" * 100_000 + "1", FAILED),
        ("load('acme/voice')  # \ud800", FAILED),
    ],
)
def test_a_cell_compiles_and_makes_the_call(code: str, status: CheckStatus) -> None:
    assert verify.check_syntax("load('acme/voice')", code).status is status


# installed


def installed(*requirements: str) -> Check:
    return verify.check_installed(a_record(python_environment_requirements=requirements))


@pytest.mark.parametrize(
    "requirement",
    ["gadget", "Gadget>=1,<2", "gadget[fast]", "gadget==1.*", "gadget 0.9", "gadget~=1.0"],
)
def test_what_is_there_is_installed(install_module: Callable[..., None], requirement: str) -> None:
    install_module("gadget")
    check = installed(requirement)
    assert (check.status, check.sentence.lower()) == (PASSED, "installed here: gadget 1.0.")


def test_what_is_missing_comes_with_the_command_that_installs_it(
    install_module: Callable[..., None],
) -> None:
    install_module("gadget")
    check = installed("gadget>=2", "gadget", "no-such-widget", "other[fast]>1")
    assert check.status is FAILED
    assert check.sentence == (
        'Missing here; run: %pip install "gadget>=2" no-such-widget "other[fast]>1"'
    )


def test_a_requirement_of_another_environment_does_not_count(
    install_module: Callable[..., None],
) -> None:
    install_module("gadget")
    check = installed("gadget", "no-such-widget; python_version < '3'")
    assert check.status is PASSED


def test_a_name_that_documents_use_is_the_distributions(
    install_module: Callable[..., None],
) -> None:
    install_module("opencv_python")
    assert installed("cv2").status is PASSED


@pytest.mark.parametrize("version", ["strange", "2004d.final.thing"])
def test_a_version_that_cannot_be_compared_satisfies_the_name_alone(
    install_module: Callable[..., None], version: str
) -> None:
    install_module("gadget", version=version)
    assert installed("gadget").status is PASSED
    assert installed("gadget>=1").status is FAILED


@pytest.mark.parametrize(
    "requirements",
    [
        (),
        ("python>=3.8",),
        ("a GPU with 16 GB",),
        ("", " ", "\0", "\ud800", "==", "1" * 10_000),
        ("git+https://example.org/x; reboot",),
        ("x===`reboot`", "--target=/", "$(reboot)"),
        ("pip; os_name ~= 'posix'",),
    ],
)
def test_a_document_that_says_nothing_clear_is_unknown_or_missing(
    requirements: tuple[str, ...],
) -> None:
    check = installed(*requirements)
    assert check.status in (UNKNOWN, FAILED)
    assert "reboot" not in check.sentence


def test_candidates_that_would_be_refused_go_to_the_end(
    install_module: Callable[..., None],
) -> None:
    install_module("gadget", "def load(name): pass\n")
    bad = a_candidate("load('x', colour=1)", "from gadget import load", "gadget")
    good = a_candidate("load('x')", "from gadget import load", "no-such-widget")
    answer = verify.verify_here(Answer("speak", (bad, good), (), "embedded", {}))
    assert [
        (found.api_call, found.check("installed").status, found.check("signature").status)
        for found in answer.candidates
    ] == [("load('x')", FAILED, PASSED), ("load('x', colour=1)", PASSED, FAILED)]


def test_without_an_environment_its_checks_are_unknown() -> None:
    candidate = a_candidate("load('x')", "from gadget import load")
    assert {check.name: check.status for check in candidate.checks} == {
        "documented": PASSED,
        "installed": UNKNOWN,
        "signature": UNKNOWN,
        "syntax": PASSED,
    }
