"""Read data sets of the hub at a pinned revision, and find out whether the hub answers."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.api import SPLITS, HarnessError, Unavailable
from harness.sources.columns import labels_of, need, texts_of
from harness.sources.downloads import downloading, endpoint, known_to_hub, refusal
from harness.sources.files import UNLABELLED

if TYPE_CHECKING:
    import pyarrow as pa

PROBE_SECONDS = 2.5


@dataclass(frozen=True)
class HubSet:
    """A data set of the hub at a pinned revision, with its columns and splits."""

    id: str
    revision: str  # a commit's sha
    config: str = "default"
    text: str = "text"
    label: str = "label"
    splits: Mapping[str, str] = field(default_factory=lambda: {split: split for split in SPLITS})

    def __str__(self) -> str:
        return f"{self.id}@{self.revision}" + ("" if self.config == "default" else f"/{self.config}")


def offline() -> bool:
    """Return whether HF_HUB_OFFLINE forbids the network."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}


def hub_answers() -> bool:
    """Return whether the hub answers within PROBE_SECONDS; the process remembers the result."""
    return not offline() and _answers(endpoint())


@lru_cache(maxsize=8)
def _answers(address: str) -> bool:
    answers, done = threading.Event(), threading.Event()

    def probe() -> None:
        from http.client import HTTPException
        from urllib.error import HTTPError
        from urllib.request import Request, urlopen

        try:
            with urlopen(Request(address, method="HEAD"), timeout=PROBE_SECONDS):
                answers.set()
        except HTTPError as error:  # the server answers, even if it refuses this address
            if error.code < 500 and error.code != 407:
                answers.set()
        except (OSError, ValueError, HTTPException):
            pass
        finally:
            done.set()

    # A thread, because a socket's timeout does not cover a name server that hangs.
    threading.Thread(target=probe, name="hub-probe", daemon=True).start()
    done.wait(PROBE_SECONDS)
    return answers.is_set()


def datasets_cache() -> Path:
    """Return the folder in which the `datasets` library keeps prepared data sets."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    home = Path(os.environ.get("HF_HOME") or cache)
    return Path(os.environ.get("HF_DATASETS_CACHE") or home / "datasets").expanduser()


def prepared_folder(hub: HubSet) -> Path | None:
    """Return the folder in which `datasets` has prepared exactly this revision, or None."""
    *owner, name = hub.id.split("/")
    name = re.sub(r"(?<=[a-z\d])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
    base = datasets_cache() / "___".join((*owner, name)) / hub.config
    return next((info.parent for info in base.glob(f"*/{hub.revision}/dataset_info.json")), None)


def read_hub(hub: HubSet, class_names: Sequence[str] = ()) -> dict[str, pa.Table]:
    """Return the data set's splits as tables of the strings ``text`` and ``label``; download if necessary."""
    import pyarrow as pa

    features, splits = hub_tables(hub)
    names = features.get(hub.label, {}).get("names") or class_names
    tables = {}
    for split, table in splits.items():
        shown = f"{hub.id} ({hub.splits[split]})"
        label = None if split == UNLABELLED else hub.label
        tidy = {"text": texts_of(table[hub.text], shown, hub.text)}
        if label is not None:
            tidy["label"] = labels_of(table[label], names, shown, label)
        tables[split] = pa.table(tidy)
    return tables


def hub_tables(hub: HubSet) -> tuple[dict[str, Any], dict[str, pa.Table]]:
    """Return the data set's features and its splits as they are.

    Raise HarnessError unless each split has rows and the columns that `hub` names.
    """
    import pyarrow as pa

    folder = prepared_folder(hub) or _prepare(hub)
    features = json.loads((folder / "dataset_info.json").read_text(encoding="utf-8"))["features"]
    tables = {}
    for split, theirs in hub.splits.items():
        shown = f"{hub.id} ({theirs})"
        label = None if split == UNLABELLED else hub.label
        shards = sorted((*folder.glob(f"*-{theirs}.arrow"), *folder.glob(f"*-{theirs}-*-of-*.arrow")))
        if not shards:
            raise HarnessError(f"{hub} has no split {theirs!r}")
        table = pa.concat_tables([pa.ipc.open_stream(pa.memory_map(str(s))).read_all() for s in shards])
        if table.num_rows == 0:
            raise HarnessError(f"{shown} has no rows")
        need([hub.text] if label is None else [hub.text, label], table.column_names, shown)
        tables[split] = table
    return features, tables


def _prepare(hub: HubSet) -> Path:
    import datasets

    try:
        known_to_hub("dataset", hub.id, hub.revision)  # its errors tell more than those of `datasets`
        with downloading("dataset", hub.id):
            builder = datasets.load_dataset_builder(hub.id, hub.config, revision=hub.revision)
            # If the hub fails, `datasets` uses any cached revision and only logs that.
            if builder.hash != hub.revision:
                raise Unavailable(f"cannot download {hub}: only revision {builder.hash} is cached")
            builder.download_and_prepare()
    except Unavailable:
        raise
    except Exception as error:  # many types, e.g. from requests, fsspec, the hub or the data set
        raise Unavailable(f"cannot download data set {hub}: {refusal(error, 'dataset', hub.id)}") from error
    return Path(builder.cache_dir)
