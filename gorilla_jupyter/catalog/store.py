"""The catalogs on disk: the shipped ones, the user's own and a project's. They are the source of
truth."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

import platformdirs

from gorilla_jupyter.catalog.files import (
    MAX_FILE_BYTES,
    SUFFIXES,
    CatalogFileError,
    Reading,
    read_file,
)
from gorilla_jupyter.record import ApiRecord

BUILTIN = Path(__file__).parent / "builtin"
"""The folder of the shipped records."""

PROJECT = Path("gorilla-catalogs")
"""The folder of a project's catalogs, beside its notebooks."""

LEFTOVER_SECONDS = 24 * 60 * 60.0
"""The age at which a copy that nobody finished writing is deleted."""


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


class Origin(StrEnum):
    """Whose a catalog is; of two with the same name, that of the later one here is used."""

    SHIPPED = "shipped"
    ENVIRONMENT = "installed"
    USER = "yours"
    PROJECT = "project"


@dataclass(frozen=True)
class Catalog:
    """One catalog file.

    :ivar digest: SHA-256 of the file's bytes; it changes whenever the content does.
    :ivar hidden_by: the catalog of the same name that is used instead of this one.
    :ivar environment: the environment that it describes; "" for what holds everywhere.
    """

    name: str
    path: Path
    origin: Origin
    digest: str
    environment: str = ""
    hidden_by: Catalog | None = None

    @property
    def builtin(self) -> bool:
        return self.origin is Origin.SHIPPED

    @property
    def key(self) -> str:
        """What tells it from all others on this machine: projects may use the same names."""
        return _printable(self.path) if self.origin is Origin.PROJECT else self.name

    @property
    def notice(self) -> str | None:
        """A sentence on which catalog of that name is used, where it is not this one."""
        if self.hidden_by is None:
            return None
        return (
            f"There are two catalogs '{self.name}': {_printable(self.hidden_by.path)} "
            f"({self.hidden_by.origin}) is used, {_printable(self.path)} ({self.origin}) is not."
        )

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
    """What :meth:`CatalogStore.add` did.

    :ivar unchanged: the catalog held these very records already, and nothing was written.
    :ivar notices: which catalog is used, where several have that name.
    """

    name: str
    reading: Reading
    replaced: bool
    unchanged: bool = False
    notices: tuple[str, ...] = field(default=())


