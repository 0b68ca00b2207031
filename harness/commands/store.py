"""Implement ``harness store``: list and clean up a store, and copy artefacts to and from another one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from harness.commands.console import complain, inert, open_console, show
from harness.commands.options import (
    AS_JSON,
    DEVICES,
    HELP,
    OK,
    SOME_FAILED,
    SOURCE,
    STORE,
    installed,
    planned,
    reported,
)
from harness.commands.verify import verify

if TYPE_CHECKING:
    from harness.storage.inventory import Collected, Listed
    from harness.storage.remote import Copied

F = TypeVar("F", bound=Callable[..., Any])


def _suites(told: str) -> Callable[[F], F]:
    """Return the options that name suites, and how their steps are planned."""

    def add(function: F) -> F:
        given = click.option("--suite", "suites", multiple=True, type=click.Path(path_type=Path), help=told)
        return given(SOURCE(DEVICES(function)))

    return add


@click.group(context_settings=HELP)
def store() -> None:
    """List, clean up and copy stored artefacts.

    A store keeps the artefacts of all finished steps: data, models, scores, exports and latencies.
    """


store.add_command(verify)


@store.command(context_settings=HELP)
@STORE
@_suites("Also show what this suite uses; may be repeated.")
@AS_JSON
@reported
def ls(store: Path, suites: tuple[Path, ...], source: str, devices: str, as_json: bool) -> int:
    """List the kinds of artefacts in a store, with their number, size and age."""
    from harness.storage.files import dumps
    from harness.storage.inventory import listed

    wanted = _wanted(suites, source, devices)
    used = {key for keys in wanted.values() for key in keys} if suites else None
    found: dict[str, list[Listed]] = {}
    for one in listed(_opened(store), _kinds()):
        found.setdefault(one.kind, []).append(one)
    rows = [_summed(kind, each, used) for kind, each in found.items()]
    steps = sum(map(len, wanted.values()))
    if as_json:
        value: dict[str, Any] = {"store": str(store), "kinds": rows}
        show(dumps(value | ({"steps_of_suites": steps} if suites else {})) + "\n")
        return OK
    _show_list(store, rows, steps if suites else None)
    return OK


@store.command(context_settings=HELP)
@STORE
@_suites("Keep what this suite uses; may be repeated.")
@click.option(
    "--results",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Keep what the records in this folder of results name; may be repeated.",
)
@click.option("--older-than", metavar="AGE", help="Delete only what is older, e.g. 12h, 30d or 8w.")
@click.option("--dry-run", is_flag=True, help="Only show what would be deleted.")
@AS_JSON
@reported
def gc(
    store: Path,
    suites: tuple[Path, ...],
    source: str,
    devices: str,
    results: tuple[Path, ...],
    older_than: str | None,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Delete artefacts that nothing needs.

    With --suite or --results, delete what none of them needs. With --older-than, delete what came into the
    store before. With both, an artefact must meet both conditions. What a running command uses is kept. Try
    it with --dry-run first.
    """
    from harness import HarnessError
    from harness.storage.files import dumps
    from harness.storage.inventory import collect
    from harness.wording import quantity

    if not suites and not results and older_than is None:
        raise HarnessError("cannot choose what to delete: give --suite, --results or --older-than")
    older_s = None if older_than is None else quantity(older_than, "age")
    needed: set[str] | None = None
    if suites or results:
        needed = {key for keys in _wanted(suites, source, devices).values() for key in keys}
        needed.update(_recorded(results))
    found = collect(_opened(store), _kinds(), needed, older_s, dry_run)
    if as_json:
        removed = [{"kind": one.kind, "key": one.key, "bytes": one.bytes} for one in found.removed]
        told = {"store": str(store), "dry_run": dry_run, "removed": removed, "bytes": found.bytes}
        show(dumps({**told, "kept": found.kept, "in_use": found.in_use, "errors": found.errors}) + "\n")
    else:
        for line in _collected(store, found, dry_run):
            show(f"{inert(line)}\n")
    return SOME_FAILED if found.errors else OK


@store.command(context_settings=HELP)
@click.argument("url")
@STORE
@_suites("Copy only what this suite uses; may be repeated.")
@AS_JSON
@reported
def push(url: str, store: Path, suites: tuple[Path, ...], source: str, devices: str, as_json: bool) -> int:
    """Copy artefacts to another store.

    URL is a folder, or a URL of fsspec such as s3://bucket/prefix. Only what is missing there is copied, so
    that an interrupted copy can be continued with the same command.
    """
    from harness.storage.inventory import using
    from harness.storage.remote import place
    from harness.storage.remote import push as copy

    here = _opened(store)
    wanted = _wanted(suites, source, devices) if suites else {kind: here.keys(kind) for kind in _kinds()}
    target = place(url, create=True)
    with using(here, {key for keys in wanted.values() for key in keys}):
        done = copy(here, target, wanted)
    return _told(done, f"to {target.url}", as_json)


