"""Read the files of an exported model, and refuse what cannot belong to one.

Exports come from anywhere: a file may be damaged, truncated, made by hand or of another model. Everything is
checked here when it is read; the messages name the file.
"""

from __future__ import annotations

import hashlib
import json
import stat
import zipfile
from collections.abc import Iterable, Mapping, Sized
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from harness.api import HarnessError
from harness.wording import size

if TYPE_CHECKING:
    from numpy.typing import NDArray

LABELS, MANIFEST = "labels.json", "export.json"
FORMAT = 1  # the version of the folder's format, in the manifest
DIGESTS = "files"  # the field of the manifest with the digests of files

_FIELDS: dict[str, type] = {
    "featuriser": str,
    "task_type": dict,
    "rejected": dict,
    DIGESTS: dict,
    "order": list,
}
_KINDS: dict[type, str] = {str: "text", dict: "an object", list: "a list"}

_JSON_BYTES = 512 << 20  # largest JSON file; the tokenizers of large models take some 30 MB
_UNPACKED = 16  # bytes that a byte of an archive may unpack to; weights are hardly compressible
_SMALL = 1 << 20  # bytes that any archive may unpack to
_POINTER = b"version https://git-lfs"  # the beginning of a file that Git LFS has not fetched
_BLOCK = 1 << 20


def refuse(folder: Path, why: str) -> NoReturn:
    """Raise HarnessError: this folder is not an export that can be read."""
    raise HarnessError(f"cannot read the export in {folder}: {why}")


def counted(items: Sized, noun: str) -> str:
    """Return a number of items with their noun."""
    return f"{len(items)} {noun}{'' if len(items) == 1 else 's'}"


def regular(folder: Path, name: str) -> Path:
    """Return the path of a file. Raise HarnessError if it is missing, a special file or a Git LFS pointer."""
    path = folder / name
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            refuse(folder, f"{name} is not a regular file")  # opening a FIFO would wait for ever
        with path.open("rb") as file:
            if file.read(len(_POINTER)) == _POINTER:
                refuse(folder, f"{name} is only a pointer of Git LFS; run: git lfs pull")
    except OSError as error:
        refuse(folder, f"{name}: {error.strerror or error}")
    return path


def json_of(folder: Path, name: str) -> Any:
    """Return the contents of a JSON file. Raise HarnessError if it is damaged, too large, or has NaN."""
    path = regular(folder, name)
    if (taken := path.stat().st_size) > _JSON_BYTES:
        refuse(folder, f"{name} has {size(taken)}; at most {size(_JSON_BYTES)} are read")

    def constant(found: str) -> NoReturn:
        raise ValueError(found)

    try:
        return json.loads(path.read_bytes().decode("utf-8"), parse_constant=constant)
    except OSError as error:
        refuse(folder, f"{name}: {error.strerror or error}")
    except (ValueError, RecursionError):  # UnicodeDecodeError is a ValueError
        refuse(folder, f"{name} is not JSON, or is damaged")


