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
    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> Any:
        if name != "keras":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec("keras")
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
        importlib.import_module("kagent.agents")


def register() -> None:
    """Imports the agents if Keras is there, else once it is."""
    if "keras" in sys.modules:
        if hasattr(sys.modules["keras"], "Model"):
            importlib.import_module("kagent.agents")
    else:
        sys.meta_path.insert(0, _AfterKeras())
