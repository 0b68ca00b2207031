"""Undo what an import changes in modules of others: functions and classes that it replaces."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from harness.hookspecs import PROJECT

_OTHERS_CHANGE = {"__main__", "__mp_main__"}


class Modules:
    """The modules of Python and of this project that are loaded, with their functions and classes."""

    def __init__(self) -> None:
        watched = {PROJECT, *sys.stdlib_module_names} - _OTHERS_CHANGE
        self._loaded = {
            name: module
            for name, module in list(sys.modules.items())
            if name.partition(".")[0] in watched and isinstance(module, ModuleType)
        }
        self._held = {name: _callables(vars(module)) for name, module in self._loaded.items()}
        self._classes = {
            value: _callables(vars(value))
            for name, held in self._held.items()
            if name.partition(".")[0] == PROJECT
            for value in held.values()
            if isinstance(value, type) and value.__module__.partition(".")[0] == PROJECT
        }

    def undo(self) -> list[str]:
        """Put back what was replaced or removed since; return the names of what was, such as "json.dumps"."""
        found = []
        for name, module in self._loaded.items():
            if sys.modules.get(name) is not module:
                sys.modules[name] = module
                found.append(f"module {name}")
            now = vars(module)
            for own, value in self._held[name].items():
                if now.get(own) is not value:
                    now[own] = value
                    found.append(f"{name}.{own}")
        for kind, held in self._classes.items():
            now = vars(kind)  # type: ignore[assignment]
            for own, value in held.items():
                if now.get(own) is not value:
                    setattr(kind, own, value)
                    found.append(f"{kind.__module__}.{kind.__name__}.{own}")
        return found


def _callables(names: Any) -> dict[str, Any]:
    return {name: value for name, value in list(names.items()) if callable(value)}
