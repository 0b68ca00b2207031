"""Load the installed plugins, and find their components by kind and name.

A plugin is an entry point of the group ``harness``; the plugins of this project are no exception. Each is
loaded separately: one that cannot be used becomes a :class:`Failure`, and the others still work.
"""

from __future__ import annotations

import contextlib
import inspect
import linecache
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import MISSING, dataclass, fields
from functools import cache, cached_property, partial
from importlib import import_module, metadata
from types import SimpleNamespace
from typing import Any

import pluggy

from harness import __version__, hookspecs
from harness.api import KINDS, Augmenter, Component, HarnessError, Loss, Task, Tokeniser
from harness.executors.base import Executor
from harness.hookspecs import DISTRIBUTION
from harness.isolation.global_state import guarded
from harness.isolation.probe import Trial, shielded, tried
from harness.parameters import (
    ParameterErrors,
    brief,
    check_answers,
    describe,
    read,
    shown,
    types_of,
    unsuitable,
)
from harness.task_types.base import TaskType
from harness.tracking import Tracker
from harness.wording import article, choices

DISABLE = "HARNESS_DISABLE_PLUGINS"  # comma-separated distributions or entry points to leave out
REGISTERED: Mapping[str, type[Component]] = {**KINDS, **{c.kind: c for c in (TaskType, Tracker, Executor)}}
HOOKS: Mapping[str, str] = {  # hook → the kind of component that it registers
    f"register_{'losses' if kind == 'loss' else kind.replace(' ', '_') + 's'}": kind for kind in REGISTERED
}


@dataclass(frozen=True)
class Parameter:
    """The description of a component's parameter for users."""

    name: str
    type: str  # "integer greater than 0"
    default: str | None  # as in a suite; None if a suite must set it


@dataclass(frozen=True)
class Entry:
    """One registered component."""

    kind: str
    name: str
    component: type[Component]
    plugin: str  # the entry point's name
    package: str  # the distribution
    package_version: str
    file: str
    line: int

    @property
    def summary(self) -> str:
        """Return the first line of its docstring."""
        return inspect.cleandoc(self.component.__doc__ or "").partition("\n")[0]

    def parameters(self) -> list[Parameter]:
        """Return the parameters that a suite can set."""
        defaults = {
            field.name: field.default if field.default_factory is MISSING else field.default_factory()
            for field in fields(self.component)
        }
        return [
            Parameter(
                name,
                re.sub(r"^an? ", "", describe(annotation)),
                None if defaults[name] is MISSING else shown(defaults[name]),
            )
            for name, annotation in types_of(self.component).items()
        ]


@dataclass(frozen=True)
class Failure:
    """A plugin, or a component of a plugin, that cannot be used."""

    plugin: str
    package: str
    reason: str
    traceback: str


