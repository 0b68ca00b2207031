"""Write a task's data as JSON lines, with metadata in the format Croissant 1.0 of MLCommons.

``croissant.json`` says what the data are, their licence, the SHA-256 of each file, and what their columns
contain, so that other programs can load them (https://docs.mlcommons.org/croissant/docs/croissant-spec.html).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.storage.files import publish

if TYPE_CHECKING:
    import pyarrow as pa

FILE = "croissant.json"
CONFORMS_TO = "http://mlcommons.org/croissant/1.0"
_LINES = "application/jsonlines"
_ROWS = 10_000  # converted at once
_NAMES = {"train": "training", "validation": "validation", "test": "test", "unlabelled": "unlabelled"}
_GOLD = ("label", "labels", "tags")  # columns with what a model has to predict
# The context that the specification gives; a reader may compare it.
_TERMS = (
    *("citeAs", "column", "equivalentProperty", "extract", "field", "fileProperty", "fileObject", "fileSet"),
    *("format", "includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet"),
    *("references", "regex", "repeated", "replace", "samplingRate", "separator", "source", "subField"),
    "transform",
)
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{term: f"cr:{term}" for term in _TERMS},
}


class About(NamedTuple):
    """A description of a data set, for its metadata; empty fields are left out."""

    name: str
    description: str
    licence: str  # a code of SPDX, or an address
    url: str = ""
    creator: str = ""
    language: str = ""  # a code, such as "en"
    version: str = "1.0.0"

    @property
    def missing(self) -> list[str]:
        """Return the fields that Croissant requires, but that are empty."""
        return [name for name in ("url", "creator") if not getattr(self, name)]


def write(folder: Path, tables: Mapping[str, pa.Table], about: About) -> dict[str, int]:
    """Write each table as ``<split>.jsonl``, and ``croissant.json``; return the bytes of each file.

    Raise HarnessError if a file cannot be written.
    """
    sizes: dict[str, int] = {}
    digests: dict[str, str] = {}
    for split, table in tables.items():
        content = b"".join(_lines(table))
        name = f"{split}.jsonl"
        publish(folder / name, content)
        sizes[name], digests[name] = len(content), hashlib.sha256(content).hexdigest()
    described = json.dumps(describe(tables, about, sizes, digests), ensure_ascii=False, indent=2) + "\n"
    publish(folder / FILE, described)
    return {**sizes, FILE: len(described.encode())}


def describe(
    tables: Mapping[str, pa.Table], about: About, sizes: Mapping[str, int], digests: Mapping[str, str]
) -> dict[str, Any]:
    """Return the metadata of tables, by split; `sizes` and `digests` are those of the files."""
    facts = {
        "name": about.name,
        "description": about.description,
        "license": about.licence,
        "url": about.url,
        "creator": {"@type": "sc:Organization", "name": about.creator} if about.creator else "",
        "inLanguage": about.language,
        "version": about.version,
        "datePublished": datetime.now(UTC).date().isoformat(),
    }
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        **{name: value for name, value in facts.items() if value},
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": name,
                "name": name,
                "contentUrl": name,
                "contentSize": f"{size} B",
                "encodingFormat": _LINES,
                "sha256": digests[name],
            }
            for name, size in sizes.items()
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": split,
                "name": split,
                "description": f"The {_NAMES.get(split, split)} split, {table.num_rows} rows.",
                "field": [_field(split, column) for column in table.schema],
            }
            for split, table in tables.items()
        ],
    }


def _lines(table: pa.Table) -> Iterator[bytes]:
    """Yield the rows of a table as JSON, a line for each; float32 numbers have the fewest digits."""
    import numpy as np
    import pyarrow as pa

    short = [column.name for column in table.schema if column.type == pa.float32()]
    for batch in table.to_batches(max_chunksize=_ROWS):
        for row in batch.to_pylist():
            for name in short:
                row[name] = None if row[name] is None else float(str(np.float32(row[name])))
            yield json.dumps(row, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"


def _field(split: str, column: pa.Field) -> dict[str, Any]:
    import pyarrow as pa

    kind = column.type
    several = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    kind = kind.value_type if several else kind
    number = "sc:Float" if pa.types.is_floating(kind) else "sc:Integer" if pa.types.is_integer(kind) else ""
    plain = number or "sc:Text"
    return {
        "@type": "cr:Field",
        "@id": f"{split}/{column.name}",
        "name": column.name,
        "dataType": [plain, "cr:Label"] if column.name in _GOLD else plain,
        **({"repeated": True} if several else {}),
        "source": {"fileObject": {"@id": f"{split}.jsonl"}, "extract": {"column": column.name}},
    }