class CatalogStore:
    """The shipped catalogs, those in ``folder`` and those of a project, one file each.

    The folders are read as they are: a file that is saved there is a catalog from then on. Opening
    a store touches nothing on disk; ``folder`` is made by the first :meth:`add`.

    :param builtin: the folder of the shipped catalogs, and of their index.
    :param project: the project's folder; where it is relative, from the folder of the notebook.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        builtin: Path | None = BUILTIN,
        project: Path | None = PROJECT,
    ) -> None:
        self.folder = folder or data_folder()
        self.builtin = builtin
        self._project = project
        self._digests: dict[Path, tuple[tuple[int, int], str]] = {}

    def catalogs(self, beside: Path | None = None) -> list[Catalog]:
        """The catalogs as they are on disk now: the shipped ones, the user's, the project's.

        :param beside: the folder of the notebook; None for the current one.
        """
        folders = {
            Origin.PROJECT: self._project and _absolute((beside or Path()) / self._project),
            Origin.USER: self.folder,
            Origin.SHIPPED: self.builtin,
        }
        used: dict[str, Catalog] = {}
        found: dict[Origin, list[Catalog]] = {}
        for origin, folder in folders.items():
            found[origin] = []
            for path in _paths(folder):
                catalog = self._catalog(path, origin)
                catalog = replace(catalog, hidden_by=used.get(catalog.name))
                used.setdefault(catalog.name, catalog)
                found[origin].append(catalog)
        found[Origin.ENVIRONMENT] = list(self._environment_catalogs())
        return [catalog for origin in Origin for catalog in found[origin]]

    def catalog(self, name: str) -> Catalog:
        """The catalog that is used under that name.

        :raises CatalogError: for a name that there is not.
        """
        catalogs = [catalog for catalog in self.catalogs() if catalog.hidden_by is None]
        for catalog in catalogs:
            if catalog.name == name:
                return catalog
        names = ", ".join(catalog.name for catalog in catalogs)
        raise CatalogError(f"There is no catalog '{name}'. There are: {names or 'none yet'}.")

    def add(self, path: Path, *, name: str | None = None) -> Addition:
        """Copy the records of ``path`` into the user's catalog ``name`` (default: the file's name).

        A catalog of that name is replaced, and nothing is written where it holds these records
        already. Records that cannot be read are left out and named in the result; ``path`` itself
        is never changed.

        :raises CatalogError: if there is no record in it, or the catalog cannot be written.
        """
        name = _catalog_name(name or path.stem)
        target = self.folder / f"{name}.jsonl"
        with suppress(OSError):
            if target.exists() and target.samefile(path):
                raise CatalogError(f"{path} is the catalog '{name}' itself; nothing was added.")
            if path.exists() and path.parent.samefile(self.folder):
                raise CatalogError(f"{path} is a catalog where it is; nothing was added.")
        try:
            reading = read_file(path, source=name)
        except CatalogFileError as error:
            raise CatalogError(str(error)) from error
        if not reading.records:
            reasons = "".join(f"\n  {refusal}" for refusal in reading.refusals)
            raise CatalogError(f"{path} holds no API record; nothing was added.{reasons}")
        content = _written(reading.records)
        if len(content) > MAX_FILE_BYTES:
            raise CatalogError(
                f"The records of {path} take more than the {MAX_FILE_BYTES >> 20} MiB that a "
                "catalog may have; nothing was added. Split the file."
            )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            replaced = target.exists()
            unchanged = replaced and target.read_bytes() == content
            if not unchanged:
                _delete_leftovers(self.folder)
                write_whole(target, content, mode=0o600)
        except OSError as error:
            raise CatalogError(f"{target} cannot be written: {error.strerror}.") from error
        notices = [catalog.notice for catalog in self.catalogs() if catalog.name == name]
        return Addition(name, reading, replaced, unchanged, tuple(filter(None, notices)))

    def export(self, name: str, path: Path) -> Reading:
        """Write the records of a catalog to a new file that others can add.

        :raises CatalogError: if there is no such catalog, it cannot be read, or ``path`` is there
            already or cannot be written.
        """
        catalog = self.catalog(name)
        try:
            reading = catalog.read()
        except CatalogFileError as error:
            raise CatalogError(str(error)) from error
        if path.exists():
            raise CatalogError(f"{path} is there already; nothing was written.")
        try:
            write_whole(path, _written(reading.records), mode=0o666)
        except OSError as error:
            raise CatalogError(f"{path} cannot be written: {error.strerror}.") from error
        return reading

    def remove(self, name: str) -> None:
        """Delete one of the user's catalogs, or what was read of an installed package.

        :raises CatalogError: for another's catalog, or a name that there is not.
        """
        named = [catalog for catalog in self.catalogs() if catalog.name == name]
        for catalog in named:
            if catalog.origin in (Origin.USER, Origin.ENVIRONMENT):
                try:
                    catalog.path.unlink()
                except OSError as error:
                    raise CatalogError(
                        f"{catalog.path} cannot be removed: {error.strerror}."
                    ) from error
                return
        if named and named[-1].origin is Origin.PROJECT:
            raise CatalogError(f"'{name}' is the project's: delete {named[-1].path} yourself.")
        if named:
            raise CatalogError(f"'{name}' is a shipped catalog and stays.")
        own = [catalog.name for catalog in self.catalogs() if catalog.origin is Origin.USER]
        raise CatalogError(f"There is no catalog '{name}'. Yours: {', '.join(own) or 'none yet'}.")

    @property
    def environments(self) -> Path:
        """The folder of the catalogs of what is installed, one folder for each environment."""
        return self.folder / "environments"

    def _environment_catalogs(self) -> Iterator[Catalog]:
        for folder in sorted(self.environments.glob("*/")):
            for path in sorted(folder.glob("[!.]*.jsonl")):  # beside them lies environment.json
                distribution = path.stem.rsplit("-", 2)[0]
                yield replace(
                    self._catalog(path, Origin.ENVIRONMENT),
                    name=f"{distribution}@{folder.name}",
                    environment=folder.name,
                )

    def _catalog(self, path: Path, origin: Origin) -> Catalog:
        try:
            digest = self._digest(path)
        except OSError:
            # Taken away, or unreadable: reading it says so, with its name.
            digest = ""
        return Catalog(_printable(path.stem), path, origin, digest)

    def _digest(self, path: Path) -> str:
        status = path.stat()
        stamp = (status.st_size, status.st_mtime_ns)
        known = self._digests.get(path)
        if status.st_size > MAX_FILE_BYTES:
            # It will not be read, and need not be read for that to be known.
            return "-".join(map(str, stamp))
        if known is None or known[0] != stamp:
            known = (stamp, hashlib.sha256(path.read_bytes()).hexdigest())
            self._digests[path] = known
        return known[1]


def write_records(path: Path, records: Iterable[ApiRecord]) -> None:
    """Write a ``.jsonl`` catalog whole or not at all."""
    write_whole(path, _written(records), mode=0o600)


def _written(records: Iterable[ApiRecord]) -> bytes:
    lines = (json.dumps(record.to_json(), ensure_ascii=False) + "\n" for record in records)
    return "".join(lines).encode()


def write_whole(path: Path, content: bytes, *, mode: int) -> None:
    """Replace what a file holds in one step, so that nobody ever reads half of it.

    :param mode: who may read and write it, as far as the process's umask allows.
    :raises OSError: if it cannot be written; it is as it was then.
    """
    temporary = path.with_name(f".{secrets.token_hex(8)}.writing")
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(temporary, flags, mode), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _delete_leftovers(folder: Path) -> None:
    """Delete what writers left behind that were killed long ago."""
    for path in folder.glob(".*.writing"):
        with suppress(OSError):
            if path.stat().st_mtime < time.time() - LEFTOVER_SECONDS:
                path.unlink()


def _absolute(folder: Path) -> Path | None:
    try:
        return folder.absolute()
    except FileNotFoundError:
        return None  # the current folder has been deleted


def _paths(folder: Path | None) -> list[Path]:
    # What begins with a dot is a copy being written, or what other systems leave beside files.
    # Of the same name, the form that "add" writes comes first, so that what is added is used.
    try:
        catalogs = [
            path
            for path in (folder.iterdir() if folder else ())
            if path.suffix.lower() in SUFFIXES
            and not path.name.startswith(".")
            and not (path.is_fifo() or path.is_socket() or path.is_char_device())
        ]
    except OSError:
        return []
    return sorted(catalogs, key=lambda path: (path.stem, SUFFIXES.index(path.suffix.lower())))


def _printable(text: object) -> str:
    return str(text).encode(errors="replace").decode()


def _catalog_name(text: str) -> str:
    name = re.sub(r"[^\w.-]+", "-", text).strip("-.")
    if not name:
        raise CatalogError(f"'{text}' cannot name a catalog: use letters, digits, '-' and '_'.")
    return name
