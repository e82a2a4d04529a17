"""Files of measured figures: when, on what machine and with which command."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gorilla_jupyter import __version__


class BenchmarkError(Exception):
    """A file of a benchmark that cannot be used; the message says which, where and why."""


def today() -> str:
    """The day of a measurement."""
    return datetime.now(UTC).date().isoformat()


def machine() -> str:
    """This machine in a few words."""
    return (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}"
    )


def write_results(path: Path, command: str, measured: Mapping[str, Any]) -> None:
    """Write what ``command`` measured to ``path``, and say so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    value = {
        "command": command,
        "date": today(),
        "version": __version__,
        "machine": machine(),
        **measured,
    }
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    print(f"\nWritten to {path}")