def object_of(folder: Path, name: str) -> dict[str, Any]:
    """Return the contents of a JSON file that must contain an object."""
    found = json_of(folder, name)
    if not isinstance(found, dict):
        refuse(folder, f"{name} is not a JSON object")
    return found


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the contents of ``export.json``.

    Raise HarnessError if it is missing, damaged or of a later version.
    """
    if folder.is_file():
        raise HarnessError(f"cannot read the export {folder}: it is a file; name the folder of an export")
    found = object_of(folder, MANIFEST)
    version = found.get("format", FORMAT)
    if type(version) is not int or version < 1:
        refuse(folder, f"{MANIFEST}: expected a whole number as 'format', got {version!r:.40}")
    if version > FORMAT:
        refuse(
            folder,
            f"its format is {version}, but this version of harness reads up to {FORMAT}; upgrade harness",
        )
    for field, kind in _FIELDS.items():
        if not isinstance(found.get(field, kind()), kind):
            refuse(folder, f"{MANIFEST}: '{field}' is not {_KINDS[kind]}")
    return found


def labels_of(folder: Path) -> list[str]:
    """Return the names of the classes. Raise HarnessError if they are not different texts."""
    found = json_of(folder, LABELS)
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        refuse(folder, f"{LABELS} is not a list of texts")
    if len(set(found)) < len(found):
        twice = next(name for at, name in enumerate(found) if name in found[:at])
        refuse(folder, f"{LABELS} has {twice!r:.80} more than once")
    return found


def numbers(folder: Path, name: str, values: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> Any:
    """Return the arrays with these names and shapes in a JSON object, as float32; all must be finite."""
    if values.keys() != shapes.keys():
        refuse(folder, f"{name}: expected the fields {', '.join(shapes)}, got {', '.join(values) or 'none'}")
    found = {}
    for field, shape in shapes.items():
        try:
            array = np.asarray(values[field])
            plain = np.issubdtype(array.dtype, np.number) and array.shape == shape
        except ValueError:  # rows of different lengths
            plain = False
        if not plain or not np.isfinite(array := array.astype(np.float32)).all():
            refuse(folder, f"{name}: expected finite numbers of shape {shape} as '{field}'")
        found[field] = array
    return found


def arrays_of(folder: Path, name: str, most: int = 0) -> dict[str, NDArray[np.float32]]:
    """Return the arrays of an ``.npz`` file as floats. Raise HarnessError unless all are finite numbers.

    Sizes are checked before anything is unpacked, and pickles are refused. `most` is the number of bytes that
    the model can need; only far more is refused.
    """
    path = regular(folder, name)
    found: dict[str, NDArray[np.float32]] = {}
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            unpacked = sum(member.file_size for member in members)
            if unpacked > max(_SMALL, most, _UNPACKED * path.stat().st_size):
                refuse(folder, f"{name} would unpack to {size(unpacked)}, far more than its own size")
            for member in members:
                found[member.filename.removesuffix(".npy")] = _array(archive, member)
    except (OSError, ValueError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile) as error:
        why = str(error).partition("\n")[0] or type(error).__name__
        refuse(folder, f"{name} is damaged: {why}")
    except (KeyError, IndexError, TypeError, SyntaxError, OverflowError, zipfile.zlib.error) as error:  # type: ignore[attr-defined]
        refuse(folder, f"{name} is damaged: {type(error).__name__}")
    for field, array in found.items():
        if not np.isfinite(array).all():
            refuse(folder, f"{name}: '{field}' has numbers that are NaN or infinite")
    return found


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[np.float32]:
    """Return one array of an archive; raise ValueError if its header does not fit its size."""
    from numpy.lib import format as npy

    with archive.open(member) as file:
        version = npy.read_magic(file)
        header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, kind = header(file)
        count = 1
        for length in shape:
            count *= length
        if not (np.issubdtype(kind, np.floating) or kind == np.int8):
            raise ValueError(f"'{member.filename}' has values of the type {kind}, not floats")
        if min(shape, default=0) < 0 or file.tell() + count * kind.itemsize != member.file_size:
            raise ValueError(f"'{member.filename}' has not the size that its shape {shape} needs")
    with archive.open(member) as file:
        array = npy.read_array(file, allow_pickle=False)
    return np.ascontiguousarray(array, dtype=np.float32)


def digests(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Return the SHA-256 of files, by name."""
    found = {}
    for name in names:
        digest = hashlib.sha256()
        with (folder / name).open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
        found[name] = digest.hexdigest()
    return found


def check_digests(folder: Path, manifest: Mapping[str, Any], places: Mapping[str, str]) -> None:
    """Raise HarnessError if one of these files is not the one that was exported.

    `places` are the names of files in the manifest, and where they are now. Exports of earlier versions have
    no digests.
    """
    known = manifest.get(DIGESTS, {})
    for name in [name for name in places if known.get(name) is not None]:
        place = places[name]
        regular(folder, place)
        if digests(folder, [place])[place] != known[name]:
            refuse(
                folder,
                f"{place} is damaged, or from another export: its SHA-256 is not that in {MANIFEST}; export "
                f"the model again, or if you changed the file, remove {name} from '{DIGESTS}' in {MANIFEST}",
            )
