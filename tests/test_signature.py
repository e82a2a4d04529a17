from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from gorilla_jupyter import signature
from gorilla_jupyter.answer import Candidate, Check, CheckStatus
from tests.candidates import a_candidate, a_record

PASSED, FAILED, UNKNOWN = CheckStatus.PASSED, CheckStatus.FAILED, CheckStatus.UNKNOWN


def checked(api_call: str, imports: str) -> Check:
    (check,) = signature.check_signatures([a_candidate(api_call, imports)])
    return check


def test_a_loaded_package_takes_or_refuses_the_arguments() -> None:
    assert checked("Path.cwd()", "from pathlib import Path").status is PASSED
    check = checked("replace(1, colour=2, *x)", "from dataclasses import replace")
    assert check.status is UNKNOWN
    check = checked("ast.parse('x', colour='red')", "import ast")
    assert check.status is FAILED
    assert "unexpected keyword argument 'colour'" in check.sentence


def test_a_loaded_package_that_lacks_the_name_is_told() -> None:
    check = checked("Path.fly()", "from pathlib import Path")
    assert (check.status, check.sentence) == (FAILED, "The installed package has no Path.fly.")


def test_a_callable_without_signature_is_unknown() -> None:
    assert checked("builtins.dict(a=1)", "import builtins").status is UNKNOWN


def test_a_package_that_is_not_loaded_is_asked_elsewhere(
    install_module: Callable[..., None],
) -> None:
    install_module("gadget", "def load(name, *, size=1): raise SystemExit('called')")
    assert checked("gadget.load('x', size=2)", "import gadget").status is PASSED
    check = checked("load('x', colour=2)", "from gadget import load")
    assert check.status is FAILED
    assert "unexpected keyword argument 'colour'" in check.sentence
    assert "gadget" not in sys.modules


def test_a_real_package_is_asked_without_being_loaded() -> None:
    program = (
        "import sys\n"
        "from gorilla_jupyter.answer import Candidate\n"
        "from gorilla_jupyter.record import ApiRecord\n"
        "from gorilla_jupyter.signature import check_signatures\n"
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
    install_module: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    install_module(
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
    check = checked("lazy.load('x')", "import lazy")
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
    install_module: Callable[..., None], kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    code, status = BAD_IMPORTS[kind]
    install_module("gadget", f"def load(name): pass\n{code}\n")
    assert checked("load('x')", "from gadget import load").status is status
    assert capfd.readouterr() == ("", "")


def test_a_package_that_hangs_is_left_alone_until_it_is_loaded(
    install_module: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signature, "IMPORT_SECONDS", 0.2)
    install_module("gadget", "import time\ntime.sleep(60)\n")
    begin = time.monotonic()
    check = checked("load('x')", "from gadget import load")
    assert (check.status, check.sentence) == (
        UNKNOWN,
        "Import gadget yourself, and its signature is checked.",
    )
    assert time.monotonic() - begin < 10
    loaded = type(sys)("gadget")
    monkeypatch.setattr(loaded, "load", lambda name: None, raising=False)
    monkeypatch.setitem(sys.modules, "gadget", loaded)
    assert checked("load('x')", "from gadget import load").status is PASSED


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no process groups")
def test_what_a_hanging_package_has_started_is_ended_with_it(
    install_module: Callable[..., None], tmp_path: Path
) -> None:
    install_module(
        "gadget",
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE)\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(child.pid))\n"
        "child.wait()\n",
    )
    assert checked("load('x')", "from gadget import load").status is UNKNOWN
    with suppress(psutil.NoSuchProcess):
        child = psutil.Process(int((tmp_path / "pid").read_text()))
        psutil.wait_procs([child], timeout=5)
        assert child.status() == psutil.STATUS_ZOMBIE


def test_one_bad_package_does_not_spoil_the_others(install_module: Callable[..., None]) -> None:
    install_module("gadget", "import os\nos._exit(1)\n")
    install_module("widget", "def load(name): pass\n")
    checks = signature.check_signatures(
        [
            a_candidate("load('x')", "from gadget import load"),
            a_candidate("load('x')", "from widget import load"),
        ]
    )
    assert [check.status for check in checks] == [UNKNOWN, PASSED]


def test_an_answer_is_remembered_for_that_version(
    install_module: Callable[..., None], modules: Path
) -> None:
    install_module("gadget", "def load(name): pass\n")
    assert checked("load('x')", "from gadget import load").status is PASSED
    (modules / "gadget.py").write_text("def load(): pass\n")
    assert checked("load('x')", "from gadget import load").status is PASSED
    (modules / "gadget-1.0.dist-info").rename(modules / "gadget-2.0.dist-info")
    (modules / "gadget-2.0.dist-info" / "METADATA").write_text("Name: gadget\nVersion: 2.0\n")
    assert checked("load('x')", "from gadget import load").status is FAILED


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
    modules: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, imports: str
) -> None:
    mark = tmp_path / "mark"
    hostile = tmp_path / "notebooks" / file
    hostile.parent.mkdir(parents=True)
    hostile.write_text(MARK.format(mark))
    monkeypatch.chdir(tmp_path / "notebooks")
    monkeypatch.syspath_prepend("")
    call = "gadget.load('x')" if imports == "import gadget" else "load('x')"
    checked(call, imports)
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
    modules: Path, tmp_path: Path, call: str, imports: str
) -> None:
    mark = tmp_path / "mark"
    package = modules / "gadget"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(MARK.format(mark))
    metadata = modules / "gadget-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Name: gadget\nVersion: 1.0\n")
    (metadata / "RECORD").write_text("gadget/__init__.py,,\n")
    record = a_record(call)
    candidate = Candidate(record, call, "", 1.0, f"{imports}\n{call}", ())
    (check,) = signature.check_signatures([candidate])
    assert check.status is UNKNOWN
    assert not mark.exists()
    assert "antigravity" not in sys.modules


def test_the_call_and_the_example_are_not_run(
    install_module: Callable[..., None], tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    install_module("gadget", "def load(name): pass\n")
    call = f"load(open({str(mark)!r}, 'w'))"
    check = checked(call, f"from gadget import load; open({str(mark)!r}, 'w')")
    assert check.status is PASSED
    assert not mark.exists()


def test_what_is_no_call_has_no_signature(install_module: Callable[..., None]) -> None:
    install_module("gadget", "def load(name): pass\n")
    candidate = a_candidate("load('x')", "from gadget import load")
    (check,) = signature.check_signatures([replace(candidate, api_call="not Python (")])
    assert check.status is UNKNOWN
