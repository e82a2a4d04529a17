"""The catalogs on disk: those that are shipped and the user's own. They are the source of truth."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import platformdirs

from gorilla_jupyter.catalog.files import CatalogFileError, Reading, read_file
from gorilla_jupyter.record import ApiRecord

BUILTIN = Path(__file__).parent / "builtin"


class CatalogError(Exception):
    """A change to the catalogs that cannot be made; the message says why."""


def data_folder() -> Path:
    """Where this user's catalogs live: ``$GORILLA_HOME/catalogs`` or the platform's place."""
    home = os.environ.get("GORILLA_HOME")
    root = Path(home) if home else platformdirs.user_data_path("gorilla-jupyter")
    return root / "catalogs"


def environment_name(prefix: str = sys.prefix) -> str:
    """What the environment of an interpreter goes by.

    :param prefix: the interpreter's ``sys.prefix``.
    """
    digest = hashlib.sha256(prefix.encode(errors="surrogatepass")).hexdigest()[:8]
    return re.sub(r"[^\w.-]", "-", f"{Path(prefix).name}-{digest}").strip("-.")


@dataclass(frozen=True)
class Catalog:
    """One catalog file.

    :ivar digest: SHA-256 of the file's bytes; it changes whenever the content does.
    :ivar environment: the environment that it describes; "" for what holds everywhere.
    """

    name: str
    path: Path
    builtin: bool
    digest: str
    environment: str = ""

    def read(self) -> Reading:
        """:raises CatalogFileError: if the file cannot be read at all."""
        return read_file(self.path, source=self.name)

    def count_lines(self) -> int:
        """About how many records there are, without reading them; 0 where the file is gone."""
        try:
            return self.path.read_bytes().count(b"\n")
        except OSError:
            return 0


@dataclass(frozen=True)
class Addition:
    """What :meth:`CatalogStore.add` did."""

    name: str
    reading: Reading
    replaced: bool


class CatalogStore:
    """The shipped catalogs and those in ``folder``, one ``.jsonl`` file each.

    Opening a store touches nothing on disk; the folder is made by the first :meth:`add`.
    """

    def __init__(self, folder: Path | None = None, *, builtin: Path | None = BUILTIN) -> None:
        self.folder = folder or data_folder()
        self._builtin = builtin
        self._digests: dict[Path, tuple[tuple[int, int], str]] = {}

    def catalogs(self) -> list[Catalog]:
        """The catalogs as they are on disk now, the shipped ones first."""
        shipped = [self._catalog(path, builtin=True) for path in _paths(self._builtin)]
        names = {catalog.name for catalog in shipped}
        own = [self._catalog(path, builtin=False) for path in _paths(self.folder)]
        # A later version may ship a catalog under a name that the user took first.
        own = [
            replace(catalog, name=f"{catalog.name}-own") if catalog.name in names else catalog
            for catalog in own
        ]
        return [*shipped, *own, *self._environment_catalogs()]

    def add(self, path: Path, *, name: str | None = None) -> Addition:
        """Copy the records of ``path`` into the catalog ``name`` (default: the file's name).

        A catalog of that name is replaced. Records that cannot be read are left out and named in
        the result; ``path`` itself is never changed.

        :raises CatalogError: if there is no record in it, or the catalog cannot be written.
        """
        name = _catalog_name(name or path.stem)
        existing = {catalog.name: catalog for catalog in self.catalogs()}
        if name in existing and existing[name].builtin:
            raise CatalogError(f"'{name}' is a shipped catalog: give yours another name.")
        try:
            reading = read_file(path, source=name)
        except CatalogFileError as error:
            raise CatalogError(str(error)) from error
        if not reading.records:
            reasons = "".join(f"\n  {refusal}" for refusal in reading.refusals)
            raise CatalogError(f"{path} holds no API record; nothing was added.{reasons}")
        target = self.folder / f"{name}.jsonl"
        if target.exists() and target.samefile(path):
            raise CatalogError(f"{path} is the catalog '{name}' itself; nothing was added.")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_records(target, reading.records)
        except OSError as error:
            raise CatalogError(f"{target} cannot be written: {error.strerror}.") from error
        return Addition(name, reading, replaced=name in existing)

    def remove(self, name: str) -> None:
        """Delete one of the user's catalogs.

        :raises CatalogError: for a shipped catalog, or a name that there is not.
        """
        for catalog in self.catalogs():
            if catalog.name == name and not catalog.builtin:
                try:
                    catalog.path.unlink()
                except OSError as error:
                    raise CatalogError(
                        f"{catalog.path} cannot be removed: {error.strerror}."
                    ) from error
                return
            if catalog.name == name:
                raise CatalogError(f"'{name}' is a shipped catalog and stays.")
        own = [catalog.name for catalog in self.catalogs() if not catalog.builtin]
        raise CatalogError(f"There is no catalog '{name}'. Yours: {', '.join(own) or 'none yet'}.")

    @property
    def environments(self) -> Path:
        """The folder of the catalogs of what is installed, one folder for each environment."""
        return self.folder / "environments"

    def _environment_catalogs(self) -> Iterator[Catalog]:
        for folder in sorted(self.environments.glob("*/")):
            for path in _paths(folder):
                distribution = path.stem.rsplit("-", 2)[0]
                yield replace(
                    self._catalog(path, builtin=False),
                    name=f"{distribution}@{folder.name}",
                    environment=folder.name,
                )

    def _catalog(self, path: Path, *, builtin: bool) -> Catalog:
        try:
            digest = self._digest(path)
        except OSError:
            # Taken away, or unreadable: reading it says so, with its name.
            digest = ""
        name = path.stem.encode(errors="replace").decode()
        return Catalog(name, path, builtin, digest)

    def _digest(self, path: Path) -> str:
        status = path.stat()
        stamp = (status.st_size, status.st_mtime_ns)
        known = self._digests.get(path)
        if known is None or known[0] != stamp:
            known = (stamp, hashlib.sha256(path.read_bytes()).hexdigest())
            self._digests[path] = known
        return known[1]


def write_records(path: Path, records: Iterable[ApiRecord]) -> None:
    """Write a ``.jsonl`` catalog whole or not at all."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
            for record in records:
                file.write(json.dumps(record.to_json(), ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _paths(folder: Path | None) -> list[Path]:
    # What begins with a dot is a copy being written, or what other systems leave beside files.
    found = folder.glob("*.jsonl") if folder else ()
    return sorted(path for path in found if not path.name.startswith("."))


def _catalog_name(text: str) -> str:
    name = re.sub(r"[^\w.-]+", "-", text).strip("-.")
    if not name:
        raise CatalogError(f"'{text}' cannot name a catalog: use letters, digits, '-' and '_'.")
    return name
