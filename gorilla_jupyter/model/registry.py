"""Models that one may run, and those in the hub's cache: list, pull, look at, remove."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from gorilla_jupyter.answer import Progress
from gorilla_jupyter.model.backend import ModelError

GIB = 1 << 30

PATTERNS = ("*.safetensors", "*.json", "*.jinja", "tokenizer.model", "LICENSE*", "README.md")
"""The files of a model that are wanted: no pickles and no code among them."""

BYTES_ON_CPU, BYTES_ON_GPU = 4, 2
"""What a parameter takes."""

WORKING_MEMORY = 1.2
"""Memory for the weights and what is computed with them, as a multiple of the weights."""


@dataclass(frozen=True)
class KnownModel:
    """A model that was looked at: it is made for instructions, and its weights are safetensors.

    :ivar parameters: how many, in millions.
    """

    id: str
    parameters: int
    licence: str

    def bytes_needed(self, *, gpu: bool) -> int:
        """The memory that it takes to run."""
        each = BYTES_ON_GPU if gpu else BYTES_ON_CPU
        return int(self.parameters * 1_000_000 * each * WORKING_MEMORY)


KNOWN = (
    KnownModel("HuggingFaceTB/SmolLM2-135M-Instruct", 135, "Apache-2.0"),
    KnownModel("HuggingFaceTB/SmolLM2-360M-Instruct", 362, "Apache-2.0"),
    KnownModel("Qwen/Qwen2.5-Coder-0.5B-Instruct", 494, "Apache-2.0"),
    KnownModel("Qwen/Qwen2.5-Coder-1.5B-Instruct", 1544, "Apache-2.0"),
    KnownModel("HuggingFaceTB/SmolLM2-1.7B-Instruct", 1711, "Apache-2.0"),
    KnownModel("Qwen/Qwen2.5-Coder-7B-Instruct", 7616, "Apache-2.0"),
)


@dataclass(frozen=True)
class CachedModel:
    """A model in the hub's cache.

    :ivar revision: the commit that it was pulled at.
    """

    id: str
    revision: str
    size: int
    folder: Path


@dataclass(frozen=True)
class Machine:
    """What there is to run models in, in bytes; no GPU has none."""

    memory: int
    gpu_memory: int

    def runs(self, model: KnownModel) -> str:
        """Where the model would run: "GPU", "CPU", or "" for nowhere."""
        if self.gpu_memory >= model.bytes_needed(gpu=True):
            return "GPU"
        return "CPU" if self.memory >= model.bytes_needed(gpu=False) else ""


def this_machine() -> Machine:
    """The memory of this machine, and of its first GPU where torch is installed and sees one."""
    gpu_memory = 0
    try:
        import torch
    except ImportError:
        pass
    else:
        if torch.cuda.is_available():
            gpu_memory = int(torch.cuda.get_device_properties(0).total_memory)
    return Machine(psutil.virtual_memory().total, gpu_memory)


def cached() -> list[CachedModel]:
    """The models in the hub's cache, by name.

    :raises ModelError: if what reads it is not installed.
    """
    found = []
    for repository in _scan().repos:
        for revision in repository.revisions:
            if repository.repo_type == "model":
                folder = Path(revision.snapshot_path)
                size = int(revision.size_on_disk)
                found.append(CachedModel(repository.repo_id, revision.commit_hash, size, folder))
    return sorted(found, key=lambda model: (model.id.lower(), model.revision))


def pull(model_id: str) -> Iterator[Progress]:
    """Bring a model into the hub's cache, where ``hf:ID`` finds it. Stopped, it goes on from there.

    :raises ModelError: if the hub has no such model, if it holds no safetensors, if there is no
        room for it, or if a file is not what the hub says.
    """
    hub = _hub()
    try:
        described = hub.HfApi().model_info(model_id, files_metadata=True)
        files = [
            sibling
            for sibling in described.siblings
            if any(Path(sibling.rfilename).match(pattern) for pattern in PATTERNS)
        ]
        if not any(sibling.rfilename.endswith(".safetensors") for sibling in files):
            raise ModelError(f"{model_id} has no weights as safetensors, and others are not read.")
        missing = [
            sibling
            for sibling in files
            if not isinstance(
                hub.try_to_load_from_cache(model_id, sibling.rfilename, revision=described.sha),
                str,
            )
        ]
        _check_room(sum(sibling.size or 0 for sibling in missing))
        for number, sibling in enumerate(files):
            yield Progress(f"{model_id}: {sibling.rfilename}", number, len(files))
            path = hub.hf_hub_download(model_id, sibling.rfilename, revision=described.sha)
            if sibling.lfs is not None:
                _check_hash(Path(path), sibling.lfs.sha256)
        yield Progress(f"{model_id} is there", len(files), len(files))
    except ModelError:
        raise
    except Exception as error:  # each version raises what its transport does
        reason = " ".join(str(error).split())
        raise ModelError(f"{model_id} cannot be pulled ({reason:.300}).") from error


def remove(model_id: str) -> int:
    """Remove a model from the hub's cache, all its revisions; returns the bytes that this frees.

    :raises ModelError: if it is not there.
    """
    scan = _scan()
    revisions = [
        revision.commit_hash
        for repository in scan.repos
        if repository.repo_type == "model" and repository.repo_id == model_id
        for revision in repository.revisions
    ]
    if not revisions:
        raise ModelError(f"{model_id} is not in the hub's cache: nothing was removed.")
    plan = scan.delete_revisions(*revisions)
    plan.execute()
    return int(plan.expected_freed_size)


def _hub() -> Any:
    try:
        import huggingface_hub
        import huggingface_hub.constants
        import huggingface_hub.errors
    except ImportError as error:
        raise ModelError(
            "The hub's models need huggingface_hub: pip install 'gorilla-jupyter[torch]'."
        ) from error
    return huggingface_hub


def _cache() -> Path:
    """The hub's cache, which is made where there is none."""
    folder = Path(_hub().constants.HF_HUB_CACHE)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _scan() -> Any:
    return _hub().scan_cache_dir(_cache())


def _check_room(size: int) -> None:
    folder = _cache()
    free = shutil.disk_usage(folder).free
    if size > free:
        raise ModelError(
            f"It takes {size / GIB:.1f} GiB, and {free / GIB:.1f} GiB are free in {folder}."
        )


def _check_hash(path: Path, wanted: str) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != wanted:
        path.resolve().unlink()
        path.unlink(missing_ok=True)
        raise ModelError(
            f"{path.name} is not what the hub says that it is, and was removed: pull it again."
        )