@dataclass(frozen=True)
class Catalog:
    """All installed components by kind and name, and the plugins that failed."""

    entries: Mapping[tuple[str, str], Entry]
    failures: tuple[Failure, ...] = ()

    def names(self, kind: str) -> list[str]:
        """Return the names of all components of a kind, sorted."""
        return sorted(name for of, name in self.entries if of == kind)

    def get(self, kind: str, name: str) -> Entry:
        """Return the component with that kind and name. Raise HarnessError if there is none."""
        if entry := self.entries.get((kind, name)):
            return entry
        message = f"unknown {kind} '{name}'{choices(name, self.names(kind))}"
        if others := [of for of, other in self.entries if other == name]:
            message += f"; '{name}' is {article(others[0])}"
        if self.failures:
            failed = ", ".join(sorted({failure.plugin for failure in self.failures}))
            message += f"; not all plugins could be loaded ({failed}): see `harness plugins`"
        raise HarnessError(message)

    def build(self, kind: str, table: Mapping[str, Any]) -> Component:
        """Return the component that a table describes: `use` is its name, the other keys its parameters.

        Raise ParameterErrors with every mistake in the table, including those of nested components.
        """
        allowed = ", ".join(self.names(kind)) or "none"
        if "use" not in table:
            raise ParameterErrors([((), f"{article(kind)} needs `use`, its name (allowed: {allowed})")])
        name = table["use"]
        if not isinstance(name, str):
            message = f"`use` must be the name of {article(kind)}, got {brief(name)} (allowed: {allowed})"
            raise ParameterErrors([(("use",), message)])
        try:
            entry = self.get(kind, name)
        except HarnessError as error:
            raise ParameterErrors([(("use",), str(error))]) from None
        parameters = {key: value for key, value in table.items() if key != "use"}
        values = read(entry.component, parameters, self.build, owner=f"{kind} '{name}'")
        try:
            with nullcontext() if entry.package == DISTRIBUTION else guarded(lambda changes: None):
                component = entry.component(**values)
                component.check()
                check_answers(component)
        except (ValueError, HarnessError) as error:
            raise ParameterErrors([((), str(error))]) from error
        except (Exception, SystemExit) as error:  # a plugin's mistake
            raise ParameterErrors(
                [((), f"{kind} '{name}' raised {type(error).__name__}: {error}")]
            ) from error
        return component

    def baselines(self, task_type: TaskType) -> list[str]:
        """Return the names of the losses that train baselines of this type by default.

        A loss names the type in `baseline_for`, or else all the types whose components fit this one.
        """
        losses = [e.component for e in self.entries.values() if issubclass(e.component, Loss)]
        named = [loss.name for loss in losses if task_type.name in loss.baseline_for]
        fits = task_type.fits
        return named or [loss.name for loss in losses if fits and fits <= loss.baseline_for]

    def plain_augmenter(self) -> str | None:
        """Return the name of the first augmenter that adds no texts, or None if there is none."""
        there = (entry for entry in self.entries.values() if issubclass(entry.component, Augmenter))
        return next((entry.name for entry in there if not entry.component.adds), None)  # type: ignore[attr-defined]

    def task_type(self, name: str, options: Mapping[str, Any] | None = None) -> TaskType:
        """Return the task type with that name and options. Raise HarnessError if there is none.

        The types in :mod:`harness.task_types` are available even if all plugins are disabled.
        """
        if ("task type", name) in self.entries or (own := _core_types().get(name)) is None:
            found = self.build("task type", {"use": name, **(options or {})})
            assert isinstance(found, TaskType)
            return found
        return own(**(options or {}))

    def task_type_of(self, task: Task) -> TaskType:
        """Return the type of a task, with the options that the task sets."""
        return self.task_type(task.task_type, task.type_options)

    def entry_of(self, component: Component) -> Entry:
        """Return the entry of a component. Raise HarnessError if no plugin registers it."""
        try:
            return self._by_class[type(component)]
        except KeyError:
            raise HarnessError(
                f"{type(component).__name__} is not registered by any plugin; register it in a hook"
            ) from None

    def package_of(self, component: Component) -> str:
        """Return the distribution and version that a component comes from."""
        if isinstance(component, TaskType) and type(component) not in self._by_class:
            return f"{DISTRIBUTION} {__version__}"
        if isinstance(component, Tokeniser):  # a part of a student, which no hook registers
            entry = self._by_module.get(type(component).__module__.partition(".")[0])
            return f"{entry.package} {entry.package_version}" if entry else f"{DISTRIBUTION} {__version__}"
        entry = self.entry_of(component)
        return f"{entry.package} {entry.package_version}"

    @cached_property
    def _by_module(self) -> dict[str, Entry]:
        return {entry.component.__module__.partition(".")[0]: entry for entry in self.entries.values()}

    @cached_property
    def _by_class(self) -> dict[type[Component], Entry]:
        return {entry.component: entry for entry in self.entries.values()}


def load(*, group: str = "harness", notice: Callable[[str], None] = lambda message: None) -> Catalog:
    """Load all plugins that are installed as entry points of the group.

    Other people's plugins are imported in a child process first, because an import may end its process or
    never end. `notice` is called with a message if that takes long.
    """
    loader = _Loader()
    for point in sorted(loader.find(group), key=lambda point: point.order):
        if point.is_ours:
            loader.load(point)
        else:
            loader.load_tried(point, notice)
    return Catalog(loader.entries, tuple(loader.failures))


