"""Find pretrained weights: in a local folder, in the hub's cache, or on the hub."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path

from harness import HarnessError, Unavailable
from harness.sources.hub import hub_answers, offline
from harness_transformers.inspection import PICKLED, WANTED, check_folder, has_tokenizer


def folder_fingerprint(folder: Path) -> str:
    """Return a digest of the names and bytes of a model folder's files, after :func:`check_folder`."""
    folder = folder.expanduser()
    check_folder(folder)
    total = hashlib.sha256()
    for path in sorted(path for pattern in (*WANTED, PICKLED) for path in folder.glob(pattern)):
        with path.open("rb") as stream:
            total.update(f"{path.name}={hashlib.file_digest(stream, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()


def hub_commit(model: str, revision: str) -> str:
    """Return the commit of a revision, from the cache or the hub. Raise Unavailable if neither has it."""
    if snapshot := cached(model, revision):
        return snapshot.name
    _check_id(model)
    if offline() or not hub_answers():
        raise Unavailable(
            f"cannot find model '{model}': not in the hub's cache, and the hub cannot be reached"
        )
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError

    try:
        return str(HfApi().model_info(model, revision=revision, timeout=10).sha)
    except HFValidationError as error:
        raise HarnessError(f"cannot find model '{model}': neither a folder nor a hub id: {error}") from None
    except Exception as error:  # of the hub, or of its client for HTTP
        where = f"model '{model}' at revision '{revision}'"
        raise Unavailable(f"cannot find {where} on the hub: {_why(error, model)}") from None


def hub_snapshot(model: str, revision: str) -> Path:
    """Return the folder of a model's files in the cache, downloading them if necessary.

    Raise Unavailable if that is impossible, and HarnessError if the files are no model.
    """
    folder = _snapshot(model, revision)
    check_folder(folder)
    return folder


def _snapshot(model: str, revision: str) -> Path:
    if snapshot := cached(model, revision):
        return snapshot
    _check_id(model)
    if offline():
        raise Unavailable(f"cannot find model '{model}': not in the hub's cache, and HF_HUB_OFFLINE is set")
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(model, revision=revision, allow_patterns=list(WANTED)))
        if not any(folder.glob("*.safetensors")):
            snapshot_download(model, revision=revision, allow_patterns=[PICKLED])
        return folder
    except Exception as error:  # of the hub, of its client for HTTP, or of the disk
        raise Unavailable(f"cannot download model '{model}': {_why(error, model)}") from None


def _why(error: Exception, model: str) -> str:
    """Return why the hub does not give a model, in one line, with a remedy if it is known."""
    page = f"https://huggingface.co/{model}"
    remedies = {
        "GatedRepoError": f"it is gated; accept its terms at {page}, then log in with `hf auth login`",
        "RepositoryNotFoundError": "there is none, or it is private; check the name, or `hf auth login`",
        "RevisionNotFoundError": f"it has no such revision; see {page}/tree/main",
    }
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return remedies.get(type(error).__name__, first)


def _check_id(model: str) -> None:
    """Raise HarnessError unless a name can be that of a model on the hub."""
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", model, re.ASCII):
        raise HarnessError(
            f"cannot find model '{model}': neither a folder nor a hub id such as FacebookAI/roberta-base"
        )


def cached(model: str, revision: str) -> Path | None:
    """Return a model's snapshot in the cache if it is complete, else None. No library is imported."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    home = Path(os.environ.get("HF_HOME") or caches / "huggingface")
    cache = Path(os.environ.get("HF_HUB_CACHE") or home / "hub").expanduser()
    repository = cache / f"models--{model.replace('/', '--')}"
    reference = repository / "refs" / revision
    commit = reference.read_text(encoding="utf-8").strip() if reference.is_file() else revision
    snapshot = repository / "snapshots" / commit
    whole = _has_weights(snapshot) and has_tokenizer(snapshot) and (snapshot / "config.json").is_file()
    return snapshot if whole else None


def _has_weights(snapshot: Path) -> bool:
    """Return whether a snapshot has all files of a model's weights."""
    for index in ("model.safetensors.index.json", "pytorch_model.bin.index.json"):
        if (snapshot / index).is_file():
            parts = set(json.loads((snapshot / index).read_text(encoding="utf-8"))["weight_map"].values())
            return all((snapshot / part).is_file() for part in parts)
    return any(path for pattern in ("*.safetensors", PICKLED) for path in snapshot.glob(pattern))
