"""Makes Keras know kagent's classes as soon as both are imported, in whichever order.

`keras.saving.load_model("agent.keras")` finds only registered classes, and they register when `kagent.agents` is
imported. `import kagent` alone must not import Keras (`kagent.acting` serves agents without it), so where Keras is not
there yet, its import is followed by theirs.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.util
import sys
from types import ModuleType
from typing import Any


class _AfterKeras(importlib.abc.MetaPathFinder):
    _looking = False

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> Any:
        if name != "keras" or self._looking:
            return None
        self._looking = True  # the search below comes by here again
        try:
            spec = importlib.util.find_spec("keras")
        finally:
            self._looking = False
        # It stays in place: TensorFlow looks for Keras without importing it.
        if spec is not None and spec.loader is not None:
            spec.loader = _Followed(spec.loader)
        return spec


class _Followed(importlib.abc.Loader):
    def __init__(self, loader: Any):
        self.loader = loader

    def create_module(self, spec: Any) -> Any:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self.loader
        module.__loader__ = self.loader
        self.loader.exec_module(module)
        sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _AfterKeras)]
        if not _is_importing():  # a module of kagent that imports Keras would be found half made
            importlib.import_module("kagent.agents")


def _is_importing() -> bool:
    modules = [module for name, module in list(sys.modules.items()) if name.startswith("kagent.")]
    return any(getattr(getattr(module, "__spec__", None), "_initializing", False) for module in modules)


def register() -> None:
    """Imports the agents if Keras is there, else once it is."""
    if "keras" in sys.modules:
        if hasattr(sys.modules["keras"], "Model"):
            importlib.import_module("kagent.agents")
    else:
        sys.meta_path.insert(0, _AfterKeras())