def vet(kind: str, component: Any) -> None:
    """Raise TypeError, with the fix in the message, if a class cannot be a component of the kind."""
    base = REGISTERED[kind]
    place = "harness" if base not in (Tracker, Executor) else base.__module__
    if not isinstance(component, type):
        raise TypeError(f"register a class that derives from {place}.{base.__name__}, not {component!r}")
    title = component.__name__
    if not issubclass(component, base):
        hooks = [hook for hook, other in HOOKS.items() if issubclass(component, REGISTERED[other])]
        hint = f"; register it in {hooks[0]}" if hooks else ""
        raise TypeError(f"{title} does not derive from {place}.{base.__name__}{hint}")
    options = vars(component).get("__dataclass_params__")
    if options is None or not (options.frozen and options.eq and options.repr):
        raise TypeError(f"{title} must be decorated with @dataclass(frozen=True)")
    if component.__hash__ is None:
        raise TypeError(f"{title} must be hashable")
    for field in fields(component):
        if hasattr(base, field.name):
            note = f"; write `{field.name} = ...` without a type" if field.name in vars(Component) else ""
            raise TypeError(
                f"the parameter '{field.name}' of {title} hides an attribute of {base.__name__}{note}"
            )
        if field.name in ("use", "sweep"):
            raise TypeError(
                f"the parameter '{field.name}' of {title} has a name that is reserved in suites; rename it"
            )
        default = field.default if field.default_factory is MISSING else field.default_factory()
        if not getattr(default, "__hash__", None):
            raise TypeError(
                f"the default of the parameter '{field.name}' of {title} must be hashable, "
                f"got {brief(default)}"
            )
    if not (isinstance(component.name, str) and re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", component.name)):
        such = f"my-{kind.replace(' ', '-')}"
        raise TypeError(f"{title} needs a `name` in kebab-case, such as '{such}', got {component.name!r}")
    if isinstance(component.version, bool) or not isinstance(component.version, int) or component.version < 1:
        raise TypeError(f"the `version` of {title} must be a whole number from 1, got {component.version!r}")
    doc = vars(component).get("__doc__") or ""
    if not doc.strip() or doc.startswith(f"{title}("):  # dataclass writes this docstring if there is none
        raise TypeError(f"{title} needs a docstring; its first line is shown by `harness plugins`")
    for name, annotation in types_of(component).items():
        if reason := unsuitable(annotation):
            raise TypeError(f"the type of the parameter '{name}' of {title} cannot be used: {reason}")


def advertising(group: str) -> Iterator[metadata.Distribution]:
    """Yield the distributions that may have entry points of a group, including those that cannot be read.

    The search of importlib would also read the name of every distribution, which is slow.
    """
    for distribution in metadata.distributions():
        with contextlib.suppress(Exception):  # reading its entry points raises the error again
            if group not in (distribution.read_text("entry_points.txt") or ""):
                continue
        yield distribution


class _Loader:
    def __init__(self) -> None:
        self.entries: dict[tuple[str, str], Entry] = {}
        self.failures: list[Failure] = []

    def find(self, group: str) -> Iterator[_Point]:
        """Yield the entry points of the group that are not disabled, once for each distribution."""
        disabled = {_normal(name) for name in os.environ.get(DISABLE, "").split(",") if name.strip()}
        seen = set(disabled)
        for distribution in advertising(group):
            package = "unknown"
            try:
                package = distribution.metadata["Name"] or package
                # The same distribution may be on the path twice, e.g. installed and in the current folder.
                if _normal(package) in seen:
                    continue
                seen.add(_normal(package))
                version = distribution.version
                points = distribution.entry_points.select(group=group)
            except Exception as error:
                self.fail("entry_points.txt", package, "cannot be read", error)
                continue
            yield from (_Point(p, package, version) for p in points if _normal(p.name) not in disabled)

    def load_tried(self, point: _Point, notice: Callable[[str], None]) -> None:
        """Load a plugin that is not ours; one that would end or hold up this process becomes a failure."""
        trial = Trial()
        if point.entry.module not in sys.modules:
            told = f"plugin {point.title} is still being imported; {point.remedy}"
            trial = tried(partial(self.load, point), partial(notice, told))
        if trial.trouble:
            reason = f"its import {trial.trouble}; {point.remedy}"
            self.failures.append(Failure(point.entry.name, point.package, reason, trial.log))
        else:
            self.load(point)

    def load(self, point: _Point) -> None:
        """Load one plugin and call its hooks; undo what that changes in this process."""
        name, package = point.entry.name, point.package
        # Watching modules and streams too takes some milliseconds, and ours leave these alone.
        guard = guarded if point.is_ours else shielded

        def undone(changes: list[str]) -> None:
            reason = f"its import changed {', '.join(changes)}; that was undone"
            self.failures.append(Failure(name, package, reason, ""))

        try:
            with guard(undone):
                plugin = point.entry.load()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit and panics of compiled modules too
            self.fail(name, package, "cannot be imported", error)
            return
        try:
            with guard(undone):
                self.register(plugin, point)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self.fail(name, package, "cannot be used", error)

    def register(self, plugin: Any, point: _Point) -> None:
        """Call the hooks of an imported plugin."""
        name, package = point.entry.name, point.package
        manager = pluggy.PluginManager(hookspecs.PROJECT)
        manager.add_hookspecs(hookspecs)
        sound, mistakes = hookspecs.sound_hooks(plugin, manager)
        self.failures += (Failure(name, package, reason, place) for reason, place in mistakes)
        manager.register(SimpleNamespace(**sound), name)
        for hook, kind in HOOKS.items():
            try:
                getattr(manager.hook, hook)(register=self.registrar(kind, point))
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                self.fail(name, package, f"{hook} failed", error)

    def registrar(self, kind: str, point: _Point) -> hookspecs.Register:
        """Return the function that the hook for a kind receives."""

        def register(component: type[Component]) -> None:
            vet(kind, component)
            name, owner = component.name, f"plugin {point.title}"
            file, line = _source(component)
            entry = Entry(kind, name, component, point.entry.name, point.package, point.version, file, line)
            first = self.entries.setdefault((kind, name), entry)
            if first is not entry:
                # The author may not know the other plugin, so this is not an error of the hook.
                reason = (
                    f"cannot register {kind} '{name}' of {owner}: "
                    f"plugin '{first.plugin}' of {first.package} already has this name; rename one of them"
                )
                caller = "".join(traceback.format_stack(sys._getframe(1), limit=1))
                self.failures.append(Failure(point.entry.name, point.package, reason, caller))

        return register

    def fail(self, plugin: str, package: str, reason: str, error: BaseException) -> None:
        """Add a failure for an exception."""
        lines = traceback.format_exception(error)
        self.failures.append(Failure(plugin, package, f"{reason}: {lines[-1].strip()}", "".join(lines)))


@cache
def _core_types() -> Mapping[str, type[TaskType]]:
    """Return the core's task types by name."""
    import_module("harness.task_types.former")  # it imports all of them
    return {n: c for n, c in TaskType.known.items() if c.__module__.partition(".")[0] == hookspecs.PROJECT}


@cache
def installed_type(name: str | None) -> TaskType | None:
    """Return the task type of a record by its name, with default options; None if it is not installed."""
    if not name:
        return None
    if (own := _core_types().get(name)) is not None:
        return own()
    try:
        return load().task_type(name)
    except HarnessError:
        return None


@dataclass(frozen=True)
class _Point:
    entry: metadata.EntryPoint
    package: str
    version: str

    @property
    def is_ours(self) -> bool:
        """Return whether the plugin belongs to this project."""
        return _normal(self.package) == DISTRIBUTION

    @property
    def order(self) -> tuple[bool, str, str]:
        """Return the sort key: this project first, then by name, so that `sys.path` does not matter."""
        return not self.is_ours, _normal(self.package), self.entry.name

    @property
    def title(self) -> str:
        """Return the name that messages use."""
        return f"'{self.entry.name}' of {self.package}"

    @property
    def remedy(self) -> str:
        """Return how to do without the plugin."""
        return f"to leave it out, set {DISABLE}={self.entry.name}"


def _source(component: type[Component]) -> tuple[str, int]:
    """Return the file and line of a class, without parsing the whole file as `inspect` does."""
    file = getattr(sys.modules.get(component.__module__), "__file__", None) or ""
    statement = re.compile(rf"\s*class\s+{re.escape(component.__name__)}\b")
    lines = linecache.getlines(file) if file else []
    return file, next((number for number, line in enumerate(lines, 1) if statement.match(line)), 0)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()
