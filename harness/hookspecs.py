"""Define the hooks that extend the harness. Each passes a ``register`` to call with a component class.

Components are registered by a callback, not by a returned list, so that the traceback of a mistake
shows the author's own line.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pluggy

from harness.api import Component
from harness.wording import choices

PROJECT = "harness"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

Register = Callable[[type[Component]], None]


@hookspec
def register_tasks(register: Register) -> None:
    """Register tasks: labelled texts in splits, and the rules for scoring a model on them."""


@hookspec
def register_teachers(register: Register) -> None:
    """Register teachers: anything that returns outputs for texts."""


@hookspec
def register_students(register: Register) -> None:
    """Register students: small models that learn from a transfer set."""


@hookspec
def register_augmenters(register: Register) -> None:
    """Register augmenters: components that make new texts from the training texts."""


@hookspec
def register_losses(register: Register) -> None:
    """Register losses: measures of the distance between a student's outputs and its targets."""


@hookspec
def register_task_types(register: Register) -> None:
    """Register types of task: the rules for their data, training, scores, exports and tables."""


@hookspec
def register_trackers(register: Register) -> None:
    """Register trackers: components that follow a run and cannot change it."""


@hookspec
def register_executors(register: Register) -> None:
    """Register executors: ways to run steps, on this machine or on others."""


DISTRIBUTION = "distil-harness"  # this project's; its components come first


def sound_hooks(
    plugin: Any, manager: pluggy.PluginManager
) -> tuple[dict[str, Callable[..., None]], list[tuple[str, str]]]:
    """Return the valid hooks of a plugin by name, and for each other hook the mistake and its place."""
    known = [name for name in globals() if name.startswith("register_")]
    sound, mistakes = {}, []
    for name in dir(plugin):
        options = manager.parse_hookimpl_opts(plugin, name)
        if options is None and name not in known:
            continue
        function = getattr(plugin, name)
        hook = (options and options.get("specname")) or name
        if options is None:
            reason = f"'{name}' is missing the @harness.hookimpl decorator"
        elif hook not in known:
            reason = f"unknown hook '{hook}'{choices(hook, known)}"
        elif (takes := _arguments(function)) != ["register"]:
            reason = f"hook '{hook}' takes one argument, 'register', got ({', '.join(takes)})"
        else:
            sound[name] = function
            continue
        code = getattr(function, "__code__", None)
        place = f'  File "{code.co_filename}", line {code.co_firstlineno}, in {name}\n' if code else ""
        mistakes.append((reason, place))
    if not sound and not mistakes:
        mistakes.append((f"has no hook (allowed: {', '.join(known)})", ""))
    return sound, mistakes


def _arguments(function: Callable[..., Any]) -> list[str]:
    parameters = inspect.signature(function).parameters.values()
    return [p.name for p in parameters if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