@store.command(context_settings=HELP)
@click.argument("url")
@STORE
@_suites("Copy only what this suite uses; may be repeated.")
@AS_JSON
@reported
def pull(url: str, store: Path, suites: tuple[Path, ...], source: str, devices: str, as_json: bool) -> int:
    """Copy artefacts from another store.

    URL is a folder, or a URL of fsspec such as s3://bucket/prefix. Only what is missing here is copied, and
    all checksums are checked.
    """
    from harness.storage.remote import place
    from harness.storage.remote import pull as copy
    from harness.storage.store import Store

    origin = place(url, create=False)
    wanted = _wanted(suites, source, devices) if suites else dict.fromkeys(_kinds())
    done = copy(Store(store), origin, wanted)
    return _told(done, f"from {origin.url}", as_json)


# -- what is meant -------------------------------------------------------------------------------------------


def _kinds() -> tuple[str, ...]:
    from harness.plan.planner import STEP_KINDS

    return STEP_KINDS


def _opened(store: Path) -> Any:
    """Return an existing store; nothing is made at a mistyped path."""
    from harness import HarnessError
    from harness.storage.store import Store

    if not store.is_dir():
        raise HarnessError(f"cannot find a store at {str(store)!r}; name its folder with --store")
    return Store(store)


def _wanted(suites: Iterable[Path], source: str, devices: str) -> dict[str, set[str]]:
    """Return the keys of all steps of some suites, by kind."""
    from harness.devices import slots
    from harness.suite.reader import load

    found: dict[str, set[str]] = {}
    if suites:
        catalog = installed()
        places = slots(devices)
        for path in suites:
            for step in planned(load(path, catalog), catalog, places, source).steps.values():
                found.setdefault(step.kind, set()).add(step.key)
    return found


def _recorded(folders: Iterable[Path]) -> Iterator[str]:
    """Yield the keys of the artefacts that records name. Raise HarnessError if a folder has no records."""
    from harness import HarnessError
    from harness.results.record import read

    for folder in folders:
        paths = sorted({*folder.glob("*/records.jsonl"), *folder.glob("records.jsonl")})
        if not paths:
            raise HarnessError(f"cannot find records in {str(folder)!r}; name a folder with results")
        for path in paths:
            for record in read(path):
                yield from (record.get("artefacts") or {}).values()


# -- what is printed -----------------------------------------------------------------------------------------


def _summed(kind: str, found: list[Listed], used: set[str] | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        "kind": kind,
        "artefacts": len(found),
        "bytes": sum(one.bytes for one in found),
        "newest_s": round(min(one.age_s for one in found), 1),
        "oldest_s": round(max(one.age_s for one in found), 1),
    }
    if used is not None:
        mine = [one for one in found if one.key in used]
        row |= {"used": len(mine), "used_bytes": sum(one.bytes for one in mine)}
    return row


def _show_list(store: Path, rows: list[dict[str, Any]], steps: int | None) -> None:
    """Print a table of the kinds, and a sentence; `steps` are those of the suites, if some were named."""
    from harness.report.grid import Grid
    from harness.storage.shared import shown
    from harness.wording import size

    if rows:
        more = ("used by suites", "size of these") if steps is not None else ()
        titles = ("kind", "artefacts", "size", "newest", "oldest", *more)
        grid = Grid(titles, [title != "kind" for title in titles])
        for row in rows:
            ages = (_age(row["newest_s"]), _age(row["oldest_s"]))
            uses = (f"{row['used']:,}", size(row["used_bytes"])) if steps is not None else ()
            grid.add([row["kind"], f"{row['artefacts']:,}", size(row["bytes"]), *ages, *uses])
        open_console().print(grid)
    total = sum(row["artefacts"] for row in rows)
    show(inert(f"{shown(store)}: {total:,} artefacts, {size(sum(row['bytes'] for row in rows))}") + "\n")
    if steps is not None:
        stored = sum(row["used"] for row in rows)
        show(f"{stored:,} of the {steps:,} steps of the suites are stored\n")


def _age(seconds: float) -> str:
    from harness.wording import duration

    return duration(seconds) if seconds < 2 * 86_400 else f"{seconds / 86_400:.0f} d"


def _collected(store: Path, found: Collected, dry_run: bool) -> Iterator[str]:
    from harness.storage.shared import shown
    from harness.wording import size

    kinds: dict[str, list[Listed]] = {}
    for one in found.removed:
        kinds.setdefault(one.kind, []).append(one)
    does = "would delete" if dry_run else "deleted"
    for kind, each in kinds.items():
        yield f"{does} {len(each):,} {kind}, {size(sum(one.bytes for one in each))}"
    yield from found.errors
    yield (
        f"{shown(store)}: {does} {len(found.removed):,} artefacts ({size(found.bytes)}), "
        f"{found.kept:,} are kept"
        + (f", {found.in_use:,} more because a running command uses them" if found.in_use else "")
    )


def _told(done: Copied, where: str, as_json: bool) -> int:
    """Print what a copy did, and return the exit status."""
    from harness.storage.files import dumps
    from harness.wording import size

    if as_json:
        show(dumps(vars(done)) + "\n")
    else:
        for line in done.errors:
            complain(f"error: {inert(line)}")
        line = f"copied {done.copied:,} artefacts ({size(done.bytes)}) {where}; {done.present:,} were there"
        line += f", {done.missing:,} are not stored yet" if done.missing else ""
        line += f", {len(done.errors):,} failed" if done.errors else ""
        show(inert(line) + "\n")
    return SOME_FAILED if done.errors else OK
