from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gorilla_jupyter.demo.session import JupyterServer, Kernel


@pytest.fixture
def server(indexed_home: Path) -> Iterator[JupyterServer]:
    """A Jupyter server with the extension, as the installed package configures it."""
    with JupyterServer() as server:
        yield server


@pytest.fixture
def kernel(server: JupyterServer) -> Kernel:
    """A Python kernel of that server, with the magics loaded."""
    kernel = server.start_kernel()
    kernel.run("%load_ext gorilla_jupyter")
    return kernel
