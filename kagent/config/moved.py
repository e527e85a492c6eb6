"""Public names at the places where they were before: modules and attributes that have moved.

A module is found under its old name too, as the same object: `import kagent.plotting` is `kagent.cli.plotting`. The
attributes are those of Polyaxon's door, which `kagent.estimators` holds now: `kagent.policies.ModelPolicy` is found there
when it is used, because the packages below may not import the one above.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from kagent.config import module_names

MODULES = {
    "kagent.compat.tensorforce.arguments": "kagent.arguments",
    "kagent.compat.tensorforce.baselines": "kagent.arguments.baselines",
    "kagent.compat.tensorforce.specifications": "kagent.specifications",
    "kagent.exploration.named": "kagent.exploration.names",
    "kagent.ops.novelty": "kagent.preprocessing.novelty_equations",
    "kagent.ops.preprocessing": "kagent.preprocessing.equations",
    "kagent.plotting": "kagent.cli.plotting",
    "kagent.policies.distributions": "kagent.distributions",
    "kagent.policies.heads": "kagent.estimators.heads",
    "kagent.rendering": "kagent.environments.rendering",
}


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports a module of `MODULES` from its new place."""

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> Any:
        return importlib.machinery.ModuleSpec(name, self) if name in MODULES else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        module = importlib.import_module(MODULES[spec.name])
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec  # the import has put the old name's there


def find() -> None:
    """Has imports of `MODULES` succeed."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def attributes(module: str, places: dict[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` of a module: for names that have moved, and for those of other libraries.

    Args:
        module: Its name.
        places: Where each name is, as "module:attribute", or "module" where it names a module itself.
    """

    def __getattr__(name: str) -> Any:
        if name not in places:
            raise AttributeError(module_names.missing(module, name))
        home, _, attribute = places[name].partition(":")
        place = importlib.import_module(home)
        return getattr(place, attribute) if attribute else place

    return __getattr__
