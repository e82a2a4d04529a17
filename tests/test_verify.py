"""The checks, against documents and against what is installed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from gorilla_jupyter import verify
from gorilla_jupyter.answer import Answer, Candidate, Check, CheckStatus
from gorilla_jupyter.compose import compose
from gorilla_jupyter.record import ApiRecord, Argument

PASSED, FAILED, UNKNOWN = CheckStatus.PASSED, CheckStatus.FAILED, CheckStatus.UNKNOWN


def a_record(api_call: str = "load('acme/voice')", **fields: Any) -> ApiRecord:
    return ApiRecord("Audio", "Widgets", "Speech", "acme/voice", api_call, **fields)


def a_candidate(api_call: str, imports: str, *requirements: str) -> Candidate:
    record = a_record(
        api_call,
        example_code=f"{imports}\nresult = {api_call}",
        python_environment_requirements=requirements,
    )
    code = compose(record, api_call)
    checks = verify.verify(record, api_call, code)
    return Candidate(record, api_call, "", 1.0, code, checks)


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


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed packages, for this process and those it starts."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    path = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setattr(verify, "_known", {})
    monkeypatch.setattr(verify, "_slow", set())
    return folder


@pytest.fixture
def install(site: Path) -> Callable[..., None]:
    """Installs a package of one module."""

    def install(name: str, code: str = "", *, version: str = "1.0") -> None:
        (site / f"{name}.py").write_text(code)
        metadata = site / f"{name}-{version}.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n")
        (metadata / "RECORD").write_text(f"{name}.py,,\n")

    return install


def installed(*requirements: str) -> Check:
    return verify.check_installed(a_record(python_environment_requirements=requirements))


@pytest.mark.parametrize(
    "requirement",
    ["gadget", "Gadget>=1,<2", "gadget[fast]", "gadget==1.*", "gadget 0.9", "gadget~=1.0"],
)
def test_what_is_there_is_installed(install: Callable[..., None], requirement: str) -> None:
    install("gadget")
    check = installed(requirement)
    assert (check.status, check.sentence.lower()) == (PASSED, "installed here: gadget 1.0.")


def test_what_is_missing_comes_with_the_command_that_installs_it(
    install: Callable[..., None],
) -> None:
    install("gadget")
    check = installed("gadget>=2", "gadget", "no-such-widget", "other[fast]>1")
    assert check.status is FAILED
    assert check.sentence == (
        'Missing here; run: %pip install "gadget>=2" no-such-widget "other[fast]>1"'
    )


def test_a_requirement_of_another_environment_does_not_count(
    install: Callable[..., None],
) -> None:
    install("gadget")
    check = installed("gadget", "no-such-widget; python_version < '3'")
    assert check.status is PASSED


def test_a_name_that_documents_use_is_the_distributions(install: Callable[..., None]) -> None:
    install("opencv_python")
    assert installed("cv2").status is PASSED


@pytest.mark.parametrize("version", ["strange", "2004d.final.thing"])
def test_a_version_that_cannot_be_compared_satisfies_the_name_alone(
    install: Callable[..., None], version: str
) -> None:
    install("gadget", version=version)
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
    ],
)
def test_a_document_that_says_nothing_clear_is_unknown_or_missing(
    requirements: tuple[str, ...],
) -> None:
    check = installed(*requirements)
    assert check.status in (UNKNOWN, FAILED)
    assert "reboot" not in check.sentence


# signature


def signature(api_call: str, imports: str) -> Check:
    (check,) = verify.check_signatures([a_candidate(api_call, imports)])
    return check


def test_a_loaded_package_takes_or_refuses_the_arguments() -> None:
    assert signature("Path.cwd()", "from pathlib import Path").status is PASSED
    check = signature("replace(1, colour=2, *x)", "from dataclasses import replace")
    assert check.status is UNKNOWN
    check = signature("ast.parse('x', colour='red')", "import ast")
    assert check.status is FAILED
    assert "unexpected keyword argument 'colour'" in check.sentence


def test_a_loaded_package_that_lacks_the_name_is_told() -> None:
    check = signature("Path.fly()", "from pathlib import Path")
    assert (check.status, check.sentence) == (FAILED, "The installed package has no Path.fly.")


def test_a_callable_without_signature_is_unknown() -> None:
    assert signature("builtins.dict(a=1)", "import builtins").status is UNKNOWN


def test_a_package_that_is_not_loaded_is_asked_elsewhere(install: Callable[..., None]) -> None:
    install("gadget", "def load(name, *, size=1): raise SystemExit('called')")
    assert signature("gadget.load('x', size=2)", "import gadget").status is PASSED
    check = signature("load('x', colour=2)", "from gadget import load")
    assert check.status is FAILED
    assert "unexpected keyword argument 'colour'" in check.sentence
    assert "gadget" not in sys.modules


def test_a_real_package_is_asked_without_being_loaded() -> None:
    program = (
        "import sys\n"
        "from gorilla_jupyter.answer import Candidate\n"
        "from gorilla_jupyter.record import ApiRecord\n"
        "from gorilla_jupyter.verify import check_signatures\n"
        "for call in ('np.linalg.norm([1], axis=0)', 'np.linalg.norm([1], colour=0)'):\n"
        "    record = ApiRecord('d', 'f', 'x', 'n', call)\n"
        "    code = f'import numpy as np\\n{call}'\n"
        "    (check,) = check_signatures([Candidate(record, call, '', 1.0, code, ())])\n"
        "    print(check.status, 'numpy' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["passed", "False", "failed", "False"]


def test_a_lazy_package_is_not_made_to_load_more(
    install: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    install(
        "lazy",
        "import os\nasked = os.getpid()\n"
        "def __getattr__(name):\n"
        "    global touched\n"
        "    touched = True\n"
        "    if name == 'load': return lambda name: None\n"
        "    raise AttributeError(name)\n",
    )
    import lazy  # type: ignore[import-not-found]

    monkeypatch.setitem(sys.modules, "lazy", lazy)
    check = signature("lazy.load('x')", "import lazy")
    assert check.status is PASSED
    assert "touched" not in vars(lazy)


BAD_IMPORTS = {
    "prints": ('print(\'[["failed", "No."]]\', flush=True)', PASSED),
    "prints past Python": ("import os; os.write(1, b'noise\\n')", PASSED),
    "reads input": ("input()", UNKNOWN),
    "raises": ("raise RuntimeError('boom')", UNKNOWN),
    "is interrupted": ("raise KeyboardInterrupt", UNKNOWN),
    "exits": ("import sys; sys.exit(3)", UNKNOWN),
    "is killed": ("import os; os._exit(1)", UNKNOWN),
    "starts a thread": (
        "import threading, time; threading.Thread(target=time.sleep, args=(60,)).start()",
        PASSED,
    ),
    "fails at attributes": (
        "class Load:\n"
        "    def __get__(self, *a): raise RuntimeError\n"
        "class Bad:\n"
        "    @property\n"
        "    def __signature__(self): raise RuntimeError\n"
        "    def __call__(self, name): pass\n"
        "load = Bad()",
        UNKNOWN,
    ),
}


@pytest.mark.parametrize("kind", BAD_IMPORTS)
def test_a_package_that_misbehaves_when_imported_does_no_harm(
    install: Callable[..., None], kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    code, status = BAD_IMPORTS[kind]
    install("gadget", f"def load(name): pass\n{code}\n")
    assert signature("load('x')", "from gadget import load").status is status
    assert capfd.readouterr() == ("", "")


def test_a_package_that_hangs_is_left_alone_until_it_is_loaded(
    install: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "IMPORT_SECONDS", 0.2)
    install("gadget", "import time\ntime.sleep(60)\n")
    begin = time.monotonic()
    check = signature("load('x')", "from gadget import load")
    assert (check.status, check.sentence) == (
        UNKNOWN,
        "Import gadget yourself, and its signature is checked.",
    )
    assert time.monotonic() - begin < 10
    loaded = type(sys)("gadget")
    monkeypatch.setattr(loaded, "load", lambda name: None, raising=False)
    monkeypatch.setitem(sys.modules, "gadget", loaded)
    assert signature("load('x')", "from gadget import load").status is PASSED


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no process groups")
def test_what_a_hanging_package_has_started_is_ended_with_it(
    install: Callable[..., None], tmp_path: Path
) -> None:
    install(
        "gadget",
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE)\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(child.pid))\n"
        "child.wait()\n",
    )
    assert signature("load('x')", "from gadget import load").status is UNKNOWN
    with suppress(psutil.NoSuchProcess):
        child = psutil.Process(int((tmp_path / "pid").read_text()))
        psutil.wait_procs([child], timeout=5)
        assert child.status() == psutil.STATUS_ZOMBIE


def test_one_bad_package_does_not_spoil_the_others(install: Callable[..., None]) -> None:
    install("gadget", "import os\nos._exit(1)\n")
    install("widget", "def load(name): pass\n")
    checks = verify.check_signatures(
        [
            a_candidate("load('x')", "from gadget import load"),
            a_candidate("load('x')", "from widget import load"),
        ]
    )
    assert [check.status for check in checks] == [UNKNOWN, PASSED]


def test_an_answer_is_remembered_for_that_version(install: Callable[..., None], site: Path) -> None:
    install("gadget", "def load(name): pass\n")
    assert signature("load('x')", "from gadget import load").status is PASSED
    (site / "gadget.py").write_text("def load(): pass\n")
    assert signature("load('x')", "from gadget import load").status is PASSED
    (site / "gadget-1.0.dist-info").rename(site / "gadget-2.0.dist-info")
    (site / "gadget-2.0.dist-info" / "METADATA").write_text("Name: gadget\nVersion: 2.0\n")
    assert signature("load('x')", "from gadget import load").status is FAILED


MARK = "from pathlib import Path; Path(r'{}').touch()\ndef load(name): pass\n"


@pytest.mark.parametrize(
    ("file", "imports"),
    [
        ("gadget.py", "from gadget import load"),
        ("gadget.py", "import gadget"),
        ("gadget/__init__.py", "from gadget import load"),
        ("json.py", "from json import load"),
        ("inspect.py", "from inspect import load"),
        ("packaging/__init__.py", "from packaging import load"),
        ("numpy.py", "from numpy import load"),
    ],
)
def test_no_code_of_the_current_folder_is_run(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, imports: str
) -> None:
    mark = tmp_path / "mark"
    hostile = tmp_path / "notebooks" / file
    hostile.parent.mkdir(parents=True)
    hostile.write_text(MARK.format(mark))
    monkeypatch.chdir(tmp_path / "notebooks")
    monkeypatch.syspath_prepend("")
    call = "gadget.load('x')" if imports == "import gadget" else "load('x')"
    signature(call, imports)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("call", "imports"),
    [
        ("load('x')", "from gadget.__main__ import load"),
        ("antigravity.geohash('x')", "import antigravity"),
        ("load('x')", "from . import load"),
        ("load('x')", "from gadget import *"),
    ],
)
def test_only_modules_of_installed_packages_are_imported(
    site: Path, tmp_path: Path, call: str, imports: str
) -> None:
    mark = tmp_path / "mark"
    package = site / "gadget"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(MARK.format(mark))
    metadata = site / "gadget-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Name: gadget\nVersion: 1.0\n")
    (metadata / "RECORD").write_text("gadget/__init__.py,,\n")
    record = a_record(call)
    candidate = Candidate(record, call, "", 1.0, f"{imports}\n{call}", ())
    (check,) = verify.check_signatures([candidate])
    assert check.status is UNKNOWN
    assert not mark.exists()
    assert "antigravity" not in sys.modules


def test_the_call_and_the_example_are_not_run(install: Callable[..., None], tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    install("gadget", "def load(name): pass\n")
    call = f"load(open({str(mark)!r}, 'w'))"
    check = signature(call, f"from gadget import load; open({str(mark)!r}, 'w')")
    assert check.status is PASSED
    assert not mark.exists()


def test_what_is_no_call_has_no_signature(install: Callable[..., None]) -> None:
    install("gadget", "def load(name): pass\n")
    candidate = a_candidate("load('x')", "from gadget import load")
    (check,) = verify.check_signatures([replace(candidate, api_call="not Python (")])
    assert check.status is UNKNOWN


def test_candidates_that_would_be_refused_go_to_the_end(install: Callable[..., None]) -> None:
    install("gadget", "def load(name): pass\n")
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
