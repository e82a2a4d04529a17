"""What is installed, what answers, what is missing, and the command that mends it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jupyter_core.paths import jupyter_config_path, jupyter_path

from gorilla_jupyter.catalog.files import CatalogFileError
from gorilla_jupyter.catalog.store import CatalogStore
from gorilla_jupyter.index.vectors import EncoderError
from gorilla_jupyter.model.backend import DEFAULT_MODEL, load_encoder
from gorilla_jupyter.model.encoder import MODEL, WEIGHTS
from gorilla_jupyter.model.onnx import CUDA, providers

REINSTALL = "pip install --force-reinstall --no-deps gorilla-jupyter"
OPTIONAL = ("torch", "transformers", "onnxruntime-gpu")
REQUIRED = ("gorilla-jupyter", "jupyterlab", "jupyter-server", "ipykernel", "ipywidgets", "whoosh")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    :ivar mend: the command or the step that puts it right; "" where nothing is wrong.
    """

    subject: str
    healthy: bool
    sentence: str
    mend: str = ""

    def __str__(self) -> str:
        mark = "ok " if self.healthy else "NO "
        mend = f"\n       to mend it: {self.mend}" if self.mend else ""
        return f"{mark} {self.subject}: {self.sentence}{mend}"


def examine() -> list[Finding]:
    """Look at everything, from the interpreter to the index."""
    return [
        Finding("Python", True, f"{platform.python_version()} on {platform.platform(terse=True)}"),
        *_packages(),
        _onnxruntime(),
        _shared_file(
            "Server extension",
            jupyter_config_path(),
            Path("jupyter_server_config.d/gorilla_jupyter.json"),
        ),
        _shared_file(
            "JupyterLab extension",
            jupyter_path("labextensions"),
            Path("gorilla-jupyter/package.json"),
        ),
        _shared_file("Kernel", jupyter_path("kernels"), Path("gorilla/kernel.json")),
        *_servers(),
        _model(),
        *_catalogs(),
        _writable("Catalog folder", CatalogStore().folder),
        *_index(),
    ]


def _packages() -> Iterator[Finding]:
    for name in REQUIRED:
        try:
            yield Finding(name, True, importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            yield Finding(name, False, "not installed", f"pip install {name}")
    for name in OPTIONAL:
        try:
            yield Finding(name, True, importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            yield Finding(name, True, "not installed, and not needed by the embedded model")


def _onnxruntime() -> Finding:
    found = sorted(set(importlib.metadata.packages_distributions().get("onnxruntime", [])))
    if len(found) > 1:
        return Finding(
            "onnxruntime",
            False,
            f"{' and '.join(found)} overwrite each other's files; keep the one for the GPU",
            "pip uninstall -y onnxruntime && pip install --force-reinstall --no-deps "
            "onnxruntime-gpu",
        )
    if not found:
        return Finding("onnxruntime", False, "not installed", "pip install onnxruntime")
    version = f"{found[0]} {importlib.metadata.version(found[0])}"
    if found == ["onnxruntime-gpu"] and not _reaches_gpu():
        return Finding(
            "onnxruntime",
            False,
            f"{version} finds no GPU, or not the libraries of CUDA: exported models run on the CPU",
            "pip install 'onnxruntime-gpu[cuda,cudnn]'",
        )
    return Finding("onnxruntime", True, version)


def _reaches_gpu() -> bool:
    from onnxruntime import InferenceSession

    session = InferenceSession(WEIGHTS / MODEL, providers=providers())
    return CUDA in session.get_providers()


def _model() -> Finding:
    try:
        load_encoder()
    except EncoderError as error:
        return Finding("Model", False, str(error), REINSTALL)
    return Finding("Model", True, f"'{DEFAULT_MODEL}', part of this package")


def _shared_file(subject: str, folders: list[str], file: Path) -> Finding:
    for folder in folders:
        path = Path(folder) / file
        if path.is_file():
            return Finding(subject, True, str(path))
    return Finding(subject, False, f"{file} is in none of Jupyter's folders", REINSTALL)


def _servers() -> Iterator[Finding]:
    from jupyter_server.serverapp import list_running_servers

    from gorilla_jupyter.magics.client import Server, ServerGoneError, ServerRefusalError

    none = True
    for info in list_running_servers():
        none = False
        try:
            status = Server(info["url"], info["token"]).status()
        except (ServerGoneError, ServerRefusalError) as error:
            yield Finding("Server", False, str(error), "restart that server")
        else:
            sentence = f"{info['url']}, model '{status.model}', worker {status.worker}"
            yield Finding("Server", True, sentence)
    if none:
        yield Finding("Server", True, "none is running; kernels and terminals answer themselves")


def _catalogs() -> Iterator[Finding]:
    for catalog in CatalogStore().catalogs():
        subject = f"Catalog {catalog.name}"
        try:
            reading = catalog.read()
        except CatalogFileError as error:
            yield Finding(subject, False, str(error), f"mend or remove {catalog.path}")
            continue
        faults = "".join(f"\n       {refusal}" for refusal in reading.refusals)
        yield Finding(
            subject,
            not reading.refusals,
            f"{len(reading.records)} records{faults}",
            f"correct these lines in {catalog.path}" if faults else "",
        )


def _index() -> Iterator[Finding]:
    try:
        from gorilla_jupyter.index.search import index_folder
    except ImportError:
        return  # what is missing for it stands among the packages
    yield _writable("Index folder", index_folder())


def _writable(subject: str, folder: Path) -> Finding:
    # Not Path.exists, which fails where a folder on the way may not be searched.
    existing = next(path for path in (folder, *folder.parents) if os.access(path, os.F_OK))
    if existing.is_dir() and os.access(existing, os.W_OK):
        return Finding(subject, True, str(folder))
    return Finding(
        subject, False, f"{folder} cannot be written", "set GORILLA_HOME to a folder of your own"
    )
