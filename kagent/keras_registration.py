"""Makes Keras know kagent's classes as soon as both are imported, in whichever order.

`keras.saving.load_model("agent.keras")` finds only registered classes, and they register when `HOMES` are imported, which import
all of kagent that has classes in files. `import kagent` alone must not import Keras (`kagent.acting` serves agents without it),
so where Keras is not there yet, its import is followed by theirs: at once, or, where a module of kagent is what imports it, when
that one is whole. The list is fixed: a file names classes, never modules to import.
"""

from __future__ import annotations

import importlib
import importlib.abc
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

HOMES = ("kagent.agents", "kagent.estimators", "kagent.compat.tensorforce.translation")


class _Watch(importlib.abc.MetaPathFinder):
    """Sees Keras and the modules of kagent being imported, until Keras has been."""

    def __init__(self) -> None:
        self.open = 0  # so many of them are being executed, one within the other

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != "keras" and not name.startswith("kagent."):
            return None
        for finder in [*sys.meta_path]:
            find = None if finder is self else getattr(finder, "find_spec", None)  # ancient ones have none
            spec = find and find(name, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _Watched(spec.loader, self)
                result: ModuleSpec | None = spec
                return result
        return None

    def closed(self) -> None:
        self.open -= 1
        if not self.open and "keras" in sys.modules:
            # Not as soon as it is looked for: TensorFlow looks for Keras without importing it.
            sys.meta_path[:] = [finder for finder in sys.meta_path if finder is not self]
            _import()


class _Watched(importlib.abc.Loader):
    def __init__(self, loader: Any, watch: _Watch):
        self.loader, self.watch = loader, watch

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)  # `python -m`, for one, asks for the code

    def create_module(self, spec: ModuleSpec) -> Any:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self.loader
        module.__loader__ = self.loader
        self.watch.open += 1
        try:
            self.loader.exec_module(module)
        except BaseException:
            self.watch.open -= 1
            raise
        self.watch.closed()


def _import() -> None:
    for name in HOMES:
        importlib.import_module(name)


def register() -> None:
    """Imports the agents if Keras is there, else once it is."""
    if "keras" not in sys.modules:
        sys.meta_path.insert(0, _Watch())
    elif hasattr(sys.modules["keras"], "Model"):
        _import()
