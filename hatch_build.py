"""Builds the index of the shipped catalogs into the package: the first question after an
installation need not wait for it."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ShippedIndexHook(BuildHookInterface):  # type: ignore[misc]
    """Runs before a wheel is made, an editable one included."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write the index beside the shipped catalogs, in place of an older one."""
        sys.path.insert(0, self.root)
        from gorilla_jupyter.catalog.store import BUILTIN, CatalogStore
        from gorilla_jupyter.index.search import DocumentIndex

        folder = BUILTIN / "index"
        shutil.rmtree(folder, ignore_errors=True)
        with tempfile.TemporaryDirectory() as no_catalogs:
            store = CatalogStore(Path(no_catalogs), project=None)
            for _ in DocumentIndex(store, folder).refresh():
                pass
