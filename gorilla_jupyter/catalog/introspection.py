"""Tells the public API of one installed distribution, as JSON lines on standard output.

It runs in the interpreter that it describes, which need not be ours: standard library only, any
Python from 3.9 on. ``environment.py`` starts it and reads the lines::

    python introspection.py describe
    python introspection.py read NAME SECONDS [MODULE ...]     modules that are not to be imported

    {"prefix": ..., "version": ..., "distributions": {NAME: VERSION}}      describe

    {"importing": MODULE}                                                  read
    {"failed": MODULE, "error": SENTENCE}
    {"path": ..., "module": ..., "kind": ..., "signature": ..., ...}
    {"end": NUMBER, "left": NUMBER}        callables told, modules left out for want of time
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import inspect
import json
import os
import pkgutil
import re
import sys
import time
import types
import warnings
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

PYTHON = "python"
"""The name that the standard library goes by."""

PRIVATE_MODULE = re.compile(
    r"(^|\.)(_[^.]*|tests?|conftest|setup|externals?|extern|vendor(ed)?|third_party|benchmarks?"
    r"|pylab|idlelib|turtledemo|lib2to3|antigravity|this|posix|nt|posixpath|ntpath|genericpath"
    r"|pydoc_data|ensurepip|encodings|sre_\w+|opcode)(\.|$)"
)
INTERNAL_MODULES = (
    *("matplotlib.backends", "matplotlib.sphinxext", "matplotlib.testing"),
    *("numpy.core", "numpy.distutils", "numpy.f2py", "numpy.ma.testutils", "numpy.matlib"),
    *("pandas.compat", "pandas.core", "pandas.io.clipboard", "pandas.io.common"),
    *("scipy.special.cython_special", "sklearn.utils.estimator_checks"),
)
"""Modules without an underscore that their projects call internal, or have given up."""

MAX_DEFAULT = 100
MAX_ANNOTATION = 200
MAX_DOCUMENT = 20_000
"""Characters; what is longer tells a reader no more."""


def main(arguments: list[str]) -> None:
    output = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="replace")
    os.dup2(2, 1)  # what a package prints must not get among the lines
    warnings.simplefilter("ignore")
    if arguments[0] == "describe":
        tell(output, describe())
    else:
        name, seconds, *skipped = arguments[1:]
        Reading(name, float(seconds), frozenset(skipped), output).run()
    output.flush()
    # Without waiting for the threads and the exit handlers of what was imported.
    os._exit(0)


def tell(output: TextIO, line: dict[str, Any]) -> None:
    output.write(json.dumps(line) + "\n")


def describe() -> dict[str, Any]:
    versions = {PYTHON: ".".join(map(str, sys.version_info[:3]))}
    for distribution in importlib.metadata.distributions():
        try:
            name = normalized(distribution.metadata["Name"])
            # The first on the path is the one that is imported.
            versions.setdefault(name, distribution.version)
        except Exception:  # a folder that only looks like a distribution
            continue
    return {"prefix": sys.prefix, "version": versions[PYTHON], "distributions": versions}


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def root_modules(name: str) -> list[str]:
    """The topmost modules of a distribution that are its own: ``google.protobuf``, not
    ``google``."""
    if name == PYTHON:
        known: Any = getattr(sys, "stdlib_module_names", None) or {
            *sys.builtin_module_names,
            *(found.name for found in pkgutil.iter_modules([str(Path(os.__file__).parent)])),
        }
        return sorted({*known, "os.path"})
    distribution = importlib.metadata.distribution(name)
    packages: set[tuple[str, ...]] = set()
    modules: set[str] = set()
    for file in distribution.files or ():
        *folders, last = file.parts
        if not all(folder.isidentifier() for folder in folders):
            continue
        stem, _, suffix = last.partition(".")
        if stem == "__init__" and folders and suffix.endswith(("py", "so", "pyd")):
            packages.add(tuple(folders))
        elif not folders and stem.isidentifier() and suffix.endswith(("py", "so", "pyd")):
            modules.add(stem)
    topmost = {
        ".".join(package)
        for package in packages
        if not any(package[:end] in packages for end in range(1, len(package)))
    }
    # An editable installation lists none of its modules.
    told = (distribution.read_text("top_level.txt") or name.replace("-", "_")).split()
    found = {root for root in topmost | modules if not PRIVATE_MODULE.search(root)}
    return sorted(found or filter(is_found, told))


def is_found(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


class Reading:
    """One distribution, read.

    :param seconds: after which no further module is imported; what was reached is told.
    """

    def __init__(self, name: str, seconds: float, skipped: frozenset[str], output: TextIO) -> None:
        self.name = name
        self.until = time.monotonic() + seconds
        self.skipped = skipped
        self.output = output
        self.roots = root_modules(name)
        self.families = {root.partition(".")[0].lstrip("_") for root in self.roots}
        self.best: dict[int, tuple[Any, str, str, Any]] = {}
        self.homes: dict[int, Any] = {}
        self.loaded: frozenset[str] = frozenset()
        self.left = 0
        self.count = 0

    def run(self) -> None:
        for module in self.modules():
            if module.__name__ in self.roots:
                # What importing the topmost module makes reachable, before the others are.
                self.loaded |= frozenset(sys.modules)
            for name, found in self.public(module):
                path = f"{module.__name__}.{name}"
                # The shortest path is the documented one; of two in a module, its own name.
                alias = getattr(found, "__name__", name) != name
                rank = (path.count("."), alias, len(path), path)
                if id(found) not in self.best or rank < self.best[id(found)][0]:
                    self.best[id(found)] = (rank, module.__name__, name, found)
        for _, _, _, found in self.best.values():
            for _, owner in self.accessors(found) if inspect.isclass(found) else ():
                # Of several classes with the same accessor, the one that offers most.
                home = self.homes.get(id(owner))
                if home is None or len(dir(found)) > len(dir(home)):
                    self.homes[id(owner)] = found
        for _, home, name, found in sorted(self.best.values(), key=lambda entry: entry[0]):
            if inspect.isclass(found):
                self.tell_class(home, name, found)
            else:
                self.tell_callable("function", home, name, found)
        tell(self.output, {"end": self.count, "left": self.left})

    def modules(self) -> Iterator[types.ModuleType]:
        """The public modules, those nearest to the top first."""
        waiting = deque(root for root in self.roots if self.is_public(root))
        while waiting:
            name = waiting.popleft()
            if time.monotonic() > self.until:
                self.left += 1
                continue
            tell(self.output, {"importing": name})
            self.output.flush()
            try:
                module = importlib.import_module(name)
                inner = list(pkgutil.iter_modules(getattr(module, "__path__", ()), name + "."))
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # packages exit, and tests skip, with other exceptions
                sentence = f"{type(error).__name__}: {error}".split("\n")[0]
                tell(self.output, {"failed": name, "error": sentence[:300]})
                continue
            if isinstance(module, types.ModuleType):
                module.__name__ = name  # os.path calls itself posixpath
                yield module
            waiting.extend(found.name for found in inner if self.is_public(found.name))

    def is_public(self, module: str) -> bool:
        return not (
            module in self.skipped
            or PRIVATE_MODULE.search(module)
            or any(f"{module}.".startswith(f"{internal}.") for internal in INTERNAL_MODULES)
        )

    def is_reachable(self, module: str) -> bool:
        """Whether it is there as soon as the topmost module is imported, be it loaded when it is
        asked for."""
        parent, _, last = module.rpartition(".")
        listed = getattr(sys.modules.get(parent), "__all__", ())
        return module in self.loaded or (last in listed and self.is_reachable(parent))

    def public(self, module: types.ModuleType) -> Iterator[tuple[str, Any]]:
        """The callables that a module offers: what ``__all__`` says, or what it defines."""
        listed = getattr(module, "__all__", None)
        names = listed if isinstance(listed, (list, tuple)) else sorted(vars(module))
        for name in names:
            if not isinstance(name, str) or name.startswith("_"):
                continue
            try:
                found = getattr(module, name)
                told = is_told(found) and self.is_own(found, module, names is listed)
            except Exception:  # made when asked for, by code that may fail
                continue
            if told:
                yield name, found

    def is_own(self, found: Any, module: types.ModuleType, listed: bool) -> bool:
        origin = getattr(found, "__module__", None) or module.__name__
        if not isinstance(origin, str) or origin.partition(".")[0].lstrip("_") == "":
            return False
        family = origin.partition(".")[0].lstrip("_")
        if listed:
            return self.name == PYTHON or family in self.families
        home = re.sub(r"(^|\.)_+", r"\1", origin)  # sqlite3.connect calls itself _sqlite3's
        within = hasattr(module, "__path__") and home.startswith(f"{module.__name__}.")
        return home == module.__name__ or within

    def tell_class(self, module: str, name: str, found: Any) -> None:
        self.tell_callable("class", module, name, found)
        for method, function, kind in self.methods(found):
            function = getattr(function, "__func__", function)
            self.tell_callable(kind, module, f"{name}.{method}", function)
        for accessor, owner in self.accessors(found):
            if self.homes[id(owner)] is found:
                for method, function, kind in self.methods(owner):
                    if kind == "method":
                        self.tell_callable(kind, module, f"{name}.{accessor}.{method}", function)

    def methods(self, owner: Any) -> Iterator[tuple[str, Any, str]]:
        """Name, function as it lies in the class, and kind of the public methods of a class that
        no other public class documents."""
        for name in dir(owner):
            if name.startswith("_"):
                continue
            function = inspect.getattr_static(owner, name, None)
            origin = next((base for base in owner.__mro__ if name in vars(base)), owner)
            inherited = self.name != PYTHON and not self.is_of_family(origin)
            if inherited or any(
                id(base) in self.best and inspect.getattr_static(base, name, None) is function
                for base in owner.__mro__[1:]
            ):
                continue
            if isinstance(function, staticmethod):
                yield name, function, "staticmethod"
            elif isinstance(function, (classmethod, types.ClassMethodDescriptorType)):
                yield name, function, "classmethod"
            elif inspect.isroutine(function):
                yield name, function, "method"

    def accessors(self, owner: Any) -> Iterator[tuple[str, Any]]:
        """Attributes of a class that hold methods of their own: ``str`` of ``pandas.Series``."""
        for name in dir(owner):
            if name.startswith("_") or not name.islower():
                continue
            if inspect.isclass(inspect.getattr_static(owner, name, None)):
                continue  # a class within a class is no namespace of its objects
            try:
                found = getattr(owner, name)
            except Exception:  # computed for objects, not for classes
                continue
            if inspect.isclass(found) and self.is_of_family(found) and id(found) not in self.best:
                yield name, found

    def is_of_family(self, found: Any) -> bool:
        return str(found.__module__).partition(".")[0].lstrip("_") in self.families

    def tell_callable(self, kind: str, module: str, name: str, found: Any) -> None:
        document = document_of(found)
        if not document:
            return
        self.count += 1
        tell(
            self.output,
            {
                "path": f"{module}.{name}",
                "module": module,
                "kind": kind,
                "reachable": self.is_reachable(module),
                "signature": signature_of(found, bound=kind in ("method", "classmethod")),
                "deprecated": bool(getattr(found, "__deprecated__", None)),
                "document": document[:MAX_DOCUMENT],
            },
        )


def is_told(found: Any) -> bool:
    if inspect.isclass(found):
        return not issubclass(found, BaseException)
    if inspect.ismodule(found) or not callable(found):
        return False
    if inspect.isroutine(found):
        return True
    # NumPy's ufuncs; SciPy's distributions, each an object with a document of its own.
    described = getattr(found, "__doc__", None) != type(found).__doc__
    return described and not isinstance(found, types.GenericAlias)


def document_of(found: Any) -> str:
    try:
        if not inspect.isclass(found):
            return inspect.getdoc(found) or ""
        # Of its own, not of its parent.
        own = inspect.cleandoc(vars(found).get("__doc__") or "")
        initial = vars(found).get("__init__")
        told = re.search(r"^(Parameters|Args:|Arguments:)|:param ", own, re.MULTILINE)
        if inspect.isfunction(initial) and initial.__doc__ and not told:
            own += "\n\n" + inspect.cleandoc(initial.__doc__)
        return own.strip()
    except Exception:
        return ""


def signature_of(found: Any, *, bound: bool) -> list[list[str | None]] | None:
    """Name, kind, default and annotation of each parameter; None where there is no telling."""
    try:
        parameters = list(inspect.signature(found).parameters.values())
    except Exception:  # not only built-in callables: packages compute signatures, and fail
        return None
    told: list[list[str | None]] = []
    for parameter in parameters[1:] if bound else parameters:
        has_default = parameter.default is not inspect.Parameter.empty
        told.append(
            [
                parameter.name,
                parameter.kind.name,
                default_of(parameter.default) if has_default else None,
                annotation_of(parameter.annotation),
            ]
        )
    return told


def default_of(value: Any) -> str:
    if isinstance(value, (types.FunctionType, type)):
        return value.__name__
    try:
        text = repr(value)
        compile(text, "", "eval")
    except Exception:  # what has no literal form
        return "..."
    return text if len(text) <= MAX_DEFAULT else "..."


def annotation_of(annotation: Any) -> str:
    if annotation is inspect.Parameter.empty:
        return ""
    try:
        text = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    except Exception:
        return ""
    return text.replace("typing.", "")[:MAX_ANNOTATION]


if __name__ == "__main__":
    main(sys.argv[1:])
